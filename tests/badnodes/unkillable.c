/* Never returns, and ignores every signal it can. */
#include "bad.h"

static int unkillable_run(hz_call *call)
{
    volatile bool for_ever = true;
    sigset_t all;
    sigfillset(&all);
    for (int i = 1; i < 32; i++)
        signal(i, SIG_IGN);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    while (for_ever)
        continue;
    return pass_on(call);
}

BAD_NODE("unkillable", unkillable_run)
