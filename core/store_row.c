/*
 * store_row.c - an execution between struct and row. A row is written whole each time it is handed over; what is already final
 * stays as it is (the upsert's condition). Writer thread (write), any reader (read).
 */
#include "store_db.h"

#include <stdlib.h>
#include <string.h>

int hz_store_row_write(struct hz_store_connection *connection, const struct hz_store_execution *row, bool *ret_changed)
{
    sqlite3_stmt *s = hz_store_statement(connection, HZ_SQL_UPSERT);
    if (!s)
        return HZ_EFORMAT;
    sqlite3_bind_blob(s, 1, row->id.bytes, sizeof row->id.bytes, SQLITE_STATIC);
    hz_store_bind_id(s, 2, &row->activation);
    hz_store_bind_text(s, 3, row->workflow_id);
    hz_store_bind_text(s, 4, row->version);
    hz_store_bind_text(s, 5, row->trigger);
    sqlite3_bind_int(s, 6, (int)row->state);
    sqlite3_bind_int64(s, 7, row->attempt);
    sqlite3_bind_int64(s, 8, row->is_activation);
    sqlite3_bind_int64(s, 9, row->created_wall_ms);
    sqlite3_bind_int64(s, 10, row->started_wall_ms);
    sqlite3_bind_int64(s, 11, row->ended_wall_ms);
    hz_store_bind_text(s, 12, row->worker_id);
    hz_store_bind_text(s, 13, row->error);
    hz_store_bind_text(s, 14, row->error_node);
    hz_store_bind_text(s, 15, row->error_code);
    sqlite3_bind_int64(s, 16, (sqlite3_int64)row->node_runs);
    sqlite3_bind_int64(s, 17, (sqlite3_int64)row->cpu_ns);
    sqlite3_bind_int64(s, 18, (sqlite3_int64)row->peak_bytes);
    sqlite3_bind_int64(s, 19, row->due_wall_ms);
    sqlite3_bind_int64(s, 20, row->deadline_wall_ms);
    sqlite3_bind_int(s, 21, row->priority);
    sqlite3_bind_int(s, 22, row->dead);
    sqlite3_bind_int64(s, 23, (sqlite3_int64)row->bytes_in);
    sqlite3_bind_int64(s, 24, (sqlite3_int64)row->bytes_out);
    hz_store_bind_text(s, 25, row->idempotency_key);
    hz_store_bind_text(s, 26, row->dedup_key);
    int err = hz_store_step(connection, s, "writing an execution");
    /* A final row that came too late changed nothing: its payload must not either. */
    *ret_changed = !err && sqlite3_changes(connection->db) > 0;
    if (!*ret_changed || (!row->input && !row->result))
        return err;
    void *input = NULL, *result = NULL;
    s = hz_store_statement(connection, HZ_SQL_PAYLOAD);
    if (!s)
        return HZ_EFORMAT;
    sqlite3_bind_blob(s, 1, row->id.bytes, sizeof row->id.bytes, SQLITE_STATIC);
    err = hz_store_bind_payload(s, 2, row->input, &input);
    if (!err)
        err = hz_store_bind_payload(s, 4, row->result, &result);
    if (!err)
        err = hz_store_step(connection, s, "writing a payload");
    sqlite3_clear_bindings(s);
    free(input);
    free(result);
    return err;
}

int hz_store_row_read(sqlite3_stmt *s, bool payloads, struct hz_store_execution *ret_row)
{
    struct hz_store_execution row;
    memset(&row, 0, sizeof row);
    hz_store_column_id(s, 0, &row.id);
    hz_store_column_id(s, 1, &row.activation);
    hz_store_column_copy(s, 2, row.workflow_id, sizeof row.workflow_id);
    hz_store_column_copy(s, 3, row.version, sizeof row.version);
    hz_store_column_copy(s, 4, row.trigger, sizeof row.trigger);
    row.state = (enum hz_exec_state)sqlite3_column_int(s, 5);
    row.attempt = (uint32_t)sqlite3_column_int64(s, 6);
    row.is_activation = (uint32_t)sqlite3_column_int64(s, 7);
    row.created_wall_ms = sqlite3_column_int64(s, 8);
    row.started_wall_ms = sqlite3_column_int64(s, 9);
    row.ended_wall_ms = sqlite3_column_int64(s, 10);
    hz_store_column_copy(s, 11, row.worker_id, sizeof row.worker_id);
    row.node_runs = (uint64_t)sqlite3_column_int64(s, 15);
    row.cpu_ns = (uint64_t)sqlite3_column_int64(s, 16);
    row.peak_bytes = (uint64_t)sqlite3_column_int64(s, 17);
    row.due_wall_ms = sqlite3_column_int64(s, 18);
    row.deadline_wall_ms = sqlite3_column_int64(s, 19);
    row.priority = sqlite3_column_int(s, 20);
    row.dead = sqlite3_column_int(s, 21) != 0;
    row.bytes_in = (uint64_t)sqlite3_column_int64(s, 22);
    row.bytes_out = (uint64_t)sqlite3_column_int64(s, 23);
    row.stored = true;
    row.sequence = sqlite3_column_int64(s, 26);
    struct {
        int column;
        char **to;
    } texts[] = {{12, &row.error}, {13, &row.error_node}, {14, &row.error_code}, {24, &row.idempotency_key}, {25, &row.dedup_key}};
    int err = 0;
    for (size_t i = 0; i < HZ_COUNT_OF(texts) && !err; i++)
        err = hz_store_column_dup(s, texts[i].column, texts[i].to);
    for (int column = 27; payloads && !err && column <= 29; column += 2) {
        err = hz_store_column_payload(s, column, column == 27 ? &row.input : &row.result);
        if (err == HZ_EFORMAT) {
            row.damaged = true;
            err = 0;
        }
    }
    if (err)
        hz_store_execution_fini(&row);
    else
        *ret_row = row;
    return err;
}
