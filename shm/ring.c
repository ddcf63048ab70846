/*
 * ring.c - the rare paths of the ring: making, attaching, a full or an empty ring, the reader in place, closing. The
 * moves that every record makes, the proof of their order and the rules against a hostile peer stand in ring_inline.h.
 * No system calls: waiting and waking is doorbell.c.
 */
#include "ring.h"
#include "ring_inline.h"

#define LITTLE_MOST 4096u /* a look that found less ... */
#define PAUSES_MOST 15u   /* ... makes the next wait longer, up to this; a pause takes 26 to 140 cycles */

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

/* A head that went back, went beyond what was published, or is not aligned is not a head; believing it would let us
 * write over records that are not read, or outside of what we own. */
enum hz_ring_result hz_ring_room_(struct hz_ring *ring, uint64_t want)
{
    if (ring->poisoned)
        return HZ_RING_POISON;
    hz_ring_publish(ring); /* or the consumer could never make room */
    uint64_t head = atomic_load_explicit(&ring->shared->head, memory_order_acquire);
    if ((head & 7) != 0 || head - ring->peer > ring->published - ring->peer) {
        ring->poisoned = true;
        return HZ_RING_POISON;
    }
    ring->peer = head;
    if (atomic_load_explicit(&ring->shared->consumer_closed, memory_order_acquire) != 0)
        return HZ_RING_CLOSED;
    return ring->index - ring->peer + want > ring->capacity ? HZ_RING_FULL : HZ_RING_OK;
}

enum hz_ring_result hz_ring_reserve(struct hz_ring *ring, uint32_t type, uint32_t len, void **ret_data)
{
    return hz_ring_reserve_inline(ring, type, len, ret_data);
}

void hz_ring_commit(struct hz_ring *ring)
{
    hz_ring_commit_inline(ring);
}

void hz_ring_publish(struct hz_ring *ring)
{
    hz_ring_publish_inline(ring);
}

void hz_ring_abort(struct hz_ring *ring)
{
    /* The header lies beyond every tail published so far; the next reserve writes over it. */
    HZ_ASSERT(ring->producer && ring->reserved != 0);
    ring->reserved = 0;
}

bool hz_ring_look_(struct hz_ring *ring)
{
    HZ_ASSERT(ring->peer == ring->index); /* all that is known is read, so one comparison says all about the new tail */
    uint64_t tail = atomic_load_explicit(&ring->shared->tail, memory_order_acquire);
    ring->looked = true;
    ring->gained = tail - ring->index;
    if ((tail & 7) != 0 || ring->gained > ring->capacity) { /* a tail that went back gained nearly 2^64 */
        ring->poisoned = true;
        return false;
    }
    ring->peer = tail;
    return ring->gained != 0;
}

enum hz_ring_result hz_ring_idle_(struct hz_ring *ring)
{
    if (ring->poisoned)
        return HZ_RING_POISON;
    if (atomic_load_explicit(&ring->shared->producer_closed, memory_order_acquire) == 0)
        return HZ_RING_EMPTY;
    if (hz_ring_look_(ring)) /* published before it closed, after our last look */
        return HZ_RING_EMPTY;
    return ring->poisoned ? HZ_RING_POISON : HZ_RING_CLOSED;
}

void hz_ring_spin(struct hz_ring *ring)
{
    uint64_t little = HZ_MIN((uint64_t)LITTLE_MOST, ring->capacity / 16);
    if (ring->peer != ring->index)
        return; /* more is known to be there */
    if (ring->gained == 0) {
        ring->pauses = 0;
        ck_pr_stall();
        return;
    }
    if (ring->gained < little)
        ring->pauses = HZ_MIN(ring->pauses * 2 + 1, PAUSES_MOST);
    else if (ring->gained > 2 * little)
        ring->pauses /= 2;
    for (uint32_t i = 0; i < ring->pauses; i++)
        ck_pr_stall();
}

enum hz_ring_result hz_ring_peek(struct hz_ring *ring, struct hz_record *ret_record)
{
    HZ_ASSERT(!ring->producer);
    ring->looked = false;
    enum hz_ring_result result = hz_ring_next_(ring, ret_record);
    if (result == HZ_RING_OK)
        ring->reserved = hz_ring_span_(ret_record->len);
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
    hz_ring_release_publish_inline(ring);
}

void hz_ring_take_begin(struct hz_ring *ring)
{
    hz_ring_take_begin_inline(ring);
}

enum hz_ring_result hz_ring_take(struct hz_ring *ring, void *buf, size_t cap, struct hz_record *ret_record)
{
    return hz_ring_take_inline(ring, buf, cap, ret_record);
}

void hz_ring_take_end(struct hz_ring *ring)
{
    hz_ring_take_end_inline(ring);
}

bool hz_ring_has_data(struct hz_ring *ring)
{
    HZ_ASSERT(!ring->producer);
    if (ring->poisoned || ring->peer != ring->index)
        return true; /* the next call says which */
    return hz_ring_look_(ring) || ring->poisoned;
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

struct hz_ring_place hz_ring_place(const struct hz_ring *ring)
{
    HZ_ASSERT(ring->reserved == 0);
    return (struct hz_ring_place){ring->index, ring->published, ring->peer};
}

bool hz_ring_put_back(struct hz_ring *ring, const struct hz_ring_place *place)
{
    /* Producer: peer <= published <= index <= peer + capacity; consumer: published <= index <= peer <= published +
     * capacity. */
    uint64_t low = ring->producer ? place->peer : place->published, high = ring->producer ? place->index : place->peer;
    uint64_t middle = ring->producer ? place->published : place->index;
    if (((place->index | place->published | place->peer) & 7) != 0 || high - low > ring->capacity ||
            middle - low > high - low)
        return false;
    ring->index = place->index;
    ring->published = place->published;
    ring->peer = place->peer;
    return true;
}
