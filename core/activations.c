/*
 * activations.c - a flow with triggers, started: one row that runs as long as its worker is kept alive. On its shard.
 */
#include "executions.h"

#include "lines.h"
#include "parked.h"

#include <stdio.h>
#include <string.h>

void hz_activation_start(struct hz_execution *e)
{
    char error[512];
    if (hz_parked_get(e->workflow->id, error, sizeof error)) {
        hz_execution_fail(e, HZ_EXEC_FAILED, error);
        return;
    }
    struct hz_service *service = hz_service_new(e->desk->yard, HZ_SERVICE_ACTIVATION, hz_workflow_ref(e->workflow), e->wants_port);
    if (!service) {
        hz_execution_fail(e, HZ_EXEC_FAILED, hz_err_last());
        return;
    }
    service->activation = e;
    e->service = service;
    service->id_text = e->desk->config->worker_id;
    struct hz_worker *w = hz_service_start(service, error, sizeof error);
    service->id_text = NULL;
    if (!w) {
        e->service = NULL;
        hz_service_free(&service);
        hz_execution_fail(e, HZ_EXEC_FAILED, error);
        return;
    }
    hz_lines_print(false, "Worker %s creado para ejecutar workflow %s", w->info.id_text, e->workflow->id);
    e->wait_accept = false;
    hz_submitter_accepted(&e->caller, &e->id, &w->info, NULL, 0);
}

void hz_activation_ready(struct hz_service *service, struct hz_worker *w)
{
    struct hz_execution *e = service->activation;
    struct hz_store_execution row;
    hz_lines_print(false, "Worker %s listo para ejecutar workflow %s", w->info.id_text, w->info.workflow_id);
    e->worker = w; /* for the row: under which worker it runs */
    hz_execution_set_state(e, HZ_EXEC_RUNNING);
    e->worker = NULL;
    if (!hz_execution_row(e, &row))
        return;
    hz_submitter_finished(&e->caller, &row);
    e->caller.finished = NULL; /* told once; how it ends is an event */
    hz_execution_store(e->desk, &row);
}

/* Its worker is gone and no other follows. */
void hz_activation_over(struct hz_service *service, const struct hz_death *death, const char *user)
{
    struct hz_execution *e = service->activation;
    char text[160];
    if (!e)
        return;
    service->activation = NULL;
    e->service = NULL;
    if (death->intent == HZ_INTENT_STOP) {
        snprintf(text, sizeof text, "Detenido por %.64s", user);
        hz_execution_fail(e, HZ_EXEC_CANCELLED, text);
    } else if (death->intent == HZ_INTENT_SERVER_END) {
        hz_execution_fail(e, HZ_EXEC_INTERRUPTED, "the manager ended");
    } else {
        hz_execution_fail(e, HZ_EXEC_FAILED, death->text);
    }
}
