/*
 * route_workers.c - workers:*, as the pages call them. Reads print the registry's copies straight into the answer; stop, restart and
 * messages ask the supervisor and answer when it has. Any shard.
 */
#include "route.h"

#include "events.h"
#include "json.h"
#include "herald.h"

#include "core/flow/json_text.h"
#include "core/supervisor.h"

#include "shm/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINES_DEFAULT = 100, LINES_MOST = 10000, ROUTE_SHOWN = 128 };
static const char id_wanted[] = "ID de worker requerido", unknown[] = "Worker no encontrado";

static void begin(struct hz_json *json, const char *key)
{
    hz_json_open(json, '{');
    HZ_JSON_KEY(json, "success");
    hz_json_bool(json, true);
    hz_json_key(json, key, strlen(key));
}

static void finish(const struct hz_route_call *call, struct hz_json *json, const char *failure)
{
    hz_json_close(json, '}');
    if (json->failed)
        hz_route_fail(call, 500, failure);
    else
        hz_route_answer_text(call, json->data, json->len);
    hz_json_fini(json);
}

/* False: answered. */
static bool find(const struct hz_route_call *call, const char *missing, struct hz_worker_info *ret_info)
{
    const char *id = hz_route_text(call->data, "workerId");
    if (!id)
        hz_route_fail(call, 400, id_wanted);
    else if (hz_registry_find(id, ret_info) != 1)
        hz_route_fail(call, 404, missing);
    else
        return true;
    return false;
}

/* ---- reads ---- */
static void list_of(const struct hz_route_call *call, const char *workflow_id, enum hz_worker_form form, const char *failure)
{
    struct hz_worker_info *infos;
    size_t count;
    if (hz_registry_list(workflow_id, &infos, &count)) {
        hz_route_fail(call, 500, failure);
        return;
    }
    struct hz_json json = {0};
    begin(&json, "workers");
    hz_json_open(&json, '[');
    for (size_t i = 0; i < count; i++)
        hz_json_worker(&json, &infos[i], form);
    hz_json_close(&json, ']');
    free(infos);
    finish(call, &json, failure);
}

static void workers_list(const struct hz_route_call *call)
{
    list_of(call, NULL, HZ_WORKER_PAGE_LISTED, "Error al cargar workers");
}

static void workers_by_workflow(const struct hz_route_call *call)
{
    const char *id = hz_route_text(call->data, "workflowId");
    if (id)
        list_of(call, id, HZ_WORKER_PAGE_OBJECT, "Error al obtener workers del workflow");
    else
        hz_route_fail(call, 400, "ID de workflow requerido");
}

static void workers_get(const struct hz_route_call *call)
{
    struct hz_worker_info info;
    struct hz_json json = {0};
    if (!find(call, unknown, &info))
        return;
    begin(&json, "worker");
    hz_json_worker(&json, &info, HZ_WORKER_PAGE_OBJECT);
    finish(call, &json, "Error al obtener worker");
}

static void figures(const struct hz_route_call *call, const char *key, const char *failure)
{
    struct hz_worker_info *infos;
    size_t count;
    if (hz_registry_list(NULL, &infos, &count)) {
        hz_route_fail(call, 500, failure);
        return;
    }
    struct hz_json json = {0};
    begin(&json, key);
    if (strcmp(key, "stats") == 0)
        hz_json_stats(&json, infos, count);
    else
        hz_json_dashboard(&json, infos, count, hz_base_wall_ms());
    free(infos);
    finish(call, &json, failure);
}

static void workers_stats(const struct hz_route_call *call)
{
    figures(call, "stats", "Error al obtener estadísticas de workers");
}

static void workers_dashboard(const struct hz_route_call *call)
{
    figures(call, "dashboard", "Error al obtener dashboard de workers");
}

static void workers_logs(const struct hz_route_call *call)
{
    const char *id = hz_route_text(call->data, "workerId");
    const json_t *wanted = json_object_get(call->data, "lines");
    double lines = json_is_number(wanted) ? json_number_value(wanted) : LINES_DEFAULT;
    struct hz_worker_info info;
    struct hz_uuid uuid;
    char **texts;
    size_t count;
    uint64_t last;
    if (!id) {
        hz_route_fail(call, 400, id_wanted);
        return;
    }
    if (!hz_uuid_parse(id, strlen(id), &uuid)) { /* a whole id is also that of one which has ended */
        if (!find(call, unknown, &info))
            return;
        uuid = info.id;
    }
    lines = HZ_MIN(HZ_MAX(lines, 1.0), (double)LINES_MOST);
    int err = hz_logs_tail(&uuid, (size_t)lines, 0, &texts, &count, &last);
    if (err) {
        hz_route_fail(call, err == HZ_ENOTFOUND ? 404 : 500, err == HZ_ENOTFOUND ? unknown : "Error al obtener logs del worker");
        return;
    }
    struct hz_json json = {0};
    begin(&json, "logs");
    hz_json_open(&json, '[');
    for (size_t i = 0; i < count; i++) {
        hz_json_text(&json, texts[i]);
        free(texts[i]);
    }
    free(texts);
    hz_json_close(&json, ']');
    finish(call, &json, "Error al obtener logs del worker");
}

/* ---- what changes something ---- */
static void on_stopped(void *arg, enum hz_stop_how how)
{
    struct hz_route_call *call = arg;
    if (how == HZ_STOP_NOT_FOUND)
        hz_route_fail(call, 404, "Error al detener worker o worker no encontrado");
    else
        hz_route_answer(call, "message", json_string("Worker detenido exitosamente"));
    hz_route_free(&call);
}

static void workers_stop(const struct hz_route_call *call)
{
    struct hz_worker_info info;
    if (!find(call, "Error al detener worker o worker no encontrado", &info))
        return;
    struct hz_route_call *kept = hz_route_keep(call);
    if (!kept)
        return;
    hz_herald_author(info.id_text, call->origin, false);
    hz_supervisor_stop(&info.id, call->caller->name, on_stopped, kept);
}

struct restarting {
    struct hz_route_call *call;
    char worker_id[HZ_UUID_TEXT]; /* of the old one */
};

static void on_restarted(void *arg, const struct hz_worker_info *info, const char *error)
{
    struct restarting *restarting = arg;
    struct hz_route_call *call = restarting->call;
    if (error) {
        hz_herald_restart_failed(restarting->worker_id, call->origin);
        bool missing = strstr(error, "no encontrado") != NULL, stop = strstr(error, "detener") != NULL;
        hz_route_fail(call, missing ? 404 : 500, missing ? unknown : stop ? "Error al detener worker" : "Error al reiniciar worker");
    } else {
        struct hz_json json = {0};
        begin(&json, "worker");
        hz_json_worker(&json, info, HZ_WORKER_PAGE_OBJECT);
        HZ_JSON_KEY(&json, "message");
        hz_json_text(&json, "Worker reiniciado exitosamente");
        finish(call, &json, "Error al reiniciar worker");
    }
    hz_route_free(&call);
    free(restarting);
}

static void workers_restart(const struct hz_route_call *call)
{
    struct hz_worker_info info;
    if (!find(call, unknown, &info))
        return;
    struct restarting *restarting = calloc(1, sizeof *restarting);
    struct hz_route_call *kept = hz_route_keep(call);
    if (!restarting || !kept) {
        if (kept) {
            hz_route_fail(kept, 500, "Error al reiniciar worker");
            hz_route_free(&kept);
        }
        free(restarting);
        return;
    }
    restarting->call = kept;
    memcpy(restarting->worker_id, info.id_text, sizeof restarting->worker_id);
    hz_herald_author(info.id_text, call->origin, true);
    hz_supervisor_restart(&info.id, call->caller->name, on_restarted, restarting);
}

static uint32_t message_status(const char *error)
{
    if (strcmp(error, "Timeout en la solicitud al worker") == 0)
        return 504;
    return strcmp(error, "Worker stopped") == 0 ? 502 : strstr(error, "no está disponible") ? 409 : 422;
}

static void on_message(void *arg, const char *data, size_t len, const char *error)
{
    struct hz_route_call *call = arg;
    if (error) {
        hz_route_fail(call, message_status(error), *error ? error : "Error en la solicitud al worker");
    } else {
        struct hz_json json = {0};
        begin(&json, "response");
        if (len)
            hz_json_raw(&json, data, len);
        else
            hz_json_null(&json);
        finish(call, &json, "Error al enviar mensaje al worker");
    }
    hz_route_free(&call);
}

static void workers_send_message(const struct hz_route_call *call)
{
    const char *id = hz_route_text(call->data, "workerId"), *route = hz_route_text(call->data, "route");
    const json_t *given = json_object_get(call->data, "messageData");
    struct hz_worker_info info;
    if (!id || !route) {
        hz_route_fail(call, 400, "ID de worker y ruta requeridos");
        return;
    }
    if (hz_registry_find(id, &info) != 1 || info.status != HZ_WORKER_RUNNING) {
        hz_route_failf(call, 409, "Worker %s no está disponible", id);
        return;
    }
    size_t len = 2;
    char *data = given ? hz_json_text_print(given, 0, &len) : strdup("{}");
    struct hz_route_call *kept = data ? hz_route_keep(call) : NULL;
    char shown[ROUTE_SHOWN];
    (void)hz_text_copy(shown, sizeof shown, route);
    json_t *more = kept ? json_pack("{s:s, s:s}", "route", shown, "user", call->caller->name) : NULL;
    char *said = more ? hz_json_text_print(more, 0, NULL) : NULL;
    if (said)
        hz_events_note("message", info.workflow_id, info.id_text, said);
    free(said);
    json_decref(more);
    if (kept)
        hz_supervisor_request(&info.id, route, data, len, on_message, kept);
    else if (!data)
        hz_route_fail(call, 500, "Error al enviar mensaje al worker");
    free(data);
}

const struct hz_route hz_route_workers[] = {
        {"workers:list", "workers:list", NULL, "Error al cargar workers", workers_list, NULL, false},
        {"workers:get", "workers:get", NULL, "Error al obtener worker", workers_get, NULL, false},
        {"workers:by-workflow", "workers:by-workflow", NULL, "Error al obtener workers del workflow", workers_by_workflow, NULL, false},
        {"workers:stop", "workers:stop", NULL, "Error al detener worker", workers_stop, NULL, true},
        {"workers:restart", "workers:restart", NULL, "Error al reiniciar worker", workers_restart, NULL, true},
        {"workers:stats", "workers:stats", NULL, "Error al obtener estadísticas de workers", workers_stats, NULL, false},
        {"workers:dashboard", "workers:dashboard", NULL, "Error al obtener dashboard de workers", workers_dashboard, NULL, false},
        {"workers:send-message", "workers:send-message", "workers:message", "Error al enviar mensaje al worker", workers_send_message, NULL, true},
        {"workers:logs", "workers:logs", NULL, "Error al obtener logs del worker", workers_logs, NULL, false},
        {NULL, NULL, NULL, NULL, NULL, NULL, false},
};
