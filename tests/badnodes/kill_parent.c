/* Kills the manager, and whoever else it can reach. */
#include "bad.h"

static int kill_parent_run(hz_call *call)
{
    return survived(call, "kill", getppid() > 1 ? kill(getppid(), SIGKILL) : -1);
}

BAD_NODE("kill_parent", kill_parent_run)
