/*
 * executor_emit.c - what a run sends on: emissions along the drawn connections, errors, joins, state of a node within an
 * execution. Worker, the thread that owns the execution; the blocking calls' part on the thread that runs them.
 */
#include "call.h"
#include "executor_run.h"
#include "report.h"
#include "worker.h"
#include "node_stats.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

HZ_KEEPS_WHAT_IS_ALLOCATED /* states and joins are owned by their table */

#define LIMIT_TEXT "limit of %u queued messages reached"

int hz_executor_push(struct hz_execution *execution, const struct hz_delivery *delivery)
{
    if (execution->work_count == execution->work_capacity) {
        uint32_t capacity = execution->work_capacity ? execution->work_capacity * 2 : 16;
        struct hz_delivery *work = realloc(execution->work, capacity * sizeof(*work));
        if (!work)
            return HZ_ENOMEM;
        execution->work = work;
        execution->work_capacity = capacity;
    }
    execution->work[execution->work_count++] = *delivery;
    return 0;
}

uint32_t hz_executor_ordinal(struct hz_execution *execution, uint32_t node)
{
    if (!execution->ordinals) {
        execution->ordinals = calloc(execution->worker->site_count, sizeof(uint32_t));
        if (!execution->ordinals)
            return 0;
    }
    return ++execution->ordinals[node];
}

static const struct hz_plan_output *find_output(const struct hz_plan *plan, const struct hz_plan_node *node, const char *name,
        size_t len, uint32_t *ret_index)
{
    for (uint32_t i = 0; i < node->output_count; i++) {
        const struct hz_plan_output *output = hz_plan_output(plan, node->first_output + i);
        if (output->name.len == len && memcmp(hz_plan_chars(plan, output->name), name, len) == 0) {
            *ret_index = node->first_output + i;
            return output;
        }
    }
    *ret_index = HZ_NO_NODE;
    return NULL;
}

static void report_hop(struct hz_call *call, uint32_t output, uint32_t to, uint64_t duration_ns, uint64_t accumulated_ns)
{
    struct hz_thread *thread = call->owner;
    struct hz_msg_hop hop = {.wall_ms = hz_base_wall_ms(), .execution = call->execution->number, .duration_ns = duration_ns,
            .accumulated_ns = accumulated_ns, .memory_bytes = (uint64_t)HZ_MAX(thread->memory.bytes, INT64_C(0)),
            .from = call->site->index, .output = output, .to = to};
    struct hz_part part = {&hop, sizeof(hop)};
    (void)hz_report_try(thread, HZ_MSG_HOP, &part, 1, HZ_STAT_drops_hop);
}

int hz_executor_send(struct hz_call *call, const char *output, size_t len, const hz_value *data, const hz_value *meta)
{
    struct hz_execution *execution = call->execution;
    struct hz_worker *worker = execution->worker;
    const struct hz_plan *plan = worker->plan;
    uint32_t output_index;
    const struct hz_plan_output *drawn = find_output(plan, call->site->plan, output, len, &output_index);
    uint32_t count = drawn ? drawn->edge_count : 0;
    if (__builtin_expect(count > worker->limits.queued - HZ_MIN(execution->work_count, worker->limits.queued), 0)) {
        char text[96];
        int n = snprintf(text, sizeof(text), LIMIT_TEXT, (unsigned)worker->limits.queued);
        hz_executor_fail(execution, call->site->index, "LIMIT", text, n < 0 ? 0 : (size_t)n);
        execution->abort = HZ_EXEC_FAILED;
        return HZ_ERR_LIMIT;
    }
    uint64_t duration_ns = 0, accumulated_ns = call->at.accumulated_ns;
    if (__builtin_expect(worker->tracking, 0)) {
        duration_ns = call->event ? 0 : hz_base_now_ns() - call->entered_ns;
        accumulated_ns += duration_ns;
    }
    if (count == 0) { /* the branch ends here */
        if (execution->wants_result) {
            hz_value_ref(data);
            hz_value_unref(execution->result);
            execution->result = data;
        }
        if (worker->tracking)
            report_hop(call, output_index, HZ_NO_NODE, duration_ns, accumulated_ns);
        return HZ_OK;
    }
    struct hz_branch_pool *branches = &call->owner->branches;
    if (hz_branch_set(branches, &call->at.branch, call->site->index, data, meta, ++execution->order) != 0)
        return HZ_ERR_NOMEM;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t edge_index = drawn->first_edge + i;
        const struct hz_plan_edge *edge = hz_plan_edge(plan, edge_index);
        struct hz_delivery next = {.data = data, .branch = call->at.branch, .accumulated_ns = accumulated_ns, .node = edge->node,
                .origin = call->site->index, .edge = edge_index, .change = execution->changes};
        if (!worker->sites[edge->node].pure && (next.ordinal = hz_executor_ordinal(execution, edge->node)) == 0)
            return HZ_ERR_NOMEM;
        if (hz_executor_push(execution, &next) != 0)
            return HZ_ERR_NOMEM;
        hz_value_ref(data);
        hz_branch_ref(call->at.branch);
        if (worker->tracking)
            report_hop(call, output_index, edge->node, duration_ns, accumulated_ns);
    }
    execution->emissions += count;
    call->owner->stats.v[HZ_STAT_emissions] += count;
    return HZ_OK;
}

/* ---- errors ---- */

static bool may_retry(const struct hz_call *call)
{
    return call->at.attempt < call->site->plan->retries && !call->emitted && !call->event && !call->execution->finished;
}

/* Charged to the execution: the text of an error payload, which is {"error": text} by custom. */
static void charge(struct hz_call *call, const hz_value *data)
{
    struct hz_execution *execution = call->execution;
    const hz_value *text = hz_value_type(data) == HZ_OBJECT ? hz_value_get(data, "error", 5) : data;
    struct hz_buffer buffer = {0};
    hz_value_print_text(&buffer, text ? text : data);
    const char *code = call->site->desc ? (call->no_memory ? "NOMEM" : "NODE") : "UNKNOWN_NODE";
    hz_executor_fail(execution, call->site->index, code, buffer.data ? buffer.data : "", buffer.failed ? 0 : buffer.len);
    hz_buffer_fini(&buffer);
}

int hz_executor_emit_failure(struct hz_call *call, const hz_value *data, const hz_value *meta)
{
    uint32_t output;
    struct hz_execution *execution = call->execution;
    const struct hz_plan_output *drawn = find_output(execution->worker->plan, call->site->plan, "error", 5, &output);
    if (execution->finished || !drawn || drawn->edge_count == 0)
        charge(call, data);
    return execution->finished ? HZ_ERR_CLOSED : hz_executor_send(call, "error", 5, data, meta);
}

static int emit_error_value(struct hz_call *call, const hz_value *data, const hz_value *meta)
{
    struct hz_thread *thread = call->owner;
    thread->stats.v[HZ_STAT_node_errors]++;
    hz_node_stats_error(call);
    hz_recorder_add(thread->lane->recorder, HZ_EVENT_ERROR, thread->now_ns, call->execution->number, call->site->index, 1, 0);
    call->errored = true;
    if (may_retry(call)) {
        if (!call->held_error)
            call->held_error = hz_value_ref(data);
        return HZ_OK;
    }
    return hz_executor_emit_failure(call, data, meta);
}

int hz_executor_emit_error(struct hz_call *call, const char *text, size_t len)
{
    hz_value *object = hz_value_object(), *string = hz_value_string(text, len);
    int r = HZ_ERR_NOMEM;
    if (object && string && hz_value_set(object, "error", 5, string) == 0)
        r = call->blocking ? hz_executor_emit(call, "error", object, NULL) : emit_error_value(call, object, NULL);
    else if (!call->blocking) /* not even memory for the error: charge it without */
        hz_executor_fail(call->execution, call->site->index, "NOMEM", text, len);
    call->errored = true;
    hz_value_unref(string);
    hz_value_unref(object);
    return r;
}

/* ---- blocking calls keep their emissions ---- */

static int hold(struct hz_call *call, const char *output, const hz_value *data, const hz_value *meta)
{
    size_t len = strlen(output);
    struct hz_held *held = hz_call_alloc(call, sizeof(*held) + len + 1);
    if (!held)
        return HZ_ERR_NOMEM;
    *held = (struct hz_held){.data = hz_value_ref(data), .meta = hz_value_ref(meta), .output_len = len};
    memcpy(held->output, output, len + 1);
    if (call->held_last)
        call->held_last->next = held;
    else
        call->held_first = held;
    call->held_last = held;
    if (strcmp(output, "error") == 0)
        call->errored = true;
    return HZ_OK;
}

void hz_executor_drop_held(struct hz_call *call)
{
    for (struct hz_held *held = call->held_first; held; held = held->next) {
        hz_value_unref(held->data);
        hz_value_unref(held->meta);
    }
    call->held_first = call->held_last = NULL;
}

void hz_executor_send_held(struct hz_call *call)
{
    for (struct hz_held *held = call->held_first; held; held = held->next) {
        int r = strcmp(held->output, "error") == 0
                ? emit_error_value(call, held->data, held->meta)
                : hz_executor_send(call, held->output, held->output_len, held->data, held->meta);
        call->no_memory = call->no_memory || r == HZ_ERR_NOMEM;
    }
    hz_executor_drop_held(call);
}

int hz_executor_emit(struct hz_call *call, const char *output, const hz_value *data, const hz_value *meta)
{
    struct hz_execution *execution = call->execution;
    if (call->blocking) {
        if (atomic_load_explicit(&call->closed, memory_order_relaxed) != 0 ||
                atomic_load_explicit(&execution->cancel, memory_order_relaxed) != 0)
            return HZ_ERR_CLOSED;
    } else {
        if (call->state != HZ_CALL_RUNNING)
            return HZ_ERR_INVALID;
        if (execution->finished || atomic_load_explicit(&execution->cancel, memory_order_relaxed) != 0)
            return HZ_ERR_CLOSED;
    }
    if (!data) {
        call->no_memory = true;
        return HZ_ERR_NOMEM;
    }
    hz_call_freeze(call, data);
    hz_call_freeze(call, meta);
    if (call->blocking)
        return hold(call, output, data, meta);
    if (strcmp(output, "error") == 0)
        return emit_error_value(call, data, meta);
    return hz_executor_send(call, output, strlen(output), data, meta);
}

/* ---- state of a node within the execution: a small table with open addressing ---- */

/* The node's place, used or free. capacity is a power of two with at least one free place. */
static struct hz_node_state *place_of(struct hz_node_state *states, uint32_t capacity, uint32_t node)
{
    uint32_t mask = capacity - 1, i = (node * 0x9e3779b1u) & mask; /* Knuth 6.4 */
    while (states[i].node != 0 && states[i].node != node + 1)
        i = (i + 1) & mask;
    return &states[i];
}

static struct hz_node_state *find_state(const struct hz_execution *execution, uint32_t node)
{
    if (execution->state_capacity == 0)
        return NULL;
    struct hz_node_state *state = place_of(execution->states, execution->state_capacity, node);
    return state->node != 0 ? state : NULL;
}

static bool grow_states(struct hz_execution *execution)
{
    uint32_t capacity = execution->state_capacity ? execution->state_capacity * 2 : 8;
    struct hz_node_state *states = calloc(capacity, sizeof(*states));
    if (!states)
        return false;
    for (uint32_t i = 0; i < execution->state_capacity; i++)
        if (execution->states[i].node != 0)
            *place_of(states, capacity, execution->states[i].node - 1) = execution->states[i];
    free(execution->states);
    execution->states = states;
    execution->state_capacity = capacity;
    return true;
}

struct hz_node_state *hz_executor_make_state(struct hz_execution *execution, uint32_t node)
{
    struct hz_node_state *state = find_state(execution, node);
    if (state)
        return state;
    if (execution->state_count * 4 >= execution->state_capacity * 3 && !grow_states(execution))
        return NULL;
    state = place_of(execution->states, execution->state_capacity, node);
    state->node = node + 1;
    execution->state_count++;
    return state;
}

const hz_value *hz_executor_state_of(const struct hz_execution *execution, uint32_t node)
{
    const struct hz_node_state *state = find_state(execution, node);
    return state ? state->value : NULL;
}

const hz_value *hz_executor_state_get(struct hz_call *call)
{
    return call->blocking ? call->state_copy : hz_executor_state_of(call->execution, call->site->index);
}

int hz_executor_state_set(struct hz_call *call, const hz_value *value)
{
    hz_call_freeze(call, value);
    const hz_value **slot = &call->state_copy;
    if (call->blocking) {
        call->state_changed = true;
    } else {
        if (call->execution->finished)
            return HZ_ERR_CLOSED;
        struct hz_node_state *state = hz_executor_make_state(call->execution, call->site->index);
        if (!state)
            return HZ_ERR_NOMEM;
        slot = &state->value;
    }
    const hz_value *old = *slot;
    *slot = hz_value_ref(value);
    hz_value_unref(old);
    return HZ_OK;
}

/* ---- joins ---- */

void hz_executor_drop_states(struct hz_execution *execution)
{
    for (uint32_t i = 0; i < execution->state_capacity; i++) {
        struct hz_node_state *state = &execution->states[i];
        if (state->node == 0)
            continue;
        hz_value_unref(state->value);
        if (state->join)
            hz_branch_unref(&execution->thread->branches, state->join->merged);
        free(state->join);
    }
    free(execution->states);
    execution->states = NULL;
    execution->state_capacity = execution->state_count = 0;
}

int hz_executor_join(struct hz_call *call)
{
    struct hz_execution *execution = call->execution;
    const struct hz_plan *plan = execution->worker->plan;
    const struct hz_plan_node *node = call->site->plan;
    if (call->blocking || call->state != HZ_CALL_RUNNING || execution->finished)
        return HZ_ERR_INVALID;
    uint32_t position = 0;
    while (position < node->origin_count && hz_plan_ref(plan, node->first_origin + position) != call->at.origin)
        position++;
    if (position == node->origin_count)
        return HZ_ERR_NOENT;
    struct hz_node_state *state = hz_executor_make_state(execution, call->site->index);
    if (state && !state->join)
        state->join = calloc(1, sizeof(struct hz_join) + node->origin_count * sizeof(bool));
    if (!state || !state->join)
        return HZ_ERR_NOMEM;
    struct hz_join *join = state->join;
    if (join->over || join->seen[position])
        return HZ_ERR_ALREADY;
    if (hz_branch_merge(&call->owner->branches, &join->merged, call->at.branch) != 0)
        return HZ_ERR_NOMEM;
    join->seen[position] = true;
    if (++join->arrived < node->origin_count)
        return 0;
    join->over = true;
    hz_branch_unref(&call->owner->branches, call->at.branch);
    call->at.branch = join->merged;
    join->merged = NULL;
    return 1;
}
