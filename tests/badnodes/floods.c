/* Emits without end. */
#include "bad.h"

static int floods_run(hz_call *call)
{
    for (long i = 0; i < 1000000000; i++) {
        int r = hz_emit(call, "response", hz_int(call, i));
        if (r != HZ_OK)
            return r;
    }
    return pass_on(call);
}

BAD_NODE("floods", floods_run)
