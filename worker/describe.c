/* describe.c - a node's descriptor as JSON. Worker (answers to the manager) and probe. */
#include "describe.h"

#include <stdlib.h>
#include <string.h>

static json_t *text(const char *s)
{
    return json_string(s ? s : "");
}

static json_t *names(const char *const *list)
{
    json_t *array = json_array();
    for (; array && list && *list; list++)
        if (json_array_append_new(array, json_string(*list)) != 0) {
            json_decref(array);
            return NULL;
        }
    return array;
}

static json_t *parse(const char *json)
{
    return json ? json_loads(json, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL) : json_null();
}

static json_t *describe_property(const struct hz_property *property)
{
    json_t *object = json_pack("{s:o?, s:o?, s:o?}", "name", text(property->name), "type", text(property->type), "value",
            parse(property->value));
    json_t *options = property->options ? parse(property->options) : NULL, *extra = property->extra ? parse(property->extra) : NULL;
    bool ok = object && (!property->options || options) && (!property->extra || extra);
    if (ok && options)
        ok = json_object_set(object, "options", options) == 0;
    if (ok && extra)
        ok = json_object_update_missing(object, extra) == 0;
    json_decref(options);
    json_decref(extra);
    if (ok)
        return object;
    json_decref(object);
    return NULL;
}

static json_t *describe_properties(const struct hz_loaded *loaded)
{
    json_t *object = json_object();
    const char *at = (const char *)loaded->desc->properties;
    for (; object && at; at += loaded->property_size) {
        const struct hz_property *property = (const struct hz_property *)(const void *)at;
        if (!property->key)
            break;
        if (json_object_set_new(object, property->key, describe_property(property)) != 0) {
            json_decref(object);
            return NULL;
        }
    }
    return object;
}

static json_t *describe_info(const struct hz_node_desc *desc)
{
    json_t *info = json_pack("{s:o?, s:o?, s:o?, s:o?, s:o?, s:{s:o?, s:o?}}", "name", text(desc->title), "desc", text(desc->desc),
            "icon", text(desc->icon), "group", text(desc->group), "color", text(desc->color), "connectors", "inputs",
            names(desc->inputs), "outputs", names(desc->outputs));
    if (info && (desc->flags & HZ_NODE_TRIGGER) != 0)
        (void)json_object_set_new(info, "isTrigger", json_true());
    if (info && (desc->flags & HZ_NODE_SINGLETON) != 0)
        (void)json_object_set_new(info, "isSingleton", json_true());
    return info;
}

json_t *hz_describe_node(const struct hz_loaded *loaded, bool catalog)
{
    const struct hz_node_desc *desc = loaded->desc;
    json_t *object = json_pack("{s:o?, s:o?, s:o?, s:[], s:o?, s:o?}", "type", text(desc->type), "info", describe_info(desc),
            "group", text(desc->group), "dependencies", "properties", describe_properties(loaded), "typeDescription",
            text(desc->group));
    json_t *extra = NULL;
    if (object && catalog)
        extra = json_pack("{s:I, s:I, s:o?, s:b, s:o?, s:o?, s:o?}", "flags", (json_int_t)desc->flags, "caps",
                (json_int_t)desc->caps, "file", text(loaded->file), "trusted", (int)loaded->trusted, "version",
                text(desc->version), "author", text(desc->author), "license", text(desc->license));
    if (!object || (catalog && (!extra || json_object_update(object, extra) != 0))) {
        json_decref(object);
        object = NULL;
    }
    json_decref(extra);
    return object;
}
