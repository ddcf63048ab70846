/*
 * supervisor_calls.c - start, stop, restart and request from any shard: one piece of mail there, one back with private copies. What
 * happens in between runs on the worker's shard.
 */
#include "supervisor.h"

#include "parked.h"
#include "services.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct call {
    struct hz_mail mail;
    struct hz_shard *from;
    struct hz_uuid id;
    uint32_t visited;     /* shards asked for a worker nobody lists */
    char user[64];
    /* start */
    struct hz_workflow *workflow;
    struct hz_uuid execution;
    bool wants_port, named, found;
    char id_text[HZ_UUID_TEXT];
    /* request */
    char *route, *data;
    size_t len;
    /* answer */
    struct hz_worker_info info;
    char *error;
    enum hz_stop_how how;
    hz_worker_started_fn *started;
    hz_worker_stopped_fn *stopped;
    hz_worker_answer_fn *answered;
    void *arg;
};

static void free_call(struct call *call)
{
    hz_workflow_unref(&call->workflow);
    free(call->route);
    free(call->data);
    free(call->error);
    free(call);
}

static void run_back(struct hz_mail *mail)
{
    struct call *call = HZ_CONTAINER_OF(mail, struct call, mail);
    if (call->started)
        call->started(call->arg, call->found ? &call->info : NULL, call->error);
    else if (call->stopped)
        call->stopped(call->arg, call->how);
    else
        call->answered(call->arg, call->data ? call->data : "", call->len, call->error);
    free_call(call);
}

static void answer(struct call *call)
{
    call->mail.run = run_back;
    hz_shard_post(call->from, &call->mail);
}

static void fail(struct call *call, const char *error)
{
    free(call->error);
    call->error = strdup(error); /* NULL: no memory; the caller of start sees no info either */
    call->how = HZ_STOP_NOT_FOUND;
    answer(call);
}

static void on_started(void *arg, const struct hz_worker_info *info, const char *error)
{
    struct call *call = arg;
    call->info = *info;
    call->found = true;
    if (error)
        fail(call, error);
    else
        answer(call);
}

static struct call *new_call(void *arg)
{
    HZ_ASSERT(hz_shard_self() != NULL);
    struct call *call = calloc(1, sizeof *call);
    if (call) {
        call->from = hz_shard_self();
        call->arg = arg;
    }
    return call;
}

/* ---- start ---- */

static void run_start(struct hz_mail *mail)
{
    struct call *call = HZ_CONTAINER_OF(mail, struct call, mail);
    struct hz_yard *yard = hz_yard_here();
    if (!yard || yard->ending) {
        fail(call, "Deteniendo todos los workers...");
        return;
    }
    char reason[512];
    if (hz_parked_get(call->workflow->id, reason, sizeof reason)) {
        fail(call, reason);
        return;
    }
    struct hz_workflow *workflow = call->workflow;
    call->workflow = NULL;
    struct hz_service *service = hz_service_new(yard, HZ_SERVICE_PLAIN, workflow, call->wants_port);
    if (!service) {
        fail(call, hz_err_last());
        return;
    }
    char error[512];
    service->id_text = call->named ? call->id_text : NULL;
    struct hz_worker *w = hz_service_start(service, error, sizeof error);
    service->id_text = NULL;
    if (!w) {
        hz_service_free(&service);
        fail(call, error);
    } else if (hz_worker_wait_ready(w, on_started, call)) {
        fail(call, hz_err_last());
    }
}

void hz_supervisor_start(const struct hz_start_options *options, hz_worker_started_fn *fn, void *arg)
{
    struct hz_workflow *workflow = options->workflow;
    struct call *call = new_call(arg);
    if (!call) {
        hz_workflow_unref(&workflow);
        fn(arg, NULL, hz_err_text(HZ_ENOMEM));
        return;
    }
    call->workflow = workflow;
    call->execution = options->execution;
    call->wants_port = options->wants_port;
    call->named = options->worker_id_text != NULL;
    if (call->named)
        snprintf(call->id_text, sizeof call->id_text, "%s", options->worker_id_text);
    call->started = fn;
    call->mail.run = run_start;
    /* A workflow's workers that somebody starts by hand live where its pool lives. */
    hz_shard_post(hz_service_home(workflow), &call->mail);
}

/* ---- stop ---- */

static void on_stopped(void *arg, enum hz_stop_how how)
{
    struct call *call = arg;
    call->how = how;
    answer(call);
}

/* A worker that died and will be restarted is nobody's entry in the registry: its service is looked for shard by shard. */
static bool pass_on(struct call *call)
{
    if (++call->visited >= hz_shard_count())
        return false;
    uint32_t next = (hz_shard_index(hz_shard_self()) + 1) % hz_shard_count();
    hz_shard_post(hz_shard_at(next), &call->mail);
    return true;
}

static void run_stop(struct hz_mail *mail)
{
    struct call *call = HZ_CONTAINER_OF(mail, struct call, mail);
    struct hz_yard *yard = hz_yard_here();
    struct hz_worker *w = yard ? hz_worker_find(yard, &call->id) : NULL;
    if (w && w->workflow) {
        hz_worker_stop(w, HZ_INTENT_STOP, call->user, on_stopped, call);
        return;
    }
    struct hz_service *service = yard ? hz_service_find_resting(yard, &call->id) : NULL;
    if (service) {
        hz_service_end(service, call->user);
        call->how = HZ_STOP_FLAG;
        answer(call);
    } else if (!pass_on(call)) {
        call->how = HZ_STOP_NOT_FOUND;
        answer(call);
    }
}

static struct hz_shard *first_shard(const struct hz_uuid *id)
{
    struct hz_shard *shard = hz_supervisor_shard_of(id);
    return shard ? shard : hz_shard_at(0);
}

void hz_supervisor_stop(const struct hz_uuid *id, const char *user, hz_worker_stopped_fn *fn, void *arg)
{
    struct call *call = new_call(arg);
    if (!call) {
        fn(arg, HZ_STOP_NOT_FOUND);
        return;
    }
    call->id = *id;
    snprintf(call->user, sizeof call->user, "%s", user ? user : "");
    call->stopped = fn;
    call->mail.run = run_stop;
    hz_shard_post(first_shard(id), &call->mail);
}

/* ---- restart ---- */

static void on_replaced(void *arg, enum hz_stop_how how)
{
    struct call *call = arg;
    struct hz_yard *yard = hz_yard_here();
    call->how = how;
    if (!yard || !yard->successor)
        fail(call, yard && yard->successor_error[0] ? yard->successor_error : "Error al reiniciar worker");
    else if (hz_worker_wait_ready(yard->successor, on_started, call))
        fail(call, hz_err_last());
}

static void run_restart(struct hz_mail *mail)
{
    struct call *call = HZ_CONTAINER_OF(mail, struct call, mail);
    struct hz_yard *yard = hz_yard_here();
    struct hz_worker *w = yard ? hz_worker_find(yard, &call->id) : NULL;
    if (!w || !w->workflow)
        fail(call, "Worker no encontrado");
    else if (w->stopping && w->intent != HZ_INTENT_RESTART)
        fail(call, "Error al detener worker");
    else
        hz_worker_stop(w, HZ_INTENT_RESTART, call->user, on_replaced, call);
}

void hz_supervisor_restart(const struct hz_uuid *id, const char *user, hz_worker_started_fn *fn, void *arg)
{
    struct call *call = new_call(arg);
    if (!call) {
        fn(arg, NULL, hz_err_text(HZ_ENOMEM));
        return;
    }
    call->id = *id;
    snprintf(call->user, sizeof call->user, "%s", user ? user : "");
    call->started = fn;
    call->mail.run = run_restart;
    hz_shard_post(first_shard(id), &call->mail);
}

/* ---- request ---- */

static void on_answer(void *arg, const char *data, size_t len, const char *error)
{
    struct call *call = arg;
    free(call->data);
    call->data = malloc(len + 1);
    if (call->data) {
        memcpy(call->data, data, len);
        call->data[len] = 0;
    }
    call->len = call->data ? len : 0;
    if (error || !call->data)
        fail(call, error ? error : hz_err_text(HZ_ENOMEM));
    else
        answer(call);
}

static void run_request(struct hz_mail *mail)
{
    struct call *call = HZ_CONTAINER_OF(mail, struct call, mail);
    struct hz_yard *yard = hz_yard_here();
    struct hz_worker *w = yard ? hz_worker_find(yard, &call->id) : NULL;
    if (w && w->workflow) {
        hz_worker_ask(w, call->route, call->data, call->len, on_answer, call);
        return;
    }
    char id[HZ_UUID_TEXT], error[HZ_UUID_TEXT + 64];
    hz_uuid_format(&call->id, id);
    snprintf(error, sizeof error, "Worker %s no está disponible", id);
    on_answer(call, "", 0, error);
}

void hz_supervisor_request(const struct hz_uuid *id, const char *route, const char *data, size_t len, hz_worker_answer_fn *fn, void *arg)
{
    struct call *call = new_call(arg);
    if (call) {
        call->id = *id;
        call->route = strdup(route);
        call->data = malloc(len + 1);
        call->len = len;
    }
    if (!call || !call->route || !call->data) {
        if (call)
            free_call(call);
        fn(arg, "", 0, "Error al enviar mensaje al worker");
        return;
    }
    memcpy(call->data, data, len);
    call->data[len] = 0;
    call->answered = fn;
    call->mail.run = run_request;
    hz_shard_post(first_shard(id), &call->mail);
}
