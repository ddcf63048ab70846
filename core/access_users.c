/* access_users.c - accounts: made, changed, shown. Blocking where it changes something, see access.h. */
#include "access_internal.h"

#include "shm/err.h"
#include "shm/text.h"

#include <ctype.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- what is given ---- */

int hz_access_password_check(const char *password)
{
    size_t len = strlen(password);
    if (len < HZ_ACCESS_PASSWORD_MIN || len > HZ_ACCESS_PASSWORD_MAX)
        return hz_err_set(HZ_EFORMAT, "a password has %u to %u bytes", HZ_ACCESS_PASSWORD_MIN, HZ_ACCESS_PASSWORD_MAX);
    return 0;
}

int hz_access_mail_check(const char *email)
{
    size_t len = strlen(email);
    const char *at = strchr(email, '@');
    bool plain = len < HZ_ACCESS_EMAIL - 1 && at && at > email && at[1] && !strchr(at + 1, '@');
    for (size_t i = 0; plain && i < len; i++)
        plain = isgraph((unsigned char)email[i]) && !strchr("\"<>,;\\", email[i]);
    return plain ? 0 : hz_err_set(HZ_EFORMAT, "`%.100s` is no mail address, expected name@domain", email);
}

int hz_access_name_check(const char *name)
{
    size_t len = strlen(name);
    if (len == 0 || len >= HZ_ACCESS_NAME || strcspn(name, "\t\r\n\x7f") != len || !hz_text_is_utf8(name, len))
        return hz_err_set(HZ_EFORMAT, "a name has 1 to %d bytes of UTF-8 on one line", HZ_ACCESS_NAME - 1);
    return 0;
}

/* 24 characters of 62: 142 bits. */
void hz_access_password_draw(char ret_password[32])
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    for (int i = 0; i < 24; i++)
        ret_password[i] = letters[randombytes_uniform(sizeof letters - 1)];
    ret_password[24] = 0;
}

int hz_access_password_hash(const char *password, char ret_hash[128])
{
    _Static_assert(crypto_pwhash_STRBYTES <= 128, "room for the text form");
    memset(ret_hash, 0, 128);
    if (crypto_pwhash_str(ret_hash, password, strlen(password), crypto_pwhash_OPSLIMIT_INTERACTIVE, crypto_pwhash_MEMLIMIT_INTERACTIVE))
        return hz_err_set(HZ_ENOMEM, "hashing a password (64 MiB)");
    return 0;
}

int hz_access_account_put(const struct hz_store_user *row)
{
    int err = hz_store_users_put(row, 1);
    if (!err && !hz_access_keep_account(row))
        err = hz_err_set(HZ_ENOMEM, "access");
    if (!err)
        hz_access_changed();
    return err;
}

/* Who makes an account, or gives one a password, can log in to it: a token with a scope gives only what its scope has. With `changing` held. */
static int covers(const struct hz_caller *by, int level)
{
    if (!by || by->kind != HZ_CALLER_TOKEN)
        return 0;
    const struct hz_credential *c = hz_access_credential(&by->credential);
    for (size_t i = 0; c && i < hz_access_permission_count(); i++)
        if ((hz_access_permission_roles(i) >> level & 1) && !(c->scope[i / 32] >> i % 32 & 1))
            return hz_err_set(HZ_EREFUSED, "this token's scope has less than the role %s: it cannot make or change such an account",
                    hz_role_name((enum hz_role)level));
    return c ? 0 : hz_err_set(HZ_EREFUSED, "this token has ended");
}

/* ---- adding ---- */

int hz_access_user_add(const struct hz_caller *by, const char *email, const char *name, enum hz_role role, const char *password,
        struct hz_uuid *ret_id)
{
    struct hz_store_user row = {.id = hz_uuid_new(), .origin = HZ_ORIGIN_CHOSEN, .level = (int)role, .active = true};
    int err = hz_access_mail_check(email);
    if (!err)
        err = hz_access_password_check(password);
    if (!err && name && *name)
        err = hz_access_name_check(name);
    if (!err && by && role < by->role)
        err = hz_err_set(HZ_EREFUSED, "nobody gives a role above his own (%s)", hz_role_name(by->role));
    if (!err)
        err = hz_access_password_hash(password, row.password); /* before the lock: it takes its time */
    if (err)
        return err;
    for (size_t i = 0; email[i]; i++)
        row.email[i] = (char)tolower((unsigned char)email[i]);
    snprintf(row.name, sizeof row.name, "%.*s", name && *name ? HZ_ACCESS_NAME : (int)strcspn(email, "@"), name && *name ? name : email);
    row.created_ms = row.updated_ms = hz_base_wall_ms();
    pthread_mutex_lock(&hz_access.changing);
    err = covers(by, row.level);
    if (!err)
        err = hz_access_account_by_mail(row.email) ? hz_err_set(HZ_EEXISTS, "there is an account %s already", row.email) : hz_access_account_put(&row);
    pthread_mutex_unlock(&hz_access.changing);
    if (!err)
        *ret_id = row.id;
    return err;
}

/* ---- changing ---- */

struct ending {
    const struct hz_account *account;
    bool tokens;
};

static bool ends(const struct hz_credential *c, const void *arg)
{
    const struct ending *ending = arg;
    return c->account == ending->account && (ending->tokens || c->row.kind != HZ_CREDENTIAL_TOKEN);
}

static bool is_last_superadmin(const struct hz_account *account)
{
    for (const struct hz_account *a = hz_access.accounts; a; a = a->next)
        if (a != account && a->row.active && a->row.level == HZ_ROLE_SUPERADMIN)
            return false;
    return account->row.active && account->row.level == HZ_ROLE_SUPERADMIN;
}

/* With `changing` held. row: the account as it shall be. */
static int may_change(const struct hz_caller *by, const struct hz_account *account, const struct hz_store_user *row)
{
    if (by && (account->row.level < (int)by->role || row->level < (int)by->role))
        return hz_err_set(HZ_EREFUSED, "nobody changes an account, or gives a role, above his own (%s)", hz_role_name(by->role));
    bool stays = row->active && row->level == HZ_ROLE_SUPERADMIN;
    if (!stays && is_last_superadmin(account))
        return hz_err_set(HZ_EREFUSED, "%s is the last active SuperAdmin", account->row.email);
    int err = covers(by, account->row.level);
    return err ? err : covers(by, row->level);
}

int hz_access_user_change(const struct hz_caller *by, const char *who, const struct hz_user_change *change)
{
    char hash[128] = "";
    int err = change->password ? hz_access_password_check(change->password) : 0;
    if (!err && change->name && *change->name)
        err = hz_access_name_check(change->name);
    if (!err && change->password)
        err = hz_access_password_hash(change->password, hash);
    if (err)
        return err;
    pthread_mutex_lock(&hz_access.changing);
    struct hz_account *account = hz_access_account_meant(who);
    if (!account)
        err = hz_err_set(HZ_ENOTFOUND, "there is no account %.128s", who);
    struct hz_store_user row = account ? account->row : (struct hz_store_user){0};
    if (change->role >= 0)
        row.level = change->role;
    if (change->active >= 0)
        row.active = change->active != 0;
    if (change->name && *change->name)
        snprintf(row.name, sizeof row.name, "%s", change->name);
    if (change->password) {
        memcpy(row.password, hash, sizeof row.password);
        row.origin = HZ_ORIGIN_CHOSEN;
    }
    row.updated_ms = hz_base_wall_ms();
    if (!err)
        err = may_change(by, account, &row);
    if (!err && (change->password || !row.active)) {
        struct ending ending = {.account = account, .tokens = !row.active};
        err = hz_access_account_end(&row, ends, &ending);
    } else if (!err) {
        err = hz_access_account_put(&row);
    }
    pthread_mutex_unlock(&hz_access.changing);
    return err;
}

/* ---- as JSON ---- */

void hz_access_shown_id(const struct hz_caller *caller, const struct hz_uuid *user, char ret_text[HZ_UUID_TEXT])
{
    if (caller->handle[0] && hz_uuid_equal(&caller->user, user))
        memcpy(ret_text, caller->handle, HZ_UUID_TEXT);
    else
        hz_uuid_format(user, ret_text);
}

bool hz_access_meant(const struct hz_caller *caller, const char *text, struct hz_uuid *ret_user)
{
    if (caller->handle[0] && strcmp(text, caller->handle) == 0) {
        *ret_user = caller->user;
        return true;
    }
    struct hz_uuid id;
    if (!hz_uuid_parse(text, strlen(text), &id))
        return false;
    pthread_rwlock_rdlock(&hz_access.lock);
    bool found = hz_access_account(&id) != NULL || (caller->kind == HZ_CALLER_TOKEN && hz_uuid_equal(&id, &caller->user));
    pthread_rwlock_unlock(&hz_access.lock);
    if (found)
        *ret_user = id;
    return found;
}

bool hz_access_check(const struct hz_caller *caller, const char *user, const char *module, const char *action, bool *ret_has)
{
    char name[160];
    struct hz_uuid id;
    if ((size_t)snprintf(name, sizeof name, "%s:%s", module, action) >= sizeof name || !hz_access_meant(caller, user, &id))
        return false;
    if (hz_uuid_equal(&id, &caller->user)) {
        *ret_has = hz_access_allows(caller, name);
        return true;
    }
    int index = hz_access_permission_index(name);
    if (!hz_access_allows(caller, "users:list"))
        return false;
    pthread_rwlock_rdlock(&hz_access.lock);
    const struct hz_account *account = hz_access_account(&id);
    *ret_has = account && account->row.active && index >= 0 && hz_access_permission_roles((size_t)index) >> account->row.level & 1;
    pthread_rwlock_unlock(&hz_access.lock);
    return true;
}

/* Members every form has: id, email, name, avatar. */
static json_t *head_json(const struct hz_store_user *row, const char *id, const char *name)
{
    return json_pack("{s:s, s:s, s:s, s:s?}", "id", id, "email", row->email, "name", name, "avatar", row->avatar[0] ? row->avatar : NULL);
}

json_t *hz_access_user_json(const struct hz_caller *caller)
{
    char id[HZ_UUID_TEXT];
    struct hz_store_user row = {0};
    hz_access_shown_id(caller, &caller->user, id);
    pthread_rwlock_rdlock(&hz_access.lock);
    const struct hz_account *account = hz_access_account(&caller->user);
    if (account)
        row = account->row;
    pthread_rwlock_unlock(&hz_access.lock);
    json_t *user = head_json(&row, id, caller->name), *role = hz_access_role_json(caller->role, true);
    json_t *list = json_deep_copy(json_object_get(role, "permissions"));
    if (user && role && list && json_object_set_new(user, "role", role) == 0 && json_object_set_new(user, "permissions", list) == 0)
        return user;
    json_decref(user);
    json_decref(role);
    json_decref(list);
    return NULL;
}

static json_t *full_json(const struct hz_caller *caller, const struct hz_account *account)
{
    char id[HZ_UUID_TEXT], created[HZ_ISO_TEXT], updated[HZ_ISO_TEXT], seen[HZ_ISO_TEXT];
    const struct hz_store_user *row = &account->row;
    if (caller)
        hz_access_shown_id(caller, &row->id, id);
    else
        hz_uuid_format(&row->id, id);
    hz_base_iso(row->created_ms, created);
    hz_base_iso(row->updated_ms, updated);
    hz_base_iso(row->last_login_ms, seen);
    json_t *user = head_json(row, id, row->name);
    json_t *more = json_pack("{s:o, s:s, s:s?, s:s, s:s}", "role", hz_access_role_json((enum hz_role)row->level, false), "status",
            row->active ? "active" : "inactive", "lastLoginAt", row->last_login_ms ? seen : NULL, "createdAt", created, "updatedAt", updated);
    if (user && (!more || json_object_update(user, more))) {
        json_decref(user);
        user = NULL;
    }
    json_decref(more);
    return user;
}

json_t *hz_access_users_json(const struct hz_caller *caller)
{
    json_t *list = json_array();
    pthread_rwlock_rdlock(&hz_access.lock);
    for (const struct hz_account *a = hz_access.accounts; list && a; a = a->next)
        if (json_array_append_new(list, full_json(caller, a))) {
            json_decref(list);
            list = NULL;
        }
    pthread_rwlock_unlock(&hz_access.lock);
    return list;
}
