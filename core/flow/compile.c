/*
 * compile.c - a checked flow and the node catalogue to a plan: names, nodes with all their properties, outputs with
 * their connections in file order. Manager and `horizon check`; never in a worker.
 */
#include "compile.h"
#include "json_text.h"
#include "limits.h"
#include "queueing.h"
#include "shm/err.h"
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define START_TYPE   "workflow_init"
#define TRIGGER_FLAG 1u /* HZ_NODE_TRIGGER of the node SDK, as the catalogue's `flags` carry it */

enum hz_flow_severity hz_compile_severity(const struct hz_compile *compile)
{
    return compile->strict ? HZ_FLOW_ERROR : HZ_FLOW_WARNING;
}

void hz_compile_find(
        struct hz_compile *compile, enum hz_flow_severity severity, const char *expected, const char *format, ...)
{
    struct hz_report_place place = {.node = compile->node, .property = compile->path};
    char message[400];
    va_list args;

    va_start(args, format);
    vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    hz_report_add(compile->report, severity, &place, expected, "%s", message);
}

size_t hz_compile_enter(struct hz_compile *compile, const char *key, size_t index)
{
    size_t back = compile->path_len, left = sizeof(compile->path) - back;
    char quoted[HZ_REPORT_QUOTE];
    int n;

    if (key)
        n = snprintf(
                compile->path + back, left, "%s%s", back > 0 ? "." : "", hz_report_quote(key, strlen(key), quoted));
    else
        n = snprintf(compile->path + back, left, "[%zu]", index);
    compile->path_len = back + HZ_MIN((size_t)HZ_MAX(n, 0), left - 1);
    return back;
}

void hz_compile_leave(struct hz_compile *compile, size_t len)
{
    compile->path_len = len;
    compile->path[len] = '\0';
}

/* ---- names ---- */
static int make_names(struct hz_compile *compile)
{
    const struct hz_flow *flow = compile->flow;

    compile->names = json_object();
    compile->same_name = calloc(flow->node_count + 1u, sizeof(*compile->same_name));
    if (!compile->names || !compile->same_name)
        return HZ_ENOMEM;
    for (uint32_t i = 0; i < flow->node_count; i++) {
        const json_t *before = json_object_get(compile->names, flow->nodes[i].name);

        compile->same_name[i] = before ? (uint32_t)json_integer_value(before) : HZ_MODEL_NONE;
        if (json_object_set_new(compile->names, flow->nodes[i].name, json_integer(i)) != 0)
            return HZ_ENOMEM;
    }
    return 0;
}

/* ---- nodes ---- */
static struct hz_plan_text add_text(struct hz_compile *compile, const char *text)
{
    return hz_plan_build_text(&compile->build, text, strlen(text));
}

/* A property may need a capability only when it is switched on (`caps` and `capsWhen` in its catalogue entry). */
static uint32_t prop_caps(const json_t *known, const json_t *value)
{
    const json_t *when = hz_model_get(known, "capsWhen"), *caps = hz_model_get(known, "caps");

    if (!when || !json_is_integer(caps))
        return 0;
    if (value && !json_equal(value, when) && !(json_is_string(value) && strstr(json_string_value(value), "{{")))
        return 0;
    return value ? (uint32_t)json_integer_value(caps) : 0;
}

/* Adds one property; its tree is made first, so that props of a node stay together in their table. */
static struct hz_plan_prop make_prop(struct hz_compile *compile, const char *key, size_t len, const json_t *stored,
        const json_t *known, uint32_t *caps)
{
    struct hz_plan_prop prop;
    size_t back = hz_compile_enter(compile, key, 0), inner;
    const json_t *value = hz_check_property(compile, stored, known);
    json_t *nothing = json_null();

    if (!json_is_object(stored))
        stored = NULL;
    inner = hz_compile_enter(compile, "value", 0);
    *caps |= prop_caps(known, value);
    prop.key = hz_plan_build_text(&compile->build, key, len);
    prop.tree = hz_template_tree(compile, value ? value : nothing, hz_template_rules(stored, known));
    hz_compile_leave(compile, inner);
    hz_compile_leave(compile, back);
    return prop;
}

/* Every property of the catalogue type in its order, then stored ones it does not know. */
static void add_props(
        struct hz_compile *compile, const struct hz_model_node *from, const json_t *type, struct hz_plan_node *node)
{
    json_t *known = hz_model_json(hz_model_get(type, "properties")), *stored = hz_model_json(from->properties);
    size_t back = hz_compile_enter(compile, "properties", 0);

    node->first_prop = compile->build.props.count;
    for (void *at = json_object_iter(known); at; at = json_object_iter_next(known, at)) {
        const char *key = json_object_iter_key(at);
        struct hz_plan_prop prop = make_prop(compile, key, json_object_iter_key_len(at), json_object_get(stored, key),
                json_object_iter_value(at), &node->caps);

        hz_plan_build_add(&compile->build, &compile->build.props, &prop);
    }
    for (void *at = json_object_iter(stored); at; at = json_object_iter_next(stored, at)) {
        const char *key = json_object_iter_key(at);
        struct hz_plan_prop prop;

        if (json_object_get(known, key))
            continue;
        if (json_object_iter_key_len(at) > HZ_FLOW_MAX_NAME) {
            hz_compile_find(compile, HZ_FLOW_ERROR, HZ_LIMIT("at most ", HZ_FLOW_MAX_NAME, " bytes"),
                    "a property's name has %zu bytes", json_object_iter_key_len(at));
            continue;
        }
        if (type && compile->strict) {
            size_t inner = hz_compile_enter(compile, key, 0);

            hz_compile_find(compile, HZ_FLOW_WARNING, NULL, "a node of type %s has no such property", from->type);
            hz_compile_leave(compile, inner);
        }
        prop = make_prop(compile, key, json_object_iter_key_len(at), json_object_iter_value(at), NULL, &node->caps);
        hz_plan_build_add(&compile->build, &compile->build.props, &prop);
    }
    node->prop_count = compile->build.props.count - node->first_prop;
    hz_compile_leave(compile, back);
}

/* One number of node.meta: our own extension, milliseconds or a count. */
static uint32_t meta_number(struct hz_compile *compile, const struct hz_model_node *from, const char *key, uint32_t max)
{
    const json_t *value = hz_model_get(from->meta, key);
    size_t back = hz_compile_enter(compile, key, 0);
    char expected[64];
    uint32_t number = 0;

    snprintf(expected, sizeof(expected), "a number from 0 to %u", max);
    if (value && !json_is_null(value)) {
        double v = json_number_value(value);

        if (!json_is_number(value))
            hz_compile_find(compile, hz_compile_severity(compile), expected, "is %s", hz_model_type_name(value));
        else if (v < 0 || v > max)
            hz_compile_find(compile, hz_compile_severity(compile), expected, "is %.15g", v);
        else
            number = (uint32_t)lround(v);
    }
    hz_compile_leave(compile, back);
    return number;
}

static struct hz_plan_log make_log(struct hz_compile *compile, const json_t *logs, const char *key)
{
    static const char *const types[] = {[HZ_PLAN_LOG_NONE] = "none",
            [HZ_PLAN_LOG_DEBUG] = "debug",
            [HZ_PLAN_LOG_INFO] = "info",
            [HZ_PLAN_LOG_WARN] = "warn",
            [HZ_PLAN_LOG_ERROR] = "error"};
    const json_t *log = hz_model_get(logs, key), *value = hz_model_get(log, "value");
    const char *type = hz_model_text(log, "type", "none");
    struct hz_plan_log result = {HZ_PLAN_LOG_NONE, UINT32_MAX};
    size_t back = hz_compile_enter(compile, key, 0);

    for (uint32_t i = 0; i < HZ_COUNT_OF(types); i++)
        if (strcmp(type, types[i]) == 0)
            result.type = i;
    if (result.type == HZ_PLAN_LOG_NONE && strcmp(type, "none") != 0)
        hz_compile_find(
                compile, HZ_FLOW_WARNING, "none, debug, info, warn or error", "no such level, nothing is logged");
    if (result.type != HZ_PLAN_LOG_NONE && json_is_string(value)) {
        size_t inner = hz_compile_enter(compile, "value", 0);

        result.tree = hz_template_tree(compile, value, 0);
        hz_compile_leave(compile, inner);
    } else {
        result.type = HZ_PLAN_LOG_NONE;
    }
    hz_compile_leave(compile, back);
    return result;
}

static void add_meta(struct hz_compile *compile, const struct hz_model_node *from, struct hz_plan_node *node)
{
    const json_t *logs = hz_model_get(from->meta, "logs");
    size_t back = hz_compile_enter(compile, "meta", 0), inner, len = 0;
    char *text = from->meta ? hz_json_text_print(from->meta, 0, &len) : NULL;

    if (from->meta && !text)
        compile->build.failed = HZ_ENOMEM;
    node->meta = text ? hz_plan_build_text(&compile->build, text, len) : add_text(compile, "{}");
    free(text);
    node->timeout_ms = meta_number(compile, from, "timeout", HZ_FLOW_MAX_TIMEOUT_MS);
    node->retries = meta_number(compile, from, "retries", HZ_FLOW_MAX_RETRIES);
    node->retry_delay_ms = meta_number(compile, from, "retryDelay", HZ_FLOW_MAX_TIMEOUT_MS);
    inner = hz_compile_enter(compile, "logs", 0);
    node->log_start = make_log(compile, logs, "start");
    node->log_exec = make_log(compile, logs, "exec");
    hz_compile_leave(compile, inner);
    hz_compile_leave(compile, back);
}

/* Index of the plugin of a type, added on first use. `plugins`: type -> index. */
static uint32_t plugin_of(struct hz_compile *compile, json_t *plugins, const char *name, const json_t *type)
{
    const json_t *known = json_object_get(plugins, name);
    struct hz_plan_plugin plugin = {.type = add_text(compile, name),
            .file = add_text(compile, hz_model_text(type, "file", "")),
            .flags = json_is_true(hz_model_get(type, "trusted")) ? 1u : 0u};
    uint32_t index;

    if (known)
        return (uint32_t)json_integer_value(known);
    index = hz_plan_build_add(&compile->build, &compile->build.plugins, &plugin);
    if (plugin.flags == 0)
        compile->build.head.untrusted_plugins++;
    if (json_object_set_new(plugins, name, json_integer(index)) != 0)
        compile->build.failed = HZ_ENOMEM;
    return index;
}

static void add_node(struct hz_compile *compile, const struct hz_model_node *from, json_t *plugins)
{
    const json_t *type = json_object_get(compile->catalog, from->type);
    struct hz_plan_node node = {.plugin = UINT32_MAX};
    uint32_t before = compile->expressions;

    compile->node = from->name;
    hz_compile_leave(compile, 0);
    if (type) {
        node.flags = (uint32_t)json_integer_value(hz_model_get(type, "flags")) & 0xffffu;
        node.caps = (uint32_t)json_integer_value(hz_model_get(type, "caps"));
        node.plugin = plugin_of(compile, plugins, from->type, type);
        compile->build.head.trigger_count += node.flags & TRIGGER_FLAG ? 1 : 0;
    } else {
        size_t back = hz_compile_enter(compile, "type", 0);

        node.flags = HZ_PLAN_NODE_UNKNOWN;
        hz_compile_find(compile, hz_compile_severity(compile), "a type of the node catalogue", "No existe el nodo %s",
                from->type);
        hz_compile_leave(compile, back);
    }
    node.id = add_text(compile, from->id);
    node.name = add_text(compile, from->name);
    node.type = add_text(compile, from->type);
    node.title = add_text(compile, hz_model_text(hz_model_get(type, "info"), "name", from->type));
    add_props(compile, from, type, &node);
    compile->build.head.caps |= node.caps;
    if (compile->expressions == before)
        node.flags |= HZ_PLAN_NODE_CONSTANT;
    add_meta(compile, from, &node);
    hz_plan_build_add(&compile->build, &compile->build.nodes, &node);
}

static int add_nodes(struct hz_compile *compile)
{
    const struct hz_flow *flow = compile->flow;
    json_t *plugins = json_object();
    uint32_t starts = 0;

    if (!plugins)
        return HZ_ENOMEM;
    for (uint32_t i = 0; i < flow->node_count; i++) {
        add_node(compile, &flow->nodes[i], plugins);
        if (strcmp(flow->nodes[i].type, START_TYPE) != 0)
            continue;
        compile->build.head.start_node = i;
        starts++;
        if (starts > 1) {
            compile->node = flow->nodes[i].name;
            hz_compile_leave(compile, 0);
            hz_compile_enter(compile, "type", 0);
            hz_compile_find(
                    compile, HZ_FLOW_ERROR, "exactly one node of type " START_TYPE, "is start node number %u", starts);
        }
    }
    json_decref(plugins);
    compile->node = "";
    hz_compile_leave(compile, 0);
    if (starts == 0) {
        hz_compile_enter(compile, "nodes", 0);
        hz_compile_find(compile, HZ_FLOW_ERROR, "exactly one node of type " START_TYPE, "the flow has no start node");
        hz_compile_leave(compile, 0);
    }
    return 0;
}

/* ---- connections ---- */
static void find_link(struct hz_compile *compile, const struct hz_model_link *link, const char *key,
        const char *expected, const char *id)
{
    char quoted[HZ_REPORT_QUOTE];

    hz_compile_enter(compile, "connections", 0);
    hz_compile_enter(compile, NULL, link->position);
    hz_compile_enter(compile, key, 0);
    if (id)
        hz_compile_find(compile, hz_compile_severity(compile), expected, "no node has the id `%s`",
                hz_report_quote(id, strlen(id), quoted));
    else
        hz_compile_find(compile, hz_compile_severity(compile), expected, "is missing");
    hz_compile_leave(compile, 0);
}

/* Does this connection lead anywhere? An empty end is skipped silently, a missing or dangling one is told. */
static bool usable(struct hz_compile *compile, const struct hz_model_link *link)
{
    if ((link->origin_id && !*link->origin_id) || (link->destiny_id && !*link->destiny_id))
        return false;
    if (link->origin == HZ_MODEL_NONE)
        find_link(compile, link, "idNodeOrigin", "the id of a node", link->origin_id);
    if (link->destiny == HZ_MODEL_NONE)
        find_link(compile, link, "idNodeDestiny", "the id of a node", link->destiny_id);
    if (!link->output)
        find_link(compile, link, "connectorOriginName", "the name of an output", NULL);
    if (!link->input)
        find_link(compile, link, "connectorDestinyName", "the name of an input", NULL);
    return link->origin != HZ_MODEL_NONE && link->destiny != HZ_MODEL_NONE && link->output;
}

/* Orders connections by origin, then by output, then as in the file. */
static int compare_links(const void *a, const void *b)
{
    const struct hz_model_link *x = *(const struct hz_model_link *const *)a,
                               *y = *(const struct hz_model_link *const *)b;
    int names;

    if (x->origin != y->origin)
        return x->origin < y->origin ? -1 : 1;
    names = strcmp(x->output, y->output);
    if (names != 0)
        return names;
    return x->position < y->position ? -1 : 1;
}

static int compare_arrivals(const void *a, const void *b)
{
    const struct hz_model_link *x = *(const struct hz_model_link *const *)a,
                               *y = *(const struct hz_model_link *const *)b;

    if (x->destiny != y->destiny)
        return x->destiny < y->destiny ? -1 : 1;
    return x->position < y->position ? -1 : 1;
}

static struct hz_plan_node *built_node(struct hz_compile *compile, uint32_t index)
{
    return (struct hz_plan_node *)compile->build.nodes.data + index;
}

static void add_outputs(struct hz_compile *compile, const struct hz_model_link **links, uint32_t count)
{
    struct hz_plan_build *build = &compile->build;

    qsort(links, count, sizeof(const struct hz_model_link *), compare_links);
    for (uint32_t i = 0; i < count;) {
        struct hz_plan_node *node = built_node(compile, links[i]->origin);
        struct hz_plan_output output = {.name = add_text(compile, links[i]->output), .first_edge = build->edges.count};
        uint32_t last = i;

        for (; last < count && links[last]->origin == links[i]->origin &&
                strcmp(links[last]->output, links[i]->output) == 0;
                last++) {
            struct hz_plan_edge edge = {.node = links[last]->destiny,
                    .input = add_text(compile, links[last]->input ? links[last]->input : "")};

            hz_plan_build_add(build, &build->edges, &edge);
        }
        output.edge_count = last - i;
        if (node->output_count++ == 0)
            node->first_output = build->outputs.count;
        hz_plan_build_add(build, &build->outputs, &output);
        i = last;
    }
}

static void add_origins(struct hz_compile *compile, const struct hz_model_link **links, uint32_t count, uint32_t *seen)
{
    struct hz_plan_build *build = &compile->build;

    qsort(links, count, sizeof(const struct hz_model_link *), compare_arrivals);
    for (uint32_t i = 0; i < count; i++) {
        struct hz_plan_node *node = built_node(compile, links[i]->destiny);

        if (seen[links[i]->origin] == links[i]->destiny + 1)
            continue;
        seen[links[i]->origin] = links[i]->destiny + 1;
        if (node->origin_count++ == 0)
            node->first_origin = build->refs.count;
        hz_plan_build_add(build, &build->refs, &links[i]->origin);
    }
}

static int add_links(struct hz_compile *compile)
{
    const struct hz_flow *flow = compile->flow;
    const struct hz_model_link **links = calloc(flow->link_count + 1u, sizeof(void *));
    uint32_t *seen = calloc(flow->node_count + 1u, sizeof(*seen));
    uint32_t count = 0;
    int code = HZ_ENOMEM;

    if (links && seen) {
        for (uint32_t i = 0; i < flow->link_count; i++)
            if (usable(compile, &flow->links[i]))
                links[count++] = &flow->links[i];
        if (compile->build.failed == 0) {
            add_outputs(compile, links, count);
            add_origins(compile, links, count, seen);
        }
        code = 0;
    }
    free(links);
    free(seen);
    return code;
}

/* ---- the head ---- */
static void add_head(struct hz_compile *compile)
{
    struct hz_plan *head = &compile->build.head;
    const struct hz_flow *flow = compile->flow;
    char *names = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&names, &len);

    if (!out) {
        compile->build.failed = HZ_ENOMEM;
        return;
    }
    for (size_t i = 0; i < json_array_size(flow->environment); i++) {
        const char *name = json_string_value(json_array_get(flow->environment, i));

        if (!name || !*name)
            continue;
        fprintf(out, "%s%c", name, '\0');
        head->environment_count++;
    }
    if (fclose(out) != 0)
        compile->build.failed = HZ_ENOMEM;
    head->uid = add_text(compile, flow->uid);
    head->name = add_text(compile, flow->name);
    head->flow_version = add_text(compile, flow->version);
    head->router = add_text(compile, flow->router);
    head->environment = hz_plan_build_text(&compile->build, names ? names : "", len > 0 ? len - 1 : 0);
    free(names);
}

int hz_flow_compile(const struct hz_flow *flow, const json_t *catalog, bool strict, struct hz_flow_report *report,
        struct hz_plan **ret_plan)
{
    struct hz_compile compile = {.flow = flow, .catalog = catalog, .strict = strict, .report = report, .node = ""};
    size_t errors = report->errors;
    struct hz_queueing queueing; /* checked here, read by who queues */
    int code;

    HZ_CHECK_OBJ(flow, HZ_MODEL_MAGIC);
    hz_flow_queueing(flow->root, report, &queueing);
    hz_plan_build_init(&compile.build);
    code = make_names(&compile);
    if (code == 0) {
        add_head(&compile);
        code = add_nodes(&compile);
    }
    if (code == 0)
        code = add_links(&compile);
    if (code == 0 && report->errors == errors) {
        code = hz_plan_build_finish(&compile.build, ret_plan);
        if (code == HZ_ETOOBIG) {
            hz_compile_find(&compile, HZ_FLOW_ERROR, "a flow whose plan stays below 64 MiB", "the flow is too large");
            code = HZ_EFORMAT;
        }
    } else if (code == 0) {
        code = HZ_EFORMAT;
    }
    json_decref(compile.names);
    free(compile.same_name);
    hz_plan_build_fini(&compile.build);
    return code;
}
