/* Ends its call three times. */
#include "bad.h"

static int again(hz_call *call, void *arg)
{
    (void)arg;
    int r = hz_emit(call, "response", hz_input(call));
    hz_done(call);
    hz_done(call);
    return r;
}

static int done_twice_run(hz_call *call)
{
    int r = hz_after(call, 10, again, NULL);
    return r == HZ_OK ? HZ_DEFER : r;
}

BAD_NODE("done_twice", done_twice_run)
