/*
 * resources.c - the REST face of the operations in route.h: parameters and body become their data, what they answer becomes a list, a record or a
 * problem document. Shard's thread.
 */
#include "resources.h"

#include "idempotency.h"
#include "internal.h"
#include "rest.h"
#include "stream.h"

#include "core/flow/json_text.h"
#include "core/http/http.h"

#include "shm/err.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LIMIT_DEFAULT = 100, LIMIT_MOST = 1000 };

#define LIST HZ_RESOURCE_LIST
#define RECORD HZ_RESOURCE_RECORD
#define WHOLE HZ_RESOURCE_WHOLE
#define NOTHING HZ_RESOURCE_NOTHING
static const struct hz_resource table[] = {
        {"GET", "/api/v1/workspaces", "workspaces:list", "workspaces", LIST, 200, NULL, "userId"},
        {"POST", "/api/v1/workspaces", "workspaces:create", "workspace", RECORD, 201, NULL, NULL},
        {"GET", "/api/v1/workspaces/:id", "workspaces:get", "workspace", RECORD, 200, "id", NULL},
        {"PATCH", "/api/v1/workspaces/:id", "workspaces:update", "workspace", RECORD, 200, "id", NULL},
        {"DELETE", "/api/v1/workspaces/:id", "workspaces:delete", NULL, NOTHING, 204, "id", NULL},
        {"GET", "/api/v1/projects", "projects:list", "projects", LIST, 200, NULL, "workspaceId"},
        {"POST", "/api/v1/projects", "projects:create", "project", RECORD, 201, NULL, NULL},
        {"GET", "/api/v1/projects/:id", "projects:get", "project", RECORD, 200, "projectId", "workspaceId"},
        {"PATCH", "/api/v1/projects/:id", "projects:update", "project", RECORD, 200, "id", NULL},
        {"DELETE", "/api/v1/projects/:id", "projects:delete", NULL, NOTHING, 204, "id", NULL},
        {"GET", "/api/v1/workflows", "workflows:all", "workflows", LIST, 200, NULL, "projectId"},
        {"POST", "/api/v1/workflows", "workflows:create", "workflow", RECORD, 201, NULL, NULL},
        {"GET", "/api/v1/workflows/:id", "workflows:get", "workflow", RECORD, 200, "id", "workspaceId"},
        {"PATCH", "/api/v1/workflows/:id", "workflows:update", "workflow", RECORD, 200, "id", NULL},
        {"DELETE", "/api/v1/workflows/:id", "workflows:delete", NULL, NOTHING, 204, "id", NULL},
        {"GET", "/api/v1/workflows/:id/versions", "workflows:getVersions", "versions", LIST, 200, "workflowId", NULL},
        {"POST", "/api/v1/workflows/:id/execute", "workflows:execute", NULL, WHOLE, 202, "workflowId", NULL},
        {"GET", "/api/v1/settings", "settings:get", "settings", RECORD, 200, NULL, "userId"},
        {"PATCH", "/api/v1/settings", "settings:update", "settings", RECORD, 200, NULL, NULL},
        {"GET", "/api/v1/stats", "workers:stats", "stats", RECORD, 200, NULL, NULL},
        {"GET", "/api/v1/node-groups", "nodes:groups", "groups", LIST, 200, NULL, NULL},
        {"GET", "/api/v1/node-stats", "nodes:stats", "stats", RECORD, 200, NULL, NULL},
        {"GET", "/api/v1/events", "events:list", "events", WHOLE, 200, NULL, "kind,workflowId,#cursor,#limit"},
};

const struct hz_resource *hz_resources_table(size_t *ret_count)
{
    *ret_count = HZ_COUNT_OF(table);
    return table;
}

/* ---- lists ---- */
static const json_t *field_of(const json_t *item, const char *name)
{
    return json_is_object(item) ? json_object_get(item, name) : NULL;
}

static bool equals(const json_t *value, const char *text)
{
    char number[64];
    if (json_is_string(value))
        return strcmp(json_string_value(value), text) == 0;
    if (json_is_integer(value))
        snprintf(number, sizeof number, "%lld", (long long)json_integer_value(value));
    else
        snprintf(number, sizeof number, "%s", json_is_true(value) ? "true" : json_is_false(value) ? "false" : "null");
    return strcmp(number, text) == 0;
}

static int compare(const json_t *a, const json_t *b)
{
    if (json_is_number(a) && json_is_number(b)) {
        double x = json_number_value(a), y = json_number_value(b);
        return (x > y) - (x < y);
    }
    if (json_is_string(a) && json_is_string(b))
        return strcmp(json_string_value(a), json_string_value(b));
    return (a && !json_is_null(a)) - (b && !json_is_null(b));
}

struct order {
    json_t *item;
    const json_t *key;
    size_t at;
    bool down;
};

static int by_key(const void *x, const void *y)
{
    const struct order *a = x, *b = y;
    int way = compare(a->key, b->key);
    return way ? (a->down ? -way : way) : (a->at > b->at) - (a->at < b->at);
}

static json_t *sorted(json_t *list, const char *sort)
{
    size_t count = json_array_size(list);
    struct order *order = calloc(count + 1, sizeof *order);
    json_t *to = order ? json_array() : NULL;
    bool down = sort[0] == '-';
    for (size_t i = 0; to && i < count; i++)
        order[i] = (struct order){json_array_get(list, i), field_of(json_array_get(list, i), sort + down), i, down};
    if (to)
        qsort(order, count, sizeof *order, by_key);
    for (size_t i = 0; to && i < count; i++)
        (void)json_array_append(to, order[i].item);
    free(order);
    json_decref(list);
    return to;
}

/* Is `name` one of a list of names with commas between? */
static bool is_among(const char *names, const char *name, size_t len)
{
    for (const char *at = names; at && *at;) {
        size_t size = strcspn(at, ",");
        const char *plain = at[0] == '#' ? at + 1 : at;
        if ((size_t)(at + size - plain) == len && strncmp(plain, name, len) == 0)
            return true;
        at += size + (at[size] == ',');
    }
    return false;
}

static json_t *filtered(struct hz_http_request *request, json_t *list, const char *taken)
{
    const char *query = hz_http_raw_query(request);
    while (*query) {
        size_t size = strcspn(query, "&"), len = strcspn(query, "=&");
        char name[64];
        snprintf(name, sizeof name, "%.*s", (int)HZ_MIN(len, sizeof name - 1), query);
        const char *value = hz_http_query(request, name);
        if (value && !is_among("limit,cursor,sort", name, strlen(name)) && !is_among(taken, name, strlen(name)))
            for (size_t i = json_array_size(list); i-- > 0;)
                if (!field_of(json_array_get(list, i), name) || !equals(field_of(json_array_get(list, i), name), value))
                    (void)json_array_remove(list, i);
        query += size + (query[size] == '&');
    }
    return list;
}

json_t *hz_resources_page(struct hz_http_request *request, const char *plural, json_t *given, const char *taken)
{
    const char *sort = hz_http_query(request, "sort"), *cursor = hz_http_query(request, "cursor");
    uint64_t limit = LIMIT_DEFAULT, from = 0;
    char *end = NULL;
    if (cursor) {
        from = cursor[0] == 'p' && isdigit((unsigned char)cursor[1]) ? strtoull(cursor + 1, &end, 10) : 0;
        if (!end || *end) {
            json_decref(given);
            hz_http_problem(request, 400, "cursor: expected the `next` of the page before");
            return NULL;
        }
    }
    if (!hz_rest_number(request, "limit", 1, LIMIT_MOST, &limit)) {
        json_decref(given);
        return NULL;
    }
    json_t *list = json_copy(given), *page = json_array();
    json_decref(given);
    list = list ? filtered(request, list, taken) : NULL;
    if (list && sort && *sort)
        list = sorted(list, sort);
    size_t count = json_array_size(list), to = (size_t)HZ_MIN((uint64_t)count, from + limit);
    for (size_t i = (size_t)HZ_MIN(from, (uint64_t)count); i < to; i++)
        (void)json_array_append(page, json_array_get(list, i));
    char next[32];
    snprintf(next, sizeof next, "p%zu", to);
    json_decref(list);
    return json_pack("{s:o, s:o}", plural, page, "next", to < count ? json_string(next) : json_null());
}

/* ---- answers ---- */
struct asking {
    struct hz_http_request *request;
    const struct hz_resource *resource;
    struct hz_pending *pending; /* has an Idempotency-Key; NULL */
};

/* The answer of what was started, kept for its key. body NULL: it failed, error says why. */
static void respond_once(struct hz_pending *pending, uint32_t status, json_t *body, const char *error)
{
    size_t len = 0;
    char *text = body ? hz_json_text_print(body, 0, &len) : NULL;
    struct hz_api_result result = {.status = status, .data = text, .len = len, .error = error};
    if (body && !text)
        result = (struct hz_api_result){.status = 500, .error = hz_err_text(HZ_ENOMEM)};
    hz_idempotency_done(pending, &result);
    free(text);
}

static void respond(struct hz_http_request *request, const struct hz_resource *resource, json_t *body, uint64_t revision)
{
    char headers[512] = "";
    size_t len = 0;
    char *text = body ? hz_json_text_print(body, 0, &len) : NULL;
    const char *id = json_string_value(json_object_get(body, "id"));
    if (revision)
        snprintf(headers, sizeof headers, "ETag: \"r%llu\"\n", (unsigned long long)revision);
    if (resource->status == 201 && id) {
        snprintf(headers + strlen(headers), sizeof headers - strlen(headers), "Location: %s/%s\n", resource->pattern, id);
        hz_rest_made(request, id);
    }
    if (text)
        hz_http_respond(request, &(struct hz_http_response){.status = resource->status, .type = "application/json", .body = text, .len = len,
                                         .headers = headers, .headers_len = strlen(headers)});
    else
        hz_http_problem(request, 500, hz_err_text(HZ_ENOMEM));
    free(text);
}

static void on_done(void *arg, const struct hz_route_answer *answer)
{
    struct asking *asking = arg;
    struct hz_http_request *request = asking->request;
    const struct hz_resource *resource = asking->resource;
    struct hz_pending *pending = asking->pending;
    free(asking);
    json_t *object = answer->object ? json_incref(answer->object) : hz_json_text_read(answer->text, answer->len);
    json_t *member = resource->member ? json_object_get(object, resource->member) : NULL, *body = NULL;
    if (answer->status < 200 || answer->status > 299) {
        const char *message = json_string_value(json_object_get(object, "message"));
        const char *error = answer->detail ? answer->detail : message ? message : hz_http_reason(answer->status);
        if (pending)
            respond_once(pending, answer->status, NULL, error);
        else
            hz_http_problem(request, answer->status, error);
    } else if (resource->kind == HZ_RESOURCE_NOTHING) {
        hz_http_respond(request, &(struct hz_http_response){.status = resource->status});
    } else if (resource->kind == HZ_RESOURCE_LIST) {
        body = hz_resources_page(request, resource->member, json_incref(member), resource->query);
        if (body)
            respond(request, resource, body, 0);
    } else {
        body = json_copy(resource->kind == HZ_RESOURCE_WHOLE ? object : member);
        if (resource->kind == HZ_RESOURCE_WHOLE)
            (void)json_object_del(body, "success");
        if (pending)
            respond_once(pending, resource->status, body, NULL);
        else
            respond(request, resource, body, answer->revision);
    }
    json_decref(body);
    json_decref(object);
}

bool hz_resources_precondition(struct hz_http_request *request, uint64_t *ret)
{
    const char *match = hz_http_header(request, "If-Match");
    char *end = NULL;
    *ret = 0;
    if (!match || strcmp(match, "*") == 0)
        return true;
    if (strncmp(match, "\"r", 2) == 0)
        *ret = strtoull(match + 2, &end, 10);
    if (*ret && end && strcmp(end, "\"") == 0)
        return true;
    hz_http_problem(request, 412, "If-Match names no version that there is");
    return false;
}

static void add_query(struct hz_http_request *request, const char *names, json_t *data)
{
    for (const char *at = names; at && *at;) {
        size_t size = strcspn(at, ",");
        bool number = at[0] == '#';
        char name[64];
        snprintf(name, sizeof name, "%.*s", (int)(size - number), at + number);
        const char *value = hz_http_query(request, name);
        if (value)
            (void)json_object_set_new(data, name, number ? json_integer(strtoll(value, NULL, 10)) : json_string(value));
        at += size + (at[size] == ',');
    }
}

void hz_resources_handle(struct hz_http_request *request, void *arg)
{
    const struct hz_resource *resource = arg;
    const struct hz_route *route = hz_route_find(resource->operation);
    struct hz_route_work how = {.anywhere = true};
    struct asking *asking;
    bool reads = strcmp(resource->method, "GET") == 0;
    json_t *data = reads ? json_object() : hz_rest_body(request);
    if (!data)
        return;
    if (resource->id)
        (void)json_object_set_new(data, resource->id, json_string(hz_http_param(request, "id")));
    add_query(request, resource->query, data);
    if (!reads && strcmp(resource->method, "POST") != 0 && !hz_resources_precondition(request, &how.if_revision)) {
        json_decref(data);
        return;
    }
    struct hz_pending *pending = NULL;
    bool starts = resource->kind == HZ_RESOURCE_WHOLE && strcmp(resource->method, "POST") == 0;
    if (starts && !hz_idempotency_begin(request, &pending)) {
        json_decref(data);
        return;
    }
    if (!route || !(asking = calloc(1, sizeof *asking))) {
        hz_idempotency_drop(pending);
        hz_http_problem(request, 500, hz_err_text(HZ_ENOMEM));
    } else {
        *asking = (struct asking){request, resource, pending};
        hz_route_start(route, &(struct hz_route_call){.caller = hz_rest_caller(request), .data = data, .done = on_done, .arg = asking}, &how);
    }
    json_decref(data);
}

int hz_resources_init(void)
{
    int err = 0;
    for (size_t i = 0; !err && i < HZ_COUNT_OF(table); i++) {
        const struct hz_route *route = hz_route_find(table[i].operation);
        HZ_ASSERT(route != NULL && route->permission != NULL);
        if (strcmp(table[i].operation, "events:list") == 0)
            err = hz_stream_init(&table[i]);
        else
            err = hz_http_route_for(table[i].method, table[i].pattern, route->permission, hz_resources_handle, (void *)(uintptr_t)&table[i]);
    }
    return err;
}
