/* Asks twice to be continued. */
#include "bad.h"

static int again(hz_call *call, void *arg)
{
    (void)arg;
    return pass_on(call);
}

static int resumes_twice_run(hz_call *call)
{
    hz_resume(call, again, NULL);
    hz_resume(call, again, NULL);
    return HZ_DEFER;
}

BAD_NODE("resumes_twice", resumes_twice_run)
