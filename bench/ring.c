/*
 * ring.c - throughput of the ring between two processes, each pinned to a CPU, against rings and copies of the same
 * run.
 *
 * Ours always runs with every check on: the consumer is the manager's (header checked, payload copied out, then
 * released). All rings have the default size of a worker's result ring, 64 KiB of records; references get the same
 * bytes.
 */
#include "bench.h"
#include "shm/ring_inline.h"

#include <ck_ring.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#define RING_BYTES (UINT64_C(64) << 10)
#define BATCH      64u /* records a publication, and records a visit of the consumer */
#define RECORD     64u
#define CHUNK      (UINT64_C(1) << 16) /* records */
#define RECORDS    (92 * CHUNK)
#define SLOTS      (RING_BYTES / RECORD)

struct entry {
    uint64_t words[RECORD / 8];
};

/* What both processes see. The producer begins when the consumer is there; the consumer takes the time. All rings of a
 * run use the same pages, one after the other: where a page lives (which socket, which slice of the cache) changes the
 * speed of the same code threefold. */
struct arena {
    _Atomic uint32_t ready;
    _Alignas(128) ck_ring_t ck;
    _Alignas(128) _Atomic uint64_t slot_tail;
    _Alignas(128) _Atomic uint64_t slot_head;
    union {
        _Alignas(128) uint8_t ring[sizeof(struct hz_ring_shared) + RING_BYTES];
        struct entry slots[SLOTS];
        uint8_t block[RING_BYTES];
    };
};
static struct arena *arena;

/* New pages for a run. */
static void arena_renew(void)
{
    if (arena != NULL)
        munmap(arena, sizeof(*arena));
    arena = hz_bench_shared(sizeof(*arena));
}

CK_RING_PROTOTYPE(entry, entry)

static void wait_ready(void)
{
    while (atomic_load_explicit(&arena->ready, memory_order_acquire) == 0)
        ck_pr_stall();
}

/* The consumer tells every CHUNK records; the median of the chunks is the rate, so that a chunk in which one of the two
 * lost its CPU to a third process does not count. The same for all rings. */
#define MOST_CHUNKS 512u
static double chunks[MOST_CHUNKS];
static size_t chunk_count;
static uint64_t chunk_began;

static void chunk_end(void)
{
    uint64_t now = hz_base_now_ns();
    if (chunk_count < MOST_CHUNKS)
        chunks[chunk_count++] = (double)(now - chunk_began);
    chunk_began = now;
}

/* Runs producer in a child on the second CPU and consumer here on the first; nanoseconds a chunk, 0 if one failed. */
static double race(void (*producer)(void *arg), void *producer_arg, bool (*consumer)(void *arg), void *consumer_arg)
{
    int first, second;
    hz_bench_cpus(&first, &second);
    memset(arena, 0, sizeof(*arena));
    hz_ring_create(arena->ring, RING_BYTES);
    ck_ring_init(&arena->ck, SLOTS);
    hz_bench_pin(first);
    int pid = hz_bench_child(producer, producer_arg, second);
    chunk_count = 0;
    chunk_began = hz_base_now_ns();
    atomic_store_explicit(&arena->ready, 1, memory_order_release);
    bool ok = consumer(consumer_arg);
    ok = hz_bench_wait(pid) && ok;
    if (!ok)
        hz_bench_skip("a record arrived damaged");
    return ok ? hz_bench_median(chunks, chunk_count) : 0;
}

/* ## Ours */

struct shape {
    uint32_t len;
    unsigned batch;
    uint64_t chunk, records;
};

static void ring_producer(void *arg)
{
    const struct shape *shape = arg;
    static _Alignas(64) uint8_t source[8192];
    struct entry entry = {{0}};
    struct hz_ring ring;
    hz_ring_attach(&ring, arena->ring, RING_BYTES, true);
    wait_ready();
    for (uint64_t i = 0; i < shape->records;) {
        for (unsigned k = 0; k < shape->batch && i < shape->records; k++, i++) {
            void *to;
            while (hz_ring_reserve_inline(&ring, 1, shape->len, &to) != HZ_RING_OK)
                ck_pr_stall();
            /* A record of known size is built in place, one of unknown size copied in. */
            if (shape->len == RECORD) {
                entry.words[0] = i;
                memcpy(to, &entry, sizeof(entry));
            } else {
                memcpy(source, &i, sizeof(i));
                memcpy(to, source, shape->len);
            }
            hz_ring_commit_inline(&ring);
        }
        hz_ring_publish_inline(&ring);
    }
}

static bool ring_consumer(void *arg)
{
    const struct shape *shape = arg;
    static _Alignas(64) uint8_t buffer[8192];
    struct hz_ring ring;
    struct hz_record record;
    hz_ring_attach(&ring, arena->ring, RING_BYTES, false);
    uint64_t wanted = 0;
    while (wanted < shape->records) {
        hz_ring_take_begin_inline(&ring);
        unsigned taken = 0;
        while (taken < BATCH && hz_ring_take_inline(&ring, buffer, sizeof(buffer), &record) == HZ_RING_OK) {
            uint64_t number;
            memcpy(&number, buffer, sizeof(number));
            if (number != wanted)
                return false;
            wanted++;
            taken++;
            if (wanted % shape->chunk == 0)
                chunk_end();
        }
        hz_ring_take_end_inline(&ring);
        hz_ring_spin(&ring);
    }
    return true;
}

/* Records a second. */
static double ours(uint32_t len, unsigned batch, uint64_t chunk, uint64_t chunk_total)
{
    struct shape shape = {len, batch, chunk, chunk * chunk_total};
    double ns = race(ring_producer, &shape, ring_consumer, &shape);
    return ns > 0 ? (double)chunk / ns * 1e9 : 0;
}

static double theirs(void (*producer)(void *arg), bool (*consumer)(void *arg), void *arg)
{
    double ns = race(producer, arg, consumer, arg);
    return ns > 0 ? (double)CHUNK / ns * 1e9 : 0;
}

/* ## ck_ring by value: the same bytes copied in and out, one publication a record (it has no other) */

static void ck_producer(void *arg)
{
    (void)arg;
    struct entry entry = {{0}};
    wait_ready();
    for (uint64_t i = 0; i < RECORDS; i++) {
        entry.words[0] = i;
        while (!CK_RING_ENQUEUE_SPSC(entry, &arena->ck, arena->slots, &entry))
            ck_pr_stall();
    }
}

static bool ck_consumer(void *arg)
{
    (void)arg;
    struct entry entry;
    for (uint64_t wanted = 0; wanted < RECORDS; wanted++) {
        while (!CK_RING_DEQUEUE_SPSC(entry, &arena->ck, arena->slots, &entry))
            ck_pr_stall();
        hz_bench_keep(&entry);
        if (entry.words[0] != wanted)
            return false;
        if ((wanted + 1) % CHUNK == 0)
            chunk_end();
    }
    return true;
}

/* ## Rings of fixed slots: Lamport 1977 (looks at the peer's index every time), and with a cached copy of it */

static void slots_producer(void *arg)
{
    bool cached = *(const bool *)arg;
    struct entry entry = {{0}};
    uint64_t head = 0;
    wait_ready();
    for (uint64_t i = 0; i < RECORDS; i++) {
        if (!cached)
            head = atomic_load_explicit(&arena->slot_head, memory_order_acquire);
        while (i - head == SLOTS)
            head = atomic_load_explicit(&arena->slot_head, memory_order_acquire);
        entry.words[0] = i;
        arena->slots[i % SLOTS] = entry;
        atomic_store_explicit(&arena->slot_tail, i + 1, memory_order_release);
    }
}

static bool slots_consumer(void *arg)
{
    bool cached = *(const bool *)arg;
    struct entry entry;
    uint64_t tail = 0;
    for (uint64_t wanted = 0; wanted < RECORDS; wanted++) {
        if (!cached)
            tail = atomic_load_explicit(&arena->slot_tail, memory_order_acquire);
        while (tail == wanted)
            tail = atomic_load_explicit(&arena->slot_tail, memory_order_acquire);
        entry = arena->slots[wanted % SLOTS];
        atomic_store_explicit(&arena->slot_head, wanted + 1, memory_order_release);
        hz_bench_keep(&entry);
        if (entry.words[0] != wanted)
            return false;
        if ((wanted + 1) % CHUNK == 0)
            chunk_end();
    }
    return true;
}

/* ## memcpy of bytes that the peer has just written: nothing a ring does can be faster */

#define COPY_ROUNDS MOST_CHUNKS

static void block_writer(void *arg)
{
    (void)arg;
    static _Alignas(64) uint8_t source[RING_BYTES];
    wait_ready();
    for (uint32_t round = 1; round <= COPY_ROUNDS; round++) {
        memset(source, (int)round, 64);
        memcpy(arena->block, source, RING_BYTES);
        atomic_store_explicit(&arena->slot_tail, round, memory_order_release);
        while (atomic_load_explicit(&arena->slot_head, memory_order_acquire) != round) {
        }
    }
}

static bool block_reader(void *arg)
{
    (void)arg;
    static _Alignas(64) uint8_t copy[RING_BYTES];
    for (uint32_t round = 1; round <= COPY_ROUNDS; round++) {
        while (atomic_load_explicit(&arena->slot_tail, memory_order_acquire) != round) {
        }
        chunk_began = hz_base_now_ns(); /* without the wait for the writer */
        for (size_t at = 0; at < RING_BYTES; at += 4096) {
            memcpy(copy + at, arena->block + at, 4096);
            hz_bench_keep(copy);
        }
        chunk_end();
        atomic_store_explicit(&arena->slot_head, round, memory_order_release);
    }
    return true;
}

/* ## Rows */

static bool run_batch(struct hz_bench_pair *ret_pair)
{
    arena_renew();
    ret_pair->ours = ours(RECORD, BATCH, CHUNK, RECORDS / CHUNK) / 1e6;
    ret_pair->reference = theirs(ck_producer, ck_consumer, NULL) / 1e6;
    return ret_pair->ours > 0 && ret_pair->reference > 0;
}

static bool run_single(struct hz_bench_pair *ret_pair)
{
    arena_renew();
    ret_pair->ours = ours(RECORD, 1, CHUNK, RECORDS / CHUNK) / 1e6;
    ret_pair->reference = theirs(ck_producer, ck_consumer, NULL) / 1e6;
    return ret_pair->ours > 0 && ret_pair->reference > 0;
}

static bool run_slots(struct hz_bench_pair *ret_pair)
{
    static bool plain = false, cached = true;
    arena_renew();
    ret_pair->ours = ours(RECORD, BATCH, CHUNK, RECORDS / CHUNK) / 1e6;
    double lamport = theirs(slots_producer, slots_consumer, &plain) / 1e6;
    double with_cache = theirs(slots_producer, slots_consumer, &cached) / 1e6;
    ret_pair->reference = HZ_MAX(lamport, with_cache);
    return ret_pair->ours > 0 && lamport > 0 && with_cache > 0;
}

static bool run_4096(struct hz_bench_pair *ret_pair)
{
    arena_renew();
    ret_pair->ours = ours(4096, 4, 4096, 100) * 4096 / 1e9;
    double ns = race(block_writer, NULL, block_reader, NULL);
    ret_pair->reference = ns > 0 ? (double)RING_BYTES / ns : 0;
    return ret_pair->ours > 0 && ns > 0;
}

int main(int argc, char **argv)
{
    static const struct hz_bench_row rows[] = {
            {.name = "ring_64_batch",
                    .unit = "M records/s",
                    .higher_is_better = true,
                    .reach = 1.0,
                    .reference = "ck_ring by value, both of 64 KiB",
                    .run = run_batch,
                    .two_cpus = true},
            {.name = "ring_64_single",
                    .unit = "M records/s",
                    .higher_is_better = true,
                    .reach = 0.75,
                    .reference = "ck_ring by value, both of 64 KiB",
                    .run = run_single,
                    .two_cpus = true},
            {.name = "ring_64_slots",
                    .unit = "M records/s",
                    .higher_is_better = true,
                    .reach = 0.8,
                    .reference = "fastest ring of fixed slots (Lamport, cached index) of 64 KiB",
                    .run = run_slots,
                    .two_cpus = true},
            {.name = "ring_4096",
                    .unit = "GB/s",
                    .higher_is_better = true,
                    .reach = 0.6,
                    .reference = "memcpy out of the peer's cache",
                    .run = run_4096,
                    .two_cpus = true},
    };
    return hz_bench_main(argc, argv, rows, HZ_COUNT_OF(rows));
}
