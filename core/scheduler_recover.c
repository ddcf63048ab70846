/*
 * scheduler_recover.c - rows a former manager left open: interrupted, or run again as the workflow says. Once, at the start, on the
 * first shard, before its loop runs.
 */
#include "executions.h"

#include "core/flow/plan.h"

#include <stdlib.h>
#include <string.h>

HZ_KEEPS_WHAT_IS_ALLOCATED /* a row is taken by the store */

static const char reason[] = "the manager ended while it ran";

static void close_row(struct hz_desk *desk, struct hz_store_execution *row, enum hz_exec_state state, const char *error)
{
    free(row->error);
    row->error = strdup(error);
    row->state = state;
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
    }
    free(text);
}

static bool run_again(struct hz_desk *desk, struct hz_store_execution *row)
{
    struct hz_workflow *workflow;
    struct hz_execution *e;
    char *text = NULL;
    int err = hz_workflows_get(row->workflow_id, row->version, &workflow, &text);
    free(text);
    if (err)
        return false;
    /* A webhook's caller is gone, and its request with it. */
    bool can = workflow->on_interrupt != HZ_INTERRUPT_FAIL && workflow->plan->trigger_count == 0 && hz_uuid_is_nil(&row->activation);
    if (!can || hz_execution_new(desk, workflow, &row->id, 0, NULL, true, &e)) {
        hz_workflow_unref(&workflow);
        return false;
    }
    e->attempt = row->attempt + 1;
    e->created_ms = row->created_wall_ms;
    e->stored = e->replayable = true;
    memcpy(e->trigger, row->trigger, sizeof e->trigger);
    e->input = row->input;
    e->input_len = row->input ? strlen(row->input) : 0;
    row->input = NULL;
    struct hz_store_execution next;
    if (hz_execution_row(e, &next))
        hz_execution_store(desk, &next);
    hz_dispatch(e);
    return true;
}

void hz_recover(struct hz_desk *desk)
{
    struct hz_store_execution *rows;
    size_t count, again = 0;
    if (hz_store_unfinished(&rows, &count)) {
        HZ_LOG(ERROR, "executions a former manager left open: %s", hz_err_last());
        return;
    }
    for (size_t i = 0; i < count; i++) {
        struct hz_store_execution *row = &rows[i];
        if (row->is_activation) {
            start_again(row);
            close_row(desk, row, HZ_EXEC_INTERRUPTED, reason);
        } else if (run_again(desk, row)) {
            again++;
            hz_store_execution_fini(row);
        } else {
            close_row(desk, row, HZ_EXEC_INTERRUPTED, reason);
        }
    }
    free(rows);
    if (count > 0)
        HZ_LOG(INFO, "%zu executions were left open by the manager before: %zu run again, the others are interrupted", count, again);
}
