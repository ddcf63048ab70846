/* Waits for a lock that it holds itself: inside the node, without using the CPU. */
#include "bad.h"

static int run(hz_call *call)
{
    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&lock);
    pthread_mutex_lock(&lock);
    return pass_on(call);
}

BAD_NODE("deadlock", run)
