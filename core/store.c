/*
 * store.c - the store's face: a queue to the one writer thread, group commit, and reads on a connection of their own.
 *
 * Synchronisation
 *   queue      wait-free (liburcu wfcqueue): any thread enqueues, only the writer dequeues; the node's contents are visible
 *              to the writer by the queue's own ordering.
 *   handed     rows ever handed over: atomic, added before the enqueue, so that `handed - settled` never runs negative.
 *   settled    rows committed or refused: only the writer stores it (release, under `lock`), after COMMIT; a reader that sees
 *              settled >= its own snapshot of handed therefore reads the rows from the database.
 *   sleeping   the writer sets it under `lock` before it waits; a producer looks at it behind a full fence after its enqueue and
 *              signals. The writer looks at the queue once more between the two, so no wake-up is lost.
 */
#include "store_db.h"

#include "edges.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <urcu/wfcqueue.h>

#define PENDING_ROWS 1000000u
#define BATCH_ROWS 2000u
#define SAMPLE_PER_SECOND 100u
#define PRUNE_EVERY 4096u

struct entry {
    struct cds_wfcq_node node;
    struct hz_store_execution row;
    bool durable;
    hz_store_done_fn *done;
    void *arg;
    struct entry *next; /* writer: within its batch */
};

static struct {
    struct cds_wfcq_head head;
    struct cds_wfcq_tail tail;
    _Atomic uint64_t handed, settled, sampled_out;
    _Atomic uint64_t sample_second;
    _Atomic uint32_t sample_count;
    atomic_bool sleeping, stopping, degraded;
    pthread_mutex_t lock;
    pthread_cond_t wake, settled_more;
    pthread_t writer;
    sqlite3 *write_db, *read_db;
    struct hz_store_writer statements;
    uint32_t history;
    uint64_t since_prune;
    bool open;
} store;

void hz_store_execution_fini(struct hz_store_execution *row)
{
    free(row->input);
    free(row->result);
    free(row->error);
    free(row->error_node);
    free(row->error_code);
    row->input = row->result = row->error = row->error_node = row->error_code = NULL;
}

/* Settles a chain of rows: callbacks, then memory, then the count that readers wait for. */
static void settle(struct entry *first, int result)
{
    uint64_t n = 0;
    for (struct entry *e = first, *next; e; e = next) {
        next = e->next;
        if (e->done)
            e->done(result, e->arg);
        hz_store_execution_fini(&e->row);
        free(e);
        n++;
    }
    pthread_mutex_lock(&store.lock);
    atomic_fetch_add_explicit(&store.settled, n, memory_order_release);
    pthread_cond_broadcast(&store.settled_more);
    pthread_mutex_unlock(&store.lock);
}

static struct entry *take_batch(bool *ret_full)
{
    struct entry *first = NULL, **link = &first;
    *ret_full = false;
    for (unsigned n = 0; n < BATCH_ROWS; n++) {
        struct cds_wfcq_node *node = __cds_wfcq_dequeue_blocking(&store.head, &store.tail);
        if (!node)
            break;
        HZ_EDGE_IN(&store.head);
        struct entry *e = HZ_CONTAINER_OF(node, struct entry, node);
        e->next = NULL;
        *link = e;
        link = &e->next;
        *ret_full |= e->durable;
    }
    return first;
}

static int write_batch(struct entry *first, bool full)
{
    int err = hz_store_writer_begin(&store.statements, full);
    uint64_t n = 0;
    for (struct entry *e = first; e && !err; e = e->next, n++)
        err = hz_store_writer_row(&store.statements, &e->row);
    store.since_prune += n;
    if (!err && store.since_prune >= PRUNE_EVERY) {
        err = hz_store_writer_prune(&store.statements, store.history);
        store.since_prune = 0;
    }
    if (!err)
        err = hz_store_writer_commit(&store.statements);
    if (err)
        hz_store_writer_rollback(&store.statements);
    return err;
}

/* Those who wait for an answer hear the failure; the others stay for the next attempt. Returns what stays. */
static struct entry *refuse_waiting(struct entry *first, int err)
{
    struct entry *keep = NULL, **keep_link = &keep, *refused = NULL, **refused_link = &refused;
    for (struct entry *e = first, *next; e; e = next) {
        next = e->next;
        e->next = NULL;
        if (e->done) {
            *refused_link = e;
            refused_link = &e->next;
        } else {
            *keep_link = e;
            keep_link = &e->next;
        }
    }
    if (refused)
        settle(refused, err);
    return keep;
}

static void sleep_until_work(bool retry)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 1;
    pthread_mutex_lock(&store.lock);
    atomic_store(&store.sleeping, true);
    atomic_thread_fence(memory_order_seq_cst);
    if (!atomic_load(&store.stopping) && (retry || cds_wfcq_empty(&store.head, &store.tail)))
        pthread_cond_timedwait(&store.wake, &store.lock, &until);
    atomic_store(&store.sleeping, false);
    pthread_mutex_unlock(&store.lock);
}

static void *writer_main(void *arg)
{
    (void)arg;
    struct entry *kept = NULL; /* rows of a failed commit, oldest first */
    unsigned last_tries = 0;
    for (;;) {
        bool full = true;
        struct entry *batch = kept ? kept : take_batch(&full);
        if (!batch) {
            if (atomic_load(&store.stopping) && cds_wfcq_empty(&store.head, &store.tail))
                break;
            sleep_until_work(false);
            continue;
        }
        kept = NULL;
        int err = write_batch(batch, full);
        if (!err) {
            if (atomic_exchange(&store.degraded, false))
                HZ_LOG(INFO, "store: writing again");
            settle(batch, 0);
            continue;
        }
        if (!atomic_exchange(&store.degraded, true))
            HZ_LOG(ERROR, "%s; executions that need the disk are refused until it is written again", hz_err_last());
        kept = refuse_waiting(batch, err);
        if (atomic_load(&store.stopping) && ++last_tries > 3) {
            HZ_LOG(ERROR, "store: gave up writing the last rows at the end");
            settle(kept, err);
            kept = NULL;
            continue;
        }
        sleep_until_work(true);
    }
    return NULL;
}

int hz_store_open(const char *data_dir, uint32_t history)
{
    HZ_ASSERT(!store.open);
    memset(&store, 0, sizeof store);
    cds_wfcq_init(&store.head, &store.tail);
    store.history = history;
    int err = hz_store_db_open(data_dir, &store.write_db);
    if (!err)
        err = hz_store_db_open(data_dir, &store.read_db);
    if (!err)
        err = hz_store_writer_init(&store.statements, store.write_db);
    if (!err) {
        pthread_mutex_init(&store.lock, NULL);
        pthread_cond_init(&store.wake, NULL);
        pthread_cond_init(&store.settled_more, NULL);
        int code = pthread_create(&store.writer, NULL, writer_main, NULL);
        if (code)
            err = hz_err_set(-code, "store: cannot start the writer thread");
    }
    if (err) {
        hz_store_writer_fini(&store.statements);
        sqlite3_close(store.read_db);
        sqlite3_close(store.write_db);
        return err;
    }
    store.open = true;
    return 0;
}

void hz_store_close(void)
{
    if (!store.open)
        return;
    pthread_mutex_lock(&store.lock);
    atomic_store(&store.stopping, true);
    pthread_cond_signal(&store.wake);
    pthread_mutex_unlock(&store.lock);
    pthread_join(store.writer, NULL);
    hz_store_writer_fini(&store.statements);
    sqlite3_close(store.read_db);
    sqlite3_close(store.write_db);
    pthread_mutex_destroy(&store.lock);
    pthread_cond_destroy(&store.wake);
    pthread_cond_destroy(&store.settled_more);
    store.open = false;
}

/* At most SAMPLE_PER_SECOND a second pass; the second is replaced by whoever first notices the next one, so around the change
 * of a second a few more may pass: a sample, not a budget. */
static bool sample_passes(const struct hz_store_execution *row)
{
    if (row->state < HZ_EXEC_SUCCESS)
        return false;
    if (row->state != HZ_EXEC_SUCCESS)
        return true;
    uint64_t second = hz_base_now_ns() / 1000000000u;
    if (atomic_load_explicit(&store.sample_second, memory_order_relaxed) != second) {
        atomic_store_explicit(&store.sample_second, second, memory_order_relaxed);
        atomic_store_explicit(&store.sample_count, 0, memory_order_relaxed);
    }
    return atomic_fetch_add_explicit(&store.sample_count, 1, memory_order_relaxed) < SAMPLE_PER_SECOND;
}

int hz_store_put(struct hz_store_execution *row, bool durable, hz_store_done_fn *done, void *arg)
{
    HZ_ASSERT(store.open);
    if (row->sampled && !durable && !done && !sample_passes(row)) {
        atomic_fetch_add_explicit(&store.sampled_out, 1, memory_order_relaxed);
        hz_store_execution_fini(row);
        return 0;
    }
    if (hz_store_pending() >= PENDING_ROWS)
        return hz_err_set(HZ_EBUSY, "store: %u rows wait to be written", PENDING_ROWS);
    struct entry *e = calloc(1, sizeof *e);
    if (!e)
        return hz_err_set(HZ_ENOMEM, "store");
    e->row = *row;
    row->input = row->result = row->error = row->error_node = row->error_code = NULL;
    e->durable = durable;
    e->done = done;
    e->arg = arg;
    cds_wfcq_node_init(&e->node);
    atomic_fetch_add(&store.handed, 1);
    HZ_EDGE_OUT(&store.head);
    cds_wfcq_enqueue(&store.head, &store.tail, &e->node);
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_load_explicit(&store.sleeping, memory_order_relaxed)) {
        pthread_mutex_lock(&store.lock);
        pthread_cond_signal(&store.wake);
        pthread_mutex_unlock(&store.lock);
    }
    return 0;
}

uint64_t hz_store_pending(void)
{
    uint64_t settled = atomic_load(&store.settled);
    return atomic_load(&store.handed) - settled;
}

bool hz_store_degraded(void)
{
    return atomic_load(&store.degraded);
}

/* Waits until what was handed over before this call is settled, at most a second (a degraded store settles nothing). */
static void wait_settled(void)
{
    uint64_t target = atomic_load(&store.handed);
    if (atomic_load_explicit(&store.settled, memory_order_acquire) >= target)
        return;
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 1;
    pthread_mutex_lock(&store.lock);
    while (atomic_load(&store.settled) < target)
        if (pthread_cond_timedwait(&store.settled_more, &store.lock, &until))
            break;
    pthread_mutex_unlock(&store.lock);
}

static int prepare_read(const char *sql, sqlite3_stmt **ret)
{
    HZ_ASSERT(store.open);
    return sqlite3_prepare_v2(store.read_db, sql, -1, ret, NULL) == SQLITE_OK ? 0 : hz_store_db_error(store.read_db, "reading");
}

int hz_store_get(const struct hz_uuid *id, struct hz_store_execution *ret_row)
{
    sqlite3_stmt *s;
    wait_settled();
    int err = prepare_read("SELECT " HZ_STORE_COLUMNS ", p.input, p.result FROM executions e LEFT JOIN payloads p USING (sequence)"
                           " WHERE e.id = ?1", &s);
    if (err)
        return err;
    sqlite3_bind_blob(s, 1, id->bytes, sizeof id->bytes, SQLITE_STATIC);
    int code = sqlite3_step(s);
    if (code == SQLITE_ROW)
        err = hz_store_db_row(s, true, ret_row);
    else
        err = code == SQLITE_DONE ? HZ_ENOTFOUND : hz_store_db_error(store.read_db, "reading an execution");
    sqlite3_finalize(s);
    return err;
}

static int collect(sqlite3_stmt *s, bool payloads, struct hz_store_execution **ret_rows, size_t *ret_count)
{
    struct hz_store_execution *rows = NULL;
    size_t count = 0, capacity = 0;
    int code, err = 0;
    while (!err && (code = sqlite3_step(s)) == SQLITE_ROW) {
        if (count == capacity) {
            capacity = capacity ? 2 * capacity : 64;
            struct hz_store_execution *grown = realloc(rows, capacity * sizeof *rows);
            if (!grown) {
                err = hz_err_set(HZ_ENOMEM, "listing executions");
                break;
            }
            rows = grown;
        }
        err = hz_store_db_row(s, payloads, &rows[count]);
        count += !err;
    }
    if (!err && code != SQLITE_DONE)
        err = hz_store_db_error(store.read_db, "listing executions");
    sqlite3_finalize(s);
    if (err) {
        for (size_t i = 0; i < count; i++)
            hz_store_execution_fini(&rows[i]);
        free(rows);
        return err;
    }
    *ret_rows = rows;
    *ret_count = count;
    return 0;
}

int hz_store_list(const char *workflow_id, int activations, int64_t before_created_ms, size_t limit, struct hz_store_execution **ret_rows,
        size_t *ret_count)
{
    sqlite3_stmt *s;
    wait_settled();
    int err = prepare_read("SELECT " HZ_STORE_COLUMNS " FROM executions e WHERE (?1 IS NULL OR e.workflow_id = ?1) AND e.is_activation = ?2"
                           " AND (?3 = 0 OR e.created_ms < ?3) ORDER BY e.created_ms DESC, e.sequence DESC LIMIT ?4", &s);
    if (err)
        return err;
    if (workflow_id)
        sqlite3_bind_text(s, 1, workflow_id, -1, SQLITE_STATIC);
    sqlite3_bind_int(s, 2, activations);
    sqlite3_bind_int64(s, 3, before_created_ms);
    sqlite3_bind_int64(s, 4, (sqlite3_int64)HZ_MIN(limit, (size_t)10000));
    return collect(s, false, ret_rows, ret_count);
}

int hz_store_unfinished(struct hz_store_execution **ret_rows, size_t *ret_count)
{
    sqlite3_stmt *s;
    int err = prepare_read("SELECT " HZ_STORE_COLUMNS ", p.input, p.result FROM executions e LEFT JOIN payloads p USING (sequence)"
                           " WHERE e.state < 4 ORDER BY e.sequence", &s);
    return err ? err : collect(s, true, ret_rows, ret_count);
}

/* ---- workflows: rare and small, written through the read connection at once (SQLite serialises it with the writer) ---- */

int hz_store_workflow_put(const char *id, const char *version, const char *text, size_t len, const char *author, uint64_t hash)
{
    sqlite3_stmt *s;
    int err = prepare_read("INSERT INTO workflows (id, version, text, hash, author, updated_ms) VALUES (?1,?2,?3,?4,?5,?6)"
                           " ON CONFLICT (id, version) DO UPDATE SET text=?3, hash=?4, author=?5, updated_ms=?6", &s);
    if (err)
        return err;
    sqlite3_bind_text(s, 1, id, -1, SQLITE_STATIC);
    sqlite3_bind_text(s, 2, version, -1, SQLITE_STATIC);
    sqlite3_bind_text64(s, 3, text, len, SQLITE_STATIC, SQLITE_UTF8);
    sqlite3_bind_int64(s, 4, (sqlite3_int64)hash);
    sqlite3_bind_text(s, 5, author, -1, SQLITE_STATIC);
    sqlite3_bind_int64(s, 6, hz_base_wall_ms());
    if (sqlite3_step(s) != SQLITE_DONE)
        err = hz_store_db_error(store.read_db, "writing a workflow");
    sqlite3_finalize(s);
    return err;
}

int hz_store_workflow_get(const char *id, const char *version, char **ret_text, size_t *ret_len, char ret_version[32], uint64_t *ret_hash,
        int64_t *ret_updated_ms)
{
    sqlite3_stmt *s;
    int err = prepare_read("SELECT text, version, hash, updated_ms FROM workflows WHERE id = ?1 AND (?2 IS NULL OR version = ?2)"
                           " ORDER BY sequence DESC LIMIT 1", &s);
    if (err)
        return err;
    sqlite3_bind_text(s, 1, id, -1, SQLITE_STATIC);
    if (version)
        sqlite3_bind_text(s, 2, version, -1, SQLITE_STATIC);
    int code = sqlite3_step(s);
    if (code == SQLITE_ROW) {
        size_t len = (size_t)sqlite3_column_bytes(s, 0);
        char *text = malloc(len + 1);
        if (text) {
            memcpy(text, sqlite3_column_blob(s, 0), len);
            text[len] = 0;
            *ret_text = text;
            *ret_len = len;
            snprintf(ret_version, 32, "%s", (const char *)sqlite3_column_text(s, 1));
            *ret_hash = (uint64_t)sqlite3_column_int64(s, 2);
            *ret_updated_ms = sqlite3_column_int64(s, 3);
        } else {
            err = hz_err_set(HZ_ENOMEM, "reading workflow %s", id);
        }
    } else {
        err = code == SQLITE_DONE ? HZ_ENOTFOUND : hz_store_db_error(store.read_db, "reading a workflow");
    }
    sqlite3_finalize(s);
    return err;
}

static json_t *workflow_rows(const char *sql, const char *id)
{
    sqlite3_stmt *s;
    if (prepare_read(sql, &s))
        return NULL;
    if (id)
        sqlite3_bind_text(s, 1, id, -1, SQLITE_STATIC);
    json_t *list = json_array();
    while (sqlite3_step(s) == SQLITE_ROW)
        if (json_array_append_new(list, json_pack("{s:s, s:s, s:I, s:I, s:b, s:s}", "id", sqlite3_column_text(s, 0), "version",
                    sqlite3_column_text(s, 1), "hash", (json_int_t)sqlite3_column_int64(s, 2), "updatedMs",
                    (json_int_t)sqlite3_column_int64(s, 3), "enabled", 1, "author", sqlite3_column_text(s, 4)))) {
            json_decref(list);
            list = NULL;
            break;
        }
    sqlite3_finalize(s);
    return list;
}

json_t *hz_store_workflow_list(void)
{
    return workflow_rows("SELECT id, version, hash, updated_ms, author FROM workflows w WHERE sequence ="
                         " (SELECT MAX(sequence) FROM workflows WHERE id = w.id) ORDER BY id", NULL);
}

json_t *hz_store_workflow_versions(const char *id)
{
    return workflow_rows("SELECT id, version, hash, updated_ms, author FROM workflows WHERE id = ?1 ORDER BY sequence DESC", id);
}
