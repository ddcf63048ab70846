/*
 * access_login.c - logging in with a password or a one-time code. The shard copies what was sent and goes on; the helper thread looks at
 * the throttle, hashes, and makes the session or handle; the answer comes back as mail. An account that does not exist costs the same time.
 */
#include "access_internal.h"
#include "audit.h"

#include "shm/err.h"
#include "shm/log.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of a random password nobody knows, at the cost of all others. */
static const char decoy[128] = "$argon2id$v=19$m=65536,t=2,p=1$8OLH1JY4+mcTqvmRM159Yw$hWuWKd22lyYPQW4EMx+pgq6tSGa2ru/4UURfIQFI1os";

static struct hz_throttle *throttle; /* the helper thread's, made at the first login, kept for the process's life */

struct attempt {
    enum hz_caller_kind kind;
    bool by_code;
    char email[HZ_ACCESS_EMAIL], password[HZ_ACCESS_PASSWORD_MAX + 1], address[HZ_ACCESS_ADDRESS];
    struct hz_login login;
    hz_login_fn *done;
    void *arg;
};

static bool of_account(const struct hz_credential *c, const struct hz_account *account)
{
    return c->account == account && (c->row.kind == HZ_CREDENTIAL_SESSION || c->row.kind == HZ_CREDENTIAL_HANDLE);
}

static bool is_it(const struct hz_credential *c, const void *arg)
{
    return c == arg;
}

/* Room for one more login of the account: the one seen longest ago goes. With `changing` held. */
static int make_room(const struct hz_account *account)
{
    const struct hz_credential *oldest = NULL;
    unsigned count = 0;
    for (unsigned i = 0; i < HZ_ACCESS_BUCKETS; i++)
        for (const struct hz_credential *c = hz_access.by_id[i]; c; c = c->by_id) {
            if (!of_account(c, account))
                continue;
            count++;
            if (!oldest || atomic_load_explicit(&c->seen_ms, memory_order_relaxed) < atomic_load_explicit(&oldest->seen_ms, memory_order_relaxed))
                oldest = c;
        }
    return count >= HZ_ACCESS_LOGINS_MOST ? hz_access_credentials_end(is_it, oldest) : 0;
}

/* With `changing` held. */
static int let_in(struct attempt *attempt, const struct hz_account *account)
{
    struct hz_login *login = &attempt->login;
    struct hz_uuid id;
    int kind = attempt->kind == HZ_CALLER_HANDLE ? HZ_CREDENTIAL_HANDLE : HZ_CREDENTIAL_SESSION;
    struct hz_store_user row = account->row;
    row.last_login_ms = hz_base_wall_ms();
    int err = make_room(account);
    if (!err)
        err = hz_access_credential_make(kind, account, row.level, "", "", hz_base_wall_ms() + HZ_ACCESS_SESSION_MS, login->secret, &id);
    if (!err)
        err = hz_access_account_put(&row);
    if (err)
        return err;
    hz_access_caller_of(hz_access_credential(&id), attempt->address, &login->caller);
    if (kind == HZ_CREDENTIAL_HANDLE) {
        memcpy(login->caller.handle, login->secret, sizeof login->caller.handle);
        sodium_memzero(login->secret, sizeof login->secret);
    }
    login->result = HZ_LOGIN_OK;
    return 0;
}

static void note(const struct attempt *attempt, const char *who, uint32_t status)
{
    struct hz_caller nobody = {0};
    snprintf(nobody.address, sizeof nobody.address, "%s", attempt->address);
    hz_audit_note(status == 200 ? &attempt->login.caller : &nobody, "auth:login", who, status);
}

/* ---- by password ---- */

static void verify(struct attempt *attempt)
{
    char hash[128] = "";
    struct hz_uuid id = {{0}};
    pthread_rwlock_rdlock(&hz_access.lock);
    const struct hz_account *account = hz_access_account_by_mail(attempt->email);
    if (account) {
        memcpy(hash, account->row.password, sizeof hash);
        id = account->row.id;
    }
    pthread_rwlock_unlock(&hz_access.lock);
    bool real = hash[0] != 0;
    hash[sizeof hash - 1] = 0;
    bool right = crypto_pwhash_str_verify(real ? hash : decoy, attempt->password, strlen(attempt->password)) == 0 && real;
    sodium_memzero(hash, sizeof hash);
    if (!right)
        return;
    pthread_mutex_lock(&hz_access.changing);
    account = hz_access_account(&id);
    if (account && account->row.active && let_in(attempt, account)) {
        HZ_LOG(WARN, "login of %s: %s", account->row.email, hz_err_last());
        attempt->login.result = HZ_LOGIN_FAILED;
    }
    pthread_mutex_unlock(&hz_access.changing);
}

static int by_password(void *arg)
{
    struct attempt *attempt = arg;
    int64_t now = hz_base_wall_ms();
    attempt->login.result = HZ_LOGIN_REFUSED;
    if (!throttle)
        throttle = hz_throttle_new();
    if (!throttle) {
        attempt->login.result = HZ_LOGIN_FAILED;
        return 0;
    }
    uint32_t wait = hz_throttle_wait(throttle, attempt->address, attempt->email, now);
    if (wait) {
        attempt->login.result = HZ_LOGIN_THROTTLED;
        attempt->login.retry_after_s = wait;
        return 0;
    }
    verify(attempt);
    if (attempt->login.result == HZ_LOGIN_OK)
        hz_throttle_passed(throttle, attempt->email);
    else if (attempt->login.result == HZ_LOGIN_REFUSED)
        hz_throttle_failed(throttle, attempt->address, attempt->email, now);
    note(attempt, attempt->email, attempt->login.result == HZ_LOGIN_OK ? 200 : attempt->login.result == HZ_LOGIN_REFUSED ? 401 : 503);
    return 0;
}

/* ---- by code ---- */

static int by_code(void *arg)
{
    struct attempt *attempt = arg;
    attempt->login.result = HZ_LOGIN_REFUSED;
    pthread_mutex_lock(&hz_access.changing);
    const struct hz_credential *code = hz_access_credential_shown(attempt->password);
    if (code && code->row.kind == HZ_CREDENTIAL_CODE && code->account && hz_access_living(code, hz_base_wall_ms())) {
        const struct hz_account *account = code->account;
        /* Spent before it is worth anything: two who show it at once do not both get in. */
        int err = hz_access_credentials_end(is_it, code);
        if (!err)
            err = let_in(attempt, account);
        if (err)
            attempt->login.result = HZ_LOGIN_FAILED;
        snprintf(attempt->email, sizeof attempt->email, "%s", account->row.email);
    }
    pthread_mutex_unlock(&hz_access.changing);
    note(attempt, attempt->email[0] ? attempt->email : NULL, attempt->login.result == HZ_LOGIN_OK ? 200 : 401);
    return 0;
}

/* ---- one's own password ---- */

int hz_access_own_password(const struct hz_caller *caller, const char *present, const char *fresh)
{
    char hash[128] = "", id[HZ_UUID_TEXT], email[HZ_ACCESS_EMAIL] = "";
    int64_t now = hz_base_wall_ms();
    const struct hz_user_change change = {.password = fresh, .role = -1, .active = -1};
    bool own = caller->kind == HZ_CALLER_SESSION || caller->kind == HZ_CALLER_HANDLE;
    if (!throttle)
        throttle = hz_throttle_new();
    if (!throttle)
        return hz_err_set(HZ_ENOMEM, "access");
    pthread_rwlock_rdlock(&hz_access.lock);
    const struct hz_account *account = own ? hz_access_account(&caller->user) : NULL;
    if (account) {
        memcpy(hash, account->row.password, sizeof hash);
        snprintf(email, sizeof email, "%s", account->row.email);
    }
    pthread_rwlock_unlock(&hz_access.lock);
    if (!account)
        return hz_err_set(HZ_EREFUSED, "only who is logged in with his own account changes its password");
    if (hz_throttle_wait(throttle, caller->address, email, now))
        return hz_err_set(HZ_EREFUSED, "too many wrong passwords; try again later");
    hash[sizeof hash - 1] = 0;
    bool right = strlen(present) <= HZ_ACCESS_PASSWORD_MAX && crypto_pwhash_str_verify(hash[0] ? hash : decoy, present, strlen(present)) == 0 && hash[0];
    sodium_memzero(hash, sizeof hash);
    if (!right) {
        hz_throttle_failed(throttle, caller->address, email, now);
        return hz_err_set(HZ_EREFUSED, "the present password is another one");
    }
    hz_uuid_format(&caller->user, id);
    return hz_access_user_change(NULL, id, &change);
}

/* ---- there and back ---- */

static void answer(void *arg, int result)
{
    (void)result;
    struct attempt *attempt = arg;
    attempt->done(attempt->arg, &attempt->login);
    sodium_memzero(attempt, sizeof *attempt);
    free(attempt);
}

static void begin(const struct attempt *given, const char *email, const char *password, const char *address)
{
    struct attempt *attempt = calloc(1, sizeof *attempt);
    if (attempt) {
        *attempt = *given;
        /* What is too long is nobody's: cut, it is refused like any other wrong one, at the same cost. */
        snprintf(attempt->email, sizeof attempt->email, "%s", email);
        snprintf(attempt->password, sizeof attempt->password, "%s", password);
        snprintf(attempt->address, sizeof attempt->address, "%s", address);
        if (strlen(email) >= sizeof attempt->email)
            attempt->email[0] = 0;
        if (strlen(password) >= sizeof attempt->password)
            attempt->password[0] = 0;
        if (hz_access_work(attempt->by_code ? by_code : by_password, answer, attempt) == 0)
            return;
        sodium_memzero(attempt, sizeof *attempt);
    }
    free(attempt);
    struct hz_login failed = {.result = HZ_LOGIN_FAILED, .retry_after_s = 1};
    given->done(given->arg, &failed);
}

void hz_access_login(enum hz_caller_kind kind, const char *email, const char *password, const char *address, hz_login_fn *done, void *arg)
{
    HZ_ASSERT(kind == HZ_CALLER_HANDLE || kind == HZ_CALLER_SESSION);
    const struct attempt attempt = {.kind = kind, .done = done, .arg = arg};
    begin(&attempt, email, password, address);
}

void hz_access_login_code(const char *code, const char *address, hz_login_fn *done, void *arg)
{
    const struct attempt attempt = {.kind = HZ_CALLER_SESSION, .by_code = true, .done = done, .arg = arg};
    begin(&attempt, "", code, address);
}
