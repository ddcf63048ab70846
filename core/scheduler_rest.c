/*
 * scheduler_rest.c - a desk and its yard come to rest before the manager executes itself anew: nothing begins, what was
 * asked for is answered, and in the end everything that lives can be carried. On the desk's shard.
 */
#include "executions.h"
#include "parked.h"
#include "services.h"
#include "webhooks.h"

#include "core/flow/plan.h"

#include <stdio.h>
#include <string.h>

void hz_desk_close(struct hz_desk *desk)
{
    struct hz_worker *w;
    desk->yard->closed = true;
    cds_list_for_each_entry(w, &desk->yard->workers, all_node)
        hz_worker_port_rest(w, true);
}

void hz_desk_rest(struct hz_desk *desk)
{
    struct hz_service *service;
    char text[512];
    desk->resting = desk->yard->resting = true;
    cds_list_for_each_entry(service, &desk->yard->services, node) /* what a person let go is not taken along as parked */
        if (service->parked && !hz_parked_get(service->workflow->id, text, sizeof text))
            hz_service_release(service);
}

bool hz_desk_calm(struct hz_desk *desk)
{
    return desk->ticket_count == 0;
}

bool hz_desk_quiet(struct hz_desk *desk)
{
    if (desk->commits > 0 || desk->ticket_count > 0 || desk->round_posted || !cds_list_empty(&desk->late_rows))
        return false;
    const struct hz_worker *w;
    cds_list_for_each_entry(w, &desk->yard->workers, all_node)
        if (!hz_worker_quiet(w))
            return false;
    return true;
}

/* Its caller hears how to ask for it; what the flow answers later finds nobody. */
static void tell_caller(struct hz_execution *e)
{
    char id[HZ_UUID_TEXT], text[256];
    hz_uuid_format(&e->id, id);
    snprintf(
            text, sizeof text, "{\"error\":\"the server restarts; the execution goes on\",\"executionId\":\"%s\"}", id);
    hz_http_restarting(e, text);
}

void hz_desk_hurry(struct hz_desk *desk)
{
    struct hz_worker *w, *next;
    cds_list_for_each_entry_safe(w, next, &desk->yard->workers, all_node) {
        struct hz_execution *e;
        cds_list_for_each_entry(e, &w->executions, node)
            if (e->http.shard && !e->http.answered)
                tell_caller(e);
        if (!w->workflow)
            continue;
        hz_worker_fail_requests(w, "the server restarts");
        hz_worker_tell_waiters(w, "the server restarts; the worker goes on", false, HZ_STOP_FLAG);
        if (w->stopping)
            hz_worker_kill(w, HZ_INTENT_STOP, 0);
    }
}

void hz_desk_wake(struct hz_desk *desk)
{
    struct hz_service *service, *next;
    struct hz_worker *w;
    desk->resting = desk->yard->resting = desk->yard->closed = false;
    cds_list_for_each_entry(w, &desk->yard->workers, all_node)
        hz_worker_port_rest(w, false);
    hz_desk_stay(desk);
    cds_list_for_each_entry_safe(service, next, &desk->yard->services, node)
        if (service->kind == HZ_SERVICE_POOL)
            hz_dispatch_pool(service);
    hz_dispatch_singles(desk);
    hz_admit_again_soon(desk);
    hz_spares_fill(desk->yard);
}
