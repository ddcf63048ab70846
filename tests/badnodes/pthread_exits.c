/* Ends the thread the host runs it on. */
#include "bad.h"

static int pthread_exits_run(hz_call *call)
{
    (void)call;
    pthread_exit(NULL);
}

BAD_NODE("pthread_exits", pthread_exits_run)
