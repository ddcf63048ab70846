/* Crashes in a thread of its own, not in the one that runs the execution. */
#include "bad.h"

static void *crash(void *arg)
{
    volatile int *volatile nowhere = arg;
    *nowhere = 1;
    return NULL;
}

static int thread_crashes_run(hz_call *call)
{
    pthread_t id;
    if (pthread_create(&id, NULL, crash, NULL) != 0)
        return hz_fail(call, "no thread");
    pthread_join(id, NULL);
    return pass_on(call);
}

BAD_NODE("thread_crashes", thread_crashes_run)
