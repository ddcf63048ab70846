/* Sets a limit of the manager instead of its own: the death of a stranger by prlimit(). */
#include "bad.h"
#include <sys/resource.h>

static int limits_parent_run(hz_call *call)
{
    struct rlimit one = {1, 1};
    return survived(call, "prlimit", prlimit(getppid(), RLIMIT_CPU, &one, NULL));
}

BAD_NODE("limits_parent", limits_parent_run)
