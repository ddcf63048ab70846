/*
 * sdnotify.c - see sdnotify.h. `open` counts the shards that owe an answer: set by the main thread before the mails go out, counted down by each
 * shard (release), read by the main thread (acquire). Everything else is the main thread's.
 */
#include "sdnotify.h"

#include "shard.h"

#include "shm/log.h"

#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static struct {
    struct sockaddr_un address;
    socklen_t address_len; /* 0: nobody listens */
    uint64_t watchdog_us;  /* 0: no pings */
    struct hz_timer timer;
    bool pinging;
    struct hz_mail *mails; /* one a shard */
    _Atomic uint32_t open;
} notify;

void hz_sdnotify_init(void)
{
    const char *path = getenv("NOTIFY_SOCKET"), *watchdog = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
    size_t len = path ? strlen(path) : 0;
    memset(&notify, 0, sizeof notify);
    if (len < 2 || (path[0] != '/' && path[0] != '@') || len >= sizeof notify.address.sun_path)
        return;
    notify.address.sun_family = AF_UNIX;
    memcpy(notify.address.sun_path, path, len);
    if (path[0] == '@')
        notify.address.sun_path[0] = 0; /* an abstract name */
    notify.address_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    if (watchdog && (!pid || strtoll(pid, NULL, 10) == (long long)getpid()))
        notify.watchdog_us = strtoull(watchdog, NULL, 10);
}

bool hz_sdnotify_wanted(void)
{
    return notify.address_len > 0;
}

static void say(const char *text)
{
    if (!notify.address_len)
        return;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || sendto(fd, text, strlen(text), MSG_NOSIGNAL, (const struct sockaddr *)&notify.address, notify.address_len) < 0)
        HZ_LOG(WARN, "the service manager cannot be told: %s", strerror(errno));
    if (fd >= 0)
        close(fd);
}

/* ---- alive ---- */
static void run_pulse(struct hz_mail *mail)
{
    (void)mail; /* of a table */
    atomic_fetch_sub_explicit(&notify.open, 1, memory_order_release);
}

static void ping(struct hz_timer *timer)
{
    if (atomic_load_explicit(&notify.open, memory_order_acquire) == 0) {
        say("WATCHDOG=1");
        atomic_store_explicit(&notify.open, hz_shard_count(), memory_order_relaxed); /* mail orders it */
        for (uint32_t i = 0; i < hz_shard_count(); i++) {
            notify.mails[i] = (struct hz_mail){.run = run_pulse};
            hz_shard_post(hz_shard_at(i), &notify.mails[i]);
        }
    }
    hz_timer_after(hz_shard_timers(hz_shard_main()), timer, (uint32_t)HZ_MAX(HZ_MIN(notify.watchdog_us / 3000, (uint64_t)60000), (uint64_t)1), ping);
}

void hz_sdnotify_ready(const char *status)
{
    char text[512];
    snprintf(text, sizeof text, "READY=1\nMAINPID=%d\nSTATUS=%.400s", (int)getpid(), status);
    say(text);
    if (!notify.address_len || !notify.watchdog_us || notify.pinging)
        return;
    notify.mails = calloc(hz_shard_count(), sizeof *notify.mails);
    if (!notify.mails)
        return; /* the service manager starts us again: memory is out anyway */
    notify.pinging = true;
    ping(&notify.timer);
}

void hz_sdnotify_reloading(void)
{
    char text[96];
    snprintf(text, sizeof text, "RELOADING=1\nMONOTONIC_USEC=%llu", (unsigned long long)(hz_base_now_ns() / 1000));
    say(text);
}

void hz_sdnotify_stopping(void)
{
    if (notify.pinging)
        hz_timer_cancel(hz_shard_timers(hz_shard_main()), &notify.timer);
    notify.pinging = false;
    say("STOPPING=1");
}

void hz_sdnotify_fini(void)
{
    free(notify.mails);
    notify.mails = NULL;
}
