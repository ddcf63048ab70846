/*
 * stress_ring.c - checksummed records of random lengths through one ring: stress_ring SECONDS [--threads] [--stream].
 *
 * Two processes, or with --threads two threads on one mapping (ThreadSanitizer sees only one process). Each round takes
 * another ring size; the consumer changes between reading copies and reading in place; the producer batches, aborts and
 * publishes at random. With --stream whole messages of up to 16 rings pass through fragments and backlog. Every byte is
 * checked, so are order, number and the room behind the ring.
 */
#include "stress.h"

#include "shm/err.h"
#include "shm/stream.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define LARGEST (UINT64_C(64) << 10)
#define CANARY  0x5au

struct arena {
    _Atomic bool stop;            /* consumer: no more rounds */
    struct hz_doorbell_cell cell; /* nobody sleeps on it */
    _Alignas(128) uint8_t ring[sizeof(struct hz_ring_shared) + LARGEST + 64];
};

struct round {
    struct arena *arena;
    uint64_t capacity, seed, records;
    bool stream;
};

static void give_way(unsigned *turns)
{
    if (++*turns % 64 == 0)
        sched_yield();
}

/* Bytes of record `number`: first 8 its number, then a pattern that depends on number, length and place. */
static void fill(uint8_t *to, size_t len, uint64_t number)
{
    uint64_t state = number * UINT64_C(0x9e3779b97f4a7c15) + len + 1;
    for (size_t i = 0; i < len; i++) {
        if (i % 8 == 0)
            stress_next(&state);
        to[i] = (uint8_t)(state >> (i % 8 * 8));
    }
}

static void check(const uint8_t *bytes, size_t len, uint64_t number)
{
    uint64_t state = number * UINT64_C(0x9e3779b97f4a7c15) + len + 1;
    for (size_t i = 0; i < len; i++) {
        if (i % 8 == 0)
            stress_next(&state);
        STRESS_CHECK(bytes[i] == (uint8_t)(state >> (i % 8 * 8)), "record %llu of %zu bytes differs at %zu",
                (unsigned long long)number, len, i);
    }
}

/* Both ends draw the same lengths from the same seed. */
static uint32_t record_length(uint64_t *state, uint64_t most)
{
    uint64_t kind = stress_below(state, 8);
    return (uint32_t)(kind == 0   ? most
                      : kind == 1 ? 1
                      : kind < 6  ? 1 + stress_below(state, HZ_MIN(most, UINT64_C(100)))
                                  : 1 + stress_below(state, most));
}

static void produce_records(const struct round *round)
{
    struct hz_ring ring;
    uint64_t lengths = round->seed, moods = round->seed ^ 0x1234567;
    unsigned turns = 0;
    hz_ring_attach(&ring, round->arena->ring, round->capacity, true);
    for (uint64_t i = 0; i < round->records; i++) {
        uint32_t len = record_length(&lengths, ring.max_record);
        void *to;
        for (;;) {
            enum hz_ring_result result = hz_ring_reserve(&ring, (uint32_t)(i & 0xffff) + 1, len, &to);
            if (result == HZ_RING_FULL) {
                give_way(&turns);
                continue;
            }
            STRESS_CHECK(result == HZ_RING_OK, "reserve says %d", result);
            if (stress_below(&moods, 16) != 0)
                break;
            memset(to, 0xee, len); /* half written, then given up */
            hz_ring_abort(&ring);
        }
        fill(to, len, i);
        hz_ring_commit(&ring);
        if (stress_below(&moods, 8) == 0)
            hz_ring_publish(&ring);
    }
    hz_ring_close(&ring);
}

static void consume_records(const struct round *round)
{
    static uint8_t buffer[LARGEST / 8];
    struct hz_ring ring;
    uint64_t lengths = round->seed, moods = round->seed ^ 0x7654321, number = 0;
    unsigned turns = 0;
    hz_ring_attach(&ring, round->arena->ring, round->capacity, false);
    for (;;) {
        struct hz_record record;
        enum hz_ring_result result = HZ_RING_OK;
        uint64_t most = 1 + stress_below(&moods, 64), taken = 0;
        bool in_place = stress_below(&moods, 2) == 0;
        if (!in_place)
            hz_ring_take_begin(&ring);
        for (; taken < most; taken++) {
            result = in_place ? hz_ring_peek(&ring, &record) : hz_ring_take(&ring, buffer, sizeof(buffer), &record);
            if (result != HZ_RING_OK)
                break;
            STRESS_CHECK(record.len == record_length(&lengths, ring.max_record), "record %llu has length %u",
                    (unsigned long long)number, record.len);
            STRESS_CHECK(record.type == (uint32_t)(number & 0xffff) + 1, "record %llu has type %u",
                    (unsigned long long)number, record.type);
            check(record.data, record.len, number);
            number++;
            if (in_place)
                hz_ring_release(&ring);
        }
        if (in_place)
            hz_ring_release_publish(&ring);
        else
            hz_ring_take_end(&ring);
        if (result == HZ_RING_CLOSED)
            break;
        STRESS_CHECK(result == HZ_RING_OK || result == HZ_RING_EMPTY, "the reader got %d", result);
        if (taken == 0)
            give_way(&turns);
        else if (stress_below(&moods, 4) == 0)
            hz_ring_spin(&ring);
    }
    STRESS_CHECK(number == round->records, "%llu of %llu records came", (unsigned long long)number,
            (unsigned long long)round->records);
}

/* ## Whole messages */

static size_t message_length(uint64_t *state, uint64_t capacity)
{
    uint64_t kind = stress_below(state, 8);
    return (size_t)(kind < 5 ? stress_below(state, capacity / 8)
                             : stress_below(state, kind < 7 ? capacity : 16 * capacity));
}

static void produce_messages(const struct round *round)
{
    static uint8_t text[16 * LARGEST];
    struct hz_ring ring;
    struct hz_stream_out out;
    uint64_t lengths = round->seed, moods = round->seed ^ 0x1234567;
    unsigned turns = 0;
    hz_ring_attach(&ring, round->arena->ring, round->capacity, true);
    hz_stream_out_init(&out, &ring, &round->arena->cell, -1, stress_below(&moods, 3) * round->capacity);
    for (uint64_t i = 0; i < round->records; i++) {
        size_t len = message_length(&lengths, round->capacity), cut = (size_t)stress_below(&moods, len + 1);
        fill(text, len, i);
        struct hz_msg_line body = {.execution = i, .text_len = (uint32_t)len};
        struct hz_part parts[] = {{&body, sizeof(body)}, {text, cut}, {text + cut, len - cut}};
        int result;
        while ((result = hz_stream_send(&out, HZ_MSG_LINE, parts, HZ_COUNT_OF(parts), stress_below(&moods, 4) == 0)) !=
                0) {
            STRESS_CHECK(result == HZ_EBUSY, "send says %d", result);
            give_way(&turns);
        }
    }
    while (!hz_stream_flush(&out))
        give_way(&turns);
    hz_stream_out_fini(&out);
    hz_ring_close(&ring);
}

static void consume_messages(const struct round *round)
{
    struct hz_ring ring;
    struct hz_stream_in in;
    uint64_t lengths = round->seed, moods = round->seed ^ 0x7654321, number = 0;
    unsigned turns = 0;
    hz_ring_attach(&ring, round->arena->ring, round->capacity, false);
    STRESS_CHECK(hz_stream_in_init(&in, &ring, 'R', stress_below(&moods, 2) == 0) == 0, "init");
    for (;;) {
        struct hz_msg msg;
        enum hz_ring_result result;
        uint64_t before = number;
        hz_stream_in_begin(&in, (unsigned)stress_below(&moods, 64), (size_t)stress_below(&moods, 8192));
        while ((result = hz_stream_in_next(&in, &msg)) == HZ_RING_OK) {
            const struct hz_msg_line *line = msg.body;
            STRESS_CHECK(line->execution == number, "message %llu instead of %llu", (unsigned long long)line->execution,
                    (unsigned long long)number);
            STRESS_CHECK(msg.str[0].len == message_length(&lengths, round->capacity), "message %llu has %zu bytes",
                    (unsigned long long)number, msg.str[0].len);
            check((const uint8_t *)msg.str[0].data, msg.str[0].len, number);
            number++;
        }
        hz_stream_in_end(&in);
        if (result == HZ_RING_CLOSED)
            break;
        STRESS_CHECK(result == HZ_RING_EMPTY, "the reader got %d: %s", result, in.poison_reason);
        if (number == before)
            give_way(&turns);
    }
    STRESS_CHECK(number == round->records, "%llu of %llu messages came", (unsigned long long)number,
            (unsigned long long)round->records);
    hz_stream_in_fini(&in);
}

static void *producer(void *arg)
{
    const struct round *round = arg;
    round->stream ? produce_messages(round) : produce_records(round);
    return NULL;
}

static void run_round(struct round *round, bool threads)
{
    pthread_t thread;
    pid_t pid = 0, parent = getpid();
    memset(round->arena->ring, 0, sizeof(round->arena->ring));
    memset(round->arena->ring + sizeof(struct hz_ring_shared) + round->capacity, CANARY, 64);
    hz_ring_create(round->arena->ring, round->capacity);
    if (threads) {
        STRESS_CHECK(pthread_create(&thread, NULL, producer, round) == 0, "thread");
    } else {
        fflush(NULL);
        pid = fork();
        STRESS_CHECK(pid >= 0, "fork");
        if (pid == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            if (getppid() != parent)
                _exit(1);
            producer(round);
            exit(0); /* so that the leak checker looks at the child too */
        }
    }
    round->stream ? consume_messages(round) : consume_records(round);
    if (threads) {
        pthread_join(thread, NULL);
    } else {
        int status;
        STRESS_CHECK(waitpid(pid, &status, 0) == pid && status == 0, "the producer ended with status %d", status);
    }
    for (size_t i = 0; i < 64; i++)
        STRESS_CHECK(round->arena->ring[sizeof(struct hz_ring_shared) + round->capacity + i] == CANARY,
                "written behind the ring");
}

int main(int argc, char **argv)
{
    bool threads = stress_flag(argc, argv, "--threads"), stream = stress_flag(argc, argv, "--stream");
    uint64_t deadline = stress_deadline(stress_seconds(argc, argv)), seed, total = 0, rounds = 0;
    hz_base_random(&seed, sizeof(seed));
    seed |= 1;
    printf("seed %llu\n", (unsigned long long)seed);
    struct arena *arena = stress_shared(sizeof(*arena));
    while (hz_base_now_ns() < deadline) {
        struct round round = {.arena = arena, .capacity = UINT64_C(1024) << stress_below(&seed, 7), .stream = stream};
        round.seed = stress_next(&seed);
        round.records = 1 + stress_below(&seed, stream ? 300 : 100000);
        if (hz_base_now_ns() + UINT64_C(1000000000) > deadline)
            round.records = HZ_MIN(round.records, UINT64_C(2000));
        run_round(&round, threads);
        total += round.records;
        rounds++;
    }
    printf("%llu %s in %llu rings, all whole and in order\n", (unsigned long long)total,
            stream ? "messages" : "records", (unsigned long long)rounds);
    STRESS_CHECK(total > (stream ? 100u : 1000u), "too few to mean anything");
    return 0;
}
