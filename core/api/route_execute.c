/*
 * route_execute.c - workflows:execute: the record becomes flow.json and the version that runs (on a thread that may wait), then an execution
 * is submitted; the answer comes when its worker is ready, what follows goes to who asked. Shard of the caller.
 */
#include "news.h"
#include "pages.h"
#include "route.h"
#include "herald.h"

#include "core/parked.h"
#include "core/registry.h"
#include "core/scheduler.h"
#include "core/shard.h"
#include "core/workflows.h"

#include "shm/err.h"
#include "shm/log.h"
#include "shm/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <urcu/urcu-memb.h>

struct starting {
    uv_work_t work;
    struct hz_route_call *call;
    char id[128], version[32], trigger[32], execution[HZ_UUID_TEXT];
    char *error;             /* of a refusal, with its status */
    struct hz_worker_info worker;
    bool chosen;             /* a version was asked for: the record's status stays */
    bool unheard_of;         /* longer than any version is */
    uint32_t status;         /* of a refusal; 0 none */
    bool bare;               /* error is the whole message */
    struct hz_workflow *workflow;
    bool answered, accepted, activation;
    unsigned owed;           /* callbacks that still come */
};
static const char generic[] = "Error al ejecutar workflow", unknown[] = "Workflow no encontrado";

static void unref(struct starting *s)
{
    if (--s->owed > 0)
        return;
    hz_route_free(&s->call);
    free(s->error);
    free(s);
}

/* ---- first part: on a thread that may wait ---- */
static void refuse(struct starting *s, uint32_t status, bool bare, const char *text)
{
    s->status = status;
    s->bare = bare;
    free(s->error);
    s->error = strdup(text);
}

/* The version asked for, NULL: there is none, and that is the refusal. */
static json_t *version_of(struct starting *s)
{
    json_t *data = NULL;
    if (!s->unheard_of && hz_store_record_version(s->id, s->version, &data) == 0)
        return data;
    s->status = 404;
    s->bare = true;
    if (asprintf(&s->error, "Versión %s no encontrada para el workflow", hz_route_text(s->call->data, "version")) < 0)
        s->error = NULL;
    return NULL;
}

static void publish(struct starting *s, struct hz_doc *doc)
{
    json_t *chosen = NULL, *data = doc->data;
    const char *version = json_string_value(json_object_get(data, "version"));
    if (s->chosen && (s->unheard_of || strcmp(version ? version : "", s->version) != 0)) {
        data = chosen = version_of(s);
        if (!chosen)
            return;
    } else {
        snprintf(s->version, sizeof s->version, "%s", version ? version : "0.0.1");
    }
    size_t len;
    char *text = hz_pages_flow_text(s->id, data, false, &len), *findings = NULL;
    int err = text ? hz_workflows_publish(s->id, s->version, text, len, s->call->caller->name, true, &findings) : HZ_ENOMEM;
    if (!err)
        err = hz_workflows_get(s->id, s->version, &s->workflow, &findings);
    if (err == HZ_EFORMAT)
        refuse(s, 422, false, findings ? findings : hz_err_last());
    else if (err)
        refuse(s, 500, true, generic);
    free(findings);
    free(text);
    json_decref(chosen);
}

static void prepare(uv_work_t *work)
{
    struct starting *s = work->data;
    struct hz_doc doc;
    urcu_memb_register_thread();
    int err = hz_pages_workflow(s->id, NULL, &doc, NULL);
    if (err) {
        /* The version is looked for first. */
        json_t *chosen = s->chosen ? version_of(s) : NULL;
        if (chosen || !s->chosen)
            refuse(s, err == HZ_ENOTFOUND ? 404 : 500, true, err == HZ_ENOTFOUND ? unknown : generic);
        json_decref(chosen);
    } else {
        publish(s, &doc);
        hz_doc_fini(&doc);
    }
    urcu_memb_unregister_thread();
}

/* ---- the record, beside ---- */
struct noting {
    uv_work_t work;
    char id[128], execution[HZ_UUID_TEXT], status[16];
    struct hz_pages_run run;
};

static void note(uv_work_t *work)
{
    struct noting *n = work->data;
    hz_pages_note_run(n->id, &n->run);
}

static void noted(uv_work_t *work, int status)
{
    (void)status;
    free(work->data);
}

static void note_run(const struct starting *s, const char *status, int64_t last_run_ms)
{
    struct noting *n = s->chosen ? NULL : calloc(1, sizeof *n);
    if (!n)
        return;
    memcpy(n->id, s->id, sizeof n->id);
    memcpy(n->execution, s->execution, sizeof n->execution);
    snprintf(n->status, sizeof n->status, "%s", status);
    n->run = (struct hz_pages_run){n->status, n->execution[0] ? n->execution : NULL, last_run_ms, -1};
    n->work.data = n;
    if (uv_queue_work(hz_shard_loop(hz_shard_self()), &n->work, note, noted))
        free(n);
}

/* ---- answers ---- */
static void fail_worker(struct starting *s, uint32_t status, const char *reason)
{
    s->answered = true;
    hz_route_failf(s->call, status, "Error creando worker: %s", reason);
    note_run(s, "failed", 0);
}

static void answer(struct starting *s)
{
    char text[256];
    snprintf(text, sizeof text, "Ejecutando %s: %s en worker %s", s->chosen ? "versión específica" : "última versión", s->version, s->worker.id_text);
    s->answered = true;
    json_t *object = json_pack("{s:s, s:s, s:i, s:s, s:s}", "executionId", s->execution, "workerId", s->worker.id_text, "port", (int)s->worker.port,
            "version", s->version, "message", text);
    hz_route_answer(s->call, NULL, object);
    json_t *ready = json_pack("{s:s, s:s, s:s, s:i}", "workflowId", s->id, "executionId", s->execution, "workerId", s->worker.id_text, "port",
            (int)s->worker.port);
    hz_news_one(s->call->origin, "workflows:worker-ready", ready);
    json_decref(ready);
}

/* ---- second part: the execution ---- */
static void on_ready(void *arg, bool ready)
{
    struct starting *s = arg;
    if (ready && !s->answered && !s->activation) /* not ready: how it ended comes as its end */
        answer(s);
    unref(s);
}

static void on_accepted(void *arg, const struct hz_uuid *execution, const struct hz_worker_info *worker, const char *error, uint32_t retry_after_s)
{
    struct starting *s = arg;
    if (error) { /* nothing else comes */
        fail_worker(s, retry_after_s ? 503 : 500, error);
        unref(s);
        return;
    }
    s->accepted = true;
    hz_uuid_format(execution, s->execution);
    note_run(s, "running", hz_base_wall_ms());
    if (worker)
        s->worker = *worker;
    if (s->activation) {
        struct hz_heralded watched = {.record = !s->chosen};
        memcpy(watched.execution_id, s->execution, sizeof watched.execution_id);
        memcpy(watched.workflow_id, s->id, sizeof watched.workflow_id);
        memcpy(watched.version, s->version, sizeof watched.version);
        hz_herald_execution(&watched, s->call->origin);
    } else if (worker) {
        s->owed++;
        hz_herald_ready(&worker->id, on_ready, s);
    }
}

static void tell_end(struct starting *s, const struct hz_store_execution *row)
{
    const char *status = row->state == HZ_EXEC_SUCCESS ? "success" : "failed";
    int64_t took = row->ended_wall_ms - (row->started_wall_ms ? row->started_wall_ms : row->created_wall_ms);
    char duration[32];
    snprintf(duration, sizeof duration, "%llds", (long long)(took / 1000));
    json_t *payload;
    if (row->state != HZ_EXEC_SUCCESS) {
        payload = json_pack("{s:s, s:s, s:s, s:s}", "workflowId", s->id, "executionId", s->execution, "workerId", row->worker_id, "error",
                row->error ? row->error : "Worker error");
        hz_news_one(s->call->origin, "workflows:execution-error", payload);
        json_decref(payload);
    }
    payload = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "workflowId", s->id, "executionId", s->execution, "status", status, "version", s->version,
            "duration", duration, "workerId", row->worker_id);
    hz_news_one(s->call->origin, "workflows:execution-completed", payload);
    json_decref(payload);
    if (s->chosen)
        return;
    struct noting *n = calloc(1, sizeof *n);
    if (!n)
        return; /* whoever reads the record corrects it */
    memcpy(n->id, s->id, sizeof n->id);
    snprintf(n->status, sizeof n->status, "%s", status);
    memcpy(n->execution, s->execution, sizeof n->execution);
    n->run = (struct hz_pages_run){n->status, n->execution, 0, took};
    n->work.data = n;
    if (uv_queue_work(hz_shard_loop(hz_shard_self()), &n->work, note, noted))
        free(n);
}

/* An activation: its worker is ready, or never will be. Else: the end. */
static void on_finished(void *arg, const struct hz_store_execution *row)
{
    struct starting *s = arg;
    if (!s->execution[0])
        hz_uuid_format(&row->id, s->execution);
    if (!s->answered && row->worker_id[0]) {
        struct hz_uuid id;
        if (!s->worker.id_text[0]) {
            snprintf(s->worker.id_text, sizeof s->worker.id_text, "%s", row->worker_id);
            if (hz_uuid_parse(row->worker_id, strlen(row->worker_id), &id))
                (void)hz_registry_get(&id, &s->worker);
        }
    }
    if (row->state == HZ_EXEC_RUNNING) {
        if (!s->answered)
            answer(s);
    } else if (!s->answered && row->state != HZ_EXEC_SUCCESS) {
        fail_worker(s, 500, row->error ? row->error : "Worker error");
    } else {
        if (!s->answered)
            answer(s);
        tell_end(s, row);
    }
    unref(s);
}

static void prepared(uv_work_t *work, int status)
{
    struct starting *s = work->data;
    char parked[512];
    if (status)
        refuse(s, 503, true, generic);
    if (s->workflow && !s->status && hz_parked_get(s->id, parked, sizeof parked))
        refuse(s, 409, false, parked);
    if (s->status || !s->workflow) {
        if (s->bare || !s->status)
            hz_route_fail(s->call, s->status ? s->status : 500, s->status && s->error ? s->error : generic);
        else
            fail_worker(s, s->status, s->error ? s->error : "out of memory");
        if (s->workflow)
            hz_workflow_unref(&s->workflow);
        unref(s);
        return;
    }
    struct hz_workflow *workflow = s->workflow;
    s->workflow = NULL;
    s->activation = workflow->plan->trigger_count > 0;
    hz_scheduler_submit(&(struct hz_submit){.workflow = workflow, .data = "", .trigger = s->trigger, .wants_port = true}, on_accepted, on_finished, s);
}

static void workflows_execute(const struct hz_route_call *call)
{
    const char *id = hz_route_text(call->data, "workflowId"), *version = hz_route_text(call->data, "version"),
               *trigger = hz_route_text(call->data, "trigger");
    if (!id || !hz_workflows_valid_id(id, strlen(id))) {
        hz_route_fail(call, 404, unknown);
        return;
    }
    struct starting *s = calloc(1, sizeof *s);
    struct hz_route_call *kept = s ? hz_route_keep(call) : NULL;
    if (!kept) {
        if (!s)
            hz_route_fail(call, 500, generic);
        free(s);
        return;
    }
    s->call = kept;
    s->owed = 1;
    s->chosen = version != NULL;
    snprintf(s->id, sizeof s->id, "%s", id);
    s->unheard_of = !hz_text_copy(s->version, sizeof s->version, version);
    (void)hz_text_copy(s->trigger, sizeof s->trigger, trigger ? trigger : "manual");
    s->work.data = s;
    if (uv_queue_work(hz_shard_loop(hz_shard_self()), &s->work, prepare, prepared)) {
        hz_route_fail(call, 503, generic);
        unref(s);
    }
}

const struct hz_route hz_route_execute[] = {
        {"workflows:execute", "workflows:execute", NULL, generic, workflows_execute, NULL, true},
        {NULL, NULL, NULL, NULL, NULL, NULL, false},
};
