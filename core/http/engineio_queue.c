/*
 * engineio_queue.c - packets, shared by all who get them, and the lines they wait in. A packet may be held on several
 * shards, a line belongs to one.
 */
#include "engineio_internal.h"

#include <stdlib.h>
#include <string.h>

HZ_KEEPS_WHAT_IS_ALLOCATED /* packets are owned by the lines they are in */

        struct hz_eio_buf *
        hz_eio_buf_new(enum hz_eio_kind kind, size_t len)
{
    struct hz_eio_buf *buf = malloc(sizeof *buf + len);
    if (!buf)
        return NULL;
    atomic_init(&buf->refs, 1);
    buf->kind = kind;
    buf->shared = false;
    buf->len = len;
    return buf;
}

struct hz_eio_buf *hz_eio_buf_ref(struct hz_eio_buf *buf)
{
    atomic_fetch_add_explicit(&buf->refs, 1, memory_order_relaxed);
    return buf;
}

void hz_eio_buf_unref(struct hz_eio_buf **ref)
{
    struct hz_eio_buf *buf = *ref;
    *ref = NULL;
    if (buf && atomic_fetch_sub_explicit(&buf->refs, 1, memory_order_acq_rel) == 1)
        free(buf);
}

struct hz_eio_buf *hz_eio_word(const char *text)
{
    struct hz_eio_buf *buf = hz_eio_buf_new(HZ_EIO_TEXT, strlen(text));
    if (buf)
        memcpy(buf->data, text, buf->len);
    return buf;
}

/* What a packet in line holds of the shard's memory. */
static size_t weight(const struct hz_eio_buf *buf)
{
    return HZ_EIO_CHARGE + (buf->shared ? 0 : buf->len);
}

bool hz_eio_push(struct hz_eio_queue *queue, struct hz_eio *engine, struct hz_eio_buf *buf)
{
    if (!buf)
        return false;
    if (queue->count == queue->capacity) {
        uint32_t capacity = queue->capacity ? queue->capacity * 2 : 4;
        struct hz_eio_buf **ring = calloc(capacity, sizeof *ring);
        if (!ring) {
            hz_eio_buf_unref(&buf);
            return false;
        }
        for (uint32_t i = 0; i < queue->count; i++)
            ring[i] = queue->ring[(queue->head + i) % queue->capacity];
        free(queue->ring);
        queue->ring = ring;
        queue->head = 0;
        queue->capacity = capacity;
    }
    queue->ring[(queue->head + queue->count++) % queue->capacity] = buf;
    queue->bytes += buf->len + HZ_EIO_CHARGE;
    engine->own_bytes += weight(buf);
    hz_eio_count(&engine->figures->waiting_bytes, (int64_t)buf->len);
    return true;
}

struct hz_eio_buf *hz_eio_pop(struct hz_eio_queue *queue, struct hz_eio *engine)
{
    HZ_ASSERT(queue->count > 0);
    struct hz_eio_buf *buf = queue->ring[queue->head];
    queue->head = (queue->head + 1) % queue->capacity;
    queue->bytes -= buf->len + HZ_EIO_CHARGE;
    engine->own_bytes -= weight(buf);
    hz_eio_count(&engine->figures->waiting_bytes, -(int64_t)buf->len);
    if (--queue->count == 0) { /* most clients have nothing in line most of the time */
        free(queue->ring);
        queue->ring = NULL;
        queue->head = queue->capacity = 0;
    }
    return buf;
}

void hz_eio_queue_clear(struct hz_eio_queue *queue, struct hz_eio *engine)
{
    while (queue->count > 0) {
        struct hz_eio_buf *buf = hz_eio_pop(queue, engine);
        hz_eio_buf_unref(&buf);
    }
}
