/* Kills its own process: no handler sees it. */
#include "bad.h"

static int sigkill_run(hz_call *call)
{
    raise(SIGKILL);
    return pass_on(call);
}

BAD_NODE("sigkill", sigkill_run)
