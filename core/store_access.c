/* store_access.c - see store_access.h: rare and small rows, written by the writer while the caller waits. */
#include "store_access.h"

#include "store_db.h"

#include "shm/text.h"

#include <stdio.h>
#include <string.h>

/* ---- reading ---- */

static void bind_always(sqlite3_stmt *s, int index, const struct hz_uuid *id)
{
    sqlite3_bind_blob(s, index, id->bytes, sizeof id->bytes, SQLITE_STATIC);
}

static bool role_row(sqlite3_stmt *s, const struct hz_store_access_visitor *v)
{
    struct hz_store_role role = {.level = sqlite3_column_int(s, 0), .created_ms = sqlite3_column_int64(s, 2)};
    hz_store_column_id(s, 1, &role.id);
    return v->role(v->arg, &role);
}

static bool permission_row(sqlite3_stmt *s, const struct hz_store_access_visitor *v)
{
    struct hz_store_permission permission = {.roles = (uint32_t)sqlite3_column_int(s, 3), .created_ms = sqlite3_column_int64(s, 4)};
    hz_store_column_copy(s, 0, permission.module, sizeof permission.module);
    hz_store_column_copy(s, 1, permission.action, sizeof permission.action);
    hz_store_column_id(s, 2, &permission.id);
    return v->permission(v->arg, &permission);
}

/* What once was stored otherwise must not make a whole list unreadable. */
static void copy_name(sqlite3_stmt *s, int column, char *to, size_t size)
{
    hz_store_column_copy(s, column, to, size);
    hz_text_mend(to);
}

static bool user_row(sqlite3_stmt *s, const struct hz_store_access_visitor *v)
{
    struct hz_store_user user = {.origin = sqlite3_column_int(s, 5), .level = sqlite3_column_int(s, 6),
            .active = sqlite3_column_int(s, 7) != 0, .created_ms = sqlite3_column_int64(s, 8), .updated_ms = sqlite3_column_int64(s, 9),
            .last_login_ms = sqlite3_column_int64(s, 10)};
    hz_store_column_id(s, 0, &user.id);
    copy_name(s, 1, user.email, sizeof user.email);
    copy_name(s, 2, user.name, sizeof user.name);
    copy_name(s, 3, user.avatar, sizeof user.avatar);
    hz_store_column_copy(s, 4, user.password, sizeof user.password);
    return v->user(v->arg, &user);
}

static bool credential_row(sqlite3_stmt *s, const struct hz_store_access_visitor *v)
{
    struct hz_store_credential credential = {.kind = sqlite3_column_int(s, 2), .level = sqlite3_column_int(s, 4),
            .created_ms = sqlite3_column_int64(s, 7), .expires_ms = sqlite3_column_int64(s, 8), .seen_ms = sqlite3_column_int64(s, 9)};
    hz_store_column_id(s, 0, &credential.id);
    if (sqlite3_column_bytes(s, 1) == (int)sizeof credential.hash)
        memcpy(credential.hash, sqlite3_column_blob(s, 1), sizeof credential.hash);
    hz_store_column_id(s, 3, &credential.user);
    copy_name(s, 5, credential.name, sizeof credential.name);
    hz_store_column_copy(s, 6, credential.scopes, sizeof credential.scopes);
    return v->credential(v->arg, &credential);
}

static int visit(struct hz_store_connection *c, enum hz_store_sql which, bool (*row)(sqlite3_stmt *s, const struct hz_store_access_visitor *v),
        const struct hz_store_access_visitor *visitor)
{
    sqlite3_stmt *s = hz_store_statement(c, which);
    int code = s ? SQLITE_ROW : SQLITE_ERROR, err = s ? 0 : HZ_EFORMAT;
    while (!err && (code = sqlite3_step(s)) == SQLITE_ROW)
        if (!row(s, visitor))
            err = hz_err_set(HZ_ENOMEM, "reading the accounts");
    if (!err && code != SQLITE_DONE)
        err = hz_store_db_error(c->db, "reading the accounts");
    if (s)
        sqlite3_reset(s);
    return err;
}

int hz_store_access_load(const struct hz_store_access_visitor *visitor)
{
    struct hz_store_connection *c = hz_store_reader_take();
    if (!c)
        return HZ_EFORMAT;
    int err = visit(c, HZ_SQL_ROLES, role_row, visitor);
    if (!err)
        err = visit(c, HZ_SQL_PERMISSIONS, permission_row, visitor);
    if (!err)
        err = visit(c, HZ_SQL_USERS, user_row, visitor);
    if (!err)
        err = visit(c, HZ_SQL_CREDENTIALS, credential_row, visitor);
    hz_store_reader_give(c);
    return err;
}

/* ---- writing: each function runs in the writer's transaction ---- */

struct seed {
    const struct hz_store_role *roles;
    const struct hz_store_permission *permissions;
    size_t role_count, permission_count;
};

static int put_role(struct hz_store_connection *c, const struct hz_store_role *role)
{
    sqlite3_stmt *s = hz_store_statement(c, HZ_SQL_ROLE_PUT);
    if (!s)
        return HZ_EFORMAT;
    sqlite3_bind_int(s, 1, role->level);
    bind_always(s, 2, &role->id);
    hz_store_bind_text(s, 3, role->name);
    hz_store_bind_text(s, 4, role->description);
    sqlite3_bind_int64(s, 5, role->created_ms);
    return hz_store_step(c, s, "writing a role");
}

static int put_permission(struct hz_store_connection *c, const struct hz_store_permission *permission)
{
    sqlite3_stmt *s = hz_store_statement(c, HZ_SQL_PERMISSION_PUT);
    if (!s)
        return HZ_EFORMAT;
    bind_always(s, 1, &permission->id);
    hz_store_bind_text(s, 2, permission->module);
    hz_store_bind_text(s, 3, permission->action);
    sqlite3_bind_int64(s, 4, permission->roles);
    hz_store_bind_text(s, 5, permission->description);
    sqlite3_bind_int64(s, 6, permission->created_ms);
    return hz_store_step(c, s, "writing a permission");
}

static int put_seed(struct hz_store_connection *c, void *arg)
{
    const struct seed *seed = arg;
    int err = 0;
    for (size_t i = 0; i < seed->role_count && !err; i++)
        err = put_role(c, &seed->roles[i]);
    for (size_t i = 0; i < seed->permission_count && !err; i++)
        err = put_permission(c, &seed->permissions[i]);
    return err;
}

int hz_store_access_seed(const struct hz_store_role *roles, size_t role_count, const struct hz_store_permission *permissions,
        size_t permission_count)
{
    struct seed seed = {roles, permissions, role_count, permission_count};
    return hz_store_call(put_seed, &seed);
}

struct users {
    const struct hz_store_user *list;
    size_t count;
};

static int put_users(struct hz_store_connection *c, void *arg)
{
    const struct users *users = arg;
    for (size_t i = 0; i < users->count; i++) {
        const struct hz_store_user *user = &users->list[i];
        sqlite3_stmt *s = hz_store_statement(c, HZ_SQL_USER_PUT);
        if (!s)
            return HZ_EFORMAT;
        bind_always(s, 1, &user->id);
        hz_store_bind_text(s, 2, user->email);
        hz_store_bind_text(s, 3, user->name);
        hz_store_bind_text(s, 4, user->avatar[0] ? user->avatar : NULL);
        hz_store_bind_text(s, 5, user->password);
        sqlite3_bind_int(s, 6, user->origin);
        sqlite3_bind_int(s, 7, user->level);
        sqlite3_bind_int(s, 8, user->active);
        sqlite3_bind_int64(s, 9, user->created_ms);
        sqlite3_bind_int64(s, 10, user->updated_ms);
        sqlite3_bind_int64(s, 11, user->last_login_ms);
        int err = hz_store_step(c, s, "writing an account");
        sqlite3_clear_bindings(s);
        if (err)
            return err;
    }
    return 0;
}

int hz_store_users_put(const struct hz_store_user *users, size_t count)
{
    struct users all = {users, count};
    return hz_store_call(put_users, &all);
}

static int put_credential(struct hz_store_connection *c, void *arg)
{
    const struct hz_store_credential *credential = arg;
    sqlite3_stmt *s = hz_store_statement(c, HZ_SQL_CREDENTIAL_PUT);
    if (!s)
        return HZ_EFORMAT;
    bind_always(s, 1, &credential->id);
    sqlite3_bind_blob(s, 2, credential->hash, sizeof credential->hash, SQLITE_STATIC);
    sqlite3_bind_int(s, 3, credential->kind);
    hz_store_bind_id(s, 4, &credential->user);
    sqlite3_bind_int(s, 5, credential->level);
    hz_store_bind_text(s, 6, credential->name);
    hz_store_bind_text(s, 7, credential->scopes);
    sqlite3_bind_int64(s, 8, credential->created_ms);
    sqlite3_bind_int64(s, 9, credential->expires_ms);
    sqlite3_bind_int64(s, 10, credential->seen_ms);
    int err = hz_store_step(c, s, "writing a credential");
    sqlite3_clear_bindings(s);
    return err;
}

int hz_store_credential_put(const struct hz_store_credential *credential)
{
    struct hz_store_credential copy = *credential;
    return hz_store_call(put_credential, &copy);
}

struct seen {
    const struct hz_store_seen *list;
    size_t count;
};

static int put_seen(struct hz_store_connection *c, void *arg)
{
    const struct seen *seen = arg;
    for (size_t i = 0; i < seen->count; i++) {
        sqlite3_stmt *s = hz_store_statement(c, seen->list[i].seen_ms ? HZ_SQL_CREDENTIAL_SEEN : HZ_SQL_CREDENTIAL_DROP);
        if (!s)
            return HZ_EFORMAT;
        bind_always(s, 1, &seen->list[i].id);
        if (seen->list[i].seen_ms)
            sqlite3_bind_int64(s, 2, seen->list[i].seen_ms);
        int err = hz_store_step(c, s, "writing a credential");
        if (err)
            return err;
    }
    return 0;
}

int hz_store_credentials_seen(const struct hz_store_seen *seen, size_t count)
{
    struct seen all = {seen, count};
    return count ? hz_store_call(put_seen, &all) : 0;
}

struct change {
    struct users users;
    struct seen ended;
};

/* The writer has no savepoint within a call: what cannot be refused by a rule of the tables comes first. */
static int put_change(struct hz_store_connection *c, void *arg)
{
    struct change *change = arg;
    int err = put_seen(c, &change->ended);
    return err ? err : put_users(c, &change->users);
}

int hz_store_user_change(const struct hz_store_user *user, const struct hz_store_seen *ended, size_t count)
{
    struct change change = {{user, 1}, {ended, count}};
    return hz_store_call(put_change, &change);
}

/* ---- audit ---- */

struct audit {
    const struct hz_store_audit *rows;
    size_t count;
    int64_t keep[2]; /* [0] done, [1] refused */
};

static int prune_audit(struct hz_store_connection *c, int refused, int64_t keep)
{
    sqlite3_stmt *s = hz_store_statement(c, HZ_SQL_AUDIT_PRUNE);
    if (!s)
        return HZ_EFORMAT;
    sqlite3_bind_int(s, 1, refused);
    sqlite3_bind_int64(s, 2, keep);
    return hz_store_step(c, s, "writing the audit log");
}

static int put_audit(struct hz_store_connection *c, void *arg)
{
    const struct audit *audit = arg;
    sqlite3_stmt *s;
    bool due = false;
    for (size_t i = 0; i < audit->count; i++) {
        const struct hz_store_audit *row = &audit->rows[i];
        s = hz_store_statement(c, HZ_SQL_AUDIT_PUT);
        if (!s)
            return HZ_EFORMAT;
        sqlite3_bind_int64(s, 1, row->at_ms);
        hz_store_bind_text(s, 2, row->user);
        hz_store_bind_text(s, 3, row->kind);
        hz_store_bind_text(s, 4, row->address);
        hz_store_bind_text(s, 5, row->action);
        hz_store_bind_text(s, 6, row->target[0] ? row->target : NULL);
        sqlite3_bind_int64(s, 7, row->status);
        int err = hz_store_step(c, s, "writing the audit log");
        sqlite3_clear_bindings(s);
        if (err)
            return err;
        due = due || sqlite3_last_insert_rowid(c->db) % HZ_STORE_AUDIT_EVERY == 0;
    }
    int err = 0;
    for (int refused = 0; due && !err && refused < 2; refused++)
        err = prune_audit(c, refused, audit->keep[refused]);
    return err;
}

int hz_store_audit_put(const struct hz_store_audit *rows, size_t count, int64_t keep_done, int64_t keep_refused)
{
    struct audit all = {rows, count, {keep_done, keep_refused}};
    return hz_store_call(put_audit, &all);
}

static json_t *audit_row(sqlite3_stmt *s)
{
    char iso[HZ_ISO_TEXT];
    struct hz_store_audit row;
    hz_base_iso(sqlite3_column_int64(s, 1), iso);
    copy_name(s, 2, row.user, sizeof row.user);
    copy_name(s, 3, row.kind, sizeof row.kind);
    copy_name(s, 4, row.address, sizeof row.address);
    copy_name(s, 5, row.action, sizeof row.action);
    copy_name(s, 6, row.target, sizeof row.target);
    return json_pack("{s:I, s:s, s:s, s:s, s:s, s:s, s:s?, s:I}", "sequence", (json_int_t)sqlite3_column_int64(s, 0), "at", iso, "user", row.user,
            "kind", row.kind, "address", row.address, "action", row.action, "target", row.target[0] ? row.target : NULL, "status",
            (json_int_t)sqlite3_column_int64(s, 7));
}

json_t *hz_store_audit_list(const char *user, const char *action, int64_t from_ms, int64_t before_sequence, size_t limit)
{
    struct hz_store_connection *c = hz_store_reader_take();
    if (!c)
        return NULL;
    sqlite3_stmt *s = hz_store_statement(c, HZ_SQL_AUDIT_LIST);
    json_t *list = s ? json_array() : NULL;
    int code = SQLITE_DONE;
    if (list) {
        hz_store_bind_text(s, 1, user);
        hz_store_bind_text(s, 2, action);
        sqlite3_bind_int64(s, 3, from_ms);
        sqlite3_bind_int64(s, 4, before_sequence);
        sqlite3_bind_int64(s, 5, (sqlite3_int64)limit);
        while (list && (code = sqlite3_step(s)) == SQLITE_ROW)
            if (json_array_append_new(list, audit_row(s))) {
                (void)hz_err_set(HZ_ENOMEM, "reading the audit log");
                json_decref(list);
                list = NULL;
            }
    }
    if (list && code != SQLITE_DONE) {
        (void)hz_store_db_error(c->db, "reading the audit log");
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
