/*
 * store.h - what must survive: workflows with their versions, executions. SQLite in WAL mode, one writer thread with group
 * commit; callers hand rows over and are called back after COMMIT. Readers use their own connection and never wait.
 */
#ifndef HZ_CORE_STORE_H
#define HZ_CORE_STORE_H

#include "shm/shm.h"
#include <jansson.h>

struct hz_store_execution {
    struct hz_uuid id, activation; /* activation: nil if none */
    char workflow_id[128], version[32], trigger[32];
    enum hz_exec_state state;
    uint32_t attempt, is_activation;
    int64_t created_wall_ms, started_wall_ms, ended_wall_ms; /* 0: not yet */
    char worker_id[HZ_UUID_TEXT];
    char *input, *result, *error, *error_node, *error_code; /* malloc'ed or NULL; taken by hz_store_put */
    uint64_t node_runs, cpu_ns, peak_bytes;
    bool sampled; /* durability none: only failures and at most 100 other ends a second are kept, the rest are counted */
};
void hz_store_execution_fini(struct hz_store_execution *row);

/* history: finished executions kept; the oldest go first, in small steps. */
HZ_MUST_CHECK int hz_store_open(const char *data_dir, uint32_t history);
void hz_store_close(void); /* writes everything handed over, then ends the writer */

/* Hands a row over (insert or update by id; a final state never changes: such an update is ignored). Takes the strings.
 * durable: the batch is committed with synchronous=FULL. done (may be NULL) is called on the writer thread after COMMIT with 0, or
 * with the error. HZ_EBUSY: the queue bound is reached (nothing taken). */
typedef void hz_store_done_fn(int result, void *arg);
HZ_MUST_CHECK int hz_store_put(struct hz_store_execution *row, bool durable, hz_store_done_fn *done, void *arg);
/* Reads one row, also one still on its way. HZ_ENOTFOUND. */
HZ_MUST_CHECK int hz_store_get(const struct hz_uuid *id, struct hz_store_execution *ret_row);
/* Newest first, after `before_created_ms`/`before_id` (0/NULL: from the newest), at most limit rows. Caller frees rows and fields. */
HZ_MUST_CHECK int hz_store_list(const char *workflow_id, int activations, int64_t before_created_ms, size_t limit,
        struct hz_store_execution **ret_rows, size_t *ret_count);
/* At start: every row that is not final; the caller decides (interrupted, or run again). */
HZ_MUST_CHECK int hz_store_unfinished(struct hz_store_execution **ret_rows, size_t *ret_count);

/* Workflows: synchronous, committed (FULL) on return. */
HZ_MUST_CHECK int hz_store_workflow_put(const char *id, const char *version, const char *text, size_t len, const char *author, uint64_t hash);
/* text: caller frees. version NULL: newest. */
HZ_MUST_CHECK int hz_store_workflow_get(const char *id, const char *version, char **ret_text, size_t *ret_len, char ret_version[32],
        uint64_t *ret_hash, int64_t *ret_updated_ms);
/* Array of {id, version, hash, updatedMs, enabled}. */
json_t *hz_store_workflow_list(void);
json_t *hz_store_workflow_versions(const char *id);
uint64_t hz_store_pending(void); /* rows handed over and not yet committed */
bool hz_store_degraded(void);    /* the last commit failed (disk full, write error); the writer tries again each second */

#endif
