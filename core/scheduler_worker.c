/*
 * scheduler_worker.c - what workers report about executions, and what becomes of them when a worker is lost. Every number in a
 * record is looked up in our tables and must belong to that worker. On the worker's shard.
 *
 * Lanes have rings of their own, so the end of an execution that was stolen can be seen before its beginning: such an end waits,
 * bounded, for the record that must be in another ring.
 */
#include "executions.h"
#include "webhooks.h"

#include "lines.h"

#include "core/flow/plan.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

HZ_KEEPS_WHAT_IS_ALLOCATED /* what came early is owned by its worker's list */

#define OWN_MOST 65536u                /* executions a worker may have begun by itself and not ended */
#define EARLY_BYTES ((size_t)64 << 20) /* ends that wait for their beginning */
#define EARLY_BUCKETS 1024u            /* OWN_MOST of them: 64 in each */
#define START_TRIES 3u

struct hz_early {
    struct hz_early *next;
    size_t bytes;
    struct hz_msg_finished body;
    struct hz_msg msg; /* its strings point into data */
    char data[];
};

static void node_name(const struct hz_worker *w, uint32_t node, char ret_name[128])
{
    ret_name[0] = 0;
    if (node < w->workflow->plan->node_count) {
        struct hz_plan_text name = hz_plan_node(w->workflow->plan, node)->name;
        snprintf(ret_name, 128, "%.*s", (int)HZ_MIN(name.len, 127u), hz_plan_chars(w->workflow->plan, name));
    }
}

static void after_end(struct hz_worker *w, struct hz_service *service)
{
    if (service && service->kind == HZ_SERVICE_POOL && !w->buried)
        hz_dispatch_pool(service);
    else if (w->purpose == HZ_PURPOSE_SINGLE && cds_list_empty(&w->executions))
        hz_worker_done(w);
}

static void end_execution(struct hz_worker *w, struct hz_execution *e, const struct hz_msg *msg)
{
    const struct hz_msg_finished *f = msg->body;
    char node[128];
    node_name(w, f->node, node);
    struct hz_outcome outcome = {.state = (enum hz_exec_state)f->state, .error = msg->str[0].data, .error_len = msg->str[0].len,
            .code = msg->str[1].data, .code_len = msg->str[1].len, .node = f->state == HZ_EXEC_SUCCESS ? NULL : node,
            .result = msg->str[2].data, .result_len = msg->str[2].len, .node_runs = f->node_runs, .cpu_ns = f->cpu_ns,
            .peak_bytes = f->peak_bytes};
    if (outcome.state == HZ_EXEC_CANCELLED && e->wanted == HZ_EXEC_CANCELLED && !outcome.error_len) {
        outcome.error = e->reason;
        outcome.error_len = strlen(e->reason);
    }
    struct hz_service *service = e->service;
    if (e->number & HZ_NUMBER_WORKER) {
        w->own_count--;
        hz_worker_poll_behind(w); /* nobody but the store bounds how many it begins and ends */
    }
    if (e->http.shard)
        hz_http_ended(e, outcome.state, false);
    hz_execution_finish(e, &outcome);
    after_end(w, service);
}

/* ---- beginnings and ends ---- */

static struct hz_early **early_bucket(struct hz_worker *w, uint64_t number)
{
    return &w->early[hz_executions_hash(number) % EARLY_BUCKETS];
}

static void keep_early(struct hz_worker *w, const struct hz_msg *msg)
{
    size_t strings = msg->str[0].len + msg->str[1].len + msg->str[2].len;
    bool room = w->early_count < OWN_MOST && w->early_bytes + strings <= EARLY_BYTES;
    if (room && !w->early)
        w->early = calloc(EARLY_BUCKETS, sizeof(struct hz_early *));
    struct hz_early *early = room && w->early ? malloc(sizeof *early + strings) : NULL;
    if (!early) {
        hz_worker_poison(w, "too many executions end that never began");
        return;
    }
    early->bytes = strings + sizeof *early;
    early->body = *(const struct hz_msg_finished *)msg->body;
    early->msg = *msg;
    early->msg.body = &early->body;
    char *at = early->data;
    for (int i = 0; i < HZ_MSG_STRINGS; i++) {
        if (msg->str[i].len)
            memcpy(at, msg->str[i].data, msg->str[i].len);
        early->msg.str[i].data = at;
        at += msg->str[i].len;
    }
    struct hz_early **bucket = early_bucket(w, early->body.execution);
    early->next = *bucket;
    *bucket = early;
    w->early_bytes += early->bytes;
    w->early_count++;
}

static struct hz_early *take_early(struct hz_worker *w, uint64_t number)
{
    if (w->early_count == 0)
        return NULL;
    for (struct hz_early **link = early_bucket(w, number); *link; link = &(*link)->next) {
        struct hz_early *early = *link;
        if (early->body.execution != number)
            continue;
        *link = early->next;
        w->early_bytes -= early->bytes;
        w->early_count--;
        return early;
    }
    return NULL;
}

static void forget_early(struct hz_worker *w)
{
    for (unsigned i = 0; w->early && i < EARLY_BUCKETS; i++) {
        while (w->early[i]) {
            struct hz_early *early = w->early[i];
            w->early[i] = early->next;
            free(early);
        }
    }
    free(w->early);
    w->early = NULL;
    w->early_count = 0;
    w->early_bytes = 0;
}

static void on_finished(struct hz_worker *w, const struct hz_msg *msg)
{
    const struct hz_msg_finished *f = msg->body;
    struct hz_desk *desk = hz_desk_here();
    if (f->state != HZ_EXEC_SUCCESS && f->state != HZ_EXEC_FAILED && f->state != HZ_EXEC_CANCELLED && f->state != HZ_EXEC_TIMED_OUT) {
        hz_worker_poison(w, "an execution ended in a state that is no end");
        return;
    }
    struct hz_execution *e = desk ? hz_execution_by_number(desk, f->execution, w) : NULL;
    if (e)
        end_execution(w, e, msg);
    else if (f->execution & HZ_NUMBER_WORKER)
        keep_early(w, msg);
    else
        hz_worker_poison(w, "an execution ended that it does not have");
}

static void on_started(struct hz_worker *w, const struct hz_msg *msg)
{
    const struct hz_msg_started *s = msg->body;
    struct hz_desk *desk = hz_desk_here();
    struct hz_execution *e;
    if (!(s->execution & HZ_NUMBER_WORKER)) {
        /* One of ours, begun: nothing to learn, if it is this worker's at all. */
        if (desk && !hz_execution_by_number(desk, s->execution, w))
            hz_worker_poison(w, "an execution began that it does not have");
        return;
    }
    if (!desk || w->own_count >= OWN_MOST || hz_execution_by_number(desk, s->execution, w)) {
        hz_worker_poison(w, "more executions of its own than a worker may have, or one number twice");
        return;
    }
    struct hz_workflow *workflow = hz_workflow_ref(w->workflow);
    int err = hz_execution_new(desk, workflow, &s->id, s->execution, w, true, &e);
    if (err) {
        hz_workflow_unref(&workflow);
        hz_worker_poison(w, err == HZ_EEXISTS ? "an execution of its own with the id of another" : "out of memory for its executions");
        return;
    }
    w->own_count++;
    e->activation = w->execution;
    snprintf(e->trigger, sizeof e->trigger, "trigger");
    cds_list_del(&e->node);
    cds_list_add_tail(&e->node, &w->executions);
    w->info.in_flight++;
    w->dirty_info = true;
    e->begun_ns = hz_base_now_ns();
    hz_execution_set_state(e, HZ_EXEC_RUNNING);
    struct hz_early *early = take_early(w, s->execution);
    if (early)
        end_execution(w, e, &early->msg);
    free(early);
}

/* A claim like every figure of a worker; the nodes' names are the plan's, each node once. Kept until the execution is over. */
static void take_node_runs(struct hz_worker *w, const struct hz_msg *msg)
{
    const struct hz_msg_node_runs *head = msg->body;
    const struct hz_plan *plan = w->workflow->plan;
    struct hz_desk *desk = hz_desk_here();
    struct hz_execution *e = desk && w->workflow->node_stats ? hz_execution_by_number(desk, head->execution, w) : NULL;
    size_t count = msg->str[0].len / sizeof(struct hz_msg_node_run);
    json_t *list = e && count <= plan->node_count ? json_array() : NULL;
    for (size_t i = 0; list && i < count; i++) {
        struct hz_msg_node_run run;
        memcpy(&run, msg->str[0].data + i * sizeof run, sizeof run);
        if (run.node >= plan->node_count)
            continue;
        const struct hz_plan_node *node = hz_plan_node(plan, run.node);
        json_t *one = json_pack("{s:s%, s:s%, s:s%, s:I, s:I, s:I, s:I}", "id", hz_plan_chars(plan, node->id), (size_t)node->id.len, "name",
                hz_plan_chars(plan, node->name), (size_t)node->name.len, "type", hz_plan_chars(plan, node->type), (size_t)node->type.len, "runs",
                (json_int_t)run.runs, "errors", (json_int_t)run.errors, "timeNs", (json_int_t)run.time_ns, "peakBytes",
                (json_int_t)run.peak_bytes);
        if (one)
            (void)json_array_append_new(list, one); /* out of memory: left out */
    }
    char *text = list ? json_dumps(list, JSON_COMPACT) : NULL;
    json_decref(list);
    if (!text)
        return;
    free(e->node_runs);
    e->node_runs = text;
}

static void on_message(struct hz_worker *w, const struct hz_msg *msg)
{
    switch ((int)msg->type) {
    case HZ_MSG_STARTED:
        on_started(w, msg);
        break;
    case HZ_MSG_FINISHED:
        on_finished(w, msg);
        break;
    case HZ_MSG_CHECKPOINT:
        hz_checkpoint_take(w, msg);
        break;
    case HZ_MSG_NODE_RUNS:
        take_node_runs(w, msg);
        break;
    case HZ_MSG_HTTP_ANSWER:
        hz_http_answer(w, msg);
        break;
    case HZ_MSG_LISTEN:
        hz_webhooks_listen(w, msg);
        break;
    case HZ_MSG_ASK:
        hz_ask_take(w, msg);
        break;
    case HZ_MSG_TELL:
        hz_tell_take(w, msg);
        break;
    default:
        break;
    }
}

static void not_starting(struct hz_worker *w)
{
    struct hz_desk *desk = hz_desk_here();
    if (!w->counted_starting || !desk)
        return;
    w->counted_starting = false;
    desk->single_starting--;
    hz_dispatch_singles(desk);
}

static void on_ready(struct hz_worker *w)
{
    hz_webhooks_open(w);
    not_starting(w);
    if (w->service && w->service->activation)
        hz_activation_ready(w->service, w);
    else if (w->purpose == HZ_PURPOSE_SINGLE && w->info.port)
        hz_lines_print(false, "Worker %s listo para ejecutar workflow %s", w->info.id_text, w->info.workflow_id);
    if (w->service && w->service->kind == HZ_SERVICE_POOL)
        hz_dispatch_pool(w->service);
}

static void on_closing(struct hz_worker *w)
{
    hz_webhooks_close(w);
}

static void on_overrun(struct hz_worker *w, uint64_t number, uint32_t limit_ms)
{
    struct hz_desk *desk = hz_desk_here();
    struct hz_execution *e = desk ? hz_execution_by_number(desk, number, w) : NULL;
    if (e)
        hz_dispatch_overrun(e, limit_ms);
}

static bool on_name(struct hz_worker *w, uint64_t number, char ret_id[HZ_UUID_TEXT])
{
    struct hz_desk *desk = hz_desk_here();
    struct hz_execution *e = desk ? hz_execution_by_number(desk, number, w) : NULL;
    if (e)
        hz_uuid_format(&e->id, ret_id);
    return e != NULL;
}

static const char *on_input(struct hz_worker *w, uint64_t number, size_t *ret_len, bool *ret_error_flow)
{
    struct hz_desk *desk = hz_desk_here();
    struct hz_execution *e = desk && number ? hz_execution_by_number(desk, number, w) : NULL;
    *ret_error_flow = false;
    struct hz_execution *any;
    cds_list_for_each_entry(any, &w->executions, node)
        *ret_error_flow |= strcmp(any->trigger, "error") == 0;
    *ret_len = e ? e->input_len : 0;
    return e ? e->input : NULL;
}

/* ---- a worker is lost ---- */

static void end_lost(struct hz_execution *e, enum hz_exec_state state, const char *error, const struct hz_death *death)
{
    char buf[24];
    const char *code = death->crashed && death->signal ? hz_attribution_signal(death->signal, buf) : NULL;
    bool accused = state == HZ_EXEC_CRASHED || (state == HZ_EXEC_FAILED && death->intent == HZ_INTENT_OVERRUN);
    struct hz_outcome outcome = {.state = state, .error = error, .error_len = strlen(error), .node = accused ? death->node_name : NULL,
            .code = accused ? code : NULL, .code_len = accused && code ? strlen(code) : 0};
    if (e->http.shard)
        hz_http_ended(e, state, true);
    hz_execution_finish(e, &outcome);
}

/* One execution of a lost worker: the table of what becomes of it. */
static void settle(struct hz_worker *w, struct hz_execution *e, const struct hz_death *death, bool spawn_lost)
{
    char text[1024];
    bool meant = death->intent_execution == e->number && e->number != 0;
    if (spawn_lost && ++e->spawn_tries < START_TRIES && hz_dispatch_again(e))
        return;
    if (death->intent == HZ_INTENT_STOP) {
        snprintf(text, sizeof text, "Detenido por %s", w->user);
        end_lost(e, HZ_EXEC_CANCELLED, text, death);
    } else if (death->intent == HZ_INTENT_RESTART && hz_dispatch_again(e)) { /* NOLINT(bugprone-branch-clone): the order counts */
        return;
    } else if (meant && (death->intent == HZ_INTENT_DEADLINE || death->intent == HZ_INTENT_CANCEL || death->intent == HZ_INTENT_OVERRUN)) {
        snprintf(text, sizeof text, "%s; %s", e->reason, death->text);
        end_lost(e, e->wanted, text, death);
    } else if (death->intent == HZ_INTENT_START_TIMEOUT) {
        snprintf(text, sizeof text, "Timeout al iniciar worker %s", w->info.id_text);
        end_lost(e, HZ_EXEC_FAILED, text, death);
    } else if (death->crashed && death->execution == e->number) {
        end_lost(e, HZ_EXEC_CRASHED, death->text, death);
    } else if (death->intent == HZ_INTENT_LIMIT && w->purpose == HZ_PURPOSE_SINGLE) {
        end_lost(e, HZ_EXEC_FAILED, death->text, death);
    } else if (w->fatal[0] || (!w->ready && w->purpose == HZ_PURPOSE_SINGLE && death->signal != SIGKILL && death->intent == HZ_INTENT_NONE)) {
        end_lost(e, HZ_EXEC_FAILED, death->text, death);
    } else if (e->workflow->on_interrupt != HZ_INTERRUPT_FAIL && death->intent != HZ_INTENT_SERVER_END && hz_dispatch_again(e)) {
        return;
    } else if (death->intent == HZ_INTENT_SERVER_END && e->workflow->on_interrupt != HZ_INTERRUPT_FAIL && e->stored && e->replayable) {
        hz_execution_drop(e); /* its row is open: the next manager runs it again */
    } else {
        snprintf(text, sizeof text, "its worker was lost: %s", death->text);
        end_lost(e, HZ_EXEC_INTERRUPTED, text, death);
    }
}

/* Ends what waits for the service; the service stays. */
static void fail_queue(struct hz_service *service, const char *reason, enum hz_exec_state state)
{
    while (!cds_list_empty(&service->queue)) {
        struct hz_execution *e = cds_list_first_entry(&service->queue, struct hz_execution, node);
        service->queued--;
        e->service = NULL;
        cds_list_del(&e->node);
        cds_list_add_tail(&e->node, &e->desk->idle);
        hz_execution_fail(e, state, reason);
    }
}

void hz_service_over(struct hz_service *service, const char *reason, enum hz_exec_state state)
{
    struct hz_death death = {.intent = HZ_INTENT_NONE, .node = HZ_NO_NODE};
    snprintf(death.text, sizeof death.text, "%s", reason);
    fail_queue(service, reason, state);
    struct hz_execution *activation = service->activation;
    service->activation = NULL;
    if (activation) {
        activation->service = NULL;
        hz_execution_fail(activation, state, reason);
    }
    hz_service_free(&service);
}

static void service_lost(struct hz_worker *w, const struct hz_death *death)
{
    struct hz_service *service = w->service;
    struct hz_yard *yard = w->yard;
    w->service = NULL;
    switch (hz_service_lost(service, death)) {
    case HZ_SERVICE_NOW:
        yard->successor = hz_service_start(service, yard->successor_error, sizeof yard->successor_error);
        if (yard->successor)
            hz_dispatch_pool(service);
        else
            hz_service_over(service, yard->successor_error, HZ_EXEC_FAILED);
        break;
    case HZ_SERVICE_LATER:
        break;
    case HZ_SERVICE_PARKED:
        if (service->kind == HZ_SERVICE_POOL) { /* it stays, so that the reason does */
            fail_queue(service, service->reason, HZ_EXEC_FAILED);
            break;
        }
        hz_activation_over(service, death, w->user);
        hz_service_free(&service);
        break;
    case HZ_SERVICE_OVER:
        hz_activation_over(service, death, w->user);
        if (service->kind == HZ_SERVICE_POOL && !yard->ending)
            hz_dispatch_pool(service); /* what waits in front of a stopped worker was not asked to stop */
        else if (cds_list_empty(&service->queue))
            hz_service_free(&service);
        break;
    }
}

static void on_lost(struct hz_worker *w, const struct hz_death *death, bool spawn_lost)
{
    struct hz_desk *desk = hz_desk_here();
    struct hz_yard *yard = w->yard;
    hz_webhooks_close(w);
    hz_webhooks_forget(w);
    not_starting(w);
    if (w->purpose == HZ_PURPOSE_SINGLE && desk)
        desk->single_live--;
    struct hz_uuid single = w->execution;
    struct hz_death d = *death;
    d.intent_execution = w->intent_execution;
    /* A restart runs the same execution again before anybody hears of the end. */
    while (!cds_list_empty(&w->executions))
        settle(w, cds_list_first_entry(&w->executions, struct hz_execution, node), &d, spawn_lost);
    forget_early(w);
    if (w->service)
        service_lost(w, death);
    if (!desk)
        return;
    hz_dispatch_singles(desk);
    if (death->intent == HZ_INTENT_RESTART && w->purpose == HZ_PURPOSE_SINGLE) {
        struct hz_execution *e = hz_execution_here(desk, &single);
        yard->successor = e ? e->worker : NULL;
    }
}

const struct hz_worker_sink *hz_scheduler_sink(void)
{
    static const struct hz_worker_sink sink = {.ready = on_ready, .message = on_message, .closing = on_closing, .overrun = on_overrun,
            .name = on_name, .input = on_input, .lost = on_lost};
    return &sink;
}
