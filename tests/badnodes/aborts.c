/* Aborts. */
#include "bad.h"

static int aborts_run(hz_call *call)
{
    (void)call;
    abort();
}

BAD_NODE("aborts", aborts_run)
