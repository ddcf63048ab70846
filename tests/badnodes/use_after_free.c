/* Writes to freed memory: the allocator's own list leads into the void, and the next requests follow it. */
#include "bad.h"

static int use_after_free_run(hz_call *call)
{
    for (int round = 0; round < 64; round++) {
        char *volatile piece[8];
        for (int i = 0; i < 8; i++)
            piece[i] = malloc(200);
        for (int i = 0; i < 8; i++)
            free(piece[i]);
        for (int i = 0; i < 8; i++)
            for (int j = 0; j < 200; j++)
                ((volatile char *)piece[i])[j] = 0x41;
        for (int i = 0; i < 8; i++)
            piece[i] = malloc(200);
        for (int i = 0; i < 8; i++)
            *(volatile char *)piece[i] = 1;
    }
    return pass_on(call);
}

BAD_NODE("use_after_free", use_after_free_run)
