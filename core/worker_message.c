/*
 * worker_message.c - what a worker says, record by record: its own life, its log lines, answers; the rest is the scheduler's. Every
 * figure in a record is a claim; indices into the plan are checked, times and counts are only shown. On the worker's shard.
 */
#include "worker.h"

#include "lines.h"
#include "logs.h"
#include "secrets.h"

#include "core/flow/plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Pid and count in the record are claims, and nobody needs them. */
void hz_worker_on_ready(struct hz_worker *w)
{
    if (w->ready)
        return;
    if (w->spawning) { /* it was faster than the mail that says who it is: nobody shall see it without its pid */
        w->early_ready = true;
        return;
    }
    char line[512];
    const char *id = w->info.id_text;
    w->ready = true;
    hz_timer_cancel(hz_shard_timers(w->yard->shard), &w->start_timer);
    snprintf(line, sizeof line, "Worker %s creado para workflow %s en puerto %u", id, w->info.workflow_id, w->info.port);
    hz_lines_print(false, "Worker %s iniciado exitosamente", id);
    hz_lines_print(false, "%s", line);
    if (w->purpose == HZ_PURPOSE_RESIDENT)
        hz_logs_note(&w->info, hz_base_wall_ms(), HZ_LOG_INFO, NULL, line, strlen(line));
    else
        hz_logs_add(&w->info.id, hz_base_wall_ms(), line, strlen(line));
    if (!w->stopping && w->info.status == HZ_WORKER_STARTING)
        w->info.status = HZ_WORKER_RUNNING;
    hz_worker_publish(w);
    hz_supervisor_emit(HZ_EVENT_WORKER_READY, &w->info, NULL);
    if (w->replaces[0]) {
        snprintf(line, sizeof line, "workers:restarted %s of %s takes the place of %s, restart %u", id, w->info.workflow_id, w->replaces,
                w->info.restarts);
        HZ_LOG(INFO, "%s", line);
        hz_logs_add(&w->info.id, hz_base_wall_ms(), line, strlen(line));
        hz_supervisor_emit(HZ_EVENT_WORKER_RESTARTED, &w->info, w->replaces);
    }
    if (hz_worker_sink.ready)
        hz_worker_sink.ready(w);
    hz_worker_tell_waiters(w, NULL, false, HZ_STOP_FLAG);
}

static void on_fatal(struct hz_worker *w, const struct hz_msg *msg)
{
    if (w->fatal[0])
        return; /* it said so already */
    snprintf(w->fatal, sizeof w->fatal, "%.*s", (int)HZ_MIN(msg->str[0].len, sizeof w->fatal - 1), msg->str[0].data);
    if (!w->fatal[0])
        snprintf(w->fatal, sizeof w->fatal, "Worker error");
    hz_lines_clean(w->fatal, strlen(w->fatal));
    hz_lines_print(true, "Error en worker %s: %s", w->info.id_text, w->fatal);
    hz_logs_note(&w->info, hz_base_wall_ms(), HZ_LOG_ERROR, NULL, w->fatal, strlen(w->fatal));
    if (!w->stopping)
        hz_worker_set_status(w, HZ_WORKER_ERROR);
    hz_supervisor_emit(HZ_EVENT_WORKER_ERROR, &w->info, w->fatal);
}

/* number: of the execution, the worker's claim; one that it has not is none. */
void hz_worker_say(struct hz_worker *w, int64_t wall_ms, int level, bool console, uint64_t number, const char *text, size_t len)
{
    char id[HZ_UUID_TEXT];
    struct hz_uuid execution;
    bool known = number && hz_worker_sink.name && hz_worker_sink.name(w, number, id) && hz_uuid_parse(id, strlen(id), &execution);
    hz_logs_say(&w->info, wall_ms, level, console, known ? &execution : NULL, text, len);
    hz_worker_poll_said(w, len);
}

/* One hop of an execution, as people know the line. Names are the plan's, by checked index. */
static void on_hop(struct hz_worker *w, const struct hz_msg_hop *hop)
{
    const struct hz_plan *plan = w->workflow->plan;
    if (hop->from >= plan->node_count)
        return;
    const struct hz_plan_node *from = hz_plan_node(plan, hop->from);
    const char *output = "", *to = "Finished";
    int output_len = 0, to_len = 8;
    if (hop->output < from->output_count) {
        struct hz_plan_text name = hz_plan_output(plan, from->first_output + hop->output)->name;
        output = hz_plan_chars(plan, name);
        output_len = (int)name.len;
    }
    if (hop->to < plan->node_count) {
        struct hz_plan_text name = hz_plan_node(plan, hop->to)->name;
        to = hz_plan_chars(plan, name);
        to_len = (int)name.len;
    }
    char text[1024];
    int n = snprintf(text, sizeof text, " Execute  %-13.*s --> %-13.*s --> %-13.*s [Duration: %.3fms Accumulative: %.3fms Memory: %.3fmb]",
            (int)from->name.len, hz_plan_chars(plan, from->name), output_len, output, to_len, to, (double)hop->duration_ns / 1e6,
            (double)hop->accumulated_ns / 1e6, (double)hop->memory_bytes / 1048576.0);
    if (n > 0)
        hz_worker_say(w, hop->wall_ms, HZ_LOG_INFO, false, hop->execution, text, HZ_MIN((size_t)n, sizeof text - 1));
}

static void dispatch(struct hz_worker *w, const struct hz_msg *msg)
{
    if (msg->type == HZ_MSG_WARM) {
        if (w->purpose == HZ_PURPOSE_SPARE && !w->warm)
            hz_spares_warm(w);
        return;
    }
    if (!w->workflow) {
        hz_worker_poison(w, "a spare that says more than that it is warm");
        return;
    }
    switch ((enum hz_msg_type)msg->type) {
    case HZ_MSG_READY:
        hz_worker_on_ready(w);
        break;
    case HZ_MSG_FATAL:
        on_fatal(w, msg);
        break;
    case HZ_MSG_ANSWER:
        w->last_activity_ns = hz_base_now_ns();
        hz_worker_answer(w, msg);
        break;
    case HZ_MSG_LINE: {
        const struct hz_msg_line *line = msg->body;
        hz_worker_say(w, line->wall_ms, (int)HZ_MIN(line->level, 3u), line->console != 0, line->execution, msg->str[0].data, msg->str[0].len);
        break;
    }
    case HZ_MSG_LOG: {
        const struct hz_msg_log *line = msg->body;
        hz_worker_say(w, line->wall_ms, (int)HZ_MIN(line->level, 3u), false, line->execution, msg->str[0].data, msg->str[0].len);
        break;
    }
    case HZ_MSG_HOP:
        on_hop(w, msg->body);
        break;
    case HZ_MSG_ASK:
    case HZ_MSG_STARTED:
    case HZ_MSG_FINISHED:
    case HZ_MSG_CHECKPOINT:
    case HZ_MSG_NODE_RUNS:
    case HZ_MSG_HTTP_ANSWER:
    case HZ_MSG_LISTEN:
    case HZ_MSG_TELL:
        if (hz_worker_sink.message)
            hz_worker_sink.message(w, msg);
        break;
    case HZ_MSG_ASSIGN:
    case HZ_MSG_PLAN:
    case HZ_MSG_EXECUTE:
    case HZ_MSG_HTTP_REQUEST:
    case HZ_MSG_CANCEL:
    case HZ_MSG_REQUEST:
    case HZ_MSG_RESPONSE:
    case HZ_MSG_SHUTDOWN:
    case HZ_MSG_HTTP_GONE:
    case HZ_MSG_CHECKPOINTED:
    case HZ_MSG_RESUME:
    case HZ_MSG_WARM:
    case HZ_MSG_FRAGMENT:
    default: /* hz_msg_open() lets no other through */
        break;
    }
}

/* What goes to logs, history and listeners: not the answers of the flow itself to those who asked it. */
static bool is_report(uint32_t type)
{
    return type == HZ_MSG_LINE || type == HZ_MSG_LOG || type == HZ_MSG_FATAL || type == HZ_MSG_FINISHED || type == HZ_MSG_TELL;
}

void hz_worker_on_message(void *worker, const struct hz_msg *msg, bool lossy)
{
    struct hz_worker *w = worker;
    (void)lossy;
    if (__builtin_expect(!w->secrets || !is_report(msg->type), 1)) {
        dispatch(w, msg);
        return;
    }
    struct hz_msg masked = *msg;
    char *copies[HZ_MSG_STRINGS];
    for (size_t i = 0; i < HZ_MSG_STRINGS; i++) {
        size_t len = 0;
        copies[i] = hz_secrets_mask(w->secrets, msg->str[i].data, msg->str[i].len, &len);
        if (copies[i]) {
            masked.str[i].data = copies[i];
            masked.str[i].len = len;
        }
    }
    dispatch(w, &masked);
    for (size_t i = 0; i < HZ_MSG_STRINGS; i++)
        free(copies[i]);
}
