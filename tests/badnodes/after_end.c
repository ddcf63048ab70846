/* Uses its call after it is over. */
#include "bad.h"

static hz_call *kept;

static void later(void *arg, int events)
{
    (void)arg;
    (void)events;
    hz_emit(kept, "response", hz_null(kept));
}

static int after_end_run(hz_call *call)
{
    kept = call;
    hz_loop_post(later, NULL);
    return pass_on(call);
}

BAD_NODE("after_end", after_end_run)
