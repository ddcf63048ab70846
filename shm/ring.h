/*
 * ring.h - single-producer single-consumer byte ring of variable-length records in shared memory.
 *
 * A record is an 8-byte header (payload length, type; one 64-bit word) and its payload, padded to 8. Records never
 * cross the end: a wrap marker fills the rest. Indices only grow. The layout (struct hz_ring_shared) is apart from the
 * private handle (struct hz_ring), which holds every size and mask: what the mapping says of geometry is never read
 * back.
 */
#ifndef HZ_SHM_RING_H
#define HZ_SHM_RING_H

#include "base.h"
#include <stdatomic.h>

struct hz_ring_shared {
    /* producer's line: tail = bytes published; closed = producer has gone (1) */
    _Alignas(HZ_CACHE_LINE) _Atomic uint64_t tail;
    _Atomic uint32_t producer_closed;
    char pad0[2 * HZ_CACHE_LINE - 16];
    /* consumer's line: head = bytes released */
    _Atomic uint64_t head;
    _Atomic uint32_t consumer_closed;
    char pad1[2 * HZ_CACHE_LINE - 16];
    /* record bytes follow: capacity bytes, a power of two */
};
_Static_assert(sizeof(struct hz_ring_shared) == 4 * HZ_CACHE_LINE, "ring layout");

enum hz_ring_result {
    HZ_RING_OK = 0,
    HZ_RING_FULL,    /* producer: wait for the doorbell */
    HZ_RING_EMPTY,   /* consumer: nothing published */
    HZ_RING_CLOSED,  /* the peer has gone (consumer: and everything was read) */
    HZ_RING_TOO_BIG, /* never fits: more than max_record */
    HZ_RING_POISON   /* the peer broke a rule; every later call answers the same */
};

struct hz_ring {
    struct hz_ring_shared *shared;
    uint8_t *bytes;
    uint64_t capacity, mask, max_record;
    uint64_t index;                  /* ours: producer's tail incl. uncommitted, consumer's head */
    uint64_t published;              /* what we last stored into the shared index */
    uint64_t peer;                   /* the peer's index as last loaded */
    uint64_t reserved;               /* bytes between reserve and commit, or between peek and release */
    uint64_t gained;                 /* consumer: bytes the last look at the tail found */
    uint32_t pauses;                 /* consumer: see hz_ring_spin() */
    bool producer, poisoned, looked; /* looked: the tail was loaded in this visit */
};

struct hz_record {
    uint32_t type, len;
    const void *data; /* 8-aligned */
};

/* Bytes a ring of `capacity` (power of two, >= 1024) takes in a mapping. */
size_t hz_ring_bytes(uint64_t capacity);
/* Makes an empty ring at `mem` (64-aligned, hz_ring_bytes() long, zeroed). Once, by the creator. */
void hz_ring_create(void *mem, uint64_t capacity);
void hz_ring_attach(struct hz_ring *ret_ring, void *mem, uint64_t capacity, bool producer);

/*
 * Producer. reserve: room for one record of `len` payload bytes (1 .. max_record = capacity / 8), built in place; FULL
 * has published what was committed. commit: the record is complete but not yet visible. abort: forget it. publish: one
 * release store makes all committed records visible. At most one record is between reserve and commit. Cost: no foreign
 * cache line unless the cached head says full. Source: Lamport 1977 (one writer per index); MCRingBuffer, Lee et al.
 * 2010 (cached index, batches).
 */
HZ_MUST_CHECK enum hz_ring_result hz_ring_reserve(struct hz_ring *ring, uint32_t type, uint32_t len, void **ret_data);
void hz_ring_commit(struct hz_ring *ring);
void hz_ring_abort(struct hz_ring *ring);
void hz_ring_publish(struct hz_ring *ring);

/* Consumer that trusts the producer (the worker reading the manager): in place, valid until release. Several records
 * may be peeked one after the other: each release moves the private head; hz_ring_release_publish() tells the producer.
 */
HZ_MUST_CHECK enum hz_ring_result hz_ring_peek(struct hz_ring *ring, struct hz_record *ret_record);
void hz_ring_release(struct hz_ring *ring);
void hz_ring_release_publish(struct hz_ring *ring);

/* Consumer that trusts nobody (the manager): a visit is take_begin, take until it is not OK or the caller's bound is
 * reached, take_end. take checks the copied header, copies the payload into buf and releases; a broken rule poisons the
 * ring. The tail is loaded at most once a visit, when what is known is used up. A record longer than `cap` stays where
 * it is: HZ_RING_TOO_BIG, and ret_record->len says how much it asks for (checked, at most max_record). */
void hz_ring_take_begin(struct hz_ring *ring);
HZ_MUST_CHECK enum hz_ring_result hz_ring_take(
        struct hz_ring *ring, void *buf, size_t cap, struct hz_record *ret_record);
/* Tells the producer what was taken: all of it when nothing is left, else in steps of an eighth of the ring. */
void hz_ring_take_end(struct hz_ring *ring);

/* For a consumer that does nothing but look again (not for a loop with other work between two visits): one pause if the
 * last look found nothing; if look after look finds only a little, up to 15, because each look takes the tail's cache
 * line away from a producer that is in full swing. Never waits after a look that found nothing or much. */
void hz_ring_spin(struct hz_ring *ring);

/* The private indices of a handle for a process image that follows, and back into a fresh handle of the same ring.
 * False: they cannot be. */
struct hz_ring_place {
    uint64_t index, published, peer;
};
struct hz_ring_place hz_ring_place(const struct hz_ring *ring);
HZ_MUST_CHECK bool hz_ring_put_back(struct hz_ring *ring, const struct hz_ring_place *place);

/* Anything to read? One acquire load at most. */
bool hz_ring_has_data(struct hz_ring *ring);
void hz_ring_close(struct hz_ring *ring);
/* Bytes in flight as seen now, for gauges. */
uint64_t hz_ring_fill(const struct hz_ring *ring);

#endif
