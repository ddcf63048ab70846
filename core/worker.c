/*
 * worker.c - one worker's state machine: made, ready, stopping, buried. Talks to the process only through link.h and reaper.c.
 * On the worker's shard.
 */
#include "worker.h"

#include "children.h"
#include "limits.h"
#include "lines.h"
#include "spawner.h"
#include "uids.h"

#include "core/flow/plan.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TASKS_MOST 256u /* threads of a worker: lanes, blocking ones, JavaScriptCore's */

static _Atomic uint64_t sequences; /* creation order over all shards; any shard adds */

struct hz_yard *hz_yard_here(void)
{
    struct hz_shard *shard = hz_shard_self();
    return shard ? hz_shard_get(shard, HZ_SHARD_SUPERVISOR) : NULL;
}

/* ---- table of the shard ---- */

static struct hz_worker **bucket_of(struct hz_yard *yard, const struct hz_uuid *id)
{
    uint32_t hash;
    memcpy(&hash, id->bytes + 10, sizeof hash);
    return &yard->buckets[hash % HZ_WORKER_BUCKETS];
}

struct hz_worker *hz_worker_find(struct hz_yard *yard, const struct hz_uuid *id)
{
    struct hz_worker *w = *bucket_of(yard, id);
    while (w && !hz_uuid_equal(&w->info.id, id))
        w = w->bucket_next;
    return w;
}

void hz_worker_enter(struct hz_worker *w)
{
    struct hz_worker **bucket = bucket_of(w->yard, &w->info.id);
    w->bucket_next = *bucket;
    *bucket = w;
    cds_list_add_tail(&w->all_node, &w->yard->workers);
    w->yard->count++;
}

void hz_worker_leave(struct hz_worker *w)
{
    struct hz_worker **link = bucket_of(w->yard, &w->info.id);
    while (*link != w)
        link = &(*link)->bucket_next;
    *link = w->bucket_next;
    cds_list_del(&w->all_node);
    w->yard->count--;
}

void hz_worker_publish(struct hz_worker *w)
{
    w->dirty_info = false;
    if (w->workflow && !w->buried && hz_registry_put(&w->info))
        HZ_LOG(WARN, "worker %s: %s", w->info.id_text, hz_err_last());
}

void hz_worker_set_status(struct hz_worker *w, enum hz_worker_status status)
{
    if (w->info.status == status)
        return;
    w->info.status = status;
    hz_worker_publish(w);
    hz_supervisor_emit(HZ_EVENT_WORKER_CHANGED, &w->info, NULL);
}

/* ---- sending ---- */

int hz_worker_send(struct hz_worker *w, uint32_t type, const struct hz_part *parts, size_t count)
{
    HZ_CHECK_OBJ(w, HZ_WORKER_MAGIC);
    if (w->buried)
        return HZ_ECLOSED;
    int err = hz_link_send(&w->link, type, parts, count);
    if (w->link.poisoned) {
        hz_worker_poison(w, w->link.poison_reason);
        return HZ_EPOISON;
    }
    if (!w->dirty) {
        w->dirty = true;
        cds_list_add_tail(&w->dirty_node, &w->yard->dirty);
    }
    return err;
}

/* ---- birth ---- */

static void on_start_timeout(struct hz_timer *timer)
{
    struct hz_worker *w = HZ_CONTAINER_OF(timer, struct hz_worker, start_timer);
    hz_worker_kill(w, HZ_INTENT_START_TIMEOUT, 0);
}

void hz_worker_await_ready(struct hz_worker *w)
{
    hz_timer_after(
            hz_shard_timers(w->yard->shard), &w->start_timer, w->yard->config->start_timeout_ms, on_start_timeout);
}

uint64_t hz_worker_sequence(void)
{
    return atomic_load_explicit(&sequences, memory_order_relaxed);
}

void hz_worker_set_sequence(uint64_t next)
{
    atomic_store_explicit(&sequences, next, memory_order_relaxed);
}

static void on_spawned(void *arg, int32_t pid, const char *error)
{
    struct hz_worker *w = arg;
    HZ_CHECK_OBJ(w, HZ_WORKER_MAGIC);
    w->spawning = false;
    hz_worker_close_far(w); /* the worker has its own: the segment must not be reachable for longer than needed */
    if (pid <= 0) {
        hz_worker_stillborn(w, error, pid == HZ_ECLOSED);
        return;
    }
    w->info.pid = pid;
    int err = hz_reaper_attach(w, pid);
    if (err) {
        hz_children_remove(pid);
        w->info.pid = 0;
        hz_worker_stillborn(w, hz_err_last(), err == HZ_ECLOSED);
        return;
    }
    atomic_store_explicit(&w->link.segment.header->worker_pid, (uint32_t)pid, memory_order_relaxed);
    hz_worker_publish(w);
    if (w->workflow)
        hz_worker_poll_expect(w);
    hz_limits_begin(w);
    if (w->kill_when_known)
        hz_reaper_kill(w);
    else if (w->early_ready)
        hz_worker_on_ready(w);
}

/* A worker object with segment and doorbells, without process and flow. */
static struct hz_worker *make(struct hz_yard *yard, enum hz_worker_purpose purpose, const struct hz_geometry *geometry)
{
    struct hz_worker *w = calloc(1, sizeof *w);
    if (!w) {
        (void)hz_err_set(HZ_ENOMEM, "worker");
        return NULL;
    }
    w->magic = HZ_WORKER_MAGIC;
    w->yard = yard;
    w->purpose = purpose;
    w->far_fds[0] = w->far_fds[1] = w->far_fds[2] = w->pidfd = w->port_fd = w->statm_fd = w->carry_fd = -1;
    w->created_ns = w->last_activity_ns = hz_base_now_ns();
    CDS_INIT_LIST_HEAD(&w->executions);
    w->info.id = hz_uuid_new();
    hz_uuid_format(&w->info.id, w->info.id_text);
    w->info.shard = hz_shard_index(yard->shard);
    w->info.threads = geometry->lanes;
    w->info.status = HZ_WORKER_STARTING;
    if (hz_link_open(&w->link, yard->config->instance, &w->info.id, geometry, yard->config->queue_bytes, w->far_fds)) {
        free(w);
        return NULL;
    }
    memcpy(w->info.segment, w->link.segment.name, sizeof w->info.segment);
    hz_worker_enter(w);
    return w;
}

/* Undoes make() for a worker nobody has heard of. */
static void unmake(struct hz_worker *w)
{
    hz_worker_release(w);
    hz_worker_leave(w);
    hz_workflow_unref(&w->workflow);
    w->magic = 0;
    free(w);
}

static int ask_process(struct hz_worker *w, enum hz_zygote_kind kind)
{
    _Static_assert(HZ_ZYGOTE_KINDS == HZ_SPAWNER_KINDS, "kinds of zygotes");
    const struct hz_config *config = w->yard->config;
    bool alone;
    w->uid = hz_uids_take(&alone);
    if (w->uid && w->workflow && w->workflow->uid) {
        hz_uids_give(w->uid);
        w->uid = w->workflow->uid;
        alone = false; /* several workers of the workflow, and the operator himself, may be that user */
    }
    struct hz_spawn_request request = {.magic = HZ_SPAWN_MAGIC, .version = HZ_LAYOUT_VERSION, .threads = w->link.segment.geometry.lanes,
            .caps = w->workflow ? w->workflow->caps : 0, .manager_pid = (uint32_t)getpid(), .geometry = w->link.segment.geometry,
            .open_files = w->workflow && w->workflow->limits.open_files ? w->workflow->limits.open_files : 256, .uid = w->uid,
            .tasks = alone ? TASKS_MOST : 0, .worker_id = w->info.id};
    if (config->sandbox == HZ_SANDBOX_OFF)
        request.flags |= HZ_SPAWN_SANDBOX_OFF;
    if (config->sandbox == HZ_SANDBOX_REQUIRE)
        request.flags |= HZ_SPAWN_SANDBOX_REQUIRE;
    if (w->purpose == HZ_PURPOSE_SPARE)
        request.flags |= HZ_SPAWN_SPARE;
    if (w->grouped)
        request.flags |= HZ_SPAWN_GROUPED;
    int err = hz_worker_poll_attach(w);
    if (!err)
        err = hz_spawner_ask(kind, &request, w->far_fds, on_spawned, w);
    if (!err)
        w->spawning = true;
    return err;
}

/* Gives a worker its flow: from here on it has a name, is listed, counted and logged. */
static int christen(struct hz_worker *w, const struct hz_worker_options *options)
{
    struct hz_workflow *workflow = options->workflow;
    w->purpose = options->purpose;
    w->workflow = workflow;
    w->execution = options->execution;
    w->service = options->service;
    w->flow_ns = hz_base_now_ns();
    w->info.restarts = options->restarts;
    w->info.resident = options->purpose == HZ_PURPOSE_RESIDENT;
    w->info.sequence = atomic_fetch_add_explicit(&sequences, 1, memory_order_relaxed);
    w->info.start_wall_ms = w->info.activity_wall_ms = hz_base_wall_ms();
    snprintf(w->info.workflow_id, sizeof w->info.workflow_id, "%s", workflow->id);
    snprintf(w->info.version, sizeof w->info.version, "%s", workflow->version);
    if (options->id_text)
        snprintf(w->info.id_text, sizeof w->info.id_text, "%s", options->id_text);
    if (options->replaces)
        snprintf(w->replaces, sizeof w->replaces, "%s", options->replaces);
    if (!hz_uuid_is_nil(&options->execution))
        hz_uuid_format(&options->execution, w->info.execution_text);
    hz_limits_group(w);
    int err = options->wants_port ? hz_worker_port_attach(w) : 0;
    if (!err)
        err = hz_worker_assign(w, options->listens);
    if (err)
        return err;
    hz_lines_print(false, "Iniciando worker %s con archivo: %s", w->info.id_text, workflow->path);
    hz_worker_await_ready(w);
    hz_worker_publish(w);
    hz_supervisor_emit(HZ_EVENT_WORKER_CREATED, &w->info, NULL);
    hz_worker_poll_expect(w);
    hz_sampler_wake(w->yard);
    hz_limits_begin(w); /* a spare has its process already */
    return 0;
}

static void say_error(const struct hz_worker *w, int err, char *error, size_t error_size)
{
    if (err == HZ_ELIMIT && w && w->port_fd < 0 && !w->link.poisoned)
        snprintf(error, error_size, "No hay puertos disponibles para el worker");
    else
        snprintf(error, error_size, "%s", hz_err_last());
    if (w)
        hz_lines_print(true, "Error al crear worker %s: %s", w->info.id_text, error);
}

struct hz_worker *hz_worker_new(struct hz_yard *yard, const struct hz_worker_options *options, char *error, size_t error_size)
{
    struct hz_workflow *workflow = options->workflow;
    struct hz_worker *w = NULL;
    struct hz_geometry geometry = hz_worker_geometry(workflow);
    int err = yard->ending ? hz_err_set(HZ_ECLOSED, "the manager ends") : 0;
    if (!err) {
        w = make(yard, options->purpose, &geometry);
        err = w ? 0 : HZ_ENOMEM;
    }
    if (!w) {
        say_error(NULL, err, error, error_size);
        hz_workflow_unref(&workflow);
        return NULL;
    }
    if (workflow)
        err = christen(w, options);
    if (!err)
        err = ask_process(w, workflow ? workflow->zygote : HZ_ZYGOTE_BASE);
    if (!err)
        return w;
    say_error(w, err, error, error_size);
    w->buried = true;
    if (workflow)
        hz_registry_remove(&w->info.id);
    unmake(w);
    return NULL;
}

struct hz_worker *hz_worker_from_spare(struct hz_worker *spare, const struct hz_worker_options *options, char *error, size_t error_size)
{
    HZ_ASSERT(spare->warm && !spare->workflow);
    int err = christen(spare, options);
    if (!err)
        return spare;
    say_error(spare, err, error, error_size);
    /* A process hangs on it: it goes the way of all workers, as one without a flow. */
    hz_timer_cancel(hz_shard_timers(spare->yard->shard), &spare->start_timer);
    spare->purpose = HZ_PURPOSE_SPARE;
    hz_registry_remove(&spare->info.id);
    hz_workflow_unref(&spare->workflow);
    hz_worker_kill(spare, HZ_INTENT_DISCARD, 0);
    return NULL;
}

int hz_worker_wait_ready(struct hz_worker *w, hz_worker_started_fn *fn, void *arg)
{
    if (w->ready) {
        fn(arg, &w->info, NULL);
        return 0;
    }
    struct hz_worker_waiter *waiter = calloc(1, sizeof *waiter);
    if (!waiter)
        return hz_err_set(HZ_ENOMEM, "waiting for a worker");
    *waiter = (struct hz_worker_waiter){.next = w->waiters, .started = fn, .arg = arg};
    w->waiters = waiter;
    return 0;
}

