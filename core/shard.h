/*
 * shard.h - one thread of the manager: a libuv loop, its mailbox, and what lives on it (workers, HTTP daemon). The main
 * thread is a shard without workers: signals, zygotes, reaping of strangers.
 *
 * Mail: a record the sender fills and the receiver's loop runs and frees: liburcu wait-free queue plus uv_async (one wake-up
 * for a burst). Mail is run in the order one sender posted it.
 */
#ifndef HZ_CORE_SHARD_H
#define HZ_CORE_SHARD_H

#include "shm/base.h"
#include "timer.h"
#include <urcu/wfcqueue.h>
#include <uv.h>

struct hz_shard;
struct hz_mail {
    struct cds_wfcq_node node;
    void (*run)(struct hz_mail *mail); /* on the receiving shard; owns the mail */
};

/* Makes `count` worker shards (not yet running) and the main one for the calling thread. */
HZ_MUST_CHECK int hz_shard_init(uint32_t count);
/* Starts the threads; each calls `begin` on its own thread before its loop runs. Waits until all have begun; 0 or the first error. */
HZ_MUST_CHECK int hz_shard_start(int (*begin)(struct hz_shard *shard, void *arg), void *arg);
/* Runs the calling (main) thread's loop until hz_shard_stop_main(). */
void hz_shard_run_main(void);
void hz_shard_stop_main(void);
/* Stops and joins all threads; each calls `end` on its thread first. */
void hz_shard_stop(void (*end)(struct hz_shard *shard, void *arg), void *arg);
void hz_shard_fini(void);

uint32_t hz_shard_count(void);
struct hz_shard *hz_shard_at(uint32_t index);
struct hz_shard *hz_shard_main(void);
struct hz_shard *hz_shard_self(void); /* of the calling thread; NULL outside */
uint32_t hz_shard_index(const struct hz_shard *shard); /* UINT32_MAX: main */
uv_loop_t *hz_shard_loop(struct hz_shard *shard);
struct hz_timers *hz_shard_timers(struct hz_shard *shard); /* for its own thread only */
/* Runs the mail that is there now, on the shard's own thread: for `end` functions that wait for an answer. */
void hz_shard_run_mail(struct hz_shard *shard);
bool hz_shard_has_mail(struct hz_shard *shard);
void hz_shard_post(struct hz_shard *to, struct hz_mail *mail); /* any thread that is registered with RCU */
/* Asks for `fn` once per loop turn (before polling) while it returns true: work in hand. */
typedef bool hz_shard_turn_fn(void *arg);
int hz_shard_add_turn(struct hz_shard *shard, hz_shard_turn_fn *fn, void *arg);
/* Slots for what other folders hang on a shard (HTTP server, supervisor). */
enum { HZ_SHARD_HTTP, HZ_SHARD_SUPERVISOR, HZ_SHARD_SCHEDULER, HZ_SHARD_SLOTS };
void *hz_shard_get(struct hz_shard *shard, int slot);
void hz_shard_set(struct hz_shard *shard, int slot, void *value);

#define HZ_ASSERT_SHARD(shard) HZ_ASSERT(hz_shard_self() == (shard))

#endif
