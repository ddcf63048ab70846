/*
 * horizon/node_calls.h - the calls a node makes. Included by horizon/node.h; see there for lifetime and threads.
 *
 * Unless a comment says otherwise: `call` is the call that is running; returned pointers belong to it; texts handed
 * in are copied; a function that returns int returns HZ_OK or a negative HZ_ERR_*; key and name arguments are
 * NUL-terminated.
 */
#ifndef HORIZON_NODE_CALLS_H
#define HORIZON_NODE_CALLS_H

#include <stdio.h>
#include <string.h>

/* ---- Parameters ------------------------------------------------------------------------------------------------ */

/* The value of property `key` in this run: default, overwritten by what the flow stores, its expressions evaluated. A
 * property of type code with `"lang":"json"` that parses comes parsed, else as text. NULL if the node type has no such
 * property and the flow stores none; type HZ_UNDEFINED if an expression in it failed (hz_param_error() says why). */
static inline const hz_value *hz_param(hz_call *call, const char *key)
{
    return hz_host_table->param(call, key);
}

/* The parameter if it is a text, else `fallback` (which may be NULL: then .data is NULL). */
static inline hz_str hz_param_str(hz_call *call, const char *key, const char *fallback)
{
    const hz_value *v = hz_host_table->param(call, key);
    if (v && hz_host_table->type(v) == HZ_STRING)
        return hz_host_table->as_str(v);
    hz_str text = {fallback, fallback ? strlen(fallback) : 0};
    return text;
}

/* The parameter if it is a number, else `fallback`. A text that looks like a number is none. */
static inline double hz_param_num(hz_call *call, const char *key, double fallback)
{
    const hz_value *v = hz_host_table->param(call, key);
    return v && hz_host_table->type(v) == HZ_NUMBER ? hz_host_table->as_num(v) : fallback;
}

/* The parameter if it is a boolean, else `fallback`. */
static inline bool hz_param_bool(hz_call *call, const char *key, bool fallback)
{
    const hz_value *v = hz_host_table->param(call, key);
    return v && hz_host_table->type(v) == HZ_BOOL ? hz_host_table->as_bool(v) : fallback;
}

/* Why the evaluation of property `key` failed: the first reason, such as `TypeError: ...`. .len 0 if it did not
 * fail. */
static inline hz_str hz_param_error(hz_call *call, const char *key)
{
    return hz_host_table->param_error(call, key);
}

/* ---- Input and surroundings ------------------------------------------------------------------------------------ */

/* The message that made this run: its data. Never NULL; the first node of a flow gets the caller's data or `{}`. */
static inline const hz_value *hz_input(hz_call *call)
{
    return hz_host_table->input(call);
}
/* The connector it arrived at, as the flow's connection names it; "" for the start. */
static inline hz_str hz_input_name(hz_call *call)
{
    return hz_host_table->input_name(call);
}
/* The sender's node id; "" for the start. */
static inline hz_str hz_input_node(hz_call *call)
{
    return hz_host_table->input_node(call);
}
/* This node's id and name in the flow. */
static inline hz_str hz_node_id(hz_call *call)
{
    return hz_host_table->node_id(call);
}
static inline hz_str hz_node_name(hz_call *call)
{
    return hz_host_table->node_name(call);
}
/* For effects outside that must not happen twice: names this run within all executions, the same in each attempt at it and
 * when the execution goes on after a crash; letters, digits and -._~:% only. data NULL: out of memory. Since ABI 1.1. */
static inline hz_str hz_idempotency_key(hz_call *call)
{
    return hz_host_table->idempotency_key(call);
}
/* Which attempt at this run it is, from 1: retries of the node and of the execution are counted. Since ABI 1.1. */
static inline uint32_t hz_attempt(hz_call *call)
{
    return hz_host_table->attempt(call);
}
/* The execution (a uuid), the flow it runs and the worker process it runs in (a uuid). */
static inline hz_str hz_execution_id(hz_call *call)
{
    return hz_host_table->execution_id(call);
}
static inline hz_str hz_workflow_id(hz_call *call)
{
    return hz_host_table->workflow_id(call);
}
static inline hz_str hz_worker_id(hz_call *call)
{
    return hz_host_table->worker_id(call);
}
/* Value of one of the flow's own environment names; .data is NULL if the flow does not name it or it is not set. */
static inline hz_str hz_env(hz_call *call, const char *name)
{
    return hz_host_table->env(call, name);
}
/* Is this server run with NODE_ENV=development? */
static inline bool hz_is_development(hz_call *call)
{
    return hz_host_table->is_development(call);
}
/* Memory of this node (one piece per node of the flow and worker), `self_size` bytes, zeroed at first. With
 * HZ_NODE_CONCURRENT the node guards it itself. NULL if self_size is 0. */
static inline void *hz_self(hz_call *call)
{
    return hz_host_table->self(call);
}

/* ---- Emissions ------------------------------------------------------------------------------------------------- */

/* Sends `data` along every connection drawn from `output`, in the flow's order; the nodes behind run after this one
 * returned. An output nobody drew ends the branch; an "error" output nobody drew also makes the execution `failed`.
 * data NULL: the run ends with "out of memory", HZ_ERR_NOMEM. HZ_ERR_CLOSED: cancelled, nothing was sent;
 * HZ_ERR_LIMIT: too many messages are queued; HZ_ERR_INVALID: the call is over. */
static inline int hz_emit(hz_call *call, const char *output, const hz_value *data)
{
    return hz_host_table->emit(call, output, data, NULL);
}

/* The same with data about the emission that nodes further down find with hz_upstream(), and expressions as
 * `<node name>.meta`. meta: an object, or NULL. */
static inline int hz_emit_meta(hz_call *call, const char *output, const hz_value *data, const hz_value *meta)
{
    return hz_host_table->emit(call, output, data, meta);
}

/* Emits `{"error": text}` on "error". Returns HZ_OK so that `return hz_fail(call, ...)` ends the run. */
static inline int hz_fail(hz_call *call, const char *format, ...) __attribute__((format(printf, 2, 3)));
static inline int hz_fail(hz_call *call, const char *format, ...)
{
    char few[512], *text = few;
    va_list args;
    va_start(args, format);
    int n = vsnprintf(few, sizeof few, format, args);
    va_end(args);
    size_t len = n < 0 ? 0 : (size_t)n;
    if (len >= sizeof few) {
        text = (char *)hz_host_table->alloc(call, len + 1);
        if (!text)
            return HZ_ERR_NOMEM;
        va_start(args, format);
        vsnprintf(text, len + 1, format, args);
        va_end(args);
    }
    return hz_host_table->fail(call, text, len);
}

/* Ends a deferred call before its continuation returns; the continuation then returns HZ_DEFER or HZ_OK and does
 * nothing else. HZ_ERR_INVALID if the call was not deferred, HZ_ERR_ALREADY if it is over. */
static inline int hz_done(hz_call *call)
{
    return hz_host_table->done(call);
}

/* Registers the arrival of this branch at a join of all nodes connected to this one. Returns 1 on the arrival that
 * completes it (the branch then carries the data of all; the first writer of a node wins), 0 on an earlier one,
 * HZ_ERR_ALREADY for a second arrival from the same origin or after completion, HZ_ERR_NOENT if nothing is connected.
 * Counted per execution. */
static inline int hz_join(hz_call *call)
{
    return hz_host_table->join(call);
}

/* Nearest node of `type` that ran before this one on this branch: its last emission, borrowed for the call. Either
 * result may be NULL if not wanted; *ret_meta is NULL if it had none. HZ_ERR_NOENT if there is no such node. */
static inline int hz_upstream(hz_call *call, const char *type, const hz_value **ret_data, const hz_value **ret_meta)
{
    return hz_host_table->upstream(call, type, ret_data, ret_meta);
}

/* ---- State ----------------------------------------------------------------------------------------------------- */

/* One value per node and execution, kept by the host: it survives deferral, retries and checkpoints, and ends with the
 * execution. get: NULL at first; borrowed until the next set. set: takes a reference of its own. */
static inline const hz_value *hz_state_get(hz_call *call)
{
    return hz_host_table->state_get(call);
}
static inline int hz_state_set(hz_call *call, const hz_value *value)
{
    return hz_host_table->state_set(call, value);
}

/* ---- Memory and values ----------------------------------------------------------------------------------------- */

/* All of the call; NULL means out of memory. hz_set() and hz_push() change only containers built by this call
 * (HZ_ERR_INVALID otherwise) and accept NULL as value (HZ_ERR_NOMEM), so that results need be checked once, at the
 * emission: emitting NULL ends the run with "out of memory". */

/* `size` bytes, not zeroed, aligned for anything. */
static inline void *hz_alloc(hz_call *call, size_t size)
{
    return hz_host_table->alloc(call, size);
}
static inline hz_value *hz_null(hz_call *call)
{
    return hz_host_table->make_null(call);
}
static inline hz_value *hz_bool(hz_call *call, bool v)
{
    return hz_host_table->make_bool(call, v);
}
/* Beyond 2^53 the number becomes a double, as in JavaScript. */
static inline hz_value *hz_int(hz_call *call, int64_t v)
{
    return hz_host_table->make_int(call, v);
}
/* NaN and the infinities are kept and print as null. */
static inline hz_value *hz_num(hz_call *call, double v)
{
    return hz_host_table->make_num(call, v);
}
/* `len` bytes of UTF-8; what is not UTF-8 is replaced by U+FFFD. */
static inline hz_value *hz_string(hz_call *call, const char *data, size_t len)
{
    return hz_host_table->make_str(call, data, len);
}
/* A NUL-terminated text. */
static inline hz_value *hz_text(hz_call *call, const char *text)
{
    return hz_host_table->make_str(call, text, strlen(text));
}
static inline hz_value *hz_object(hz_call *call)
{
    return hz_host_table->make_object(call);
}
static inline hz_value *hz_array(hz_call *call)
{
    return hz_host_table->make_array(call);
}
/* object[key] = v. An existing key keeps its place. */
static inline int hz_set(hz_value *object, const char *key, const hz_value *v)
{
    return hz_host_table->set(object, key, strlen(key), v);
}
/* The same for a key with a length. */
static inline int hz_set_str(hz_value *object, hz_str key, const hz_value *v)
{
    return hz_host_table->set(object, key.data, key.len, v);
}
static inline int hz_push(hz_value *array, const hz_value *v)
{
    return hz_host_table->push(array, v);
}
/* A shallow copy that this call may change. */
static inline hz_value *hz_copy(hz_call *call, const hz_value *v)
{
    return hz_host_table->copy(call, v);
}
/* JSON text to value; on bad text NULL and the reason in *ret_error (if not NULL). */
static inline hz_value *hz_parse(hz_call *call, const char *text, size_t len, hz_str *ret_error)
{
    return hz_host_table->parse(call, text, len, ret_error);
}
/* Compact JSON text, as JavaScript's JSON.stringify prints it; .data NULL: out of memory. */
static inline hz_str hz_print(hz_call *call, const hz_value *v)
{
    return hz_host_table->print(call, v);
}

/* Reading. All accept NULL (an absent value, type HZ_UNDEFINED) and any type. */
static inline enum hz_type hz_type_of(const hz_value *v)
{
    return v ? hz_host_table->type(v) : HZ_UNDEFINED;
}
/* JavaScript's truth: false for undefined, null, false, 0, NaN and "". */
static inline bool hz_as_bool(const hz_value *v)
{
    return v && hz_host_table->as_bool(v);
}
/* The number; NaN if it is none. */
static inline double hz_as_num(const hz_value *v)
{
    return v ? hz_host_table->as_num(v) : (double)__builtin_nanf("");
}
/* The text; empty if it is none. Borrowed from the value. */
static inline hz_str hz_as_str(const hz_value *v)
{
    hz_str none = {"", 0};
    return v ? hz_host_table->as_str(v) : none;
}
/* Elements of an array, keys of an object, bytes of a string, else 0. */
static inline size_t hz_length(const hz_value *v)
{
    return v ? hz_host_table->length(v) : 0;
}
/* Member of an object, borrowed from it; NULL if absent or no object. */
static inline const hz_value *hz_get(const hz_value *object, const char *key)
{
    return object ? hz_host_table->get(object, key, strlen(key)) : NULL;
}
/* Element of an array, borrowed from it; NULL if beyond the end or no array. */
static inline const hz_value *hz_at(const hz_value *array, size_t index)
{
    return array ? hz_host_table->at(array, index) : NULL;
}
/* Walks an object in JavaScript's key order; the object must not change meanwhile:
 *     void *cursor = NULL;
 *     while (hz_next(object, &cursor, &key, &value)) ...
 * Whoever leaves the loop early calls hz_next_stop(). */
static inline bool hz_next(const hz_value *object, void **cursor, hz_str *ret_key, const hz_value **ret_value)
{
    return object && hz_host_table->next(object, cursor, ret_key, ret_value);
}
static inline void hz_next_stop(void **cursor)
{
    hz_str key;
    const hz_value *value;
    if (*cursor)
        hz_host_table->next(NULL, cursor, &key, &value);
}
/* Deep equality; the order of keys does not count. */
static inline bool hz_equal(const hz_value *a, const hz_value *b)
{
    return hz_host_table->equal(a, b);
}
/* A reference that outlives the call; returns its argument. From any thread. Every keep needs its drop. */
static inline const hz_value *hz_keep(const hz_value *v)
{
    return hz_host_table->keep(v);
}
static inline void hz_drop(const hz_value *v)
{
    hz_host_table->drop(v);
}

/* ---- Waiting --------------------------------------------------------------------------------------------------- */

/* A call that waits holds no thread: it arranges to be continued, returns HZ_DEFER, and goes on in a continuation,
 * which may defer again. A call is continued by one road at a time. */

/* Continues the call after `delay_ms` milliseconds, not earlier. HZ_ERR_CLOSED: cancelled. */
static inline int hz_after(hz_call *call, uint64_t delay_ms, hz_continue_fn *fn, void *arg)
{
    return hz_host_table->after(call, delay_ms, fn, arg);
}

/* Continues the call now, on its execution's thread. From any thread; it may overtake the return of the function that
 * defers. HZ_ERR_CLOSED: the execution was cancelled; fn will not run, and the cancel hook ran or will run. */
static inline int hz_resume(hz_call *call, hz_continue_fn *fn, void *arg)
{
    return hz_host_table->resume(call, fn, arg);
}

/* What to do if the execution ends (cancelled, timed out, worker ending) while the call is deferred. fn runs once on
 * the main loop; afterwards no continuation of this call runs and the call must not be touched. Once a continuation has
 * started, the hook is forgotten; set it again before deferring again. So exactly one of hook and continuation runs,
 * and that one releases `arg`. HZ_ERR_CLOSED: cancelled already, fn will not run. */
static inline int hz_on_cancel(hz_call *call, hz_loop_fn *fn, void *arg)
{
    return hz_host_table->on_cancel(call, fn, arg);
}

/* Has the execution been cancelled? For nodes that compute for long; from any thread while the call is open. */
static inline bool hz_cancelled(hz_call *call)
{
    return hz_host_table->cancelled(call);
}

/* Runs fn on the main loop, soon, in the order of posting. From any thread. HZ_ERR_CLOSED: the worker is ending. */
static inline int hz_loop_post(hz_loop_fn *fn, void *arg)
{
    return hz_host_table->loop_post(fn, arg);
}

/* Watches a descriptor (HZ_WATCH_READ, HZ_WATCH_WRITE, level-triggered) or runs a timer: first after delay_ms, then
 * every repeat_ms (0: once; a timer that is over is still stopped by the node). Main loop thread only. NULL: out of
 * memory or not a descriptor that can be watched. The node keeps owning fd and closes it after hz_watch_stop(). */
static inline hz_watch *hz_watch_fd(int fd, int events, hz_loop_fn *fn, void *arg)
{
    return hz_host_table->watch(fd, events, fn, arg);
}
static inline hz_watch *hz_timer_start(uint64_t delay_ms, uint64_t repeat_ms, hz_loop_fn *fn, void *arg)
{
    return hz_host_table->timer(delay_ms, repeat_ms, fn, arg);
}
/* Other events for a descriptor; 0 pauses. Main loop thread only. */
static inline int hz_watch_events(hz_watch *w, int events)
{
    return hz_host_table->watch_events(w, events);
}
/* Ends a watch or timer; fn does not run again, also when called from fn. Main loop thread only. NULL is fine. */
static inline void hz_watch_stop(hz_watch *w)
{
    if (w)
        hz_host_table->watch_stop(w);
}

/* ---- Triggers and HTTP ----------------------------------------------------------------------------------------- */

/* In run() of a trigger: the handle for hz_fire(). It lives as long as the worker. NULL: no trigger, or out of
 * memory. */
static inline hz_trigger *hz_trigger_open(hz_call *call)
{
    return hz_host_table->trigger(call);
}

/* A new execution begins with event(), whose input is `data`: a kept value, one of a call that is still open, or NULL
 * for {}. From any thread. HZ_ERR_LIMIT: too many executions are waiting; HZ_ERR_CLOSED: the worker is ending. */
static inline int hz_fire(hz_trigger *t, const hz_value *data)
{
    return hz_host_table->fire(t, data);
}

/* In run() of a trigger: requests `method` (any letter case) `endpoint` (below the flow's prefix; `:name` makes a
 * parameter) become executions that begin with event(); its input is {headers (names in lower case), params, query,
 * body?, files?, method, endpoint (path), time (ms since the epoch)}. Unanswered after timeout_ms, the caller gets
 * 506. May be called for several methods and endpoints. HZ_ERR_INVALID: a bad method or path; HZ_ERR_ALREADY: taken. */
static inline int hz_http_listen(hz_call *call, const char *method, const char *endpoint, uint32_t timeout_ms)
{
    return hz_host_table->http_listen(call, method, endpoint, timeout_ms);
}

/* Answers the request this execution came from. HZ_ERR_NOENT: there is none; HZ_ERR_ALREADY: answered or timed out;
 * HZ_ERR_INVALID: status or a header is wrong, nothing was sent; HZ_ERR_LIMIT: the body is too large. */
static inline int hz_http_answer(hz_call *call, const struct hz_http_answer *answer)
{
    return hz_host_table->http_answer(call, answer);
}

/* ---- Messages to people and to the manager --------------------------------------------------------------------- */

/* One line in the worker's log, with the node's name. Below error it is lossy: dropped and counted if the manager is
 * behind. No secrets. */
static inline void hz_log(hz_call *call, enum hz_level level, const char *format, ...)
        __attribute__((format(printf, 3, 4)));
static inline void hz_log(hz_call *call, enum hz_level level, const char *format, ...)
{
    char few[512], *text = few;
    va_list args;
    va_start(args, format);
    int n = vsnprintf(few, sizeof few, format, args);
    va_end(args);
    size_t len = n < 0 ? 0 : (size_t)n;
    if (len >= sizeof few) {
        text = (char *)hz_host_table->alloc(call, len + 1);
        if (text) {
            va_start(args, format);
            vsnprintf(text, len + 1, format, args);
            va_end(args);
        } else {
            text = few;
            len = sizeof few - 1;
        }
    }
    hz_host_table->log(call, level, text, len);
}

/* One line `[console] <value as JSON>` in the worker's log; never lost. */
static inline int hz_console(hz_call *call, const hz_value *v)
{
    return hz_host_table->console(call, v);
}

/* A question to the manager; return HZ_DEFER, fn goes on with the call. data: an object; NULL is HZ_ERR_NOMEM, as in
 * hz_emit(). The answer comes within 30 s: see hz_answer_fn for what it may be. HZ_ERR_CLOSED: cancelled;
 * HZ_ERR_LIMIT: too many questions are open or the message is too large. node_helpers.h has a call for each question
 * Horizon answers. */
static inline int hz_ask(hz_call *call, const char *route, const hz_value *data, hz_answer_fn *fn, void *arg)
{
    return hz_host_table->ask(call, route, data, fn, arg);
}

/* A message nobody answers; lossy: dropped and counted when the manager is behind (HZ_ERR_LIMIT if that is known). */
static inline int hz_tell(hz_call *call, const char *route, const hz_value *data)
{
    return hz_host_table->tell(call, route, data);
}

/* The routes. The manager serves these to a worker and no others: `Ruta no encontrada: <route>`. */
#define HZ_ASK_NODES       "nodes:list"         /* getNodesFromServer: {} */
#define HZ_ASK_NODE        "nodes:get"          /* getNodeFromServer: {type} */
#define HZ_ASK_WORKFLOW    "workflows:get"      /* getWorkflowFromServer: {id} */
#define HZ_ASK_HEALTH      "system:health"      /* getSystemHealthFromServer: {} */
#define HZ_ASK_ENVIRONMENT "worker:environment" /* getEnvironmentFromServer: {key?} */
#define HZ_ASK_CREDENTIALS "credentials:get"    /* getCredentialsFromServer: {id} */
#define HZ_ASK_DATABASE    "database:operation" /* requestDatabaseOperation: {operation, params} */
#define HZ_ASK_EXTERNAL    "external:api"       /* requestExternalAPI: {url, method?, headers?, data?, timeout?} */
#define HZ_ASK_FILE        "file:operation"     /* requestFileOperation: {operation, path, data?, encoding?} */
#define HZ_TELL_LOG        "worker:log"         /* sendWorkerLog: {level, message, data?, timestamp} */
#define HZ_TELL_LOGS       "worker:logs"        /* sendLogs: {data: [{date, level, message}], timestamp} */
#define HZ_TELL_PROGRESS   "worker:progress"    /* reportProgress: {nodeId?, stepName?, percentage?, message?, ...} */
#define HZ_TELL_METRICS    "worker:metrics"     /* sendMetrics: {executionTime?, ..., customMetrics?, timestamp} */
#define HZ_TELL_DEBUG      "debug:send"         /* sendDebug: {data, target} */

#endif
