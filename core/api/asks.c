/*
 * asks.c - what workers may ask the manager. A list of routes, everything else does not exist for them; the answer is
 * the whole acknowledgement object. Any shard: the worker's.
 */
#include "internal.h"

#include "core/catalog.h"
#include "core/flow/json_text.h"
#include "core/scheduler.h"
#include "core/secrets.h"

#include "shm/err.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DATA_DEPTH = 100 };

struct ask {
    const struct hz_worker_info *worker;
    const json_t *data; /* an object, perhaps empty */
    hz_ask_done_fn *done;
    void *ctx;
};

static void answer(const struct ask *ask, struct hz_json *json)
{
    if (json->failed)
        ask->done(ask->ctx, false, "", 0, "Error interno del servidor");
    else
        ask->done(ask->ctx, true, json->data, json->len, "");
    hz_json_fini(json);
}

static void refuse(const struct ask *ask, const char *message)
{
    struct hz_json json = {0};
    hz_json_open(&json, '{');
    HZ_JSON_KEY(&json, "success");
    hz_json_bool(&json, false);
    HZ_JSON_KEY(&json, "message");
    hz_json_text(&json, message);
    hz_json_close(&json, '}');
    ask->done(ask->ctx, false, json.failed ? "" : json.data, json.failed ? 0 : json.len, message);
    hz_json_fini(&json);
}

/* {"success":true,"<key>":<value>}; takes value. */
static void answer_member(const struct ask *ask, const char *key, json_t *value)
{
    struct hz_json json = {0};
    hz_json_open(&json, '{');
    HZ_JSON_KEY(&json, "success");
    hz_json_bool(&json, true);
    hz_json_key(&json, key, strlen(key));
    hz_json_value(&json, value);
    hz_json_close(&json, '}');
    json_decref(value);
    answer(ask, &json);
}

/* ---- nodes: the text of the whole list is made once for each version of the catalogue ---- */
struct list_text {
    uint32_t references; /* guarded by list.lock */
    uint64_t version;
    size_t len;
    char *data;
};
static struct {
    pthread_mutex_t lock;
    struct list_text *current;
} list = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void list_unref(struct list_text *text)
{
    pthread_mutex_lock(&list.lock);
    bool last = text && --text->references == 0;
    pthread_mutex_unlock(&list.lock);
    if (last) {
        free(text->data);
        free(text);
    }
}

static struct list_text *list_make(uint64_t version)
{
    struct hz_json json = {0};
    json_t *types = hz_catalog_public();
    hz_json_open(&json, '{');
    HZ_JSON_KEY(&json, "success");
    hz_json_bool(&json, true);
    HZ_JSON_KEY(&json, "nodes");
    hz_json_value(&json, types);
    hz_json_close(&json, '}');
    json_decref(types);
    struct list_text *text = calloc(1, sizeof *text);
    if (!text) {
        hz_json_fini(&json);
        return NULL;
    }
    text->version = version;
    text->data = hz_json_take(&json, &text->len);
    if (!text->data) {
        free(text);
        return NULL;
    }
    return text;
}

/* A reference, or NULL: out of memory. */
static struct list_text *list_ref(void)
{
    uint64_t version = hz_catalog_version();
    pthread_mutex_lock(&list.lock);
    struct list_text *text = list.current, *old = NULL;
    if (!text || text->version != version) {
        text = list_make(version);
        if (text) {
            text->references = 1; /* list.current's */
            old = list.current;
            list.current = text;
        }
    }
    if (text)
        text->references++;
    pthread_mutex_unlock(&list.lock);
    if (old)
        list_unref(old);
    return text;
}

static void nodes_list(const struct ask *ask)
{
    struct list_text *text = list_ref();
    if (text)
        ask->done(ask->ctx, true, text->data, text->len, "");
    else
        ask->done(ask->ctx, false, "", 0, "Error interno del servidor");
    if (text)
        list_unref(text);
}

static void nodes_get(const struct ask *ask)
{
    const char *type = json_string_value(json_object_get(ask->data, "type"));
    json_t *types = hz_catalog_public(), *node = type ? json_object_get(types, type) : NULL;
    if (!type || !*type)
        refuse(ask, "Tipo de nodo requerido");
    else if (!node)
        refuse(ask, "Tipo de nodo no encontrado");
    else
        answer_member(ask, "node", json_incref(node));
    json_decref(types);
}

/* ---- the rest ---- */
static void workflows_get(const struct ask *ask)
{
    const char *id = json_string_value(json_object_get(ask->data, "id"));
    json_t *record = id && hz_workflows_valid_id(id, strlen(id)) ? hz_workflows_record(id) : NULL;
    if (record)
        answer_member(ask, "workflow", record);
    else
        refuse(ask, "Workflow no encontrado");
}

static void system_health(const struct ask *ask)
{
    struct hz_json json = {0};
    hz_health_worker(&json);
    answer(ask, &json);
}

static void worker_environment(const struct ask *ask)
{
    const char *key = json_string_value(json_object_get(ask->data, "key"));
    struct hz_workflow *workflow = NULL;
    char *text = NULL;
    const char *version = ask->worker->version[0] ? ask->worker->version : NULL;
    json_t *envs = json_object();
    if (hz_workflows_get(ask->worker->workflow_id, version, &workflow, &text) == 0) {
        for (char **pair = workflow->env; pair && pair[0] && pair[1]; pair += 2)
            if (!key || strcmp(key, pair[0]) == 0)
                json_object_set_new(envs, pair[0], hz_json_string_of(pair[1], strlen(pair[1])));
        hz_workflow_unref(&workflow);
    }
    free(text);
    answer_member(ask, "envs", envs);
}

/* Only what the worker's own flow names. A value that is a JSON object is handed over as one. */
static void credentials_get(const struct ask *ask)
{
    const char *id = json_string_value(json_object_get(ask->data, "id"));
    const char *version = ask->worker->version[0] ? ask->worker->version : NULL;
    struct hz_workflow *workflow = NULL;
    struct hz_secret_set *set = NULL;
    char *text = NULL;
    bool named = false;
    if (id && hz_workflows_get(ask->worker->workflow_id, version, &workflow, &text) == 0) {
        for (char **name = workflow->secrets; name && *name; name++)
            named |= strcmp(*name, id) == 0;
        hz_workflow_unref(&workflow);
    }
    free(text);
    char *names[2] = {(char *)(uintptr_t)id, NULL};
    if (!named || hz_secrets_open(names, ask->worker->workflow_id, &set) || !set || set->count == 0) {
        refuse(ask, "Credencial no encontrada");
        hz_secrets_close(&set);
        return;
    }
    const char *value = set->pairs[1];
    json_t *result = json_loads(value, 0, NULL);
    if (!json_is_object(result)) {
        json_decref(result);
        result = json_pack("{s:s}", "value", value);
    }
    json_t *whole = json_pack("{s:b, s:s, s:o?}", "success", 1, "name", id, "result", result);
    struct hz_json json = {0};
    hz_json_value(&json, whole);
    json_decref(whole);
    hz_secrets_close(&set);
    answer(ask, &json);
}

/* Reports are told, not asked; who asks all the same hears that they came. */
static void taken(const struct ask *ask)
{
    static const char data[] = "{\"success\":true}";
    ask->done(ask->ctx, true, data, sizeof data - 1, "");
}

static void on_ask(const struct hz_worker_info *worker, const char *route, const char *data, size_t len,
        hz_ask_done_fn *done, void *ctx)
{
    static const struct {
        const char *route;
        void (*run)(const struct ask *ask);
    } routes[] = {
            {"nodes:list", nodes_list},
            {"nodes:get", nodes_get},
            {"workflows:get", workflows_get},
            {"system:health", system_health},
            {"worker:environment", worker_environment},
            {"environment:get", worker_environment},
            {"credentials:get", credentials_get},
            {"worker:log", taken},
            {"worker:logs", taken},
            {"worker:progress", taken},
            {"worker:metrics", taken},
            {"debug:send", taken},
    };
    for (size_t i = 0; i < HZ_COUNT_OF(routes); i++) {
        if (strcmp(routes[i].route, route) != 0)
            continue;
        struct hz_json_text_error error;
        json_t *object = len ? hz_json_text_parse(data, len, DATA_DEPTH, false, &error) : NULL;
        routes[i].run(&(struct ask){worker, object, done, ctx}); /* no object: no member is found in it */
        json_decref(object);
        return;
    }
    char message[4200];
    snprintf(message, sizeof message, "Ruta no encontrada: %.4096s", route);
    done(ctx, false, "", 0, message);
}

int hz_asks_init(void)
{
    hz_scheduler_on_ask(on_ask);
    return 0;
}
