/* Takes memory until there is none: 1 GiB if nobody stops it. */
#include "bad.h"

static int hoards_run(hz_call *call)
{
    for (size_t i = 0; i < 64; i++) {
        char *piece = malloc(16u << 20);
        if (!piece)
            return HZ_ERR_NOMEM;
        for (size_t j = 0; j < (16u << 20); j += 4096)
            ((volatile char *)piece)[j] = 1;
    }
    return survived(call, "hoarded", 1);
}

BAD_NODE("hoards", hoards_run)
