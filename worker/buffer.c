/*
 * buffer.c - a growing text with one sticky failure flag, so that a printer checks memory once, at its end.
 * Any process, any thread; a buffer belongs to one thread.
 */
#include "value.h"

#include <stdlib.h>
#include <string.h>

char *hz_buffer_reserve(struct hz_buffer *buffer, size_t room)
{
    if (buffer->failed)
        return NULL;
    if (buffer->capacity - buffer->len > room) /* one byte is kept for the NUL */
        return buffer->data + buffer->len;
    size_t want = buffer->capacity < 128 ? 128 : buffer->capacity + buffer->capacity / 2;
    if (room >= SIZE_MAX / 2 - buffer->len) {
        buffer->failed = true;
        return NULL;
    }
    want = HZ_MAX(want, buffer->len + room + 1);
    char *grown = realloc(buffer->data, want);
    if (!grown) {
        buffer->failed = true;
        return NULL;
    }
    buffer->data = grown;
    buffer->capacity = want;
    return grown + buffer->len;
}

void hz_buffer_add(struct hz_buffer *buffer, const void *data, size_t len)
{
    char *to = hz_buffer_reserve(buffer, len);
    if (!to)
        return;
    if (len)
        memcpy(to, data, len);
    buffer->len += len;
    buffer->data[buffer->len] = '\0';
}

void hz_buffer_fini(struct hz_buffer *buffer)
{
    free(buffer->data);
    *buffer = (struct hz_buffer){0};
}
