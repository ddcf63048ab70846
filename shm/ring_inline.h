/*
 * ring_inline.h - the moves of ring.h that every record makes, as inline functions (hz_ring_<verb>_inline) for the
 * callers that make them in a loop: on CPUs far apart a call each costs a third of the throughput. ring.c makes the
 * plain functions of them and has the rare paths. One thread at each end, usually of two processes.
 *
 * Synchronisation
 *   tail             only the producer stores it (release: the record bytes are visible first); the consumer loads it
 * with acquire, once per visit. head             only the consumer stores it (release: we are done reading, the bytes
 * may be reused); the producer loads it with acquire, only when its cached copy says "full". record bytes     the
 * producer writes them in [tail, head + capacity), the consumer reads them in [head, tail): disjoint as long as both
 * keep the rules, ordered by the two indices above. header word      one 64-bit relaxed atomic each way: ordering comes
 * from tail, atomicity lets the consumer check what it uses.
 *   *_closed         stored once (release) after the last publication; whoever sees it (acquire) sees all records.
 *   capacity, mask   private, from the geometry agreed on outside the mapping; never read back.
 *
 * Rules of the end that trusts nobody (the manager's; the other end may overwrite every byte of the mapping at any
 * time):
 *   1. base, capacity, mask and largest record live in private memory and are never read back from the mapping;
 *   2. our own index is private: the shared copy is written for the peer and never read; the peer's index is loaded
 * once a visit;
 *   3. the distance of the indices must be a multiple of 8 and at most the capacity, and the peer's index never goes
 * back or beyond ours: otherwise the ring is poisoned for good, nothing is repaired;
 *   4. a header is loaded once, as one word; the copy is checked and the copy is used;
 *   5. 0 < length <= largest record, header and padded payload lie below the loaded tail and do not cross the end;
 *   6. the payload is copied to private memory before anybody decodes it;
 *   7. the caller bounds records and bytes per visit (stream.c);
 *   8. ids in records are looked up in tables of our own and must belong to this worker (the manager's link);
 *   9. atomics only for what both sides see: a plain load may be done twice by the compiler;
 *  10. no call here waits.
 *
 * Cache lines. The two ends usually run on two CPUs, and a line that the other end touched last takes 30 to 300 ns to
 * come.
 *   - The producer asks for the lines it will write some way ahead (ck_pr_rfo: read for ownership), as stores retire in
 *     order and a missing line holds up all that follow. Only inside the room it knows to be free.
 *   - The consumer asks for the lines it will read some way ahead: where the next record begins is known only from
 *     the header before it, so the CPU cannot run ahead by itself. Only below the tail it has loaded.
 *   - Both look at the other's index only when they must, and the consumer tells its own in steps.
 */
#ifndef HZ_SHM_RING_INLINE_H
#define HZ_SHM_RING_INLINE_H

#include "ring.h"

#include <ck_pr.h>
#include <string.h>

#define HZ_RING_HEADER      8u
#define HZ_RING_WRAP        UINT32_MAX /* type of the filling of the rest up to the end; its length is that of the filling */
#define HZ_RING_OWN_AHEAD   512u       /* bytes; measured with bench/ring.c on CPUs 270 ns apart: 1024 is no better */
#define HZ_RING_FETCH_AHEAD 1024u      /* bytes; 512 loses a tenth with records of 256 bytes, 2048 is no better */

/* The rare paths (ring.c). room: the cached head says full, look at the real one. look: load the tail; false: nothing
 * new, or poisoned. idle: nothing is left, is the producer there? */
enum hz_ring_result hz_ring_room_(struct hz_ring *ring, uint64_t want);
bool hz_ring_look_(struct hz_ring *ring);
enum hz_ring_result hz_ring_idle_(struct hz_ring *ring);

static inline uint64_t hz_ring_span_(uint64_t len)
{
    return HZ_RING_HEADER + HZ_ALIGN_UP(len, (uint64_t)8);
}

static inline _Atomic uint64_t *hz_ring_header_(const struct hz_ring *ring, uint64_t index)
{
    return (_Atomic uint64_t *)(void *)(ring->bytes + (index & ring->mask));
}

/* Producer: asks for the lines of a large record at once; after a small one for as many lines as it takes, further
 * ahead. Every line counts: one in nine left out made 64-byte records a tenth slower. */
static inline void hz_ring_own_(const struct hz_ring *ring, uint64_t span)
{
    if (span > HZ_RING_OWN_AHEAD) {
        const uint8_t *at = ring->bytes + (ring->index & ring->mask);
        for (uint64_t i = HZ_CACHE_LINE; i < span; i += HZ_CACHE_LINE)
            ck_pr_rfo(at + i);
    } else if (ring->peer + ring->capacity - ring->index > HZ_RING_OWN_AHEAD + span + HZ_CACHE_LINE) {
        for (uint64_t i = 0; i < span; i += HZ_CACHE_LINE)
            ck_pr_rfo(ring->bytes + ((ring->index + HZ_RING_OWN_AHEAD + i) & ring->mask));
    }
}

/* Consumer: the same for lines to be read. A long memcpy runs ahead by itself. */
static inline void hz_ring_fetch_(const struct hz_ring *ring, uint64_t available, uint64_t span)
{
    if (span > HZ_RING_FETCH_AHEAD || available <= HZ_RING_FETCH_AHEAD + span)
        return;
    for (uint64_t i = 0; i < span; i += HZ_CACHE_LINE)
        __builtin_prefetch(ring->bytes + ((ring->index + HZ_RING_FETCH_AHEAD + i) & ring->mask), 0, 3);
}

/* memcpy for short records of unknown length: the library's costs 64-byte records a third of their throughput. */
static inline void hz_ring_copy_(void *to, const void *from, size_t len)
{
    uint8_t *out = (uint8_t *)to;
    const uint8_t *in = (const uint8_t *)from;
    if (len > 256 || len < 16) {
        /* NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker): hz_ring_idle_() is never HZ_RING_OK */
        memcpy(out, in, len);
        return;
    }
    size_t at = 0;
    for (; at + 16 <= len; at += 16)
        memcpy(out + at, in + at, 16);
    memcpy(out + len - 16, in + len - 16, 16); /* the rest, over what is there already */
}

static inline enum hz_ring_result hz_ring_reserve_inline(
        struct hz_ring *ring, uint32_t type, uint32_t len, void **ret_data)
{
    HZ_ASSERT(ring->producer && ring->reserved == 0 && len > 0 && type != HZ_RING_WRAP);
    if (len > ring->max_record)
        return HZ_RING_TOO_BIG;
    uint64_t need = hz_ring_span_(len), left = ring->capacity - (ring->index & ring->mask);
    uint64_t want = need <= left ? need : left + need;
    if (__builtin_expect(ring->poisoned || ring->index - ring->peer + want > ring->capacity, 0)) {
        enum hz_ring_result result = hz_ring_room_(ring, want);
        if (result != HZ_RING_OK)
            return result;
    }
    if (__builtin_expect(need > left, 0)) {
        atomic_store_explicit(hz_ring_header_(ring, ring->index),
                (uint64_t)HZ_RING_WRAP << 32 | (left - HZ_RING_HEADER), memory_order_relaxed);
        ring->index += left;
    }
    hz_ring_own_(ring, need);
    atomic_store_explicit(hz_ring_header_(ring, ring->index), (uint64_t)type << 32 | len, memory_order_relaxed);
    ring->reserved = need;
    *ret_data = ring->bytes + (ring->index & ring->mask) + HZ_RING_HEADER;
    return HZ_RING_OK;
}

static inline void hz_ring_commit_inline(struct hz_ring *ring)
{
    HZ_ASSERT(ring->producer && ring->reserved != 0);
    ring->index += ring->reserved;
    ring->reserved = 0;
}

static inline void hz_ring_publish_inline(struct hz_ring *ring)
{
    HZ_ASSERT(ring->producer);
    if (ring->index == ring->published)
        return;
    ring->published = ring->index;
    atomic_store_explicit(&ring->shared->tail, ring->index, memory_order_release); /* the records before their tail */
}

static inline void hz_ring_release_publish_inline(struct hz_ring *ring)
{
    HZ_ASSERT(!ring->producer);
    if (ring->index == ring->published)
        return;
    ring->published = ring->index;
    atomic_store_explicit(&ring->shared->head, ring->index, memory_order_release); /* our reads before their reuse */
}

/* Consumer: the record at our index, by the one copy of its header that is checked. Steps over filling. */
static inline enum hz_ring_result hz_ring_next_(struct hz_ring *ring, struct hz_record *ret_record)
{
    if (__builtin_expect(ring->poisoned, 0))
        return HZ_RING_POISON;
    for (;;) {
        uint64_t available = ring->peer - ring->index;
        if (__builtin_expect(available == 0, 0)) {
            if (ring->looked || !hz_ring_look_(ring))
                return hz_ring_idle_(ring);
            continue;
        }
        uint64_t at = ring->index & ring->mask, left = ring->capacity - at;
        uint64_t word = atomic_load_explicit(hz_ring_header_(ring, ring->index), memory_order_relaxed);
        uint32_t len = (uint32_t)word, type = (uint32_t)(word >> 32);
        if (__builtin_expect(type == HZ_RING_WRAP, 0)) {
            /* At offset 0 the filling would be the whole ring: no honest producer fills that, and refusing it bounds
             * this loop to two turns. */
            if (len != left - HZ_RING_HEADER || left > available || at == 0)
                break;
            ring->index += left;
            continue;
        }
        uint64_t need = hz_ring_span_(len);
        if (__builtin_expect(len == 0 || len > ring->max_record || need > available || need > left, 0))
            break;
        hz_ring_fetch_(ring, available, need);
        ret_record->type = type;
        ret_record->len = len;
        ret_record->data = ring->bytes + at + HZ_RING_HEADER;
        return HZ_RING_OK;
    }
    ring->poisoned = true;
    return HZ_RING_POISON;
}

static inline void hz_ring_take_begin_inline(struct hz_ring *ring)
{
    HZ_ASSERT(!ring->producer);
    ring->looked = false;
}

static inline enum hz_ring_result hz_ring_take_inline(
        struct hz_ring *ring, void *buf, size_t cap, struct hz_record *ret_record)
{
    HZ_ASSERT(!ring->producer);
    struct hz_record record = {.len = 0};
    enum hz_ring_result result = hz_ring_next_(ring, &record);
    if (__builtin_expect(result != HZ_RING_OK, 0))
        return result;
    ret_record->type = record.type;
    ret_record->len = record.len;
    ret_record->data = NULL;
    if (__builtin_expect(record.len > cap, 0))
        return HZ_RING_TOO_BIG;
    hz_ring_copy_(buf, record.data, record.len);
    ret_record->data = buf;
    ring->index += hz_ring_span_(record.len);
    return HZ_RING_OK;
}

static inline void hz_ring_take_end_inline(struct hz_ring *ring)
{
    HZ_ASSERT(!ring->producer);
    if (ring->index == ring->peer || ring->index - ring->published >= ring->capacity / 8)
        hz_ring_release_publish_inline(ring);
}

#endif
