/* Ends the worker, as if all were well. */
#include "bad.h"

static int run_exit_run(hz_call *call)
{
    (void)call;
    exit(0);
}

BAD_NODE("run_exit", run_exit_run)
