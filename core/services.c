/*
 * services.c - resident workers that are kept alive: start, restart policy, parking. On the service's shard.
 */
#include "services.h"

#include "alerts.h"
#include "executions.h"
#include "parked.h"

#include "core/flow/plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BACKOFF_MOST_MS 60000u
#define RESTING_MS      50u
#define WINDOW_NS UINT64_C(60000000000)

struct hz_shard *hz_service_home(const struct hz_workflow *workflow)
{
    uint64_t hash = UINT64_C(14695981039346656037); /* FNV-1a */
    for (const char *c = workflow->id; *c; c++)
        hash = (hash ^ (unsigned char)*c) * UINT64_C(1099511628211);
    return hz_shard_at((uint32_t)(hash >> 32) % hz_shard_count());
}

struct hz_service *hz_service_new(struct hz_yard *yard, enum hz_service_kind kind, struct hz_workflow *workflow, bool wants_port)
{
    struct hz_service *service = calloc(1, sizeof *service);
    if (!service) {
        hz_workflow_unref(&workflow);
        (void)hz_err_set(HZ_ENOMEM, "workflow");
        return NULL;
    }
    service->magic = HZ_SERVICE_MAGIC;
    service->yard = yard;
    service->kind = kind;
    service->workflow = workflow;
    service->wants_port = wants_port;
    CDS_INIT_LIST_HEAD(&service->queue);
    cds_list_add_tail(&service->node, &yard->services);
    return service;
}

void hz_service_free(struct hz_service **ref)
{
    struct hz_service *service = *ref;
    *ref = NULL;
    HZ_CHECK_OBJ(service, HZ_SERVICE_MAGIC);
    HZ_ASSERT(!service->worker && cds_list_empty(&service->queue));
    hz_timer_cancel(hz_shard_timers(service->yard->shard), &service->timer);
    cds_list_del(&service->node);
    hz_workflow_unref(&service->workflow);
    service->magic = 0;
    free(service);
}

struct hz_worker *hz_service_start(struct hz_service *service, char *error, size_t error_size)
{
    HZ_ASSERT(!service->worker);
    struct hz_worker_options options = {.purpose = HZ_PURPOSE_RESIDENT, .workflow = service->workflow, .wants_port = service->wants_port,
            .listens = service->kind != HZ_SERVICE_POOL, .id_text = service->id_text, .service = service, .restarts = service->restarts,
            .replaces = service->last_text[0] ? service->last_text : NULL};
    if (service->activation)
        options.execution = service->activation->id;
    struct hz_worker *spare = hz_spares_take(service->yard, &options);
    options.workflow = hz_workflow_ref(service->workflow);
    service->worker = spare ? hz_worker_from_spare(spare, &options, error, error_size)
                            : hz_worker_new(service->yard, &options, error, error_size);
    return service->worker;
}

struct hz_service *hz_service_find_pool(struct hz_yard *yard, const struct hz_workflow *workflow)
{
    struct hz_service *service;
    cds_list_for_each_entry(service, &yard->services, node)
        if (service->kind == HZ_SERVICE_POOL && strcmp(service->workflow->id, workflow->id) == 0 &&
                strcmp(service->workflow->version, workflow->version) == 0)
            return service;
    return NULL;
}

struct hz_service *hz_service_find_resting(struct hz_yard *yard, const struct hz_uuid *id)
{
    struct hz_service *service;
    cds_list_for_each_entry(service, &yard->services, node)
        if (!service->worker && hz_uuid_equal(&service->last_worker, id))
            return service;
    return NULL;
}

uint32_t hz_service_note_end(struct hz_service *service, uint64_t now_ns)
{
    uint64_t *oldest = &service->ends_ns[service->end_count % HZ_SERVICE_ENDS];
    bool many = service->end_count + 1 >= HZ_SERVICE_ENDS;
    uint64_t since = service->ends_ns[(service->end_count + 1) % HZ_SERVICE_ENDS];
    *oldest = now_ns;
    uint64_t last = service->end_count ? service->ends_ns[(service->end_count - 1) % HZ_SERVICE_ENDS] : 0;
    service->end_count++;
    if (many && now_ns - since <= WINDOW_NS)
        return UINT32_MAX;
    /* A worker that held out for a minute after the last wait has earned a fresh start. */
    if (last == 0 || now_ns - last > WINDOW_NS + (uint64_t)service->backoff_ms * 1000000u)
        service->backoff_ms = 0;
    service->backoff_ms = service->backoff_ms ? HZ_MIN(BACKOFF_MOST_MS, service->backoff_ms * 2) : service->yard->config->restart_after_ms;
    return service->backoff_ms;
}

bool hz_service_goes_along(const struct hz_service *service, uint64_t now_ns)
{
    uint64_t last = service->end_count ? service->ends_ns[(service->end_count - 1) % HZ_SERVICE_ENDS] : 0;
    return service->worker || service->activation || hz_timer_armed(&service->timer) || service->parked ||
           (service->end_count > 0 && now_ns - last <= WINDOW_NS + (uint64_t)service->backoff_ms * 1000000u);
}

static void on_restart(struct hz_timer *timer)
{
    struct hz_service *service = HZ_CONTAINER_OF(timer, struct hz_service, timer);
    HZ_CHECK_OBJ(service, HZ_SERVICE_MAGIC);
    char error[512];
    if (service->worker || service->yard->ending)
        return;
    if (service->yard->resting) {
        hz_timer_after(hz_shard_timers(service->yard->shard), timer, RESTING_MS, on_restart);
        return;
    }
    if (service->kind == HZ_SERVICE_POOL && cds_list_empty(&service->queue)) {
        hz_alerts_worker_calm(service->workflow->id); /* nothing to do: the next execution starts it */
        return;
    }
    if (hz_service_start(service, error, sizeof error)) {
        hz_dispatch_pool(service);
        return;
    }
    /* That it cannot be made now (no port, no memory) counts as an end. */
    uint32_t wait = hz_service_note_end(service, hz_base_now_ns());
    if (wait != UINT32_MAX)
        hz_timer_after(hz_shard_timers(service->yard->shard), &service->timer, wait, on_restart);
    else
        hz_service_over(service, error, HZ_EXEC_FAILED);
}

void hz_service_wait(struct hz_service *service, uint64_t due_ns)
{
    hz_timer_at(hz_shard_timers(service->yard->shard), &service->timer, due_ns, on_restart);
}

static void park(struct hz_service *service, const struct hz_death *death, const struct hz_worker_info *info)
{
    snprintf(service->reason, sizeof service->reason, "%.255s", death->text);
    HZ_LOG(ERROR, "workflow %s: its worker ended %u times within a minute, the last time: %s; it is not started again by itself",
            service->workflow->id, HZ_SERVICE_ENDS, service->reason);
    service->parked = true;
    hz_parked_add(service->workflow->id, service->reason, death->report);
    hz_alerts_worker_down(service->workflow->id, service->reason);
    hz_supervisor_emit(HZ_EVENT_WORKER_PARKED, info, service->reason);
}

enum hz_service_next hz_service_lost(struct hz_service *service, const struct hz_death *death)
{
    HZ_CHECK_OBJ(service, HZ_SERVICE_MAGIC);
    struct hz_worker *w = service->worker;
    service->worker = NULL;
    service->last_worker = w->info.id;
    memcpy(service->last_text, w->info.id_text, sizeof service->last_text);
    if (service->yard->ending || death->intent == HZ_INTENT_STOP || death->intent == HZ_INTENT_SERVER_END)
        return HZ_SERVICE_OVER;
    service->restarts++;
    if (death->intent == HZ_INTENT_RESTART)
        return HZ_SERVICE_NOW;
    /* Whether another one follows is the workflow's own rule. */
    bool clean = death->kind == HZ_DEATH_ENDED && death->signal == 0 && death->exit_code == 0;
    enum hz_restart policy = service->workflow->restart;
    if (policy == HZ_RESTART_NEVER || (policy == HZ_RESTART_ON_FAILURE && clean && service->kind != HZ_SERVICE_POOL)) {
        snprintf(service->reason, sizeof service->reason, "%.255s", death->text);
        if (!clean)
            hz_alerts_worker_down(service->workflow->id, service->reason);
        HZ_LOG(INFO, "workflow %s: its worker is not started again (restart: %s)", service->workflow->id,
                policy == HZ_RESTART_NEVER ? "never" : "on-failure, and it ended in order");
        return HZ_SERVICE_PARKED; /* without being parked: what waits is told, a pool's next execution starts a worker */
    }
    /* The first one never came up: whoever asked for it hears so, and decides. A pool has nobody else to try again. */
    if (!w->ready && service->restarts == 1 && service->kind != HZ_SERVICE_POOL)
        return HZ_SERVICE_OVER;
    uint32_t wait = hz_service_note_end(service, hz_base_now_ns());
    if (wait == UINT32_MAX) {
        park(service, death, &w->info);
        return HZ_SERVICE_PARKED;
    }
    HZ_LOG(INFO, "workflow %s: its worker is started again in %u ms", service->workflow->id, wait);
    if (!clean)
        hz_alerts_worker_down(service->workflow->id, death->text);
    hz_timer_after(hz_shard_timers(service->yard->shard), &service->timer, wait, on_restart);
    return HZ_SERVICE_LATER;
}

void hz_service_release(struct hz_service *service)
{
    service->parked = false;
    service->reason[0] = 0;
    service->end_count = 0;
    service->backoff_ms = 0;
    memset(service->ends_ns, 0, sizeof service->ends_ns);
}

void hz_service_end(struct hz_service *service, const char *user)
{
    HZ_CHECK_OBJ(service, HZ_SERVICE_MAGIC);
    hz_timer_cancel(hz_shard_timers(service->yard->shard), &service->timer);
    hz_alerts_worker_calm(service->workflow->id);
    char text[128];
    snprintf(text, sizeof text, "Detenido por %.64s", user);
    hz_service_over(service, text, HZ_EXEC_CANCELLED);
}
