/*
 * children.h - whose child is it? The manager's own children (workers, helper processes) are reaped by whoever started them; what
 * a dead worker leaves behind comes to us as the subreaper and is killed and reaped here. Main thread, with marks from any thread.
 */
#ifndef HZ_CORE_CHILDREN_H
#define HZ_CORE_CHILDREN_H

#include "shm/base.h"

struct hz_shard;
/* A child of ours was stopped by a signal, or goes on. Main thread. */
typedef void hz_children_stopped_fn(int32_t pid, bool stopped);
/* Makes the process a subreaper, watches SIGCHLD on the main shard, and looks for orphans and zombies every period_ms besides: an orphan
 * of a worker that lives comes to us without a signal. stopped may be NULL. Main thread, after hz_shard_init(). */
HZ_MUST_CHECK int hz_children_init(struct hz_shard *main_shard, uint32_t period_ms, hz_children_stopped_fn *stopped);
/* Kills and reaps what is left (best effort, at most a second). Main thread, after all workers are buried. */
void hz_children_fini(void);

/* A process is about to be started by this or another process on our behalf: until release, unknown pids may be ours. */
unsigned hz_children_hold(void);
void hz_children_release(unsigned hold);
/* Between hold and release: `pid` is ours, its starter reaps it. */
HZ_MUST_CHECK int hz_children_add(int32_t pid);
/* After it was reaped. */
void hz_children_remove(int32_t pid);
/* Look for orphans soon: a worker died in a way that may have left children behind. Any thread. */
void hz_children_search(void);
/* The same for what the image of the manager before this one left: its zygotes, spares and helpers. */
void hz_children_end_inherited(void);
/* In the environment of zygotes and workers, hence of what they start: this and the instance. */
#define HZ_CHILDREN_MARK "HORIZON_INSTANCE="
/* At the start, holding the lock of the data directory: ends processes that carry our instance's mark, which a former manager left behind.
 * Returns how many. Needs to read their environment: those of other users are not found. */
unsigned hz_children_end_strays(const char *instance);
uint64_t hz_children_strangers(void); /* reaped so far */

#endif
