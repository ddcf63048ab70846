/*
 * model.c - small readers over a parsed flow and the public accessors. Nothing here checks a file (parse.c, check.c).
 * Manager and `horizon check`; read-only once parsed, so any thread.
 */
#include "model.h"
#include <stdlib.h>
#include <string.h>

json_t *hz_model_json(const json_t *value)
{
    union {
        const json_t *shown;
        json_t *owned;
    } both = {value};

    return both.owned;
}

const json_t *hz_model_get(const json_t *object, const char *key)
{
    return object ? json_object_get(object, key) : NULL;
}

const char *hz_model_text(const json_t *object, const char *key, const char *fallback)
{
    const json_t *value = hz_model_get(object, key);
    const char *text = json_string_value(value);

    return text && strlen(text) == json_string_length(value) ? text : fallback;
}

uint32_t hz_model_find(const struct hz_flow *flow, const char *id)
{
    const json_t *index = json_object_get(flow->by_id, id);

    return index ? (uint32_t)json_integer_value(index) : HZ_MODEL_NONE;
}

const char *hz_model_type_name(const json_t *value)
{
    if (!value)
        return "missing";
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "an array";
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
    case JSON_REAL:
        return "a number";
    case JSON_TRUE:
        return "true";
    case JSON_FALSE:
        return "false";
    case JSON_NULL:
        return "null";
    }
    return "missing";
}

const char *hz_flow_uid(const struct hz_flow *flow)
{
    HZ_CHECK_OBJ(flow, HZ_MODEL_MAGIC);
    return flow->uid;
}

const char *hz_flow_name(const struct hz_flow *flow)
{
    HZ_CHECK_OBJ(flow, HZ_MODEL_MAGIC);
    return flow->name;
}

const char *hz_flow_version(const struct hz_flow *flow)
{
    HZ_CHECK_OBJ(flow, HZ_MODEL_MAGIC);
    return flow->version;
}

const json_t *hz_flow_json(const struct hz_flow *flow)
{
    HZ_CHECK_OBJ(flow, HZ_MODEL_MAGIC);
    return flow->root;
}

void hz_flow_free(struct hz_flow **flow)
{
    struct hz_flow *gone = *flow;

    if (!gone)
        return;
    HZ_CHECK_OBJ(gone, HZ_MODEL_MAGIC);
    *flow = NULL;
    gone->magic = 0;
    json_decref(gone->root);
    json_decref(gone->by_id);
    free(gone->nodes);
    free(gone->links);
    free(gone);
}
