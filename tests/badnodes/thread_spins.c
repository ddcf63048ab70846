/* Leaves a thread behind that never ends. */
#include "bad.h"

static void *spin(void *arg)
{
    volatile bool for_ever = true;
    while (for_ever)
        usleep(1000);
    return arg;
}

static int thread_spins_run(hz_call *call)
{
    pthread_t id;
    if (pthread_create(&id, NULL, spin, NULL) == 0)
        pthread_detach(id);
    return pass_on(call);
}

BAD_NODE("thread_spins", thread_spins_run)
