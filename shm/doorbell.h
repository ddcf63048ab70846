/*
 * doorbell.h - sleep and wake across processes: a descriptor and an epoch in the mapping.
 *
 * Only the sleeper writes the epoch: odd = asleep, even = awake. The producer, after publishing, looks at it behind a
 * full fence and writes the descriptor once per odd epoch. The sleeper announces (odd), fences, looks at all its rings
 * again, and only then waits. Either the producer sees the odd epoch or the sleeper sees the record.
 */
#ifndef HZ_SHM_DOORBELL_H
#define HZ_SHM_DOORBELL_H

#include "base.h"
#include <stdatomic.h>

struct hz_doorbell_cell {
    _Alignas(HZ_CACHE_LINE) _Atomic uint32_t epoch;
    char pad[HZ_CACHE_LINE - 4];
};

struct hz_doorbell { /* the sleeper's handle */
    struct hz_doorbell_cell *cell;
    int fd;
    uint32_t epoch; /* private: the cell is written, never read back */
};

struct hz_ringer { /* one per producing thread */
    struct hz_doorbell_cell *cell;
    int fd;
    uint32_t rung; /* epoch we last rang for */
    uint64_t rings;
};

/* A pipe of one page, as its ends do not trust each other: O_NONBLOCK belongs to the open file, and a pipe's two ends
 * are two of them. *ret_wait_fd is the sleeper's, *ret_ring_fd the ringer's (both close-on-exec, non-blocking); the
 * caller closes them. 0 or -errno. The ringer's process must ignore SIGPIPE: the sleeper may be dead. */
HZ_MUST_CHECK int hz_doorbell_pair(int *ret_wait_fd, int *ret_ring_fd);
void hz_doorbell_attach(struct hz_doorbell *ret_bell, struct hz_doorbell_cell *cell, int fd);
/* Announce sleep. After it the caller MUST look at its rings once more and either wait on fd or call awake. */
void hz_doorbell_sleep(struct hz_doorbell *bell);
/* Awake again: empties the descriptor if `drain` (one read, never blocks on a pair). */
void hz_doorbell_awake(struct hz_doorbell *bell, bool drain);
/* Waits for a ring at most timeout_ms (-1: for ever); 1 rung, 0 time-out, -errno. For loops without epoll. */
int hz_doorbell_wait(struct hz_doorbell *bell, int timeout_ms);

void hz_ringer_attach(struct hz_ringer *ret_ringer, struct hz_doorbell_cell *cell, int fd);
/* After hz_ring_publish(). Costs a fence and a load; a system call only if the sleeper sleeps and was not rung yet. */
void hz_ringer_ring(struct hz_ringer *ringer);

#endif
