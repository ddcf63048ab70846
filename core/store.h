/*
 * store.h - what must survive: workflows with their versions, executions and what belongs to them, logs, metrics, alerts, crash
 * reports, sealed secrets. SQLite in WAL mode, one writer thread with group commit; callers hand rows over and are called back
 * after COMMIT. Readers use connections of their own and never wait for the writer's lock.
 */
#ifndef HZ_CORE_STORE_H
#define HZ_CORE_STORE_H

#include "shm/shm.h"
#include <jansson.h>

/* What is kept of an execution that is over: everything; each failure and at most 100 others a second of all workflows; nothing but a
 * count a workflow, hour and state (hz_store_counters). Until it is over its row is there whatever this says. */
enum hz_history { HZ_HISTORY_ALL, HZ_HISTORY_SAMPLE, HZ_HISTORY_COUNTERS };

struct hz_store_execution {
    struct hz_uuid id, activation; /* activation: nil if none */
    char workflow_id[128], version[32], trigger[32];
    enum hz_exec_state state;
    uint32_t attempt, is_activation;
    int64_t created_wall_ms, started_wall_ms, ended_wall_ms; /* 0: not yet */
    int64_t due_wall_ms;      /* delayed start, or the time of the next attempt: not before; 0: at once */
    int64_t deadline_wall_ms; /* 0: none */
    int32_t priority;         /* higher goes first, 0 ordinary */
    bool dead;                /* a dead letter: final, kept until somebody looks at it (not pruned by number, only by age and size) */
    char worker_id[HZ_UUID_TEXT];
    char *input, *result, *error, *error_node, *error_code; /* malloc'ed or NULL; taken by hz_store_put */
    char *idempotency_key, *dedup_key;                      /* the same; written with the first row of an id, later ones may leave them NULL */
    uint64_t node_runs, cpu_ns, peak_bytes, bytes_in, bytes_out;
    enum hz_history history; /* what is kept when it is final; not stored */
    bool damaged;            /* only of hz_store_unfinished: a payload fails its checksum and is left out */
    int64_t sequence;        /* of its row: the order of acceptance; 0: it was not read from one */
    bool stored;             /* an earlier row of this id was handed over: if nothing is to be kept of the end, that row goes too */
};
void hz_store_execution_fini(struct hz_store_execution *row);

/* history: finished executions kept; the oldest go first, in small steps; no other bound. */
HZ_MUST_CHECK int hz_store_open(const char *data_dir, uint32_t history);
struct hz_store_options {
    uint32_t history;       /* finished executions kept */
    uint32_t history_days;  /* 0: whatever their age */
    uint64_t max_bytes;     /* of horizon.db with its log (-wal); 0: no bound */
    bool checked;           /* no quick check: this process had the file open until now, and its clients wait */
    uint64_t pending_bytes; /* bound of what is handed over and not yet committed; 0: 256 MiB */
};
/* Opens or makes DIR/horizon.db, checks it quickly (seconds at gigabytes), migrates an older schema behind a backup
 * (DIR/horizon.db.before-N). HZ_EVERSION: newer than this program. HZ_EFORMAT: damaged, hz_err_last() says what helps. */
HZ_MUST_CHECK int hz_store_open_with(const char *data_dir, const struct hz_store_options *options);
/* Everything handed over before is on disk when it returns 0; else the store cannot write. Blocks, any thread but the
 * writer's. */
HZ_MUST_CHECK int hz_store_flush(void);
void hz_store_close(void); /* writes everything handed over, then ends the writer */

/* Hands a row over (insert or update by id; a final state never changes: such an update is ignored). Takes the strings.
 * durable: the batch is committed with synchronous=FULL. done (may be NULL) is called on the writer thread after COMMIT with 0, or
 * with the error. HZ_EBUSY: the queue bound is reached (nothing taken). A final row takes the execution's checkpoints away in the same
 * commit. Rows handed over by one thread are committed in that order. */
typedef void hz_store_done_fn(int result, void *arg);
HZ_MUST_CHECK int hz_store_put(struct hz_store_execution *row, bool durable, hz_store_done_fn *done, void *arg);
/* Reads one row, also one still on its way. HZ_ENOTFOUND; HZ_EFORMAT: its payload fails its checksum. */
HZ_MUST_CHECK int hz_store_get(const struct hz_uuid *id, struct hz_store_execution *ret_row);
struct hz_store_filter {
    const char *workflow_id;             /* NULL: of all */
    enum hz_exec_state state;            /* 0: any */
    bool activations;                    /* those alone, else none of them */
    bool dead;                           /* dead letters alone; state and activations are not looked at */
    int64_t before_ms, before_sequence;  /* created_wall_ms and sequence of the last row of the page before; 0: from the newest */
    size_t limit;                        /* at most 10,000 */
};
/* Newest first, without payloads. Caller frees rows and fields. Blocks: not on a shard. Cost: rows of a workflow, of all, and those that
 * ended badly are found by an index; successes of one workflow among its failures are looked for. */
HZ_MUST_CHECK int hz_store_list(const struct hz_store_filter *filter, struct hz_store_execution **ret_rows, size_t *ret_count);
/* At start: every row that is not final; the caller decides (interrupted, or run again). */
HZ_MUST_CHECK int hz_store_unfinished(struct hz_store_execution **ret_rows, size_t *ret_count);
/* The newest execution of a workflow that was accepted with this idempotency key, with payloads. HZ_ENOTFOUND. */
HZ_MUST_CHECK int hz_store_by_idempotency_key(const char *workflow_id, const char *key, struct hz_store_execution *ret_row);
/* The one of a workflow with this deduplication key that is not over. HZ_ENOTFOUND. */
HZ_MUST_CHECK int hz_store_by_dedup_key(const char *workflow_id, const char *key, struct hz_store_execution *ret_row);
/* Takes the dead mark away (it was re-driven or given up); synchronous, FULL. HZ_ENOTFOUND: no dead letter of that id. */
HZ_MUST_CHECK int hz_store_dead_clear(const struct hz_uuid *id);
/* [{workflowId, hour, state, count}] of executions that were only counted since `from_hour` (hours since the epoch); NULL: error. */
json_t *hz_store_counters(const char *workflow_id, int64_t from_hour);

/* Checkpoints: what recovery needs of an execution that is not over, in the caller's own packing, ordered by `ordinal`. base: this one
 * says everything, those before it go in the same commit; otherwise it is added. data: malloc'ed, taken on success. Else as
 * hz_store_put(). An execution without an open row keeps none: they go with the final row, whatever order they were handed over in. */
HZ_MUST_CHECK int hz_store_checkpoint_put(const struct hz_uuid *execution, uint32_t ordinal, bool base, void *data, size_t len, bool durable,
        hz_store_done_fn *done, void *arg);
struct hz_store_checkpoint {
    uint32_t ordinal;
    size_t len;
    void *data;
};
/* Ascending ordinals; count 0 if there are none. Caller calls hz_store_checkpoints_free(). HZ_EFORMAT: a checksum fails. */
HZ_MUST_CHECK int hz_store_checkpoints(const struct hz_uuid *execution, struct hz_store_checkpoint **ret_list, size_t *ret_count);
void hz_store_checkpoints_free(struct hz_store_checkpoint **list, size_t count);
/* The node runs of an execution in one packed piece (history); data: malloc'ed, taken on success. Its execution's row must have been
 * handed over before. Not durable. */
HZ_MUST_CHECK int hz_store_node_runs_put(const struct hz_uuid *execution, void *data, size_t len);
HZ_MUST_CHECK int hz_store_node_runs(const struct hz_uuid *execution, void **ret_data, size_t *ret_len); /* caller frees; HZ_ENOTFOUND */

/* Crash reports. Strings are malloc'ed and taken by put; list and get give malloc'ed ones, hz_store_crash_fini(). */
struct hz_store_crash {
    struct hz_uuid id, execution; /* execution: nil if none */
    int64_t at_wall_ms;
    char workflow_id[128], worker_id[HZ_UUID_TEXT], kind[24]; /* kind: "crash", "oom", "timeout", "killed", ... */
    char *node, *signature, *report; /* node may be NULL; signature: node and top frames; report: JSON text; in lists only its member `text`, or NULL */
    uint64_t seen_before;            /* reports of the same signature before this one; not read by put */
    int64_t sequence;                /* of its row; not read by put */
};
void hz_store_crash_fini(struct hz_store_crash *crash);
HZ_MUST_CHECK int hz_store_crash_put(struct hz_store_crash *crash);
HZ_MUST_CHECK int hz_store_crash_get(const struct hz_uuid *id, struct hz_store_crash *ret_crash); /* HZ_ENOTFOUND */
HZ_MUST_CHECK int hz_store_crash_list(const char *workflow_id, int64_t before_sequence, size_t limit, struct hz_store_crash **ret_list, size_t *ret_count);

/* Log lines. text is copied. Lossy by design: HZ_EBUSY when the queue is more than half full, so that logs never displace rows. */
HZ_MUST_CHECK int hz_store_log_put(int64_t at_wall_ms, int level, const char *workflow_id, const char *worker_id,
        const struct hz_uuid *execution, const char *text, size_t len);
struct hz_store_log_filter {
    const char *workflow_id, *worker_id, *contains; /* NULL: any; contains: ASCII case does not count */
    const struct hz_uuid *execution;                /* NULL: any */
    int level_min;                                  /* enum hz_log_level: this one and graver ones; 0: all */
    int64_t from_ms, to_ms;                         /* window, to_ms exclusive; 0: no bound. A text search looks at most at 7 days */
    int64_t before_ms, before_sequence;             /* `at` and `sequence` of the last line of the page before; 0: the newest */
    size_t limit;                                   /* at most 10,000 */
};
/* [{at, sequence, level, workflowId, workerId, executionId?, text}] newest first; NULL: error. */
json_t *hz_store_logs(const struct hz_store_log_filter *filter);

/* Metrics: at most one sample a second and subject; thinned by the writer to 1 min (kept a day) and 15 min (a year). A second without
 * a sample, at most HZ_STORE_METRIC_HOLE of them in a row, is one like the last sample before it, in which nothing was added up. */
#define HZ_STORE_METRIC_HOLE 31
#define HZ_STORE_METRICS(X) /* name, JSON key, how samples become one: MEAN, MAX, SUM */ \
    X(cpu_percent, "cpuPercent", MEAN) X(memory_bytes, "memoryBytes", MAX) X(in_flight, "inFlight", MEAN) X(queued, "queued", MEAN)     \
    X(executions, "executions", SUM) X(failures, "failures", SUM) X(node_runs, "nodeRuns", SUM) X(bytes_in, "bytesIn", SUM)               \
    X(bytes_out, "bytesOut", SUM) X(restarts, "restarts", SUM) X(latency_p50_us, "latencyP50Us", MEAN) X(latency_p99_us, "latencyP99Us", MAX)   \
    X(store_lag_ms, "storeLagMs", MAX) X(store_pending, "storePending", MEAN)
struct hz_store_metric {
#define HZ_STORE_METRIC_FIELD(name, key, how) double name;
    HZ_STORE_METRICS(HZ_STORE_METRIC_FIELD)
#undef HZ_STORE_METRIC_FIELD
};
/* subject: a worker's id, "workflow:ID" or "manager", at most 159 bytes. Lossy as log lines are. */
HZ_MUST_CHECK int hz_store_metric_put(const char *subject, int64_t at_s, const struct hz_store_metric *sample);
#define HZ_STORE_METRICS_MOST 10000
/* {step, samples: [{at (s), <key>: number ...}]} ascending, from_s <= at < to_s; step_s: 1, 60 or 900, 0: the finest that is still kept
 * for from_s. With step 1 holes are filled. At most HZ_STORE_METRICS_MOST samples, the oldest. NULL: error. */
json_t *hz_store_metrics(const char *subject, int64_t from_s, int64_t to_s, uint32_t step_s);
/* Is any sample of it kept? An error is a no. */
bool hz_store_metric_known(const char *subject);

/* Alerts: one open at a time for a rule and subject. Level 0 is a silence: "silence/RULE", the subject or "", until silenced_ms. */
struct hz_store_alert {
    char rule[64], subject[160];
    int level;
    int64_t raised_ms, cleared_ms, silenced_ms; /* cleared 0: open; silenced: until then */
    char text[512];
};
/* Raises, or updates the open one of rule and subject (text, level, cleared, silenced). */
HZ_MUST_CHECK int hz_store_alert_put(const struct hz_store_alert *alert);
/* The same, committed (FULL) on return. Blocking, about a millisecond. */
HZ_MUST_CHECK int hz_store_alert_keep(const struct hz_store_alert *alert);
/* Newest first, without silences; open_only: those not cleared. Caller frees. */
HZ_MUST_CHECK int hz_store_alert_list(bool open_only, size_t limit, struct hz_store_alert **ret_list, size_t *ret_count);
/* Also cleared ones, raised before before_ms (0: from the newest). */
HZ_MUST_CHECK int hz_store_alert_history(int64_t before_ms, size_t limit, struct hz_store_alert **ret_list, size_t *ret_count);
/* At start: what is open, silences too. */
HZ_MUST_CHECK int hz_store_alert_open(struct hz_store_alert **ret_list, size_t *ret_count);

/* Secrets: an opaque sealed blob by name. Synchronous, FULL. HZ_ENOTFOUND. ret_sealed: caller frees. */
HZ_MUST_CHECK int hz_store_secret_put(const char *name, const void *sealed, size_t len);
HZ_MUST_CHECK int hz_store_secret_get(const char *name, void **ret_sealed, size_t *ret_len);
HZ_MUST_CHECK int hz_store_secret_delete(const char *name);
json_t *hz_store_secret_list(void); /* [{name, updatedMs}]; NULL: error */
/* All of them replaced in one commit (rotation): names and blobs, `count` each. */
HZ_MUST_CHECK int hz_store_secret_replace(const char *const *names, const void *const *sealed, const size_t *lens, size_t count);

/* Workflows: synchronous, committed (FULL) on return. */
HZ_MUST_CHECK int hz_store_workflow_put(const char *id, const char *version, const char *text, size_t len, const char *author, uint64_t hash);
/* text: caller frees. version NULL: newest. */
HZ_MUST_CHECK int hz_store_workflow_get(const char *id, const char *version, char **ret_text, size_t *ret_len, char ret_version[32],
        uint64_t *ret_hash, int64_t *ret_updated_ms);
/* Array of {id, version, hash, updatedMs, enabled}. */
json_t *hz_store_workflow_list(void);
json_t *hz_store_workflow_versions(const char *id);

uint64_t hz_store_pending(void); /* rows handed over and not yet committed */
uint64_t hz_store_lag_ms(void);  /* age of the oldest of them, 0: none */
bool hz_store_degraded(void);    /* the last commit failed (disk full, write error); the writer tries again each second */
/* {file, bytes, walBytes, freeBytes, maxBytes, schema, pending, lagMs, degraded, error?, rows: {executions, ...}} ; NULL: error. */
json_t *hz_store_stats(void);
/* Copies the open store into a file while it is in use (SQLite's backup, 256 pages a step); it appears under its name when whole
 * and on disk, mode 0600. Blocking: call it on a thread that may wait. HZ_EEXISTS: the file is there. */
HZ_MUST_CHECK int hz_store_backup(const char *file);

/* ---- with no store open: for `horizon db` on a data directory whose lock the caller holds (store_offline.c) ---- */
/* Full integrity check with SQLite's and every payload's checksum. 0, or HZ_EFORMAT; `say` hears one sentence a finding. */
HZ_MUST_CHECK int hz_store_check(const char *file, void (*say)(const char *text, void *arg), void *arg);
/* Copies file to target the same way hz_store_backup() does. */
HZ_MUST_CHECK int hz_store_copy(const char *file, const char *target);
/* Puts a checked copy of `file` in the place of DIR/horizon.db; the old one stays as horizon.db.before-restore. */
HZ_MUST_CHECK int hz_store_restore(const char *data_dir, const char *file);
json_t *hz_store_file_stats(const char *data_dir);

#endif
