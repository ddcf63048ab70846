/* Never returns. */
#include "bad.h"

static int infinite_run(hz_call *call)
{
    volatile bool for_ever = true;
    while (for_ever)
        continue;
    return pass_on(call);
}

BAD_NODE("infinite_run", infinite_run)
