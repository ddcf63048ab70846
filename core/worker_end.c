/*
 * worker_end.c - how a worker ends: stop with its grace, kill with its reason, and bury(), the one end of every path. On the
 * worker's shard.
 */
#include "worker.h"

#include "secrets.h"
#include "uids.h"

#include "cgroup.h"
#include "children.h"
#include "crash.h"
#include "limits.h"
#include "history.h"
#include "lines.h"
#include "logs.h"

#include <horizon/node.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINGER_MS 2000u
#define ASK_MS 20u   /* it answers in 0.2 ms if it can answer at all and has a CPU */
#define ASK_LOOKS 10u

struct hz_worker_sink hz_worker_sink; /* set before the shards run, read-only afterwards */

void hz_worker_set_sink(const struct hz_worker_sink *sink)
{
    hz_worker_sink = *sink;
}

void hz_worker_tell_waiters(struct hz_worker *w, const char *error, bool stopped, enum hz_stop_how how)
{
    struct hz_worker_waiter *list = w->waiters;
    w->waiters = NULL;
    while (list) {
        struct hz_worker_waiter *waiter = list;
        list = waiter->next;
        if (waiter->started)
            waiter->started(waiter->arg, &w->info, error);
        else if (stopped)
            waiter->stopped(waiter->arg, how);
        else { /* it waits for the end */
            waiter->next = w->waiters;
            w->waiters = waiter;
            continue;
        }
        free(waiter);
    }
}

void hz_worker_close_far(struct hz_worker *w)
{
    for (unsigned i = 0; i < HZ_LINK_FDS; i++) {
        if (w->far_fds[i] >= 0)
            close(w->far_fds[i]);
        w->far_fds[i] = -1;
    }
}

void hz_worker_release(struct hz_worker *w)
{
    struct hz_timers *timers = hz_shard_timers(w->yard->shard);
    hz_timer_cancel(timers, &w->start_timer);
    hz_timer_cancel(timers, &w->stop_timer);
    hz_timer_cancel(timers, &w->linger_timer);
    hz_timer_cancel(timers, &w->ask_timer);
    hz_limits_end(w);
    struct hz_cgroup_end end;
    if (w->grouped) /* it never had a process */
        hz_cgroup_leave(&w->info.id, &end);
    w->grouped = false;
    hz_worker_poll_detach(w);
    hz_worker_port_detach(w);
    hz_sampler_detach(w);
    hz_reaper_detach(w);
    hz_worker_close_far(w);
    if (w->carry_fd >= 0)
        close(w->carry_fd);
    w->carry_fd = -1;
    hz_secrets_close(&w->secrets);
    hz_uids_give(w->uid);
    w->uid = 0;
    hz_link_close(&w->link);
}

static enum hz_stop_how how_it_ended(const struct hz_worker *w, const struct hz_death *death)
{
    if (w->killed && death->signal != 0)
        return HZ_STOP_KILL;
    return hz_base_now_ns() - w->stop_ns < UINT64_C(1000000000) ? HZ_STOP_FLAG : HZ_STOP_GRACE;
}

static void report_death(struct hz_worker *w, const struct hz_death *death, const char *start_error)
{
    if (!w->workflow)
        return;
    char line[128];
    const char *id = w->info.id_text;
    if (w->info.pid > 0) {
        hz_lines_print(false, "Worker %s terminó con código %d", id, death->exit_code);
        snprintf(line, sizeof line, "Worker %s terminó con código %d", id, death->exit_code);
        if (w->purpose == HZ_PURPOSE_RESIDENT || !death->expected) /* the row of a single execution tells enough */
            hz_logs_note(&w->info, hz_base_wall_ms(), HZ_LOG_INFO, NULL, line, strlen(line));
        else
            hz_logs_add(&w->info.id, hz_base_wall_ms(), line, strlen(line));
    }
    if (!w->ready && start_error)
        hz_lines_print(true, "Error al crear worker %s: %s", id, start_error);
    if (!death->expected || death->intent >= HZ_INTENT_START_TIMEOUT) {
        hz_lines_print(true, "Error en worker %s: %s", id, death->text);
        hz_logs_note(&w->info, hz_base_wall_ms(), HZ_LOG_ERROR, NULL, death->text, strlen(death->text));
    }
}

/*
 * The one end of every path. First everything it held is given back, so that whoever is told next finds port, memory and name free;
 * then executions, pending requests and waiters hear of it; then the object goes.
 */
static void bury(struct hz_worker *w, const struct hz_death *death, const char *start_error, bool spawn_lost)
{
    HZ_ASSERT(!w->buried && !w->spawning);
    struct hz_yard *yard = w->yard;
    w->buried = true;
    enum hz_stop_how how = how_it_ended(w, death);
    int32_t pid = w->info.pid;
    hz_history_dying(w);
    hz_worker_release(w);
    hz_worker_leave(w);
    if (pid > 0)
        hz_children_remove(pid);
    if (pid > 0 && (!death->expected || death->signal != 0 || (w->workflow && w->workflow->caps & HZ_CAP_EXEC)))
        hz_children_search(); /* it had no chance to end its own children, or has started some */
    report_death(w, death, start_error);
    w->info.status = HZ_WORKER_STOPPED;
    if (!w->workflow) {
        hz_logs_forget(&w->info.id);
        hz_spares_lost(w);
    } else {
        hz_registry_remove(&w->info.id);
        hz_logs_bury(&w->info.id);
        if (hz_worker_sink.lost)
            hz_worker_sink.lost(w, death, spawn_lost);
    }
    hz_worker_fail_requests(w, "Worker stopped");
    char exit_text[HZ_UUID_TEXT + 64];
    snprintf(exit_text, sizeof exit_text, "Worker %s terminó con código %d", w->info.id_text, death->exit_code);
    hz_worker_tell_waiters(w, start_error ? start_error : exit_text, true, how);
    yard->successor = NULL;
    yard->successor_error[0] = 0;
    if (w->workflow && !death->expected)
        hz_supervisor_emit(HZ_EVENT_WORKER_CRASHED, &w->info, death->text);
    if (w->workflow)
        hz_supervisor_emit(HZ_EVENT_WORKER_STOPPED, &w->info, death->text);
    HZ_ASSERT(cds_list_empty(&w->executions) && w->routes == NULL);
    hz_history_bury(w, death->expected);
    hz_workflow_unref(&w->workflow);
    free(w->progress);
    free(w->metrics);
    w->magic = 0;
    free(w);
    hz_spares_fill(yard);
}

/* text: where the kernel killed it for want of memory, how much it had, whose limit it was; "" it did not. */
static void leave_group(struct hz_worker *w, char text[256])
{
    struct hz_cgroup_end end;
    if (!w->grouped)
        return;
    w->grouped = false;
    hz_cgroup_leave(&w->info.id, &end);
    uint64_t had = end.peak_bytes ? end.peak_bytes : w->info.rss_bytes, limit = w->workflow ? w->workflow->limits.memory_bytes : 0;
    if (end.killed && end.own && limit)
        snprintf(text, 256, "at %.1f MB, a quarter above the %.1f MB allowed by workflow %.100s", (double)had / 1048576.0, (double)limit / 1048576.0,
                w->info.workflow_id);
    else if (end.killed)
        snprintf(text, 256, "at %.1f MB of workflow %.100s: the machine, or a control group above it, had no more", (double)had / 1048576.0,
                w->info.workflow_id);
}

/* There was a process, and it has been reaped. */
void hz_worker_exited(struct hz_worker *w, int code, int status)
{
    HZ_CHECK_OBJ(w, HZ_WORKER_MAGIC);
    w->reaped = true;
    hz_worker_poll_drain(w); /* what it said before it died still counts */
    char kernel_oom[256] = "";
    leave_group(w, kernel_oom);
    struct hz_evidence *evidence = calloc(1, sizeof *evidence);
    struct hz_death death = {.intent = w->intent, .signal = status, .exit_code = 128 + status, .node = HZ_NO_NODE, .text = "died"};
    if (evidence) {
        *evidence = (struct hz_evidence){.wait_code = code, .wait_status = status, .intent = w->intent, .killed = w->killed,
                .may_exit = w->may_exit, .intent_execution = w->intent_execution, .oom_rose = status == SIGKILL && !w->killed && hz_crash_oom_rose(),
                .asked = w->asked, .out_of_memory = w->limit_memory, .limit = w->limit_text[0] ? w->limit_text : NULL, .lanes = w->link.segment.geometry.lanes, .plan = w->workflow ? w->workflow->plan : NULL,
                .poison = w->link.poison_reason, .kernel_oom = kernel_oom[0] ? kernel_oom : NULL, .rss_bytes = w->info.rss_bytes};
        for (uint32_t i = 0; i < evidence->lanes; i++)
            hz_attribution_copy(&evidence->cells[i], w->link.segment.lanes[i].crash);
        hz_attribution_places(evidence, w->link.segment.lanes[0].crash);
        hz_attribution_judge(evidence, &death);
        free(evidence);
    }
    if (w->fatal[0] && !w->killed && !death.signal)
        snprintf(death.text, sizeof death.text, "%s", w->fatal);
    char id[HZ_UUID_TEXT] = "";
    size_t used = strlen(death.text), input_len = 0;
    bool error_flow = false;
    if (death.node != HZ_NO_NODE && death.execution && hz_worker_sink.name && hz_worker_sink.name(w, death.execution, id))
        snprintf(death.text + used, sizeof death.text - used, ", execution %s", id);
    else
        death.execution = 0; /* none of this worker's: its claim accuses nobody */
    if (hz_crash_wanted(w, &death)) {
        const char *input = hz_worker_sink.input ? hz_worker_sink.input(w, death.execution, &input_len, &error_flow) : NULL;
        char *report = hz_crash_report(w, &death, id, input, input_len);
        if (report)
            hz_crash_start_error_flow(w, report, error_flow);
        free(report);
    }
    char error[HZ_UUID_TEXT + 64] = "";
    if (w->intent == HZ_INTENT_START_TIMEOUT)
        snprintf(error, sizeof error, "Timeout al iniciar worker %s", w->info.id_text);
    else if (!w->ready)
        snprintf(error, sizeof error, "Worker %s terminó con código %d", w->info.id_text, death.exit_code);
    bury(w, &death, error[0] ? error : NULL, false);
}

/* There never was a process. */
void hz_worker_stillborn(struct hz_worker *w, const char *error, bool spawn_lost)
{
    struct hz_death death = {.intent = w->intent, .exit_code = 1, .node = HZ_NO_NODE, .expected = w->stopping};
    snprintf(death.text, sizeof death.text, "%s", error);
    char timeout[HZ_UUID_TEXT + 64];
    if (w->intent == HZ_INTENT_START_TIMEOUT) {
        snprintf(timeout, sizeof timeout, "Timeout al iniciar worker %s", w->info.id_text);
        error = timeout;
    }
    w->reaped = true;
    bury(w, &death, error, spawn_lost);
}

/* ---- killing and stopping ---- */

static void on_asked(struct hz_timer *timer)
{
    struct hz_worker *w = HZ_CONTAINER_OF(timer, struct hz_worker, ask_timer);
    uint64_t cpu = hz_sampler_cpu_ns(w), passed = hz_base_now_ns() - w->ask_ns;
    if (w->ask_cpu_ns != 0 && cpu >= w->ask_cpu_ns)
        /* On a busy machine a loop may get no CPU in this moment; then what it had all along tells. */
        w->asked = cpu - w->ask_cpu_ns > passed / 16 || cpu > (hz_base_now_ns() - w->flow_ns) / 16 ? HZ_ASKED_COMPUTES : HZ_ASKED_WAITS;
    bool answered = false;
    for (uint32_t i = 0; i < w->link.segment.geometry.lanes; i++)
        answered |= atomic_load_explicit(&w->link.segment.lanes[i].crash->stage, memory_order_acquire) >= 3;
    if (!answered && ++w->ask_looks < ASK_LOOKS) {
        hz_timer_after(hz_shard_timers(w->yard->shard), timer, ASK_MS, on_asked);
        return;
    }
    hz_reaper_kill(w);
}

void hz_worker_kill(struct hz_worker *w, enum hz_intent intent, uint64_t execution)
{
    HZ_CHECK_OBJ(w, HZ_WORKER_MAGIC);
    if (w->killed || w->buried || w->reaped)
        return;
    /* The reason stands before the signal goes out. A stop that ran out of patience keeps its own. */
    if (w->intent == HZ_INTENT_NONE || intent == HZ_INTENT_POISON) {
        w->intent = intent;
        w->intent_execution = execution;
    }
    w->killed = true;
    if (!w->stop_ns)
        w->stop_ns = hz_base_now_ns();
    if (!w->stopping && hz_worker_sink.closing && w->workflow)
        hz_worker_sink.closing(w);
    w->stopping = true;
    /* Before it is killed for not coming back it is asked where it is, so that the report has a stack. */
    bool ask = intent == HZ_INTENT_DEADLINE || intent == HZ_INTENT_LIMIT;
    if (w->stopped)
        w->asked = HZ_ASKED_STOPPED; /* it could not answer */
    if (w->spawning) {
        w->kill_when_known = true;
    } else if (ask && hz_reaper_ask(w)) {
        w->ask_ns = hz_base_now_ns();
        w->ask_cpu_ns = hz_sampler_cpu_ns(w);
        hz_timer_after(hz_shard_timers(w->yard->shard), &w->ask_timer, ASK_MS, on_asked);
    } else {
        hz_reaper_kill(w);
    }
}

void hz_worker_poison(struct hz_worker *w, const char *reason)
{
    if (w->buried || w->intent == HZ_INTENT_POISON)
        return;
    hz_link_poison(&w->link, reason);
    HZ_LOG(WARN, "worker %s: poisoned: %s", w->info.id_text, reason);
    w->intent = HZ_INTENT_POISON;
    hz_worker_kill(w, HZ_INTENT_POISON, 0);
    hz_worker_set_status(w, HZ_WORKER_ERROR);
}

static void on_stop_grace(struct hz_timer *timer)
{
    struct hz_worker *w = HZ_CONTAINER_OF(timer, struct hz_worker, stop_timer);
    hz_worker_kill(w, HZ_INTENT_STOP, 0);
}

void hz_worker_stop(struct hz_worker *w, enum hz_intent intent, const char *user, hz_worker_stopped_fn *fn, void *arg)
{
    HZ_CHECK_OBJ(w, HZ_WORKER_MAGIC);
    struct hz_worker_waiter *waiter = fn ? calloc(1, sizeof *waiter) : NULL;
    if (fn && !waiter) {
        HZ_LOG(ERROR, "worker %s: out of memory while it is stopped", w->info.id_text);
        fn(arg, HZ_STOP_NOT_FOUND);
        return;
    }
    if (waiter) {
        *waiter = (struct hz_worker_waiter){.next = w->waiters, .stopped = fn, .arg = arg};
        w->waiters = waiter;
    }
    if (w->stopping || w->reaped)
        return; /* joins the first */
    w->intent = intent;
    w->stop_ns = hz_base_now_ns();
    snprintf(w->user, sizeof w->user, "%s", user ? user : "");
    w->stopping = true;
    if (!w->workflow) {
        w->stopping = false;
        hz_worker_kill(w, intent, 0);
        return;
    }
    hz_worker_set_status(w, HZ_WORKER_STOPPING);
    if (hz_worker_sink.closing)
        hz_worker_sink.closing(w);
    struct hz_msg_shutdown message = {0, 0};
    struct hz_part part = {&message, sizeof message};
    uint32_t grace = w->yard->config->stop_grace_ms;
    if (hz_worker_send(w, HZ_MSG_SHUTDOWN, &part, 1) && !w->killed)
        HZ_LOG(DEBUG, "worker %s: the shutdown message finds no room", w->info.id_text); /* then the grace ends it */
    if (!w->killed)
        hz_timer_after(hz_shard_timers(w->yard->shard), &w->stop_timer, grace, on_stop_grace);
}

static void on_linger(struct hz_timer *timer)
{
    hz_worker_kill(HZ_CONTAINER_OF(timer, struct hz_worker, linger_timer), HZ_INTENT_LINGER, 0);
}

void hz_worker_done(struct hz_worker *w)
{
    w->may_exit = true;
    if (!w->reaped)
        hz_timer_after(hz_shard_timers(w->yard->shard), &w->linger_timer, LINGER_MS, on_linger);
}
