/*
 * stream.h - whole messages over a ring: fragments for what is larger than an eighth of the ring, a bounded backlog for
 * the side that must not wait, reassembly for the reader.
 */
#ifndef HZ_SHM_STREAM_H
#define HZ_SHM_STREAM_H

#include "doorbell.h"
#include "msg.h"
#include "ring.h"

struct hz_part {
    const void *data;
    size_t len;
};

struct hz_stream_backlog; /* private copy of what is left of one message */

/* Writer: one thread. */
struct hz_stream_out {
    struct hz_ring *ring;
    struct hz_ringer ringer;
    struct hz_stream_backlog *first, *last; /* messages waiting for room, in order */
    size_t backlog_bytes, backlog_limit;
    uint64_t sent, queued;
    bool unrung; /* something was published since the last ring */
};
void hz_stream_out_init(struct hz_stream_out *ret_out, struct hz_ring *ring, struct hz_doorbell_cell *peer_cell,
        int peer_fd, size_t backlog_limit);
void hz_stream_out_fini(struct hz_stream_out *out);
/* Sends parts[0] (the fixed struct) and the strings as one message; never blocks. 0: in the ring or in the backlog;
 * HZ_EBUSY: the backlog bound is reached (nothing was taken); HZ_ETOOBIG; HZ_ECLOSED; HZ_EPOISON; HZ_ENOMEM.
 * The bound: a message is refused if it had to wait behind others and would bring the backlog above backlog_limit. One
 * message alone is always taken, whatever its size; with backlog_limit 0 only the rest of one that is partly in the
 * ring. `flush` publishes and rings; without it the caller calls hz_stream_flush() at the end of its batch. */
HZ_MUST_CHECK int hz_stream_send(
        struct hz_stream_out *out, uint32_t type, const struct hz_part *parts, size_t count, bool flush);
/* Moves what fits from the backlog into the ring, publishes, rings. True when nothing is left behind. */
bool hz_stream_flush(struct hz_stream_out *out);
/* For a process image that follows this one: what waits, in order (total and type of the whole message, sequence of its
 * next fragment, the bytes that are not in the ring yet), and how it is put back behind what waits already. back: 0,
 * HZ_EFORMAT, HZ_ENOMEM. */
typedef void hz_stream_waiting_fn(
        void *arg, uint32_t type, uint64_t total, uint32_t sequence, const void *data, size_t len);
void hz_stream_each_waiting(const struct hz_stream_out *out, hz_stream_waiting_fn *fn, void *arg);
HZ_MUST_CHECK int hz_stream_put_back(
        struct hz_stream_out *out, uint32_t type, uint64_t total, uint32_t sequence, const void *data, size_t len);
/* For a lossy ring: 0 or HZ_EBUSY at once, no backlog, no fragments. */
HZ_MUST_CHECK int hz_stream_try(
        struct hz_stream_out *out, uint32_t type, const struct hz_part *parts, size_t count, bool flush);

/* Reader: one thread. `hostile`: the writer is not trusted; records are copied out and checked. */
struct hz_stream_in {
    struct hz_ring *ring;
    char direction;
    bool hostile;
    uint8_t *copy, *joined; /* private buffers */
    size_t copy_cap, joined_len, joined_total, joined_cap;
    uint32_t joined_type, joined_sequence;
    unsigned records_left;   /* of this visit */
    size_t bytes_left;       /* of this visit */
    bool holding, delivered; /* a peeked record, or the joined message, is with the caller until the next call */
    uint64_t messages, refused;
    const char *poison_reason; /* static text once poisoned */
};
HZ_MUST_CHECK int hz_stream_in_init(struct hz_stream_in *ret_in, struct hz_ring *ring, char direction, bool hostile);
void hz_stream_in_fini(struct hz_stream_in *in);
/* For a process image that follows: the part of a message that has come so far, len 0: none; and how it is put back
 * into a fresh reader. 0, HZ_EFORMAT, HZ_ENOMEM. */
const void *hz_stream_in_part(const struct hz_stream_in *in, size_t *ret_len);
HZ_MUST_CHECK int hz_stream_in_put_back(
        struct hz_stream_in *in, uint32_t type, uint64_t total, uint32_t sequence, const void *data, size_t len);
/* Visits at most max_records and max_bytes (0: no bound): begin, then next until it says HZ_RING_EMPTY, then end. The
 * message is valid until the next call. HZ_RING_POISON: the writer broke a rule (`poison_reason`). */
void hz_stream_in_begin(struct hz_stream_in *in, unsigned max_records, size_t max_bytes);
HZ_MUST_CHECK enum hz_ring_result hz_stream_in_next(struct hz_stream_in *in, struct hz_msg *ret_msg);
void hz_stream_in_end(struct hz_stream_in *in);

#endif
