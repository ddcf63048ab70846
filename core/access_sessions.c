/*
 * access_sessions.c - credentials come and go: made, shown, ended, forgotten when they are over. Questions on any thread; changes where
 * `changing` is held.
 */
#include "access_internal.h"

#include "store.h"

#include "shm/err.h"
#include "shm/log.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- making ---- */

/* What its owner is to show: a uuid where the contract's client wants one, else 32 random bytes (a code: 16) as text. */
static void draw(int kind, char ret[HZ_ACCESS_SECRET])
{
    unsigned char bytes[32];
    struct hz_uuid id;
    if (kind == HZ_CREDENTIAL_HANDLE) {
        id = hz_uuid_new();
        hz_uuid_format(&id, ret);
        return;
    }
    size_t len = kind == HZ_CREDENTIAL_CODE ? 16 : sizeof bytes, prefix = 0;
    if (kind == HZ_CREDENTIAL_TOKEN) { /* so that people, and programs that look for lost secrets, know what it is */
        snprintf(ret, HZ_ACCESS_SECRET, "hzt_");
        prefix = 4;
    }
    randombytes_buf(bytes, len);
    sodium_bin2base64(ret + prefix, HZ_ACCESS_SECRET - prefix, bytes, len, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    sodium_memzero(bytes, sizeof bytes);
}

int hz_access_credential_make(int kind, const struct hz_account *account, int level, const char *name, const char *scopes, int64_t expires_ms,
        char ret_secret[HZ_ACCESS_SECRET], struct hz_uuid *ret_id)
{
    int64_t now = hz_base_wall_ms();
    struct hz_store_credential row = {.id = hz_uuid_new(), .kind = kind, .level = level, .created_ms = now, .expires_ms = expires_ms, .seen_ms = now};
    if (account)
        row.user = account->row.id;
    snprintf(row.name, sizeof row.name, "%s", name);
    snprintf(row.scopes, sizeof row.scopes, "%s", scopes);
    draw(kind, ret_secret);
    hz_access_hash(ret_secret, row.hash);
    int err = hz_store_credential_put(&row);
    if (!err && !hz_access_keep_credential(&row))
        err = hz_err_set(HZ_ENOMEM, "access");
    if (!err)
        *ret_id = row.id;
    return err;
}

/* ---- ending ---- */

/* Ids of those for which `which` says true; NULL with *ret_count 0: none, or no memory (*ret_failed). */
static struct hz_store_seen *collect(bool (*which)(const struct hz_credential *c, const void *arg), const void *arg, size_t *ret_count, bool *ret_failed)
{
    struct hz_store_seen *list = NULL;
    size_t count = 0, capacity = 0;
    for (unsigned i = 0; i < HZ_ACCESS_BUCKETS; i++)
        for (struct hz_credential *c = hz_access.by_id[i]; c; c = c->by_id) {
            if (!which(c, arg))
                continue;
            if (count == capacity) {
                size_t more = capacity ? 2 * capacity : 16;
                struct hz_store_seen *grown = realloc(list, more * sizeof *list);
                if (!grown) {
                    *ret_failed = true;
                    free(list);
                    *ret_count = 0;
                    return NULL;
                }
                list = grown;
                capacity = more;
            }
            list[count++] = (struct hz_store_seen){.id = c->row.id};
        }
    *ret_count = count;
    return list;
}

int hz_access_account_end(const struct hz_store_user *row, bool (*which)(const struct hz_credential *c, const void *arg), const void *arg)
{
    size_t count = 0;
    bool failed = false;
    struct hz_store_seen *list = collect(which, arg, &count, &failed);
    int err = failed ? hz_err_set(HZ_ENOMEM, "access")
              : row  ? hz_store_user_change(row, list, count)
                     : hz_store_credentials_seen(list, count);
    if (!err && row && !hz_access_keep_account(row))
        err = hz_err_set(HZ_ENOMEM, "access");
    for (size_t i = 0; i < count && !err; i++) {
        struct hz_credential *c = hz_access_credential(&list[i].id);
        if (c)
            hz_access_forget_credential(c);
    }
    if (!err && (row || count > 0))
        hz_access_changed();
    free(list);
    return err;
}

int hz_access_credentials_end(bool (*which)(const struct hz_credential *c, const void *arg), const void *arg)
{
    return hz_access_account_end(NULL, which, arg);
}

static bool is_over(const struct hz_credential *c, const void *arg)
{
    const int64_t *now = arg;
    return !hz_access_living(c, *now);
}

static bool is_stale(const struct hz_credential *c, const void *arg)
{
    (void)arg;
    return atomic_load_explicit(&c->seen_ms, memory_order_relaxed) - c->row.seen_ms > HZ_ACCESS_SEEN_MS;
}

void hz_access_tend(void)
{
    int64_t now = hz_base_wall_ms();
    size_t count = 0;
    bool failed = false;
    pthread_mutex_lock(&hz_access.changing);
    int err = hz_access_credentials_end(is_over, &now);
    struct hz_store_seen *list = err ? NULL : collect(is_stale, NULL, &count, &failed);
    for (size_t i = 0; i < count; i++) {
        struct hz_credential *c = hz_access_credential(&list[i].id);
        list[i].seen_ms = c->row.seen_ms = atomic_load_explicit(&c->seen_ms, memory_order_relaxed);
    }
    if (!err)
        err = hz_store_credentials_seen(list, count);
    pthread_mutex_unlock(&hz_access.changing);
    if (err)
        HZ_LOG(DEBUG, "access: %s", hz_err_last()); /* tried again the next time */
    free(list);
}

static bool is_that(const struct hz_credential *c, const void *arg)
{
    return hz_uuid_equal(&c->row.id, arg);
}

struct leaving {
    struct hz_uuid credential;
    void (*done)(void *arg, int result);
    void *arg;
};

static int log_out(void *arg)
{
    const struct leaving *leaving = arg;
    pthread_mutex_lock(&hz_access.changing);
    int err = hz_access_credentials_end(is_that, &leaving->credential);
    pthread_mutex_unlock(&hz_access.changing);
    return err;
}

static void logged_out(void *arg, int result)
{
    struct leaving *leaving = arg;
    if (leaving->done)
        leaving->done(leaving->arg, result);
    free(leaving);
}

void hz_access_logout(const struct hz_caller *caller, void (*done)(void *arg, int result), void *arg)
{
    bool login = caller->kind == HZ_CALLER_SESSION || caller->kind == HZ_CALLER_HANDLE;
    struct leaving *leaving = login ? calloc(1, sizeof *leaving) : NULL;
    if (leaving) {
        *leaving = (struct leaving){.credential = caller->credential, .done = done, .arg = arg};
        if (hz_access_work(log_out, logged_out, leaving) == 0)
            return;
        free(leaving);
    }
    if (done)
        done(arg, login ? HZ_EBUSY : 0);
}

/* ---- showing ---- */

/* The value of our cookie, "" if it is not there. Names differ by port, since cookies do not: all of ours are tried. */
static bool next_cookie(const char **at, char ret[HZ_ACCESS_SECRET])
{
    static const char name[] = "horizon_";
    while (*at && **at) {
        const char *pair = *at + strspn(*at, " ;");
        size_t len = strcspn(pair, ";");
        const char *equals = memchr(pair, '=', len);
        *at = pair + len;
        if (!equals || strncmp(pair, name, sizeof name - 1) != 0)
            continue;
        size_t value = len - (size_t)(equals + 1 - pair);
        if (value == 0 || value >= HZ_ACCESS_SECRET)
            continue;
        memcpy(ret, equals + 1, value);
        ret[value] = 0;
        return true;
    }
    return false;
}

/* Read lock is taken here. */
static bool resolve(const char *secret, int kind, const char *address, struct hz_caller *ret)
{
    int64_t now = hz_base_wall_ms();
    if (strlen(secret) >= HZ_ACCESS_SECRET)
        return false;
    pthread_rwlock_rdlock(&hz_access.lock);
    struct hz_credential *c = hz_access_credential_shown(secret);
    bool good = c && c->row.kind == kind && hz_access_living(c, now);
    if (good) {
        atomic_store_explicit(&c->seen_ms, now, memory_order_relaxed);
        hz_access_caller_of(c, address, ret);
        if (kind == HZ_CREDENTIAL_HANDLE)
            snprintf(ret->handle, sizeof ret->handle, "%s", secret);
    }
    pthread_rwlock_unlock(&hz_access.lock);
    return good;
}

static void nobody(const char *address, struct hz_caller *ret)
{
    memset(ret, 0, sizeof *ret);
    snprintf(ret->address, sizeof ret->address, "%s", address ? address : "");
}

static bool resolve_cookie(const char *cookie, const char *address, struct hz_caller *ret, bool *ret_shown)
{
    char secret[HZ_ACCESS_SECRET];
    *ret_shown = false;
    while (next_cookie(&cookie, secret)) {
        *ret_shown = true;
        if (resolve(secret, HZ_CREDENTIAL_SESSION, address, ret))
            return true;
    }
    return false;
}

bool hz_access_resolve_request(const char *authorization, const char *cookie, const char *address, struct hz_caller *ret)
{
    bool shown;
    nobody(address, ret);
    if (authorization)
        return strncasecmp(authorization, "Bearer ", 7) == 0 &&
                resolve(authorization + 7 + strspn(authorization + 7, " "), HZ_CREDENTIAL_TOKEN, address, ret);
    return resolve_cookie(cookie, address, ret, &shown) || !shown;
}

void hz_access_resolve_handshake(const json_t *auth, const char *cookie, const char *address, struct hz_caller *ret)
{
    const char *handle = json_string_value(json_object_get(auth, "userId")), *token = json_string_value(json_object_get(auth, "token"));
    bool shown;
    nobody(address, ret);
    if (handle && resolve(handle, HZ_CREDENTIAL_HANDLE, address, ret))
        return;
    if (token && resolve(token, HZ_CREDENTIAL_TOKEN, address, ret))
        return;
    if (!handle && !token)
        (void)resolve_cookie(cookie, address, ret, &shown);
}

/* ---- hiding ---- */

/* The 36 characters of an id at `at`, whatever they belong to. */
static bool veil_id(char *at)
{
    struct hz_uuid id, account = {0};
    char text[HZ_UUID_TEXT];
    if (strnlen(at, HZ_UUID_TEXT - 1) < HZ_UUID_TEXT - 1 || !hz_uuid_parse(at, HZ_UUID_TEXT - 1, &id))
        return false;
    hz_uuid_format(&id, text); /* in other letter cases it is nearly as good */
    pthread_rwlock_rdlock(&hz_access.lock);
    const struct hz_credential *c = hz_access_credential_shown(text);
    bool found = c && c->row.kind == HZ_CREDENTIAL_HANDLE;
    if (found && c->account)
        account = c->account->row.id;
    pthread_rwlock_unlock(&hz_access.lock);
    if (found) {
        hz_uuid_format(&account, text);
        memcpy(at, text, HZ_UUID_TEXT - 1);
    }
    return true;
}

void hz_access_veil(char *text)
{
    static const char mark[] = "hzt_", letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    for (char *at = text; (at = strstr(at, mark)) != NULL;) {
        at += sizeof mark - 1;
        size_t len = strspn(at, letters);
        memset(at, '*', len);
        at += len;
    }
    for (char *dash = strchr(text, '-'); dash; dash = strchr(dash + 1, '-'))
        if (dash - text >= 8 && veil_id(dash - 8))
            dash += HZ_UUID_TEXT - 2 - 8;
}
