/* Divides by zero. */
#include "bad.h"

static int div_zero_run(hz_call *call)
{
    volatile int zero = 0, one = 1;
    return survived(call, "quotient", one / zero);
}

BAD_NODE("div_zero", div_zero_run)
