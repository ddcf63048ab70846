/* Becomes another program. */
#include "bad.h"

static int executes_run(hz_call *call)
{
    char name[] = "/bin/true";
    char *arguments[] = {name, NULL}, *environment[] = {NULL};
    return survived(call, "execve", execve(name, arguments, environment));
}

BAD_NODE("executes", executes_run)
