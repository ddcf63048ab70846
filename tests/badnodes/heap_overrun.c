/* Writes far past the end of its memory. */
#include "bad.h"

static int heap_overrun_run(hz_call *call)
{
    volatile char *piece = malloc(64);
    for (size_t i = 0; i < (64u << 20); i++)
        piece[i] = 0x55;
    return pass_on(call);
}

BAD_NODE("heap_overrun", heap_overrun_run)
