/* Recursion without end. */
#include "bad.h"

static volatile bool for_ever = true;

static int deeper(volatile char *above)
{
    volatile char frame[4096];
    frame[0] = above[0];
    frame[4095] = frame[0];
    return for_ever ? deeper(frame) + frame[4095] : 0;
}

static int stack_overflow_run(hz_call *call)
{
    volatile char first[1] = {1};
    return survived(call, "depth", deeper(first));
}

BAD_NODE("stack_overflow", stack_overflow_run)
