/*
 * scheduler.c - the public face: submit, cancel, get; the desk of each shard. Accepting is here, finding a worker is
 * scheduler_dispatch.c, what workers say is scheduler_worker.c.
 *
 * Accepted means committed: for durability `execution` the row goes to the store with synchronous=FULL first; the store's thread
 * answers by mail to the desk. A desk ends only after the last such answer, so the mail always finds it.
 */
#include "scheduler.h"

#include "executions.h"
#include "webhooks.h"

#include "core/flow/plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const struct hz_config *config;

struct hz_desk *hz_desk_here(void)
{
    struct hz_shard *shard = hz_shard_self();
    return shard ? hz_shard_get(shard, HZ_SHARD_SCHEDULER) : NULL;
}

int hz_scheduler_init(const struct hz_config *c)
{
    config = c;
    hz_worker_set_sink(hz_scheduler_sink());
    int err = hz_executions_init(c);
    return err ? err : hz_webhooks_init(c->development);
}

void hz_scheduler_fini(void)
{
    hz_webhooks_fini();
    hz_executions_fini();
}

int hz_scheduler_begin(struct hz_shard *shard)
{
    struct hz_desk *desk = calloc(1, sizeof *desk);
    if (!desk)
        return hz_err_set(HZ_ENOMEM, "scheduler");
    desk->shard = shard;
    desk->yard = hz_shard_get(shard, HZ_SHARD_SUPERVISOR);
    desk->config = config;
    CDS_INIT_LIST_HEAD(&desk->singles);
    CDS_INIT_LIST_HEAD(&desk->idle);
    CDS_INIT_LIST_HEAD(&desk->late_rows);
    hz_shard_set(shard, HZ_SHARD_SCHEDULER, desk);
    if (hz_shard_index(shard) == 0)
        hz_recover(desk);
    return 0;
}

/* What has not ended when the manager ends: stays in the store as it is if it may be run again, else it is interrupted. */
static void leave_behind(struct hz_execution *e)
{
    bool again = e->workflow->on_interrupt != HZ_INTERRUPT_FAIL && e->stored && e->replayable;
    if (!again) {
        hz_execution_fail(e, HZ_EXEC_INTERRUPTED, "the manager ended");
        return;
    }
    hz_execution_drop(e);
}

static void leave_list(struct cds_list_head *list)
{
    while (!cds_list_empty(list))
        leave_behind(cds_list_first_entry(list, struct hz_execution, node));
}

void hz_scheduler_end(struct hz_shard *shard)
{
    struct hz_desk *desk = hz_shard_get(shard, HZ_SHARD_SCHEDULER);
    if (!desk)
        return;
    desk->ending = true;
    while (desk->commits > 0) { /* the store's thread answers each */
        hz_shard_run_mail(shard);
        nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
    }
    struct hz_service *service;
    cds_list_for_each_entry(service, &desk->yard->services, node) {
        leave_list(&service->queue);
        if (service->activation)
            hz_execution_fail(service->activation, HZ_EXEC_INTERRUPTED, "the manager ended");
        service->activation = NULL;
    }
    leave_list(&desk->singles);
    leave_list(&desk->idle);
    hz_scheduler_http_end(desk);
    hz_execution_store_late(desk, true);
    hz_timer_cancel(hz_shard_timers(shard), &desk->late_timer);
    free(desk->numbers);
    free(desk->tickets);
    hz_shard_set(shard, HZ_SHARD_SCHEDULER, NULL);
    free(desk);
}

/* ---- submit ---- */

struct submit {
    struct hz_mail mail;
    struct hz_workflow *workflow;
    char *data;
    size_t data_len;
    char trigger[32];
    bool wants_port;
    uint32_t timeout_ms;
    struct hz_caller caller;
};

struct commit {
    struct hz_mail mail;
    struct hz_shard *shard;
    struct hz_execution *execution; /* lives until the answer: only the answer or the desk's end, which waits for it, frees it */
    int result;
    char error[256];
};

static void refuse(const struct hz_caller *caller, const char *error, uint32_t retry_after_s)
{
    hz_caller_accepted(caller, NULL, NULL, error, retry_after_s);
}

static void accepted(struct hz_execution *e)
{
    if (e->is_activation || e->wants_port)
        e->wait_accept = true; /* the caller wants to know the worker, too */
    else
        hz_caller_accepted(&e->caller, &e->id, NULL, NULL, 0);
    hz_dispatch(e);
}

static void run_commit(struct hz_mail *mail)
{
    struct commit *commit = HZ_CONTAINER_OF(mail, struct commit, mail);
    struct hz_execution *e = commit->execution;
    e->desk->commits--;
    if (commit->result) {
        struct hz_caller caller = e->caller;
        hz_execution_drop(e);
        refuse(&caller, commit->error, 5);
    } else {
        e->stored = true;
        e->committing = false;
        if (e->wanted) { /* its deadline passed, or it was cancelled, while the disk was busy */
            hz_caller_accepted(&e->caller, &e->id, NULL, NULL, 0);
            hz_execution_fail(e, e->wanted, e->reason);
        } else {
            accepted(e);
        }
    }
    free(commit);
}

/* On the store's thread. */
static void on_committed(int result, void *arg)
{
    struct commit *commit = arg;
    commit->result = result;
    if (result)
        snprintf(commit->error, sizeof commit->error, "the execution could not be written to disk: %s", hz_err_last());
    commit->mail.run = run_commit;
    hz_shard_post(commit->shard, &commit->mail);
}

/* Hands the row over; on failure the execution is gone and the caller knows. */
static void commit_first(struct hz_execution *e)
{
    struct hz_store_execution row;
    struct commit *commit = calloc(1, sizeof *commit);
    int err = commit && hz_execution_row(e, &row) ? 0 : hz_err_set(HZ_ENOMEM, "execution");
    if (!err) {
        *commit = (struct commit){.shard = e->desk->shard, .execution = e};
        err = hz_store_put(&row, true, on_committed, commit);
        if (err)
            hz_store_execution_fini(&row);
    }
    if (!err) {
        e->desk->commits++;
        e->committing = true;
        return;
    }
    struct hz_caller caller = e->caller;
    char error[256];
    snprintf(error, sizeof error, "%s", hz_err_last());
    free(commit);
    hz_execution_drop(e);
    refuse(&caller, error, 1);
}

static void free_submit(struct submit *s)
{
    hz_workflow_unref(&s->workflow);
    free(s->data);
    free(s);
}

static void run_submit(struct hz_mail *mail)
{
    struct submit *s = HZ_CONTAINER_OF(mail, struct submit, mail);
    struct hz_desk *desk = hz_desk_here();
    struct hz_execution *e;
    bool durable = s->workflow->durability != HZ_DURABILITY_NONE;
    int err = !desk || desk->ending || desk->yard->ending ? hz_err_set(HZ_ECLOSED, "the manager ends") : 0;
    if (!err && durable && hz_store_degraded())
        err = hz_err_set(HZ_EBUSY, "the store cannot write (disk full?): executions that need it are refused for now");
    if (!err)
        err = hz_execution_new(desk, s->workflow, NULL, 0, NULL, false, &e);
    if (err) {
        refuse(&s->caller, hz_err_last(), err == HZ_EBUSY ? 1 : 0);
        free_submit(s);
        return;
    }
    s->workflow = NULL; /* taken */
    e->input = s->data;
    e->input_len = s->data_len;
    s->data = NULL;
    memcpy(e->trigger, s->trigger, sizeof e->trigger);
    e->wants_port = s->wants_port;
    e->caller = s->caller;
    e->is_activation = e->workflow->plan->trigger_count > 0;
    e->replayable = !e->is_activation;
    if (!e->is_activation) {
        uint32_t timeout = s->timeout_ms ? s->timeout_ms : e->workflow->timeout_ms;
        if (timeout) {
            e->deadline_ns = hz_base_now_ns() + (uint64_t)timeout * 1000000u;
            hz_dispatch_deadline(e);
        }
    }
    if (durable || e->is_activation)
        commit_first(e);
    else
        accepted(e);
    free_submit(s);
}

void hz_scheduler_submit(const struct hz_submit *submit, hz_accepted_fn *accepted_fn, hz_finished_fn *finished, void *arg)
{
    struct hz_caller caller = {hz_shard_self(), accepted_fn, finished, arg};
    HZ_ASSERT(caller.from != NULL);
    struct hz_workflow *workflow = submit->workflow;
    struct submit *s = calloc(1, sizeof *s);
    char *data = s ? malloc(submit->data_len + 1) : NULL;
    if (!data) {
        free(s);
        hz_workflow_unref(&workflow);
        refuse(&caller, hz_err_text(HZ_ENOMEM), 1);
        return;
    }
    if (submit->data_len)
        memcpy(data, submit->data, submit->data_len);
    data[submit->data_len] = 0;
    *s = (struct submit){.mail = {.run = run_submit}, .workflow = workflow, .data = data, .data_len = submit->data_len,
            .wants_port = submit->wants_port, .timeout_ms = submit->timeout_ms, .caller = caller};
    snprintf(s->trigger, sizeof s->trigger, "%s", submit->trigger ? submit->trigger : "manual");
    /* One pool a workflow: its executions meet on its shard. The others stay where they came in. */
    bool pool = workflow->resident && workflow->plan->trigger_count == 0;
    struct hz_shard *home = pool ? hz_service_home(workflow) : hz_supervisor_pick_shard();
    if (home == caller.from)
        run_submit(&s->mail);
    else
        hz_shard_post(home, &s->mail);
}

int hz_scheduler_get(const struct hz_uuid *id, struct hz_store_execution *ret_row)
{
    if (hz_execution_live_row(id, ret_row))
        return 0;
    return hz_store_get(id, ret_row);
}

uint32_t hz_scheduler_admitted(void)
{
    return hz_executions_admitted();
}

/* ---- cancel ---- */

struct cancel {
    struct hz_mail mail;
    struct hz_shard *from;
    struct hz_uuid id;
    char reason[256];
    bool found;
    void (*fn)(void *arg, bool found);
    void *arg;
};

static void run_cancelled(struct hz_mail *mail)
{
    struct cancel *c = HZ_CONTAINER_OF(mail, struct cancel, mail);
    c->fn(c->arg, c->found);
    free(c);
}

static void run_cancel(struct hz_mail *mail)
{
    struct cancel *c = HZ_CONTAINER_OF(mail, struct cancel, mail);
    struct hz_desk *desk = hz_desk_here();
    struct hz_execution *e = desk ? hz_execution_here(desk, &c->id) : NULL;
    c->found = e != NULL;
    if (e)
        hz_dispatch_cancel(e, c->reason);
    c->mail.run = run_cancelled;
    if (c->fn)
        hz_shard_post(c->from, &c->mail);
    else
        free(c);
}

void hz_scheduler_cancel(const struct hz_uuid *execution, const char *reason, void (*fn)(void *arg, bool found), void *arg)
{
    struct hz_shard *shard = hz_execution_shard(execution);
    struct cancel *c = shard ? calloc(1, sizeof *c) : NULL;
    if (!c) {
        if (fn)
            fn(arg, false);
        return;
    }
    *c = (struct cancel){.mail = {.run = run_cancel}, .from = hz_shard_self(), .id = *execution, .fn = fn, .arg = arg};
    snprintf(c->reason, sizeof c->reason, "%s", reason ? reason : "");
    hz_shard_post(shard, &c->mail);
}
