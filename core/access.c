/* access.c - the book of accounts and credentials, and the questions asked of it. See access.h and access_internal.h. Any thread. */
#include "access_internal.h"

#include "store.h"

#include "shm/err.h"
#include "shm/log.h"
#include "shm/text.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct hz_access hz_access = {.lock = PTHREAD_RWLOCK_INITIALIZER, .changing = PTHREAD_MUTEX_INITIALIZER};

/* ---- finding ---- */

/* Both keys are random: the first bytes are as good as a hash of them. */
static uint32_t bucket(const uint8_t *bytes)
{
    return ((uint32_t)bytes[0] << 8 | bytes[1]) % HZ_ACCESS_BUCKETS;
}

void hz_access_hash(const char *secret, uint8_t ret_hash[32])
{
    crypto_hash_sha256(ret_hash, (const unsigned char *)secret, strlen(secret));
}

struct hz_account *hz_access_account(const struct hz_uuid *id)
{
    for (struct hz_account *a = hz_access.accounts; a; a = a->next)
        if (hz_uuid_equal(&a->row.id, id))
            return a;
    return NULL;
}

struct hz_account *hz_access_account_by_mail(const char *email)
{
    for (struct hz_account *a = hz_access.accounts; a; a = a->next)
        if (strcasecmp(a->row.email, email) == 0)
            return a;
    return NULL;
}

struct hz_account *hz_access_administrator(void)
{
    for (struct hz_account *a = hz_access.accounts; a; a = a->next)
        if (a->row.active && a->row.level == HZ_ROLE_SUPERADMIN)
            return a;
    return NULL;
}

struct hz_account *hz_access_account_meant(const char *id_or_mail)
{
    struct hz_uuid id;
    if (!id_or_mail)
        return hz_access_administrator();
    return hz_uuid_parse(id_or_mail, strlen(id_or_mail), &id) ? hz_access_account(&id) : hz_access_account_by_mail(id_or_mail);
}

struct hz_credential *hz_access_credential(const struct hz_uuid *id)
{
    struct hz_credential *c = hz_access.by_id[bucket(id->bytes)];
    while (c && !hz_uuid_equal(&c->row.id, id))
        c = c->by_id;
    return c;
}

struct hz_credential *hz_access_credential_shown(const char *secret)
{
    uint8_t hash[32];
    hz_access_hash(secret, hash);
    struct hz_credential *c = hz_access.by_hash[bucket(hash)];
    while (c && sodium_memcmp(c->row.hash, hash, sizeof hash) != 0)
        c = c->by_hash;
    return c;
}

bool hz_access_living(const struct hz_credential *c, int64_t now_ms)
{
    if (c->row.expires_ms && now_ms >= c->row.expires_ms)
        return false;
    if (c->account && !c->account->row.active)
        return false;
    bool login = c->row.kind == HZ_CREDENTIAL_SESSION || c->row.kind == HZ_CREDENTIAL_HANDLE;
    return !login || now_ms - atomic_load_explicit(&c->seen_ms, memory_order_relaxed) < HZ_ACCESS_IDLE_MS;
}

/* A token has its own role, but never more than its owner's present one. */
static enum hz_role level_of(const struct hz_credential *c)
{
    int level = c->row.kind == HZ_CREDENTIAL_TOKEN ? c->row.level : 0;
    return (enum hz_role)(c->account ? HZ_MAX(level, c->account->row.level) : level);
}

/* ---- callers ---- */

void hz_access_caller_of(const struct hz_credential *c, const char *address, struct hz_caller *ret)
{
    ret->kind = c->row.kind == HZ_CREDENTIAL_TOKEN ? HZ_CALLER_TOKEN : c->row.kind == HZ_CREDENTIAL_SESSION ? HZ_CALLER_SESSION : HZ_CALLER_HANDLE;
    ret->credential = c->row.id;
    ret->role = level_of(c);
    ret->user = c->account ? c->account->row.id : c->row.id; /* nobody's: what is one's own is nobody else's */
    snprintf(ret->name, sizeof ret->name, "%s", c->account ? c->account->row.name : c->row.name);
    if (address)
        snprintf(ret->address, sizeof ret->address, "%s", address);
}

void hz_access_unix_caller(struct hz_caller *ret)
{
    memset(ret, 0, sizeof *ret);
    ret->kind = HZ_CALLER_UNIX;
    ret->role = HZ_ROLE_SUPERADMIN;
    snprintf(ret->name, sizeof ret->name, "horizon");
    snprintf(ret->address, sizeof ret->address, "unix");
    pthread_rwlock_rdlock(&hz_access.lock);
    const struct hz_account *account = hz_access_administrator();
    if (account)
        ret->user = account->row.id;
    pthread_rwlock_unlock(&hz_access.lock);
}

/* Read lock held. */
static struct hz_credential *present(const struct hz_caller *caller, int64_t now_ms)
{
    struct hz_credential *c = hz_access_credential(&caller->credential);
    return c && hz_access_living(c, now_ms) ? c : NULL;
}

bool hz_access_allows(const struct hz_caller *caller, const char *permission)
{
    int index = hz_access_permission_index(permission);
    if (index < 0 || caller->kind == HZ_CALLER_NONE)
        return false;
    if (caller->kind == HZ_CALLER_UNIX)
        return true;
    int64_t now = hz_base_wall_ms();
    bool allowed = false;
    pthread_rwlock_rdlock(&hz_access.lock);
    struct hz_credential *c = present(caller, now);
    if (c) {
        atomic_store_explicit(&c->seen_ms, now, memory_order_relaxed);
        allowed = hz_access_permission_roles((size_t)index) >> level_of(c) & 1 && c->scope[index / 32] >> index % 32 & 1;
    }
    pthread_rwlock_unlock(&hz_access.lock);
    return allowed;
}

bool hz_access_holds(const struct hz_caller *caller, const char *permission)
{
    int index = permission ? hz_access_permission_index(permission) : 0;
    if (index < 0 || caller->kind == HZ_CALLER_NONE || caller->kind == HZ_CALLER_UNIX)
        return index >= 0 && caller->kind == HZ_CALLER_UNIX;
    pthread_rwlock_rdlock(&hz_access.lock);
    const struct hz_credential *c = present(caller, hz_base_wall_ms());
    bool holds = c && (!permission || (hz_access_permission_roles((size_t)index) >> level_of(c) & 1 && c->scope[index / 32] >> index % 32 & 1));
    pthread_rwlock_unlock(&hz_access.lock);
    return holds;
}

static void (*_Atomic changed)(void); /* the helper thread may run already when the main thread sets it */

void hz_access_on_change(void (*fn)(void))
{
    atomic_store_explicit(&changed, fn, memory_order_release);
}

void hz_access_changed(void)
{
    void (*fn)(void) = atomic_load_explicit(&changed, memory_order_acquire);
    if (fn)
        fn();
}

bool hz_access_refresh(struct hz_caller *caller)
{
    if (caller->kind == HZ_CALLER_NONE || caller->kind == HZ_CALLER_UNIX)
        return caller->kind == HZ_CALLER_UNIX;
    int64_t now = hz_base_wall_ms();
    pthread_rwlock_rdlock(&hz_access.lock);
    struct hz_credential *c = present(caller, now);
    if (c) {
        atomic_store_explicit(&c->seen_ms, now, memory_order_relaxed);
        hz_access_caller_of(c, NULL, caller);
    }
    pthread_rwlock_unlock(&hz_access.lock);
    return c != NULL;
}

void hz_access_who(const struct hz_caller *caller, char *ret, size_t size)
{
    char text[HZ_ACCESS_EMAIL + HZ_ACCESS_NAME + 16];
    (void)hz_text_copy(ret, size, caller->kind == HZ_CALLER_NONE ? "" : caller->name);
    if (caller->kind == HZ_CALLER_NONE || caller->kind == HZ_CALLER_UNIX)
        return;
    pthread_rwlock_rdlock(&hz_access.lock);
    const struct hz_credential *c = hz_access_credential(&caller->credential);
    const struct hz_account *account = c ? c->account : hz_access_account(&caller->user);
    if (c && c->row.kind == HZ_CREDENTIAL_TOKEN)
        snprintf(text, sizeof text, "%s%stoken %s", account ? account->row.email : "", account ? ", " : "", c->row.name);
    else
        snprintf(text, sizeof text, "%s", account ? account->row.email : ret);
    pthread_rwlock_unlock(&hz_access.lock);
    (void)hz_text_copy(ret, size, text);
}

/* ---- the book ---- */

struct hz_account *hz_access_keep_account(const struct hz_store_user *row)
{
    struct hz_account **at = &hz_access.accounts;
    while (*at && !hz_uuid_equal(&(*at)->row.id, &row->id))
        at = &(*at)->next;
    struct hz_account *account = *at ? *at : calloc(1, sizeof *account);
    if (!account)
        return NULL;
    pthread_rwlock_wrlock(&hz_access.lock);
    account->row = *row;
    *at = account;
    pthread_rwlock_unlock(&hz_access.lock);
    return account;
}

struct hz_credential *hz_access_keep_credential(const struct hz_store_credential *row)
{
    struct hz_credential *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->row = *row;
    atomic_init(&c->seen_ms, row->seen_ms);
    c->account = hz_uuid_is_nil(&row->user) ? NULL : hz_access_account(&row->user);
    if (hz_access_scope(row->scopes, c->scope))
        HZ_LOG(WARN, "token %s: %s", row->name, hz_err_last());
    struct hz_credential **id = &hz_access.by_id[bucket(row->id.bytes)], **hash = &hz_access.by_hash[bucket(row->hash)];
    pthread_rwlock_wrlock(&hz_access.lock);
    c->by_id = *id;
    c->by_hash = *hash;
    *id = *hash = c;
    pthread_rwlock_unlock(&hz_access.lock);
    return c;
}

void hz_access_forget_credential(struct hz_credential *c)
{
    struct hz_credential **id = &hz_access.by_id[bucket(c->row.id.bytes)], **hash = &hz_access.by_hash[bucket(c->row.hash)];
    pthread_rwlock_wrlock(&hz_access.lock);
    while (*id != c)
        id = &(*id)->by_id;
    while (*hash != c)
        hash = &(*hash)->by_hash;
    *id = c->by_id;
    *hash = c->by_hash;
    pthread_rwlock_unlock(&hz_access.lock);
    free(c);
}

/* ---- life ---- */

static bool load_role(void *arg, const struct hz_store_role *role)
{
    (void)arg;
    hz_access_seed_seen(role);
    return true;
}

static bool load_permission(void *arg, const struct hz_store_permission *permission)
{
    (void)arg;
    hz_access_seed_permission(permission);
    return true;
}

static bool load_user(void *arg, const struct hz_store_user *user)
{
    (void)arg;
    return user->level < 0 || user->level >= (int)HZ_ROLE_COUNT || hz_access_keep_account(user) != NULL;
}

static bool load_credential(void *arg, const struct hz_store_credential *credential)
{
    (void)arg;
    /* One whose account is not there is nobody's only if it says so. */
    bool lost = !hz_uuid_is_nil(&credential->user) && !hz_access_account(&credential->user);
    return lost || credential->level < 0 || credential->level >= (int)HZ_ROLE_COUNT || hz_access_keep_credential(credential) != NULL;
}

int hz_access_init(void)
{
    const struct hz_store_access_visitor visitor = {
            .role = load_role, .permission = load_permission, .user = load_user, .credential = load_credential};
    HZ_ASSERT(!hz_access.open);
    if (sodium_init() < 0)
        return hz_err_set(HZ_EREFUSED, "libsodium does not start");
    hz_access.open = true;
    hz_access_seed_reset();
    int err = hz_store_access_load(&visitor);
    return err ? err : hz_access_seed();
}

static void forget(void)
{
    for (unsigned i = 0; i < HZ_ACCESS_BUCKETS; i++)
        while (hz_access.by_id[i]) {
            struct hz_credential *c = hz_access.by_id[i];
            hz_access.by_id[i] = c->by_id;
            free(c);
        }
    while (hz_access.accounts) {
        struct hz_account *account = hz_access.accounts;
        hz_access.accounts = account->next;
        free(account);
    }
    memset(hz_access.by_hash, 0, sizeof hz_access.by_hash);
    hz_access_seed_reset();
    hz_access.open = false;
}

void hz_access_fini(void)
{
    hz_access_end();
    if (hz_access.open)
        hz_audit_flush(); /* of a command that has the data directory to itself */
    forget();
}
