/*
 * scheduler.c - the public face: submit, cancel, get; the desk of each shard. Accepting is here, finding a worker is
 * scheduler_dispatch.c, what workers say is scheduler_worker.c.
 *
 * Accepted means committed: for durability `execution` the row goes to the store with synchronous=FULL first; the store's thread
 * answers by mail to the desk. A desk ends only after the last such answer, so the mail always finds it.
 */
#include "scheduler.h"

#include "executions.h"
#include "restart.h"
#include "webhooks.h"

#include "core/flow/plan.h"

#include "shm/text.h"

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
    CDS_INIT_LIST_HEAD(&desk->refused);
    if (hz_admit_begin(desk)) {
        free(desk->keys);
        free(desk);
        return HZ_ENOMEM;
    }
    hz_shard_set(shard, HZ_SHARD_SCHEDULER, desk);
    int err = hz_restart_follows() ? hz_restart_adopt_desk(shard) : 0;
    if (err)
        return err;
    if (hz_shard_index(shard) == 0 && config->safe)
        HZ_LOG(WARN, "safe start: nothing is started by itself; what a former manager left open waits for a start without --safe");
    else if (hz_shard_index(shard) == 0)
        hz_recover(desk);
    return 0;
}

/* What waits when the manager ends: nothing of it has begun, so the next one begins it, if the store has it. */
static void leave_behind(struct hz_execution *e)
{
    struct hz_store_execution row;
    if (!e->stored || !e->replayable) {
        hz_execution_fail(e, HZ_EXEC_INTERRUPTED, "the manager ended");
        return;
    }
    if (e->claimed && hz_execution_row(e, &row))
        hz_execution_store(e->desk, &row); /* as queued again */
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
    hz_execution_end_refused(desk);
    while (desk->commits > 0 || desk->round_posted) { /* the store's thread answers each */
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
    hz_admit_end(desk);
    hz_execution_store_late(desk, true);
    hz_timer_cancel(hz_shard_timers(shard), &desk->late_timer);
    free(desk->numbers);
    free(desk->tallies);
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
    uint32_t timeout_ms, priority;
    int64_t due_ms;
    char *key;
    hz_finished_fn *duplicate;
    struct hz_submitter caller;
};

struct hz_twin { /* asked for an execution whose key another has that is not on disk yet */
    struct hz_twin *next;
    struct hz_submitter caller; /* finished: its `duplicate` */
};

struct commit {
    struct hz_mail mail;
    struct hz_shard *shard;
    struct hz_execution *execution; /* lives until the answer: only the answer or the desk's end, which waits for it, frees it */
    int result;
    bool claim;
    char error[256];
};

static void refuse(const struct hz_submitter *caller, const char *error, uint32_t retry_after_s)
{
    hz_submitter_accepted(caller, NULL, NULL, error, retry_after_s);
}

static void accepted(struct hz_execution *e)
{
    if (e->is_activation || e->wants_port)
        e->wait_accept = true; /* the caller wants to know the worker, too */
    else
        hz_submitter_accepted(&e->caller, &e->id, NULL, NULL, 0);
    hz_admit_go(e);
}

/* Those with the same key hear what became of it: it is there, or it could not be written. */
static void tell_twins(struct hz_twin *twin, const struct hz_execution *e, const char *error)
{
    struct hz_store_execution row;
    bool known = !error && hz_execution_row(e, &row);
    for (struct hz_twin *next; twin; twin = next) {
        next = twin->next;
        if (known)
            hz_submitter_finished(&twin->caller, &row);
        else
            refuse(&twin->caller, error ? error : hz_err_text(HZ_ENOMEM), 5);
        free(twin);
    }
    if (known)
        hz_store_execution_fini(&row);
}

static void run_commit(struct hz_mail *mail)
{
    struct commit *commit = HZ_CONTAINER_OF(mail, struct commit, mail);
    struct hz_execution *e = commit->execution;
    struct hz_twin *twins = e->twins;
    e->twins = NULL;
    e->desk->commits--;
    e->committing = false;
    if (commit->claim) {
        if (e->wanted)
            hz_execution_fail(e, e->wanted, e->reason);
        else
            hz_admit_claimed(e, commit->result ? hz_err_set(commit->result, "%s", commit->error) : 0);
    } else if (commit->result) {
        struct hz_submitter caller = e->caller;
        hz_execution_drop(e);
        tell_twins(twins, NULL, commit->error);
        refuse(&caller, commit->error, 5);
    } else {
        e->stored = true;
        tell_twins(twins, e, NULL);
        if (e->wanted) { /* its deadline passed, or it was cancelled, while the disk was busy */
            hz_submitter_accepted(&e->caller, &e->id, NULL, NULL, 0);
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

static int commit(struct hz_execution *e, bool claim)
{
    struct hz_store_execution row;
    struct commit *c = calloc(1, sizeof *c);
    char *input = e->input;
    if (claim)
        e->input = NULL; /* the store has it */
    bool was = e->committing;
    e->committing = true;
    int err = c && hz_execution_row(e, &row) ? 0 : hz_err_set(HZ_ENOMEM, "execution");
    e->input = input;
    if (!err) {
        if (claim || (e->claimed && e->item.place == HZ_ITEM_TAKEN))
            row.state = HZ_EXEC_RUNNING;
        *c = (struct commit){.shard = e->desk->shard, .execution = e, .claim = claim};
        err = hz_store_put(&row, true, on_committed, c);
        if (err)
            hz_store_execution_fini(&row);
    }
    if (err) {
        e->committing = was;
        free(c);
        return err;
    }
    e->desk->commits++;
#ifdef HZ_TEST_ACK_BEFORE_COMMIT
    if (!claim) { /* a build for one test, which has to notice: the caller hears "accepted" before the row is on disk */
        hz_submitter_accepted(&e->caller, &e->id, NULL, NULL, 0);
        e->caller.accepted = NULL;
    }
#endif
    return 0;
}

int hz_commit_claim(struct hz_execution *e)
{
    return commit(e, true);
}

/* Hands the row over; on failure the execution is gone and the caller knows. */
static void commit_first(struct hz_execution *e)
{
    if (!commit(e, false))
        return;
    struct hz_submitter caller = e->caller;
    char error[256];
    snprintf(error, sizeof error, "%s", hz_err_last());
    hz_execution_drop(e);
    refuse(&caller, error, 1);
}

static void free_submit(struct submit *s)
{
    hz_workflow_unref(&s->workflow);
    free(s->data);
    free(s->key);
    free(s);
}

/* Is there one with its key? Then that one answers, now or when it is on disk. */
static bool is_duplicate(struct hz_desk *desk, const struct submit *s)
{
    struct hz_submitter caller = s->caller;
    struct hz_store_execution row;
    caller.finished = s->duplicate;
    struct hz_execution *e = hz_admit_find_key(desk, s->workflow->id, s->key);
    if (e && e->committing && !e->stored) {
        struct hz_twin *twin = calloc(1, sizeof *twin);
        if (!twin) {
            refuse(&caller, hz_err_text(HZ_ENOMEM), 1);
            return true;
        }
        *twin = (struct hz_twin){.next = e->twins, .caller = caller};
        e->twins = twin;
        return true;
    }
    int err = e ? (hz_execution_row(e, &row) ? 0 : HZ_ENOMEM) : hz_store_by_idempotency_key(s->workflow->id, s->key, &row);
    if (err == HZ_ENOTFOUND)
        return false;
    if (err) {
        refuse(&caller, hz_err_text(err), 1);
        return true;
    }
    hz_submitter_finished(&caller, &row);
    hz_store_execution_fini(&row);
    return true;
}

static void set_deadline(struct hz_execution *e, uint32_t timeout_ms)
{
    if (!timeout_ms)
        return;
    int64_t from = e->due_ms ? HZ_MAX(e->due_ms, e->created_ms) : e->created_ms, left = HZ_MAX((int64_t)0, from - hz_base_wall_ms());
    e->timeout_ms = timeout_ms;
    e->deadline_ms = from + timeout_ms;
    e->deadline_ns = hz_base_now_ns() + ((uint64_t)left + timeout_ms) * 1000000u;
    if (left == 0)
        hz_dispatch_deadline(e); /* else when it is due: one timer serves both */
}

static void run_submit(struct hz_mail *mail)
{
    struct submit *s = HZ_CONTAINER_OF(mail, struct submit, mail);
    struct hz_desk *desk = hz_desk_here();
    struct hz_execution *e;
    /* A promise for later, or a key that others will ask for, is kept by the store alone. */
    bool durable = s->workflow->durability != HZ_DURABILITY_NONE || s->key || s->due_ms;
    bool activation = s->workflow->plan->trigger_count > 0;
    uint32_t retry_after_s = 1;
    int err = !desk || desk->ending || desk->yard->ending ? hz_err_set(HZ_ECLOSED, "the manager ends") : 0;
    if (!err && durable && hz_store_degraded())
        err = hz_err_set(HZ_EBUSY, "the store cannot write (disk full?): executions that need it are refused for now");
    if (!err && hz_execution_store_full(desk))
        err = hz_err_set(HZ_EBUSY, "the store cannot write (disk full?) and has no room for further rows");
    if (!err && s->key && is_duplicate(desk, s)) {
        free_submit(s);
        return;
    }
    if (!err && !activation)
        err = hz_admit_check(desk, s->workflow, s->data_len, &retry_after_s);
    if (!err)
        err = hz_execution_new(desk, s->workflow, NULL, 0, NULL, false, &e);
    if (err) {
        refuse(&s->caller, hz_err_last(), err == HZ_EBUSY ? retry_after_s : err == HZ_ENOMEM ? 1 : 0);
        free_submit(s);
        return;
    }
    s->workflow = NULL; /* taken */
    hz_execution_set_input(e, s->data, s->data_len);
    s->data = NULL;
    memcpy(e->trigger, s->trigger, sizeof e->trigger);
    e->wants_port = s->wants_port;
    e->caller = s->caller;
    e->is_activation = activation;
    e->replayable = !activation;
    if (!activation) {
        e->due_ms = s->due_ms > e->created_ms ? s->due_ms : 0;
        if (e->due_ms)
            hz_execution_set_state(e, HZ_EXEC_WAITING);
        if ((s->key && hz_admit_set_key(e, s->key)) || hz_admit_enter(e, s->priority, e->due_ms == 0)) {
            hz_execution_drop(e);
            refuse(&s->caller, hz_err_text(HZ_ENOMEM), 1);
            free_submit(s);
            return;
        }
        set_deadline(e, s->timeout_ms ? s->timeout_ms : e->workflow->timeout_ms);
    }
    if (durable || e->is_activation)
        commit_first(e);
    else
        accepted(e);
    free_submit(s);
}

void hz_scheduler_submit(const struct hz_submit *submit, hz_accepted_fn *accepted_fn, hz_finished_fn *finished, void *arg)
{
    struct hz_submitter caller = {hz_shard_self(), accepted_fn, finished, arg};
    HZ_ASSERT(caller.from != NULL);
    struct hz_workflow *workflow = submit->workflow;
    struct submit *s = calloc(1, sizeof *s);
    char *data = s ? malloc(submit->data_len + 1) : NULL, *key = data && submit->key ? strdup(submit->key) : NULL;
    if (!data || (submit->key && !key)) {
        free(data);
        free(s);
        hz_workflow_unref(&workflow);
        refuse(&caller, hz_err_text(HZ_ENOMEM), 1);
        return;
    }
    if (submit->data_len)
        memcpy(data, submit->data, submit->data_len);
    data[submit->data_len] = 0;
    *s = (struct submit){.mail = {.run = run_submit}, .workflow = workflow, .data = data, .data_len = submit->data_len,
            .wants_port = submit->wants_port, .timeout_ms = submit->timeout_ms, .priority = submit->priority, .due_ms = submit->due_wall_ms,
            .key = key, .duplicate = submit->duplicate, .caller = caller};
    (void)hz_text_copy(s->trigger, sizeof s->trigger, submit->trigger ? submit->trigger : "manual");
    /* One pool a workflow: its executions meet on its shard, and so do those that are counted, or found by a key. */
    const struct hz_queueing *q = &workflow->queueing;
    bool meet = workflow->resident || q->concurrency || q->queue || q->rate_ns || key || submit->due_wall_ms || submit->priority || q->priority;
    struct hz_shard *home = meet && workflow->plan->trigger_count == 0 ? hz_service_home(workflow) : hz_supervisor_pick_shard();
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

bool hz_scheduler_live(const struct hz_uuid *id, struct hz_store_execution *ret_row)
{
    return hz_execution_live_row(id, ret_row);
}

int hz_scheduler_list_live(const char *workflow_id, enum hz_exec_state state, int64_t before_ms, const struct hz_uuid *before,
        size_t limit, struct hz_store_execution **ret_rows, size_t *ret_count)
{
    return hz_executions_list_live(workflow_id, state, before_ms, before, limit, ret_rows, ret_count);
}

/* ---- adopt ---- */

struct adopt {
    struct hz_mail mail;
    struct hz_workflow *workflow;
    struct hz_store_execution row;
    uint32_t attempt;
};

static void run_adopt(struct hz_mail *mail)
{
    struct adopt *a = HZ_CONTAINER_OF(mail, struct adopt, mail);
    struct hz_store_execution *row = &a->row;
    struct hz_desk *desk = hz_desk_here();
    struct hz_execution *e = NULL;
    if (!desk || desk->ending || hz_execution_new(desk, a->workflow, &row->id, 0, NULL, true, &e)) {
        hz_workflow_unref(&a->workflow); /* its row stays open: the next manager finds it */
        hz_store_execution_fini(row);
        free(a);
        return;
    }
    e->attempt = a->attempt;
    e->created_ms = row->created_wall_ms;
    e->due_ms = row->due_wall_ms;
    e->activation = row->activation;
    e->stored = e->replayable = true;
    memcpy(e->trigger, row->trigger, sizeof e->trigger);
    if (a->workflow->durability == HZ_DURABILITY_CHECKPOINT)
        hz_checkpoint_load(e);
    if (a->workflow->on_interrupt != HZ_INTERRUPT_RESUME)
        hz_checkpoint_forget(e);
    if (row->input)
        hz_execution_set_input(e, row->input, strlen(row->input));
    row->input = NULL;
    int64_t now_ms = hz_base_wall_ms();
    if (e->due_ms > now_ms)
        hz_execution_set_state(e, HZ_EXEC_WAITING);
    if ((row->idempotency_key && hz_admit_set_key(e, row->idempotency_key)) || hz_admit_enter(e, (uint32_t)HZ_MAX(0, row->priority), false)) {
        hz_execution_drop(e);
        HZ_LOG(ERROR, "out of memory: an execution of workflow %s waits for the next start", row->workflow_id);
    } else {
        int64_t waited = now_ms - HZ_MAX(e->created_ms, e->due_ms);
        e->item.since_ns -= HZ_MAX((int64_t)0, waited) * 1000000;
        if (row->deadline_wall_ms) {
            int64_t left = HZ_MAX((int64_t)0, row->deadline_wall_ms - now_ms);
            e->deadline_ms = row->deadline_wall_ms;
            e->deadline_ns = hz_base_now_ns() + (uint64_t)left * 1000000u;
            if (e->state != HZ_EXEC_WAITING)
                hz_dispatch_deadline(e);
        }
        if (e->attempt != row->attempt) {
            struct hz_store_execution next;
            if (hz_execution_row(e, &next))
                hz_execution_store(desk, &next);
        }
        hz_admit_go(e);
    }
    hz_store_execution_fini(row);
    free(a);
}

void hz_scheduler_adopt(struct hz_workflow *workflow, struct hz_store_execution *row, uint32_t attempt)
{
    struct adopt *a = calloc(1, sizeof *a);
    if (!a) {
        hz_workflow_unref(&workflow);
        hz_store_execution_fini(row);
        HZ_LOG(ERROR, "out of memory: an execution waits for the next start");
        return;
    }
    *a = (struct adopt){.mail = {.run = run_adopt}, .workflow = workflow, .row = *row, .attempt = attempt};
    memset(row, 0, sizeof *row);
    struct hz_shard *home = hz_service_home(workflow);
    if (home == hz_shard_self())
        run_adopt(&a->mail);
    else
        hz_shard_post(home, &a->mail);
}

int hz_scheduler_redrive(const struct hz_uuid *id, hz_accepted_fn *accepted_fn, hz_finished_fn *duplicate, void *arg)
{
    char key[16 + HZ_UUID_TEXT] = "redrive:";
    struct hz_store_execution row;
    struct hz_workflow *workflow;
    char *text = NULL;
    int err = hz_store_get(id, &row);
    if (err)
        return err;
    if (!row.dead) {
        hz_store_execution_fini(&row);
        return HZ_ENOTFOUND;
    }
    hz_uuid_format(id, key + strlen(key)); /* one letter, one further execution */
    err = hz_workflows_get(row.workflow_id, NULL, &workflow, &text);
    free(text);
    if (!err) {
        struct hz_submit submit = {.workflow = workflow, .data = row.input ? row.input : "", .data_len = row.input ? strlen(row.input) : 0,
                .trigger = "redrive", .key = key, .duplicate = duplicate};
        hz_scheduler_submit(&submit, accepted_fn, NULL, arg);
    }
    hz_store_execution_fini(&row);
    return err ? hz_err_set(HZ_EFORMAT, "its workflow cannot be loaded any more") : 0;
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
