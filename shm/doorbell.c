/*
 * doorbell.c - sleep and wake across processes. Runs in both; hides which kernel object carries the ring.
 *
 * Proof that no wake-up is lost. Sleeper: (S1) store an odd epoch, (F) full fence, (S2) look at the rings, then wait.
 * Producer: (P1) publish a record, (F) full fence, (P2) load the epoch. Both fences order a store before a load, so it
 * is impossible that S2 misses P1's record and P2 misses S1's epoch (store buffering). Hence either the sleeper sees
 * the record and does not wait, or the producer sees the odd epoch and writes the descriptor, whose readiness outlives
 * the moment between the look and the wait. epoch  only the sleeper stores it: a waker that cleared it could erase a
 * newer announcement. One private copy there. rung   private to the producer: one ring per odd epoch is enough, as the
 * descriptor stays ready until the sleeper, awake again, drains it; the next sleep has another epoch. Draining after
 * the epoch is even: a ring for the old epoch that comes after the drain wakes the next sleep once for nothing, which
 * costs a turn and loses nothing.
 */
#include "doorbell.h"

#include <ck_pr.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#define PIPE_BYTES 4096 /* the least there is: one page */

int hz_doorbell_pair(int *ret_wait_fd, int *ret_ring_fd)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) != 0)
        return -errno;
    /* A refusal (the user's pipe pages are used up, so it is small already) does not matter. */
    (void)fcntl(fds[1], F_SETPIPE_SZ, PIPE_BYTES);
    *ret_wait_fd = fds[0];
    *ret_ring_fd = fds[1];
    return 0;
}

void hz_doorbell_attach(struct hz_doorbell *ret_bell, struct hz_doorbell_cell *cell, int fd)
{
    *ret_bell = (struct hz_doorbell){.cell = cell, .fd = fd};
    ret_bell->epoch = atomic_load_explicit(&cell->epoch, memory_order_relaxed) & ~1u;
}

void hz_doorbell_sleep(struct hz_doorbell *bell)
{
    bell->epoch |= 1u;
    atomic_store_explicit(&bell->cell->epoch, bell->epoch, memory_order_relaxed);
    ck_pr_fence_store_load(); /* S1 before S2 */
}

/* One read: it empties a pipe of one page. Were a hostile ringer to fill the pipe again meanwhile, the
 * descriptor is still readable and the loop comes back; it does not keep us here. */
static void drain(int fd)
{
    char sink[PIPE_BYTES];
    ssize_t got = read(fd, sink, sizeof(sink));
    (void)got;
}

void hz_doorbell_awake(struct hz_doorbell *bell, bool drain_fd)
{
    if ((bell->epoch & 1u) != 0) {
        bell->epoch++;
        atomic_store_explicit(&bell->cell->epoch, bell->epoch, memory_order_relaxed);
    }
    if (drain_fd)
        drain(bell->fd);
}

int hz_doorbell_wait(struct hz_doorbell *bell, int timeout_ms)
{
    struct pollfd poll_fd = {.fd = bell->fd, .events = POLLIN};
    int count = poll(&poll_fd, 1, timeout_ms);
    if (count < 0)
        return errno == EINTR ? 0 : -errno;
    return count;
}

void hz_ringer_attach(struct hz_ringer *ret_ringer, struct hz_doorbell_cell *cell, int fd)
{
    *ret_ringer = (struct hz_ringer){.cell = cell, .fd = fd};
}

void hz_ringer_ring(struct hz_ringer *ringer)
{
    ck_pr_fence_store_load(); /* P1 before P2 */
    uint32_t epoch = atomic_load_explicit(&ringer->cell->epoch, memory_order_relaxed);
    if ((epoch & 1u) == 0 || epoch == ringer->rung)
        return;
    ringer->rung = epoch;
    ringer->rings++;
    uint64_t one = 1;
    ssize_t written = write(ringer->fd, &one, sizeof(one));
    (void)written; /* EAGAIN: it is ready already; EPIPE: the sleeper has gone, which is noticed elsewhere */
}
