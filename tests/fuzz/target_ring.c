/*
 * target_ring.c - the manager's two ends of a worker's rings against a worker that writes every byte and both indices as it likes: the
 * reader that trusts nobody (results), and the writer whose reader lies about its head (commands).
 *
 * An input is a capacity and a list of moves: honest records, raw bytes, headers, fragments, indices, visits. The rings lie in blocks of
 * exactly their size. Checked on top of the sanitizers: bounds of a visit, poison is for good, what is joined never takes more memory
 * than has arrived, and an index is never told beyond what was read.
 */
#include "fuzz.h"

#include "shm/ring_inline.h"
#include "shm/stream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOVES_MOST 400u
#define BACKLOG    4096u

struct world {
    uint64_t capacity;
    struct hz_ring_shared *results, *commands; /* shared memory */
    uint8_t *result_bytes;
    struct hz_ring reader, writer;             /* ours */
    struct hz_stream_in in;
    struct hz_stream_out out;
    struct hz_doorbell_cell cell;
    uint64_t arrived;                          /* bytes the worker has moved the tail by */
    uint32_t sequence;
    bool dead, deaf;
};

static struct hz_ring_shared *new_ring(uint64_t capacity)
{
    void *mem = aligned_alloc(HZ_CACHE_LINE, hz_ring_bytes(capacity));
    HZ_ASSERT(mem != NULL);
    memset(mem, 0, hz_ring_bytes(capacity));
    hz_ring_create(mem, capacity);
    return mem;
}

static uint64_t tail_of(const struct world *world)
{
    return atomic_load_explicit(&world->results->tail, memory_order_relaxed);
}

static void set_tail(struct world *world, uint64_t tail)
{
    atomic_store_explicit(&world->results->tail, tail, memory_order_release);
}

/* What a worker puts behind its tail: a header and bytes, cut off at the end of the memory as a store would be by nothing but luck. */
static void put_raw(struct world *world, uint64_t index, const void *data, size_t len)
{
    const uint8_t *from = data;
    for (size_t i = 0; i < len; i++)
        world->result_bytes[(index + i) & (world->capacity - 1)] = from[i];
}

static void put_record(struct world *world, uint32_t type, uint32_t len, const void *body, size_t body_len, const void *more, size_t more_len)
{
    uint64_t word = (uint64_t)type << 32 | len, tail = tail_of(world), left = world->capacity - (tail & (world->capacity - 1));
    uint64_t need = HZ_RING_HEADER + HZ_ALIGN_UP((uint64_t)len, (uint64_t)8);
    if (need > left && need <= world->capacity) { /* as an honest writer does */
        uint64_t wrap = (uint64_t)HZ_RING_WRAP << 32 | (left - HZ_RING_HEADER);
        put_raw(world, tail, &wrap, sizeof wrap);
        tail += left;
        world->arrived += left;
    }
    put_raw(world, tail, &word, sizeof word);
    put_raw(world, tail + 8, body, body_len);
    put_raw(world, tail + 8 + body_len, more, more_len);
    world->arrived += need;
    set_tail(world, tail + need);
}

static uint32_t type_of(uint64_t draw)
{
    static const uint8_t types[] = {HZ_MSG_WARM, HZ_MSG_READY, HZ_MSG_ASK, HZ_MSG_FATAL, HZ_MSG_STARTED, HZ_MSG_FINISHED, HZ_MSG_LINE,
            HZ_MSG_CHECKPOINT, HZ_MSG_LISTEN, HZ_MSG_HTTP_ANSWER, HZ_MSG_LOG, HZ_MSG_PLAN, HZ_MSG_FRAGMENT};
    return types[draw % HZ_COUNT_OF(types)];
}

static void visit(struct world *world, struct fuzz_bytes *from)
{
    unsigned most = (unsigned)fuzz_take(from, 1) % 65, seen = 0;
    size_t bytes = (size_t)fuzz_take(from, 2), taken = 0;
    struct hz_msg msg;
    enum hz_ring_result result;
    hz_stream_in_begin(&world->in, most, bytes);
    while ((result = hz_stream_in_next(&world->in, &msg)) == HZ_RING_OK) {
        FUZZ_CHECK(!world->dead);
        size_t len = hz_msg_body_bytes(msg.type);
        FUZZ_CHECK(len > 0 && hz_msg_direction(msg.type) == 'R');
        fuzz_touch(msg.body, len);
        for (int i = 0; i < HZ_MSG_STRINGS; i++) {
            fuzz_touch(msg.str[i].data, msg.str[i].len);
            len += msg.str[i].len;
        }
        FUZZ_CHECK(most == 0 || ++seen <= most);
        /* A visit goes over its bound by one record at most. */
        FUZZ_CHECK(bytes == 0 || taken < bytes || world->in.delivered);
        taken += world->in.delivered ? 0 : len;
        FUZZ_CHECK(len <= world->arrived);
    }
    hz_stream_in_end(&world->in);
    FUZZ_CHECK(result == HZ_RING_EMPTY || result == HZ_RING_CLOSED || result == HZ_RING_POISON);
    FUZZ_CHECK(!world->dead || result != HZ_RING_OK);
    FUZZ_CHECK(world->in.joined_cap <= 2 * world->arrived && world->in.copy_cap <= HZ_MAX(2 * world->capacity / 8, 1024u));
    if (world->reader.poisoned)
        world->dead = true;
    FUZZ_CHECK(!world->dead || world->reader.poisoned);
    FUZZ_CHECK(world->reader.peer - world->reader.index <= world->capacity);
    FUZZ_CHECK(world->reader.index - world->reader.published <= world->capacity);
}

static void send(struct world *world, struct fuzz_bytes *from)
{
    static const uint8_t zeros[16384];
    struct hz_msg_plan plan = {.plan_len = fuzz_take(from, 2) % sizeof zeros};
    struct hz_part parts[] = {{&plan, sizeof plan}, {zeros, (size_t)plan.plan_len}};
    int err = hz_stream_send(&world->out, HZ_MSG_PLAN, parts, HZ_COUNT_OF(parts), fuzz_take(from, 1) % 2 == 0);
    FUZZ_CHECK(err <= 0);
    FUZZ_CHECK(!world->deaf || err != 0);
    world->deaf |= world->writer.poisoned;
    FUZZ_CHECK(world->out.backlog_bytes <= BACKLOG + 2 * sizeof zeros);
    /* What was written and not read fits: otherwise records that the reader has not seen were written over. */
    FUZZ_CHECK(world->writer.index - world->writer.peer <= world->capacity);
}

static void move_results(struct world *world, unsigned kind, struct fuzz_bytes *from)
{
    size_t len;
    switch (kind) {
    case 0: { /* a record of the right form */
        uint32_t type = type_of(fuzz_take(from, 1)), size = (uint32_t)fuzz_take(from, 2) % (uint32_t)(world->capacity / 4);
        const uint8_t *body = fuzz_take_bytes(from, HZ_MIN((size_t)size, (size_t)64), &len);
        put_record(world, type, size, body, len, NULL, 0);
        break;
    }
    case 1: { /* a header of any form */
        uint32_t type = (uint32_t)fuzz_take(from, 4), size = (uint32_t)fuzz_take(from, 4);
        uint64_t tail = tail_of(world), word = (uint64_t)type << 32 | size;
        put_raw(world, tail, &word, sizeof word);
        uint64_t step = fuzz_take(from, 2) * 8 % (world->capacity + 16);
        world->arrived += step;
        set_tail(world, tail + step);
        break;
    }
    case 2: { /* bytes anywhere */
        uint64_t at = fuzz_take(from, 2);
        const uint8_t *body = fuzz_take_bytes(from, 1 + (size_t)fuzz_take(from, 1) % 64, &len);
        put_raw(world, at, body, len);
        break;
    }
    case 3: /* the tail, near or anywhere */
        set_tail(world, tail_of(world) + (uint64_t)(int64_t)(int8_t)fuzz_take(from, 1) * 8);
        world->arrived += world->capacity;
        break;
    case 4:
        set_tail(world, fuzz_take(from, 8));
        world->arrived += world->capacity;
        break;
    case 5: { /* a fragment; it goes on with the one before unless told otherwise */
        uint64_t how = fuzz_take(from, 1), near_record = world->capacity / 8 + 1 + fuzz_take(from, 1);
        uint64_t total = (how & 0x80) ? fuzz_take(from, 8) : near_record;
        uint32_t size = (uint32_t)(fuzz_take(from, 2) % (world->capacity / 8));
        struct hz_msg_fragment head = {.total = total, .type = type_of(how >> 2 & 31), .sequence = world->sequence};
        if (world->in.joined_total != 0 && (how & 1) == 0)
            head = (struct hz_msg_fragment){world->in.joined_total, world->in.joined_type, world->sequence};
        if ((how & 2) != 0)
            head.sequence = world->sequence = 0;
        world->sequence++;
        const uint8_t *body = fuzz_take_bytes(from, HZ_MIN((size_t)size, (size_t)64), &len);
        put_record(world, HZ_MSG_FRAGMENT, (uint32_t)sizeof head + size, &head, sizeof head, body, len);
        break;
    }
    default:
        atomic_store_explicit(&world->results->producer_closed, (uint32_t)fuzz_take(from, 1), memory_order_release);
    }
}

static void move_commands(struct world *world, unsigned kind, struct fuzz_bytes *from)
{
    uint64_t head = atomic_load_explicit(&world->commands->head, memory_order_relaxed);
    switch (kind) {
    case 0:
        send(world, from);
        break;
    case 1: /* reads on */
        atomic_store_explicit(&world->commands->head, head + fuzz_take(from, 1) * 8, memory_order_release);
        break;
    case 2:
        atomic_store_explicit(&world->commands->head, fuzz_take(from, 8), memory_order_release);
        break;
    case 3: /* has read all */
        atomic_store_explicit(&world->commands->head, world->writer.published, memory_order_release);
        break;
    default:
        atomic_store_explicit(&world->commands->consumer_closed, (uint32_t)fuzz_take(from, 1), memory_order_release);
    }
    (void)hz_stream_flush(&world->out);
    world->deaf |= world->writer.poisoned;
    FUZZ_CHECK(world->writer.index - world->writer.peer <= world->capacity);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_bytes from = {data, size};
    struct world world = {.capacity = UINT64_C(1024) << (fuzz_take(&from, 1) & 3)};
    world.results = new_ring(world.capacity);
    world.commands = new_ring(world.capacity);
    world.result_bytes = (uint8_t *)(world.results + 1);
    hz_ring_attach(&world.reader, world.results, world.capacity, false);
    hz_ring_attach(&world.writer, world.commands, world.capacity, true);
    HZ_ASSERT(hz_stream_in_init(&world.in, &world.reader, 'R', true) == 0);
    hz_stream_out_init(&world.out, &world.writer, &world.cell, -1, BACKLOG);
    for (unsigned moves = 0; from.left > 0 && moves < MOVES_MOST; moves++) {
        unsigned move = (unsigned)fuzz_take(&from, 1);
        if (move % 16 < 7)
            move_results(&world, move % 16, &from);
        else if (move % 16 < 12)
            move_commands(&world, move % 16 - 7, &from);
        else
            visit(&world, &from);
        (void)hz_ring_fill(&world.reader);
        (void)hz_ring_has_data(&world.reader);
        world.dead |= world.reader.poisoned;
    }
    hz_stream_in_fini(&world.in);
    hz_stream_out_fini(&world.out);
    free(world.results);
    free(world.commands);
    return 0;
}
