/* The other half of patches.c: says whether this worker carries the mark that patches.so set in another one. */
#include "bad.h"

static int sees_mark_run(hz_call *call)
{
    return survived(call, "marked", getenv("HORIZON_BAD_MARK") ? 1 : 0);
}

BAD_NODE("sees_mark", sees_mark_run)
