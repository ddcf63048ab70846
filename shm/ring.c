/*
 * ring.c - single-producer single-consumer ring of variable-length records. One thread at each end, usually of two
 * processes: manager and worker. No system calls: waiting and waking is doorbell.c.
 *
 * Synchronisation
 *   tail             only the producer stores it (release: the record bytes are visible first); the consumer loads it with
 *                    acquire, once per visit.
 *   head             only the consumer stores it (release: we are done reading, the bytes may be reused); the producer
 *                    loads it with acquire, only when its cached copy says "full".
 *   record bytes     the producer writes them in [tail, head + capacity), the consumer reads them in [head, tail): disjoint
 *                    as long as both keep the rules, ordered by the two indices above.
 *   header word      one 64-bit relaxed atomic each way: ordering comes from tail, atomicity lets the consumer check what
 *                    it uses.
 *   *_closed         stored once (release) after the last publication; whoever sees it (acquire) sees all records.
 *   capacity, mask   private, from the geometry agreed on outside the mapping; never read back.
 *
 * Rules of the end that trusts nobody (the manager's; the other end may overwrite every byte of the mapping at any time):
 *   1. base, capacity, mask and largest record live in private memory and are never read back from the mapping;
 *   2. our own index is private: the shared copy is written for the peer and never read; the peer's index is loaded once
 *      a visit;
 *   3. the distance of the indices must be a multiple of 8 and at most the capacity, and the peer's index never goes back
 *      or beyond ours: otherwise the ring is poisoned for good, nothing is repaired;
 *   4. a header is loaded once, as one word; the copy is checked and the copy is used;
 *   5. 0 < length <= largest record, header and padded payload lie below the loaded tail and do not cross the end;
 *   6. the payload is copied to private memory before anybody decodes it;
 *   7. the caller bounds records and bytes per visit (stream.c);
 *   8. ids in records are looked up in tables of our own and must belong to this worker (the manager's link);
 *   9. atomics only for what both sides see: a plain load may be done twice by the compiler;
 *  10. no call here waits.
 */
#include "ring.h"

#include <ck_pr.h>
#include <string.h>

#define HEADER_BYTES 8u
#define WRAP_TYPE UINT32_MAX /* fills the rest of the ring up to its end; the length is that of the filling */

static uint64_t record_bytes(uint64_t len)
{
    return HEADER_BYTES + HZ_ALIGN_UP(len, (uint64_t)8);
}

static _Atomic uint64_t *header_at(const struct hz_ring *ring, uint64_t index)
{
    return (_Atomic uint64_t *)(void *)(ring->bytes + (index & ring->mask));
}

size_t hz_ring_bytes(uint64_t capacity)
{
    return sizeof(struct hz_ring_shared) + (size_t)capacity;
}

void hz_ring_create(void *mem, uint64_t capacity)
{
    HZ_ASSERT(mem != NULL && ((uintptr_t)mem & (HZ_CACHE_LINE - 1)) == 0);
    HZ_ASSERT(capacity >= 1024 && (capacity & (capacity - 1)) == 0);
    struct hz_ring_shared *shared = mem;
    /* Relaxed: the creator hands the mapping over later, through means that order. */
    atomic_store_explicit(&shared->tail, 0, memory_order_relaxed);
    atomic_store_explicit(&shared->head, 0, memory_order_relaxed);
    atomic_store_explicit(&shared->producer_closed, 0, memory_order_relaxed);
    atomic_store_explicit(&shared->consumer_closed, 0, memory_order_relaxed);
}

void hz_ring_attach(struct hz_ring *ret_ring, void *mem, uint64_t capacity, bool producer)
{
    HZ_ASSERT(mem != NULL && ((uintptr_t)mem & (HZ_CACHE_LINE - 1)) == 0);
    HZ_ASSERT(capacity >= 1024 && (capacity & (capacity - 1)) == 0);
    *ret_ring = (struct hz_ring){
            .shared = mem,
            .bytes = (uint8_t *)mem + sizeof(struct hz_ring_shared),
            .capacity = capacity,
            .mask = capacity - 1,
            .max_record = capacity / 8,
            .producer = producer,
    };
}

/* Producer, cached head says full: look at the real one. A head that went back, went beyond what was published, or is not
 * aligned is not a head; believing it would let us write over records, or outside of what we own. */
static enum hz_ring_result refresh_head(struct hz_ring *ring)
{
    uint64_t head = atomic_load_explicit(&ring->shared->head, memory_order_acquire);
    if ((head & 7) != 0 || head - ring->peer > ring->published - ring->peer) {
        ring->poisoned = true;
        return HZ_RING_POISON;
    }
    ring->peer = head;
    if (atomic_load_explicit(&ring->shared->consumer_closed, memory_order_acquire) != 0)
        return HZ_RING_CLOSED;
    return HZ_RING_OK;
}

enum hz_ring_result hz_ring_reserve(struct hz_ring *ring, uint32_t type, uint32_t len, void **ret_data)
{
    HZ_ASSERT(ring->producer && ring->reserved == 0 && len > 0 && type != WRAP_TYPE);
    if (len > ring->max_record)
        return HZ_RING_TOO_BIG;
    if (ring->poisoned)
        return HZ_RING_POISON;
    uint64_t need = record_bytes(len), left = ring->capacity - (ring->index & ring->mask);
    uint64_t want = need <= left ? need : left + need;
    if (__builtin_expect(ring->index - ring->peer + want > ring->capacity, 0)) {
        /* What is committed must be visible, or the consumer could never make room. */
        hz_ring_publish(ring);
        enum hz_ring_result result = refresh_head(ring);
        if (result != HZ_RING_OK)
            return result;
        if (ring->index - ring->peer + want > ring->capacity)
            return HZ_RING_FULL;
    }
    if (need > left) {
        atomic_store_explicit(header_at(ring, ring->index), (uint64_t)WRAP_TYPE << 32 | (left - HEADER_BYTES),
                memory_order_relaxed);
        ring->index += left;
    }
    atomic_store_explicit(header_at(ring, ring->index), (uint64_t)type << 32 | len, memory_order_relaxed);
    ring->reserved = need;
    *ret_data = ring->bytes + (ring->index & ring->mask) + HEADER_BYTES;
    return HZ_RING_OK;
}

void hz_ring_commit(struct hz_ring *ring)
{
    HZ_ASSERT(ring->producer && ring->reserved != 0);
    ring->index += ring->reserved;
    ring->reserved = 0;
}

void hz_ring_abort(struct hz_ring *ring)
{
    /* The header lies beyond every tail published so far; the next reserve writes over it. */
    HZ_ASSERT(ring->producer && ring->reserved != 0);
    ring->reserved = 0;
}

void hz_ring_publish(struct hz_ring *ring)
{
    HZ_ASSERT(ring->producer);
    if (ring->index == ring->published)
        return;
    ring->published = ring->index;
    atomic_store_explicit(&ring->shared->tail, ring->index, memory_order_release); /* the records before their tail */
}

/* Consumer: one look at the tail. */
static void refresh_tail(struct hz_ring *ring)
{
    uint64_t tail = atomic_load_explicit(&ring->shared->tail, memory_order_acquire);
    if ((tail & 7) != 0 || tail - ring->index > ring->capacity || tail - ring->index < ring->peer - ring->index)
        ring->poisoned = true;
    else
        ring->peer = tail;
}

/* Consumer: everything up to the tail we know is read. */
static enum hz_ring_result nothing_left(struct hz_ring *ring)
{
    if (atomic_load_explicit(&ring->shared->producer_closed, memory_order_acquire) == 0)
        return HZ_RING_EMPTY;
    refresh_tail(ring); /* published before it closed, after our last look? */
    if (ring->poisoned)
        return HZ_RING_POISON;
    return ring->peer == ring->index ? HZ_RING_CLOSED : HZ_RING_EMPTY;
}

/* Consumer: finds the record at our index, steps over filling, checks the one copy of its header. */
static inline enum hz_ring_result next_record(struct hz_ring *ring, struct hz_record *ret_record)
{
    if (__builtin_expect(ring->poisoned, 0))
        return HZ_RING_POISON;
    for (;;) {
        uint64_t available = ring->peer - ring->index;
        if (available == 0)
            return nothing_left(ring);
        uint64_t at = ring->index & ring->mask, left = ring->capacity - at;
        uint64_t word = atomic_load_explicit(header_at(ring, ring->index), memory_order_relaxed);
        uint32_t len = (uint32_t)word, type = (uint32_t)(word >> 32);
        if (__builtin_expect(type == WRAP_TYPE, 0)) {
            /* At offset 0 the filling would be the whole ring, which is never less than what is available: refused, so
             * this loop turns at most twice. */
            if (len != left - HEADER_BYTES || left > available || at == 0)
                break;
            ring->index += left;
            continue;
        }
        uint64_t need = record_bytes(len);
        if (len == 0 || len > ring->max_record || need > available || need > left)
            break;
        ret_record->type = type;
        ret_record->len = len;
        ret_record->data = ring->bytes + at + HEADER_BYTES;
        return HZ_RING_OK;
    }
    ring->poisoned = true;
    return HZ_RING_POISON;
}

enum hz_ring_result hz_ring_peek(struct hz_ring *ring, struct hz_record *ret_record)
{
    HZ_ASSERT(!ring->producer);
    if (ring->peer == ring->index && !ring->poisoned)
        refresh_tail(ring);
    enum hz_ring_result result = next_record(ring, ret_record);
    if (result == HZ_RING_OK)
        ring->reserved = record_bytes(ret_record->len);
    return result;
}

void hz_ring_release(struct hz_ring *ring)
{
    HZ_ASSERT(!ring->producer && ring->reserved != 0);
    ring->index += ring->reserved;
    ring->reserved = 0;
    /* A long batch must not hold up the producer until its end. */
    if (ring->index - ring->published >= ring->capacity / 4)
        hz_ring_release_publish(ring);
}

void hz_ring_release_publish(struct hz_ring *ring)
{
    HZ_ASSERT(!ring->producer);
    if (ring->index == ring->published)
        return;
    ring->published = ring->index;
    atomic_store_explicit(&ring->shared->head, ring->index, memory_order_release); /* our reads before their reuse */
}

void hz_ring_take_begin(struct hz_ring *ring)
{
    HZ_ASSERT(!ring->producer);
    if (!ring->poisoned)
        refresh_tail(ring);
}

enum hz_ring_result hz_ring_take(struct hz_ring *ring, void *buf, size_t cap, struct hz_record *ret_record)
{
    HZ_ASSERT(!ring->producer);
    struct hz_record record;
    enum hz_ring_result result = next_record(ring, &record);
    if (result != HZ_RING_OK)
        return result;
    if (record.len > cap) {
        *ret_record = (struct hz_record){.type = record.type, .len = record.len};
        return HZ_RING_TOO_BIG;
    }
    memcpy(buf, record.data, record.len);
    ring->index += record_bytes(record.len);
    *ret_record = (struct hz_record){.type = record.type, .len = record.len, .data = buf};
    return HZ_RING_OK;
}

void hz_ring_take_end(struct hz_ring *ring)
{
    hz_ring_release_publish(ring);
}

bool hz_ring_has_data(struct hz_ring *ring)
{
    HZ_ASSERT(!ring->producer);
    if (ring->poisoned || ring->peer != ring->index)
        return true; /* the next call says which */
    refresh_tail(ring);
    return ring->poisoned || ring->peer != ring->index;
}

void hz_ring_close(struct hz_ring *ring)
{
    if (ring->producer) {
        hz_ring_publish(ring);
        atomic_store_explicit(&ring->shared->producer_closed, 1, memory_order_release);
    } else {
        hz_ring_release_publish(ring);
        atomic_store_explicit(&ring->shared->consumer_closed, 1, memory_order_release);
    }
}

uint64_t hz_ring_fill(const struct hz_ring *ring)
{
    uint64_t head = atomic_load_explicit(&ring->shared->head, memory_order_relaxed);
    ck_pr_fence_load(); /* an older head with a newer tail shows too much, never a negative figure */
    uint64_t tail = atomic_load_explicit(&ring->shared->tail, memory_order_relaxed);
    return HZ_MIN(tail - head, ring->capacity);
}
