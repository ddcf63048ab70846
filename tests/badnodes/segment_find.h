/*
 * segment_find.h - finds the worker's shared segment the way an attacker in the same process would: by its magic,
 * page by page around the plugin's own code. madvise() tells whether a page is mapped without touching it.
 */
#ifndef HZ_BADNODES_SEGMENT_FIND_H
#define HZ_BADNODES_SEGMENT_FIND_H

#include "bad.h"
#include "shm/segment.h"
#include <sys/mman.h>

/* Base and size of the segment; NULL: not found within 2 GiB below and above. */
__attribute__((no_sanitize("address"))) static inline volatile unsigned char *segment_find(size_t *ret_size)
{
    static const char here;
    uintptr_t middle = (uintptr_t)&here & ~(uintptr_t)4095;
    for (uintptr_t i = 0; i < (2ul << 30); i += 4096)
        for (int side = 0; side < 2; side++) {
            uintptr_t at = side ? middle + i : middle - i;
            const volatile struct hz_segment_header *header = (const volatile struct hz_segment_header *)at;
            if (madvise((void *)at, 4096, MADV_NORMAL) != 0)
                continue;
            if (header->magic == HZ_SEGMENT_MAGIC && header->layout_version == HZ_LAYOUT_VERSION) {
                *ret_size = header->total_bytes;
                return (volatile unsigned char *)at;
            }
        }
    return NULL;
}

#endif
