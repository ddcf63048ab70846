/*
 * memory.h - counts the bytes that values take, thread by thread, so that an execution's memory can be bounded and billed.
 * Sits below jansson's allocator; other memory of the process is bounded by RLIMIT_DATA or the cgroup.
 */
#ifndef HZ_WORKER_MEMORY_H
#define HZ_WORKER_MEMORY_H

#include "shm/base.h"

/* One per thread, written by it alone. What one thread allocates and another frees makes the first one's figure too large
 * and the second one's too small by the same amount: an execution stays on its thread, so it hardly matters. */
struct hz_memory {
    int64_t bytes; /* in use */
    int64_t limit; /* above it allocations fail; set by the executor for each slice, INT64_MAX between them */
};
extern _Thread_local struct hz_memory *hz_memory_self; /* NULL: nobody counts on this thread */

/* Once per process, before the first value. */
void hz_memory_init(void);
/* Bytes in use by values on the calling thread. */
static inline int64_t hz_memory_bytes(void)
{
    return hz_memory_self ? hz_memory_self->bytes : 0;
}

/* Memory of ours that belongs to the same bill (arenas). */
static inline void hz_memory_count(int64_t bytes)
{
    if (hz_memory_self)
        hz_memory_self->bytes += bytes;
}

#endif
