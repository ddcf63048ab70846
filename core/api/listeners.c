/*
 * listeners.c - goes through who listens, when a login has ended and now and then. See listeners.h.
 *
 * Synchronisation: a shard's mail belongs to who turned `posted` from false to true until the shard has run it. The shard turns it back
 * before it looks (sequentially consistent, as the exchange is): a change whose poster found it true is in force before that look.
 */
#include "listeners.h"

#include "core/access.h"
#include "core/shard.h"

#include "shm/err.h"

#include <stdatomic.h>

enum { FUNCTIONS = 4, SHARDS_MOST = 64, EVERY_MS = 1500 };

struct shard_mail {
    struct hz_mail mail;
    _Atomic bool posted;
};
static struct shard_mail mails[SHARDS_MOST];
static hz_listeners_fn *functions[FUNCTIONS];
static unsigned function_count;
static _Thread_local struct hz_timer timer; /* of the shard whose thread it is */

static bool check(void)
{
    bool some = false;
    for (unsigned i = 0; i < function_count; i++)
        some |= functions[i]();
    return some;
}

static void on_time(struct hz_timer *due)
{
    if (check())
        hz_timer_after(hz_shard_timers(hz_shard_self()), due, EVERY_MS, on_time);
}

static void on_mail(struct hz_mail *mail)
{
    atomic_store(&HZ_CONTAINER_OF(mail, struct shard_mail, mail)->posted, false);
    (void)check();
}

static void on_change(void)
{
    for (uint32_t i = 0; i < hz_shard_count(); i++)
        if (!atomic_exchange(&mails[i].posted, true))
            hz_shard_post(hz_shard_at(i), &mails[i].mail);
}

void hz_listeners_check_by(hz_listeners_fn *fn)
{
    for (unsigned i = 0; i < function_count; i++)
        if (functions[i] == fn)
            return;
    HZ_ASSERT(function_count < FUNCTIONS);
    functions[function_count++] = fn;
}

void hz_listeners_begin(void)
{
    if (!hz_timer_armed(&timer))
        hz_timer_after(hz_shard_timers(hz_shard_self()), &timer, EVERY_MS, on_time);
}

void hz_listeners_init(void)
{
    HZ_ASSERT(hz_shard_count() <= SHARDS_MOST);
    for (unsigned i = 0; i < SHARDS_MOST; i++) {
        mails[i].mail.run = on_mail;
        atomic_store(&mails[i].posted, false);
    }
    hz_access_on_change(on_change);
}
