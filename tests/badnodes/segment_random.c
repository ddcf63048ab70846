/* Overwrites the shared segment with changing random words for two seconds, while the manager reads it. */
#include "segment_find.h"
#include <time.h>

static int segment_random_run(hz_call *call)
{
    size_t size = 0;
    volatile uint64_t *base = (volatile uint64_t *)(volatile void *)segment_find(&size);
    uint64_t state = 0x9e3779b97f4a7c15u;
    struct timespec start, now;
    clock_gettime(CLOCK_MONOTONIC, &start);
    do {
        for (size_t i = 0; base && i < size / 8; i++) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            base[i] = i % 3 ? state : state & 0xfff8; /* now and then something that looks like a length or an index */
        }
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while (base && now.tv_sec - start.tv_sec < 2);
    return survived(call, "overwritten", base ? (long)size : -1);
}

BAD_NODE("segment_random", segment_random_run)
