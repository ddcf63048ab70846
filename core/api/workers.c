/*
 * workers.c - the operations on workers. Each copies what it needs of the registry and asks the supervisor, which
 * answers on this shard wherever the worker lives.
 */
#include "internal.h"

#include "core/flow/plan.h"
#include "core/scheduler.h"
#include "core/parked.h"
#include "core/supervisor.h"

#include "shm/err.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct waiting { /* an operation under way */
    hz_api_done_fn *done;
    void *arg;
    char id[HZ_UUID_TEXT];
};

static struct waiting *wait_new(hz_api_done_fn *done, void *arg)
{
    struct waiting *waiting = calloc(1, sizeof *waiting);
    if (!waiting)
        hz_api_fail(done, arg, 500, hz_err_text(HZ_ENOMEM));
    else {
        waiting->done = done;
        waiting->arg = arg;
    }
    return waiting;
}

static void answer_worker(struct waiting *waiting, uint32_t status, const struct hz_worker_info *info)
{
    struct hz_json json = {0};
    hz_json_worker(&json, info, HZ_WORKER_OBJECT);
    hz_api_answer(waiting->done, waiting->arg, status, &json);
}

void hz_api_workers_list(hz_api_done_fn *done, void *arg)
{
    struct hz_worker_info *infos;
    size_t count;
    if (hz_registry_list(NULL, &infos, &count)) {
        hz_api_fail(done, arg, 500, "Error al cargar workers");
        return;
    }
    struct hz_json json = {0};
    hz_json_workers(&json, infos, count);
    free(infos);
    hz_api_answer(done, arg, 200, &json);
}

void hz_api_workers_get(const char *id, hz_api_done_fn *done, void *arg)
{
    struct hz_worker_info info;
    struct hz_json json = {0};
    if (!hz_api_find_worker(id, "Worker no encontrado", &info, done, arg))
        return;
    hz_json_worker(&json, &info, HZ_WORKER_OBJECT);
    hz_api_answer(done, arg, 200, &json);
}

void hz_api_workers_logs(const char *id, uint64_t lines, uint64_t after, hz_api_done_fn *done, void *arg)
{
    struct hz_uuid uuid;
    struct hz_worker_info info;
    char **texts;
    size_t count;
    uint64_t last;
    if (!hz_uuid_parse(id, strlen(id), &uuid)) { /* whole ids also name workers that have ended */
        if (!hz_api_find_worker(id, "Worker no encontrado", &info, done, arg))
            return;
        uuid = info.id;
    }
    int err = hz_logs_tail(&uuid, (size_t)lines, after, &texts, &count, &last);
    if (err) {
        hz_api_fail(done, arg, err == HZ_ENOTFOUND ? 404 : 500,
                err == HZ_ENOTFOUND ? "Worker no encontrado" : "Error al obtener logs del worker");
        return;
    }
    struct hz_json json = {0};
    hz_json_open(&json, '{');
    HZ_JSON_KEY(&json, "logs");
    hz_json_open(&json, '[');
    for (size_t i = 0; i < count; i++) {
        hz_json_text(&json, texts[i]);
        free(texts[i]);
    }
    free(texts);
    hz_json_close(&json, ']');
    HZ_JSON_KEY(&json, "last");
    hz_json_uint(&json, last);
    hz_json_close(&json, '}');
    hz_api_answer(done, arg, 200, &json);
}

/* ---- start ---- */
static void on_started(void *arg, const struct hz_worker_info *info, const char *error)
{
    struct waiting *waiting = arg;
    if (error)
        hz_api_fail(waiting->done, waiting->arg, hz_api_start_status(error), error);
    else
        answer_worker(waiting, 201, info);
    free(waiting);
}

/* Of an activation: its worker is ready, or it will never be. */
static void on_activated(void *arg, const struct hz_store_execution *row)
{
    struct waiting *waiting = arg;
    struct hz_uuid id;
    struct hz_worker_info info;
    const char *error = row->error ? row->error : "Error al crear worker";
    if (row->state == HZ_EXEC_RUNNING && hz_uuid_parse(row->worker_id, strlen(row->worker_id), &id) &&
            hz_registry_get(&id, &info))
        answer_worker(waiting, 201, &info);
    else
        hz_api_fail(waiting->done, waiting->arg, hz_api_start_status(error), error);
    free(waiting);
}

static void on_activation_accepted(void *arg, const struct hz_uuid *execution, const struct hz_worker_info *worker,
        const char *error, uint32_t retry_after_s)
{
    (void)execution;
    (void)worker;
    struct waiting *waiting = arg;
    if (!error)
        return; /* the other callback follows */
    waiting->done(waiting->arg, &(struct hz_api_result){.status = retry_after_s ? 503 : hz_api_start_status(error),
                                        .error = error,
                                        .retry_after_s = retry_after_s});
    free(waiting);
}

void hz_api_workers_start(const char *workflow_id, const char *version, hz_api_done_fn *done, void *arg)
{
    struct hz_workflow *workflow;
    char parked[512];
    if (hz_parked_get(workflow_id, parked, sizeof parked)) {
        hz_api_fail(done, arg, 409, parked);
        return;
    }
    if (!hz_api_find_workflow(workflow_id, version, done, arg, &workflow))
        return;
    struct waiting *waiting = wait_new(done, arg);
    if (!waiting) {
        hz_workflow_unref(&workflow);
        return;
    }
    if (workflow->plan->trigger_count)
        hz_scheduler_submit(
                &(struct hz_submit){.workflow = workflow, .data = "", .trigger = "manual", .wants_port = true},
                on_activation_accepted, on_activated, waiting);
    else
        hz_supervisor_start(&(struct hz_start_options){.workflow = workflow, .wants_port = true}, on_started, waiting);
}

/* ---- stop, restart ---- */
static void on_stopped(void *arg, enum hz_stop_how how)
{
    struct waiting *waiting = arg;
    if (how == HZ_STOP_NOT_FOUND)
        hz_api_fail(waiting->done, waiting->arg, 404, "Error al detener worker o worker no encontrado");
    else {
        struct hz_json json = {0};
        hz_json_open(&json, '{');
        HZ_JSON_KEY(&json, "workerId");
        hz_json_text(&json, waiting->id);
        HZ_JSON_KEY(&json, "how");
        hz_json_text(&json, hz_stop_how_name(how));
        HZ_JSON_KEY(&json, "message");
        hz_json_text(&json, "Worker detenido exitosamente");
        hz_json_close(&json, '}');
        hz_api_answer(waiting->done, waiting->arg, 200, &json);
    }
    free(waiting);
}

void hz_api_workers_stop(const char *id, const char *user, hz_api_done_fn *done, void *arg)
{
    struct hz_worker_info info;
    if (!hz_api_find_worker(id, "Error al detener worker o worker no encontrado", &info, done, arg))
        return;
    struct waiting *waiting = wait_new(done, arg);
    if (!waiting)
        return;
    memcpy(waiting->id, info.id_text, sizeof waiting->id);
    hz_supervisor_stop(&info.id, user, on_stopped, waiting);
}

static void on_restarted(void *arg, const struct hz_worker_info *info, const char *error)
{
    struct waiting *waiting = arg;
    if (error) {
        char text[512];
        snprintf(text, sizeof text, "Error al reiniciar worker: %s", error);
        hz_api_fail(
                waiting->done, waiting->arg, strstr(error, "no encontrado") ? 404 : hz_api_start_status(error), text);
    } else
        answer_worker(waiting, 200, info);
    free(waiting);
}

void hz_api_workers_restart(const char *id, const char *user, hz_api_done_fn *done, void *arg)
{
    struct hz_worker_info info;
    if (!hz_api_find_worker(id, "Worker no encontrado", &info, done, arg))
        return;
    struct waiting *waiting = wait_new(done, arg);
    if (waiting)
        hz_supervisor_restart(&info.id, user, on_restarted, waiting);
}

/* ---- messages ---- */
static uint32_t message_status(const char *error)
{
    if (strstr(error, "no está disponible"))
        return 409;
    if (strcmp(error, "Timeout en la solicitud al worker") == 0)
        return 504;
    return strcmp(error, "Worker stopped") == 0 ? 502 : 422;
}

static void on_answer(void *arg, const char *data, size_t len, const char *error)
{
    struct waiting *waiting = arg;
    if (error)
        hz_api_fail(waiting->done, waiting->arg, message_status(error), error);
    else {
        struct hz_json json = {0};
        hz_json_open(&json, '{');
        HZ_JSON_KEY(&json, "response");
        if (len)
            hz_json_raw(&json, data, len);
        else
            hz_json_null(&json);
        hz_json_close(&json, '}');
        hz_api_answer(waiting->done, waiting->arg, 200, &json);
    }
    free(waiting);
}

void hz_api_workers_message(
        const char *id, const char *route, const char *data, size_t len, hz_api_done_fn *done, void *arg)
{
    struct hz_worker_info info;
    char missing[128];
    snprintf(missing, sizeof missing, "Worker %.64s no está disponible", id ? id : "");
    if (!hz_api_find_worker(id, missing, &info, done, arg))
        return;
    struct waiting *waiting = wait_new(done, arg);
    if (waiting)
        hz_supervisor_request(&info.id, route, data, len, on_answer, waiting);
}
