/*
 * scheduler_recover.c - rows a former manager left open: each gets a class by its workflow's own rule and is gone on with, run again, or
 * marked interrupted. Once, at the start, on the first shard, before its loop runs. What was found is told to whoever asks (/readyz).
 *
 * Synchronisation: the result is written before any shard's loop runs and never again.
 */
#include "executions.h"
#include "restart.h"

#include "core/flow/plan.h"

#include <stdlib.h>
#include <string.h>

HZ_KEEPS_WHAT_IS_ALLOCATED /* a row is taken by the store */

static const char reason[] = "the manager ended while it ran";
static struct hz_recovery recovery;

const struct hz_recovery *hz_scheduler_recovery(void)
{
    return &recovery;
}

static void close_row(struct hz_desk *desk, struct hz_store_execution *row, const struct hz_workflow *workflow, const char *error)
{
    free(row->error);
    row->error = strdup(error);
    row->state = HZ_EXEC_INTERRUPTED;
    row->stored = true;
    row->dead = workflow && workflow->retry.given && !row->is_activation;
    row->ended_wall_ms = hz_base_wall_ms();
    hz_execution_store(desk, row);
}

static bool enabled(const char *workflow_id)
{
    json_t *list = hz_store_workflow_list(), *item;
    bool found = false;
    size_t i;
    json_array_foreach(list, i, item) {
        const char *id = json_string_value(json_object_get(item, "id"));
        const json_t *flag = json_object_get(item, "enabled");
        if (id && strcmp(id, workflow_id) == 0)
            found = json_is_true(flag) || json_integer_value(flag) != 0;
    }
    json_decref(list);
    return found;
}

/* An activation: its row is over; the workflow is started again as a new one, if it is enabled. */
static void start_again(const struct hz_store_execution *row)
{
    struct hz_workflow *workflow;
    char *text = NULL;
    if (!enabled(row->workflow_id))
        return;
    if (hz_workflows_get(row->workflow_id, row->version, &workflow, &text) == 0) {
        struct hz_submit submit = {.workflow = workflow, .data = "", .trigger = row->trigger, .wants_port = true};
        hz_scheduler_submit(&submit, NULL, NULL, NULL);
        recovery.activations++;
    }
    free(text);
}

/* True: it lives again, on its workflow's shard. Takes the row then. */
static bool take_up(struct hz_store_execution *row, struct hz_workflow *workflow)
{
    /* A webhook's caller is gone, and its request with it. */
    bool begun = row->state == HZ_EXEC_RUNNING; /* else it has not, if its workflow does not want it run twice: scheduler_admit.c */
    bool may = workflow->on_interrupt != HZ_INTERRUPT_FAIL;
    if ((begun && !may) || workflow->plan->trigger_count > 0 || !hz_uuid_is_nil(&row->activation))
        return false;
    if (workflow->on_interrupt == HZ_INTERRUPT_RESUME)
        recovery.resumed++;
    else
        recovery.restarted++;
    bool same = !begun && hz_restart_follows(); /* it only waited, and still does */
    hz_scheduler_adopt(hz_workflow_ref(workflow), row, row->attempt + (!same && (begun || may)));
    return true;
}

static void settle(struct hz_desk *desk, struct hz_store_execution *row)
{
    if (hz_restart_has(&row->id)) { /* it goes on under this image */
        hz_store_execution_fini(row);
        return;
    }
    struct hz_workflow *workflow = NULL;
    char *text = NULL;
    bool known = hz_workflows_get(row->workflow_id, row->version, &workflow, &text) == 0;
    free(text);
    recovery.found++;
    if (row->is_activation) {
        start_again(row);
        recovery.interrupted++;
        close_row(desk, row, NULL, reason);
    } else if (!known || row->damaged || !take_up(row, workflow)) {
        recovery.interrupted++;
        close_row(desk, row, workflow, !known ? "the manager ended while it ran, and its workflow cannot be loaded any more"
                : row->damaged ? "the manager ended while it ran, and what it was started with is damaged in the store" : reason);
    }
    if (known)
        hz_workflow_unref(&workflow);
}

void hz_recover(struct hz_desk *desk)
{
    struct hz_store_execution *rows;
    size_t count;
    uint64_t begun_ns = hz_base_now_ns();
    recovery = (struct hz_recovery){0};
    if (hz_store_unfinished(&rows, &count)) {
        HZ_LOG(ERROR, "executions a former manager left open: %s", hz_err_last());
        recovery.failed = true;
        return;
    }
    for (size_t i = 0; i < count; i++)
        settle(desk, &rows[i]);
    free(rows);
    recovery.took_us = (hz_base_now_ns() - begun_ns) / 1000u;
    if (recovery.found > 0)
        HZ_LOG(INFO, "%u executions were left open by the manager before: %u go on from their checkpoints, %u run again, %u are interrupted; "
                     "%u activations are started again", recovery.found, recovery.resumed, recovery.restarted, recovery.interrupted,
                recovery.activations);
}
