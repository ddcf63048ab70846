/*
 * store_events.c - what happened in the last days, and stored answers to requests with an Idempotency-Key. Any thread but the writer's;
 * blocking.
 */
#include "store_records.h"

#include "store_db.h"

#include "core/flow/json_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct events {
    const struct hz_store_event *list;
    size_t count;
    int64_t oldest_ms;
};

static int put_events(struct hz_store_connection *c, void *arg)
{
    const struct events *events = arg;
    sqlite3_stmt *s;
    int err = 0;
    for (size_t i = 0; !err && i < events->count; i++) {
        const struct hz_store_event *e = &events->list[i];
        s = hz_store_statement(c, HZ_SQL_EVENT_PUT);
        if (!s)
            return HZ_EFORMAT;
        sqlite3_bind_int64(s, 1, (sqlite3_int64)e->sequence);
        sqlite3_bind_int64(s, 2, e->at_ms);
        hz_store_bind_text(s, 3, e->kind);
        hz_store_bind_text(s, 4, e->workflow_id);
        hz_store_bind_text(s, 5, e->data);
        err = hz_store_step(c, s, "writing an event");
        sqlite3_clear_bindings(s);
    }
    s = err ? NULL : hz_store_statement(c, HZ_SQL_EVENT_PRUNE);
    if (!s)
        return err ? err : HZ_EFORMAT;
    sqlite3_bind_int64(s, 1, events->oldest_ms);
    sqlite3_bind_int64(s, 2, HZ_EVENTS_KEPT);
    err = hz_store_step(c, s, "forgetting events");
    sqlite3_clear_bindings(s);
    return err;
}

int hz_store_events_put(const struct hz_store_event *list, size_t count, int64_t keep_ms)
{
    struct events events = {.list = list, .count = count, .oldest_ms = hz_base_wall_ms() - keep_ms};
    return hz_store_call(put_events, &events);
}

json_t *hz_store_events(const char *kinds, const char *workflow_id, uint64_t before, uint64_t after, size_t limit)
{
    struct hz_store_connection *c = hz_store_reader_take();
    sqlite3_stmt *s = c ? hz_store_statement(c, after ? HZ_SQL_EVENTS_AFTER : HZ_SQL_EVENTS_BEFORE) : NULL;
    char *wanted = NULL;
    json_t *list = s ? json_array() : NULL;
    if (list && kinds && asprintf(&wanted, ",%s,", kinds) < 0) {
        wanted = NULL;
        json_decref(list);
        list = NULL;
    }
    if (list) {
        int code;
        hz_store_bind_text(s, 1, wanted);
        hz_store_bind_text(s, 2, workflow_id);
        sqlite3_bind_int64(s, 3, (sqlite3_int64)(after ? after : before));
        sqlite3_bind_int64(s, 4, (sqlite3_int64)limit);
        while ((code = sqlite3_step(s)) == SQLITE_ROW)
            if (json_array_append_new(list, hz_json_text_read((const char *)sqlite3_column_text(s, 0), (size_t)sqlite3_column_bytes(s, 0))))
                break;
        if (code != SQLITE_DONE) {
            (void)hz_store_db_error(c->db, "listing events");
            json_decref(list);
            list = NULL;
        }
        sqlite3_reset(s);
        sqlite3_clear_bindings(s);
    }
    if (c)
        hz_store_reader_give(c);
    free(wanted);
    return list;
}

/* ---- stored answers ---- */
struct answer {
    const char *owner, *key, *body;
    uint64_t request;
    uint32_t status;
    int64_t keep_ms;
};

static int put_answer(struct hz_store_connection *c, void *arg)
{
    const struct answer *a = arg;
    int64_t now = hz_base_wall_ms();
    sqlite3_stmt *s = hz_store_statement(c, HZ_SQL_ANSWER_PRUNE);
    if (!s)
        return HZ_EFORMAT;
    sqlite3_bind_int64(s, 1, now - a->keep_ms);
    int err = hz_store_step(c, s, "forgetting answers");
    sqlite3_clear_bindings(s);
    s = err ? NULL : hz_store_statement(c, HZ_SQL_ANSWER_PUT);
    if (!s)
        return err ? err : HZ_EFORMAT;
    hz_store_bind_text(s, 1, a->owner);
    hz_store_bind_text(s, 2, a->key);
    sqlite3_bind_int64(s, 3, (sqlite3_int64)a->request);
    sqlite3_bind_int64(s, 4, (sqlite3_int64)a->status);
    hz_store_bind_text(s, 5, a->body);
    sqlite3_bind_int64(s, 6, now);
    err = hz_store_step(c, s, "keeping an answer");
    sqlite3_clear_bindings(s);
    return err;
}

int hz_store_answer_put(const char *owner, const char *key, uint64_t request, uint32_t status, const char *body, int64_t keep_ms)
{
    struct answer a = {.owner = owner, .key = key, .body = body, .request = request, .status = status, .keep_ms = keep_ms};
    return hz_store_call(put_answer, &a);
}

int hz_store_answer_get(const char *owner, const char *key, uint64_t *ret_request, uint32_t *ret_status, char **ret_body)
{
    struct hz_store_connection *c = hz_store_reader_take();
    sqlite3_stmt *s = c ? hz_store_statement(c, HZ_SQL_ANSWER_GET) : NULL;
    int err = HZ_EFORMAT;
    if (s) {
        hz_store_bind_text(s, 1, owner);
        hz_store_bind_text(s, 2, key);
        int code = sqlite3_step(s);
        if (code == SQLITE_ROW) {
            *ret_request = (uint64_t)sqlite3_column_int64(s, 0);
            *ret_status = (uint32_t)sqlite3_column_int64(s, 1);
            err = hz_store_column_dup(s, 2, ret_body);
        } else {
            err = code == SQLITE_DONE ? HZ_ENOTFOUND : hz_store_db_error(c->db, "reading a kept answer");
        }
        sqlite3_reset(s);
        sqlite3_clear_bindings(s);
    }
    if (c)
        hz_store_reader_give(c);
    return err;
}
