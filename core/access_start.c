/*
 * access_start.c - the first start: the administrator's account with a password that is shown once, the demo accounts where they are asked
 * for, and whether another machine may be served. Main thread; the hashing on the helper thread, so that no start waits for it.
 */
#include "access_internal.h"

#include "store.h"

#include "shm/err.h"
#include "shm/log.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *email, *name, *password;
    enum hz_role role;
} demos[] = {{HZ_ACCESS_ADMIN, "Administrator", "admin123", HZ_ROLE_SUPERADMIN}, {"manager@horizon.com", "Manager", "manager123", HZ_ROLE_MANAGER},
        {"user@horizon.com", "User", "user123", HZ_ROLE_USER}, {"viewer@horizon.com", "Viewer", "viewer123", HZ_ROLE_VIEWER}};

struct first {
    struct hz_store_user rows[HZ_COUNT_OF(demos)];
    char passwords[HZ_COUNT_OF(demos)][HZ_ACCESS_PASSWORD_MAX + 1];
    size_t count;
    char url[300];
    void (*say)(const char *line);
    bool given, shown, demo; /* the administrator's password was given by the environment; there is one to show; demo accounts */
};

static struct first *pending; /* between the two calls; main thread */

/* A row without password: there at once, so that what belongs to the account has an owner; nobody logs in with it. */
static int reserve(const char *email, const char *name, enum hz_role role, int origin, struct hz_store_user *ret_row)
{
    const struct hz_account *known = hz_access_account_by_mail(email);
    if (known) {
        *ret_row = known->row;
        return 0;
    }
    *ret_row = (struct hz_store_user){.id = hz_uuid_new(), .origin = origin, .level = (int)role, .active = true};
    snprintf(ret_row->email, sizeof ret_row->email, "%s", email);
    snprintf(ret_row->name, sizeof ret_row->name, "%s", name);
    ret_row->created_ms = ret_row->updated_ms = hz_base_wall_ms();
    return hz_access_account_put(ret_row);
}

static int plan_one(struct first *first, size_t demo, const char *password, int origin)
{
    struct hz_store_user *row = &first->rows[first->count];
    int err = reserve(demos[demo].email, demos[demo].name, demos[demo].role, origin, row);
    if (err || row->password[0]) /* it has one: nothing to do */
        return err;
    row->origin = origin;
    snprintf(first->passwords[first->count++], sizeof first->passwords[0], "%s", password);
    return 0;
}

static int plan(struct first *first, const char *password, bool demo)
{
    char drawn[32];
    int err = 0;
    const struct hz_account *admin = hz_access_account_by_mail(HZ_ACCESS_ADMIN);
    /* The rows of a first start that did not come to its end have no password yet. */
    bool needed = !hz_access_administrator() || (admin && !admin->row.password[0]);
    if (needed) {
        hz_access_password_draw(drawn);
        first->given = password != NULL;
        err = plan_one(first, 0, password ? password : demo ? demos[0].password : drawn,
                password ? HZ_ORIGIN_CHOSEN : demo ? HZ_ORIGIN_DEMO : HZ_ORIGIN_DRAWN);
        sodium_memzero(drawn, sizeof drawn);
        first->shown = first->count > 0;
    }
    for (size_t i = 1; i < HZ_COUNT_OF(demos) && demo && !err; i++)
        err = plan_one(first, i, demos[i].password, HZ_ORIGIN_DEMO);
    first->demo = demo;
    return err;
}

static void tell(const struct first *first)
{
    char line[1536], code[HZ_ACCESS_SECRET];
    if (first->demo) {
        HZ_LOG(WARN, "SEED_DATABASE: demo accounts with passwords that everybody knows are active; never offer this server to others");
        for (size_t i = 0; i < HZ_COUNT_OF(demos); i++) {
            snprintf(line, sizeof line, "DEMO ACCOUNT %s / %s (%s)", demos[i].email, demos[i].password, hz_role_name(demos[i].role));
            if (i > 0 || !first->given)
                first->say(line);
        }
    }
    if (!first->shown)
        return;
    if (!first->given && !first->demo) {
        snprintf(line, sizeof line, "Administrator %s, password %s (shown this once; `horizon user password %s` sets another)", HZ_ACCESS_ADMIN,
                first->passwords[0], HZ_ACCESS_ADMIN);
        first->say(line);
    }
    if (!first->url[0])
        return;
    if (hz_access_code_create(HZ_ACCESS_ADMIN, code)) {
        HZ_LOG(WARN, "no login code: %s", hz_err_last());
        return;
    }
    snprintf(line, sizeof line, "Log in: %s/?code=%s (once, within 10 minutes; `horizon login` prints another)", first->url, code);
    first->say(line);
    sodium_memzero(line, sizeof line);
}

static int hash_all(void *arg)
{
    struct first *first = arg;
    int err = 0;
    for (size_t i = 0; i < first->count && !err; i++)
        err = hz_access_password_hash(first->passwords[i], first->rows[i].password);
    pthread_mutex_lock(&hz_access.changing);
    for (size_t i = 0; i < first->count && !err; i++) {
        const struct hz_account *now = hz_access_account(&first->rows[i].id);
        if (!now->row.password[0]) /* else somebody was quicker and has set one */
            err = hz_access_account_put(&first->rows[i]);
    }
    pthread_mutex_unlock(&hz_access.changing);
    if (err)
        HZ_LOG(ERROR, "the first accounts have no password yet: %s; the next start tries again", hz_err_last());
    else
        tell(first);
    return err;
}

static void free_first(void *arg, int result)
{
    (void)result;
    sodium_memzero(arg, sizeof(struct first));
    free(arg);
}

int hz_access_first_start(const char *password, bool demo)
{
    int err = password ? hz_access_password_check(password) : 0;
    if (err)
        return hz_err_prefix(err, "HORIZON_ADMIN_PASSWORD");
    struct first *first = calloc(1, sizeof *first);
    if (!first)
        return hz_err_set(HZ_ENOMEM, "access");
    pthread_mutex_lock(&hz_access.changing);
    err = plan(first, password, demo);
    pthread_mutex_unlock(&hz_access.changing);
    if (!err && (first->count > 0 || demo))
        pending = first;
    else
        free_first(first, 0);
    return err;
}

int hz_access_first_show(const char *url, void (*say)(const char *line))
{
    struct first *first = pending;
    pending = NULL;
    if (!first)
        return 0;
    first->say = say;
    snprintf(first->url, sizeof first->url, "%s", url ? url : "");
    bool working = hz_access_working();
    int err = working ? hz_access_work(hash_all, free_first, first) : hash_all(first);
    if (err || !working)
        free_first(first, 0);
    return err;
}

int hz_access_remote(bool password_given, bool demo)
{
    const struct hz_account *weak = NULL;
    bool chosen = password_given && !hz_access_administrator();
    pthread_rwlock_rdlock(&hz_access.lock);
    for (const struct hz_account *a = hz_access.accounts; a; a = a->next) {
        if (!a->row.active)
            continue;
        chosen = chosen || (a->row.level <= HZ_ROLE_ADMIN && a->row.origin == HZ_ORIGIN_CHOSEN && a->row.password[0]);
        if (a->row.origin == HZ_ORIGIN_DEMO && !weak)
            weak = a;
    }
    pthread_rwlock_unlock(&hz_access.lock);
    if (weak || demo)
        return hz_err_set(HZ_EREFUSED, "another machine is not served while demo accounts are active%s%s: their passwords are known to everybody; "
                "take SEED_DATABASE away and disable them (`horizon user disable MAIL`)", weak ? ", such as " : "", weak ? weak->row.email : "");
    if (!chosen)
        return hz_err_set(HZ_EREFUSED, "another machine is not served before an administrator has set a password: run "
                "`horizon user password " HZ_ACCESS_ADMIN " --data DIR`, or give HORIZON_ADMIN_PASSWORD at the first start");
    return 0;
}
