/*
 * scheduler_dispatch.c - from a queued execution to a worker: a fresh one (a spare if one fits), the workflow's pool, or an
 * activation; and out of it again by deadline, cancellation, or the loss of its worker. On the desk's shard.
 */
#include "executions.h"

#include "history.h"
#include "lines.h"
#include "parked.h"

#include "core/flow/plan.h"

#include <stdio.h>
#include <string.h>

#define SINGLES_STARTING 8u  /* a shard starts no more at once: the zygote makes one after the other */
#define SINGLES_ALIVE 1280u  /* all shards together */
#define POOL_IN_FLIGHT 1024u /* sent to one resident worker and not finished */
#define DEADLINE_SLACK_MS 100u /* the worker ends it by itself first */
#define DEADLINE_GRACE_MS 2000u
#define OVERRUN_GRACE_MS 1000u
#define SPAWN_TRIES 3u
#define ATTEMPTS 10u

static void move(struct hz_execution *e, struct cds_list_head *list)
{
    cds_list_del(&e->node);
    cds_list_add_tail(&e->node, list);
}

void hz_dispatch_attach(struct hz_execution *e, struct hz_worker *w)
{
    e->worker = w;
    e->begun_ns = hz_base_now_ns();
    if (!(e->number & HZ_NUMBER_WORKER))
        hz_history_running(1);
    hz_checkpoint_attach(e);
    move(e, &w->executions);
    w->info.in_flight++;
    w->dirty_info = true;
    if (e->service)
        e->service->in_flight++;
    hz_execution_set_state(e, HZ_EXEC_RUNNING);
    hz_sampler_wake(w->yard);
}

void hz_dispatch_detach(struct hz_execution *e)
{
    struct hz_worker *w = e->worker;
    if (!w)
        return;
    e->worker = NULL;
    if (!(e->number & HZ_NUMBER_WORKER))
        hz_history_running(-1);
    w->info.in_flight--;
    w->dirty_info = true;
    if (e->stuck)
        w->draining = false; /* another one that is still stuck kills it all the same */
    e->stuck = HZ_STUCK_NO;
    if (e->service && !e->is_activation)
        e->service->in_flight--;
    move(e, &e->desk->idle);
}

void hz_dispatch_put_back(struct hz_execution *e, struct hz_worker *w)
{
    e->worker = w;
    if (!(e->number & HZ_NUMBER_WORKER))
        hz_history_running(1);
    move(e, &w->executions);
    w->info.in_flight++;
    w->dirty_info = true;
    if (e->service)
        e->service->in_flight++;
    if (e->number & HZ_NUMBER_WORKER)
        w->own_count++;
}

static int send_execute(struct hz_execution *e, struct hz_worker *w)
{
    if (e->checkpoint) {
        struct hz_msg_resume resume = {.execution = e->number, .id = e->id, .deadline_ns = e->deadline_ns, .attempt = e->attempt,
                .state_len = e->checkpoint_len};
        struct hz_part resume_parts[] = {{&resume, sizeof resume}, {e->checkpoint, e->checkpoint_len}};
        return hz_worker_send(w, HZ_MSG_RESUME, resume_parts, HZ_COUNT_OF(resume_parts));
    }
    struct hz_msg_execute message = {.execution = e->number, .id = e->id, .deadline_ns = e->deadline_ns, .node = HZ_NO_NODE,
            .attempt = e->attempt, .data_len = (uint32_t)e->input_len};
    if (!e->caller.finished && e->workflow->durability == HZ_DURABILITY_NONE)
        message.reserved = HZ_EXECUTE_NO_RESULT; /* nobody would read it */
    struct hz_part parts[] = {{&message, sizeof message}, {e->input, e->input_len}};
    e->bytes_in = e->input_len;
    e->bytes_out = 0; /* of this attempt */
    return hz_worker_send(w, HZ_MSG_EXECUTE, parts, HZ_COUNT_OF(parts));
}

/* ---- a worker of its own ---- */

static void start_single(struct hz_execution *e)
{
    char error[512];
    struct hz_desk *desk = e->desk;
    struct hz_worker_options options = {.purpose = HZ_PURPOSE_SINGLE, .workflow = e->workflow, .execution = e->id,
            .wants_port = e->wants_port};
    if (e->attempt == 1 && desk->config->worker_id)
        options.id_text = desk->config->worker_id;
    struct hz_worker *spare = hz_spares_take(desk->yard, &options);
    options.workflow = hz_workflow_ref(e->workflow);
    struct hz_worker *w = spare ? hz_worker_from_spare(spare, &options, error, sizeof error)
                                : hz_worker_new(desk->yard, &options, error, sizeof error);
    if (!w) {
        hz_execution_fail(e, HZ_EXEC_FAILED, error);
        return;
    }
    desk->single_live++;
    w->counted_starting = !spare;
    desk->single_starting += w->counted_starting;
    if (e->wants_port)
        hz_lines_print(false, "Worker %s creado para ejecutar workflow %s", w->info.id_text, e->workflow->id);
    hz_dispatch_attach(e, w);
    int err = send_execute(e, w);
    if (err) {
        /* The ring took the plan and cannot take this: too large, or poisoned. */
        char text[256];
        snprintf(text, sizeof text, "the execution cannot be sent to its worker: %s", hz_err_text(err));
        hz_execution_fail(e, HZ_EXEC_FAILED, text);
        hz_worker_kill(w, HZ_INTENT_LINGER, 0);
        return;
    }
    if (e->wait_accept) {
        e->wait_accept = false;
        hz_submitter_accepted(&e->caller, &e->id, &w->info, NULL, 0);
    }
}

void hz_dispatch_singles(struct hz_desk *desk)
{
    unsigned most = HZ_MAX(16u, SINGLES_ALIVE / hz_shard_count());
    while (!cds_list_empty(&desk->singles) && !desk->yard->ending && !desk->resting && desk->single_live < most &&
            desk->single_starting < SINGLES_STARTING) {
        struct hz_execution *e = cds_list_first_entry(&desk->singles, struct hz_execution, node);
        move(e, &desk->idle);
        if (e->in_singles) {
            e->in_singles = false;
            desk->single_waiting--;
        }
        start_single(e);
    }
    if (desk->queues.waiting)
        hz_admit_again_soon(desk);
}

/* ---- the workflow's pool ---- */

static void join_pool(struct hz_execution *e)
{
    struct hz_yard *yard = e->desk->yard;
    struct hz_service *service = hz_service_find_pool(yard, e->workflow);
    if (!service)
        service = hz_service_new(yard, HZ_SERVICE_POOL, hz_workflow_ref(e->workflow), e->wants_port);
    if (!service) {
        hz_execution_fail(e, HZ_EXEC_FAILED, hz_err_last());
        return;
    }
    char text[512];
    if (hz_parked_get(e->workflow->id, text, sizeof text)) {
        hz_execution_fail(e, HZ_EXEC_FAILED, text);
        return;
    }
    if (service->parked)
        hz_service_release(service); /* a person did */
    e->service = service;
    move(e, &service->queue);
    service->queued++;
    hz_dispatch_pool(service);
}

void hz_dispatch_pool(struct hz_service *service)
{
    if (cds_list_empty(&service->queue) || service->parked || service->yard->ending || service->yard->resting)
        return;
    if (!service->worker) {
        char error[512];
        if (hz_timer_armed(&service->timer))
            return; /* the next worker comes later */
        if (!hz_service_start(service, error, sizeof error)) {
            hz_service_over(service, error, HZ_EXEC_FAILED);
            return;
        }
    }
    struct hz_worker *w = service->worker;
    while (!cds_list_empty(&service->queue) && !w->stopping && !w->draining && service->in_flight < POOL_IN_FLIGHT) {
        struct hz_execution *e = cds_list_first_entry(&service->queue, struct hz_execution, node);
        int err = send_execute(e, w);
        if (err == HZ_EBUSY || err == HZ_ECLOSED || err == HZ_EPOISON)
            break; /* it stays in front: the next room, or the next worker */
        service->queued--;
        if (err) {
            e->service = NULL;
            move(e, &e->desk->idle);
            hz_execution_fail(e, HZ_EXEC_FAILED, hz_err_text(err));
            continue;
        }
        hz_dispatch_attach(e, w);
        if (e->wait_accept) {
            e->wait_accept = false;
            hz_submitter_accepted(&e->caller, &e->id, &w->info, NULL, 0);
        }
    }
    w->info.queued = service->queued;
}

void hz_dispatch(struct hz_execution *e)
{
    if (e->is_activation) {
        hz_activation_start(e);
    } else if (e->workflow->resident) {
        join_pool(e);
    } else {
        move(e, &e->desk->singles);
        hz_dispatch_singles(e->desk);
    }
}

bool hz_dispatch_again(struct hz_execution *e)
{
    if (!e->replayable || e->attempt >= ATTEMPTS || e->desk->ending || e->desk->yard->ending)
        return false;
    if (e->stuck || e->wanted)
        return false; /* it was about to be ended */
    struct hz_service *service = e->service;
    hz_dispatch_detach(e);
    hz_checkpoint_attach(e);
    if (e->workflow->on_interrupt == HZ_INTERRUPT_RESTART)
        hz_checkpoint_forget(e);
    hz_execution_set_state(e, HZ_EXEC_QUEUED);
    if (e->stored) {
        struct hz_store_execution row;
        if (hz_execution_row_bare(e, &row)) {
            if (e->claimed)
                row.state = HZ_EXEC_RUNNING;
            hz_execution_store(e->desk, &row); /* the same row, one attempt later */
        }
    }
    if (service) {
        move(e, &service->queue);
        service->queued++;
    } else {
        move(e, &e->desk->singles);
    }
    return true;
}

/* ---- ends before its end ---- */

static void tell_cancel(struct hz_execution *e, enum hz_exec_state state, const char *reason)
{
    struct hz_msg_cancel message = {.execution = e->number, .state = (uint32_t)state, .reason_len = (uint32_t)strlen(reason)};
    struct hz_part parts[] = {{&message, sizeof message}, {reason, message.reason_len}};
    if (hz_worker_send(e->worker, HZ_MSG_CANCEL, parts, HZ_COUNT_OF(parts)))
        HZ_LOG(DEBUG, "worker %s: a cancellation finds no room", e->worker->info.id_text); /* then the grace ends it */
}

static void on_grace(struct hz_timer *timer)
{
    struct hz_execution *e = HZ_CONTAINER_OF(timer, struct hz_execution, timer);
    HZ_CHECK_OBJ(e, HZ_EXECUTION_MAGIC);
    if (e->worker)
        hz_worker_kill(e->worker,
                e->wanted == HZ_EXEC_TIMED_OUT ? HZ_INTENT_DEADLINE
                : e->wanted == HZ_EXEC_FAILED  ? HZ_INTENT_OVERRUN
                                               : HZ_INTENT_CANCEL,
                e->number);
}

/* In a queue: ended at once. With a worker: asked to end it between two node runs; the worker takes nothing new; after the grace it
 * is killed, and the others of it follow their onInterrupt. */
static void end_early(struct hz_execution *e, enum hz_exec_state state, const char *reason, uint32_t grace_ms)
{
    if (e->stuck)
        return; /* already on its way */
    e->wanted = state;
    snprintf(e->reason, sizeof e->reason, "%s", reason);
    if (e->committing)
        return; /* the store's answer finds `wanted` */
    if (!e->worker) {
        if (e->service && !e->is_activation)
            e->service->queued--;
        e->service = NULL;
        hz_execution_fail(e, state, reason);
        return;
    }
    e->stuck = HZ_STUCK_TOLD;
    e->worker->draining = true;
    tell_cancel(e, state, reason);
    hz_timer_after(hz_shard_timers(e->desk->shard), &e->timer, grace_ms, on_grace);
}

static void on_deadline(struct hz_timer *timer)
{
    struct hz_execution *e = HZ_CONTAINER_OF(timer, struct hz_execution, timer);
    HZ_CHECK_OBJ(e, HZ_EXECUTION_MAGIC);
    end_early(e, HZ_EXEC_TIMED_OUT, "the execution's deadline passed", DEADLINE_GRACE_MS);
}

void hz_dispatch_deadline(struct hz_execution *e)
{
    hz_timer_at(hz_shard_timers(e->desk->shard), &e->timer, e->deadline_ns + DEADLINE_SLACK_MS * UINT64_C(1000000), on_deadline);
}

void hz_dispatch_due(struct hz_execution *e, uint64_t due_ns)
{
    hz_timer_at(hz_shard_timers(e->desk->shard), &e->timer, due_ns, e->stuck ? on_grace : on_deadline);
}

void hz_dispatch_overrun(struct hz_execution *e, uint32_t limit_ms)
{
    char reason[64];
    snprintf(reason, sizeof reason, "the node took longer than %u ms", limit_ms);
    end_early(e, HZ_EXEC_FAILED, reason, OVERRUN_GRACE_MS);
}

void hz_dispatch_cancel(struct hz_execution *e, const char *reason)
{
    if (e->is_activation) {
        struct hz_service *service = e->service;
        if (service && service->worker)
            hz_worker_stop(service->worker, HZ_INTENT_STOP, reason, NULL, NULL);
        else if (service)
            hz_service_end(service, reason);
        return;
    }
    end_early(e, HZ_EXEC_CANCELLED, reason[0] ? reason : "cancelled", e->desk->config->stop_grace_ms);
}
