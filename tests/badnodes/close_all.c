/* Closes every descriptor of the worker, its doorbells included. */
#include "bad.h"

static int close_all_run(hz_call *call)
{
    for (int fd = 0; fd < 1024; fd++)
        close(fd);
    return pass_on(call);
}

BAD_NODE("close_all", close_all_run)
