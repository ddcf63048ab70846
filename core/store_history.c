/*
 * store_history.c - reads of what happened: crash reports, log lines, alerts, counts. Any thread, readers' connections.
 */
#include "store_db.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST 10000u
#define SEARCH_MS (INT64_C(7) * 86400000) /* a text search reads every line of its window */

void hz_store_crash_fini(struct hz_store_crash *crash)
{
    free(crash->node);
    free(crash->signature);
    free(crash->report);
    crash->node = crash->signature = crash->report = NULL;
}

static int crash_row(sqlite3_stmt *s, struct hz_store_crash *ret)
{
    struct hz_store_crash crash;
    memset(&crash, 0, sizeof crash);
    hz_store_column_id(s, 0, &crash.id);
    crash.at_wall_ms = sqlite3_column_int64(s, 1);
    hz_store_column_copy(s, 2, crash.workflow_id, sizeof crash.workflow_id);
    hz_store_column_copy(s, 3, crash.worker_id, sizeof crash.worker_id);
    hz_store_column_id(s, 4, &crash.execution);
    hz_store_column_copy(s, 6, crash.kind, sizeof crash.kind);
    crash.seen_before = (uint64_t)sqlite3_column_int64(s, 8);
    crash.sequence = sqlite3_column_int64(s, 10);
    int err = hz_store_column_dup(s, 5, &crash.node);
    if (!err)
        err = hz_store_column_dup(s, 7, &crash.signature);
    if (!err)
        err = hz_store_column_dup(s, 9, &crash.report);
    if (err)
        hz_store_crash_fini(&crash);
    else
        *ret = crash;
    return err;
}

int hz_store_crash_get(const struct hz_uuid *id, struct hz_store_crash *ret_crash)
{
    hz_store_wait_settled(1000);
    struct hz_store_connection *c = hz_store_reader_take();
    if (!c)
        return HZ_EFORMAT;
    sqlite3_stmt *s = hz_store_statement(c, HZ_SQL_CRASH_GET);
    int err = HZ_EFORMAT;
    if (s) {
        sqlite3_bind_blob(s, 1, id->bytes, sizeof id->bytes, SQLITE_STATIC);
        int code = sqlite3_step(s);
        if (code == SQLITE_ROW)
            err = crash_row(s, ret_crash);
        else
            err = code == SQLITE_DONE ? HZ_ENOTFOUND : hz_store_db_error(c->db, "reading a crash report");
        sqlite3_reset(s);
    }
    hz_store_reader_give(c);
    return err;
}

int hz_store_crash_list(const char *workflow_id, int64_t before_sequence, size_t limit, struct hz_store_crash **ret_list, size_t *ret_count)
{
    hz_store_wait_settled(100);
    limit = HZ_MIN(limit, (size_t)MOST);
    struct hz_store_connection *c = hz_store_reader_take();
    if (!c)
        return HZ_EFORMAT;
    sqlite3_stmt *s = hz_store_statement(c, HZ_SQL_CRASH_LIST);
    struct hz_store_crash *list = NULL;
    size_t count = 0;
    int code = SQLITE_DONE, err = s ? 0 : HZ_EFORMAT;
    if (s) {
        hz_store_bind_text(s, 1, workflow_id);
        sqlite3_bind_int64(s, 2, before_sequence ? before_sequence : INT64_MAX);
        sqlite3_bind_int64(s, 3, (sqlite3_int64)limit);
    }
    while (!err && (code = sqlite3_step(s)) == SQLITE_ROW) {
        struct hz_store_crash *grown = realloc(list, (count + 1) * sizeof *list);
        if (!grown) {
            err = hz_err_set(HZ_ENOMEM, "listing crash reports");
            break;
        }
        list = grown;
        err = crash_row(s, &list[count]);
        count += !err;
    }
    if (!err && code != SQLITE_DONE)
        err = hz_store_db_error(c->db, "listing crash reports");
    if (s) {
        sqlite3_reset(s);
        sqlite3_clear_bindings(s);
    }
    hz_store_reader_give(c);
    if (err) {
        for (size_t i = 0; i < count; i++)
            hz_store_crash_fini(&list[i]);
        free(list);
        return err;
    }
    *ret_list = list;
    *ret_count = count;
    return 0;
}

static json_t *log_row(sqlite3_stmt *s)
{
    struct hz_uuid execution;
    json_t *row = json_pack("{s:I, s:I, s:i, s:s, s:s, s:s}", "at", (json_int_t)sqlite3_column_int64(s, 0), "sequence",
            (json_int_t)sqlite3_column_int64(s, 6), "level", sqlite3_column_int(s, 1), "workflowId", sqlite3_column_text(s, 2), "workerId",
            sqlite3_column_text(s, 3), "text", sqlite3_column_text(s, 5));
    hz_store_column_id(s, 4, &execution);
    if (row && !hz_uuid_is_nil(&execution)) {
        char text[HZ_UUID_TEXT];
        hz_uuid_format(&execution, text);
        (void)json_object_set_new(row, "executionId", json_string(text)); /* out of memory: the line goes without it */
    }
    return row;
}

/* Steps a statement to its end; row() NULL or a failing append ends it with NULL. */
static json_t *collect(struct hz_store_connection *c, sqlite3_stmt *s, json_t *(*row)(sqlite3_stmt *s))
{
    json_t *list = json_array();
    int code = SQLITE_DONE;
    while (list && (code = sqlite3_step(s)) == SQLITE_ROW)
        if (json_array_append_new(list, row(s))) {
            json_decref(list);
            list = NULL;
        }
    if (list && code != SQLITE_DONE) {
        (void)hz_store_db_error(c->db, "listing");
        json_decref(list);
        list = NULL;
    }
    sqlite3_reset(s);
    return list;
}

json_t *hz_store_logs(const struct hz_store_log_filter *filter)
{
    hz_store_wait_settled(100);
    int64_t to = filter->to_ms ? filter->to_ms : INT64_MAX, from = filter->from_ms;
    if (filter->before_ms) /* the pages before are not read again */
        to = HZ_MIN(to, filter->before_ms + 1);
    if (filter->contains)
        from = HZ_MAX(from, (filter->to_ms ? to : hz_base_wall_ms()) - SEARCH_MS);
    struct hz_store_connection *c = hz_store_reader_take();
    if (!c)
        return NULL;
    sqlite3_stmt *s = hz_store_statement(c, HZ_SQL_LOGS);
    json_t *list = NULL;
    if (s) {
        sqlite3_bind_int64(s, 1, from);
        sqlite3_bind_int64(s, 2, to);
        sqlite3_bind_int(s, 3, filter->level_min);
        hz_store_bind_text(s, 4, filter->workflow_id);
        hz_store_bind_text(s, 5, filter->worker_id);
        if (filter->execution)
            sqlite3_bind_blob(s, 6, filter->execution->bytes, sizeof filter->execution->bytes, SQLITE_STATIC);
        hz_store_bind_text(s, 7, filter->contains);
        sqlite3_bind_int64(s, 8, (sqlite3_int64)HZ_MIN(filter->limit, (size_t)MOST));
        sqlite3_bind_int64(s, 9, filter->before_ms);
        sqlite3_bind_int64(s, 10, filter->before_sequence);
        list = collect(c, s, log_row);
        sqlite3_clear_bindings(s);
    }
    hz_store_reader_give(c);
    return list;
}

static json_t *counter_row(sqlite3_stmt *s)
{
    return json_pack("{s:s, s:I, s:i, s:I}", "workflowId", sqlite3_column_text(s, 0), "hour", (json_int_t)sqlite3_column_int64(s, 1), "state",
            sqlite3_column_int(s, 2), "count", (json_int_t)sqlite3_column_int64(s, 3));
}

json_t *hz_store_counters(const char *workflow_id, int64_t from_hour)
{
    struct hz_store_connection *c = hz_store_reader_take();
    if (!c)
        return NULL;
    sqlite3_stmt *s = hz_store_statement(c, HZ_SQL_COUNTERS);
    json_t *list = NULL;
    if (s) {
        hz_store_bind_text(s, 1, workflow_id);
        sqlite3_bind_int64(s, 2, from_hour);
        list = collect(c, s, counter_row);
        sqlite3_clear_bindings(s);
    }
    hz_store_reader_give(c);
    return list;
}

static int list_alerts(bool open_only, int least, int64_t before_ms, size_t limit, struct hz_store_alert **ret_list, size_t *ret_count)
{
    hz_store_wait_settled(100);
    struct hz_store_connection *c = hz_store_reader_take();
    if (!c)
        return HZ_EFORMAT;
    sqlite3_stmt *s = hz_store_statement(c, HZ_SQL_ALERTS);
    struct hz_store_alert *list = NULL;
    size_t count = 0;
    int code = SQLITE_DONE, err = s ? 0 : HZ_EFORMAT;
    if (s) {
        sqlite3_bind_int(s, 1, open_only);
        sqlite3_bind_int64(s, 2, (sqlite3_int64)HZ_MIN(limit, (size_t)MOST));
        sqlite3_bind_int(s, 3, least);
        sqlite3_bind_int64(s, 4, before_ms);
    }
    while (!err && (code = sqlite3_step(s)) == SQLITE_ROW) {
        struct hz_store_alert *grown = realloc(list, (count + 1) * sizeof *list);
        if (!grown) {
            err = hz_err_set(HZ_ENOMEM, "listing alerts");
            break;
        }
        list = grown;
        struct hz_store_alert *alert = &list[count++];
        memset(alert, 0, sizeof *alert);
        hz_store_column_copy(s, 0, alert->rule, sizeof alert->rule);
        hz_store_column_copy(s, 1, alert->subject, sizeof alert->subject);
        alert->level = sqlite3_column_int(s, 2);
        alert->raised_ms = sqlite3_column_int64(s, 3);
        alert->cleared_ms = sqlite3_column_int64(s, 4);
        alert->silenced_ms = sqlite3_column_int64(s, 5);
        hz_store_column_copy(s, 6, alert->text, sizeof alert->text);
    }
    if (!err && code != SQLITE_DONE)
        err = hz_store_db_error(c->db, "listing alerts");
    if (s)
        sqlite3_reset(s);
    hz_store_reader_give(c);
    if (err) {
        free(list);
        return err;
    }
    *ret_list = list;
    *ret_count = count;
    return 0;
}

int hz_store_alert_list(bool open_only, size_t limit, struct hz_store_alert **ret_list, size_t *ret_count)
{
    return list_alerts(open_only, 1, 0, limit, ret_list, ret_count);
}

int hz_store_alert_history(int64_t before_ms, size_t limit, struct hz_store_alert **ret_list, size_t *ret_count)
{
    return list_alerts(false, 1, before_ms, limit, ret_list, ret_count);
}

int hz_store_alert_open(struct hz_store_alert **ret_list, size_t *ret_count)
{
    return list_alerts(true, 0, 0, MOST, ret_list, ret_count);
}
