/*
 * store_read.c - reads of executions and their pieces, on connections of the readers' own. Any thread.
 *
 * Synchronisation: the pool's list has one lock, held for a push or a pop; a connection belongs to who took it. A reader sees one
 * snapshot of the file and never waits for the writer; read-your-own-writes is by waiting, bounded, for what was handed over before.
 */
#include "store_db.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define SETTLE_MS 1000u     /* for one row that is not final in the file */
#define READERS 4u
#define SETTLE_LIST_MS 100u /* a list may lack the newest rows */

static struct {
    pthread_mutex_t lock;
    struct hz_store_connection *free;
} readers = {.lock = PTHREAD_MUTEX_INITIALIZER};

struct hz_store_connection *hz_store_reader_take(void)
{
    const char *path = hz_store_path();
    pthread_mutex_lock(&readers.lock);
    struct hz_store_connection *c = readers.free;
    if (c)
        readers.free = c->next;
    pthread_mutex_unlock(&readers.lock);
    if (c)
        return c;
    c = calloc(1, sizeof *c);
    if (!c) {
        (void)hz_err_set(HZ_ENOMEM, "store: opening a reader");
        return NULL;
    }
    if (hz_store_connect(path, HZ_STORE_READER, c)) {
        free(c);
        return NULL;
    }
    return c;
}

void hz_store_reader_give(struct hz_store_connection *connection)
{
    pthread_mutex_lock(&readers.lock);
    connection->next = readers.free;
    readers.free = connection;
    pthread_mutex_unlock(&readers.lock);
}

void hz_store_readers_open(void)
{
    struct hz_store_connection *first[READERS];
    size_t count = 0;
    while (count < READERS && (first[count] = hz_store_reader_take()) != NULL)
        count++;
    while (count > 0)
        hz_store_reader_give(first[--count]);
}

void hz_store_readers_close(void)
{
    while (readers.free) {
        struct hz_store_connection *c = readers.free;
        readers.free = c->next;
        hz_store_disconnect(c);
        free(c);
    }
}

/* ---- executions ---- */

/* One row of a statement whose bindings are made; the statement is reset. */
static int one(struct hz_store_connection *c, sqlite3_stmt *s, struct hz_store_execution *ret_row)
{
    int code = sqlite3_step(s), err;
    if (code == SQLITE_ROW)
        err = hz_store_row_read(s, true, ret_row);
    else
        err = code == SQLITE_DONE ? HZ_ENOTFOUND : hz_store_db_error(c->db, "reading an execution");
    if (!err && ret_row->damaged) {
        hz_store_execution_fini(ret_row);
        err = hz_err_set(HZ_EFORMAT, "store: what is kept of this execution is damaged (`horizon db check` says where)");
    }
    sqlite3_reset(s);
    return err;
}

static int get_now(const struct hz_uuid *id, struct hz_store_execution *ret_row)
{
    struct hz_store_connection *c = hz_store_reader_take();
    if (!c)
        return HZ_EFORMAT;
    sqlite3_stmt *s = hz_store_statement(c, HZ_SQL_GET);
    int err = HZ_EFORMAT;
    if (s) {
        sqlite3_bind_blob(s, 1, id->bytes, sizeof id->bytes, SQLITE_STATIC);
        err = one(c, s, ret_row);
    }
    hz_store_reader_give(c);
    return err;
}

int hz_store_get(const struct hz_uuid *id, struct hz_store_execution *ret_row)
{
    uint64_t pending = hz_store_pending();
    int err = get_now(id, ret_row);
    bool final = !err && ret_row->state >= HZ_EXEC_SUCCESS; /* for ever */
    if (final || pending == 0 || (err && err != HZ_ENOTFOUND))
        return err;
    hz_store_wait_settled(SETTLE_MS);
    if (!err)
        hz_store_execution_fini(ret_row);
    return get_now(id, ret_row);
}

static int by_key(enum hz_store_sql which, const char *workflow_id, const char *key, struct hz_store_execution *ret_row)
{
    struct hz_store_connection *c = hz_store_reader_take();
    if (!c)
        return HZ_EFORMAT;
    sqlite3_stmt *s = hz_store_statement(c, which);
    int err = HZ_EFORMAT;
    if (s) {
        hz_store_bind_text(s, 1, workflow_id);
        hz_store_bind_text(s, 2, key);
        err = one(c, s, ret_row);
        sqlite3_clear_bindings(s);
    }
    hz_store_reader_give(c);
    return err;
}

int hz_store_by_idempotency_key(const char *workflow_id, const char *key, struct hz_store_execution *ret_row)
{
    /* Nothing to wait for: the row with the key was on disk before anybody heard of it. */
    return by_key(HZ_SQL_BY_IDEMPOTENCY, workflow_id, key, ret_row);
}

int hz_store_by_dedup_key(const char *workflow_id, const char *key, struct hz_store_execution *ret_row)
{
    hz_store_wait_settled(SETTLE_MS);
    return by_key(HZ_SQL_BY_DEDUP, workflow_id, key, ret_row);
}

static int collect(struct hz_store_connection *c, sqlite3_stmt *s, bool payloads, struct hz_store_execution **ret_rows, size_t *ret_count)
{
    struct hz_store_execution *rows = NULL;
    size_t count = 0, capacity = 0;
    int code = SQLITE_DONE, err = 0;
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
        err = hz_store_row_read(s, payloads, &rows[count]);
        count += !err;
    }
    if (!err && code != SQLITE_DONE)
        err = hz_store_db_error(c->db, "listing executions");
    sqlite3_reset(s);
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

int hz_store_list(const struct hz_store_filter *filter, struct hz_store_execution **ret_rows, size_t *ret_count)
{
    enum hz_store_sql which = filter->dead                     ? HZ_SQL_LIST_DEAD
                              : filter->state > HZ_EXEC_SUCCESS ? HZ_SQL_LIST_BAD
                              : filter->workflow_id             ? HZ_SQL_LIST_WORKFLOW
                                                                : HZ_SQL_LIST_ALL;
    hz_store_wait_settled(SETTLE_LIST_MS);
    struct hz_store_connection *c = hz_store_reader_take();
    if (!c)
        return HZ_EFORMAT;
    sqlite3_stmt *s = hz_store_statement(c, which);
    int err = HZ_EFORMAT;
    if (s) {
        bool newest = filter->before_ms == 0 && filter->before_sequence == 0;
        hz_store_bind_text(s, 1, filter->workflow_id);
        sqlite3_bind_int(s, 2, filter->activations);
        sqlite3_bind_int64(s, 3, newest ? INT64_MAX : filter->before_ms);
        sqlite3_bind_int64(s, 4, newest ? INT64_MAX : filter->before_sequence);
        sqlite3_bind_int(s, 5, (int)filter->state);
        sqlite3_bind_int64(s, 6, (sqlite3_int64)HZ_MIN(filter->limit, (size_t)10000));
        err = collect(c, s, false, ret_rows, ret_count);
        sqlite3_clear_bindings(s);
    }
    hz_store_reader_give(c);
    return err;
}

int hz_store_unfinished(struct hz_store_execution **ret_rows, size_t *ret_count)
{
    struct hz_store_connection *c = hz_store_reader_take();
    if (!c)
        return HZ_EFORMAT;
    sqlite3_stmt *s = hz_store_statement(c, HZ_SQL_UNFINISHED);
    int err = s ? collect(c, s, true, ret_rows, ret_count) : HZ_EFORMAT;
    hz_store_reader_give(c);
    return err;
}

/* ---- pieces ---- */

void hz_store_checkpoints_free(struct hz_store_checkpoint **list, size_t count)
{
    for (size_t i = 0; *list && i < count; i++)
        free((*list)[i].data);
    free(*list);
    *list = NULL;
}

static int collect_pieces(struct hz_store_connection *c, sqlite3_stmt *s, struct hz_store_checkpoint **ret_list, size_t *ret_count)
{
    struct hz_store_checkpoint *list = NULL;
    size_t count = 0;
    int code = SQLITE_DONE, err = 0;
    while (!err && (code = sqlite3_step(s)) == SQLITE_ROW) {
        struct hz_store_checkpoint *grown = realloc(list, (count + 1) * sizeof *list);
        if (!grown) {
            err = hz_err_set(HZ_ENOMEM, "reading checkpoints");
            break;
        }
        list = grown;
        list[count].ordinal = (uint32_t)sqlite3_column_int64(s, 0);
        const void *blob = sqlite3_column_blob(s, 1);
        err = hz_store_unpack(blob, (size_t)sqlite3_column_bytes(s, 1), &list[count].data, &list[count].len);
        count += !err;
    }
    if (!err && code != SQLITE_DONE)
        err = hz_store_db_error(c->db, "reading checkpoints");
    sqlite3_reset(s);
    if (err) {
        hz_store_checkpoints_free(&list, count);
        return err;
    }
    *ret_list = list;
    *ret_count = count;
    return 0;
}

int hz_store_checkpoints(const struct hz_uuid *execution, struct hz_store_checkpoint **ret_list, size_t *ret_count)
{
    hz_store_wait_settled(SETTLE_MS);
    struct hz_store_connection *c = hz_store_reader_take();
    if (!c)
        return HZ_EFORMAT;
    sqlite3_stmt *s = hz_store_statement(c, HZ_SQL_CHECKPOINTS);
    int err = HZ_EFORMAT;
    if (s) {
        sqlite3_bind_blob(s, 1, execution->bytes, sizeof execution->bytes, SQLITE_STATIC);
        err = collect_pieces(c, s, ret_list, ret_count);
    }
    hz_store_reader_give(c);
    return err;
}

int hz_store_node_runs(const struct hz_uuid *execution, void **ret_data, size_t *ret_len)
{
    hz_store_wait_settled(SETTLE_MS);
    struct hz_store_connection *c = hz_store_reader_take();
    if (!c)
        return HZ_EFORMAT;
    sqlite3_stmt *s = hz_store_statement(c, HZ_SQL_NODE_RUNS_GET);
    int err = HZ_EFORMAT;
    if (s) {
        sqlite3_bind_blob(s, 1, execution->bytes, sizeof execution->bytes, SQLITE_STATIC);
        int code = sqlite3_step(s);
        if (code == SQLITE_ROW) {
            const void *blob = sqlite3_column_blob(s, 0);
            err = hz_store_unpack(blob, (size_t)sqlite3_column_bytes(s, 0), ret_data, ret_len);
        } else {
            err = code == SQLITE_DONE ? HZ_ENOTFOUND : hz_store_db_error(c->db, "reading node runs");
        }
        sqlite3_reset(s);
    }
    hz_store_reader_give(c);
    return err;
}
