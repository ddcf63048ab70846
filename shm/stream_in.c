/*
 * stream_in.c - whole messages over a ring, the reader's side: bounds per visit, private copies, reassembly, decoding.
 * One thread. The manager reads with `hostile`: nothing is decoded before it is a private copy, every claim of a
 * fragment is checked against what came before, and memory grows with what has really arrived. The worker reads in
 * place.
 */
#include "stream.h"
#include "err.h"
#include "ring_inline.h"

#include <stdlib.h>
#include <string.h>

#define FRAGMENT_HEAD sizeof(struct hz_msg_fragment)
#define KEEP_BYTES    ((size_t)64 << 10) /* a buffer above this goes back to the allocator after its message */
#define FIRST_COPY    ((size_t)1 << 10)  /* most messages fit; 1,000 links must not cost max_record each */

int hz_stream_in_init(struct hz_stream_in *ret_in, struct hz_ring *ring, char direction, bool hostile)
{
    HZ_ASSERT(!ring->producer);
    *ret_in = (struct hz_stream_in){.ring = ring, .direction = direction, .hostile = hostile};
    return 0;
}

void hz_stream_in_fini(struct hz_stream_in *in)
{
    free(in->copy);
    free(in->joined);
    in->copy = in->joined = NULL;
    in->copy_cap = in->joined_cap = in->joined_len = in->joined_total = 0;
}

void hz_stream_in_begin(struct hz_stream_in *in, unsigned max_records, size_t max_bytes)
{
    in->records_left = max_records != 0 ? max_records : UINT32_MAX;
    in->bytes_left = max_bytes != 0 ? max_bytes : SIZE_MAX;
    if (in->hostile)
        hz_ring_take_begin_inline(in->ring);
}

static enum hz_ring_result poison(struct hz_stream_in *in, const char *reason)
{
    in->ring->poisoned = true;
    in->poison_reason = reason;
    in->refused++;
    return HZ_RING_POISON;
}

/* The caller is done with what we gave it last. */
static void take_back(struct hz_stream_in *in)
{
    if (in->holding) {
        hz_ring_release(in->ring);
        in->holding = false;
    }
    if (in->delivered) {
        in->delivered = false;
        in->joined_len = in->joined_total = 0;
        if (in->joined_cap > KEEP_BYTES) {
            free(in->joined);
            in->joined = NULL;
            in->joined_cap = 0;
        }
    }
}

/* Copies the next record out. The buffer follows the records: it grows to the length that was checked, and the header
 * is checked again when it is loaded again. */
static enum hz_ring_result take_copy(struct hz_stream_in *in, struct hz_record *ret_record)
{
    for (int i = 0; i < 2; i++) {
        enum hz_ring_result result = hz_ring_take_inline(in->ring, in->copy, in->copy_cap, ret_record);
        if (result != HZ_RING_TOO_BIG)
            return result;
        size_t cap = HZ_MAX(FIRST_COPY, in->copy_cap);
        /* NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult): hz_ring_idle_() is never TOO_BIG */
        while (cap < ret_record->len)
            cap *= 2;
        uint8_t *copy = malloc(cap); /* no realloc: the old bytes are of no use */
        if (copy == NULL)
            return poison(in, "out of memory for a record");
        free(in->copy);
        in->copy = copy;
        in->copy_cap = cap;
    }
    return poison(in, "a record's length changed while it was read");
}

/* Room for `more` bytes. Grows with what has really arrived: a false total costs its author as many bytes as us. */
static bool grow_joined(struct hz_stream_in *in, size_t more)
{
    size_t need = in->joined_len + more;
    if (need <= in->joined_cap)
        return true;
    size_t cap = HZ_MIN(in->joined_total, HZ_MAX(need, in->joined_cap * 2));
    uint8_t *joined = realloc(in->joined, cap);
    if (joined == NULL)
        return false;
    in->joined = joined;
    in->joined_cap = cap;
    return true;
}

/* One fragment; HZ_RING_OK when the message is whole, HZ_RING_EMPTY when more is to come. */
static enum hz_ring_result join(struct hz_stream_in *in, const struct hz_record *record)
{
    if (record->len <= FRAGMENT_HEAD)
        return poison(in, "a fragment without content");
    struct hz_msg_fragment head;
    memcpy(&head, record->data, sizeof(head));
    size_t len = record->len - FRAGMENT_HEAD;
    if (in->joined_total == 0) {
        if (head.sequence != 0)
            return poison(in, "a fragment without its beginning");
        if (head.total > HZ_MSG_MAX || head.total <= in->ring->max_record)
            return poison(in, "a fragmented message of impossible length");
        if (hz_msg_direction(head.type) != in->direction)
            return poison(in, "a fragmented message of impossible type");
        in->joined_total = (size_t)head.total;
        in->joined_type = head.type;
        in->joined_sequence = 0;
        in->joined_len = 0;
    }
    if (head.total != in->joined_total || head.type != in->joined_type || head.sequence != in->joined_sequence)
        return poison(in, "a fragment that does not continue the one before");
    if (len > in->joined_total - in->joined_len)
        return poison(in, "more fragments than the message is long");
    if (!grow_joined(in, len))
        return poison(in, "out of memory for a fragmented message");
    memcpy(in->joined + in->joined_len, (const uint8_t *)record->data + FRAGMENT_HEAD, len);
    if (head.type == HZ_MSG_ASSIGN && !in->hostile) /* holds secrets, and the segment is seen by more than the reader */
        explicit_bzero((void *)(uintptr_t)record->data, record->len);
    in->joined_len += len;
    in->joined_sequence++;
    return in->joined_len == in->joined_total ? HZ_RING_OK : HZ_RING_EMPTY;
}

enum hz_ring_result hz_stream_in_next(struct hz_stream_in *in, struct hz_msg *ret_msg)
{
    take_back(in);
    while (in->records_left > 0 && in->bytes_left > 0) {
        struct hz_record record;
        enum hz_ring_result result = in->hostile ? take_copy(in, &record) : hz_ring_peek(in->ring, &record);
        if (result == HZ_RING_POISON && in->poison_reason == NULL)
            return poison(in, "an index or a record header that cannot be");
        if (result != HZ_RING_OK)
            return result;
        in->records_left--;
        in->bytes_left -= HZ_MIN(in->bytes_left, (size_t)record.len);
        in->holding = !in->hostile;

        uint32_t type = record.type;
        const void *data = record.data;
        size_t len = record.len;
        if (type == HZ_MSG_FRAGMENT) {
            result = join(in, &record);
            if (result == HZ_RING_POISON)
                return result;
            if (in->holding) {
                hz_ring_release(in->ring);
                in->holding = false;
            }
            if (result == HZ_RING_EMPTY)
                continue;
            in->delivered = true;
            type = in->joined_type;
            data = in->joined;
            len = in->joined_len;
        } else if (in->joined_total != 0) {
            return poison(in, "a record between the fragments of another");
        }
        if (hz_msg_open(ret_msg, in->direction, type, data, len) != 0)
            return poison(in, "a record that does not decode");
        in->messages++;
        return HZ_RING_OK;
    }
    return HZ_RING_EMPTY;
}

void hz_stream_in_end(struct hz_stream_in *in)
{
    take_back(in);
    if (in->hostile)
        hz_ring_take_end_inline(in->ring);
    else
        hz_ring_release_publish_inline(in->ring);
}

const void *hz_stream_in_part(const struct hz_stream_in *in, size_t *ret_len)
{
    *ret_len = in->delivered ? 0 : in->joined_len;
    return *ret_len > 0 ? in->joined : NULL;
}

int hz_stream_in_put_back(
        struct hz_stream_in *in, uint32_t type, uint64_t total, uint32_t sequence, const void *data, size_t len)
{
    HZ_ASSERT(in->joined == NULL);
    if (total > HZ_MSG_MAX || total <= in->ring->max_record || len == 0 || len >= total || sequence == 0 ||
            hz_msg_direction(type) != in->direction)
        return hz_err_set(HZ_EFORMAT, "a part of a message that cannot be");
    in->joined = malloc(len);
    if (in->joined == NULL)
        return hz_err_set(HZ_ENOMEM, "a part of a message");
    memcpy(in->joined, data, len);
    in->joined_cap = in->joined_len = len;
    in->joined_total = (size_t)total;
    in->joined_type = type;
    in->joined_sequence = sequence;
    return 0;
}
