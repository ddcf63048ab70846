/*
 * api.h - front door of the operations: what a client may ask of the manager, one function each, whoever asks. REST is
 * the face they have now; another face calls the same functions and prints the same results.
 *
 * An operation is called on a shard and answers once, on that shard, now or later.
 */
#ifndef HZ_CORE_API_API_H
#define HZ_CORE_API_API_H

#include "shm/base.h"
#include <jansson.h>

struct hz_config;
/* Registers every route, the webhooks' fallback, the connections of the worker ports and the questions of workers. Main
 * thread, after the scheduler's init and before the shards run. config stays. */
/* served: clients can come; else only workers ask (`horizon run`). */
HZ_MUST_CHECK int hz_api_init(const struct hz_config *config, bool served);

/* status: as HTTP has it; 2xx is success. data: JSON text of the result ("" none), else NULL. error: one sentence, else
 * NULL. more: in a failure, further members of the problem document as JSON text (an object), or NULL. */
struct hz_api_result {
    uint32_t status, retry_after_s;
    const char *data;
    size_t len;
    const char *error;
    const char *more;
    uint64_t revision; /* of the record in it; 0: it has none */
};
typedef void hz_api_done_fn(void *arg, const struct hz_api_result *result); /* result: valid during the call */

/* Who asks, for texts such as `Detenido por <user>`. */
#define HZ_API_USER "horizon"

/* ---- workers ---- id: full, or a unique beginning of at least 4 characters */
void hz_api_workers_list(hz_api_done_fn *done, void *arg);
void hz_api_workers_get(const char *id, hz_api_done_fn *done, void *arg);
/* lines: 1..10000; after: sequence of the newest line known, 0 none */
void hz_api_workers_logs(const char *id, uint64_t lines, uint64_t after, hz_api_done_fn *done, void *arg);
void hz_api_workers_start(const char *workflow_id, const char *version, hz_api_done_fn *done, void *arg);
void hz_api_workers_stop(const char *id, const char *user, hz_api_done_fn *done, void *arg);
void hz_api_workers_restart(const char *id, const char *user, hz_api_done_fn *done, void *arg);
/* data: JSON text of messageData */
void hz_api_workers_message(
        const char *id, const char *route, const char *data, size_t len, hz_api_done_fn *done, void *arg);
void hz_api_dashboard(hz_api_done_fn *done, void *arg);

/* ---- history: what the store has kept of samples and lines, read on a thread of its own ---- */
struct hz_api_logs { /* NULL, 0: any; times in ms since the epoch */
    const char *workflow_id, *worker, *execution, *text; /* worker: a whole id, the beginning of a living one's, or "manager" */
    int level;                                           /* enum hz_log_level: this one and graver ones */
    int64_t from_ms, to_ms;                              /* from_ms 0: a day before to_ms; to_ms 0: now */
    int64_t before_ms, before_sequence;                  /* the page behind this line */
    uint64_t limit;
};
void hz_api_logs(const struct hz_api_logs *query, hz_api_done_fn *done, void *arg);
/* id: as in hz_api_logs; step_s: 1, 60, 900, or 0: the finest that is kept for the whole time. from_ms 0: ten minutes before to_ms. */
void hz_api_workers_metrics(const char *id, int64_t from_ms, int64_t to_ms, uint32_t step_s, uint64_t limit, hz_api_done_fn *done, void *arg);

/* ---- crash reports ---- workflow_id NULL: of all; before_ms 0: the newest; id: whole, or its beginning */
/* cursor: `next` of the page before; 0: the newest. */
void hz_api_crashes_list(const char *workflow_id, uint64_t limit, uint64_t cursor, hz_api_done_fn *done, void *arg);
void hz_api_crashes_get(const char *id, hz_api_done_fn *done, void *arg);

/* ---- workflows ---- */
/* What is parked and why; a person releases it. */
void hz_api_parked_list(hz_api_done_fn *done, void *arg);
void hz_api_workflows_release(const char *id, hz_api_done_fn *done, void *arg);
void hz_api_workflows_list(hz_api_done_fn *done, void *arg);
void hz_api_workflows_get(const char *id, hz_api_done_fn *done, void *arg);
/* if_revision: the one its record must have, else 412; 0: any. */
void hz_api_workflows_put(
        const char *id, const char *text, size_t len, const char *author, uint64_t if_revision, hz_api_done_fn *done, void *arg);

/* ---- executions ---- */
struct hz_api_execute {
    const char *workflow_id, *version; /* version NULL: newest */
    const char *data;                  /* JSON text */
    size_t len;
    const char *trigger;
    bool wait;
    uint32_t priority, deadline_ms; /* 1..9; ms from its acceptance, or from when it is due; 0: the workflow's */
    int64_t due_ms;                 /* wall clock, not before; 0: at once */
    const char *key;                /* dedupKey; NULL none: one that was accepted with it answers instead */
    bool key_if_possible;           /* a flow with a trigger takes none: then it is left out */
};
void hz_api_executions_start(const struct hz_api_execute *execute, hz_api_done_fn *done, void *arg);
void hz_api_executions_get(const char *id, hz_api_done_fn *done, void *arg);
/* What each of its nodes did, of flows with properties.horizon.nodeStats. */
void hz_api_executions_nodes(const char *id, hz_api_done_fn *done, void *arg);
struct hz_api_list {
    const char *workflow_id, *state; /* NULL: all. Open states are those of now, of the others what is kept */
    bool activations, dead;          /* those alone; dead: executions that failed for good, of flows with `retry` */
    uint64_t limit;
    const char *cursor;              /* `next` of the page before; NULL: the newest */
};
/* {"executions": [...], "next": cursor or null}, newest first. 400: no such state, no cursor of this list. */
void hz_api_executions_list(const struct hz_api_list *list, hz_api_done_fn *done, void *arg);
/* Its input once more, by the version it had, as a new execution. from: id or name of a node, NULL its start; nothing is kept of what the
 * nodes behind it were given, so only the start can be said. */
void hz_api_executions_rerun(const char *id, const char *from, hz_api_done_fn *done, void *arg);
/* A dead letter once more. */
void hz_api_dead_redrive(const char *id, hz_api_done_fn *done, void *arg);
void hz_api_executions_cancel(const char *id, const char *reason, hz_api_done_fn *done, void *arg);

/* ---- the server itself ---- */
void hz_api_manager_get(hz_api_done_fn *done, void *arg);
/* Executes `binary` (absolute path; NULL: the file it was started from) in place. 202 when it begins: the generation
 * changes when it is done. */
void hz_api_manager_restart(const char *binary, uint32_t drain_ms, hz_api_done_fn *done, void *arg);

/* ---- nodes, health ---- */
void hz_api_nodes_list(hz_api_done_fn *done, void *arg);
void hz_api_nodes_get(const char *type, hz_api_done_fn *done, void *arg);
void hz_api_health(hz_api_done_fn *done, void *arg);
void hz_api_live(hz_api_done_fn *done, void *arg);  /* 200 as long as the process answers */
void hz_api_ready(hz_api_done_fn *done, void *arg); /* 200, or 503 while the store cannot write; with the classes of the recovery */

#endif
