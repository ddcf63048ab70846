/* Overwrites the whole shared segment: rings, stats, recorder and all, with one pattern. */
#include "segment_find.h"

static int segment_fill_run(hz_call *call)
{
    size_t size = 0;
    volatile unsigned char *base = segment_find(&size);
    for (size_t i = 0; base && i < size; i++)
        base[i] = 0xa5;
    return survived(call, "overwritten", base ? (long)size : -1);
}

BAD_NODE("segment_fill", segment_fill_run)
