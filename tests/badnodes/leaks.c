/* Takes memory and touches it, 2 MiB every 20 ms, and gives nothing back; ends by itself at 1 GiB. */
#include "bad.h"

#include <string.h>
#include <time.h>

static int run(hz_call *call)
{
    for (int i = 0; i < 512; i++) {
        void *volatile memory = malloc((size_t)2 << 20);
        if (!memory)
            return HZ_ERR_NOMEM;
        memset(memory, 1, (size_t)2 << 20);
        nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    }
    return pass_on(call);
}

BAD_NODE("leaks", run)
