/*
 * store_write.c - what the writer does with each kind of entry inside its transaction. Writer thread only.
 * A statement that fails because of its own data (too big, a rule of the table) is that entry's error; everything else fails the
 * batch, which is tried again.
 */
#include "store_db.h"

#include <stdlib.h>
#include <string.h>

static sqlite3_stmt *of_id(struct hz_store_connection *c, enum hz_store_sql which, const struct hz_uuid *id)
{
    sqlite3_stmt *s = hz_store_statement(c, which);
    if (s)
        sqlite3_bind_blob(s, 1, id->bytes, sizeof id->bytes, SQLITE_STATIC);
    return s;
}

/* 0: none. */
static int find(struct hz_store_connection *c, enum hz_store_sql which, const struct hz_uuid *id, int64_t *ret_sequence)
{
    sqlite3_stmt *s = of_id(c, which, id);
    if (!s)
        return HZ_EFORMAT;
    int code = sqlite3_step(s), err = 0;
    *ret_sequence = code == SQLITE_ROW ? sqlite3_column_int64(s, 0) : 0;
    if (code != SQLITE_ROW && code != SQLITE_DONE)
        err = hz_store_db_error(c->db, "looking for an execution");
    sqlite3_reset(s);
    return err;
}

static int no_checkpoints(struct hz_store_connection *c, const struct hz_uuid *id)
{
    sqlite3_stmt *s = of_id(c, HZ_SQL_CHECKPOINTS_GONE, id);
    return s ? hz_store_step(c, s, "forgetting checkpoints") : HZ_EFORMAT;
}

static int write_row(struct hz_store_connection *c, const struct hz_store_execution *row)
{
    bool changed;
    int err = hz_store_row_write(c, row, &changed);
    return err || !changed || row->state < HZ_EXEC_SUCCESS ? err : no_checkpoints(c, &row->id);
}

static int count(struct hz_store_connection *c, const struct hz_store_execution *row)
{
    sqlite3_stmt *s = hz_store_statement(c, HZ_SQL_COUNT_ONE);
    if (!s)
        return HZ_EFORMAT;
    hz_store_bind_text(s, 1, row->workflow_id);
    sqlite3_bind_int64(s, 2, row->ended_wall_ms / 3600000);
    sqlite3_bind_int(s, 3, (int)row->state);
    sqlite3_bind_int64(s, 4, 1);
    return hz_store_step(c, s, "counting an execution");
}

/* It is over and nothing but a count is kept: its open row goes. One that is final already was counted or kept by who was first. */
static int forget(struct hz_store_connection *c, const struct hz_store_execution *row)
{
    static const enum hz_store_sql parts[] = {HZ_SQL_DELETE_PAYLOAD, HZ_SQL_DELETE_NODE_RUNS, HZ_SQL_DELETE_EXECUTION};
    int64_t sequence;
    int err = find(c, HZ_SQL_FIND_OPEN, &row->id, &sequence);
    if (err || sequence == 0)
        return err;
    for (size_t i = 0; i < HZ_COUNT_OF(parts) && !err; i++) {
        sqlite3_stmt *s = hz_store_statement(c, parts[i]);
        if (!s)
            return HZ_EFORMAT;
        sqlite3_bind_int64(s, 1, sequence);
        err = hz_store_step(c, s, "forgetting an execution");
    }
    if (!err)
        err = no_checkpoints(c, &row->id);
    return err ? err : count(c, row);
}

static int write_piece(struct hz_store_connection *c, const struct hz_store_entry *e)
{
    bool checkpoint = e->kind == HZ_STORE_CHECKPOINT;
    int64_t sequence;
    int err = find(c, checkpoint ? HZ_SQL_FIND_OPEN : HZ_SQL_FIND, &e->piece.execution, &sequence);
    if (err || sequence == 0)
        return err;
    if (checkpoint && e->piece.base) {
        sqlite3_stmt *s = of_id(c, HZ_SQL_CHECKPOINT_BASE, &e->piece.execution);
        if (!s)
            return HZ_EFORMAT;
        sqlite3_bind_int64(s, 2, e->piece.ordinal);
        err = hz_store_step(c, s, "replacing checkpoints");
    }
    void *blob;
    size_t len;
    if (!err)
        err = hz_store_pack(e->piece.data, e->piece.len, &blob, &len);
    if (err)
        return err;
    sqlite3_stmt *s = of_id(c, checkpoint ? HZ_SQL_CHECKPOINT : HZ_SQL_NODE_RUNS, &e->piece.execution);
    if (s && checkpoint)
        sqlite3_bind_int64(s, 2, e->piece.ordinal);
    if (s)
        sqlite3_bind_blob64(s, checkpoint ? 3 : 2, blob, len, SQLITE_STATIC);
    err = s ? hz_store_step(c, s, "writing a checkpoint") : HZ_EFORMAT;
    if (s)
        sqlite3_clear_bindings(s);
    free(blob);
    return err;
}

static int write_crash(struct hz_store_connection *c, const struct hz_store_crash *crash)
{
    sqlite3_stmt *s = of_id(c, HZ_SQL_CRASH, &crash->id);
    if (!s)
        return HZ_EFORMAT;
    sqlite3_bind_int64(s, 2, crash->at_wall_ms);
    hz_store_bind_text(s, 3, crash->workflow_id);
    hz_store_bind_text(s, 4, crash->worker_id);
    hz_store_bind_id(s, 5, &crash->execution);
    hz_store_bind_text(s, 6, crash->node);
    hz_store_bind_text(s, 7, crash->kind);
    hz_store_bind_text(s, 8, crash->signature ? crash->signature : "");
    hz_store_bind_text(s, 9, crash->report ? crash->report : "{}");
    return hz_store_step(c, s, "writing a crash report");
}

static int write_log(struct hz_store_connection *c, const struct hz_store_entry *e)
{
    sqlite3_stmt *s = hz_store_statement(c, HZ_SQL_LOG);
    if (!s)
        return HZ_EFORMAT;
    sqlite3_bind_int64(s, 1, e->log.at_ms);
    sqlite3_bind_int(s, 2, e->log.level);
    hz_store_bind_text(s, 3, e->log.workflow_id);
    hz_store_bind_text(s, 4, e->log.worker_id);
    hz_store_bind_id(s, 5, &e->log.execution);
    sqlite3_bind_text64(s, 6, e->log.text, e->log.len, SQLITE_STATIC, SQLITE_UTF8);
    return hz_store_step(c, s, "writing a log line");
}

static int write_metric(struct hz_store_connection *c, const struct hz_store_entry *e)
{
    sqlite3_stmt *s = hz_store_statement(c, HZ_SQL_METRIC);
    if (!s)
        return HZ_EFORMAT;
    sqlite3_bind_int(s, 1, 1);
    sqlite3_bind_int64(s, 2, e->metric.at_s);
    hz_store_bind_text(s, 3, e->metric.subject);
    sqlite3_bind_blob(s, 4, &e->metric.sample, hz_store_metric_len(&e->metric.sample), SQLITE_STATIC);
    int err = hz_store_step(c, s, "writing a sample");
    hz_store_retention_samples(sqlite3_changes(c->db));
    return err;
}

int hz_store_write_alert(struct hz_store_connection *c, const struct hz_store_alert *alert)
{
    static const enum hz_store_sql tries[] = {HZ_SQL_ALERT_UPDATE, HZ_SQL_ALERT};
    int err = 0;
    for (size_t i = 0; i < HZ_COUNT_OF(tries) && !err; i++) {
        sqlite3_stmt *s = hz_store_statement(c, tries[i]);
        if (!s)
            return HZ_EFORMAT;
        hz_store_bind_text(s, 1, alert->rule);
        hz_store_bind_text(s, 2, alert->subject);
        sqlite3_bind_int(s, 3, alert->level);
        sqlite3_bind_int64(s, 4, alert->raised_ms);
        sqlite3_bind_int64(s, 5, alert->cleared_ms);
        sqlite3_bind_int64(s, 6, alert->silenced_ms);
        hz_store_bind_text(s, 7, alert->text);
        err = hz_store_step(c, s, "writing an alert");
        if (!err && sqlite3_changes(c->db) > 0)
            break;
    }
    return err;
}

static int dispatch(struct hz_store_connection *c, struct hz_store_entry *e)
{
    switch (e->kind) {
    case HZ_STORE_ROW:
        return write_row(c, &e->row);
    case HZ_STORE_FORGET:
        return forget(c, &e->row);
    case HZ_STORE_COUNT:
        return count(c, &e->row);
    case HZ_STORE_CHECKPOINT:
    case HZ_STORE_NODE_RUNS:
        return write_piece(c, e);
    case HZ_STORE_CRASH:
        return write_crash(c, &e->crash);
    case HZ_STORE_LOG:
        return write_log(c, e);
    case HZ_STORE_METRIC:
        return write_metric(c, e);
    case HZ_STORE_ALERT:
        return hz_store_write_alert(c, e->alert);
    case HZ_STORE_CALL:
        return e->call.run(c, e->call.arg);
    }
    return 0;
}

static bool concerns_it_alone(sqlite3 *db)
{
    switch (sqlite3_errcode(db)) {
    case SQLITE_OK: /* it failed before SQLite saw it, or by its own rules */
    case SQLITE_ROW:
    case SQLITE_DONE:
    case SQLITE_CONSTRAINT:
    case SQLITE_TOOBIG:
    case SQLITE_MISMATCH:
    case SQLITE_RANGE:
        return true;
    default:
        return false;
    }
}

int hz_store_write(struct hz_store_connection *connection, struct hz_store_entry *entry)
{
    entry->result = 0;
    int err = dispatch(connection, entry);
    if (!err || err == HZ_ENOMEM || !concerns_it_alone(connection->db) || sqlite3_get_autocommit(connection->db))
        return err;
    entry->result = err;
    return 0;
}

int hz_store_begin(struct hz_store_connection *connection, bool full)
{
    if (full == connection->normal) { /* SQLite reads this pragma when it compiles it, so it cannot be kept prepared */
        int err = hz_store_exec(connection->db, full ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL", "choosing how to synchronise");
        if (err)
            return err;
        connection->normal = !full;
    }
    sqlite3_stmt *s = hz_store_statement(connection, HZ_SQL_BEGIN);
    return s ? hz_store_step(connection, s, "begin") : HZ_EFORMAT;
}

int hz_store_commit(struct hz_store_connection *connection)
{
    sqlite3_stmt *s = hz_store_statement(connection, HZ_SQL_COMMIT);
    return s ? hz_store_step(connection, s, "writing to the disk") : HZ_EFORMAT;
}

void hz_store_rollback(struct hz_store_connection *connection)
{
    if (sqlite3_get_autocommit(connection->db))
        return;
    sqlite3_stmt *s = hz_store_statement(connection, HZ_SQL_ROLLBACK);
    if (s && hz_store_step(connection, s, "rollback"))
        sqlite3_clear_bindings(s); /* SQLite says so when it rolled back by itself */
}
