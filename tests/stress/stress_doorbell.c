/*
 * stress_doorbell.c - the hunt for lost wake-ups: stress_doorbell SECONDS [--naive | --litmus].
 *
 * Two processes play one record to and fro, both ends sleeping as often as they can, with pauses of random length
 * wherever one of them could slip between two steps of the other: between look and announcement, announcement and
 * second look, publication and ring. A sleep that times out although the ring has something is a lost wake-up.
 *
 * --naive is the counter-example: there the waker clears the flag "asleep". It must lose wake-ups, or this hunt finds
 * none.
 *
 * --litmus lets both ends make their decisive steps at the same moment, round after round: one announces and looks, the
 * other publishes and rings. Neither seeing the other is the lost wake-up, and what a missing fence in doorbell.c
 * gives.
 */
#include "stress.h"

#include "shm/doorbell.h"
#include "shm/ring.h"

#include <ck_pr.h>
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define CAPACITY 1024u
#define LOST_MS  400 /* nobody pauses that long */

struct arena {
    _Atomic bool stop;
    _Atomic uint64_t lost;
    _Alignas(128) _Atomic uint64_t arrived[2][16]; /* litmus: rounds begun by each end, a line each */
    _Atomic uint64_t seen;                         /* litmus: the last round in which the sleeper saw the record */
    struct hz_doorbell_cell cells[2];
    _Alignas(128) uint8_t rings[2][sizeof(struct hz_ring_shared) + CAPACITY];
};

struct end {
    struct arena *arena;
    struct hz_ring out, in;
    struct hz_doorbell bell;
    struct hz_ringer ringer;
    int own_fd, peer_fd;
    _Atomic uint32_t *own_flag, *peer_flag; /* of the naive protocol */
    uint64_t random, sleeps;
    bool naive;
};

/* Mostly nothing, sometimes some hundred nanoseconds, rarely the CPU to somebody else. */
static void pause_somewhere(struct end *end)
{
    uint64_t kind = stress_below(&end->random, 32);
    if (kind == 0)
        sched_yield();
    else if (kind < 16)
        for (uint64_t i = stress_below(&end->random, 100); i > 0; i--)
            ck_pr_stall();
}

static void ring_bell(struct end *end)
{
    if (!end->naive) {
        hz_ringer_ring(&end->ringer);
        return;
    }
    if (atomic_load(end->peer_flag) == 1) {
        uint64_t one = 1;
        if (write(end->peer_fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
            exit(1);
        pause_somewhere(end);
        atomic_store(end->peer_flag, 0); /* by now it may be the flag of the next sleep */
    }
}

static void publish(struct end *end, uint64_t number)
{
    void *to;
    STRESS_CHECK(hz_ring_reserve(&end->out, 1, sizeof(number), &to) == HZ_RING_OK, "one record at a time always fits");
    memcpy(to, &number, sizeof(number));
    hz_ring_commit(&end->out);
    pause_somewhere(end);
    hz_ring_publish(&end->out);
    if (stress_below(&end->random, 4) == 0)
        pause_somewhere(end);
    ring_bell(end);
}

/* Waits for a record; false when the run is over. */
static bool wait_record(struct end *end)
{
    for (;;) {
        if (hz_ring_has_data(&end->in))
            return true;
        if (atomic_load(&end->arena->stop))
            return false;
        pause_somewhere(end);
        if (end->naive)
            atomic_store(end->own_flag, 1);
        else
            hz_doorbell_sleep(&end->bell);
        if (stress_below(&end->random, 4) == 0)
            pause_somewhere(end);
        int rung = 0;
        if (!hz_ring_has_data(&end->in)) {
            end->sleeps++;
            rung = hz_doorbell_wait(&end->bell, LOST_MS);
            STRESS_CHECK(rung >= 0, "wait says %d", rung);
            if (rung == 0 && hz_ring_has_data(&end->in)) {
                /* Time for a ring that is on its way (a waker may have lost its CPU in between): it still wakes us. */
                if (hz_doorbell_wait(&end->bell, 2 * LOST_MS) == 0)
                    atomic_fetch_add(&end->arena->lost, 1);
            }
        }
        hz_doorbell_awake(&end->bell, rung > 0);
    }
}

static void play(struct end *end, bool begins, uint64_t deadline)
{
    uint64_t number = 0;
    if (begins)
        publish(end, 1);
    while (wait_record(end)) {
        struct hz_record record;
        STRESS_CHECK(hz_ring_peek(&end->in, &record) == HZ_RING_OK && record.len == sizeof(number), "record");
        memcpy(&number, record.data, sizeof(number));
        hz_ring_release(&end->in);
        hz_ring_release_publish(&end->in);
        bool over = begins && (hz_base_now_ns() > deadline || (end->naive && atomic_load(&end->arena->lost) > 0));
        if (over) {
            atomic_store(&end->arena->stop, true);
            break;
        }
        publish(end, number + 1);
    }
    printf("%s: %llu records, %llu sleeps\n", begins ? "first" : "second", (unsigned long long)number,
            (unsigned long long)end->sleeps);
}

/* Both ends leave this at nearly the same moment; false when the run is over. */
static bool meet(struct end *end, int which, uint64_t round)
{
    atomic_store(&end->arena->arrived[which][0], round);
    while (atomic_load(&end->arena->arrived[1 - which][0]) < round)
        if (atomic_load(&end->arena->stop))
            return false;
    return true;
}

/* Some tens or hundreds of nanoseconds, so that every distance between the two ends is met. */
static void stagger(struct end *end)
{
    for (uint64_t i = stress_below(&end->random, stress_below(&end->random, 2) == 0 ? 64 : 1024); i > 0; i--)
        __asm__ __volatile__("" : : : "memory");
}

/* One CPU each; where that is refused or there is only one, the hunt is slower, not wrong. */
static void pin(int which)
{
    cpu_set_t allowed, one;
    CPU_ZERO(&one);
    STRESS_CHECK(sched_getaffinity(0, sizeof(allowed), &allowed) == 0, "affinity");
    int nth = 0;
    for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &allowed) && nth++ == which)
            CPU_SET(cpu, &one);
    if (CPU_COUNT(&one) == 1)
        (void)sched_setaffinity(0, sizeof(one), &one);
}

/* Two meetings a round: the race, and its result. */
static void litmus_sleeper(struct end *end)
{
    pin(1);
    for (uint64_t round = 1;; round += 2) {
        if (!meet(end, 1, round))
            return;
        (void)hz_ring_has_data(&end->in); /* as in real life: the tail as it was stays in our cache */
        stagger(end);
        hz_doorbell_sleep(&end->bell);
        bool seen = hz_ring_has_data(&end->in);
        if (seen)
            atomic_store(&end->arena->seen, round);
        if (!meet(end, 1, round + 1))
            return;
        struct hz_record record;
        STRESS_CHECK(
                hz_ring_peek(&end->in, &record) == HZ_RING_OK, "the record of round %llu", (unsigned long long)round);
        hz_ring_release(&end->in);
        hz_ring_release_publish(&end->in);
        hz_doorbell_awake(&end->bell, true);
        end->sleeps += !seen;
    }
}

static void litmus_waker(struct end *end, uint64_t deadline)
{
    uint64_t round = 1, both = 0;
    pin(0);
    for (; (round & 1023) != 1 || hz_base_now_ns() < deadline; round += 2) {
        void *to;
        while (hz_ring_reserve(&end->out, 1, 8, &to) != HZ_RING_OK)
            ck_pr_stall();
        memcpy(to, &round, sizeof(round));
        hz_ring_commit(&end->out);
        if (!meet(end, 0, round))
            break;
        (void)atomic_load(&end->ringer.cell->epoch);
        stagger(end);
        uint64_t rings = end->ringer.rings;
        hz_ring_publish(&end->out);
        hz_ringer_ring(&end->ringer);
        bool rung = end->ringer.rings != rings;
        if (!meet(end, 0, round + 1))
            break;
        bool seen = atomic_load(&end->arena->seen) == round;
        if (!rung && !seen)
            atomic_fetch_add(&end->arena->lost, 1);
        both += rung && seen;
    }
    atomic_store(&end->arena->stop, true);
    end->sleeps = round / 2;
    printf("%llu rounds, in %llu of them both saw the other\n", (unsigned long long)(round / 2),
            (unsigned long long)both);
}

static void open_end(
        struct end *end, struct arena *arena, int which, int own_wait, int peer_ring, bool naive, uint64_t seed)
{
    *end = (struct end){.arena = arena, .own_fd = own_wait, .peer_fd = peer_ring, .random = seed, .naive = naive};
    end->own_flag = &arena->cells[which].epoch;
    end->peer_flag = &arena->cells[1 - which].epoch;
    hz_ring_attach(&end->out, arena->rings[which], CAPACITY, true);
    hz_ring_attach(&end->in, arena->rings[1 - which], CAPACITY, false);
    hz_doorbell_attach(&end->bell, &arena->cells[which], own_wait);
    if (naive)
        end->bell.cell = &(struct hz_doorbell_cell){0}; /* the flag is ours alone */
    hz_ringer_attach(&end->ringer, &arena->cells[1 - which], peer_ring);
}

int main(int argc, char **argv)
{
    bool naive = stress_flag(argc, argv, "--naive"), litmus = stress_flag(argc, argv, "--litmus");
    uint64_t deadline = stress_deadline(stress_seconds(argc, argv)), seed;
    int wait_fds[2], ring_fds[2];
    signal(SIGPIPE, SIG_IGN);
    hz_base_random(&seed, sizeof(seed));
    struct arena *arena = stress_shared(sizeof(*arena));
    for (int i = 0; i < 2; i++) {
        hz_ring_create(arena->rings[i], CAPACITY);
        STRESS_CHECK(hz_doorbell_pair(&wait_fds[i], &ring_fds[i]) == 0, "doorbell");
    }
    pid_t parent = getpid(), pid = fork();
    STRESS_CHECK(pid >= 0, "fork");
    struct end end;
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(1);
        open_end(&end, arena, 1, wait_fds[1], ring_fds[0], naive, seed * 2 + 1);
        litmus ? litmus_sleeper(&end) : play(&end, false, deadline);
        exit(0);
    }
    open_end(&end, arena, 0, wait_fds[0], ring_fds[1], naive, seed | 1);
    litmus ? litmus_waker(&end, deadline) : play(&end, true, deadline);
    int status;
    STRESS_CHECK(waitpid(pid, &status, 0) == pid && status == 0, "the peer ended with status %d", status);
    unsigned long long lost = atomic_load(&arena->lost);
    printf("%llu wake-ups lost\n", lost);
    if (naive) {
        STRESS_CHECK(lost > 0, "the counter-example lost none: this hunt proves nothing");
        return 0;
    }
    STRESS_CHECK(lost == 0, "lost wake-ups");
    STRESS_CHECK(end.sleeps > 1000, "only %llu sleeps", (unsigned long long)end.sleeps);
    return 0;
}
