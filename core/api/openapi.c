/*
 * openapi.c - the description of the REST face in OpenAPI 3.1: paths, methods and permissions from the routes that are registered, words and
 * shapes from openapi.json beside this file. Made once, when it is first asked for.
 *
 * openapi.json: `schemas` by name; `operations` by "METHOD pattern" with summary, query, headers, body, answers by status (null: no body),
 * problems (statuses beside those of every operation), media and bodyMedia (application/json). A shape is
 *   "string" "integer" "number" "boolean" "object" "any"; "count" (a whole number from 0), "time", "uuid"; "a|b" one of these texts;
 *   "Name" of `schemas`; "[shape]" "{shape}" a list, an object of any names; "string 1..9", "integer 1..9" bounds, the upper one may lack;
 *   shape + "?": or null; [shape] as "[shape]"; {"$map": shape}, {"$any": [shapes]}; else an object: names to shapes, name + "?": may lack.
 */
#include "internal.h"
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

static const char words_text[] = {
#include "openapi.inc"
};

/* ---- shapes ---- */
static json_t *shape_of(const json_t *given);

static json_t *or_null(json_t *schema)
{
    json_t *type = json_object_get(schema, "type"), *names = json_object_get(schema, "enum");
    if (!type)
        return json_pack("{s:[o, {s:s}]}", "anyOf", schema, "type", "null");
    (void)json_object_set_new(schema, "type", json_pack("[O, s]", type, "null"));
    if (names)
        (void)json_array_append_new(names, json_null());
    return schema;
}

static json_t *one_of(const char *text, size_t len)
{
    json_t *names = json_array();
    for (size_t at = 0; at <= len;) {
        const char *bar = memchr(text + at, '|', len - at);
        size_t size = bar ? (size_t)(bar - text) - at : len - at;
        (void)json_array_append_new(names, json_stringn(text + at, size));
        at += size + 1;
    }
    return json_pack("{s:s, s:o}", "type", "string", "enum", names);
}

/* "string 1..9" */
static json_t *bounded(const char *text, size_t len)
{
    const char *space = memchr(text, ' ', len);
    size_t name = space ? (size_t)(space - text) : len;
    json_t *schema = json_pack("{s:s%}", "type", text, name);
    bool is_text = name == 6 && memcmp(text, "string", 6) == 0;
    if (!space)
        return schema;
    char *end;
    long long lowest = strtoll(space + 1, &end, 10);
    (void)json_object_set_new(schema, is_text ? "minLength" : "minimum", json_integer(lowest));
    if (strncmp(end, "..", 2) == 0 && isdigit((unsigned char)end[2]))
        (void)json_object_set_new(schema, is_text ? "maxLength" : "maximum", json_integer(strtoll(end + 2, NULL, 10)));
    return schema;
}

static json_t *text_shape(const char *text, size_t len)
{
    static const struct {
        const char *name, *type, *format;
    } formats[] = {{"time", "string", "date-time"}, {"uuid", "string", "uuid"}};
    if (len > 1 && text[len - 1] == '?')
        return or_null(text_shape(text, len - 1));
    if (text[0] == '[')
        return json_pack("{s:s, s:o}", "type", "array", "items", text_shape(text + 1, len - 2));
    if (text[0] == '{')
        return json_pack("{s:s, s:o}", "type", "object", "additionalProperties", text_shape(text + 1, len - 2));
    if (memchr(text, '|', len))
        return one_of(text, len);
    if (isupper((unsigned char)text[0]))
        return json_pack("{s:s+%}", "$ref", "#/components/schemas/", text, len);
    for (size_t i = 0; i < HZ_COUNT_OF(formats); i++)
        if (strlen(formats[i].name) == len && memcmp(formats[i].name, text, len) == 0)
            return json_pack("{s:s, s:s}", "type", formats[i].type, "format", formats[i].format);
    if (len == 5 && memcmp(text, "count", 5) == 0)
        return json_pack("{s:s, s:i}", "type", "integer", "minimum", 0);
    if (len == 3 && memcmp(text, "any", 3) == 0)
        return json_object();
    return bounded(text, len);
}

static json_t *object_shape(const json_t *given)
{
    json_t *properties = json_object(), *required = json_array(), *schema = json_pack("{s:s}", "type", "object"), *value;
    const char *key;
    json_object_foreach((json_t *)(uintptr_t)given, key, value) {
        size_t len = strlen(key);
        bool may_lack = len > 1 && key[len - 1] == '?';
        (void)json_object_setn_new(properties, key, len - may_lack, shape_of(value));
        if (!may_lack)
            (void)json_array_append_new(required, json_string(key));
    }
    if (json_array_size(required) > 0)
        (void)json_object_set(schema, "required", required);
    json_decref(required);
    (void)json_object_set_new(schema, "properties", properties);
    return schema;
}

static json_t *shape_of(const json_t *given)
{
    if (json_is_string(given))
        return text_shape(json_string_value(given), json_string_length(given));
    if (json_is_array(given))
        return json_pack("{s:s, s:o}", "type", "array", "items", shape_of(json_array_get(given, 0)));
    const json_t *map = json_object_get(given, "$map"), *any = json_object_get(given, "$any"), *one;
    if (map)
        return json_pack("{s:s, s:o}", "type", "object", "additionalProperties", shape_of(map));
    if (!any)
        return object_shape(given);
    json_t *list = json_array();
    size_t i;
    json_array_foreach(any, i, one)
        (void)json_array_append_new(list, shape_of(one));
    return json_pack("{s:o}", "anyOf", list);
}

/* ---- operations ---- */
static json_t *parameter(const char *name, size_t len, const char *where, json_t *schema)
{
    return json_pack("{s:s%, s:s, s:b, s:o}", "name", name, len, "in", where, "required", strcmp(where, "path") == 0, "schema", schema);
}

static void add_parameters(json_t *list, const char *where, const json_t *named)
{
    const char *name;
    json_t *shape;
    json_object_foreach((json_t *)(uintptr_t)named, name, shape)
        (void)json_array_append_new(list, parameter(name, strlen(name), where, shape_of(shape)));
}

static json_t *content(const json_t *media, const json_t *shape)
{
    const char *type = json_is_string(media) ? json_string_value(media) : "application/json";
    return json_pack("{s:{s:o}}", type, "schema", shape_of(shape));
}

static void add_problem(json_t *responses, json_int_t status)
{
    char text[24];
    snprintf(text, sizeof text, "%lld", (long long)status);
    if (!json_object_get(responses, text))
        (void)json_object_set_new(responses, text, json_pack("{s:s}", "$ref", "#/components/responses/Problem"));
}

static json_t *responses_of(const json_t *said, bool open)
{
    static const int everywhere[] = {400, 401, 403, 404, 413, 429, 503};
    json_t *responses = json_object(), *shape;
    const char *status;
    size_t i;
    json_object_foreach(json_object_get(said, "answers"), status, shape) {
        json_t *good = json_pack("{s:s}", "description", hz_http_reason((uint32_t)atoi(status)));
        if (!json_is_null(shape))
            (void)json_object_set_new(good, "content", content(json_object_get(said, "media"), shape));
        (void)json_object_set_new(responses, status, good);
    }
    for (i = 0; i < HZ_COUNT_OF(everywhere) && !open; i++)
        add_problem(responses, everywhere[i]);
    json_array_foreach(json_object_get(said, "problems"), i, shape)
        add_problem(responses, json_integer_value(shape));
    (void)json_object_set_new(responses, "default", json_pack("{s:s}", "$ref", "#/components/responses/Problem"));
    return responses;
}

static json_t *operation(const json_t *words, const char *method, const char *pattern, const char *permission, bool open)
{
    char name[1200], id[256], *to = id;
    snprintf(name, sizeof name, "%s %s", method, pattern);
    const json_t *said = json_object_get(json_object_get(words, "operations"), name), *body = json_object_get(said, "body");
    to += snprintf(id, METHOD_MOST, "%s", method);
    for (const char *p = pattern; *p && to < id + sizeof id - 2; p++)
        *to++ = isalnum((unsigned char)*p) ? *p : '_';
    *to = 0;
    json_t *parameters = json_array(), *summary = json_object_get(said, "summary");
    for (const char *p = strchr(pattern, ':'); p; p = strchr(p + 1, ':'))
        (void)json_array_append_new(parameters, parameter(p + 1, strcspn(p + 1, "/"), "path", json_pack("{s:s, s:i}", "type", "string", "minLength", 1)));
    add_parameters(parameters, "query", json_object_get(said, "query"));
    add_parameters(parameters, "header", json_object_get(said, "headers"));
    json_t *made = json_pack("{s:s, s:o, s:o, s:o}", "operationId", id, "summary", summary ? json_incref(summary) : json_string(id), "parameters",
            parameters, "responses", responses_of(said, open));
    if (body)
        (void)json_object_set_new(made, "requestBody", json_pack("{s:o}", "content", content(json_object_get(said, "bodyMedia"), body)));
    if (open)
        (void)json_object_set_new(made, "security", json_array());
    else if (permission && *permission)
        (void)json_object_set_new(made, "x-permission", json_string(permission));
    return made;
}

struct making {
    json_t *words, *paths;
};

static void add_route(void *arg, const char *method, const char *pattern, const char *permission, bool open)
{
    struct making *making = arg;
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
    json_t *item = json_object_get(making->paths, path);
    if (!item) {
        item = json_object();
        (void)json_object_set_new(making->paths, path, item);
    }
    (void)json_object_set_new(item, name, operation(making->words, method, pattern, permission, open));
}

static char *make(size_t *ret_len)
{
    struct making making = {json_loadb(words_text, sizeof words_text - 1, 0, NULL), json_object()};
    json_t *schemas = json_object(), *shape;
    const char *name;
    char cookie[32];
    json_object_foreach(json_object_get(making.words, "schemas"), name, shape)
        (void)json_object_set_new(schemas, name, shape_of(shape));
    hz_http_each_route(add_route, &making);
    snprintf(cookie, sizeof cookie, "horizon_%u", (unsigned)hz_http_port());
    json_t *problem = json_pack("{s:s, s:{s:{s:{s:s}}}}", "description", "What went wrong (RFC 9457)", "content", "application/problem+json", "schema",
            "$ref", "#/components/schemas/Problem");
    json_t *schemes = json_pack("{s:{s:s, s:s}, s:{s:s, s:s, s:s}}", "token", "type", "http", "scheme", "bearer", "session", "type", "apiKey", "in", "cookie",
            "name", cookie);
    json_t *info = json_pack("{s:s, s:s, s:{s:s, s:s}}", "title", "Horizon", "version", HZ_VERSION, "license", "name", "Apache 2.0", "identifier", "Apache-2.0");
    json_t *doc = json_pack("{s:s, s:o, s:[{s:s}], s:o, s:{s:o, s:{s:o}, s:o}, s:[{s:[]}, {s:[]}]}", "openapi", "3.1.0", "info", info, "servers", "url", "/",
            "paths", making.paths, "components", "schemas", schemas, "responses", "Problem", problem, "securitySchemes", schemes, "security", "token", "session");
    char *text = doc ? hz_json_text_print(doc, 0, ret_len) : NULL;
    json_decref(doc);
    json_decref(making.words);
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
