/* Makes a process. */
#include "bad.h"

static int forks_run(hz_call *call)
{
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    return survived(call, "fork", pid < 0 ? -1 : 0);
}

BAD_NODE("forks", forks_run)
