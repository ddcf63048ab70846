/* Executes what is no instruction. */
#include "bad.h"

static int illegal_run(hz_call *call)
{
    volatile bool now = true;
    if (now)
        __builtin_trap();
    return pass_on(call);
}

BAD_NODE("illegal", illegal_run)
