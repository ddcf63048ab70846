/*
 * store_records.c - the records of the pages in the store: read from a snapshot, written within the writer's transactions with the line of
 * history that belongs to them. Any thread but the writer's.
 */
#include "store_records.h"

#include "store_db.h"

#include "core/flow/json_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void hz_doc_fini(struct hz_doc *record)
{
    json_decref(record->data);
    record->data = NULL;
}

static int read_record(sqlite3_stmt *s, enum hz_doc_kind kind, struct hz_doc *ret)
{
    memset(ret, 0, sizeof *ret);
    ret->kind = kind;
    hz_store_column_copy(s, 0, ret->id, sizeof ret->id);
    hz_store_column_copy(s, 1, ret->parent, sizeof ret->parent);
    hz_store_column_copy(s, 2, ret->status, sizeof ret->status);
    ret->created_ms = sqlite3_column_int64(s, 3);
    ret->updated_ms = sqlite3_column_int64(s, 4);
    ret->revision = (uint64_t)sqlite3_column_int64(s, 5);
    ret->data = hz_json_text_read((const char *)sqlite3_column_text(s, 6), (size_t)sqlite3_column_bytes(s, 6));
    return ret->data ? 0 : hz_err_set(HZ_EFORMAT, "store: record %s is no JSON", ret->id);
}

/* A reader's statement with up to three texts bound; NULL with the error set. */
static sqlite3_stmt *begin_read(enum hz_store_sql which, struct hz_store_connection **ret_connection)
{
    struct hz_store_connection *c = hz_store_reader_take();
    sqlite3_stmt *s = c ? hz_store_statement(c, which) : NULL;
    if (c && !s)
        hz_store_reader_give(c);
    *ret_connection = c;
    return s;
}

static void end_read(sqlite3_stmt *s, struct hz_store_connection *c)
{
    sqlite3_reset(s);
    sqlite3_clear_bindings(s);
    hz_store_reader_give(c);
}

int hz_store_record_get(enum hz_doc_kind kind, const char *id, struct hz_doc *ret_record)
{
    struct hz_store_connection *c;
    sqlite3_stmt *s = begin_read(HZ_SQL_RECORD_GET, &c);
    if (!s)
        return HZ_EFORMAT;
    sqlite3_bind_int(s, 1, (int)kind);
    hz_store_bind_text(s, 2, id);
    int code = sqlite3_step(s);
    int err = code == SQLITE_ROW    ? read_record(s, kind, ret_record)
              : code == SQLITE_DONE ? HZ_ENOTFOUND
                                    : hz_store_db_error(c->db, "reading a record");
    end_read(s, c);
    return err;
}

void hz_store_records_free(struct hz_doc **records, size_t count)
{
    for (size_t i = 0; *records && i < count; i++)
        hz_doc_fini(&(*records)[i]);
    free(*records);
    *records = NULL;
}

int hz_store_records(enum hz_doc_kind kind, const char *parent, struct hz_doc **ret_records, size_t *ret_count)
{
    struct hz_store_connection *c;
    sqlite3_stmt *s = begin_read(HZ_SQL_RECORD_LIST, &c);
    if (!s)
        return HZ_EFORMAT;
    struct hz_doc *records = NULL;
    size_t count = 0, capacity = 0;
    int err = 0, code;
    sqlite3_bind_int(s, 1, (int)kind);
    hz_store_bind_text(s, 2, parent);
    while (!err && (code = sqlite3_step(s)) != SQLITE_DONE) {
        if (code != SQLITE_ROW) {
            err = hz_store_db_error(c->db, "listing records");
            break;
        }
        if (count == capacity) {
            capacity = capacity ? 2 * capacity : 16;
            struct hz_doc *grown = realloc(records, capacity * sizeof *grown);
            if (!grown) {
                err = hz_err_set(HZ_ENOMEM, "listing records");
                break;
            }
            records = grown;
        }
        err = read_record(s, kind, &records[count]);
        count += err == 0;
    }
    end_read(s, c);
    if (err) {
        hz_store_records_free(&records, count);
        return err;
    }
    *ret_records = records;
    *ret_count = count;
    return 0;
}

json_t *hz_store_records_with(enum hz_doc_kind kind, const char *status)
{
    struct hz_store_connection *c;
    sqlite3_stmt *s = begin_read(HZ_SQL_RECORD_WITH, &c);
    json_t *ids = s ? json_object() : NULL;
    int code = SQLITE_DONE;
    if (!s)
        return NULL;
    sqlite3_bind_int(s, 1, (int)kind);
    hz_store_bind_text(s, 2, status);
    while (ids && (code = sqlite3_step(s)) == SQLITE_ROW)
        (void)json_object_set_new(ids, (const char *)sqlite3_column_text(s, 0), json_true());
    if (code != SQLITE_DONE) {
        (void)hz_store_db_error(c->db, "listing records");
        json_decref(ids);
        ids = NULL;
    }
    end_read(s, c);
    return ids;
}

/* ---- writing ---- */
struct putting {
    struct hz_doc *record;
    const struct hz_doc_change *change;
    char *text;
    uint64_t revision;
};

static int present_revision(struct hz_store_connection *c, const struct hz_doc *record, uint64_t *ret)
{
    sqlite3_stmt *s = hz_store_statement(c, HZ_SQL_RECORD_REVISION);
    if (!s)
        return HZ_EFORMAT;
    sqlite3_bind_int(s, 1, (int)record->kind);
    hz_store_bind_text(s, 2, record->id);
    int code = sqlite3_step(s);
    *ret = code == SQLITE_ROW ? (uint64_t)sqlite3_column_int64(s, 0) : 0;
    int err = code == SQLITE_ROW || code == SQLITE_DONE ? 0 : hz_store_db_error(c->db, "writing a record");
    sqlite3_reset(s);
    sqlite3_clear_bindings(s);
    return err;
}

static int put_change(struct hz_store_connection *c, const struct putting *p)
{
    sqlite3_stmt *s = hz_store_statement(c, HZ_SQL_HISTORY_PUT);
    if (!s)
        return HZ_EFORMAT;
    hz_store_bind_text(s, 1, p->record->id);
    hz_store_bind_text(s, 2, p->change->version);
    hz_store_bind_text(s, 3, p->change->change);
    hz_store_bind_text(s, 4, p->change->description);
    hz_store_bind_text(s, 5, p->change->author);
    sqlite3_bind_int64(s, 6, p->record->updated_ms);
    hz_store_bind_text(s, 7, p->text);
    int err = hz_store_step(c, s, "writing a record's history");
    sqlite3_clear_bindings(s);
    return err;
}

static int put_record(struct hz_store_connection *c, void *arg)
{
    struct putting *p = arg;
    uint64_t now;
    int err = present_revision(c, p->record, &now);
    if (err)
        return err;
    if (p->record->revision != HZ_DOC_ANY && p->record->revision != now)
        return now ? HZ_EEXISTS : HZ_ENOTFOUND;
    sqlite3_stmt *s = hz_store_statement(c, HZ_SQL_RECORD_PUT);
    if (!s)
        return HZ_EFORMAT;
    p->revision = now + 1;
    sqlite3_bind_int(s, 1, (int)p->record->kind);
    hz_store_bind_text(s, 2, p->record->id);
    hz_store_bind_text(s, 3, p->record->parent);
    hz_store_bind_text(s, 4, p->record->status);
    sqlite3_bind_int64(s, 5, p->record->created_ms);
    sqlite3_bind_int64(s, 6, p->record->updated_ms);
    sqlite3_bind_int64(s, 7, (sqlite3_int64)p->revision);
    hz_store_bind_text(s, 8, p->text);
    err = hz_store_step(c, s, "writing a record");
    sqlite3_clear_bindings(s);
    return err || !p->change ? err : put_change(c, p);
}

int hz_store_record_put(struct hz_doc *record, const struct hz_doc_change *change)
{
    struct putting p = {.record = record, .change = change, .text = hz_json_text_print(record->data, 0, NULL)};
    if (!p.text)
        return hz_err_set(HZ_ENOMEM, "writing a record");
    int err = hz_store_call(put_record, &p);
    free(p.text);
    if (!err)
        record->revision = p.revision;
    return err;
}

/* ---- history ---- */
json_t *hz_store_record_history(const char *workflow)
{
    struct hz_store_connection *c;
    sqlite3_stmt *s = begin_read(HZ_SQL_HISTORY, &c);
    if (!s)
        return NULL;
    json_t *list = json_array();
    int code;
    hz_store_bind_text(s, 1, workflow);
    while ((code = sqlite3_step(s)) == SQLITE_ROW && list)
        if (json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:I, s:s}", "version", sqlite3_column_text(s, 0), "changeType",
                                                sqlite3_column_text(s, 1), "changeDescription", sqlite3_column_text(s, 2), "createdMs",
                                                (json_int_t)sqlite3_column_int64(s, 3), "author", sqlite3_column_text(s, 4)))) {
            json_decref(list);
            list = NULL;
        }
    if (list && code != SQLITE_DONE) {
        (void)hz_store_db_error(c->db, "listing versions");
        json_decref(list);
        list = NULL;
    }
    end_read(s, c);
    return list;
}

int hz_store_record_version(const char *workflow, const char *version, json_t **ret_data)
{
    struct hz_store_connection *c;
    sqlite3_stmt *s = begin_read(HZ_SQL_HISTORY_VERSION, &c);
    if (!s)
        return HZ_EFORMAT;
    hz_store_bind_text(s, 1, workflow);
    hz_store_bind_text(s, 2, version);
    int code = sqlite3_step(s), err = 0;
    if (code == SQLITE_ROW) {
        *ret_data = hz_json_text_read((const char *)sqlite3_column_text(s, 0), (size_t)sqlite3_column_bytes(s, 0));
        if (!*ret_data)
            err = hz_err_set(HZ_EFORMAT, "store: version %s of workflow %s is no JSON", version, workflow);
    } else {
        err = code == SQLITE_DONE ? HZ_ENOTFOUND : hz_store_db_error(c->db, "reading a version");
    }
    end_read(s, c);
    return err;
}
