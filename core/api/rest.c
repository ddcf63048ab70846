/*
 * rest.c - the table of REST routes, each a few lines: read parameters and body, call the operation, which answers
 * through hz_rest_done(). Shard's thread.
 */
#include "rest.h"

#include "idempotency.h"
#include "internal.h"
#include "json.h"
#include "options.h"
#include "resources.h"

#include "core/access.h"
#include "core/flow/json_text.h"
#include "core/scheduler.h"
#include "shm/err.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    BODY_DEPTH = 100,
    LINES_DEFAULT = 100,
    LINES_MAX = 10000,
    LIMIT_DEFAULT = 100,
    LIMIT_MAX = 1000,
    DRAIN_MS = 10000,
    DRAIN_MOST_MS = 600000
};

/* ---- answers ---- */
static void add_more(struct hz_json *json, const char *more)
{
    size_t len = more ? strlen(more) : 0;
    if (len > 2) /* the members of an object that is not empty */
        hz_json_raw(json, more + 1, len - 2);
}

static void answer_problem(struct hz_http_request *request, const struct hz_api_result *result)
{
    struct hz_json json = {0};
    char retry[64] = "";
    hz_json_open(&json, '{');
    HZ_JSON_KEY(&json, "type");
    hz_json_text(&json, "about:blank");
    HZ_JSON_KEY(&json, "title");
    hz_json_text(&json, hz_http_reason(result->status));
    HZ_JSON_KEY(&json, "status");
    hz_json_uint(&json, result->status);
    HZ_JSON_KEY(&json, "detail");
    hz_json_text(&json, result->error ? result->error : hz_http_reason(result->status));
    add_more(&json, result->more);
    hz_json_close(&json, '}');
    if (result->retry_after_s)
        snprintf(retry, sizeof retry, "Retry-After: %u\n", (unsigned)result->retry_after_s);
    if (json.failed)
        hz_http_problem(request, 500, "out of memory");
    else
        hz_http_respond(request, &(struct hz_http_response){.status = result->status,
                                         .type = "application/problem+json",
                                         .body = json.data,
                                         .len = json.len,
                                         .headers = retry,
                                         .headers_len = strlen(retry)});
    hz_json_fini(&json);
}

void hz_rest_done(void *arg, const struct hz_api_result *result)
{
    struct hz_http_request *request = arg;
    char tag[48] = "";
    if (result->revision)
        snprintf(tag, sizeof tag, "ETag: \"r%llu\"\n", (unsigned long long)result->revision);
    if (result->status < 200 || result->status > 299)
        answer_problem(request, result);
    else
        hz_http_respond(request, &(struct hz_http_response){.status = result->status,
                                         .type = "application/json",
                                         .body = result->data,
                                         .len = result->len,
                                         .headers = tag,
                                         .headers_len = strlen(tag)});
}

/* ---- reading ---- */

json_t *hz_rest_body(struct hz_http_request *request)
{
    size_t len;
    const char *text = hz_http_body(request, &len);
    if (len == 0)
        return json_object();
    struct hz_json_text_error error;
    json_t *body = hz_json_text_parse(text, len, BODY_DEPTH, false, &error);
    if (json_is_object(body))
        return body;
    char detail[320];
    if (body)
        snprintf(detail, sizeof detail, "the body is no JSON object");
    else
        snprintf(detail, sizeof detail, "the body is no JSON: line %d, column %d: %s", error.line, error.column,
                error.message);
    json_decref(body);
    hz_http_problem(request, 400, detail);
    return NULL;
}

bool hz_rest_number(
        struct hz_http_request *request, const char *name, uint64_t lowest, uint64_t highest, uint64_t *ret)
{
    const char *text = hz_http_query(request, name);
    if (!text)
        return true;
    char *end;
    unsigned long long value = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end) {
        char detail[128];
        snprintf(detail, sizeof detail, "%s is no whole number", name);
        hz_http_problem(request, 400, detail);
        return false;
    }
    *ret = HZ_MIN(HZ_MAX((uint64_t)value, lowest), highest);
    return true;
}

/* ---- routes ---- */
/* A list that was made whole: with a query a page of it. */
static void page_of(struct hz_http_request *request, const char *plural, const struct hz_api_result *result)
{
    json_t *all = NULL, *list = NULL, *page = NULL;
    if (*hz_http_raw_query(request) && result->data)
        all = hz_json_text_read(result->data, result->len);
    list = json_object_get(all, plural);
    page = list ? hz_resources_page(request, plural, json_incref(list), NULL) : NULL;
    if (!list)
        hz_rest_done(request, result);
    else if (page) {
        (void)json_object_update_missing(page, all); /* what stands beside the list */
        hz_api_answer_value(hz_rest_done, request, 200, json_incref(page));
    }
    json_decref(page);
    json_decref(all);
}

static void workers_paged(void *arg, const struct hz_api_result *result)
{
    page_of(arg, "workers", result);
}

static void parked_paged(void *arg, const struct hz_api_result *result)
{
    page_of(arg, "parked", result);
}

static void nodes_paged(void *arg, const struct hz_api_result *result)
{
    page_of(arg, "nodes", result);
}

static void workers_list(struct hz_http_request *request, void *arg)
{
    (void)arg;
    hz_api_workers_list(workers_paged, request);
}

static void workers_get(struct hz_http_request *request, void *arg)
{
    (void)arg;
    hz_api_workers_get(hz_http_param(request, "id"), hz_rest_done, request);
}

static void workers_logs(struct hz_http_request *request, void *arg)
{
    (void)arg;
    uint64_t lines = LINES_DEFAULT, after = 0;
    if (hz_rest_number(request, "lines", 1, LINES_MAX, &lines) &&
            hz_rest_number(request, "after", 0, UINT64_MAX, &after))
        hz_api_workers_logs(hz_http_param(request, "id"), lines, after, hz_rest_done, request);
}

static void workers_start(struct hz_http_request *request, void *arg)
{
    (void)arg;
    struct hz_pending *pending;
    json_t *body = hz_rest_body(request);
    if (!body)
        return;
    const char *id = json_string_value(json_object_get(body, "workflowId"));
    if (!id || !*id)
        hz_http_problem(request, 400, "ID de workflow requerido");
    else if (hz_idempotency_begin(request, &pending))
        hz_api_workers_start(id, json_string_value(json_object_get(body, "version")), pending ? hz_idempotency_done : hz_rest_done,
                pending ? (void *)pending : (void *)request);
    json_decref(body);
}

static void workers_stop(struct hz_http_request *request, void *arg)
{
    (void)arg;
    hz_api_workers_stop(hz_http_param(request, "id"), hz_rest_caller(request)->name, hz_rest_done, request);
}

static void workers_restart(struct hz_http_request *request, void *arg)
{
    (void)arg;
    hz_api_workers_restart(hz_http_param(request, "id"), hz_rest_caller(request)->name, hz_rest_done, request);
}

static void workers_message(struct hz_http_request *request, void *arg)
{
    (void)arg;
    json_t *body = hz_rest_body(request);
    if (!body)
        return;
    const char *route = json_string_value(json_object_get(body, "route"));
    const json_t *data = json_object_get(body, "messageData");
    if (!data)
        data = json_object_get(body, "data");
    size_t len = 2;
    char *text = data ? hz_json_text_print(data, 0, &len) : strdup("{}");
    if (!route || !*route)
        hz_http_problem(request, 400, "ID de worker y ruta requeridos");
    else if (!text)
        hz_http_problem(request, 500, "out of memory");
    else
        hz_api_workers_message(hz_http_param(request, "id"), route, text, len, hz_rest_done, request);
    free(text);
    json_decref(body);
}

static void dashboard(struct hz_http_request *request, void *arg)
{
    (void)arg;
    hz_api_dashboard(hz_rest_done, request);
}

static void workflows_put(struct hz_http_request *request, void *arg)
{
    (void)arg;
    size_t len;
    const char *text = hz_http_body(request, &len);
    uint64_t revision;
    if (hz_resources_precondition(request, &revision))
        hz_api_workflows_put(hz_http_param(request, "id"), text, len, hz_rest_caller(request)->name, revision, hz_rest_done, request);
}

static void executions_start(struct hz_http_request *request, void *arg)
{
    (void)arg;
    struct hz_pending *pending;
    json_t *body = hz_rest_body(request);
    if (!body)
        return;
    if (!hz_idempotency_begin(request, &pending)) {
        json_decref(body);
        return;
    }
    const json_t *data = json_object_get(body, "data");
    size_t len = 0;
    char *text = data ? hz_json_text_print(data, 0, &len) : NULL, wrong[1024];
    struct hz_api_execute execute = {.workflow_id = hz_http_param(request, "id"),
            .data = text ? text : "",
            .len = len,
            .trigger = "api",
            .key_if_possible = pending && !json_object_get(body, "dedupKey")};
    /* So that it is run once also if the server ends before the answer is kept. */
    const char *header = pending ? hz_http_header(request, "Idempotency-Key") : NULL;
    if (execute.key_if_possible && strlen(header) < HZ_SUBMIT_KEY)
        (void)json_object_set_new(body, "dedupKey", json_string(header));
    if (!hz_api_execute_options(body, &execute, wrong, sizeof wrong))
        hz_http_problem(request, 400, wrong);
    else if (data && !text)
        hz_http_problem(request, 500, "out of memory");
    else {
        hz_api_executions_start(&execute, pending ? hz_idempotency_done : hz_rest_done, pending ? (void *)pending : (void *)request);
        pending = NULL;
    }
    hz_idempotency_drop(pending);
    free(text);
    json_decref(body);
}

static void executions_rerun(struct hz_http_request *request, void *arg)
{
    (void)arg;
    struct hz_pending *pending;
    json_t *body = hz_rest_body(request);
    if (!body)
        return;
    const json_t *from = json_object_get(body, "from");
    if (from && !json_is_string(from))
        hz_http_problem(request, 400, "from: expected the id or the name of a node");
    else if (hz_idempotency_begin(request, &pending))
        hz_api_executions_rerun(hz_http_param(request, "id"), json_string_value(from), pending ? hz_idempotency_done : hz_rest_done,
                pending ? (void *)pending : (void *)request);
    json_decref(body);
}

static void list_of(struct hz_http_request *request, struct hz_api_list list)
{
    list.limit = LIMIT_DEFAULT;
    list.cursor = hz_http_query(request, "cursor");
    if (hz_rest_number(request, "limit", 1, LIMIT_MAX, &list.limit))
        hz_api_executions_list(&list, hz_rest_done, request);
}

static void list_executions(struct hz_http_request *request, const char *workflow_id)
{
    const char *kind = hz_http_query(request, "kind");
    if (kind && strcmp(kind, "activation") != 0 && strcmp(kind, "execution") != 0)
        hz_http_problem(request, 400, "kind is execution or activation");
    else
        list_of(request, (struct hz_api_list){.workflow_id = workflow_id, .state = hz_http_query(request, "state"),
                                 .activations = kind && *kind == 'a'});
}

static void executions_list(struct hz_http_request *request, void *arg)
{
    (void)arg;
    list_executions(request, hz_http_param(request, "id"));
}

static void executions_all(struct hz_http_request *request, void *arg)
{
    (void)arg;
    list_executions(request, hz_http_query(request, "workflowId"));
}

static void dead_list(struct hz_http_request *request, void *arg)
{
    (void)arg;
    list_of(request, (struct hz_api_list){.workflow_id = hz_http_query(request, "workflow"), .dead = true});
}

static void dead_redrive(struct hz_http_request *request, void *arg)
{
    (void)arg;
    struct hz_pending *pending;
    if (hz_idempotency_begin(request, &pending))
        hz_api_dead_redrive(hz_http_param(request, "id"), pending ? hz_idempotency_done : hz_rest_done, pending ? (void *)pending : (void *)request);
}

static void executions_get(struct hz_http_request *request, void *arg)
{
    (void)arg;
    hz_api_executions_get(hz_http_param(request, "id"), hz_rest_done, request);
}

static void executions_nodes(struct hz_http_request *request, void *arg)
{
    (void)arg;
    hz_api_executions_nodes(hz_http_param(request, "id"), hz_rest_done, request);
}

static void executions_cancel(struct hz_http_request *request, void *arg)
{
    (void)arg;
    char reason[160];
    snprintf(reason, sizeof reason, "Detenido por %s", hz_rest_caller(request)->name);
    hz_api_executions_cancel(hz_http_param(request, "id"), reason, hz_rest_done, request);
}

static void crashes_list(struct hz_http_request *request, void *arg)
{
    (void)arg;
    uint64_t limit = LIMIT_DEFAULT, cursor = 0;
    if (hz_rest_number(request, "limit", 1, LIMIT_MAX, &limit) && hz_rest_number(request, "cursor", 0, INT64_MAX, &cursor))
        hz_api_crashes_list(hz_http_query(request, "workflow"), limit, cursor, hz_rest_done, request);
}

static void crashes_get(struct hz_http_request *request, void *arg)
{
    (void)arg;
    hz_api_crashes_get(hz_http_param(request, "id"), hz_rest_done, request);
}

static void parked_list(struct hz_http_request *request, void *arg)
{
    (void)arg;
    hz_api_parked_list(parked_paged, request);
}

static void workflows_release(struct hz_http_request *request, void *arg)
{
    (void)arg;
    hz_api_workflows_release(hz_http_param(request, "id"), hz_rest_done, request);
}

static void manager_get(struct hz_http_request *request, void *arg)
{
    (void)arg;
    hz_api_manager_get(hz_rest_done, request);
}

/* Over the Unix socket alone: it says which program runs from now on. */
static void manager_restart(struct hz_http_request *request, void *arg)
{
    (void)arg;
    json_t *body = hz_http_over_socket(request) ? hz_rest_body(request) : NULL;
    const json_t *drain = json_object_get(body, "drainMs"), *binary = json_object_get(body, "binary");
    if (!hz_http_over_socket(request))
        hz_http_problem(request, 403, "the server is restarted over its Unix socket (horizon restart --manager)");
    else if (body && ((drain && (!json_is_integer(drain) || json_integer_value(drain) < 0 ||
                                        json_integer_value(drain) > DRAIN_MOST_MS)) ||
                             (binary && !json_is_string(binary))))
        hz_http_problem(request, 400, "drainMs is a whole number from 0 to 600000, binary a path");
    else if (body)
        hz_api_manager_restart(json_string_value(binary), drain ? (uint32_t)json_integer_value(drain) : DRAIN_MS,
                hz_rest_done, request);
    json_decref(body);
}

static void nodes_list(struct hz_http_request *request, void *arg)
{
    (void)arg;
    hz_api_nodes_list(nodes_paged, request);
}

static void nodes_get(struct hz_http_request *request, void *arg)
{
    (void)arg;
    hz_api_nodes_get(hz_http_param(request, "type"), hz_rest_done, request);
}

static void health(struct hz_http_request *request, void *arg)
{
    (void)arg;
    hz_api_health(hz_rest_done, request);
}

static void live(struct hz_http_request *request, void *arg)
{
    (void)arg;
    hz_api_live(hz_rest_done, request);
}

/* Not a problem document when it is not ready: what is counted is told either way. */
static void ready_done(void *arg, const struct hz_api_result *result)
{
    struct hz_http_request *request = arg;
    hz_http_respond(request, &(struct hz_http_response){.status = result->status, .type = "application/json",
                                     .body = result->data ? result->data : "", .len = result->len});
}

static void ready(struct hz_http_request *request, void *arg)
{
    (void)arg;
    hz_api_ready(ready_done, request);
}

int hz_rest_init(void)
{
    static const struct {
        const char *method, *pattern, *permission;
        hz_http_handler_fn *fn;
    } routes[] = {
            {"GET", "/api/v1/workers", "workers:list", workers_list},
            {"POST", "/api/v1/workers", "workers:start", workers_start},
            {"GET", "/api/v1/workers/:id", "workers:get", workers_get},
            {"GET", "/api/v1/workers/:id/logs", "workers:logs", workers_logs},
            {"POST", "/api/v1/workers/:id/stop", "workers:stop", workers_stop},
            {"POST", "/api/v1/workers/:id/restart", "workers:restart", workers_restart},
            {"POST", "/api/v1/workers/:id/messages", "workers:send-message", workers_message},
            {"GET", "/api/v1/dashboard", "workers:dashboard", dashboard},
            {"PUT", "/api/v1/workflows/:id", "workflows:update", workflows_put},
            {"POST", "/api/v1/workflows/:id/executions", "workflows:execute", executions_start},
            {"GET", "/api/v1/workflows/:id/executions", "executions:list", executions_list},
            {"GET", "/api/v1/executions", "executions:list", executions_all},
            {"GET", "/api/v1/executions/:id", "executions:get", executions_get},
            {"GET", "/api/v1/executions/:id/nodes", "executions:get", executions_nodes},
            {"POST", "/api/v1/executions/:id/rerun", "executions:rerun", executions_rerun},
            {"POST", "/api/v1/executions/:id/cancel", "executions:cancel", executions_cancel},
            {"GET", "/api/v1/dead", "executions:list", dead_list},
            {"POST", "/api/v1/dead/:id/redrive", "executions:rerun", dead_redrive},
            {"GET", "/api/v1/crashes", "crashes:list", crashes_list},
            {"GET", "/api/v1/crashes/:id", "crashes:get", crashes_get},
            {"GET", "/api/v1/parked", "workflows:list", parked_list},
            {"POST", "/api/v1/workflows/:id/release", "workflows:release", workflows_release},
            {"GET", "/api/v1/manager", "manager:get", manager_get},
            {"POST", "/api/v1/manager/restart", "manager:restart", manager_restart},
            {"GET", "/api/v1/nodes", "nodes:list", nodes_list},
            {"GET", "/api/v1/nodes/:type", "nodes:get", nodes_get},
    };
    int err = hz_http_route_open("GET", "/health", health, NULL);
    if (!err)
        err = hz_http_route_open("GET", "/livez", live, NULL);
    if (!err)
        err = hz_http_route_open("GET", "/readyz", ready, NULL);
    for (size_t i = 0; !err && i < HZ_COUNT_OF(routes); i++)
        err = hz_http_route_for(routes[i].method, routes[i].pattern, routes[i].permission, routes[i].fn, NULL);
    if (!err)
        err = hz_resources_init();
    if (!err)
        err = hz_openapi_init();
    if (!err)
        err = hz_metrics_init();
    if (!err)
        err = hz_api_secrets_init();
    if (!err)
        err = hz_api_history_init();
    if (!err)
        err = hz_api_alerts_init();
    if (!err)
        err = hz_api_access_init();
    if (!err)
        err = hz_api_login_init();
    hz_gate_open();
    return err;
}
