/* access_tokens.c - personal tokens and one-time codes: made, listed, revoked. Blocking, see access.h. */
#include "access_internal.h"
#include "audit.h"

#include "shm/err.h"

#include <stdio.h>
#include <string.h>

/* Administrators see and end everybody's; a token that is nobody's sees itself. */
static bool may_see(const struct hz_caller *by, const struct hz_credential *c)
{
    if (!by || by->kind == HZ_CALLER_UNIX || by->role <= HZ_ROLE_ADMIN)
        return true;
    return hz_uuid_equal(c->account ? &c->account->row.id : &c->row.id, &by->user);
}

/* A token made on the server's own machine is nobody's; one made by a token belongs to that one's owner. */
static const struct hz_account *owner_for(const struct hz_caller *by)
{
    if (!by || by->kind == HZ_CALLER_UNIX)
        return NULL;
    const struct hz_credential *c = hz_access_credential(&by->credential);
    return c ? c->account : hz_access_account(&by->user);
}

/* Whether the owner may have one more of this name. */
static int room_for(const struct hz_account *owner, const char *name)
{
    unsigned count = 0, most = owner ? HZ_ACCESS_TOKENS_MOST : HZ_ACCESS_NOBODYS_MOST;
    int64_t now = hz_base_wall_ms();
    for (unsigned i = 0; i < HZ_ACCESS_BUCKETS; i++)
        for (const struct hz_credential *c = hz_access.by_id[i]; c; c = c->by_id) {
            if (c->row.kind != HZ_CREDENTIAL_TOKEN || c->account != owner)
                continue;
            if (strcmp(c->row.name, name) == 0)
                return hz_err_set(HZ_EEXISTS, "there is a token %s already; revoke it or take another name", name);
            count += hz_access_living(c, now);
        }
    return count < most ? 0 : hz_err_set(HZ_EREFUSED, "%s has %u tokens, more are not kept: revoke some", owner ? "this account" : "this server", most);
}

/* What a token that makes another may give away is at most what it has, for as long as it has it. */
static int narrowed(const struct hz_caller *by, const uint32_t wanted[HZ_ACCESS_BITS], int64_t expires_ms)
{
    const struct hz_credential *c = by && by->kind == HZ_CALLER_TOKEN ? hz_access_credential(&by->credential) : NULL;
    char iso[HZ_ISO_TEXT];
    if (!c)
        return by && by->kind == HZ_CALLER_TOKEN ? hz_err_set(HZ_EREFUSED, "the token that makes it has ended") : 0;
    for (unsigned i = 0; i < HZ_ACCESS_BITS; i++)
        if (wanted[i] & ~c->scope[i])
            return hz_err_set(HZ_EREFUSED, "the new token's scope is wider than that of the token that makes it");
    if (!c->row.expires_ms || (expires_ms && expires_ms <= c->row.expires_ms))
        return 0;
    hz_base_iso(c->row.expires_ms, iso);
    return hz_err_set(HZ_EREFUSED, "the new token would outlive the token that makes it, which ends %s: give it an end before", iso);
}

int hz_access_token_create(const struct hz_caller *by, const char *name, enum hz_role role, const char *scopes, int64_t expires_ms,
        char ret_token[HZ_ACCESS_SECRET])
{
    uint32_t bits[HZ_ACCESS_BITS];
    struct hz_uuid id;
    int err = hz_access_name_check(name);
    if (err)
        return err;
    if (expires_ms && expires_ms <= hz_base_wall_ms())
        return hz_err_set(HZ_EFORMAT, "the token would have expired already");
    err = hz_access_scope(scopes ? scopes : "", bits);
    if (!err && scopes && scopes[strspn(scopes, ", ")] == 0)
        err = hz_err_set(HZ_EFORMAT, "scopes: expected names such as workers:list, or none of it for all that the role may");
    if (err)
        return err;
    pthread_mutex_lock(&hz_access.changing);
    const struct hz_account *owner = owner_for(by);
    if (by && role < by->role)
        err = hz_err_set(HZ_EREFUSED, "nobody gives a token a role above his own (%s)", hz_role_name(by->role));
    if (!err)
        err = narrowed(by, bits, expires_ms);
    if (!err)
        err = room_for(owner, name);
    if (!err)
        err = hz_access_credential_make(HZ_CREDENTIAL_TOKEN, owner, (int)role, name, scopes ? scopes : "", expires_ms, ret_token, &id);
    pthread_mutex_unlock(&hz_access.changing);
    return err;
}

struct target {
    const struct hz_caller *by;
    struct hz_uuid id;
    const char *name; /* NULL: by id */
    bool own;
};

static bool is_target(const struct hz_credential *c, const void *arg)
{
    const struct target *target = arg;
    if (c->row.kind != HZ_CREDENTIAL_TOKEN || !may_see(target->by, c))
        return false;
    return target->name ? strcmp(c->row.name, target->name) == 0 : hz_uuid_equal(&c->row.id, &target->id);
}

int hz_access_token_revoke(const struct hz_caller *by, const char *id_or_name)
{
    struct target target = {.by = by, .name = id_or_name};
    size_t found = 0;
    if (hz_uuid_parse(id_or_name, strlen(id_or_name), &target.id))
        target.name = NULL;
    pthread_mutex_lock(&hz_access.changing);
    for (unsigned i = 0; i < HZ_ACCESS_BUCKETS; i++)
        for (const struct hz_credential *c = hz_access.by_id[i]; c; c = c->by_id)
            found += is_target(c, &target);
    int err = found == 0 ? hz_err_set(HZ_ENOTFOUND, "there is no token %.128s", id_or_name)
              : found > 1 ? hz_err_set(HZ_EEXISTS, "several accounts have a token %.128s: revoke it by its id", id_or_name)
                          : hz_access_credentials_end(is_target, &target);
    pthread_mutex_unlock(&hz_access.changing);
    return err;
}

static json_t *time_json(int64_t ms)
{
    char iso[HZ_ISO_TEXT];
    if (!ms)
        return json_null();
    hz_base_iso(ms, iso);
    return json_string(iso);
}

static json_t *token_json(const struct hz_caller *by, const struct hz_credential *c)
{
    char id[HZ_UUID_TEXT], owner[HZ_UUID_TEXT] = "";
    hz_uuid_format(&c->row.id, id);
    if (c->account && by)
        hz_access_shown_id(by, &c->account->row.id, owner);
    else if (c->account)
        hz_uuid_format(&c->account->row.id, owner);
    return json_pack("{s:s, s:s, s:s, s:s, s:s?, s:o, s:o, s:o}", "id", id, "name", c->row.name, "role", hz_role_name((enum hz_role)c->row.level),
            "scopes", c->row.scopes, "userId", owner[0] ? owner : NULL, "createdAt", time_json(c->row.created_ms), "expiresAt",
            time_json(c->row.expires_ms), "lastSeenAt", time_json(atomic_load_explicit(&c->seen_ms, memory_order_relaxed)));
}

json_t *hz_access_tokens_json(const struct hz_caller *by)
{
    json_t *list = json_array();
    pthread_rwlock_rdlock(&hz_access.lock);
    for (unsigned i = 0; i < HZ_ACCESS_BUCKETS; i++)
        for (const struct hz_credential *c = hz_access.by_id[i]; list && c; c = c->by_id)
            if (c->row.kind == HZ_CREDENTIAL_TOKEN && may_see(by, c) && json_array_append_new(list, token_json(by, c))) {
                json_decref(list);
                list = NULL;
            }
    pthread_rwlock_unlock(&hz_access.lock);
    return list;
}

int hz_access_code_create(const char *who, char ret_code[HZ_ACCESS_SECRET])
{
    struct hz_uuid id;
    pthread_mutex_lock(&hz_access.changing);
    const struct hz_account *account = hz_access_account_meant(who);
    int err = !account                ? hz_err_set(HZ_ENOTFOUND, "there is no account %.128s", who ? who : "of an administrator")
              : !account->row.active ? hz_err_set(HZ_EREFUSED, "the account %s is disabled", account->row.email)
                                     : hz_access_credential_make(HZ_CREDENTIAL_CODE, account, account->row.level, "", "",
                                               hz_base_wall_ms() + HZ_ACCESS_CODE_MS, ret_code, &id);
    pthread_mutex_unlock(&hz_access.changing);
    return err;
}
