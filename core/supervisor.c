/*
 * supervisor.c - the public face of the supervisor: calls from any shard go by mail to the worker's shard, answers come back to the
 * shard that asked. Also the yard of each shard, listeners, and the end of all workers.
 *
 * Synchronisation: config, listeners, server port are set before the shards run and only read afterwards. A yard belongs to its
 * shard's thread. Nothing else is shared: mail carries private copies.
 */
#include "supervisor.h"

#include "cgroup.h"
#include "children.h"
#include "crash.h"
#include "lines.h"
#include "logs.h"
#include "ports.h"
#include "restart.h"
#include "services.h"
#include "spawner.h"
#include "worker.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

HZ_KEEPS_WHAT_IS_ALLOCATED /* mail is owned by the shard it is posted to */

#define LISTENERS 8

static struct {
    const struct hz_config *config;
    uint32_t server_port;
    struct {
        hz_worker_event_fn *fn;
        void *arg;
    } listeners[LISTENERS];
    int listener_count;
} supervisor;

const char *hz_stop_how_name(enum hz_stop_how how)
{
    static const char *const names[] = {"flag", "grace", "kill", "not found"};
    return (unsigned)how < HZ_COUNT_OF(names) ? names[how] : "?";
}

int hz_supervisor_listen(hz_worker_event_fn *fn, void *arg)
{
    if (supervisor.listener_count == LISTENERS)
        return hz_err_set(HZ_ELIMIT, "more than %d listeners of worker events", LISTENERS);
    supervisor.listeners[supervisor.listener_count].fn = fn;
    supervisor.listeners[supervisor.listener_count++].arg = arg;
    return 0;
}

void hz_supervisor_emit(enum hz_worker_event event, const struct hz_worker_info *info, const char *detail)
{
    for (int i = 0; i < supervisor.listener_count; i++)
        supervisor.listeners[i].fn(supervisor.listeners[i].arg, event, info, detail);
}

void hz_supervisor_set_server_port(uint32_t port)
{
    supervisor.server_port = port;
}

uint32_t hz_supervisor_server_port(void)
{
    return supervisor.server_port;
}

/* ---- start and end of the room ---- */

static void unlink_stale(const char *name, void *arg)
{
    unsigned *count = arg;
    if (hz_restart_has_segment(name))
        return; /* its worker goes on */
    if (hz_segment_unlink(name) == 0)
        ++*count;
}

/* Four descriptors a worker and one a connection: the soft limit of most systems is for programs with a few files. */
static void raise_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

int hz_supervisor_init(const struct hz_config *config)
{
    supervisor.config = config;
    if (!supervisor.server_port)
        supervisor.server_port = config->server_port;
    raise_file_limit();
    /* A worker of the same user must reach neither our memory nor our descriptors. */
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0))
        HZ_LOG(WARN, "the manager could not close its memory to other processes");
    (void)hz_crash_oom_rose(); /* from here on it is counted */
    unsigned stale = 0;
    int err = hz_segment_list(config->instance, unlink_stale, &stale);
    if (err < 0)
        return err;
    if (stale > 0 && !hz_restart_follows())
        HZ_LOG(INFO, "%u segments left over from a server that was killed were removed", stale);
    /* In an image that follows another all of them are our children: what nobody takes over is found below. */
    unsigned strays = hz_restart_follows() ? 0 : hz_children_end_strays(config->instance);
    if (strays > 0)
        HZ_LOG(WARN, "%u processes that a former manager left behind were ended", strays);
    err = hz_children_init(hz_shard_main(), config->strays_every_ms, hz_sampler_stopped);
    if (!err)
        err = hz_cgroup_init(config->cgroup, !hz_restart_follows()); /* before there is a zygote that has to follow */
    if (!err)
        err = hz_spawner_init(config);
    if (!err)
        err = hz_ports_init(config->worker_port_start, config->worker_port_end, supervisor.server_port);
    return err;
}

void hz_supervisor_fini(void)
{
    hz_spawner_fini();
    hz_children_fini();
    hz_cgroup_fini();
    hz_ports_fini();
    hz_logs_fini();
#if defined(__SANITIZE_ADDRESS__)
    (void)prctl(PR_SET_DUMPABLE, 1, 0, 0, 0); /* the leak checker looks at us from another process */
#endif
    supervisor.listener_count = 0;
    supervisor.server_port = 0;
}

int hz_supervisor_begin(struct hz_shard *shard)
{
    struct hz_yard *yard = calloc(1, sizeof *yard);
    if (!yard)
        return hz_err_set(HZ_ENOMEM, "supervisor");
    yard->shard = shard;
    yard->config = supervisor.config;
    CDS_INIT_LIST_HEAD(&yard->workers);
    CDS_INIT_LIST_HEAD(&yard->services);
    hz_shard_set(shard, HZ_SHARD_SUPERVISOR, yard);
    int err = hz_worker_poll_begin(yard);
    hz_sampler_begin(yard);
    hz_spares_begin(yard);
    return err;
}

/* After stop_all() nothing is left; on a hurried end the processes die with the manager. */
void hz_supervisor_end(struct hz_shard *shard)
{
    struct hz_yard *yard = hz_shard_get(shard, HZ_SHARD_SUPERVISOR);
    if (!yard)
        return;
    yard->ending = true;
    struct hz_timers *timers = hz_shard_timers(shard);
    hz_timer_cancel(timers, &yard->spare_timer);
    hz_sampler_end(yard);
    hz_worker_poll_end(yard);
    if (yard->count > 0)
        HZ_LOG(WARN, "shard %u: %u workers are left at the end", hz_shard_index(shard), yard->count);
    struct hz_service *service, *next;
    cds_list_for_each_entry_safe(service, next, &yard->services, node)
        if (!service->worker)
            hz_service_free(&service);
    if (yard->count == 0) {
        hz_shard_set(shard, HZ_SHARD_SUPERVISOR, NULL);
        free(yard);
    }
}

/* ---- finding the shard ---- */

struct hz_shard *hz_supervisor_shard_of(const struct hz_uuid *id)
{
    struct hz_worker_info info;
    return hz_registry_get(id, &info) ? hz_shard_at(info.shard) : NULL;
}

/* Where a new worker goes: the caller's shard; from the main thread in turn. */
struct hz_shard *hz_supervisor_pick_shard(void)
{
    static _Atomic uint32_t next; /* only spreads the load: relaxed */
    struct hz_shard *here = hz_shard_self();
    if (here != hz_shard_main())
        return here;
    return hz_shard_at(atomic_fetch_add_explicit(&next, 1, memory_order_relaxed) % hz_shard_count());
}

/* ---- all at once ---- */

struct all_stop { /* main thread or any shard: counts down on the shard that asked */
    struct hz_shard *from;
    void (*fn)(void *arg);
    void *arg;
    uint32_t left;
};
struct stop_mail {
    struct hz_mail mail;
    struct all_stop *all;
    unsigned waiting;     /* workers of this shard that still live */
    struct hz_timer look; /* spares and unfinished births have no waiter */
};

static void run_stopped(struct hz_mail *mail)
{
    struct stop_mail *m = HZ_CONTAINER_OF(mail, struct stop_mail, mail);
    struct all_stop *all = m->all;
    free(m);
    if (--all->left > 0)
        return;
    all->fn(all->arg);
    free(all);
}

static void look_empty(struct hz_timer *timer)
{
    struct stop_mail *m = HZ_CONTAINER_OF(timer, struct stop_mail, look);
    struct hz_yard *yard = hz_yard_here();
    if (yard && yard->count > 0) {
        hz_timer_after(hz_shard_timers(yard->shard), &m->look, 5, look_empty);
        return;
    }
    m->mail.run = run_stopped;
    hz_shard_post(m->all->from, &m->mail);
}

static void run_stop_all(struct hz_mail *mail)
{
    struct stop_mail *m = HZ_CONTAINER_OF(mail, struct stop_mail, mail);
    struct hz_yard *yard = hz_yard_here();
    if (yard) {
        yard->ending = true;
        struct hz_service *service, *next_service;
        cds_list_for_each_entry_safe(service, next_service, &yard->services, node)
            hz_timer_cancel(hz_shard_timers(yard->shard), &service->timer);
        struct hz_worker *w, *next;
        cds_list_for_each_entry_safe(w, next, &yard->workers, all_node)
            hz_worker_stop(w, w->workflow ? HZ_INTENT_SERVER_END : HZ_INTENT_DISCARD, "servidor", NULL, NULL);
    }
    look_empty(&m->look);
}

bool hz_supervisor_ends_here(void)
{
    const struct hz_yard *yard = hz_yard_here();
    return yard && yard->ending;
}

void hz_supervisor_stop_all(void (*fn)(void *arg), void *arg)
{
    struct all_stop *all = calloc(1, sizeof *all);
    HZ_ASSERT(all != NULL); /* the process could not end in order */
    *all = (struct all_stop){.from = hz_shard_self(), .fn = fn, .arg = arg, .left = hz_shard_count()};
    HZ_ASSERT(all->left > 0);
    hz_lines_print(false, "Deteniendo todos los workers...");
    for (uint32_t i = 0, shards = all->left; i < shards; i++) {
        struct stop_mail *m = calloc(1, sizeof *m);
        HZ_ASSERT(m != NULL);
        m->all = all;
        m->mail.run = run_stop_all;
        hz_shard_post(hz_shard_at(i), &m->mail);
    }
}
