/*
 * events.h - what happens, with a number each: kept for some days where it matters (`GET /api/v1/events`), and for those who follow it
 * as deltas, made once a tick and encoded once for all, with a bounded replay for who lost his connection.
 *
 * An event is {sequence, at, kind, workflowId?, workerId?, executionId?, ...}. Kept kinds: created, ready, message, error, crashed,
 * restarted, stopped, parked, alert. Others only pass: worker (its figures changed), execution (its state did), progress, news (what pages are told).
 */
#ifndef HZ_CORE_API_EVENTS_H
#define HZ_CORE_API_EVENTS_H

#include "core/scheduler.h"
#include "core/supervisor.h"

#define HZ_EVENTS_TICK_MS  250u
#define HZ_EVENTS_REPLAY   16384u /* events, and at most 16 MiB, that a client may have missed */
#define HZ_EVENTS_PART     ((size_t)256 << 10) /* of what was missed, at once */

/* Main thread: before the shards run, after they run (its timer), when none runs any more. keep_ms: of kept kinds. */
HZ_MUST_CHECK int hz_events_init(void);
void hz_events_begin(void);
void hz_events_end(void);  /* main thread, shards still run: nothing is sent any more */
void hz_events_fini(void); /* the store is still open: writes what waits */

/* ---- what happened: any shard ---- */
void hz_events_worker(enum hz_worker_event event, const struct hz_worker_info *info, const char *detail);
void hz_events_execution(const char *id, const struct hz_execution_news *news);
/* json: as its flow said it. At most four a second and execution, and 512 a second of all, are told; the last one of each always. */
void hz_events_progress(const char *execution, const struct hz_worker_info *worker, const char *json, size_t len);
/* Something else worth keeping: "message", "alert". more: members as JSON text (an object), or NULL. */
void hz_events_note(const char *kind, const char *workflow_id, const char *worker_id, const char *more);
/* The latest report of an execution: an object's text, malloc'ed, NULL none is known. Of the last 32,768 that reported. */
char *hz_events_latest_progress(const char *execution);

/* ---- followers: any shard ---- */
/* One delta, {"from", "to", "events": [...]}, shared by all; shard: what is called there. Called on the main thread once a tick. */
struct hz_events_batch {
    uint64_t from, to; /* sequences; from > to: there is nothing in it */
    bool more;         /* of a replay: there is a further part after `to` */
    const char *json;  /* {"from":..,"to":..,"leftOut":..,"events":[..]} */
    size_t json_len;
    const char *lines; /* the same as server-sent events; where some were left out, `reset` is the last */
    size_t lines_len;
};
typedef void hz_events_batch_fn(const struct hz_events_batch *batch);
/* Up to four faces; before the shards run. */
void hz_events_listen(hz_events_batch_fn *fn);
/* +1 somebody follows (before he asks for anything below), -1 no longer. Without followers of the last minute only what is kept gets a
 * number; who comes after that with an older number has missed something. */
void hz_events_followers(int more);
/*
 * hz_events_replay - what came after `after` and deltas have told, in the form of a batch (hz_events_replay_free()).
 *
 * most    bytes, but one event at least: who reads slowly has a part in memory, not all
 * to      where to go on: the next part, or the next delta, begins behind it. Never beyond what deltas have told
 * False   it is not known any more, or is no number of ours, or memory is out: the client reads lists anew, and goes on behind `to`
 */
bool hz_events_replay(uint64_t after, size_t most, struct hz_events_batch *ret_batch);
void hz_events_replay_free(struct hz_events_batch *batch);
uint64_t hz_events_last(void); /* what deltas have told so far */

#endif
