/* Ends the worker with a code of its own. */
#include "bad.h"

static int run_exit3_run(hz_call *call)
{
    (void)call;
    _exit(3);
}

BAD_NODE("run_exit3", run_exit3_run)
