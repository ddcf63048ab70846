/* memory.c - jansson's allocator with a count per thread. Worker, every thread. */
#include "memory.h"

#include <jansson.h>
#include <malloc.h>
#include <stdlib.h>

_Thread_local struct hz_memory *hz_memory_self;

static void *counted_malloc(size_t size)
{
    struct hz_memory *self = hz_memory_self;
    if (!self)
        return malloc(size);
    if (size > (size_t)INT64_MAX || self->bytes > self->limit - (int64_t)size)
        return NULL;
    void *data = malloc(size);
    if (data)
        self->bytes += (int64_t)malloc_usable_size(data);
    return data;
}

static void counted_free(void *data)
{
    struct hz_memory *self = hz_memory_self;
    if (self && data)
        self->bytes -= (int64_t)malloc_usable_size(data);
    free(data);
}

void hz_memory_init(void)
{
    json_set_alloc_funcs(counted_malloc, counted_free);
}
