/* restart_internal.h - what the parts of a restart in place share: asking and deciding (restart.c), coming to rest (restart_rest.c), the
 * meeting (restart_meet.c). Private to them.
 *
 * Synchronisation
 *   busy      any shard sets it by exchange when it asks; cleared by whoever ends the attempt. It alone decides who may
 *             begin.
 *   calm, quiet, ran
 *             of a part: its shard stores, the main thread loads. In order: who sees a quiet shard sees that it has run
 *             its last mail of ours, whose memory the next one uses.
 *   parts     a shard's own until the barrier behind its carrying, the main thread's from there to the next barrier.
 *   verdict   the main thread's, written between two barriers and read behind the second.
 *   failure   under `lock`.
 *
 * While they meet no shard runs its loop, so nothing is sent that the rounds do not see: what a round's mail sends, the
 * next one runs. Only the store's thread posts from outside, and none of its answers is due when no desk waits for a
 * commit.
 */
#ifndef HZ_CORE_RESTART_INTERNAL_H
#define HZ_CORE_RESTART_INTERNAL_H

#include "restart.h"

#include "carry.h"
#include "shard.h"
#include "timer.h"

#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>

#define HZ_RESTART_LOOK_MS 1u

enum hz_restart_verdict { HZ_RESTART_AGAIN, HZ_RESTART_CARRY, HZ_RESTART_LATER };

struct hz_restart_part { /* of a shard */
    struct hz_mail mail, resting, waking;
    struct hz_timer look;
    struct hz_shard *shard;
    struct hz_carry_out out, ids, names;
    atomic_bool calm, quiet, ran; /* calm: no request is in work; quiet: all can be carried */
    unsigned hurried;             /* steps taken */
    int err;
    char error[512];
};

struct hz_restart_state {
    const struct hz_config *config;
    char **argv;
    char binary[PATH_MAX];
    int lock_fd;
    atomic_bool busy, forbidden;
    pthread_mutex_t lock;
    char *failure;
    pthread_t checker; /* under the lock; joined before the next one begins, and before anything it uses goes */
    bool has_checker;
    /* of the attempt under way */
    struct hz_restart_part *parts;
    char *next;
    uint64_t begun_ns, rest_ns, deadline_ns;
    struct hz_timer timer;
    enum hz_restart_verdict verdict;
    bool resting, held; /* the desks were told; the signals that end the server wait */
    /* of all attempts: a thread that is late in leaving one meeting finds the barrier of the next */
    pthread_barrier_t meeting;
    bool has_meeting;
};
extern struct hz_restart_state hz_restart;

/* ---- restart_rest.c: on a shard ---- */
void hz_restart_run_rest(struct hz_mail *mail);      /* takes nothing new, and looks until all is at rest */
void hz_restart_run_rest_desk(struct hz_mail *mail); /* no request waits any more for an execution that waits for its turn */
void hz_restart_wake(struct hz_restart_part *part);
void hz_restart_run_wake(struct hz_mail *mail);

/* ---- restart_meet.c: main thread ---- */
/* Holds every shard; executes the next image, or calls it off. */
void hz_restart_hold_meeting(void);

/* ---- restart.c: main thread ---- */
/* awake: the shards have woken by themselves. */
void hz_restart_call_off(const char *why, bool awake);

#endif
