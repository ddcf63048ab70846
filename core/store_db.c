/*
 * store_db.c - SQLite behind the store: schema, prepared statements, conversion between rows and structs.
 * A row is written whole each time it is handed over; what is already final stays as it is (the upsert's condition).
 */
#include "store_db.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SCHEMA_VERSION 1
static const char schema[] = {
#include "schema.inc"
};

int hz_store_db_error(sqlite3 *db, const char *what)
{
    int code = db ? sqlite3_extended_errcode(db) : SQLITE_NOMEM;
    bool full = (code & 0xff) == SQLITE_FULL || code == SQLITE_IOERR_WRITE;
    return hz_err_set(full ? -ENOSPC : HZ_EFORMAT, "store: %s: %s (%d)", what, db ? sqlite3_errmsg(db) : "out of memory", code);
}

static int read_version(sqlite3 *db, int *ret)
{
    sqlite3_stmt *statement;
    if (sqlite3_prepare_v2(db, "PRAGMA user_version", -1, &statement, NULL) != SQLITE_OK)
        return hz_store_db_error(db, "reading the schema version");
    int err = sqlite3_step(statement) == SQLITE_ROW ? 0 : hz_store_db_error(db, "reading the schema version");
    if (!err)
        *ret = sqlite3_column_int(statement, 0);
    sqlite3_finalize(statement);
    return err;
}

static int make_schema(sqlite3 *db)
{
    int version = 0;
    int err = read_version(db, &version);
    if (err || version == SCHEMA_VERSION)
        return err;
    if (version > SCHEMA_VERSION)
        return hz_err_set(HZ_EVERSION, "store: horizon.db has schema version %d, this program knows up to %d", version, SCHEMA_VERSION);
    if (sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL) != SQLITE_OK || sqlite3_exec(db, schema, NULL, NULL, NULL) != SQLITE_OK ||
            sqlite3_exec(db, "COMMIT", NULL, NULL, NULL) != SQLITE_OK) {
        err = hz_store_db_error(db, "making the schema");
        (void)sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
    }
    return err;
}

int hz_store_db_open(const char *data_dir, sqlite3 **ret_db)
{
    char *path = NULL;
    sqlite3 *db = NULL;
    if (asprintf(&path, "%s/horizon.db", data_dir) < 0)
        return hz_err_set(HZ_ENOMEM, "opening the store");
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_FULLMUTEX;
    int err = 0;
    if (sqlite3_open_v2(path, &db, flags, NULL) != SQLITE_OK ||
            sqlite3_exec(db, "PRAGMA busy_timeout=5000; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; "
                             "PRAGMA journal_size_limit=67108864; PRAGMA wal_autocheckpoint=4000; PRAGMA cache_size=-4096",
                    NULL, NULL, NULL) != SQLITE_OK) {
        err = hz_store_db_error(db, path);
    } else {
        err = make_schema(db);
    }
    free(path);
    if (err) {
        sqlite3_close(db);
        return err;
    }
    *ret_db = db;
    return 0;
}

static int prepare(struct hz_store_writer *writer, const char *sql, sqlite3_stmt **ret)
{
    if (sqlite3_prepare_v3(writer->db, sql, -1, SQLITE_PREPARE_PERSISTENT, ret, NULL) != SQLITE_OK)
        return hz_store_db_error(writer->db, "preparing a statement");
    return 0;
}

int hz_store_writer_init(struct hz_store_writer *writer, sqlite3 *db)
{
    memset(writer, 0, sizeof *writer);
    writer->db = db;
    writer->full = 1;
    int err = prepare(writer, "BEGIN IMMEDIATE", &writer->begin);
    if (!err)
        err = prepare(writer, "COMMIT", &writer->commit);
    if (!err)
        err = prepare(writer, "ROLLBACK", &writer->rollback);
    if (!err)
        err = prepare(writer,
                "INSERT INTO executions (id, activation, workflow_id, version, cause, state, attempt, is_activation, created_ms, started_ms,"
                " ended_ms, worker_id, error, error_node, error_code, node_runs, cpu_ns, peak_bytes)"
                " VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17,?18)"
                " ON CONFLICT (id) DO UPDATE SET state=?6, attempt=?7, started_ms=?10, ended_ms=?11, worker_id=?12, error=?13,"
                " error_node=?14, error_code=?15, node_runs=?16, cpu_ns=?17, peak_bytes=?18"
                " WHERE executions.state < 4 AND executions.attempt <= ?7",
                &writer->upsert);
    if (!err)
        err = prepare(writer,
                "INSERT INTO payloads (sequence, input, result) SELECT sequence, ?2, ?3 FROM executions WHERE id = ?1"
                " ON CONFLICT (sequence) DO UPDATE SET input = COALESCE(?2, payloads.input), result = COALESCE(?3, payloads.result)",
                &writer->payload);
    /* Steps of 2,000 keep each batch short; open rows are never pruned. */
    if (!err)
        err = prepare(writer,
                "DELETE FROM payloads WHERE sequence IN (SELECT sequence FROM executions WHERE sequence <="
                " (SELECT MAX(sequence) FROM executions) - ?1 AND state >= 4 ORDER BY sequence LIMIT 2000)",
                &writer->prune_payloads);
    if (!err)
        err = prepare(writer,
                "DELETE FROM executions WHERE sequence IN (SELECT sequence FROM executions WHERE sequence <="
                " (SELECT MAX(sequence) FROM executions) - ?1 AND state >= 4 ORDER BY sequence LIMIT 2000)",
                &writer->prune);
    return err;
}

void hz_store_writer_fini(struct hz_store_writer *writer)
{
    sqlite3_stmt *all[] = {writer->begin, writer->commit, writer->rollback, writer->upsert, writer->payload, writer->prune_payloads, writer->prune};
    for (size_t i = 0; i < HZ_COUNT_OF(all); i++)
        sqlite3_finalize(all[i]);
    memset(writer, 0, sizeof *writer);
}

static int step(struct hz_store_writer *writer, sqlite3_stmt *statement, const char *what)
{
    int code = sqlite3_step(statement);
    int err = code == SQLITE_DONE || code == SQLITE_ROW ? 0 : hz_store_db_error(writer->db, what);
    sqlite3_reset(statement);
    return err;
}

int hz_store_writer_begin(struct hz_store_writer *writer, bool full)
{
    if (full != (bool)writer->full) {
        if (sqlite3_exec(writer->db, full ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL", NULL, NULL, NULL) != SQLITE_OK)
            return hz_store_db_error(writer->db, "choosing how to synchronise");
        writer->full = full;
    }
    return step(writer, writer->begin, "begin");
}

int hz_store_writer_commit(struct hz_store_writer *writer)
{
    return step(writer, writer->commit, "commit");
}

void hz_store_writer_rollback(struct hz_store_writer *writer)
{
    if (!sqlite3_get_autocommit(writer->db))
        (void)step(writer, writer->rollback, "rollback");
}

int hz_store_writer_prune(struct hz_store_writer *writer, uint32_t keep)
{
    sqlite3_bind_int64(writer->prune_payloads, 1, keep);
    sqlite3_bind_int64(writer->prune, 1, keep);
    int err = step(writer, writer->prune_payloads, "forgetting old executions");
    return err ? err : step(writer, writer->prune, "forgetting old executions");
}

static void bind_text(sqlite3_stmt *statement, int index, const char *text)
{
    if (text)
        sqlite3_bind_text(statement, index, text, -1, SQLITE_STATIC);
    else
        sqlite3_bind_null(statement, index);
}

int hz_store_writer_row(struct hz_store_writer *writer, const struct hz_store_execution *row)
{
    sqlite3_stmt *s = writer->upsert;
    sqlite3_bind_blob(s, 1, row->id.bytes, sizeof row->id.bytes, SQLITE_STATIC);
    if (hz_uuid_is_nil(&row->activation))
        sqlite3_bind_null(s, 2);
    else
        sqlite3_bind_blob(s, 2, row->activation.bytes, sizeof row->activation.bytes, SQLITE_STATIC);
    bind_text(s, 3, row->workflow_id);
    bind_text(s, 4, row->version);
    bind_text(s, 5, row->trigger);
    sqlite3_bind_int(s, 6, (int)row->state);
    sqlite3_bind_int64(s, 7, row->attempt);
    sqlite3_bind_int64(s, 8, row->is_activation);
    sqlite3_bind_int64(s, 9, row->created_wall_ms);
    sqlite3_bind_int64(s, 10, row->started_wall_ms);
    sqlite3_bind_int64(s, 11, row->ended_wall_ms);
    bind_text(s, 12, row->worker_id);
    bind_text(s, 13, row->error);
    bind_text(s, 14, row->error_node);
    bind_text(s, 15, row->error_code);
    sqlite3_bind_int64(s, 16, (sqlite3_int64)row->node_runs);
    sqlite3_bind_int64(s, 17, (sqlite3_int64)row->cpu_ns);
    sqlite3_bind_int64(s, 18, (sqlite3_int64)row->peak_bytes);
    int err = step(writer, s, "writing an execution");
    /* A final row that came too late changed nothing: its payload must not either. */
    if (err || sqlite3_changes(writer->db) == 0 || (!row->input && !row->result))
        return err;
    sqlite3_bind_blob(writer->payload, 1, row->id.bytes, sizeof row->id.bytes, SQLITE_STATIC);
    bind_text(writer->payload, 2, row->input);
    bind_text(writer->payload, 3, row->result);
    return step(writer, writer->payload, "writing a payload");
}

static void copy_column(sqlite3_stmt *s, int column, char *to, size_t size)
{
    const unsigned char *text = sqlite3_column_text(s, column);
    snprintf(to, size, "%s", text ? (const char *)text : "");
}

static int dup_column(sqlite3_stmt *s, int column, char **ret)
{
    const unsigned char *text = sqlite3_column_text(s, column);
    *ret = text ? strdup((const char *)text) : NULL;
    return text && !*ret ? hz_err_set(HZ_ENOMEM, "reading an execution") : 0;
}

int hz_store_db_row(sqlite3_stmt *s, bool payloads, struct hz_store_execution *ret_row)
{
    struct hz_store_execution row;
    memset(&row, 0, sizeof row);
    if (sqlite3_column_bytes(s, 0) == (int)sizeof row.id.bytes)
        memcpy(row.id.bytes, sqlite3_column_blob(s, 0), sizeof row.id.bytes);
    if (sqlite3_column_bytes(s, 1) == (int)sizeof row.activation.bytes)
        memcpy(row.activation.bytes, sqlite3_column_blob(s, 1), sizeof row.activation.bytes);
    copy_column(s, 2, row.workflow_id, sizeof row.workflow_id);
    copy_column(s, 3, row.version, sizeof row.version);
    copy_column(s, 4, row.trigger, sizeof row.trigger);
    row.state = (enum hz_exec_state)sqlite3_column_int(s, 5);
    row.attempt = (uint32_t)sqlite3_column_int64(s, 6);
    row.is_activation = (uint32_t)sqlite3_column_int64(s, 7);
    row.created_wall_ms = sqlite3_column_int64(s, 8);
    row.started_wall_ms = sqlite3_column_int64(s, 9);
    row.ended_wall_ms = sqlite3_column_int64(s, 10);
    copy_column(s, 11, row.worker_id, sizeof row.worker_id);
    int err = dup_column(s, 12, &row.error);
    if (!err)
        err = dup_column(s, 13, &row.error_node);
    if (!err)
        err = dup_column(s, 14, &row.error_code);
    row.node_runs = (uint64_t)sqlite3_column_int64(s, 15);
    row.cpu_ns = (uint64_t)sqlite3_column_int64(s, 16);
    row.peak_bytes = (uint64_t)sqlite3_column_int64(s, 17);
    if (!err && payloads)
        err = dup_column(s, 18, &row.input);
    if (!err && payloads)
        err = dup_column(s, 19, &row.result);
    if (err)
        hz_store_execution_fini(&row);
    else
        *ret_row = row;
    return err;
}
