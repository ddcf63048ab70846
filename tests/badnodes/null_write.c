/* Writes to address 0. */
#include "bad.h"

static int null_write_run(hz_call *call)
{
    volatile int *volatile nowhere = NULL;
    *nowhere = 1;
    return pass_on(call);
}

BAD_NODE("null_write", null_write_run)
