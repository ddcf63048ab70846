/*
 * command.c - the records of the command ring: identity, plan, executions, answers, the end. Worker, main thread. The
 * manager is trusted, but what it sends is checked as far as a mistake would hurt.
 */
#include "ask.h"
#include "checkpoint.h"
#include "executor_run.h"
#include "report.h"
#include "worker.h"

#include <stdlib.h>
#include <string.h>

static const hz_value *read_env(const char *pairs, size_t len)
{
    hz_value *env = hz_value_object();
    const char *end = pairs + len;
    while (env && pairs < end) {
        size_t name_len = strnlen(pairs, (size_t)(end - pairs));
        const char *value = pairs + name_len + 1;
        if (value > end)
            break;
        size_t value_len = strnlen(value, (size_t)(end - value));
        hz_value *text = hz_value_string(value, value_len);
        if (!text || hz_value_set(env, pairs, name_len, text) != 0) {
            hz_value_unref(text);
            hz_value_unref(env);
            return NULL;
        }
        hz_value_unref(text);
        pairs = value + value_len + 1;
    }
    return env;
}

static void assign(struct hz_worker *worker, const struct hz_msg *msg)
{
    const struct hz_msg_assign *body = msg->body;
    if (worker->assigned) {
        HZ_LOG(WARN, "worker %s: a second identity was refused", worker->id_text);
        return;
    }
    worker->assign_flags = body->flags;
    worker->resident = (body->flags & HZ_WORKER_RESIDENT) != 0;
    worker->development = (body->flags & HZ_WORKER_DEVELOPMENT) != 0;
    worker->tracking = (body->flags & HZ_WORKER_TRACKING) != 0;
    worker->listens = (body->flags & HZ_WORKER_LISTENS) != 0;
    worker->checkpoints = (body->flags & HZ_WORKER_CHECKPOINTS) != 0;
    worker->node_stats = (body->flags & HZ_WORKER_NODE_STATS) != 0;
    worker->port = body->port;
    worker->start_wall_ms = body->start_wall_ms ? body->start_wall_ms : hz_base_wall_ms();
    memset(worker->id_text, 0, sizeof(worker->id_text));
    if (msg->str[0].len > 0 && msg->str[0].len < sizeof(worker->id_text))
        memcpy(worker->id_text, msg->str[0].data, msg->str[0].len);
    else
        hz_uuid_format(&body->worker_id, worker->id_text);
    worker->workflow_id = strndup(msg->str[1].data ? msg->str[1].data : "", msg->str[1].len);
    worker->env = read_env(msg->str[2].data, msg->str[2].len);
    /* The segment outlives us, and who may read it is not only we. The record is ours until it is released. */
    if (msg->str[2].len > 0)
        explicit_bzero((void *)(uintptr_t)msg->str[2].data, msg->str[2].len);
    if (!worker->workflow_id || !worker->env) {
        hz_worker_fatal(worker, "out of memory");
        return;
    }
    worker->assigned = true;
    if (*hz_sandbox_missing())
        HZ_LOG(WARN, "worker %s: the sandbox is incomplete, this kernel offers no %s", worker->id_text, hz_sandbox_missing());
    hz_report_linef(worker->threads[0], 0, HZ_NO_NODE, HZ_LEVEL_INFO, "Inicializando worker %s para workflow %s",
            worker->id_text, worker->workflow_id);
}

static int copy_plan(struct hz_worker *worker, const struct hz_msg *msg)
{
    size_t size = msg->str[0].len;
    if (size < sizeof(struct hz_plan))
        return hz_err_set(HZ_EFORMAT, "plan of %zu bytes", size);
    struct hz_plan *plan = aligned_alloc(HZ_CACHE_LINE, HZ_ALIGN_UP(size, (size_t)HZ_CACHE_LINE));
    if (!plan)
        return hz_err_set(HZ_ENOMEM, "plan of %zu bytes", size);
    memcpy(plan, msg->str[0].data, size);
    int r = hz_plan_check(plan, size);
    if (r != 0) {
        free(plan);
        return r;
    }
    worker->plan = plan;
    if (msg->str[1].len > 0) {
        worker->paths = malloc(msg->str[1].len);
        if (!worker->paths)
            return hz_err_set(HZ_ENOMEM, "granted paths");
        memcpy(worker->paths, msg->str[1].data, msg->str[1].len);
        worker->paths_len = msg->str[1].len;
    }
    return 0;
}

/* The start node runs once, by itself: triggers start and say what they listen to. Ready is when it waits or is over. */
static int first_run(struct hz_worker *worker)
{
    struct hz_uuid id = hz_uuid_new();
    struct hz_execution *execution = hz_execution_new(worker, HZ_OWN_NUMBER | ++worker->own_numbers, &id);
    if (!execution || hz_worker_add_execution(worker, execution) != 0)
        return hz_err_set(HZ_ENOMEM, "first run");
    execution->pinned = true;
    execution->is_first = true;
    execution->start_data = hz_value_object();
    hz_pool_submit(worker, execution);
    return 0;
}

/* The plan is here and the sandbox stands: load what it names, then say so. */
static void load(struct hz_worker *worker)
{
    int r = hz_assembly_load(worker);
    if (r == 0)
        r = hz_sandbox_seal(&worker->sandbox); /* third-party objects are open: no further code comes in */
    if (r == 0) {
        worker->loaded = true;
        if (worker->listens)
            r = first_run(worker);
        else
            hz_worker_ready(worker);
    }
    if (r != 0)
        hz_worker_fatal(worker, "%s", hz_err_last());
}

static void plan(struct hz_worker *worker, const struct hz_msg *msg)
{
    if (!worker->assigned || worker->plan) {
        hz_worker_fatal(worker, worker->plan ? "a second plan" : "a plan without an identity");
        return;
    }
    if (copy_plan(worker, msg) != 0) {
        hz_worker_fatal(worker, "%s", hz_err_last());
        return;
    }
    load(worker);
}

/* The manager hears of an execution that cannot even be made. */
static void refuse_execution(struct hz_worker *worker, uint64_t number, const char *code, const char *text)
{
    struct hz_msg_finished finished = {.execution = number, .state = HZ_EXEC_FAILED, .node = HZ_NO_NODE,
            .error_len = (uint32_t)strlen(text), .code_len = (uint32_t)strlen(code)};
    struct hz_part parts[] = {{&finished, sizeof(finished)}, {text, finished.error_len}, {code, finished.code_len}};
    (void)hz_report_send(worker->threads[0], HZ_MSG_FINISHED, parts, HZ_COUNT_OF(parts), 0);
}

static struct hz_execution *new_execution(struct hz_worker *worker, uint64_t number, const struct hz_uuid *id)
{
    if (!worker->loaded) {
        refuse_execution(worker, number, "STATE", "the worker has no flow yet");
        return NULL;
    }
    if (hz_worker_find_execution(worker, number)) {
        HZ_LOG(WARN, "execution %llu is running already", (unsigned long long)number);
        return NULL;
    }
    struct hz_execution *execution = hz_execution_new(worker, number, id);
    if (!execution || hz_worker_add_execution(worker, execution) != 0) {
        if (execution)
            hz_execution_unref(execution);
        refuse_execution(worker, number, "NOMEM", "out of memory");
        return NULL;
    }
    return execution;
}

/* Drops one that never was submitted. */
static void forget(struct hz_execution *execution, const char *code, const char *text)
{
    struct hz_worker *worker = execution->worker;
    refuse_execution(worker, execution->number, code, text);
    execution->final_state = HZ_EXEC_FAILED;
    hz_worker_execution_done(execution);
}

static void execute(struct hz_worker *worker, const struct hz_msg *msg)
{
    const struct hz_msg_execute *body = msg->body;
    struct hz_execution *execution = new_execution(worker, body->execution, &body->id);
    if (!execution)
        return;
    execution->deadline_ns = body->deadline_ns;
    execution->attempt = HZ_MAX(body->attempt, 1u);
    execution->start_node = body->node;
    execution->wants_result = (body->reserved & HZ_EXECUTE_NO_RESULT) == 0;
    /* A trigger's run() makes watches and timers, which belong to the main loop. */
    execution->pinned = body->node == HZ_NO_NODE && worker->plan->trigger_count > 0;
    if (body->node != HZ_NO_NODE && body->node < worker->site_count)
        execution->start_event = worker->sites[body->node].trigger;
    const char *error = "out of memory";
    if (msg->str[0].len == 0) {
        execution->start_data = hz_value_object();
    } else if (worker->thread_count == 1) { /* nobody else could parse it meanwhile: no copy */
        execution->start_data = hz_value_parse(msg->str[0].data, msg->str[0].len, &error);
    } else {
        execution->bytes = malloc(msg->str[0].len);
        execution->data_len = msg->str[0].len;
        if (execution->bytes)
            memcpy(execution->bytes, msg->str[0].data, msg->str[0].len);
    }
    if (!execution->start_data && !execution->bytes) {
        forget(execution, "INPUT", error);
        return;
    }
    hz_pool_submit(worker, execution);
}

static void resume(struct hz_worker *worker, const struct hz_msg *msg)
{
    const struct hz_msg_resume *body = msg->body;
    struct hz_execution *execution = new_execution(worker, body->execution, &body->id);
    if (!execution)
        return;
    execution->deadline_ns = body->deadline_ns;
    execution->attempt = HZ_MAX(body->attempt, 1u);
    execution->wants_result = (body->flags & HZ_EXECUTE_NO_RESULT) == 0;
    execution->is_resume = true;
    execution->bytes = malloc(msg->str[0].len ? msg->str[0].len : 1);
    if (!execution->bytes) {
        forget(execution, "NOMEM", "out of memory");
        return;
    }
    if (msg->str[0].len)
        memcpy(execution->bytes, msg->str[0].data, msg->str[0].len);
    execution->data_len = msg->str[0].len;
    hz_pool_submit(worker, execution);
}

static void checkpointed(struct hz_worker *worker, const struct hz_msg *msg)
{
    const struct hz_msg_checkpointed *body = msg->body;
    struct hz_execution *execution = hz_worker_find_execution(worker, body->execution);
    if (execution) /* else it has ended meanwhile */
        hz_checkpoint_saved(execution, body->sequence);
}

static void http_request(struct hz_worker *worker, const struct hz_msg *msg)
{
    const struct hz_msg_http_request *body = msg->body;
    struct hz_execution *execution = new_execution(worker, body->execution, &body->id);
    if (!execution)
        return;
    atomic_store(&execution->http, HZ_HTTP_OPEN);
    execution->is_request = true;
    execution->deadline_ns = body->deadline_ns;
    execution->start_node = body->node;
    execution->start_event = true;
    execution->meta_len = msg->str[0].len;
    execution->type_len = msg->str[1].len;
    execution->body_len = msg->str[2].len;
    size_t total = msg->str[0].len + msg->str[1].len + msg->str[2].len, at = 0;
    execution->bytes = malloc(total ? total : 1);
    if (!execution->bytes || body->node >= worker->site_count || !worker->sites[body->node].trigger) {
        forget(execution, "INPUT", execution->bytes ? "the request is for a node that is no trigger" : "out of memory");
        return;
    }
    for (size_t i = 0; i < 3; i++) {
        if (msg->str[i].len > 0)
            memcpy(execution->bytes + at, msg->str[i].data, msg->str[i].len);
        at += msg->str[i].len;
    }
    hz_pool_submit(worker, execution);
}

static void cancel(struct hz_worker *worker, const struct hz_msg *msg)
{
    const struct hz_msg_cancel *body = msg->body;
    struct hz_execution *execution = hz_worker_find_execution(worker, body->execution);
    if (execution) /* else it has ended meanwhile */
        hz_executor_cancel(execution, body->state, msg->str[0].data, msg->str[0].len);
}

static void http_gone(struct hz_worker *worker, const struct hz_msg *msg)
{
    const struct hz_msg_http_gone *body = msg->body;
    struct hz_execution *execution = hz_worker_find_execution(worker, body->execution);
    uint32_t open = HZ_HTTP_OPEN;
    if (execution)
        (void)atomic_compare_exchange_strong(&execution->http, &open, HZ_HTTP_GONE);
}

void hz_command_run(struct hz_worker *worker, const struct hz_msg *msg)
{
    switch (msg->type) {
    case HZ_MSG_ASSIGN:
        assign(worker, msg);
        break;
    case HZ_MSG_PLAN:
        plan(worker, msg);
        break;
    case HZ_MSG_EXECUTE:
        execute(worker, msg);
        break;
    case HZ_MSG_HTTP_REQUEST:
        http_request(worker, msg);
        break;
    case HZ_MSG_RESUME:
        resume(worker, msg);
        break;
    case HZ_MSG_CHECKPOINTED:
        checkpointed(worker, msg);
        break;
    case HZ_MSG_CANCEL:
        cancel(worker, msg);
        break;
    case HZ_MSG_REQUEST:
        hz_answer_request(worker, msg);
        break;
    case HZ_MSG_RESPONSE:
        hz_ask_response(worker, msg);
        break;
    case HZ_MSG_SHUTDOWN:
        hz_report_linef(worker->threads[0], 0, HZ_NO_NODE, HZ_LEVEL_INFO,
                "Worker %s recibió mensaje de shutdown, terminando...", worker->id_text);
        hz_worker_end(worker, 0);
        break;
    case HZ_MSG_HTTP_GONE:
        http_gone(worker, msg);
        break;
    default: /* unknown types are ignored on both sides */
        break;
    }
}

int hz_command_await_plan(struct hz_worker *worker)
{
    while (!worker->plan && !atomic_load(&worker->ending)) {
        struct hz_msg msg;
        hz_stream_in_begin(&worker->commands, 0, 0);
        enum hz_ring_result result = HZ_RING_OK;
        while (!worker->plan && result == HZ_RING_OK) {
            result = hz_stream_in_next(&worker->commands, &msg);
            if (result != HZ_RING_OK)
                break;
            if (msg.type == HZ_MSG_PLAN && worker->assigned) {
                int r = copy_plan(worker, &msg);
                if (r != 0)
                    return r;
            } else {
                hz_command_run(worker, &msg);
            }
        }
        hz_stream_in_end(&worker->commands);
        if (result == HZ_RING_POISON || result == HZ_RING_CLOSED)
            return hz_err_set(HZ_EPOISON, "command ring");
        if (worker->plan)
            break;
        hz_doorbell_sleep(&worker->bell);
        int ready = hz_ring_has_data(&worker->segment.commands) ? 0 : hz_doorbell_wait(&worker->bell, -1);
        hz_doorbell_awake(&worker->bell, ready > 0);
        if (ready < 0)
            return hz_err_set(ready, "doorbell");
    }
    return 0;
}

void hz_command_load(struct hz_worker *worker)
{
    if (worker->plan && !worker->loaded)
        load(worker);
}
