/* Emits from a thread of its own, which only hz_resume() may do. */
#include "bad.h"

static int last(hz_call *call, void *arg)
{
    (void)arg;
    return pass_on(call);
}

static void *thread(void *arg)
{
    hz_call *call = arg;
    usleep(20000);
    hz_emit(call, "response", hz_input(call));
    hz_resume(call, last, NULL);
    return NULL;
}

static int foreign_emit_run(hz_call *call)
{
    pthread_t id;
    if (pthread_create(&id, NULL, thread, call) != 0)
        return hz_fail(call, "no thread");
    pthread_detach(id);
    return HZ_DEFER;
}

BAD_NODE("foreign_emit", foreign_emit_run)
