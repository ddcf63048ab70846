/*
 * history.h - what is written of workers and manager so that it can be looked at later: a sample of each worker and of
 * the manager a second, their lines. Everything goes through the store's lossy entrance: nobody waits for it, and what
 * finds it full is left out.
 */
#ifndef HZ_CORE_HISTORY_H
#define HZ_CORE_HISTORY_H

#include "store.h"

struct hz_shard;
struct hz_worker;
struct hz_outcome;

#define HZ_HISTORY_MANAGER      "manager" /* its name among the workers' ids */
#define HZ_HISTORY_SECOND_LINES 200u      /* of the manager, a second */

/* Main thread, the store is open and no shard runs: from now on lines and samples are written. Until then, and in
 * `horizon run`, the functions below do nothing. */
void hz_history_open(void);
void hz_history_close(void); /* main thread, no shard runs, the store still open */
/* The manager's own samples, by the first shard. */
void hz_history_begin(struct hz_shard *shard);
void hz_history_end(struct hz_shard *shard);

/* ---- on the worker's shard ---- */
/* Once a second: writes a sample if something moved since the last one, if it just came to rest, or every thirty
 * seconds. A worker at rest costs some loads. */
void hz_history_look(struct hz_worker *w);
/* It was taken over from the image before: what it counted until now has been written. */
void hz_history_adopted(struct hz_worker *w);
/* One of its executions is over. w NULL: none had it. took_ns: since its worker got it. */
void hz_history_ended(
        struct hz_worker *w, const struct hz_outcome *outcome, uint64_t took_ns, uint64_t bytes_in, uint64_t bytes_out);
/* So many executions more (or fewer) are with workers; those the workers began by themselves are not counted. */
void hz_history_running(int more);
/* It has been reaped, its segment is still there: what it counted is read for the last time. */
void hz_history_dying(struct hz_worker *w);
/* Its last sample, with what its end cost; frees what is kept of it. A single execution's worker leaves one only if it
 * crashed or lived long enough to be sampled. */
void hz_history_bury(struct hz_worker *w, bool expected);

/* ---- for tests ---- */
struct hz_history_latency { /* microseconds in quarters of a power of two */
    uint32_t count, buckets[160];
};
void hz_history_latency_add(struct hz_history_latency *latency, uint64_t us);
/* The upper end of the bucket below which `share` (0..1) of them are; 0: none. At most a quarter too high. */
double hz_history_latency_at(const struct hz_history_latency *latency, double share);

#endif
