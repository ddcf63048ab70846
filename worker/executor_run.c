/*
 * executor_run.c - one node run: parameters, the node's code, what its answer means; retries, time limits, waiting calls,
 * exclusive nodes, blocking nodes. Worker, the thread that owns the execution.
 */
#include "executor_run.h"
#include "call.h"
#include "checkpoint.h"
#include "crash.h"
#include "js.h"
#include "node_stats.h"
#include "pool.h"
#include "report.h"
#include "worker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

HZ_KEEPS_WHAT_IS_ALLOCATED /* what is parked is owned by its site's line */

#define RETRY_DELAY_MAX_MS 60000u
#define RETRY_JITTER 5u

const char *hz_executor_code_text(int code)
{
    switch (code) {
    case HZ_ERR_NOMEM:
        return "out of memory";
    case HZ_ERR_INVALID:
        return "invalid argument";
    case HZ_ERR_NOENT:
        return "not found";
    case HZ_ERR_ALREADY:
        return "done already";
    case HZ_ERR_CLOSED:
        return "closed";
    case HZ_ERR_LIMIT:
        return "a limit was reached";
    case HZ_ERR_FAILED:
        return "the node failed";
    default:
        return "the node returned an unknown code";
    }
}

/* ---- exclusive sites ---- */

/* True: the site is ours now. False: the execution waits in line with this delivery. */
static bool enter_site(struct hz_site *site, struct hz_execution *execution, const struct hz_delivery *delivery)
{
    pthread_mutex_lock(&site->lock);
    bool mine = !site->busy;
    if (mine) {
        site->busy = true;
    } else {
        execution->parked = true;
        execution->parked_at = *delivery;
        execution->next_parked = NULL;
        (void)atomic_fetch_add_explicit(&execution->refs, 1, memory_order_relaxed); /* the line's */
        if (site->wait_last)
            site->wait_last->next_parked = execution;
        else
            site->wait_first = execution;
        site->wait_last = execution;
    }
    pthread_mutex_unlock(&site->lock);
    return mine;
}

static void run_grant(struct hz_thread *thread, struct hz_mail *mail);

/* The next in line gets the site; it stays busy on its behalf. */
static void leave_site(struct hz_site *site)
{
    pthread_mutex_lock(&site->lock);
    struct hz_execution *next = site->wait_first;
    if (next) {
        site->wait_first = next->next_parked;
        if (!site->wait_first)
            site->wait_last = NULL;
    } else {
        site->busy = false;
    }
    pthread_mutex_unlock(&site->lock);
    if (next) {
        next->grant_mail.run = run_grant;
        hz_thread_post(next->thread, &next->grant_mail);
    }
}

static void run_grant(struct hz_thread *thread, struct hz_mail *mail)
{
    (void)thread;
    struct hz_execution *execution = HZ_CONTAINER_OF(mail, struct hz_execution, grant_mail);
    struct hz_site *site = &execution->worker->sites[execution->parked_at.node];
    if (execution->parked) {
        execution->parked = false;
        hz_executor_enter(execution);
        hz_executor_run(execution, &execution->parked_at, true);
        hz_executor_leave(execution);
    } else {
        leave_site(site); /* it ended while the grant was under way */
    }
    hz_execution_unref(execution);
}

void hz_executor_unpark(struct hz_execution *execution)
{
    struct hz_site *site = &execution->worker->sites[execution->parked_at.node];
    bool found = false;
    pthread_mutex_lock(&site->lock);
    struct hz_execution *before = NULL;
    for (struct hz_execution *e = site->wait_first; e; before = e, e = e->next_parked) {
        if (e != execution)
            continue;
        if (before)
            before->next_parked = e->next_parked;
        else
            site->wait_first = e->next_parked;
        if (site->wait_last == e)
            site->wait_last = before;
        found = true;
        break;
    }
    pthread_mutex_unlock(&site->lock);
    execution->parked = false;
    if (found)
        hz_execution_unref(execution); /* else the grant is under way and holds the reference */
}

/* ---- parameters and templates ---- */

static bool scope_node(void *arg, uint32_t index, const hz_value **ret_data, const hz_value **ret_meta)
{
    struct hz_call *call = arg;
    const struct hz_branch_entry *entry = hz_branch_get(&call->owner->branches, call->at.branch, index);
    if (!entry)
        return false;
    *ret_data = entry->data;
    *ret_meta = entry->meta;
    return true;
}

static struct hz_js *scope_js(void *arg)
{
    struct hz_call *call = arg;
    return hz_pool_js(call->owner);
}

static bool tree_holds(const struct hz_plan *plan, uint32_t tree_index, const char *text, size_t len, unsigned depth)
{
    const struct hz_plan_tree *tree = hz_plan_tree(plan, tree_index);
    if (depth > HZ_VALUE_DEPTH)
        return false;
    if (tree->kind == HZ_TREE_TEMPLATE) {
        for (uint32_t i = 0; i < tree->b; i++) {
            const struct hz_plan_part *part = hz_plan_part(plan, tree->a + i);
            if (part->expr == UINT32_MAX)
                continue;
            struct hz_plan_text source = hz_plan_expr(plan, part->expr)->text;
            if (source.len == len && memcmp(hz_plan_chars(plan, source), text, len) == 0)
                return true;
        }
    } else if (tree->kind == HZ_TREE_OBJECT || tree->kind == HZ_TREE_ARRAY) {
        for (uint32_t i = 0; i < tree->b; i++)
            if (tree_holds(plan, hz_plan_member(plan, tree->a + i)->tree, text, len, depth + 1))
                return true;
    }
    return false;
}

/* An expression failed: a line for people, and the reason for hz_param_error() of every property that holds it. */
static void scope_failed(void *arg, const char *expression, size_t len, const char *reason)
{
    struct hz_call *call = arg;
    const struct hz_site *site = call->site;
    const struct hz_plan *plan = call->execution->worker->plan;
    hz_report_linef(call->owner, call->execution->number, site->index, HZ_LEVEL_ERROR,
            "%s \033[41m Error Property \033[0m %.*s %s", site->name.data, (int)HZ_MIN(len, (size_t)4096), expression, reason);
    size_t reason_len = strlen(reason);
    for (uint32_t i = 0; i < site->plan->prop_count; i++) {
        const struct hz_plan_prop *prop = hz_plan_prop(plan, site->plan->first_prop + i);
        bool known = false;
        for (struct hz_param_error *e = call->param_errors; e && !known; e = e->next)
            known = e->prop == i;
        if (known || !tree_holds(plan, prop->tree, expression, len, 0))
            continue;
        struct hz_param_error *error = hz_call_alloc(call, sizeof(*error) + reason_len + 1);
        if (!error)
            return;
        char *text = (char *)(error + 1);
        memcpy(text, reason, reason_len + 1);
        *error = (struct hz_param_error){.next = call->param_errors, .prop = i, .reason = {text, reason_len}};
        call->param_errors = error;
    }
}

static struct hz_scope scope_of(struct hz_call *call)
{
    struct hz_worker *worker = call->execution->worker;
    const struct hz_plan *plan = worker->plan;
    const char *input_name = "";
    if (call->at.edge != HZ_NO_EDGE)
        input_name = hz_plan_chars(plan, hz_plan_edge(plan, call->at.edge)->input);
    return (struct hz_scope){.input_node = call->at.origin == HZ_NO_NODE ? "" : worker->sites[call->at.origin].id.data,
            .input_name = input_name, .input_data = call->at.data, .node = scope_node, .arg = call, .env = worker->env,
            .js = scope_js, .failed = scope_failed};
}

int hz_executor_params(struct hz_call *call)
{
    const struct hz_site *site = call->site;
    uint32_t count = site->plan->prop_count;
    if (site->constant || count == 0) {
        call->params = site->constant;
        return 0;
    }
    const hz_value **values = call->few_params;
    if (count > HZ_CALL_FEW)
        values = hz_call_alloc(call, count * sizeof(const hz_value *));
    if (!values)
        return HZ_ERR_NOMEM;
    struct hz_scope scope = scope_of(call);
    hz_crash_phase(call->owner, HZ_PHASE_EXPRESSION, site->index, call->execution->number);
    int r = hz_program_params(call->execution->worker->program, site->index, &scope, values);
    hz_crash_host(call->owner);
    if (r < 0)
        return HZ_ERR_NOMEM;
    call->params = values;
    call->param_count = count;
    return 0;
}

static bool no_node(void *arg, uint32_t index, const hz_value **ret_data, const hz_value **ret_meta)
{
    (void)arg;
    (void)index;
    (void)ret_data;
    (void)ret_meta;
    return false;
}

int hz_executor_constants(struct hz_worker *worker, struct hz_thread *thread, struct hz_site *site)
{
    (void)thread;
    uint32_t count = site->plan->prop_count;
    if ((site->plan->flags & HZ_PLAN_NODE_CONSTANT) == 0 || count == 0)
        return 0;
    const hz_value **values = calloc(count, sizeof(const hz_value *));
    if (!values)
        return HZ_ENOMEM;
    struct hz_scope scope = {.input_node = "", .input_name = "", .node = no_node, .env = worker->env};
    int r = hz_program_params(worker->program, site->index, &scope, values);
    if (r < 0) {
        free(values);
        return HZ_ENOMEM;
    }
    site->constant = values;
    return 0;
}

void hz_executor_log(struct hz_call *call, const struct hz_plan_log *log)
{
    if (log->type == HZ_PLAN_LOG_NONE || log->tree == UINT32_MAX)
        return;
    static const enum hz_level levels[] = {HZ_LEVEL_INFO, HZ_LEVEL_DEBUG, HZ_LEVEL_INFO, HZ_LEVEL_WARN, HZ_LEVEL_ERROR};
    struct hz_scope scope = scope_of(call);
    struct hz_buffer text = {0};
    if (hz_program_text(call->execution->worker->program, log->tree, &scope, &text) >= 0 && !text.failed)
        hz_report_linef(call->owner, call->execution->number, call->site->index,
                levels[log->type < HZ_COUNT_OF(levels) ? log->type : 0], "%.*s", (int)HZ_MIN(text.len, (size_t)1 << 20),
                text.data ? text.data : "");
    hz_buffer_fini(&text);
}

/* ---- a run ---- */

/* Turns the emissions of this part of the run round, so that the first one is on top. */
static void turn_round(struct hz_execution *execution, uint32_t base)
{
    if (execution->work_count <= base + 1)
        return;
    struct hz_delivery *low = execution->work + base, *high = execution->work + execution->work_count - 1;
    while (low < high) {
        struct hz_delivery swap = *low;
        *low++ = *high;
        *high-- = swap;
    }
}

static void drop_waits(struct hz_call *call)
{
    while (call->waits) {
        struct hz_wait *wait = call->waits;
        call->waits = wait->next;
        wait->drop(wait);
    }
}

static void drop_hooks(struct hz_call *call)
{
    while (call->hooks) {
        struct hz_hook *hook = call->hooks;
        call->hooks = hook->next;
        free(hook);
    }
}

static void unlink_call(struct hz_call *call)
{
    struct hz_execution *execution = call->execution;
    if (!call->counted && !call->daemon)
        return;
    if (call->prev)
        call->prev->next = call->next;
    else if (execution->calls == call)
        execution->calls = call->next;
    if (call->next)
        call->next->prev = call->prev;
    call->prev = call->next = NULL;
    if (call->counted) {
        execution->open--;
        call->owner->stats.v[HZ_STAT_deferred]--;
    }
    call->counted = call->daemon = false;
}

static void link_call(struct hz_call *call, bool counted)
{
    struct hz_execution *execution = call->execution;
    if (call->counted || call->daemon)
        return;
    call->prev = NULL;
    call->next = execution->calls;
    if (execution->calls)
        execution->calls->prev = call;
    execution->calls = call;
    call->counted = counted;
    call->daemon = !counted;
    if (counted) {
        execution->open++;
        call->owner->stats.v[HZ_STAT_deferred]++;
    }
}

static void leave_exclusive(struct hz_call *call)
{
    if (call->exclusive) {
        call->exclusive = false;
        leave_site(call->site);
    }
}

static void close_call(struct hz_call *call)
{
    call->state = HZ_CALL_OVER;
    drop_waits(call);
    drop_hooks(call);
    hz_alarm_stop(&call->owner->alarms, &call->timeout);
    leave_exclusive(call);
    unlink_call(call);
    hz_call_let_go(call);
    hz_call_unref(call);
}

static void on_retry(struct hz_thread *thread, struct hz_alarm *alarm)
{
    (void)thread;
    struct hz_call *holder = HZ_CONTAINER_OF(alarm, struct hz_call, timeout);
    struct hz_execution *execution = holder->execution;
    struct hz_delivery again = holder->at;
    hz_executor_enter(execution);
    holder->at.data = NULL;
    holder->at.branch = NULL;
    close_call(holder);
    if (hz_executor_push(execution, &again) != 0) {
        hz_value_unref(again.data);
        hz_branch_unref(&execution->thread->branches, again.branch);
        hz_executor_fail(execution, again.node, "NOMEM", "out of memory", 13);
    }
    hz_executor_leave(execution);
}

/* The run failed and may be tried again: the message is delivered once more after the delay, which doubles with each
 * attempt. Until then an empty call holds it. The caller takes back what the failed attempt emitted. */
static bool try_again(struct hz_call *call)
{
    const struct hz_plan_node *plan = call->site->plan;
    struct hz_thread *thread = call->owner;
    if (!call->held_error)
        return false;
    uint64_t delay_ms = (uint64_t)plan->retry_delay_ms << HZ_MIN(call->at.attempt, (uint16_t)20);
    delay_ms = HZ_MIN(delay_ms, (uint64_t)RETRY_DELAY_MAX_MS);
    if (delay_ms >= RETRY_JITTER) { /* up to a fifth less, so that what failed together does not come back together */
        uint32_t random;
        hz_base_random(&random, sizeof(random));
        delay_ms -= random % (delay_ms / RETRY_JITTER + 1);
    }
    struct hz_call *holder = hz_call_new(thread, call->execution, &call->at);
    if (!holder)
        return false;
    holder->timeout.fire = on_retry;
    if (hz_alarm_set(&thread->alarms, &holder->timeout, thread->now_ns + delay_ms * 1000000u) != 0) {
        holder->at.data = NULL;
        holder->at.branch = NULL;
        holder->state = HZ_CALL_OVER;
        hz_call_unref(holder);
        return false;
    }
    hz_value_ref(holder->at.data);
    hz_branch_ref(holder->at.branch);
    holder->at.attempt++;
    if (delay_ms >= HZ_LONG_WAIT_MS)
        call->execution->long_wait = true;
    holder->retrying = true;
    holder->state = HZ_CALL_DEFERRED;
    link_call(holder, true);
    hz_report_linef(thread, call->execution->number, call->site->index, HZ_LEVEL_WARN,
            "%s: attempt %u of %u failed, again in %llu ms", call->site->name.data, (unsigned)holder->at.attempt,
            (unsigned)plan->retries + 1u, (unsigned long long)delay_ms);
    return true;
}

/* The error that was held back goes out after all. */
static void release_error(struct hz_call *call)
{
    if (!call->held_error)
        return;
    (void)hz_executor_emit_failure(call, call->held_error, NULL);
    hz_value_unref(call->held_error);
    call->held_error = NULL;
}

static void take_back(struct hz_execution *execution, uint32_t base)
{
    while (execution->work_count > base) {
        struct hz_delivery *last = &execution->work[--execution->work_count];
        hz_value_unref(last->data);
        hz_branch_unref(&execution->thread->branches, last->branch);
    }
}

static void on_timeout(struct hz_thread *thread, struct hz_alarm *alarm);

/* The node's code has returned `rc`. */
static void settle_call(struct hz_call *call, int rc)
{
    struct hz_execution *execution = call->execution;
    if (rc == HZ_DEFER && !call->done && !call->no_memory) {
        call->state = HZ_CALL_DEFERRED;
        turn_round(execution, call->base);
        call->emitted = call->emitted || execution->work_count > call->base;
        link_call(call, !(call->trigger_open && call->site->trigger && !call->event));
        if (call->daemon)
            execution->has_daemon = true;
        uint32_t timeout_ms = call->site->plan->timeout_ms;
        if (timeout_ms > 0 && call->timeout.at == 0 && !call->daemon) {
            call->timeout.fire = on_timeout;
            /* No memory for it: the execution's own deadline is left. */
            (void)!hz_alarm_set(&call->owner->alarms, &call->timeout, call->entered_ns + (uint64_t)timeout_ms * 1000000u);
        }
        return;
    }
    call->no_memory = call->no_memory || rc == HZ_ERR_NOMEM;
    if (call->no_memory && rc >= 0)
        rc = HZ_ERR_NOMEM;
    bool cancelled = atomic_load_explicit(&execution->cancel, memory_order_relaxed) != 0 || execution->abort != 0;
    if (rc < 0 && !call->errored && !cancelled) {
        const char *text = hz_executor_code_text(rc);
        (void)hz_executor_emit_error(call, text, strlen(text));
    }
    if (call->held_error && !cancelled && try_again(call))
        take_back(execution, call->base);
    else if (!cancelled)
        release_error(call);
    if (call->site->logs && rc >= 0 && !call->errored)
        hz_executor_log(call, &call->site->plan->log_exec);
    turn_round(execution, call->base);
    close_call(call);
}

/* A deferred call has waited longer than its node may: it is over, with an error. What a blocking node's thread still works
 * with is left alone: the error goes out by a call of its own. */
static void on_timeout(struct hz_thread *thread, struct hz_alarm *alarm)
{
    struct hz_call *call = HZ_CONTAINER_OF(alarm, struct hz_call, timeout), *voice = call;
    struct hz_execution *execution = call->execution;
    char text[96];
    int n = snprintf(text, sizeof(text), "the node took longer than %u ms", (unsigned)call->site->plan->timeout_ms);
    size_t len = n < 0 ? 0 : (size_t)n;
    hz_executor_enter(execution);
    if (call->blocking) {
        voice = hz_call_new(thread, execution, &call->at);
        if (voice) {
            hz_value_ref(voice->at.data);
            hz_branch_ref(voice->at.branch);
        }
    } else {
        drop_waits(call);
        call->state = HZ_CALL_RUNNING;
    }
    if (voice) {
        voice->base = execution->work_count;
        (void)hz_executor_emit_error(voice, text, len);
        if (!try_again(voice))
            release_error(voice);
        turn_round(execution, voice->base);
    } else {
        hz_executor_fail(execution, call->site->index, "NOMEM", text, len);
    }
    if (voice == call)
        call->state = HZ_CALL_DEFERRED;
    else if (voice)
        close_call(voice);
    hz_executor_cancel_call(call);
    hz_executor_leave(execution);
}

/* Runs a piece of the node's code and notes where this lane is. */
#define RUN_CODE(call, rc, expression)                                                                                 \
    do {                                                                                                               \
        struct hz_thread *thread_ = (call)->owner;                                                                     \
        uint64_t number_ = (call)->execution->number;                                                                  \
        uint32_t index_ = (call)->site->index;                                                                         \
        hz_crash_enter(thread_, index_, number_);                                                                      \
        hz_recorder_add(thread_->lane->recorder, HZ_EVENT_ENTER, thread_->now_ns, number_, index_, 0, 0);              \
        struct hz_call *outer_ = hz_thread_call;                                                                       \
        hz_thread_call = (call);                                                                                       \
        (rc) = (expression);                                                                                           \
        hz_thread_call = outer_;                                                                                       \
        hz_crash_host(thread_);                                                                                        \
        thread_->now_ns = hz_base_now_ns();                                                                            \
        hz_recorder_add(thread_->lane->recorder, HZ_EVENT_LEAVE, thread_->now_ns, number_, index_, 0, 0);              \
    } while (0)

static int unknown_type(struct hz_call *call)
{
    char text[128];
    int n = snprintf(text, sizeof(text), "No existe el nodo %s", call->site->type.data);
    (void)hz_executor_emit_error(call, text, n < 0 ? 0 : HZ_MIN((size_t)n, sizeof(text) - 1));
    return HZ_OK;
}

void hz_executor_run(struct hz_execution *execution, const struct hz_delivery *delivery, bool entered)
{
    struct hz_thread *thread = execution->thread;
    struct hz_site *site = &execution->worker->sites[delivery->node];
    if (site->exclusive && !entered && !enter_site(site, execution, delivery))
        return;
    uint64_t since_ns = hz_node_stats_begin(execution);
    int64_t bytes = thread->memory.bytes;
    struct hz_call *call = hz_call_new(thread, execution, delivery);
    if (!call) {
        hz_value_unref(delivery->data);
        hz_branch_unref(&thread->branches, delivery->branch);
        if (site->exclusive)
            leave_site(site);
        hz_executor_fail(execution, site->index, "NOMEM", "out of memory", 13);
        return;
    }
    call->exclusive = site->exclusive;
    call->base = execution->work_count;
    if (!site->pure)
        execution->changes++;
    execution->node_runs++;
    thread->stats.v[HZ_STAT_node_runs]++;
    int rc;
    if (!site->desc) {
        hz_thread_call = call;
        rc = unknown_type(call);
        hz_thread_call = NULL;
    } else {
        rc = hz_executor_params(call);
        if (rc == 0) {
            if (site->logs)
                hz_executor_log(call, &site->plan->log_start);
            if (site->blocking) {
                call->part_ns = since_ns;
                call->part_bytes = bytes;
                hz_pool_run_blocking(call);
                return;
            }
            int (*code)(hz_call *) = call->event ? site->desc->event : site->desc->run;
            RUN_CODE(call, rc, code(call));
        }
    }
    hz_node_stats_add(call, since_ns, bytes, true);
    settle_call(call, rc);
}

/* ---- calls that wait ---- */

void hz_executor_continue(struct hz_call *call, hz_continue_fn *fn, void *arg)
{
    if (call->state != HZ_CALL_DEFERRED || call->retrying)
        return;
    struct hz_execution *execution = call->execution;
    bool live = !execution->finished; /* a trigger's lasting call outlives it */
    if (live)
        hz_executor_enter(execution);
    drop_hooks(call);
    call->state = HZ_CALL_RUNNING;
    call->base = execution->work_count;
    int rc;
    uint64_t since_ns = hz_node_stats_begin(execution);
    int64_t bytes = call->owner->memory.bytes;
    RUN_CODE(call, rc, fn(call, arg));
    hz_node_stats_add(call, since_ns, bytes, false);
    settle_call(call, rc);
    if (live)
        hz_executor_leave(execution);
}

struct answer { /* on the stack of hz_executor_answer() */
    hz_answer_fn *fn;
    void *arg;
    bool ok;
    const hz_value *data;
    hz_str message;
};

static int run_answer(struct hz_call *call, void *arg)
{
    const struct answer *answer = arg;
    return answer->fn(call, answer->ok, answer->data, answer->message, answer->arg);
}

void hz_executor_answer(struct hz_call *call, hz_answer_fn *fn, void *arg, bool ok, const hz_value *data, hz_str message)
{
    hz_executor_continue(call, run_answer, &(struct answer){fn, arg, ok, data, message});
}

void hz_executor_close_done(struct hz_call *call)
{
    if (call->state != HZ_CALL_DEFERRED || call->retrying)
        return;
    struct hz_execution *execution = call->execution;
    bool live = !execution->finished; /* a trigger's lasting call outlives it */
    if (live)
        hz_executor_enter(execution);
    close_call(call);
    if (live)
        hz_executor_leave(execution);
}

/* A blocking node's code is back (on the owner's thread again). */
void hz_executor_blocking_done(struct hz_call *call)
{
    struct hz_execution *execution = call->execution;
    if (atomic_load_explicit(&call->closed, memory_order_relaxed) == HZ_CLOSED_ORPHAN) {
        /* Given up meanwhile. Hooks it registered know what to release. */
        bool deferred = call->outcome == HZ_DEFER && !call->done;
        hz_executor_drop_held(call);
        call->blocking = false;
        call->state = HZ_CALL_OVER;
        if (deferred && call->hooks)
            hz_executor_post_hooks(call);
        drop_waits(call);
        leave_exclusive(call);
        hz_call_let_go(call);
        hz_executor_post_early(call);
        hz_call_unref(call);
        return;
    }
    hz_executor_enter(execution);
    execution->cpu_ns += call->blocking_cpu_ns;
    call->blocking = false;
    call->state = HZ_CALL_RUNNING;
    call->base = execution->work_count;
    if (call->state_changed)
        (void)!hz_executor_state_set(call, call->state_copy);
    hz_executor_send_held(call);
    call->owner->now_ns = hz_base_now_ns();
    hz_executor_post_early(call);
    hz_node_stats_add(call, call->part_ns, call->part_bytes, true);
    settle_call(call, call->outcome);
    hz_executor_leave(execution);
}

/* Continuations that were asked for while the blocking code still ran: their turn comes now. */
void hz_executor_post_early(struct hz_call *call)
{
    while (call->early) {
        struct hz_mail *mail = call->early;
        call->early = mail->next;
        hz_thread_post(call->owner, mail);
    }
}

void hz_executor_park_blocking(struct hz_call *call)
{
    call->blocking = true;
    call->state = HZ_CALL_DEFERRED;
    call->state_copy = hz_value_ref(hz_executor_state_of(call->execution, call->site->index));
    link_call(call, true);
    uint32_t timeout_ms = call->site->plan->timeout_ms;
    if (timeout_ms > 0) {
        call->timeout.fire = on_timeout;
        (void)!hz_alarm_set(&call->owner->alarms, &call->timeout, call->entered_ns + (uint64_t)timeout_ms * 1000000u);
    }
}

/* ---- cancelled calls ---- */

struct hook_mail {
    struct hz_mail mail;
    struct hz_call *call;
};

static void run_hooks(struct hz_thread *thread, struct hz_mail *mail)
{
    (void)thread;
    struct hook_mail *letter = HZ_CONTAINER_OF(mail, struct hook_mail, mail);
    struct hz_call *call = letter->call;
    while (call->hooks) {
        struct hz_hook *hook = call->hooks;
        call->hooks = hook->next;
        hook->fn(hook->arg, 0);
        free(hook);
    }
    hz_call_unref(call);
    free(letter);
}

/* Hands the call's hooks to the main loop; takes a reference of the call for it. Without memory they cannot run: what they
 * would release is lost, the call is safe. */
void hz_executor_post_hooks(struct hz_call *call)
{
    struct hook_mail *letter = malloc(sizeof(*letter));
    if (!letter)
        return;
    *letter = (struct hook_mail){.mail = {.run = run_hooks}, .call = call};
    (void)atomic_fetch_add_explicit(&call->refs, 1, memory_order_relaxed);
    hz_thread_post(call->execution->worker->threads[0], &letter->mail);
}

static void hold_execution(struct hz_call *call)
{
    if (call->holds_execution)
        return;
    call->holds_execution = true;
    (void)atomic_fetch_add_explicit(&call->execution->refs, 1, memory_order_relaxed);
}

void hz_executor_cancel_call(struct hz_call *call)
{
    bool host_waits = call->waits != NULL || call->retrying;
    hz_alarm_stop(&call->owner->alarms, &call->timeout);
    unlink_call(call);
    hold_execution(call);
    if (call->blocking) { /* its thread still works with it; hz_executor_blocking_done() does the rest */
        atomic_store_explicit(&call->closed, HZ_CLOSED_ORPHAN, memory_order_release);
        return;
    }
    leave_exclusive(call);
    drop_waits(call);
    call->state = HZ_CALL_OVER;
    hz_call_let_go(call);
    if (call->hooks) {
        atomic_store_explicit(&call->closed, HZ_CLOSED_HOOKED, memory_order_release);
        hz_executor_post_hooks(call);
        hz_call_unref(call);
    } else if (host_waits) {
        atomic_store_explicit(&call->closed, HZ_CLOSED_HOOKED, memory_order_release);
        hz_call_unref(call);
    } else {
        /* Somebody out there will resume it some day: the struct waits for that. */
        atomic_store_explicit(&call->closed, HZ_CLOSED_STRANDED, memory_order_release);
    }
}

void hz_executor_cancel_calls(struct hz_execution *execution)
{
    for (struct hz_call *call = execution->calls, *next; call; call = next) {
        next = call->next;
        if (!call->daemon)
            hz_executor_cancel_call(call);
    }
}

void hz_executor_drop_calls(struct hz_execution *execution)
{
    while (execution->calls) {
        struct hz_call *call = execution->calls;
        if (call->blocking) { /* its thread did not come back: leave it what it works with */
            unlink_call(call);
            continue;
        }
        close_call(call);
    }
}
