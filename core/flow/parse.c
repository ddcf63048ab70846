/*
 * parse.c - bytes of a flow.json to a model: JSON, shape of the top level, of nodes and of connections. What needs the
 * node catalogue is check.c's business. Bytes are hostile; every bound is in limits.h. Manager and `horizon check`.
 */
#include "json_text.h"
#include "limits.h"
#include "model.h"
#include "report.h"
#include "shm/err.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct parse {
    struct hz_flow *flow;
    struct hz_flow_report *report;
};

/* An error that belongs to no node; `property` is a path in the file. */
static void HZ_PRINTF(4, 5)
        file_error(struct parse *parse, const char *property, const char *expected, const char *format, ...)
{
    struct hz_report_place place = {.property = property};
    char message[256];
    va_list args;

    va_start(args, format);
    vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    hz_report_add(parse->report, HZ_FLOW_ERROR, &place, expected, "%s", message);
}

/* A member that has to be of one type when it is there; NULL and a finding if it is of another. */
static const json_t *member_of(struct parse *parse, const json_t *object, const char *path, const char *key,
        json_type type, const char *expected)
{
    const json_t *value = hz_model_get(object, key);
    char property[128];

    if (!value || json_typeof(value) == type)
        return value;
    snprintf(property, sizeof(property), "%s%s%s", path, *path ? "." : "", key);
    file_error(parse, property, expected, "is %s", hz_model_type_name(value));
    return NULL;
}

/* A short text that has to be a string when it is there. */
static const char *short_text(
        struct parse *parse, const json_t *object, const char *path, const char *key, const char *fallback)
{
    const json_t *value = member_of(parse, object, path, key, JSON_STRING, "a string");
    char property[128];

    if (!value)
        return fallback;
    snprintf(property, sizeof(property), "%s%s%s", path, *path ? "." : "", key);
    if (json_string_length(value) > HZ_FLOW_MAX_NAME)
        file_error(parse, property, HZ_LIMIT("at most ", HZ_FLOW_MAX_NAME, " bytes"), "has %zu bytes",
                json_string_length(value));
    else if (strlen(json_string_value(value)) != json_string_length(value))
        file_error(parse, property, "text without NUL", "holds a NUL character");
    else
        return json_string_value(value);
    return fallback;
}

static void parse_head(struct parse *parse)
{
    struct hz_flow *flow = parse->flow;
    const json_t *info = member_of(parse, flow->root, "", "info", JSON_OBJECT, "an object");
    const json_t *properties = member_of(parse, flow->root, "", "properties", JSON_OBJECT, "an object");
    const json_t *basic = member_of(parse, properties, "properties", "basic", JSON_OBJECT, "an object");

    flow->uid = short_text(parse, info, "info", "uid", "");
    flow->name = short_text(parse, info, "info", "name", "");
    flow->version = short_text(parse, flow->root, "", "version", "0.0.1");
    flow->router = short_text(parse, basic, "properties.basic", "router", "");
    flow->environment = hz_model_get(flow->root, "environment");
    if (json_is_null(flow->environment))
        flow->environment = NULL;
    else
        flow->environment = member_of(parse, flow->root, "", "environment", JSON_ARRAY, "an array of names");
    if (json_array_size(flow->environment) > HZ_FLOW_MAX_ENVIRONMENT) {
        file_error(parse, "environment", HZ_LIMIT("at most ", HZ_FLOW_MAX_ENVIRONMENT, " names"), "has %zu names",
                json_array_size(flow->environment));
        flow->environment = NULL;
    }
    for (size_t i = 0; i < json_array_size(flow->environment); i++) {
        const json_t *name = json_array_get(flow->environment, i);
        char property[48];

        snprintf(property, sizeof(property), "environment[%zu]", i);
        if (!json_is_string(name))
            file_error(parse, property, "a name", "is %s", hz_model_type_name(name));
        else if (json_string_length(name) > HZ_FLOW_MAX_NAME ||
                 strlen(json_string_value(name)) != json_string_length(name))
            file_error(parse, property, HZ_LIMIT("at most ", HZ_FLOW_MAX_NAME, " bytes, no NUL"),
                    "is no name of a variable");
    }
}

static void node_error(struct parse *parse, const char *node, const char *property, const char *expected,
        const char *message, const json_t *value)
{
    struct hz_report_place place = {.node = node, .property = property};
    char text[HZ_REPORT_QUOTE];

    if (json_is_string(value))
        hz_report_add(parse->report, HZ_FLOW_ERROR, &place, expected, "%s the text `%s`", message,
                hz_report_quote(json_string_value(value), json_string_length(value), text));
    else
        hz_report_add(parse->report, HZ_FLOW_ERROR, &place, expected, "%s %s", message, hz_model_type_name(value));
}

/* An optional object of a node; null counts as absent (older files). */
static const json_t *node_object(struct parse *parse, const struct hz_model_node *node, const char *key)
{
    const json_t *value = hz_model_get(node->json, key);

    if (!value || json_is_null(value))
        return NULL;
    if (json_is_object(value))
        return value;
    node_error(parse, node->name, key, "an object", "is", value);
    return NULL;
}

/* A name as the flow's author sees it: `name`, else `info.name`, else nothing (the catalogue's title comes later). */
static const char *node_name(struct parse *parse, const json_t *json, const char *id)
{
    const json_t *name = hz_model_get(json, "name");
    const char *inner = hz_model_text(hz_model_get(json, "info"), "name", "");

    if (strlen(inner) > HZ_FLOW_MAX_NAME)
        inner = "";
    if (!name || json_is_null(name) || (json_is_string(name) && json_string_length(name) == 0))
        return inner;
    if (!json_is_string(name)) {
        node_error(parse, *inner ? inner : id, "name", "a string", "is", name);
        return inner;
    }
    if (json_string_length(name) > HZ_FLOW_MAX_NAME || strlen(json_string_value(name)) != json_string_length(name)) {
        node_error(parse, *inner ? inner : id, "name", HZ_LIMIT("at most ", HZ_FLOW_MAX_NAME, " bytes, no NUL"),
                "is no name:", name);
        return inner;
    }
    return json_string_value(name);
}

static int parse_nodes(struct parse *parse)
{
    struct hz_flow *flow = parse->flow;
    const json_t *nodes = hz_model_get(flow->root, "nodes");
    json_t *object = hz_model_json(nodes);
    struct hz_model_node *list;
    size_t count;

    if (!nodes || json_is_null(nodes)) {
        hz_report_add(parse->report, HZ_FLOW_ERROR, &(struct hz_report_place){.property = "nodes"},
                "an object: node id to node", "No se pudo leer el archivo flow.json");
        return 0;
    }
    if (!json_is_object(nodes)) {
        file_error(parse, "nodes", "an object: node id to node", "is %s", hz_model_type_name(nodes));
        return 0;
    }
    count = json_object_size(nodes);
    if (count > HZ_FLOW_MAX_NODES) {
        file_error(parse, "nodes", HZ_LIMIT("at most ", HZ_FLOW_MAX_NODES, " nodes"), "has %zu nodes", count);
        return 0;
    }
    list = calloc(count + 1, sizeof(*list));
    if (!list)
        return HZ_ENOMEM;
    flow->nodes = list;
    for (void *at = json_object_iter(object); at; at = json_object_iter_next(object, at)) {
        struct hz_model_node *node = &flow->nodes[flow->node_count];
        const json_t *type;

        node->id = json_object_iter_key(at);
        node->json = json_object_iter_value(at);
        node->name = "";
        node->type = "";
        if (json_object_iter_key_len(at) > HZ_FLOW_MAX_NAME) {
            char text[HZ_REPORT_QUOTE];

            node_error(parse, hz_report_quote(node->id, strlen(node->id), text), "",
                    HZ_LIMIT("an id of at most ", HZ_FLOW_MAX_NAME, " bytes"),
                    "has an id that is too long, its value is", node->json);
            continue;
        }
        if (!json_is_object(node->json)) {
            node_error(parse, node->id, "", "an object", "is", node->json);
            continue;
        }
        node->name = node_name(parse, node->json, node->id);
        if (!*node->name)
            node->name = node->id;
        type = hz_model_get(node->json, "type");
        if (!json_is_string(type) || json_string_length(type) == 0 || json_string_length(type) > HZ_FLOW_MAX_NAME ||
                strlen(json_string_value(type)) != json_string_length(type))
            node_error(parse, node->name, "type", "the name of a node type", "is", type);
        else
            node->type = json_string_value(type);
        node->info = node_object(parse, node, "info");
        node->properties = node_object(parse, node, "properties");
        node->meta = node_object(parse, node, "meta");
        if (json_object_set_new(flow->by_id, node->id, json_integer(flow->node_count)) != 0)
            return HZ_ENOMEM;
        flow->node_count++;
    }
    return 0;
}

/* A text of a connection under its own name or the name of older files; NULL and a finding if it is no string. */
static const char *link_text(struct parse *parse, const struct hz_model_link *link, const char *key, const char *alias)
{
    const json_t *value = hz_model_get(link->json, key);
    char property[96];

    if (!value) {
        value = hz_model_get(link->json, alias);
        key = value ? alias : key;
    }
    if (!value || json_is_null(value))
        return NULL;
    if (json_is_string(value) && json_string_length(value) <= HZ_FLOW_MAX_NAME &&
            strlen(json_string_value(value)) == json_string_length(value))
        return json_string_value(value);
    snprintf(property, sizeof(property), "connections[%u].%s", link->position, key);
    file_error(parse, property,
            json_is_string(value) ? HZ_LIMIT("at most ", HZ_FLOW_MAX_NAME, " bytes, no NUL") : "a string", "is %s",
            json_is_string(value) ? "no name" : hz_model_type_name(value));
    return "";
}

static int parse_links(struct parse *parse)
{
    struct hz_flow *flow = parse->flow;
    const json_t *links = hz_model_get(flow->root, "connections");
    size_t count = json_array_size(links);
    struct hz_model_link *list;

    if (!links || json_is_null(links))
        return 0;
    if (!json_is_array(links)) {
        file_error(parse, "connections", "an array", "is %s", hz_model_type_name(links));
        return 0;
    }
    if (count > HZ_FLOW_MAX_CONNECTIONS) {
        file_error(parse, "connections", HZ_LIMIT("at most ", HZ_FLOW_MAX_CONNECTIONS, " connections"),
                "has %zu connections", count);
        return 0;
    }
    list = calloc(count + 1, sizeof(*list));
    if (!list)
        return HZ_ENOMEM;
    flow->links = list;
    for (uint32_t i = 0; i < (uint32_t)count; i++) {
        struct hz_model_link *link = &flow->links[flow->link_count];

        *link = (struct hz_model_link){.position = i, .json = json_array_get(links, i)};
        if (!json_is_object(link->json)) {
            char property[48];

            snprintf(property, sizeof(property), "connections[%u]", i);
            file_error(parse, property, "an object", "is %s", hz_model_type_name(link->json));
            continue;
        }
        link->origin_id = link_text(parse, link, "idNodeOrigin", "id_node_origin");
        link->output = link_text(parse, link, "connectorOriginName", "output");
        link->destiny_id = link_text(parse, link, "idNodeDestiny", "id_node_destiny");
        link->input = link_text(parse, link, "connectorDestinyName", "input");
        link->origin = link->origin_id ? hz_model_find(flow, link->origin_id) : HZ_MODEL_NONE;
        link->destiny = link->destiny_id ? hz_model_find(flow, link->destiny_id) : HZ_MODEL_NONE;
        flow->link_count++;
    }
    return 0;
}

static struct hz_flow *flow_new(void)
{
    struct hz_flow *flow = calloc(1, sizeof(*flow));

    if (!flow)
        return NULL;
    flow->magic = HZ_MODEL_MAGIC;
    flow->by_id = json_object();
    if (!flow->by_id)
        hz_flow_free(&flow);
    return flow;
}

int hz_flow_parse(const char *text, size_t len, struct hz_flow_report *report, struct hz_flow **ret_flow)
{
    struct parse parse = {.report = report};
    struct hz_json_text_error error;
    size_t errors = report->errors;
    int code;

    if (len > HZ_FLOW_MAX_TEXT) {
        file_error(&parse, "", "at most 64 MiB", "the file has %zu bytes", len);
        return HZ_EFORMAT;
    }
    parse.flow = flow_new();
    if (!parse.flow)
        return HZ_ENOMEM;
    if (len == 0) {
        file_error(&parse, "", "a JSON object with `nodes` and `connections`", "the file is empty");
        goto fail;
    }
    parse.flow->root = hz_json_text_parse(text, len, HZ_FLOW_MAX_DEPTH, true, &error);
    if (!parse.flow->root) {
        struct hz_report_place place = {.line = error.line, .column = HZ_MAX(error.column, 1)};

        hz_report_add(report, HZ_FLOW_ERROR, &place,
                strstr(error.message, "duplicate") ? "each key once in an object" : "JSON text in UTF-8", "%s",
                error.message);
        goto fail;
    }
    if (!json_is_object(parse.flow->root)) {
        file_error(&parse, "", "a JSON object with `nodes` and `connections`", "the file holds %s",
                hz_model_type_name(parse.flow->root));
        goto fail;
    }
    parse_head(&parse);
    code = parse_nodes(&parse);
    if (code == 0)
        code = parse_links(&parse);
    if (code != 0) {
        hz_flow_free(&parse.flow);
        return code;
    }
    if (report->errors != errors)
        goto fail;
    *ret_flow = parse.flow;
    return 0;
fail:
    hz_flow_free(&parse.flow);
    return HZ_EFORMAT;
}
