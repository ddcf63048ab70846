/*
 * stress_hostile.c - a writer that overwrites its whole segment while the reader reads: stress_hostile SECONDS
 * --attack 0|1 [--naive].
 *
 * Attack 0: random words everywhere at full speed. Attack 1: plausible records (whole messages and fragments) whose
 * length, type and inner lengths flip while they are read, a tail that jumps, a capacity word that changes. The ring
 * lies between guard pages, so that one byte outside is a fault; with AddressSanitizer the private buffers are watched
 * too.
 *
 * The careful reader is the manager's (hz_stream_in, hostile). In production the first broken rule ends the worker;
 * here the reader begins anew at the writer's tail, to meet many. It must stay alive and take at least a floor of
 * records, so that refusing everything does not pass.
 *
 * --naive is the counter-example: a reader that believes the mapping (capacity and length read again after their check,
 * decoded in place). It must die by a fault, or the attack proves nothing.
 */
#include "stress.h"

#include "shm/ring_inline.h"
#include "shm/stream.h"

#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define CAPACITY         (UINT64_C(64) << 10)
#define FLOOR_PER_SECOND 10000 /* attack 1; a hundredth of what an honest writer would reach under a sanitizer */

struct control {
    _Atomic bool stop;
    _Atomic uint64_t capacity; /* only the naive reader believes it */
};

struct place {
    struct control *control;
    uint8_t *ring;
};

static struct place make_place(void)
{
    size_t page = 4096, ring = sizeof(struct hz_ring_shared) + CAPACITY, body = HZ_ALIGN_UP(ring, page);
    uint8_t *mem = stress_shared(2 * page + body);
    struct place place = {.control = stress_shared(sizeof(struct control))};
    STRESS_CHECK(
            mprotect(mem, page, PROT_NONE) == 0 && mprotect(mem + page + body, page, PROT_NONE) == 0, "guard pages");
    place.ring = mem + page + body - ring; /* the last byte of the ring is the last before the guard */
    STRESS_CHECK(((uintptr_t)place.ring & 63) == 0, "alignment");
    hz_ring_create(place.ring, CAPACITY);
    atomic_store(&place.control->capacity, CAPACITY);
    return place;
}

/* ## The attacks */

static void attack_words(const struct place *place)
{
    uint64_t random = 0x9876543210fedcba, words = (sizeof(struct hz_ring_shared) + CAPACITY) / 8;
    volatile uint64_t *at = (volatile uint64_t *)(void *)place->ring;
    while (!atomic_load_explicit(&place->control->stop, memory_order_relaxed)) {
        atomic_store(&place->control->capacity, stress_next(&random) >> stress_below(&random, 60) | 1);
        for (int i = 0; i < 1000; i++) {
            uint64_t value = stress_next(&random);
            /* Now and then something that could be an index or a header. */
            if ((value & 15) == 0)
                value = (value >> 20) & (2 * CAPACITY - 1) & ~UINT64_C(7);
            at[(value >> 7) % words] = value;
            if ((value & 0xff0) == 0)
                at[0] = at[16] + (value >> 50); /* a tail near the head */
        }
    }
}

/* A message in pieces that the attacker is in the middle of. */
struct pieces {
    uint64_t total, sent;
    uint32_t sequence;
};

/* The next piece of a LINE that is larger than a record. Mostly as it should be; its end may be missing. */
static uint32_t plausible_piece(uint8_t *to, uint32_t len, uint64_t *random, struct pieces *pieces)
{
    struct hz_msg_fragment head = {.total = pieces->total, .type = HZ_MSG_LINE, .sequence = pieces->sequence++};
    memcpy(to, &head, sizeof(head));
    if (pieces->sent == 0) {
        struct hz_msg_line body = {.text_len = (uint32_t)(pieces->total - sizeof(body))};
        memcpy(to + sizeof(head), &body, sizeof(body));
    }
    pieces->sent += len - sizeof(head);
    if (pieces->sent >= pieces->total || stress_below(random, 500) == 0)
        *pieces = (struct pieces){.total = 0};
    return HZ_MSG_FRAGMENT;
}

/* A plausible record of *len bytes at `to`: bodies that decode, unless something flips later. */
static uint32_t plausible(uint8_t *to, uint32_t *len, uint64_t *random, struct pieces *pieces)
{
    if (pieces->total == 0 && stress_below(random, 200) == 0)
        *pieces = (struct pieces){.total = CAPACITY / 8 + 1 + stress_below(random, CAPACITY / 4)};
    if (pieces->total != 0 && *len > 100) {
        *len = (uint32_t)HZ_MIN((uint64_t)*len, sizeof(struct hz_msg_fragment) + pieces->total - pieces->sent);
        return plausible_piece(to, *len, random, pieces);
    }
    if (pieces->total != 0)
        *len = 0; /* nothing but its pieces now */
    memset(to, 0, HZ_MIN(*len, 128u));
    struct hz_msg_finished finished = {.state = HZ_EXEC_SUCCESS};
    struct hz_msg_line line = {.text_len = *len - (uint32_t)sizeof(line)};
    if (*len >= sizeof(finished) && stress_below(random, 4) == 0) {
        uint32_t left = *len - (uint32_t)sizeof(finished);
        finished.error_len = left / 3, finished.code_len = left / 3, finished.result_len = left - 2 * (left / 3);
        memcpy(to, &finished, sizeof(finished));
        return HZ_MSG_FINISHED;
    }
    if (*len < sizeof(line))
        return HZ_MSG_READY;
    memcpy(to, &line, sizeof(line));
    return HZ_MSG_LINE;
}

static void attack_records(const struct place *place)
{
    struct hz_ring_shared *shared = (struct hz_ring_shared *)(void *)place->ring;
    uint8_t *bytes = place->ring + sizeof(*shared);
    uint64_t random = 0x123456789abcdef1, tail = 0, starts[64] = {0}, known = 0;
    struct pieces pieces = {.total = 0};
    while (!atomic_load_explicit(&place->control->stop, memory_order_relaxed)) {
        /* Some honest-looking records ... */
        uint64_t batch = 1 + stress_below(&random, 16), sent = 0;
        bool full = false;
        for (uint64_t i = 0; i < batch; i++) {
            uint32_t len = stress_below(&random, 16) == 0 ? 8 : 40 + (uint32_t)stress_below(&random, 200);
            uint64_t need = hz_ring_span_(len), at = tail % CAPACITY, left = CAPACITY - at;
            uint64_t head = atomic_load_explicit(&shared->head, memory_order_acquire);
            if (tail - head + (need > left ? left : 0) + need > CAPACITY) {
                full = tail - head <= CAPACITY;
                if (full) /* room will come */
                    break;
                tail = head & ~UINT64_C(7); /* the reader began anew */
                at = tail % CAPACITY, left = CAPACITY - at;
            }
            if (need > left) {
                *(volatile uint64_t *)(void *)(bytes + at) = (uint64_t)HZ_RING_WRAP << 32 | (left - 8);
                tail += left;
                at = 0;
            }
            uint32_t type = plausible(bytes + at + 8, &len, &random, &pieces);
            if (len == 0)
                continue;
            *(volatile uint64_t *)(void *)(bytes + at) = (uint64_t)type << 32 | len;
            starts[known++ % 64] = at;
            tail += hz_ring_span_(len);
            sent++;
        }
        atomic_store_explicit(&shared->tail, tail, memory_order_release);
        if (sent == 0 &&
                full) { /* on one CPU with the reader all of a time slice would go into spoiling the same few records */
            sched_yield();
            continue;
        }
        /* ... which change while they are read: length, type, a length in the body, and back again ... */
        for (uint64_t flips = stress_below(&random, 64); flips > 0; flips--) {
            uint64_t at = starts[stress_below(&random, 64)] +
                          (stress_below(&random, 4) == 0 ? 8 * stress_below(&random, 12) : 0);
            volatile uint64_t *word = (volatile uint64_t *)(void *)(bytes + at % CAPACITY);
            uint64_t old = *word;
            if (stress_below(&random, 256) == 0) {
                static const uint64_t worse[] = {0, UINT32_MAX, UINT64_MAX, CAPACITY, CAPACITY / 8 + 1, 1,
                        (uint64_t)HZ_RING_WRAP << 32 | 64, (uint64_t)HZ_MSG_FRAGMENT << 32 | 24,
                        UINT64_C(41) << 32 | 0x3fffffff};
                *word = worse[stress_below(&random, HZ_COUNT_OF(worse))];
                *word = old;
            }
        }
        /* ... and indices that cannot be. */
        if (stress_below(&random, 4000) == 0) {
            atomic_store(&shared->tail, stress_below(&random, 2) == 0 ? stress_next(&random) : tail + 2 * CAPACITY);
            atomic_store(&place->control->capacity, stress_below(&random, 2) == 0 ? CAPACITY * 64 : CAPACITY - 1);
            atomic_store(&shared->head, stress_next(&random));
            atomic_store(&place->control->capacity, CAPACITY);
            atomic_store(&shared->tail, tail);
        }
    }
}

/* ## The readers */

struct tally {
    uint64_t visits, messages, joined, poisoned, bytes;
    struct {
        const char *reason;
        uint64_t count;
    } reasons[16];
};

static void count_reason(struct tally *tally, const char *reason)
{
    for (size_t i = 0; i < HZ_COUNT_OF(tally->reasons); i++)
        if (tally->reasons[i].reason == NULL || tally->reasons[i].reason == reason) {
            tally->reasons[i].reason = reason;
            tally->reasons[i].count++;
            return;
        }
}

/* Begins anew where the writer is: what production never does. */
static void begin_anew(struct hz_stream_in *in, struct hz_ring *ring, uint8_t *mem)
{
    hz_stream_in_fini(in);
    hz_ring_attach(ring, mem, CAPACITY, false);
    uint64_t tail = atomic_load_explicit(&ring->shared->tail, memory_order_acquire) & ~UINT64_C(7);
    ring->index = ring->published = ring->peer = tail;
    atomic_store_explicit(&ring->shared->head, tail, memory_order_release);
    STRESS_CHECK(hz_stream_in_init(in, ring, 'R', true) == 0, "init");
}

static void read_carefully(const struct place *place, uint64_t deadline, struct tally *tally)
{
    struct hz_ring ring;
    struct hz_stream_in in = {.ring = NULL};
    unsigned sum = 0;
    begin_anew(&in, &ring, place->ring);
    while ((tally->visits & 255) != 0 || hz_base_now_ns() < deadline) {
        struct hz_msg msg;
        enum hz_ring_result result;
        unsigned records = 0;
        tally->visits++;
        hz_stream_in_begin(&in, 64, 256 << 10);
        while ((result = hz_stream_in_next(&in, &msg)) == HZ_RING_OK) {
            STRESS_CHECK(++records <= 64, "more records than a visit may take");
            tally->messages++;
            tally->joined += in.delivered;
            for (size_t i = 0; i < HZ_MSG_STRINGS; i++) { /* the touch that a sanitizer or a guard page sees */
                tally->bytes += msg.str[i].len;
                if (msg.str[i].len > 0)
                    sum += (uint8_t)msg.str[i].data[0] + (uint8_t)msg.str[i].data[msg.str[i].len - 1];
            }
            sum += *(const uint8_t *)msg.body;
        }
        hz_stream_in_end(&in);
        (void)hz_ring_fill(&ring);
        if (result == HZ_RING_POISON || result == HZ_RING_CLOSED) {
            tally->poisoned++;
            if (result == HZ_RING_POISON)
                count_reason(tally, in.poison_reason);
            begin_anew(&in, &ring, place->ring);
        }
        if (records == 0 && (tally->visits & 63) == 0)
            sched_yield();
    }
    hz_stream_in_fini(&in);
    __asm__ __volatile__("" : : "r"(sum));
}

/* What a reader must not do; the volatile loads are what a compiler may make of plain ones. */
static void read_naively(const struct place *place, uint64_t deadline)
{
    struct hz_ring_shared *shared = (struct hz_ring_shared *)(void *)place->ring;
    uint8_t *bytes = place->ring + sizeof(*shared);
    static uint8_t copy[CAPACITY / 8];
    while (hz_base_now_ns() < deadline) {
        for (int i = 0; i < 1000; i++) {
            uint64_t head = atomic_load(&shared->head), tail = atomic_load(&shared->tail);
            if (head == tail)
                break;
            uint64_t capacity = atomic_load(&place->control->capacity), at = head % capacity;
            volatile uint32_t *len = (volatile uint32_t *)(void *)(bytes + (at & ~UINT64_C(7)));
            if (*len <= sizeof(copy))
                memcpy(copy, bytes + at + 8, *len);
            atomic_store(&shared->head, head + hz_ring_span_(*len));
        }
        if (atomic_load(&shared->head) > atomic_load(&shared->tail))
            atomic_store(&shared->head, atomic_load(&shared->tail));
    }
}

static pid_t start(void (*fn)(const struct place *), const struct place *place)
{
    pid_t parent = getpid(), pid = fork();
    STRESS_CHECK(pid >= 0, "fork");
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(1);
        fn(place);
        _exit(0);
    }
    return pid;
}

/* In a child, because it is to die. True if it did. */
static bool naive_dies(const struct place *place, uint64_t deadline)
{
    pid_t pid = fork();
    STRESS_CHECK(pid >= 0, "fork");
    if (pid == 0) {
        struct rlimit none = {0, 0};
        setrlimit(RLIMIT_CORE, &none);
        if (freopen("/dev/null", "w", stderr) == NULL) /* a sanitizer's report of the death that we want */
            _exit(0);
        read_naively(place, deadline);
        _exit(0);
    }
    int status;
    STRESS_CHECK(waitpid(pid, &status, 0) == pid, "wait");
    printf("the naive reader ended with status %d\n", status);
    return WIFSIGNALED(status) || WEXITSTATUS(status) != 0;
}

int main(int argc, char **argv)
{
    bool naive = stress_flag(argc, argv, "--naive"), records = stress_flag(argc, argv, "1");
    double seconds = stress_seconds(argc, argv);
    if (argc > 1 && strcmp(argv[1], "1") == 0) /* "1" was the seconds */
        records = argc > 3 && strcmp(argv[3], "1") == 0;
    struct place place = make_place();
    pid_t pid = start(records ? attack_records : attack_words, &place);
    uint64_t deadline = stress_deadline(seconds);
    struct tally tally = {0};
    bool died = false;
    if (naive)
        died = naive_dies(&place, deadline);
    else
        read_carefully(&place, deadline, &tally);
    atomic_store(&place.control->stop, true);
    int status;
    STRESS_CHECK(waitpid(pid, &status, 0) == pid && status == 0, "the attacker ended with status %d", status);
    if (naive) {
        STRESS_CHECK(died, "the naive reader lived: this attack proves nothing");
        return 0;
    }
    printf("attack %d, %.0f s: %llu visits, %llu messages (%llu of pieces), %llu MiB, %llu times poisoned\n", records,
            seconds, (unsigned long long)tally.visits, (unsigned long long)tally.messages,
            (unsigned long long)tally.joined, (unsigned long long)(tally.bytes >> 20),
            (unsigned long long)tally.poisoned);
    for (size_t i = 0; i < HZ_COUNT_OF(tally.reasons) && tally.reasons[i].reason != NULL; i++)
        printf("%12llu  %s\n", (unsigned long long)tally.reasons[i].count, tally.reasons[i].reason);
    STRESS_CHECK(tally.visits > 1000, "too few visits");
    STRESS_CHECK(tally.poisoned > 10, "the attack was hardly noticed");
    if (records) {
        STRESS_CHECK((double)tally.messages > FLOOR_PER_SECOND * seconds, "refusing nearly everything is no defence");
        STRESS_CHECK(tally.joined > 100, "hardly a message of pieces arrived");
    }
    return 0;
}
