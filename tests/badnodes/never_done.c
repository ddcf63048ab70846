/* Defers and arranges nothing: nobody will ever continue the call. */
#include "bad.h"

static int never_done_run(hz_call *call)
{
    (void)call;
    return HZ_DEFER;
}

BAD_NODE("never_done", never_done_run)
