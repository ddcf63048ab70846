/* Writes past the end of memory the host gave it. */
#include "bad.h"

static int call_overrun_run(hz_call *call)
{
    volatile char *piece = hz_alloc(call, 64);
    for (size_t i = 0; piece && i < (64u << 20); i++)
        piece[i] = 0x55;
    return pass_on(call);
}

BAD_NODE("call_overrun", call_overrun_run)
