/*
 * store_put.c - the face's other half: what callers hand over becomes an entry of the queue; what of finished executions is kept,
 * sampled or only counted. Any thread.
 *
 * Synchronisation: `second` and `passed` are relaxed atomics, a sample and no budget. The table of counts has one lock, held for one
 * look-up; `taken` belongs to the writer thread.
 */
#include "store_db.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SAMPLE_PER_SECOND 100u
#define COUNTS 256u

struct count {
    char workflow_id[128];
    int64_t hour, count;
    int state;
};
static struct {
    pthread_mutex_t lock;
    struct count counts[COUNTS]; /* hash by name and state; count 0: free */
    atomic_bool waiting;
    struct count taken[COUNTS];
    size_t taken_count;
} counters = {.lock = PTHREAD_MUTEX_INITIALIZER};
static _Atomic uint64_t second;
static _Atomic uint32_t passed;

void hz_store_execution_fini(struct hz_store_execution *row)
{
    char **texts[] = {&row->input, &row->result, &row->error, &row->error_node, &row->error_code, &row->idempotency_key, &row->dedup_key};
    for (size_t i = 0; i < HZ_COUNT_OF(texts); i++) {
        free(*texts[i]);
        *texts[i] = NULL;
    }
}

/* False: the table is full of others. */
static bool count_in_memory(const struct hz_store_execution *row)
{
    int64_t hour = row->ended_wall_ms / 3600000;
    size_t at = (size_t)(hz_store_sum(row->workflow_id, strlen(row->workflow_id)) + (unsigned)row->state) % COUNTS;
    bool ok = false;
    pthread_mutex_lock(&counters.lock);
    for (size_t i = 0; i < 8 && !ok; i++, at = (at + 1) % COUNTS) {
        struct count *c = &counters.counts[at];
        if (c->count == 0) {
            snprintf(c->workflow_id, sizeof c->workflow_id, "%s", row->workflow_id);
            c->hour = hour;
            c->state = (int)row->state;
        }
        ok = c->hour == hour && c->state == (int)row->state && strcmp(c->workflow_id, row->workflow_id) == 0;
        c->count += ok;
    }
    if (ok)
        atomic_store_explicit(&counters.waiting, true, memory_order_relaxed);
    pthread_mutex_unlock(&counters.lock);
    return ok;
}

bool hz_store_counters_waiting(void)
{
    return atomic_load_explicit(&counters.waiting, memory_order_relaxed);
}

int hz_store_counters_flush(struct hz_store_connection *connection)
{
    if (counters.taken_count == 0 && hz_store_counters_waiting()) {
        pthread_mutex_lock(&counters.lock);
        for (size_t i = 0; i < COUNTS; i++)
            if (counters.counts[i].count > 0) {
                counters.taken[counters.taken_count++] = counters.counts[i];
                counters.counts[i].count = 0;
            }
        atomic_store_explicit(&counters.waiting, false, memory_order_relaxed);
        pthread_mutex_unlock(&counters.lock);
    }
    int err = 0;
    for (size_t i = 0; i < counters.taken_count && !err; i++) {
        sqlite3_stmt *s = hz_store_statement(connection, HZ_SQL_COUNT_ONE);
        if (!s)
            return HZ_EFORMAT;
        hz_store_bind_text(s, 1, counters.taken[i].workflow_id);
        sqlite3_bind_int64(s, 2, counters.taken[i].hour);
        sqlite3_bind_int(s, 3, counters.taken[i].state);
        sqlite3_bind_int64(s, 4, counters.taken[i].count);
        err = hz_store_step(connection, s, "counting executions");
    }
    return err;
}

void hz_store_counters_flushed(bool committed)
{
    if (committed)
        counters.taken_count = 0;
}

void hz_store_counters_drop(void)
{
    memset(counters.counts, 0, sizeof counters.counts);
    counters.taken_count = 0;
    atomic_store(&counters.waiting, false);
}

/* At most SAMPLE_PER_SECOND a second pass; the second is replaced by whoever first notices the next one, so around the change
 * of a second a few more may pass. */
static bool sample_passes(void)
{
    uint64_t now = hz_base_now_ns() / 1000000000u;
    if (atomic_load_explicit(&second, memory_order_relaxed) != now) {
        atomic_store_explicit(&second, now, memory_order_relaxed);
        atomic_store_explicit(&passed, 0, memory_order_relaxed);
    }
    return atomic_fetch_add_explicit(&passed, 1, memory_order_relaxed) < SAMPLE_PER_SECOND;
}

static bool kept(const struct hz_store_execution *row)
{
    if (row->dead)
        return true;
    switch (row->history) {
    case HZ_HISTORY_ALL:
        return true;
    case HZ_HISTORY_SAMPLE:
        return row->state != HZ_EXEC_SUCCESS || sample_passes();
    case HZ_HISTORY_COUNTERS:
        return false;
    }
    return true;
}

static size_t length(const char *text)
{
    return text ? strlen(text) : 0;
}

static int hand_over_row(enum hz_store_kind kind, struct hz_store_execution *row, bool durable, hz_store_done_fn *done, void *arg)
{
    struct hz_store_entry *e = hz_store_entry_new(kind, length(row->input) + length(row->result) + length(row->error));
    if (!e)
        return HZ_ENOMEM;
    e->row = *row;
    e->durable = durable;
    e->done = done;
    e->arg = arg;
    int err = hz_store_hand_over(e, false);
    if (err)
        free(e); /* the strings stay the caller's */
    else
        row->input = row->result = row->error = row->error_node = row->error_code = row->idempotency_key = row->dedup_key = NULL;
    return err;
}

int hz_store_put(struct hz_store_execution *row, bool durable, hz_store_done_fn *done, void *arg)
{
    bool final = row->state >= HZ_EXEC_SUCCESS;
    if (!final && row->history != HZ_HISTORY_ALL && !durable && !done && !row->stored)
        goto nothing; /* written behind: only its end is of interest */
    if (!final || kept(row))
        return hand_over_row(HZ_STORE_ROW, row, durable, done, arg);
    if (row->stored || done)
        return hand_over_row(HZ_STORE_FORGET, row, durable, done, arg);
    if (!count_in_memory(row))
        return hand_over_row(HZ_STORE_COUNT, row, false, NULL, NULL);
nothing:
    hz_store_execution_fini(row);
    return 0;
}

/* ---- pieces ---- */

static int hand_over_piece(enum hz_store_kind kind, const struct hz_uuid *execution, uint32_t ordinal, bool base, void *data, size_t len,
        bool durable, hz_store_done_fn *done, void *arg)
{
    struct hz_store_entry *e = hz_store_entry_new(kind, len);
    if (!e)
        return HZ_ENOMEM;
    e->piece.execution = *execution;
    e->piece.ordinal = ordinal;
    e->piece.base = base;
    e->piece.data = data;
    e->piece.len = len;
    e->durable = durable;
    e->done = done;
    e->arg = arg;
    int err = hz_store_hand_over(e, false);
    if (err)
        free(e);
    return err;
}

int hz_store_checkpoint_put(const struct hz_uuid *execution, uint32_t ordinal, bool base, void *data, size_t len, bool durable,
        hz_store_done_fn *done, void *arg)
{
    return hand_over_piece(HZ_STORE_CHECKPOINT, execution, ordinal, base, data, len, durable, done, arg);
}

int hz_store_node_runs_put(const struct hz_uuid *execution, void *data, size_t len)
{
    return hand_over_piece(HZ_STORE_NODE_RUNS, execution, 0, false, data, len, false, NULL, NULL);
}

int hz_store_crash_put(struct hz_store_crash *crash)
{
    struct hz_store_entry *e = hz_store_entry_new(HZ_STORE_CRASH, length(crash->report) + length(crash->signature));
    if (!e)
        return HZ_ENOMEM;
    e->crash = *crash;
    int err = hz_store_hand_over(e, false);
    if (err)
        free(e);
    else
        crash->node = crash->signature = crash->report = NULL;
    return err;
}

static int hand_over_lossy(struct hz_store_entry *e)
{
    int err = hz_store_hand_over(e, true);
    if (err)
        hz_store_entry_free(e);
    return err;
}

int hz_store_log_put(int64_t at_wall_ms, int level, const char *workflow_id, const char *worker_id, const struct hz_uuid *execution,
        const char *text, size_t len)
{
    struct hz_store_entry *e = hz_store_entry_new(HZ_STORE_LOG, len);
    if (!e)
        return HZ_ENOMEM;
    e->log.at_ms = at_wall_ms;
    e->log.level = level;
    snprintf(e->log.workflow_id, sizeof e->log.workflow_id, "%s", workflow_id ? workflow_id : "");
    snprintf(e->log.worker_id, sizeof e->log.worker_id, "%s", worker_id ? worker_id : "");
    if (execution)
        e->log.execution = *execution;
    e->log.len = len;
    e->log.text = malloc(len + 1);
    if (!e->log.text) {
        hz_store_entry_free(e);
        return hz_err_set(HZ_ENOMEM, "store");
    }
    memcpy(e->log.text, text, len);
    return hand_over_lossy(e);
}

int hz_store_metric_put(const char *subject, int64_t at_s, const struct hz_store_metric *sample)
{
    struct hz_store_entry *e = hz_store_entry_new(HZ_STORE_METRIC, 0);
    if (!e)
        return HZ_ENOMEM;
    snprintf(e->metric.subject, sizeof e->metric.subject, "%s", subject);
    e->metric.at_s = at_s;
    e->metric.sample = *sample;
    return hand_over_lossy(e);
}

int hz_store_alert_put(const struct hz_store_alert *alert)
{
    struct hz_store_entry *e = hz_store_entry_new(HZ_STORE_ALERT, sizeof *alert);
    if (!e)
        return HZ_ENOMEM;
    e->alert = malloc(sizeof *alert);
    if (!e->alert) {
        hz_store_entry_free(e);
        return hz_err_set(HZ_ENOMEM, "store");
    }
    *e->alert = *alert;
    int err = hz_store_hand_over(e, false);
    if (err)
        hz_store_entry_free(e);
    return err;
}

static int keep_alert(struct hz_store_connection *c, void *arg)
{
    return hz_store_write_alert(c, arg);
}

int hz_store_alert_keep(const struct hz_store_alert *alert)
{
    struct hz_store_alert copy = *alert;
    return hz_store_call(keep_alert, &copy);
}
