/*
 * executor.c - the life of one execution: begin, slices of node runs, waiting, end. Worker, the thread that owns the
 * execution; hz_execution_new() and hz_executor_cancel() on the main thread.
 *
 * An execution is over when nothing of it is queued, parked or awaited: the three are counted, never polled.
 */
#include "executor.h"
#include "call.h"
#include "checkpoint.h"
#include "crash.h"
#include "executor_run.h"
#include "node_stats.h"
#include "report.h"
#include "worker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define FREE_EXECUTIONS_MAX 256u
#define KEEP_WORK 64u /* deliveries whose array is kept with a free struct */
#define KEEP_ORDINALS 256u /* nodes of a flow whose ordinals are kept with a free struct */
#define LONG_SLICE_NS 200000u
#define READY_NS 1000000000u

struct hz_execution *hz_execution_new(struct hz_worker *worker, uint64_t number, const struct hz_uuid *id)
{
    struct hz_execution *execution = worker->free_executions;
    struct hz_delivery *work = NULL;
    uint32_t capacity = 0, *ordinals = NULL;
    if (execution) {
        worker->free_executions = execution->table_next;
        worker->free_execution_count--;
        work = execution->work;
        capacity = execution->work_capacity;
        ordinals = execution->ordinals;
        if (ordinals)
            memset(ordinals, 0, worker->site_count * sizeof(*ordinals));
    } else {
        execution = malloc(sizeof(*execution));
        if (!execution)
            return NULL;
    }
    memset(execution, 0, sizeof(*execution));
    execution->magic = HZ_EXECUTION_MAGIC;
    execution->number = number;
    execution->id = *id;
    execution->worker = worker;
    execution->work = work;
    execution->work_capacity = capacity;
    execution->ordinals = ordinals;
    execution->attempt = 1;
    execution->start_node = HZ_NO_NODE;
    execution->error_node = HZ_NO_NODE;
    atomic_init(&execution->refs, 1);
    atomic_init(&execution->owner, HZ_NO_OWNER);
    return execution;
}

/* What another thread may still look at (cancel_reason) goes with the struct. */
static void free_execution(struct hz_execution *execution)
{
    struct hz_worker *worker = execution->worker;
    hz_value_unref(execution->start_data);
    free(execution->bytes);
    free(execution->cancel_reason);
    free(execution->error);
    execution->magic = 0;
    bool keep = hz_thread_self && hz_thread_self->index == 0 && worker->free_execution_count < FREE_EXECUTIONS_MAX;
    if (!keep || execution->work_capacity > KEEP_WORK) {
        free(execution->work);
        execution->work = NULL;
        execution->work_capacity = 0;
    }
    if (!keep || worker->site_count > KEEP_ORDINALS) {
        free(execution->ordinals);
        execution->ordinals = NULL;
    }
    if (!keep) {
        free(execution);
        return;
    }
    execution->table_next = worker->free_executions;
    worker->free_executions = execution;
    worker->free_execution_count++;
}

void hz_execution_unref(struct hz_execution *execution)
{
    HZ_CHECK_OBJ(execution, HZ_EXECUTION_MAGIC);
    if (atomic_load_explicit(&execution->refs, memory_order_acquire) == 1 ||
            atomic_fetch_sub_explicit(&execution->refs, 1, memory_order_acq_rel) == 1)
        free_execution(execution);
}

static void ref_execution(struct hz_execution *execution)
{
    (void)atomic_fetch_add_explicit(&execution->refs, 1, memory_order_relaxed);
}

const char *hz_execution_id_text(struct hz_execution *execution)
{
    if (execution->id_text[0] == '\0')
        hz_uuid_format(&execution->id, execution->id_text);
    return execution->id_text;
}

/* ---- the bill ---- */

/*
 * CPU time of the thread that nobody has paid for yet. All its time awake is charged to somebody: what it needs between two executions
 * (reading commands, sending results, waking up) to the one that comes next, so that the sum over the executions is what the kernel
 * counts. Short stretches are taken from the clock, because asking the kernel costs as much as several node runs; what that was too much
 * or too little is made good when it is asked, at least each LONG_SLICE_NS and after each sleep (cpu_wall_ns is 0 then).
 */
static uint64_t take_cpu(struct hz_thread *thread)
{
    uint64_t now = thread->now_ns, wall = now - HZ_MIN(now, thread->billed_ns);
    struct timespec t;
    thread->billed_ns = now;
    if (now - thread->cpu_wall_ns < LONG_SLICE_NS || clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t) != 0) {
        thread->cpu_ahead_ns += wall;
        return wall;
    }
    uint64_t cpu = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec, used = cpu - thread->cpu_base_ns;
    uint64_t paid = HZ_MIN(used, thread->cpu_ahead_ns);
    thread->cpu_ahead_ns -= paid;
    thread->cpu_base_ns = cpu;
    thread->cpu_wall_ns = now;
    return used - paid;
}

static void begin_account(struct hz_execution *execution)
{
    execution->slice_ns = execution->thread->now_ns;
    execution->bytes_base = execution->thread->memory.bytes;
    /* What is left of its bound: a single run cannot take more either. */
    int64_t left = (int64_t)execution->worker->limits.bytes - execution->bytes_used;
    execution->thread->memory.limit = execution->bytes_base + HZ_MAX(left, INT64_C(65536)) * 2;
}

static int64_t bytes_now(const struct hz_execution *execution)
{
    return execution->bytes_used + (execution->thread->memory.bytes - execution->bytes_base);
}

static void end_account(struct hz_execution *execution)
{
    if (execution->slice_ns == 0)
        return;
    execution->cpu_ns += take_cpu(execution->thread);
    execution->bytes_used = bytes_now(execution);
    execution->slice_ns = 0;
    execution->thread->memory.limit = INT64_MAX;
}

/* ---- end ---- */

static void drop_work(struct hz_execution *execution)
{
    struct hz_branch_pool *branches = &execution->thread->branches;
    for (uint32_t i = 0; i < execution->work_count; i++) {
        hz_value_unref(execution->work[i].data);
        hz_branch_unref(branches, execution->work[i].branch);
    }
    execution->work_count = 0;
    if (execution->parked) {
        hz_executor_unpark(execution);
        hz_value_unref(execution->parked_at.data);
        hz_branch_unref(branches, execution->parked_at.branch);
        execution->parked = false;
    }
}

static void report_finished(struct hz_execution *execution)
{
    hz_node_stats_report(execution);
    struct hz_thread *thread = execution->thread;
    struct hz_buffer result = {0};
    if (execution->result && execution->wants_result) {
        hz_value_print(&result, execution->result);
        if (result.failed || result.len > HZ_RESULT_MAX)
            hz_buffer_fini(&result);
    }
    const char *code = execution->error_code ? execution->error_code : "";
    struct timespec t;
    /* A process of its own is its bill: all threads, and what its birth cost. */
    if (!execution->worker->resident && clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t) == 0)
        execution->cpu_ns = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
    struct hz_msg_finished finished = {.execution = execution->number, .state = execution->final_state,
            .node = execution->error_node, .node_runs = execution->node_runs, .emissions = execution->emissions,
            .cpu_ns = execution->cpu_ns,
            .peak_bytes = execution->bytes_peak > 0 ? (uint64_t)execution->bytes_peak : 0,
            .error_len = (uint32_t)execution->error_len, .code_len = (uint32_t)strlen(code), .result_len = result.len};
    struct hz_part parts[] = {{&finished, sizeof(finished)}, {execution->error, execution->error_len},
            {code, finished.code_len}, {result.data, result.len}};
    (void)hz_report_send(thread, HZ_MSG_FINISHED, parts, HZ_COUNT_OF(parts), 0);
    hz_buffer_fini(&result);
}

static void run_done(struct hz_thread *thread, struct hz_mail *mail)
{
    (void)thread;
    hz_worker_execution_done(HZ_CONTAINER_OF(mail, struct hz_execution, done_mail));
}

static void set_error(struct hz_execution *execution, uint32_t node, const char *code, const char *text, size_t len)
{
    if (execution->error_code)
        return;
    execution->error = malloc(len + 1);
    if (execution->error) {
        memcpy(execution->error, text, len);
        execution->error[len] = '\0';
        execution->error_len = len;
    }
    execution->error_node = node;
    execution->error_code = code;
}

void hz_executor_end(struct hz_execution *execution, uint32_t state)
{
    struct hz_thread *thread = execution->thread;
    HZ_ASSERT(hz_thread_self == thread && !execution->finished);
    if (state == HZ_EXEC_CANCELLED || state == HZ_EXEC_TIMED_OUT) {
        const char *reason = execution->cancel_reason;
        if (!reason)
            reason = state == HZ_EXEC_CANCELLED ? "cancelled" : "the execution took longer than its time limit";
        set_error(execution, HZ_NO_NODE, state == HZ_EXEC_CANCELLED ? "CANCELLED" : "TIMED_OUT", reason, strlen(reason));
    }
    if (execution->bytes_peak < execution->bytes_used)
        execution->bytes_peak = execution->bytes_used;
    end_account(execution);
    execution->finished = true;
    execution->final_state = state;
    hz_alarm_stop(&thread->alarms, &execution->deadline);
    drop_work(execution);
    hz_executor_cancel_calls(execution);
    hz_executor_drop_states(execution);
    hz_recorder_add(thread->lane->recorder, HZ_EVENT_END, thread->now_ns, execution->number, execution->error_node, 0, state);
    if (execution->is_first)
        hz_worker_ready(execution->worker);
    thread->stats.v[HZ_STAT_executions_finished]++;
    if (state != HZ_EXEC_SUCCESS)
        thread->stats.v[HZ_STAT_executions_failed]++;
    report_finished(execution);
    hz_value_unref(execution->result);
    execution->result = NULL;
    if (thread->index == 0) {
        hz_worker_execution_done(execution);
        return;
    }
    execution->done_mail.run = run_done;
    hz_thread_post(execution->worker->threads[0], &execution->done_mail);
}

void hz_executor_discard(struct hz_execution *execution)
{
    if (execution->finished && !execution->has_daemon)
        return; /* its last letter was under way and has been drained */
    if (!execution->finished) {
        execution->finished = true;
        hz_alarm_stop(&execution->thread->alarms, &execution->deadline);
        drop_work(execution);
        hz_executor_drop_states(execution);
        hz_value_unref(execution->result);
        execution->result = NULL;
    }
    hz_executor_drop_calls(execution);
    hz_execution_unref(execution);
}

void hz_executor_fail(struct hz_execution *execution, uint32_t node, const char *code, const char *text, size_t len)
{
    execution->failed = true;
    set_error(execution, node, code, text, len);
    const struct hz_site *site = node < execution->worker->site_count ? &execution->worker->sites[node] : NULL;
    hz_report_linef(execution->thread, execution->number, node, HZ_LEVEL_ERROR, "%s%s%.*s", site ? site->name.data : "",
            site ? ": " : "", (int)HZ_MIN(len, (size_t)65536), text);
    /* The caller of a webhook learns that it failed, and nothing else. */
    static const char answer[] = "Error en respuesta ";
    uint32_t open = HZ_HTTP_OPEN;
    if (atomic_compare_exchange_strong(&execution->http, &open, HZ_HTTP_ANSWERED)) {
        static const char type[] = "text/plain; charset=utf-8";
        struct hz_msg_http_answer head = {.execution = execution->number, .status = 500, .type_len = sizeof(type) - 1,
                .body_len = sizeof(answer) - 1};
        struct hz_part parts[] = {{&head, sizeof(head)}, {type, sizeof(type) - 1}, {answer, sizeof(answer) - 1}};
        (void)hz_report_send(execution->thread, HZ_MSG_HTTP_ANSWER, parts, HZ_COUNT_OF(parts), 0);
    }
}

/* ---- begin ---- */

/* A request body that is no JSON: the caller hears it at once and the flow is not run. */
static void refuse_request(struct hz_execution *execution, const char *reason)
{
    uint32_t open = HZ_HTTP_OPEN;
    if (atomic_compare_exchange_strong(&execution->http, &open, HZ_HTTP_ANSWERED)) {
        static const char type[] = "text/plain; charset=utf-8";
        char body[256];
        int n = snprintf(body, sizeof(body), "Bad Request: %s", reason);
        size_t len = n < 0 ? 0 : HZ_MIN((size_t)n, sizeof(body) - 1);
        struct hz_msg_http_answer head = {.execution = execution->number, .status = 400, .type_len = sizeof(type) - 1,
                .body_len = len};
        struct hz_part parts[] = {{&head, sizeof(head)}, {type, sizeof(type) - 1}, {body, len}};
        (void)hz_report_send(execution->thread, HZ_MSG_HTTP_ANSWER, parts, HZ_COUNT_OF(parts), 0);
    }
}

static const hz_value *start_input(struct hz_execution *execution, const char **ret_error)
{
    if (execution->start_data) {
        const hz_value *data = execution->start_data;
        execution->start_data = NULL;
        return data;
    }
    if (execution->is_request)
        return hz_request_input(execution->bytes, execution->meta_len, execution->bytes + execution->meta_len,
                execution->type_len, execution->bytes + execution->meta_len + execution->type_len, execution->body_len, ret_error);
    if (execution->data_len == 0)
        return hz_value_object();
    return hz_value_parse(execution->bytes, execution->data_len, ret_error);
}

static void on_deadline(struct hz_thread *thread, struct hz_alarm *alarm)
{
    (void)thread;
    hz_executor_end(HZ_CONTAINER_OF(alarm, struct hz_execution, deadline), HZ_EXEC_TIMED_OUT);
}

void hz_executor_begin(struct hz_thread *thread, struct hz_execution *execution)
{
    execution->thread = thread;
    execution->begun = true;
    execution->begun_ns = thread->now_ns;
    execution->deadline.fire = on_deadline;
    begin_account(execution);
    atomic_store(&execution->owner, thread->index);
    thread->stats.v[HZ_STAT_executions_started]++;
    hz_recorder_add(thread->lane->recorder, HZ_EVENT_BEGIN, thread->now_ns, execution->number, HZ_NO_NODE, 0, 0);
    uint32_t node = execution->start_node == HZ_NO_NODE ? execution->worker->plan->start_node : execution->start_node;
    if ((execution->number & HZ_OWN_NUMBER) != 0) {
        struct hz_msg_started started = {.execution = execution->number, .id = execution->id, .node = node};
        struct hz_part part = {&started, sizeof(started)};
        (void)hz_report_send(thread, HZ_MSG_STARTED, &part, 1, 0);
    }
    uint32_t cancel = atomic_load(&execution->cancel);
    if (cancel != 0) {
        hz_executor_end(execution, cancel);
        return;
    }
    const char *error = "out of memory";
    if (execution->is_resume) {
        char text[256];
        int r = hz_checkpoint_restore(execution, execution->bytes, execution->data_len);
        free(execution->bytes);
        execution->bytes = NULL;
        if (r == 0) {
            end_account(execution);
            hz_executor_make_ready(execution);
            return;
        }
        int n = snprintf(text, sizeof(text), "the checkpoint cannot be used: %s", hz_err_last());
        hz_executor_fail(execution, HZ_NO_NODE, "CHECKPOINT", text, n < 0 ? 0 : HZ_MIN((size_t)n, sizeof(text) - 1));
        hz_executor_end(execution, HZ_EXEC_FAILED);
        return;
    }
    const hz_value *data = start_input(execution, &error);
    free(execution->bytes);
    execution->bytes = NULL;
    if (!data || node >= execution->worker->site_count) {
        hz_value_unref(data);
        if (data)
            error = "there is no such node to begin at";
        if (execution->is_request)
            refuse_request(execution, error);
        char text[512];
        int n = snprintf(text, sizeof(text), "input: %s", error);
        hz_executor_fail(execution, HZ_NO_NODE, "INPUT", text, n < 0 ? 0 : HZ_MIN((size_t)n, sizeof(text) - 1));
        hz_executor_end(execution, HZ_EXEC_FAILED);
        return;
    }
    struct hz_delivery first = {.data = data, .node = node, .origin = HZ_NO_NODE, .edge = HZ_NO_EDGE,
            .event = execution->start_event};
    if (!execution->worker->sites[node].pure)
        first.ordinal = hz_executor_ordinal(execution, node);
    if (hz_executor_push(execution, &first) != 0) {
        hz_value_unref(data);
        hz_executor_fail(execution, HZ_NO_NODE, "NOMEM", "out of memory", 13);
        hz_executor_end(execution, HZ_EXEC_FAILED);
        return;
    }
    end_account(execution);
    hz_executor_make_ready(execution);
}

/* ---- slices ---- */

void hz_executor_make_ready(struct hz_execution *execution)
{
    if (execution->ready || execution->finished)
        return;
    struct hz_thread *thread = execution->thread;
    ref_execution(execution); /* the list's */
    execution->ready = true;
    execution->next_ready = NULL;
    if (thread->ready_last)
        thread->ready_last->next_ready = execution;
    else
        thread->ready_first = execution;
    thread->ready_last = execution;
    hz_thread_count_ready(thread, 1);
}

/* What ends an execution between two node runs; 0: nothing. */
static uint32_t verdict(struct hz_execution *execution)
{
    uint32_t cancel = atomic_load_explicit(&execution->cancel, memory_order_acquire);
    if (__builtin_expect(cancel != 0, 0))
        return cancel;
    if (__builtin_expect(execution->abort != 0, 0))
        return execution->abort;
    if (__builtin_expect(execution->deadline_ns != 0 && execution->thread->now_ns >= execution->deadline_ns, 0))
        return HZ_EXEC_TIMED_OUT;
    return 0;
}

static void limit(struct hz_execution *execution, unsigned long long bound, const char *what)
{
    char text[160];
    int n = snprintf(text, sizeof(text), "limit of %llu %s reached", bound, what);
    hz_executor_fail(execution, HZ_NO_NODE, "LIMIT", text, n < 0 ? 0 : HZ_MIN((size_t)n, sizeof(text) - 1));
    execution->abort = HZ_EXEC_FAILED;
}

static void check_limits(struct hz_execution *execution)
{
    const struct hz_limits *limits = &execution->worker->limits;
    int64_t bytes = bytes_now(execution);
    if (bytes > execution->bytes_peak)
        execution->bytes_peak = bytes;
    if (__builtin_expect(execution->abort != 0, 0))
        return;
    if (__builtin_expect(execution->node_runs >= limits->steps && execution->work_count > 0, 0))
        limit(execution, limits->steps, "node runs");
    else if (__builtin_expect(bytes > (int64_t)limits->bytes, 0))
        limit(execution, limits->bytes, "bytes of memory");
}

/* After something happened to it: goes on, waits, or is over. True: has work in hand. */
bool hz_executor_settle(struct hz_execution *execution)
{
    uint32_t end = verdict(execution);
    if (end != 0) {
        hz_executor_end(execution, end);
        return false;
    }
    if (execution->parked || execution->gated || execution->work_count == 0) {
        if (execution->parked || execution->gated || execution->open > 0) {
            if (execution->worker->checkpoints)
                hz_checkpoint_idle(execution);
            if (execution->abort != 0) {
                hz_executor_end(execution, execution->abort);
                return false;
            }
            end_account(execution);
            if (execution->is_first)
                hz_worker_ready(execution->worker);
            /* No memory for the alarm: the manager's own watch over the deadline is left. */
            if (execution->deadline_ns != 0 && execution->deadline.at == 0)
                (void)!hz_alarm_set(&execution->thread->alarms, &execution->deadline, execution->deadline_ns);
            return false;
        }
        hz_executor_end(execution, execution->failed ? HZ_EXEC_FAILED : HZ_EXEC_SUCCESS);
        return false;
    }
    return true;
}

bool hz_executor_slice(struct hz_execution *execution, uint32_t runs)
{
    HZ_CHECK_OBJ(execution, HZ_EXECUTION_MAGIC);
    struct hz_thread *thread = execution->thread;
    if (execution->slice_ns == 0)
        begin_account(execution);
    hz_alarm_stop(&thread->alarms, &execution->deadline);
    while (runs-- > 0 && verdict(execution) == 0 && execution->work_count > 0 && !execution->parked) {
        struct hz_delivery next = execution->work[execution->work_count - 1];
        if (execution->worker->checkpoints && !hz_checkpoint_passes(execution, &next))
            break;
        execution->work_count--;
        hz_executor_run(execution, &next, false);
        check_limits(execution);
    }
    hz_crash_idle(thread);
    if (!hz_executor_settle(execution))
        return false;
    end_account(execution);
    if (execution->is_first && thread->now_ns - execution->begun_ns > READY_NS)
        hz_worker_ready(execution->worker); /* it computes on and on: what listens by now shall be heard */
    return true;
}

void hz_executor_enter(struct hz_execution *execution)
{
    execution->changes++; /* when it came depends on the world outside */
    if (execution->slice_ns == 0)
        begin_account(execution);
    hz_alarm_stop(&execution->thread->alarms, &execution->deadline);
}

void hz_executor_leave(struct hz_execution *execution)
{
    check_limits(execution);
    hz_crash_idle(execution->thread);
    if (!hz_executor_settle(execution))
        return;
    end_account(execution);
    hz_executor_make_ready(execution);
}

/* ---- cancel ---- */

static void run_cancel(struct hz_thread *thread, struct hz_mail *mail)
{
    (void)thread;
    struct hz_execution *execution = HZ_CONTAINER_OF(mail, struct hz_execution, cancel_mail);
    if (!execution->finished)
        hz_executor_end(execution, atomic_load(&execution->cancel));
    hz_execution_unref(execution);
}

void hz_executor_cancel(struct hz_execution *execution, uint32_t state, const char *reason, size_t len)
{
    if (atomic_load(&execution->cancel) != 0)
        return;
    if (state != HZ_EXEC_TIMED_OUT)
        state = HZ_EXEC_CANCELLED;
    execution->cancel_reason = len > 0 ? strndup(reason, len) : NULL;
    atomic_store(&execution->cancel, state);
    uint32_t owner = atomic_load(&execution->owner);
    if (owner == HZ_NO_OWNER)
        return; /* whoever begins it will see */
    ref_execution(execution);
    execution->cancel_mail.run = run_cancel;
    hz_thread_post(execution->worker->threads[owner], &execution->cancel_mail);
}
