/*
 * nodes.h - nodes for the tests of worker/, linked into the test program and known to the loader as `test:<type>`. Written
 * as a node is written; only the way the host's table comes in differs.
 */
#ifndef HZ_TESTS_WORKER_NODES_H
#define HZ_TESTS_WORKER_NODES_H

#include "rig.h"
#include "worker/host.h"

#include <math.h>

static const struct hz_host *nodes_host;
#define hz_host_table nodes_host
#define HZ_NAMES(...) ((const char *const[]){__VA_ARGS__, NULL})
#define HZ_PROPERTIES(...) ((const struct hz_property[]){__VA_ARGS__, {NULL, NULL, NULL, NULL, NULL, NULL}})
#include <horizon/node_calls.h>

static _Atomic int nodes_inside, nodes_most, nodes_hooks, nodes_continued, nodes_closed, nodes_misuse;

/* Writes `<name>:<payload>` and passes it on. */
static int note_run(hz_call *call)
{
    hz_str name = hz_node_name(call), data = hz_print(call, hz_input(call));
    char *text = hz_alloc(call, name.len + data.len + 2);
    if (!text || !data.data)
        return HZ_ERR_NOMEM;
    snprintf(text, name.len + data.len + 2, "%s:%s", name.data, data.data);
    (void)hz_console(call, hz_text(call, text));
    return hz_emit(call, "out", hz_input(call));
}

static int pass_run(hz_call *call)
{
    return hz_emit(call, "out", hz_input(call));
}

/* Emits on a, then b, then a again. */
static int fork_run(hz_call *call)
{
    (void)hz_emit(call, "a", hz_int(call, 1));
    (void)hz_emit(call, "b", hz_int(call, 2));
    return hz_emit(call, "a", hz_int(call, 3));
}

/* `text`: fails with it; `code`: returns it. */
static int fail_run(hz_call *call)
{
    hz_str text = hz_param_str(call, "text", "");
    if (text.len > 0)
        return hz_fail(call, "%s", text.data);
    return (int)hz_param_num(call, "code", -7);
}

static int null_run(hz_call *call)
{
    (void)hz_emit(call, "out", NULL);
    return HZ_OK;
}

/* Input n: emits n - 1 on `again` while it is above 0, then `done`. */
static int count_run(hz_call *call)
{
    double n = hz_as_num(hz_input(call));
    if (isnan(n))
        n = hz_param_num(call, "from", 10);
    return n > 0 ? hz_emit(call, "again", hz_num(call, n - 1)) : hz_emit(call, "done", hz_input(call));
}

/* Doubles a text and goes on for ever. */
static int grow_run(hz_call *call)
{
    hz_str old = hz_as_str(hz_input(call));
    if (old.len == 0)
        old = (hz_str){"0123456789abcdef", 16};
    char *text = hz_alloc(call, old.len * 2);
    if (!text)
        return HZ_ERR_NOMEM;
    memcpy(text, old.data, old.len);
    memcpy(text + old.len, old.data, old.len);
    return hz_emit(call, "out", hz_string(call, text, old.len * 2));
}

/* Emits `count` messages. */
static int flood_run(hz_call *call)
{
    double count = hz_param_num(call, "count", 10);
    for (double i = 0; i < count; i++) {
        int r = hz_emit(call, "out", hz_num(call, i));
        if (r != HZ_OK)
            return r;
    }
    return HZ_OK;
}

static int after_emit(hz_call *call, void *arg)
{
    (void)arg;
    (void)atomic_fetch_add(&nodes_continued, 1);
    return hz_emit(call, "out", hz_input(call));
}

static int after_run(hz_call *call)
{
    int r = hz_after(call, (uint64_t)hz_param_num(call, "ms", 5), after_emit, NULL);
    return r == HZ_OK ? HZ_DEFER : r;
}

static void *resume_thread(void *arg)
{
    hz_call *call = arg;
    (void)hz_resume(call, after_emit, NULL);
    return NULL;
}

static pthread_t nodes_threads[1024];
static _Atomic int nodes_thread_count;

static int resume_run(hz_call *call)
{
    int i = atomic_fetch_add(&nodes_thread_count, 1);
    if (i >= 1024 || pthread_create(&nodes_threads[i], NULL, resume_thread, call) != 0)
        return HZ_ERR_FAILED;
    return HZ_DEFER;
}

/* A worker on a thread of ours is taken down: nobody may still be on his way to it. */
RIG_FN void nodes_join(void)
{
    for (int i = 0; i < atomic_load(&nodes_thread_count); i++)
        (void)pthread_join(nodes_threads[i], NULL);
    atomic_store(&nodes_thread_count, 0);
}

static void never_hook(void *arg, int events)
{
    (void)events;
    free(arg);
    (void)atomic_fetch_add(&nodes_hooks, 1);
}

static int never_run(hz_call *call)
{
    void *memory = malloc(10);
    int r = hz_on_cancel(call, never_hook, memory);
    if (r != HZ_OK)
        free(memory);
    return r == HZ_OK ? HZ_DEFER : r;
}

static int block_run(hz_call *call)
{
    usleep((useconds_t)(hz_param_num(call, "ms", 5) * 1000));
    (void)hz_state_set(call, hz_input(call));
    (void)hz_console(call, hz_text(call, "blocked"));
    if (hz_cancelled(call))
        return HZ_ERR_CLOSED;
    return hz_emit(call, "out", hz_input(call));
}

static int alone_leave(hz_call *call, void *arg)
{
    (void)arg;
    (void)atomic_fetch_sub(&nodes_inside, 1);
    return hz_emit(call, "out", hz_input(call));
}

/* A singleton that is not concurrent: counts how many are inside. */
static int alone_run(hz_call *call)
{
    int inside = atomic_fetch_add(&nodes_inside, 1) + 1;
    if (inside > atomic_load(&nodes_most))
        atomic_store(&nodes_most, inside);
    int r = hz_after(call, 1, alone_leave, NULL);
    return r == HZ_OK ? HZ_DEFER : r;
}

/* Fails until it has been run `ok` times in this execution. */
static int flaky_run(hz_call *call)
{
    const hz_value *state = hz_state_get(call);
    double runs = (state ? hz_as_num(state) : 0) + 1;
    (void)hz_state_set(call, hz_num(call, runs));
    (void)hz_emit(call, "out", hz_num(call, runs));
    if (runs < hz_param_num(call, "ok", 3))
        return hz_fail(call, "run %d", (int)runs);
    return HZ_OK;
}

static int answered(hz_call *call, bool ok, const hz_value *data, hz_str message, void *arg)
{
    hz_value *object = hz_object(call);
    (void)arg;
    (void)hz_set(object, "ok", hz_bool(call, ok));
    (void)hz_set(object, "message", hz_string(call, message.data, message.len));
    if (data)
        (void)hz_set(object, "data", data);
    return hz_emit(call, "out", object);
}

static int ask_run(hz_call *call)
{
    int r = hz_ask(call, hz_param_str(call, "route", "test:ask").data, hz_input(call), answered, NULL);
    return r == HZ_OK ? HZ_DEFER : r;
}

static int tell_run(hz_call *call)
{
    (void)hz_tell(call, HZ_TELL_PROGRESS, hz_input(call));
    hz_log(call, HZ_LEVEL_INFO, "information");
    hz_log(call, HZ_LEVEL_WARN, "warning");
    return hz_emit(call, "out", hz_input(call));
}

static void tick(void *arg, int events)
{
    (void)events;
    (void)hz_fire(arg, NULL);
}

static int trigger_run(hz_call *call)
{
    hz_trigger *trigger = hz_trigger_open(call);
    if (!trigger)
        return HZ_ERR_FAILED;
    int r = hz_http_listen(call, "post", "hook/:id", 5000);
    if (r == HZ_OK && hz_http_listen(call, "post", "/hook/:id", 5000) != HZ_OK)
        r = HZ_ERR_FAILED;
    if (r == HZ_OK && hz_http_listen(call, "po st", "/x", 1) != HZ_ERR_INVALID)
        r = HZ_ERR_FAILED;
    for (int i = 0; i < (int)hz_param_num(call, "fires", 0) && r == HZ_OK; i++)
        r = hz_loop_post(tick, trigger);
    return r;
}

static int trigger_event(hz_call *call)
{
    return hz_emit(call, "event", hz_input(call));
}

static void trigger_close(void *self)
{
    (void)self;
    (void)atomic_fetch_add(&nodes_closed, 1);
}

/* Answers with the payload's `body`. */
static int reply_run(hz_call *call)
{
    const hz_value *request;
    if (hz_upstream(call, "t_trigger", &request, NULL) != HZ_OK)
        return hz_fail(call, "no trigger upstream");
    hz_str body = hz_print(call, hz_get(request, "body") ? hz_get(request, "body") : request);
    struct hz_http_header header = {"X-Test", "yes"}, bad = {"X-Bad", "a\r\nb"};
    struct hz_http_answer answer = {.status = 201, .content_type = "application/json", .body = body.data, .body_len = body.len,
            .headers = &bad, .header_count = 1};
    if (hz_http_answer(call, &answer) == HZ_OK)
        return hz_fail(call, "a bad header went through");
    answer.headers = &header;
    int r = hz_http_answer(call, &answer);
    if (r == HZ_OK && hz_http_answer(call, &answer) != HZ_ERR_ALREADY)
        return hz_fail(call, "a second answer went through");
    return hz_emit(call, "out", hz_int(call, r));
}

/* Tries what is not allowed. */
static int misuse_run(hz_call *call)
{
    hz_value *object = hz_object(call), *inner = hz_object(call), *array = hz_array(call);
    int bad = 0;
    bad += hz_set((hz_value *)(uintptr_t)hz_input(call), "x", hz_null(call)) != HZ_ERR_INVALID;
    bad += hz_set(object, "inner", inner) != HZ_OK;
    bad += hz_set(inner, "a", hz_int(call, 1)) != HZ_OK; /* nested, still the call's own */
    bad += hz_set(object, "self", object) != HZ_ERR_INVALID;
    bad += hz_push(object, inner) != HZ_ERR_INVALID;
    bad += hz_set(object, "null", NULL) != HZ_ERR_NOMEM;
    bad += hz_emit(call, "out", object) != HZ_OK;
    bad += hz_set(object, "late", hz_int(call, 1)) != HZ_ERR_INVALID;
    bad += hz_set(inner, "late", hz_int(call, 1)) != HZ_ERR_INVALID;
    bad += hz_push(array, object) != HZ_OK;
    for (int i = 0; i < 100; i++) {
        hz_value *item = hz_object(call);
        bad += hz_push(array, item) != HZ_OK;
        bad += hz_set(item, "i", hz_int(call, i)) != HZ_OK;
    }
    (void)hz_keep(array);
    bad += hz_push(array, object) != HZ_ERR_INVALID;
    hz_drop(array);
    bad += hz_join(call) != HZ_ERR_NOENT;
    bad += hz_http_answer(call, &(struct hz_http_answer){.status = 200}) != HZ_ERR_NOENT;
    bad += hz_done(call) != HZ_ERR_INVALID;
    bad += hz_env(call, "COLOR").len != 3 || hz_env(call, "OTHER").data != NULL;
    bad += hz_execution_id(call).len != 36 || hz_worker_id(call).len != 36 || strcmp(hz_workflow_id(call).data, "test") != 0;
    bad += hz_trigger_open(call) != NULL;
    bad += hz_watch_fd(-1, HZ_WATCH_READ, tick, NULL) != NULL;
    atomic_store(&nodes_misuse, bad);
    return HZ_OK;
}

#define NODE(type_, flags_, run_, ...)                                                                                 \
    {.size = sizeof(struct hz_node_desc), .type = "t_" #type_, .title = #type_, .group = "Test", .flags = (flags_),    \
     .run = run_, __VA_ARGS__}
#define NUMBER(key_, value_) {.key = key_, .type = "number", .name = key_, .value = value_}
#define TEXT(key_) {.key = key_, .type = "string", .name = key_, .value = "\"\""}

static const struct hz_node_desc nodes_all[] = {
        NODE(note, HZ_NODE_CONCURRENT, note_run),
        NODE(pass, HZ_NODE_CONCURRENT, pass_run),
        NODE(fork, HZ_NODE_CONCURRENT, fork_run),
        NODE(fail, HZ_NODE_CONCURRENT, fail_run, .properties = HZ_PROPERTIES(TEXT("text"), NUMBER("code", "-7"))),
        NODE(null, HZ_NODE_CONCURRENT, null_run),
        NODE(count, HZ_NODE_CONCURRENT, count_run, .properties = HZ_PROPERTIES(NUMBER("from", "10"))),
        NODE(grow, HZ_NODE_CONCURRENT, grow_run),
        NODE(flood, HZ_NODE_CONCURRENT, flood_run, .properties = HZ_PROPERTIES(NUMBER("count", "10"))),
        NODE(after, HZ_NODE_CONCURRENT, after_run, .properties = HZ_PROPERTIES(NUMBER("ms", "5"))),
        NODE(resume, HZ_NODE_CONCURRENT, resume_run),
        NODE(never, HZ_NODE_CONCURRENT, never_run),
        NODE(block, HZ_NODE_CONCURRENT | HZ_NODE_BLOCKING, block_run, .properties = HZ_PROPERTIES(NUMBER("ms", "5"))),
        NODE(alone, HZ_NODE_SINGLETON, alone_run),
        NODE(flaky, HZ_NODE_CONCURRENT, flaky_run, .properties = HZ_PROPERTIES(NUMBER("ok", "3"))),
        NODE(ask, HZ_NODE_CONCURRENT, ask_run, .properties = HZ_PROPERTIES(TEXT("route"))),
        NODE(tell, HZ_NODE_CONCURRENT, tell_run),
        NODE(trigger, HZ_NODE_TRIGGER | HZ_NODE_CONCURRENT, trigger_run, .event = trigger_event, .close = trigger_close,
                .self_size = 8, .properties = HZ_PROPERTIES(NUMBER("fires", "0"))),
        NODE(reply, HZ_NODE_CONCURRENT, reply_run),
        NODE(misuse, HZ_NODE_CONCURRENT, misuse_run),
};

/* Makes the nodes above and the built-in ones known. */
RIG_FN void nodes_load(void)
{
    static bool done;
    if (done)
        return;
    done = true;
#undef hz_host_table
    nodes_host = hz_host_table();
    rig_builtins();
    for (size_t i = 0; i < HZ_COUNT_OF(nodes_all); i++)
        HZ_ASSERT_OK(hz_loader_add(&nodes_all[i], hz_test_path("test:%s", nodes_all[i].type)));
#define hz_host_table nodes_host
}

/* Node `id` of test type `type` with properties text, as part of a flow. */
#define N(id, type) "\"" id "\":{\"type\":\"" type "\",\"name\":\"" id "\",\"properties\":{}}"
#define NP(id, type, properties) "\"" id "\":{\"type\":\"" type "\",\"name\":\"" id "\",\"properties\":{" properties "}}"
#define NM(id, type, properties, meta)                                                                                 \
    "\"" id "\":{\"type\":\"" type "\",\"name\":\"" id "\",\"properties\":{" properties "},\"meta\":{" meta "}}"
#define INIT N("i", "workflow_init")

#endif
