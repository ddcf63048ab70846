/* Emits a value that could not be made. */
#include "bad.h"

static int emits_null_run(hz_call *call)
{
    return hz_emit(call, "response", NULL);
}

BAD_NODE("emits_null", emits_null_run)
