/* horizon/node_calls.h - the calls a node makes. Included by horizon/node.h; see there for lifetime and threads. */
#ifndef HORIZON_NODE_CALLS_H
#define HORIZON_NODE_CALLS_H

#include <stdio.h>
#include <string.h>

/* ## Parameters: a property of this node after its expressions were evaluated. Borrowed for the call; NULL if the node
 * type has no such property. The typed forms return `fallback` when the value is absent or of another type. */
static inline const hz_value *hz_param(hz_call *call, const char *key) { return hz_host_table->param(call, key); }
static inline hz_str hz_param_str(hz_call *call, const char *key, const char *fallback)
{
    const hz_value *v = hz_host_table->param(call, key);
    if (v && hz_host_table->type(v) == HZ_STRING)
        return hz_host_table->as_str(v);
    return (hz_str){fallback, fallback ? strlen(fallback) : 0};
}
static inline double hz_param_num(hz_call *call, const char *key, double fallback)
{
    const hz_value *v = hz_host_table->param(call, key);
    return v && hz_host_table->type(v) == HZ_NUMBER ? hz_host_table->as_num(v) : fallback;
}
static inline bool hz_param_bool(hz_call *call, const char *key, bool fallback)
{
    const hz_value *v = hz_host_table->param(call, key);
    return v && hz_host_table->type(v) == HZ_BOOL ? hz_host_table->as_bool(v) : fallback;
}

/* ## Input: the message that made this run. hz_input() is its `data`; hz_input_name() the connector it arrived at;
 * hz_input_node() the sender's node id ("" for the start). */
static inline const hz_value *hz_input(hz_call *call) { return hz_host_table->input(call); }
static inline hz_str hz_input_name(hz_call *call) { return hz_host_table->input_name(call); }
static inline hz_str hz_input_node(hz_call *call) { return hz_host_table->input_node(call); }
static inline hz_str hz_node_id(hz_call *call) { return hz_host_table->node_id(call); }
static inline hz_str hz_node_name(hz_call *call) { return hz_host_table->node_name(call); }
static inline hz_str hz_execution_id(hz_call *call) { return hz_host_table->execution_id(call); }
static inline hz_str hz_workflow_id(hz_call *call) { return hz_host_table->workflow_id(call); }
static inline hz_str hz_worker_id(hz_call *call) { return hz_host_table->worker_id(call); }
/* Value of one of the flow's own environment names; .data is NULL if the flow does not name it or it is not set. */
static inline hz_str hz_env(hz_call *call, const char *name) { return hz_host_table->env(call, name); }
static inline bool hz_is_development(hz_call *call) { return hz_host_table->is_development(call); }
/* Memory of this node (per node of the flow, per worker), `self_size` bytes, zeroed at first. NULL if self_size is 0. */
static inline void *hz_self(hz_call *call) { return hz_host_table->self(call); }

/* ## Emissions. Every connection drawn from `output` gets the value, in the flow's order. An output nobody drew ends the
 * branch; an "error" output nobody drew also makes the execution `failed`. */
static inline int hz_emit(hz_call *call, const char *output, const hz_value *data)
{
    return hz_host_table->emit(call, output, data, NULL);
}
/* The same with data about the emission that nodes further down find with hz_upstream(). */
static inline int hz_emit_meta(hz_call *call, const char *output, const hz_value *data, const hz_value *meta)
{
    return hz_host_table->emit(call, output, data, meta);
}
/* Emit `{"error": text}` on "error"; returns HZ_OK so that `return hz_fail(call, ...)` ends the run. */
static inline int hz_fail(hz_call *call, const char *format, ...) __attribute__((format(printf, 2, 3)));
static inline int hz_fail(hz_call *call, const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    size_t len = n < 0 ? 0 : (size_t)n < sizeof text ? (size_t)n : sizeof text - 1;
    return hz_host_table->fail(call, text, len);
}
/* Ends a deferred call. */
static inline int hz_done(hz_call *call) { return hz_host_table->done(call); }

/* Registers the arrival of this branch at a join of all nodes connected to this one. Returns 1 on the arrival that
 * completes it (the branch then carries the data of all), 0 on an earlier one, HZ_ERR_ALREADY for a second arrival from
 * the same origin or after completion, HZ_ERR_NOENT if nothing is connected. State is per execution. */
static inline int hz_join(hz_call *call) { return hz_host_table->join(call); }
/* Nearest node of `type` that ran before this one on this branch: its last emission. HZ_ERR_NOENT if none. */
static inline int hz_upstream(hz_call *call, const char *type, const hz_value **ret_data, const hz_value **ret_meta)
{
    return hz_host_table->upstream(call, type, ret_data, ret_meta);
}

/* ## State: one value per node and execution, kept by the host, NULL at first. It survives deferral and checkpoints. */
static inline const hz_value *hz_state_get(hz_call *call) { return hz_host_table->state_get(call); }
static inline int hz_state_set(hz_call *call, const hz_value *value) { return hz_host_table->state_set(call, value); }

/* ## Memory and values. All of the call; NULL means out of memory. hz_set() and hz_push() change only containers built
 * by this call and accept NULL as value (HZ_ERR_NOMEM), so that results need be checked once, at the emission:
 * emitting NULL ends the run with "out of memory". */
static inline void *hz_alloc(hz_call *call, size_t size) { return hz_host_table->alloc(call, size); }
static inline hz_value *hz_null(hz_call *call) { return hz_host_table->make_null(call); }
static inline hz_value *hz_bool(hz_call *call, bool v) { return hz_host_table->make_bool(call, v); }
static inline hz_value *hz_int(hz_call *call, int64_t v) { return hz_host_table->make_int(call, v); }
static inline hz_value *hz_num(hz_call *call, double v) { return hz_host_table->make_num(call, v); }
/* Bytes that are not UTF-8 are replaced by U+FFFD. */
static inline hz_value *hz_string(hz_call *call, const char *data, size_t len)
{
    return hz_host_table->make_str(call, data, len);
}
static inline hz_value *hz_text(hz_call *call, const char *text) { return hz_host_table->make_str(call, text, strlen(text)); }
static inline hz_value *hz_object(hz_call *call) { return hz_host_table->make_object(call); }
static inline hz_value *hz_array(hz_call *call) { return hz_host_table->make_array(call); }
static inline int hz_set(hz_value *object, const char *key, const hz_value *v)
{
    return hz_host_table->set(object, key, strlen(key), v);
}
static inline int hz_push(hz_value *array, const hz_value *v) { return hz_host_table->push(array, v); }
/* A shallow copy that this call may change. */
static inline hz_value *hz_copy(hz_call *call, const hz_value *v) { return hz_host_table->copy(call, v); }
/* JSON text to value; on bad text NULL and the reason in *ret_error. */
static inline hz_value *hz_parse(hz_call *call, const char *text, size_t len, hz_str *ret_error)
{
    return hz_host_table->parse(call, text, len, ret_error);
}
/* Compact JSON text, as JavaScript's JSON.stringify prints it. */
static inline hz_str hz_print(hz_call *call, const hz_value *v) { return hz_host_table->print(call, v); }
static inline enum hz_type hz_type_of(const hz_value *v) { return v ? hz_host_table->type(v) : HZ_UNDEFINED; }
static inline bool hz_as_bool(const hz_value *v) { return hz_host_table->as_bool(v); } /* JavaScript's truth */
static inline double hz_as_num(const hz_value *v) { return hz_host_table->as_num(v); } /* NaN if not a number */
static inline hz_str hz_as_str(const hz_value *v) { return hz_host_table->as_str(v); } /* strings only, else empty */
static inline size_t hz_length(const hz_value *v) { return hz_host_table->length(v); } /* elements, keys or bytes */
static inline const hz_value *hz_get(const hz_value *object, const char *key)
{
    return hz_host_table->get(object, key, strlen(key));
}
static inline const hz_value *hz_at(const hz_value *array, size_t index) { return hz_host_table->at(array, index); }
/* Walks an object in JavaScript's key order: void *c = NULL; while (hz_next(obj, &c, &key, &value)) ... */
static inline bool hz_next(const hz_value *object, void **cursor, hz_str *ret_key, const hz_value **ret_value)
{
    return hz_host_table->next(object, cursor, ret_key, ret_value);
}
static inline bool hz_equal(const hz_value *a, const hz_value *b) { return hz_host_table->equal(a, b); }
static inline const hz_value *hz_keep(const hz_value *v) { return hz_host_table->keep(v); }
static inline void hz_drop(const hz_value *v) { hz_host_table->drop(v); }

/* ## Waiting. After one of these, return HZ_DEFER; the continuation goes on with the call. A cancelled execution never
 * continues: hz_on_cancel() says what to release then (runs on the main loop, once). */
static inline int hz_after(hz_call *call, uint64_t delay_ms, hz_continue_fn *fn, void *arg)
{
    return hz_host_table->after(call, delay_ms, fn, arg);
}
static inline int hz_resume(hz_call *call, hz_continue_fn *fn, void *arg) { return hz_host_table->resume(call, fn, arg); }
static inline int hz_on_cancel(hz_call *call, hz_loop_fn *fn, void *arg) { return hz_host_table->on_cancel(call, fn, arg); }
static inline bool hz_cancelled(hz_call *call) { return hz_host_table->cancelled(call); }
static inline int hz_loop_post(hz_loop_fn *fn, void *arg) { return hz_host_table->loop_post(fn, arg); }
/* Main loop thread only. */
static inline hz_watch *hz_watch_fd(int fd, int events, hz_loop_fn *fn, void *arg)
{
    return hz_host_table->watch(fd, events, fn, arg);
}
static inline hz_watch *hz_timer_start(uint64_t delay_ms, uint64_t repeat_ms, hz_loop_fn *fn, void *arg)
{
    return hz_host_table->timer(delay_ms, repeat_ms, fn, arg);
}
static inline int hz_watch_events(hz_watch *w, int events) { return hz_host_table->watch_events(w, events); }
static inline void hz_watch_stop(hz_watch *w) { hz_host_table->watch_stop(w); }

/* ## Triggers. hz_trigger_open() in run() of a trigger; hz_fire() later, from any thread: a new execution begins with
 * event(), whose input is `data`. */
static inline hz_trigger *hz_trigger_open(hz_call *call) { return hz_host_table->trigger(call); }
static inline int hz_fire(hz_trigger *t, const hz_value *data) { return hz_host_table->fire(t, data); }
/* In run() of a trigger: requests `method` `endpoint` (`:name` makes a parameter) become executions that begin with
 * event(); input {headers, params, query, body?, files?, method, endpoint, time}. Unanswered after timeout_ms: 506. */
static inline int hz_http_listen(hz_call *call, const char *method, const char *endpoint, uint32_t timeout_ms)
{
    return hz_host_table->http_listen(call, method, endpoint, timeout_ms);
}
/* Answers the request this execution came from. HZ_ERR_NOENT: there is none; HZ_ERR_ALREADY: answered or timed out. */
static inline int hz_http_answer(hz_call *call, const struct hz_http_answer *answer)
{
    return hz_host_table->http_answer(call, answer);
}

/* ## Messages */
static inline void hz_log(hz_call *call, enum hz_level level, const char *format, ...) __attribute__((format(printf, 3, 4)));
static inline void hz_log(hz_call *call, enum hz_level level, const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    hz_host_table->log(call, level, text, n < 0 ? 0 : (size_t)n < sizeof text ? (size_t)n : sizeof text - 1);
}
/* One line `[console] <value as JSON>` in the worker's log; never lost. */
static inline int hz_console(hz_call *call, const hz_value *v) { return hz_host_table->console(call, v); }

/* A question to the manager: return HZ_DEFER, the answer comes within 30 s. The named forms below are Horizon's. */
static inline int hz_ask(hz_call *call, const char *route, const hz_value *data, hz_answer_fn *fn, void *arg)
{
    return hz_host_table->ask(call, route, data, fn, arg);
}
/* A message nobody answers; lossy: dropped and counted when the manager is behind. */
static inline int hz_tell(hz_call *call, const char *route, const hz_value *data)
{
    return hz_host_table->tell(call, route, data);
}
#define HZ_ASK_NODES "nodes:list"              /* getNodesFromServer: {} */
#define HZ_ASK_NODE "nodes:get"                /* getNodeFromServer: {type} */
#define HZ_ASK_WORKFLOW "workflows:get"        /* getWorkflowFromServer: {id} */
#define HZ_ASK_HEALTH "system:health"          /* getSystemHealthFromServer: {} */
#define HZ_ASK_ENVIRONMENT "worker:environment" /* getEnvironmentFromServer: {key?} */
#define HZ_ASK_CREDENTIALS "credentials:get"   /* getCredentialsFromServer: {id} */
#define HZ_ASK_DATABASE "database:operation"   /* requestDatabaseOperation: {operation, params} */
#define HZ_ASK_EXTERNAL "external:api"         /* requestExternalAPI: {url, method?, headers?, data?, timeout?} */
#define HZ_ASK_FILE "file:operation"           /* requestFileOperation: {operation, path, data?, encoding?} */
#define HZ_TELL_LOG "worker:log"               /* sendWorkerLog: {level, message, data?, timestamp} */
#define HZ_TELL_LOGS "worker:logs"             /* sendLogs: {data: [{date, level, message}], timestamp} */
#define HZ_TELL_PROGRESS "worker:progress"     /* reportProgress: {nodeId?, stepName?, percentage?, message?, data?, timestamp} */
#define HZ_TELL_METRICS "worker:metrics"       /* sendMetrics: {executionTime?, ..., customMetrics?, timestamp} */
#define HZ_TELL_DEBUG "debug:send"             /* sendDebug: {data, target} */

#endif
