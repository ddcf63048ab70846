/*
 * store_workflows.c - workflows and their versions, and sealed secrets: rare and small, written by the writer while the caller waits.
 * Any thread but the writer's.
 */
#include "store_db.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct workflow {
    const char *id, *version, *text, *author;
    size_t len;
    uint64_t hash;
};

static int put_workflow(struct hz_store_connection *c, void *arg)
{
    const struct workflow *w = arg;
    sqlite3_stmt *s = hz_store_statement(c, HZ_SQL_WORKFLOW_PUT);
    if (!s)
        return HZ_EFORMAT;
    hz_store_bind_text(s, 1, w->id);
    hz_store_bind_text(s, 2, w->version);
    sqlite3_bind_text64(s, 3, w->text, w->len, SQLITE_STATIC, SQLITE_UTF8);
    sqlite3_bind_int64(s, 4, (sqlite3_int64)w->hash);
    hz_store_bind_text(s, 5, w->author);
    sqlite3_bind_int64(s, 6, hz_base_wall_ms());
    int err = hz_store_step(c, s, "writing a workflow");
    sqlite3_clear_bindings(s);
    return err;
}

int hz_store_workflow_put(const char *id, const char *version, const char *text, size_t len, const char *author, uint64_t hash)
{
    struct workflow workflow = {.id = id, .version = version, .text = text, .author = author, .len = len, .hash = hash};
    return hz_store_call(put_workflow, &workflow);
}

static int copy_blob(sqlite3_stmt *s, int column, void **ret, size_t *ret_len)
{
    size_t len = (size_t)sqlite3_column_bytes(s, column);
    char *copy = malloc(len + 1);
    if (!copy)
        return hz_err_set(HZ_ENOMEM, "reading the store");
    if (len)
        memcpy(copy, sqlite3_column_blob(s, column), len);
    copy[len] = 0;
    *ret = copy;
    *ret_len = len;
    return 0;
}

int hz_store_workflow_get(const char *id, const char *version, char **ret_text, size_t *ret_len, char ret_version[32], uint64_t *ret_hash,
        int64_t *ret_updated_ms)
{
    struct hz_store_connection *c = hz_store_reader_take();
    if (!c)
        return HZ_EFORMAT;
    sqlite3_stmt *s = hz_store_statement(c, version ? HZ_SQL_WORKFLOW_VERSION : HZ_SQL_WORKFLOW_NEWEST);
    int err = HZ_EFORMAT;
    if (s) {
        hz_store_bind_text(s, 1, id);
        if (version)
            hz_store_bind_text(s, 2, version);
        int code = sqlite3_step(s);
        if (code == SQLITE_ROW) {
            void *text = NULL;
            err = copy_blob(s, 0, &text, ret_len);
            if (!err) {
                *ret_text = text;
                hz_store_column_copy(s, 1, ret_version, 32);
                *ret_hash = (uint64_t)sqlite3_column_int64(s, 2);
                *ret_updated_ms = sqlite3_column_int64(s, 3);
            }
        } else {
            err = code == SQLITE_DONE ? HZ_ENOTFOUND : hz_store_db_error(c->db, "reading a workflow");
        }
        sqlite3_reset(s);
        sqlite3_clear_bindings(s);
    }
    hz_store_reader_give(c);
    return err;
}

/* All rows of a statement as an array; `row` makes one. id: bound first if there is one. */
static json_t *rows(enum hz_store_sql which, const char *id, json_t *(*row)(sqlite3_stmt *s))
{
    struct hz_store_connection *c = hz_store_reader_take();
    if (!c)
        return NULL;
    sqlite3_stmt *s = hz_store_statement(c, which);
    json_t *list = s ? json_array() : NULL;
    if (s && id)
        hz_store_bind_text(s, 1, id);
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
    if (s) {
        sqlite3_reset(s);
        sqlite3_clear_bindings(s);
    }
    hz_store_reader_give(c);
    return list;
}

static json_t *workflow_row(sqlite3_stmt *s)
{
    return json_pack("{s:s, s:s, s:I, s:I, s:b, s:s}", "id", sqlite3_column_text(s, 0), "version", sqlite3_column_text(s, 1), "hash",
            (json_int_t)sqlite3_column_int64(s, 2), "updatedMs", (json_int_t)sqlite3_column_int64(s, 3), "enabled", 1, "author",
            sqlite3_column_text(s, 4));
}

json_t *hz_store_workflow_list(void)
{
    return rows(HZ_SQL_WORKFLOW_LIST, NULL, workflow_row);
}

json_t *hz_store_workflow_versions(const char *id)
{
    return rows(HZ_SQL_WORKFLOW_VERSIONS, id, workflow_row);
}

/* ---- secrets ---- */

struct secrets {
    const char *const *names;
    const void *const *sealed;
    const size_t *lens;
    size_t count;
    bool alone; /* no other stays */
};

static int put_secrets(struct hz_store_connection *c, void *arg)
{
    const struct secrets *all = arg;
    sqlite3_stmt *s;
    if (all->alone) {
        s = hz_store_statement(c, HZ_SQL_SECRET_DELETE_ALL);
        int err = s ? hz_store_step(c, s, "replacing the secrets") : HZ_EFORMAT;
        if (err)
            return err;
    }
    for (size_t i = 0; i < all->count; i++) {
        s = hz_store_statement(c, HZ_SQL_SECRET_PUT);
        if (!s)
            return HZ_EFORMAT;
        hz_store_bind_text(s, 1, all->names[i]);
        sqlite3_bind_blob64(s, 2, all->sealed[i], all->lens[i], SQLITE_STATIC);
        sqlite3_bind_int64(s, 3, hz_base_wall_ms());
        int err = hz_store_step(c, s, "writing a secret");
        sqlite3_clear_bindings(s);
        if (err)
            return err;
    }
    return 0;
}

int hz_store_secret_put(const char *name, const void *sealed, size_t len)
{
    struct secrets one = {.names = &name, .sealed = &sealed, .lens = &len, .count = 1};
    return hz_store_call(put_secrets, &one);
}

int hz_store_secret_replace(const char *const *names, const void *const *sealed, const size_t *lens, size_t count)
{
    struct secrets all = {.names = names, .sealed = sealed, .lens = lens, .count = count, .alone = true};
    return hz_store_call(put_secrets, &all);
}

static int delete_secret(struct hz_store_connection *c, void *arg)
{
    const char *const *name = arg;
    sqlite3_stmt *s = hz_store_statement(c, HZ_SQL_SECRET_DELETE);
    if (!s)
        return HZ_EFORMAT;
    hz_store_bind_text(s, 1, *name);
    int err = hz_store_step(c, s, "deleting a secret");
    sqlite3_clear_bindings(s);
    return err ? err : sqlite3_changes(c->db) ? 0 : HZ_ENOTFOUND;
}

int hz_store_secret_delete(const char *name)
{
    return hz_store_call(delete_secret, &name);
}

int hz_store_secret_get(const char *name, void **ret_sealed, size_t *ret_len)
{
    struct hz_store_connection *c = hz_store_reader_take();
    if (!c)
        return HZ_EFORMAT;
    sqlite3_stmt *s = hz_store_statement(c, HZ_SQL_SECRET_GET);
    int err = HZ_EFORMAT;
    if (s) {
        hz_store_bind_text(s, 1, name);
        int code = sqlite3_step(s);
        if (code == SQLITE_ROW)
            err = copy_blob(s, 0, ret_sealed, ret_len);
        else
            err = code == SQLITE_DONE ? HZ_ENOTFOUND : hz_store_db_error(c->db, "reading a secret");
        sqlite3_reset(s);
        sqlite3_clear_bindings(s);
    }
    hz_store_reader_give(c);
    return err;
}

static json_t *secret_row(sqlite3_stmt *s)
{
    return json_pack("{s:s, s:I}", "name", sqlite3_column_text(s, 0), "updatedMs", (json_int_t)sqlite3_column_int64(s, 1));
}

json_t *hz_store_secret_list(void)
{
    return rows(HZ_SQL_SECRET_LIST, NULL, secret_row);
}

/* ---- dead letters ---- */

static int clear_dead(struct hz_store_connection *c, void *arg)
{
    const struct hz_uuid *id = arg;
    sqlite3_stmt *s = hz_store_statement(c, HZ_SQL_DEAD_CLEAR);
    if (!s)
        return HZ_EFORMAT;
    sqlite3_bind_blob(s, 1, id->bytes, sizeof id->bytes, SQLITE_STATIC);
    int err = hz_store_step(c, s, "clearing a dead letter");
    sqlite3_clear_bindings(s);
    return err ? err : sqlite3_changes(c->db) ? 0 : HZ_ENOTFOUND;
}

int hz_store_dead_clear(const struct hz_uuid *id)
{
    struct hz_uuid copy = *id;
    return hz_store_call(clear_dead, &copy);
}
