/*
 * host.c - the table of functions for nodes: parameters, input, emissions, state, triggers, messages. Worker, the thread
 * that runs the call. A call that is over, or a pointer that is none, is refused as far as that can be seen.
 */
#include "host.h"
#include "ask.h"
#include "executor_run.h"
#include "report.h"
#include "worker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define TELL_PUBLISH_MS 100

static hz_str text_of(const char *text)
{
    return (hz_str){text, strlen(text)};
}

static hz_str plan_text(const struct hz_plan *plan, struct hz_plan_text text)
{
    return (hz_str){hz_plan_chars(plan, text), text.len};
}

static struct hz_worker *worker_of(const hz_call *call)
{
    return call->execution->worker;
}

/* ---- parameters and input ---- */

static uint32_t find_param(hz_call *call, const char *key)
{
    const struct hz_plan *plan = worker_of(call)->plan;
    const struct hz_plan_node *node = call->site->plan;
    size_t len = strlen(key);
    for (uint32_t i = 0; i < node->prop_count; i++) {
        struct hz_plan_text name = hz_plan_prop(plan, node->first_prop + i)->key;
        if (name.len == len && memcmp(hz_plan_chars(plan, name), key, len) == 0)
            return i;
    }
    return UINT32_MAX;
}

static const hz_value *host_param(hz_call *call, const char *key)
{
    uint32_t i = call->params ? find_param(call, key) : UINT32_MAX;
    return i == UINT32_MAX ? NULL : call->params[i];
}

static hz_str host_param_error(hz_call *call, const char *key)
{
    uint32_t i = call->param_errors ? find_param(call, key) : UINT32_MAX;
    hz_str first = {"", 0}; /* the list has the newest in front */
    for (const struct hz_param_error *e = call->param_errors; e && i != UINT32_MAX; e = e->next)
        if (e->prop == i)
            first = e->reason;
    return first;
}

static const hz_value *host_input(hz_call *call)
{
    return call->at.data;
}

static hz_str host_input_name(hz_call *call)
{
    if (call->at.edge == HZ_NO_EDGE)
        return text_of("");
    const struct hz_plan *plan = worker_of(call)->plan;
    return plan_text(plan, hz_plan_edge(plan, call->at.edge)->input);
}

static hz_str host_input_node(hz_call *call)
{
    return call->at.origin == HZ_NO_NODE ? text_of("") : worker_of(call)->sites[call->at.origin].id;
}

static hz_str host_node_id(hz_call *call)
{
    return call->site->id;
}

static hz_str host_node_name(hz_call *call)
{
    return call->site->name;
}

/* Into the call's own memory: a blocking node's thread must not share a buffer of the execution. */
static hz_str host_execution_id(hz_call *call)
{
    char *text = hz_call_alloc(call, HZ_UUID_TEXT);
    if (!text)
        return text_of("");
    hz_uuid_format(&call->execution->id, text);
    return (hz_str){text, HZ_UUID_TEXT - 1};
}

static hz_str host_workflow_id(hz_call *call)
{
    return text_of(worker_of(call)->workflow_id);
}

static hz_str host_worker_id(hz_call *call)
{
    return text_of(worker_of(call)->id_text);
}

static hz_str host_env(hz_call *call, const char *name)
{
    const hz_value *value = hz_value_get(worker_of(call)->env, name, strlen(name));
    return value ? hz_value_str(value) : (hz_str){NULL, 0};
}

static bool host_is_development(hz_call *call)
{
    return worker_of(call)->development;
}

static void *host_self(hz_call *call)
{
    return call->site->self;
}

/* <execution>:<node id, escaped as in a URL>:<ordinal> */
static hz_str host_idempotency_key(hz_call *call)
{
    hz_str id = call->site->id;
    char *text = hz_call_alloc(call, HZ_UUID_TEXT + 3 * id.len + 16);
    if (!text)
        return (hz_str){NULL, 0};
    hz_uuid_format(&call->execution->id, text);
    char *at = text + HZ_UUID_TEXT - 1;
    *at++ = ':';
    for (size_t i = 0; i < id.len; i++) {
        unsigned char c = (unsigned char)id.data[i];
        if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c != 0 && strchr("-._~", c))) {
            *at++ = (char)c;
        } else {
            *at++ = '%';
            *at++ = "0123456789ABCDEF"[c >> 4];
            *at++ = "0123456789ABCDEF"[c & 15];
        }
    }
    at += snprintf(at, 16, ":%u", (unsigned)HZ_MAX(call->at.ordinal, 1u));
    return (hz_str){text, (size_t)(at - text)};
}

static uint32_t host_attempt(hz_call *call)
{
    return call->execution->attempt + call->at.attempt;
}

/* ---- emissions, state ---- */

static int host_emit(hz_call *call, const char *output, const hz_value *data, const hz_value *meta)
{
    return hz_host_is_open(call) && output ? hz_executor_emit(call, output, data, meta) : HZ_ERR_INVALID;
}

static int host_fail(hz_call *call, const char *text, size_t len)
{
    if (!hz_host_is_open(call) || (!call->blocking && call->state != HZ_CALL_RUNNING))
        return HZ_ERR_INVALID;
    int r = hz_executor_emit_error(call, text ? text : "", text ? len : 0);
    return r == HZ_ERR_NOMEM ? r : HZ_OK;
}

static int host_join(hz_call *call)
{
    return hz_host_is_open(call) ? hz_executor_join(call) : HZ_ERR_INVALID;
}

static int host_upstream(hz_call *call, const char *type, const hz_value **ret_data, const hz_value **ret_meta)
{
    if (!hz_host_is_open(call) || !type)
        return HZ_ERR_INVALID;
    struct hz_worker *worker = worker_of(call);
    const struct hz_branch_entry *nearest = NULL;
    size_t len = strlen(type);
    for (uint32_t t = 0; t < worker->type_count; t++) {
        const struct hz_worker_type *nodes = &worker->types[t];
        if (nodes->type.len != len || memcmp(nodes->type.data, type, len) != 0)
            continue;
        for (uint32_t i = 0; i < nodes->count; i++) {
            const struct hz_branch_entry *entry =
                    hz_branch_get(&call->owner->branches, call->at.branch, worker->type_nodes[nodes->first + i]);
            if (entry && (!nearest || entry->order > nearest->order))
                nearest = entry;
        }
        break;
    }
    if (!nearest)
        return HZ_ERR_NOENT;
    /* The emission of this call may replace the entry: what was borrowed lives as long as the call. */
    if (ret_data)
        *ret_data = hz_call_own(call, hz_value_of(hz_value_json(hz_value_ref(nearest->data))));
    if (ret_meta)
        *ret_meta = nearest->meta ? hz_call_own(call, hz_value_of(hz_value_json(hz_value_ref(nearest->meta)))) : NULL;
    return HZ_OK;
}

static const hz_value *host_state_get(hz_call *call)
{
    return hz_host_is_open(call) ? hz_executor_state_get(call) : NULL;
}

static int host_state_set(hz_call *call, const hz_value *value)
{
    return hz_host_is_open(call) ? hz_executor_state_set(call, value) : HZ_ERR_INVALID;
}

/* ---- messages ---- */

static void host_log(hz_call *call, enum hz_level level, const char *text, size_t len)
{
    if (!hz_host_is_open(call) || !text)
        return;
    if (level > HZ_LEVEL_ERROR)
        level = HZ_LEVEL_ERROR;
    if (level == HZ_LEVEL_DEBUG && !worker_of(call)->development)
        return;
    hz_report_linef(call->owner, call->execution->number, call->site->index, level, "%s: %.*s", call->site->name.data,
            (int)HZ_MIN(len, (size_t)1 << 20), text);
}

static int host_console(hz_call *call, const hz_value *value)
{
    if (!hz_host_is_open(call))
        return HZ_ERR_INVALID;
    struct hz_buffer text = {0};
    hz_value_print(&text, value);
    if (text.failed) {
        bool deep = text.too_deep;
        hz_buffer_fini(&text);
        return deep ? HZ_ERR_LIMIT : HZ_ERR_NOMEM;
    }
    const char *data = text.data ? text.data : "undefined";
    hz_report_line(call->owner, call->execution->number, call->site->index, HZ_LEVEL_INFO, true, data,
            text.data ? text.len : strlen(data));
    hz_buffer_fini(&text);
    return HZ_OK;
}

static enum hz_stat drops_of(const char *route)
{
    if (strcmp(route, "worker:progress") == 0)
        return HZ_STAT_drops_progress;
    return strcmp(route, "worker:metrics") == 0 ? HZ_STAT_drops_metrics : HZ_STAT_drops_log;
}

static int host_tell(hz_call *call, const char *route, const hz_value *value)
{
    if (!hz_host_is_open(call) || !route || strlen(route) > HZ_ROUTE_MAX)
        return HZ_ERR_INVALID;
    if (!value)
        return HZ_ERR_NOMEM;
    struct hz_buffer data = {0};
    hz_value_print(&data, value);
    int r = data.failed ? HZ_ERR_NOMEM : HZ_OK;
    if (r == HZ_OK) {
        struct hz_msg_tell tell = {.wall_ms = hz_base_wall_ms(), .execution = call->execution->number,
                .node = call->site->index, .route_len = (uint32_t)strlen(route), .data_len = data.len};
        struct hz_part parts[] = {{&tell, sizeof(tell)}, {route, tell.route_len}, {data.data, data.len}};
        /* Lossy by its nature: dropped and counted, not an error of the node. */
        (void)hz_report_try(call->owner, HZ_MSG_TELL, parts, HZ_COUNT_OF(parts), drops_of(route));
        /* What is said within a turn is published at its end. A node that computes for long is heard meanwhile, at no more than ten rings a second. */
        struct hz_thread *own = call->owner;
        if (own == hz_thread_self && (tell.wall_ms - own->told_ms >= TELL_PUBLISH_MS || tell.wall_ms < own->told_ms)) {
            own->told_ms = tell.wall_ms;
            (void)hz_stream_flush(&own->metrics);
        }
    }
    hz_buffer_fini(&data);
    return r;
}

static int host_ask(hz_call *call, const char *route, const hz_value *data, hz_answer_fn *fn, void *arg)
{
    if (!hz_host_is_open(call) || !route || !fn || strlen(route) > HZ_ROUTE_MAX)
        return HZ_ERR_INVALID;
    return data ? hz_ask_start(call, route, data, fn, arg) : HZ_ERR_NOMEM;
}

const struct hz_host *hz_host_table(void)
{
    /* Written once, by the first caller: main thread of zygote, worker or probe, before any node runs. */
    static struct hz_host table = {.size = sizeof(struct hz_host), .major = HZ_ABI_MAJOR, .minor = HZ_ABI_MINOR,
            .param = host_param, .input = host_input, .input_name = host_input_name, .input_node = host_input_node,
            .node_id = host_node_id, .node_name = host_node_name, .execution_id = host_execution_id,
            .workflow_id = host_workflow_id, .worker_id = host_worker_id, .env = host_env,
            .is_development = host_is_development, .self = host_self, .emit = host_emit, .fail = host_fail, .join = host_join,
            .upstream = host_upstream, .state_get = host_state_get, .state_set = host_state_set, .log = host_log,
            .console = host_console, .ask = host_ask, .tell = host_tell, .param_error = host_param_error,
            .idempotency_key = host_idempotency_key, .attempt = host_attempt};
    if (!table.alloc) {
        hz_host_set_values(&table);
        hz_host_set_waiting(&table);
        hz_host_set_http(&table);
    }
    return &table;
}
