/* Wants to be its manager's debugger. */
#include "bad.h"
#include <sys/ptrace.h>

static int traces_run(hz_call *call)
{
    return survived(call, "ptrace", ptrace(PTRACE_ATTACH, getppid(), NULL, NULL));
}

BAD_NODE("traces", traces_run)
