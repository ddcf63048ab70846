/*
 * openapi.c - the description of the REST face in OpenAPI 3.1, made of the routes that are registered: what is served is described, and
 * nothing else. Made once, when it is first asked for.
 */
#include "internal.h"
#include "resources.h"
#include "rest.h"

#include "core/flow/json_text.h"
#include "core/http/http.h"

#include "shm/err.h"

#include <ctype.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define METHOD_MOST 16

/* Of the routes that are no rows of resources.c. query: names with commas between, # before a whole number. */
struct words {
    const char *method, *pattern, *summary, *query;
};
static const struct words words[] = {
        {"GET", "/api/v1/workers", "Workers in creation order", "#limit,cursor,sort,status,workflowId"},
        {"POST", "/api/v1/workers", "Start a worker", NULL},
        {"GET", "/api/v1/workers/:id", "A worker", NULL},
        {"GET", "/api/v1/workers/:id/logs", "Its last lines", "#lines,#after"},
        {"GET", "/api/v1/workers/:id/metrics", "Its samples", "from,to,#step,#limit"},
        {"POST", "/api/v1/workers/:id/stop", "Stop it", NULL},
        {"POST", "/api/v1/workers/:id/restart", "Stop it and start another in its place", NULL},
        {"POST", "/api/v1/workers/:id/messages", "Ask it something", NULL},
        {"GET", "/api/v1/dashboard", "Overview of all workers", NULL},
        {"PUT", "/api/v1/workflows/:id", "Save a flow.json", NULL},
        {"POST", "/api/v1/workflows/:id/executions", "Run a flow", NULL},
        {"GET", "/api/v1/workflows/:id/executions", "Its executions, newest first", "state,kind,#limit,cursor"},
        {"POST", "/api/v1/workflows/:id/release", "Let it run again after it was parked", NULL},
        {"GET", "/api/v1/executions", "Executions, newest first", "workflowId,state,kind,#limit,cursor"},
        {"GET", "/api/v1/executions/:id", "An execution, with its latest progress", NULL},
        {"GET", "/api/v1/executions/:id/nodes", "What each of its nodes did", NULL},
        {"POST", "/api/v1/executions/:id/cancel", "End it", NULL},
        {"POST", "/api/v1/executions/:id/rerun", "Run it again with the same input", NULL},
        {"GET", "/api/v1/dead", "Dead letters, newest first", "workflow,#limit,cursor"},
        {"POST", "/api/v1/dead/:id/redrive", "Run a dead letter again", NULL},
        {"GET", "/api/v1/crashes", "Crash reports, newest first", "workflow,#limit,cursor"},
        {"GET", "/api/v1/crashes/:id", "A crash report", NULL},
        {"GET", "/api/v1/parked", "Workflows that are parked, and why", NULL},
        {"GET", "/api/v1/logs", "Lines that are kept", "workflow,worker,execution,level,from,to,text,#limit,cursor"},
        {"GET", "/api/v1/nodes", "Node types", NULL},
        {"GET", "/api/v1/nodes/:type", "A node type", NULL},
        {"GET", "/api/v1/openapi.json", "This description", NULL},
        {"GET", "/metrics", "Figures for Prometheus", NULL},
        {"GET", "/health", "Is it there", NULL},
        {"GET", "/livez", "Does the process answer", NULL},
        {"GET", "/readyz", "Can it take work", NULL},
};

static json_t *parameter(const char *name, size_t len, const char *where, const char *type)
{
    return json_pack("{s:s%, s:s, s:b, s:{s:s}}", "name", name, len, "in", where, "required", strcmp(where, "path") == 0, "schema", "type", type);
}

static void add_query(json_t *list, const char *names)
{
    for (const char *at = names; at && *at;) {
        size_t size = strcspn(at, ",");
        bool number = at[0] == '#';
        (void)json_array_append_new(list, parameter(at + number, size - number, "query", number ? "integer" : "string"));
        at += size + (at[size] == ',');
    }
}

static json_t *body_of(const char *fields)
{
    json_t *properties = json_object();
    for (const char *at = fields; at && *at;) {
        size_t size = strcspn(at, ",");
        (void)json_object_setn_new(properties, at, size, json_object());
        at += size + (at[size] == ',');
    }
    return json_pack("{s:b, s:{s:{s:{s:s, s:o}}}}", "required", 0, "content", "application/json", "schema", "type", "object", "properties", properties);
}

static json_t *success(const char *pattern, const struct hz_resource *resource)
{
    char text[8];
    const char *type = strcmp(pattern, "/metrics") == 0 ? "text/plain" : "application/json";
    snprintf(text, sizeof text, "%u", resource ? (unsigned)resource->status : 200u);
    json_t *good = json_pack("{s:s}", "description", "Done");
    if (!resource || resource->kind != HZ_RESOURCE_NOTHING)
        (void)json_object_set_new(good, "content", json_pack("{s:{s:{}}}", type, "schema"));
    json_t *responses = json_object();
    if (resource)
        (void)json_object_set_new(responses, text, good);
    else
        (void)json_object_set_new(responses, "2XX", good);
    (void)json_object_set_new(responses, "default", json_pack("{s:s}", "$ref", "#/components/responses/Problem"));
    return responses;
}

static json_t *operation(const char *method, const char *pattern, const char *permission, bool open)
{
    const struct hz_resource *resource = NULL;
    const struct words *said = NULL;
    size_t count;
    const struct hz_resource *resources = hz_resources_table(&count);
    for (size_t i = 0; i < count && !resource; i++)
        if (strcmp(resources[i].method, method) == 0 && strcmp(resources[i].pattern, pattern) == 0)
            resource = &resources[i];
    for (size_t i = 0; i < HZ_COUNT_OF(words) && !said; i++)
        if (strcmp(words[i].method, method) == 0 && strcmp(words[i].pattern, pattern) == 0)
            said = &words[i];
    char id[256], *to = id;
    to += snprintf(id, 8, "%s", method);
    for (const char *p = pattern; *p && to < id + sizeof id - 2; p++)
        *to++ = isalnum((unsigned char)*p) ? *p : '_';
    *to = 0;
    json_t *parameters = json_array();
    for (const char *p = strchr(pattern, ':'); p; p = strchr(p + 1, ':'))
        (void)json_array_append_new(parameters, parameter(p + 1, strcspn(p + 1, "/"), "path", "string"));
    if (resource && resource->kind == HZ_RESOURCE_LIST)
        add_query(parameters, "#limit,cursor,sort");
    add_query(parameters, resource ? resource->query : said ? said->query : NULL);
    json_t *made = json_pack("{s:s, s:s, s:o, s:o}", "operationId", id, "summary", resource ? resource->summary : said ? said->summary : id, "parameters",
            parameters, "responses", success(pattern, resource));
    bool writes = strcmp(method, "GET") != 0 && strcmp(method, "DELETE") != 0;
    if (writes)
        (void)json_object_set_new(made, "requestBody", body_of(resource ? resource->fields : NULL));
    if (open)
        (void)json_object_set_new(made, "security", json_array());
    else if (permission && *permission)
        (void)json_object_set_new(made, "x-permission", json_string(permission));
    return made;
}

static void add_route(void *arg, const char *method, const char *pattern, const char *permission, bool open)
{
    json_t *paths = arg;
    char path[1024], name[METHOD_MOST], *to = path;
    bool ours = strncmp(pattern, "/api/v1/", 8) == 0 || strcmp(pattern, "/metrics") == 0 || strcmp(pattern, "/health") == 0 ||
                strcmp(pattern, "/livez") == 0 || strcmp(pattern, "/readyz") == 0;
    if (!ours || strcmp(method, "*") == 0 || strlen(pattern) + 32 > sizeof path)
        return;
    for (const char *p = pattern; *p; p++) {
        if (*p != ':') {
            *to++ = *p;
            continue;
        }
        size_t len = strcspn(p + 1, "/");
        *to++ = '{';
        memcpy(to, p + 1, len);
        to += len;
        *to++ = '}';
        p += len;
    }
    *to = 0;
    size_t len = 0;
    for (; method[len] && len < sizeof name - 1; len++)
        name[len] = (char)tolower((unsigned char)method[len]);
    name[len] = 0;
    json_t *item = json_object_get(paths, path);
    if (!item) {
        item = json_object();
        (void)json_object_set_new(paths, path, item);
    }
    (void)json_object_set_new(item, name, operation(method, pattern, permission, open));
}

static char *make(size_t *ret_len)
{
    json_t *paths = json_object();
    hz_http_each_route(add_route, paths);
    json_t *problem = json_pack("{s:s, s:{s:{s:{s:s, s:{s:{s:s}, s:{s:s}, s:{s:s}, s:{s:s}}, s:[s, s]}}}}", "description",
            "What went wrong (RFC 9457)", "content", "application/problem+json", "schema", "type", "object", "properties", "type", "type", "string", "title",
            "type", "string", "status", "type", "integer", "detail", "type", "string", "required", "title", "status");
    json_t *schemes = json_pack("{s:{s:s, s:s}, s:{s:s, s:s, s:s}}", "token", "type", "http", "scheme", "bearer", "session", "type", "apiKey", "in", "cookie",
            "name", "horizon");
    json_t *doc = json_pack("{s:s, s:{s:s, s:s}, s:o, s:{s:{s:o}, s:o}, s:[{s:[]}, {s:[]}]}", "openapi", "3.1.0", "info", "title", "Horizon", "version",
            HZ_VERSION, "paths", paths, "components", "responses", "Problem", problem, "securitySchemes", schemes, "security", "token", "session");
    char *text = doc ? hz_json_text_print(doc, 0, ret_len) : NULL;
    json_decref(doc);
    return text;
}

static void describe(struct hz_http_request *request, void *arg)
{
    (void)arg;
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static char *text; /* under the lock until it is there; then it never changes */
    static size_t len;
    pthread_mutex_lock(&lock);
    if (!text)
        text = make(&len);
    pthread_mutex_unlock(&lock);
    if (text)
        hz_http_respond(request, &(struct hz_http_response){.status = 200, .type = "application/json", .body = text, .len = len});
    else
        hz_http_problem(request, 500, hz_err_text(HZ_ENOMEM));
}

int hz_openapi_init(void)
{
    return hz_http_route_for("GET", "/api/v1/openapi.json", "", describe, NULL);
}
