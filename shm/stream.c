/*
 * stream.c - whole messages over a ring, the writer's side: fragments and backlog (the reader's is stream_in.c). One
 * thread. Not for waiting: a writer with a backlog calls hz_stream_flush() when there may be room again.
 *
 * A message of at most max_record bytes is one record. A larger one is a run of FRAGMENT records with nothing between
 * them: each carries the whole message's type and length, a sequence number from 0, and the next bytes in order.
 */
#include "stream.h"
#include "err.h"
#include "ring_inline.h"

#include <stdlib.h>
#include <string.h>

#define FRAGMENT_HEAD sizeof(struct hz_msg_fragment)

struct hz_stream_backlog {
    struct hz_stream_backlog *next;
    uint64_t total;          /* of the whole message */
    size_t len, at;          /* bytes held here, bytes of them already in the ring */
    uint32_t type, sequence; /* sequence of the next fragment */
    uint8_t data[];
};

/* Reads on in a list of parts. */
struct cursor {
    const struct hz_part *part;
    size_t at;
};

static void gather(struct cursor *from, uint8_t *to, size_t len)
{
    while (len > 0) {
        size_t step = HZ_MIN(len, from->part->len - from->at);
        if (step > 0)
            hz_ring_copy_(to, (const uint8_t *)from->part->data + from->at, step);
        from->at += step;
        to += step;
        len -= step;
        if (from->at == from->part->len) {
            from->part++;
            from->at = 0;
        }
    }
}

void hz_stream_out_init(struct hz_stream_out *ret_out, struct hz_ring *ring, struct hz_doorbell_cell *peer_cell,
        int peer_fd, size_t backlog_limit)
{
    HZ_ASSERT(ring->producer);
    *ret_out = (struct hz_stream_out){.ring = ring, .backlog_limit = backlog_limit};
    hz_ringer_attach(&ret_out->ringer, peer_cell, peer_fd);
}

static void drop_first(struct hz_stream_out *out)
{
    struct hz_stream_backlog *first = out->first;
    out->first = first->next;
    if (out->first == NULL)
        out->last = NULL;
    out->backlog_bytes -= first->len;
    free(first);
}

void hz_stream_out_fini(struct hz_stream_out *out)
{
    while (out->first != NULL)
        drop_first(out);
}

static int result_error(enum hz_ring_result result)
{
    switch (result) {
    case HZ_RING_CLOSED:
        return HZ_ECLOSED;
    case HZ_RING_POISON:
        return HZ_EPOISON;
    case HZ_RING_TOO_BIG:
        return HZ_ETOOBIG;
    case HZ_RING_FULL:
    case HZ_RING_EMPTY:
        return HZ_EBUSY;
    case HZ_RING_OK:
        break;
    }
    return 0;
}

static void publish(struct hz_stream_out *out)
{
    out->unrung = false;
    hz_ring_publish_inline(out->ring);
    hz_ringer_ring(&out->ringer);
}

/* Room for one piece of a message: the whole as one record, or a fragment. ret_piece: its bytes. */
static enum hz_ring_result reserve_piece(struct hz_ring *ring, uint32_t type, uint64_t total, uint32_t sequence,
        uint64_t left, uint8_t **ret_to, size_t *ret_piece)
{
    void *data;
    enum hz_ring_result result;
    if (total <= ring->max_record) {
        result = hz_ring_reserve_inline(ring, type, (uint32_t)total, &data);
        if (result == HZ_RING_OK) {
            *ret_to = data;
            *ret_piece = (size_t)total;
        }
        return result;
    }
    uint64_t piece = HZ_MIN(left, ring->max_record - FRAGMENT_HEAD);
    result = hz_ring_reserve_inline(ring, HZ_MSG_FRAGMENT, (uint32_t)(FRAGMENT_HEAD + piece), &data);
    if (result == HZ_RING_OK) {
        *(struct hz_msg_fragment *)data = (struct hz_msg_fragment){.total = total, .type = type, .sequence = sequence};
        *ret_to = (uint8_t *)data + FRAGMENT_HEAD;
        *ret_piece = (size_t)piece;
    }
    return result;
}

/* Moves backlog into the ring, in order; HZ_RING_OK when all of it went. */
static enum hz_ring_result drain_backlog(struct hz_stream_out *out)
{
    while (out->first != NULL) {
        struct hz_stream_backlog *first = out->first;
        while (first->at < first->len) {
            uint8_t *to;
            size_t piece;
            enum hz_ring_result result = reserve_piece(
                    out->ring, first->type, first->total, first->sequence, first->len - first->at, &to, &piece);
            if (result != HZ_RING_OK)
                return result;
            memcpy(to, first->data + first->at, piece);
            hz_ring_commit_inline(out->ring);
            out->unrung = true;
            first->at += piece;
            first->sequence++;
        }
        out->sent++;
        drop_first(out);
    }
    return HZ_RING_OK;
}

/* May a message of `total` bytes that has to wait be taken? */
static bool backlog_takes(const struct hz_stream_out *out, size_t total, bool begun)
{
    if (begun || out->backlog_limit == 0)
        return begun;
    return out->first == NULL || (total <= out->backlog_limit && out->backlog_bytes <= out->backlog_limit - total);
}

static struct hz_stream_backlog *new_backlog(uint32_t type, size_t total, size_t len)
{
    struct hz_stream_backlog *entry = malloc(sizeof(*entry) + len);
    if (entry != NULL)
        *entry = (struct hz_stream_backlog){.total = total, .len = len, .type = type};
    return entry;
}

static void append(struct hz_stream_out *out, struct hz_stream_backlog *entry)
{
    if (out->last != NULL)
        out->last->next = entry;
    else
        out->first = entry;
    out->last = entry;
    out->backlog_bytes += entry->len;
    out->queued++;
}

/* The ring is full (or others wait): keep a private copy of the rest. */
static int keep(struct hz_stream_out *out, uint32_t type, size_t total, struct cursor from)
{
    if (!backlog_takes(out, total, false))
        return HZ_EBUSY;
    struct hz_stream_backlog *entry = new_backlog(type, total, total);
    if (entry == NULL)
        return HZ_ENOMEM;
    gather(&from, entry->data, total);
    append(out, entry);
    return 0;
}

/* A message of several fragments. Memory for what may not fit is taken before the first of them is in the ring: half a
 * message in the ring cannot be taken back. (Untouched, it costs no pages.) */
static int send_fragments(struct hz_stream_out *out, uint32_t type, size_t total, struct cursor from)
{
    struct hz_stream_backlog *entry = new_backlog(type, total, total);
    if (entry == NULL)
        return HZ_ENOMEM;
    size_t sent = 0;
    uint32_t sequence = 0;
    enum hz_ring_result result = HZ_RING_OK;
    while (sent < total) {
        uint8_t *to;
        size_t piece;
        result = reserve_piece(out->ring, type, total, sequence, total - sent, &to, &piece);
        if (result != HZ_RING_OK)
            break;
        gather(&from, to, piece);
        hz_ring_commit_inline(out->ring);
        out->unrung = true;
        sent += piece;
        sequence++;
    }
    if (sent == total) {
        free(entry);
        out->sent++;
        return 0;
    }
    if (result != HZ_RING_FULL || !backlog_takes(out, total, sent > 0)) {
        free(entry);
        return result_error(result);
    }
    entry->len = total - sent;
    entry->sequence = sequence;
    gather(&from, entry->data, entry->len);
    append(out, entry);
    return 0;
}

static size_t total_bytes(const struct hz_part *parts, size_t count)
{
    size_t total = 0;
    for (size_t i = 0; i < count; i++)
        if (__builtin_add_overflow(total, parts[i].len, &total))
            return SIZE_MAX;
    return total;
}

int hz_stream_send(struct hz_stream_out *out, uint32_t type, const struct hz_part *parts, size_t count, bool flush)
{
    size_t total = total_bytes(parts, count);
    HZ_ASSERT(total > 0);
    if (total > HZ_MSG_MAX)
        return HZ_ETOOBIG;
    struct cursor from = {.part = parts};
    int result;
    if (out->first != NULL && drain_backlog(out) == HZ_RING_FULL) {
        result = keep(out, type, total, from); /* never past those who wait */
    } else if (total > out->ring->max_record) {
        result = send_fragments(out, type, total, from);
    } else {
        void *data;
        enum hz_ring_result room = hz_ring_reserve_inline(out->ring, type, (uint32_t)total, &data);
        if (room == HZ_RING_OK) {
            gather(&from, data, total);
            hz_ring_commit_inline(out->ring);
            out->unrung = true;
            out->sent++;
            result = 0;
        } else if (room == HZ_RING_FULL) {
            result = keep(out, type, total, from);
        } else {
            result = result_error(room);
        }
    }
    /* A full ring needs its reader now, whatever the batch intends. */
    if ((flush || out->first != NULL || result == HZ_EBUSY) && out->unrung)
        publish(out);
    return result;
}

bool hz_stream_flush(struct hz_stream_out *out)
{
    if (out->first != NULL)
        (void)!drain_backlog(out);
    if (out->unrung)
        publish(out);
    return out->first == NULL;
}

int hz_stream_try(struct hz_stream_out *out, uint32_t type, const struct hz_part *parts, size_t count, bool flush)
{
    size_t total = total_bytes(parts, count);
    HZ_ASSERT(total > 0);
    if (total > out->ring->max_record)
        return HZ_ETOOBIG;
    void *data;
    enum hz_ring_result room = hz_ring_reserve_inline(out->ring, type, (uint32_t)total, &data);
    if (room == HZ_RING_OK) {
        struct cursor from = {.part = parts};
        gather(&from, data, total);
        hz_ring_commit_inline(out->ring);
        out->unrung = true;
        out->sent++;
    }
    if ((flush || room == HZ_RING_FULL) && out->unrung)
        publish(out);
    return result_error(room);
}

void hz_stream_each_waiting(const struct hz_stream_out *out, hz_stream_waiting_fn *fn, void *arg)
{
    for (const struct hz_stream_backlog *entry = out->first; entry != NULL; entry = entry->next)
        fn(arg, entry->type, entry->total, entry->sequence, entry->data + entry->at, entry->len - entry->at);
}

int hz_stream_put_back(
        struct hz_stream_out *out, uint32_t type, uint64_t total, uint32_t sequence, const void *data, size_t len)
{
    if (total > HZ_MSG_MAX || len == 0 || len > total || (sequence == 0 && len != total) ||
            (sequence > 0 && out->first != NULL))
        return hz_err_set(HZ_EFORMAT, "a message that cannot wait");
    struct hz_stream_backlog *entry = new_backlog(type, (size_t)total, len);
    if (entry == NULL)
        return hz_err_set(HZ_ENOMEM, "a message that waits");
    entry->sequence = sequence;
    memcpy(entry->data, data, len);
    append(out, entry);
    return 0;
}
