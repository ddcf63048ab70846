/*
 * checkpoint_pack.c - an execution's state as bytes and back; see checkpoint.h for what is in it. Worker, the owning thread.
 *
 * Layout: head; values; branches; body. A value or a branch that several hold is written once and named by its number. Byte
 * order is the machine's: a store does not move to another kind of machine (the magic tells). The fingerprint is of the
 * plan's nodes and connections: indices mean nothing in another plan.
 */
#include "call.h"
#include "checkpoint.h"
#include "executor_run.h"
#include "worker.h"

#include <stdlib.h>
#include <string.h>

#define MAGIC 0x31504b43u /* "CKP1" */
#define NONE UINT32_MAX
#define CODE_BYTES 32u

struct table { /* pointers that were written, by number */
    const void **seen;
    uint32_t count, capacity; /* capacity: power of two, at least twice the count */
    uint32_t *number;
};

struct packer {
    struct hz_execution *execution;
    struct table values, branches;
    struct hz_buffer value_bytes, branch_bytes, body;
    bool failed, deep;
};

static void put32(struct hz_buffer *buffer, uint32_t v)
{
    hz_buffer_add(buffer, &v, sizeof(v));
}

static void put64(struct hz_buffer *buffer, uint64_t v)
{
    hz_buffer_add(buffer, &v, sizeof(v));
}

/* ---- numbers for pointers ---- */

static uint32_t slot_of(const struct table *table, const void *pointer)
{
    uint32_t i = (uint32_t)(((uintptr_t)pointer >> 4) * UINT64_C(0x9e3779b97f4a7c15) >> 32) & (table->capacity - 1);
    while (table->seen[i] && table->seen[i] != pointer)
        i = (i + 1) & (table->capacity - 1);
    return i;
}

static bool grow(struct table *table)
{
    uint32_t capacity = table->capacity ? 2 * table->capacity : 64;
    struct table old = *table;
    table->seen = calloc(capacity, sizeof(*table->seen));
    table->number = calloc(capacity, sizeof(*table->number));
    if (!table->seen || !table->number) {
        free(table->seen);
        free(table->number);
        *table = old;
        return false;
    }
    table->capacity = capacity;
    for (uint32_t i = 0; i < old.capacity; i++) {
        if (!old.seen[i])
            continue;
        uint32_t to = slot_of(table, old.seen[i]);
        table->seen[to] = old.seen[i];
        table->number[to] = old.number[i];
    }
    free(old.seen);
    free(old.number);
    return true;
}

/* Its number; *ret_new: it gets one now. NONE: out of memory. */
static uint32_t number_of(struct table *table, const void *pointer, bool *ret_new)
{
    if (2 * table->count >= table->capacity && !grow(table))
        return NONE;
    uint32_t i = slot_of(table, pointer);
    *ret_new = table->seen[i] == NULL;
    if (*ret_new) {
        table->seen[i] = pointer;
        table->number[i] = table->count++;
    }
    return table->number[i];
}

static uint32_t value_number(struct packer *packer, const hz_value *value)
{
    bool is_new = false;
    if (!value)
        return NONE;
    uint32_t number = number_of(&packer->values, value, &is_new);
    if (number == NONE)
        packer->failed = true;
    else if (is_new && !hz_checkpoint_put_value(&packer->value_bytes, value, 0))
        packer->deep = true;
    return number;
}

static uint32_t branch_number(struct packer *packer, const struct hz_branch *branch)
{
    bool is_new = false;
    if (!branch)
        return NONE;
    uint32_t number = number_of(&packer->branches, branch, &is_new);
    if (number == NONE)
        packer->failed = true;
    if (number == NONE || !is_new)
        return number;
    const struct hz_branch_pool *pool = &packer->execution->thread->branches;
    uint32_t nodes = packer->execution->worker->site_count;
    for (uint32_t node = 0; node < nodes; node++) {
        const struct hz_branch_entry *entry = hz_branch_get(pool, branch, node);
        if (!entry)
            continue;
        put32(&packer->branch_bytes, node);
        put32(&packer->branch_bytes, value_number(packer, entry->data));
        put32(&packer->branch_bytes, value_number(packer, entry->meta));
        put64(&packer->branch_bytes, entry->order);
    }
    put32(&packer->branch_bytes, NONE);
    return number;
}

/* ---- pack ---- */

static uint64_t fingerprint(const struct hz_plan *plan)
{
    uint64_t hash = UINT64_C(14695981039346656037); /* FNV-1a */
    for (uint32_t n = 0; n < plan->node_count; n++) {
        const struct hz_plan_node *node = hz_plan_node(plan, n);
        struct hz_plan_text texts[] = {node->id, node->type};
        for (size_t t = 0; t < HZ_COUNT_OF(texts); t++)
            for (uint32_t i = 0; i < texts[t].len; i++)
                hash = (hash ^ (unsigned char)hz_plan_chars(plan, texts[t])[i]) * UINT64_C(1099511628211);
        hash = (hash ^ 0x100) * UINT64_C(1099511628211);
    }
    for (uint32_t e = 0; e < plan->edge_count; e++)
        hash = (hash ^ hz_plan_edge(plan, e)->node) * UINT64_C(1099511628211);
    return hash;
}

static void put_delivery(struct packer *packer, const struct hz_delivery *at, int64_t since_ms)
{
    struct hz_buffer *body = &packer->body;
    put32(body, at->node);
    put32(body, at->origin);
    put32(body, at->edge);
    put32(body, at->attempt);
    put32(body, at->event);
    put32(body, at->ordinal);
    put64(body, (uint64_t)since_ms);
    put64(body, at->accumulated_ns);
    put32(body, value_number(packer, at->data));
    put32(body, branch_number(packer, at->branch));
}

/* Calls that have not returned lie below what is on its way: what follows from the checkpoint alone runs first. */
static void put_deliveries(struct packer *packer)
{
    struct hz_execution *execution = packer->execution;
    uint32_t count = execution->work_count + (execution->parked ? 1u : 0u);
    for (struct hz_call *call = execution->calls; call; call = call->next)
        count += call->daemon ? 0 : 1;
    put32(&packer->body, count);
    for (struct hz_call *call = execution->calls; call; call = call->next) {
        if (call->daemon)
            continue;
        int64_t since_ms = call->at.since_ms;
        if (since_ms == 0 && !call->retrying)
            since_ms = hz_base_wall_ms() - (int64_t)((hz_base_now_ns() - call->entered_ns) / 1000000u);
        put_delivery(packer, &call->at, since_ms);
    }
    if (execution->parked)
        put_delivery(packer, &execution->parked_at, 0);
    for (uint32_t i = 0; i < execution->work_count; i++)
        put_delivery(packer, &execution->work[i], execution->work[i].since_ms);
}

static void put_states(struct packer *packer)
{
    struct hz_execution *execution = packer->execution;
    struct hz_buffer *body = &packer->body;
    put32(body, execution->state_count);
    for (uint32_t i = 0; i < execution->state_capacity; i++) {
        const struct hz_node_state *state = &execution->states[i];
        if (state->node == 0)
            continue;
        uint32_t node = state->node - 1, origins = execution->worker->sites[node].plan->origin_count;
        put32(body, node);
        put32(body, value_number(packer, state->value));
        put32(body, state->join ? 1 + state->join->over : 0);
        if (!state->join)
            continue;
        put32(body, state->join->arrived);
        put32(body, branch_number(packer, state->join->merged));
        for (uint32_t o = 0; o < origins; o++)
            put32(body, state->join->seen[o]);
    }
}

static void put_ordinals(struct packer *packer)
{
    struct hz_execution *execution = packer->execution;
    uint32_t nodes = execution->ordinals ? execution->worker->site_count : 0;
    for (uint32_t n = 0; n < nodes; n++) {
        if (execution->ordinals[n] == 0)
            continue;
        put32(&packer->body, n);
        put32(&packer->body, execution->ordinals[n]);
    }
    put32(&packer->body, NONE);
}

static void put_head(struct packer *packer)
{
    const struct hz_execution *execution = packer->execution;
    struct hz_buffer *body = &packer->body;
    put64(body, execution->order);
    put64(body, execution->node_runs);
    put64(body, execution->emissions);
    put64(body, execution->cpu_ns);
    put32(body, execution->failed);
    put32(body, execution->error_node);
    char code[CODE_BYTES] = "";
    if (execution->error_code)
        memcpy(code, execution->error_code, HZ_MIN(strlen(execution->error_code), sizeof(code) - 1));
    hz_buffer_add(body, code, sizeof(code));
    put64(body, execution->error_len);
    hz_buffer_add(body, execution->error, execution->error_len);
    put32(body, value_number(packer, execution->result));
}

int hz_checkpoint_pack(struct hz_execution *execution, struct hz_buffer *ret_state)
{
    struct packer packer = {.execution = execution};
    struct hz_buffer state = {0};
    put_head(&packer);
    put_ordinals(&packer);
    put_states(&packer);
    put_deliveries(&packer);
    put32(&state, MAGIC);
    put32(&state, packer.values.count);
    put32(&state, packer.branches.count);
    put32(&state, execution->worker->site_count);
    put64(&state, fingerprint(execution->worker->plan));
    hz_buffer_add(&state, packer.value_bytes.data, packer.value_bytes.len);
    hz_buffer_add(&state, packer.branch_bytes.data, packer.branch_bytes.len);
    hz_buffer_add(&state, packer.body.data, packer.body.len);
    bool memory = packer.failed || state.failed || packer.value_bytes.failed || packer.branch_bytes.failed || packer.body.failed;
    int err = memory ? HZ_ENOMEM : packer.deep || state.len > HZ_CHECKPOINT_MAX ? HZ_ETOOBIG : 0;
    hz_buffer_fini(&packer.value_bytes);
    hz_buffer_fini(&packer.branch_bytes);
    hz_buffer_fini(&packer.body);
    free(packer.values.seen);
    free(packer.values.number);
    free(packer.branches.seen);
    free(packer.branches.number);
    if (err)
        hz_buffer_fini(&state);
    else
        *ret_state = state;
    return err;
}

/* ---- restore ---- */

struct unpacker {
    struct hz_execution *execution;
    struct hz_checkpoint_reader reader;
    const hz_value **values;
    struct hz_branch **branches;
    uint32_t value_count, branch_count;
    bool failed; /* out of memory */
};

/* Borrowed; NULL with *ok for "none". */
static const hz_value *value_at(struct unpacker *u, uint32_t number)
{
    if (number != NONE && number >= u->value_count)
        u->reader.bad = true;
    return number < u->value_count ? u->values[number] : NULL;
}

static struct hz_branch *branch_at(struct unpacker *u, uint32_t number)
{
    if (number != NONE && number >= u->branch_count)
        u->reader.bad = true;
    return number < u->branch_count ? u->branches[number] : NULL;
}

static uint32_t node_at(struct unpacker *u)
{
    uint32_t node = hz_checkpoint_get32(&u->reader);
    if (node >= u->execution->worker->site_count)
        u->reader.bad = true;
    return u->reader.bad ? 0 : node;
}

static void get_branch(struct unpacker *u, struct hz_branch **branch)
{
    uint32_t node;
    while (!u->reader.bad && (node = hz_checkpoint_get32(&u->reader)) != NONE) {
        const hz_value *data = value_at(u, hz_checkpoint_get32(&u->reader));
        const hz_value *meta = value_at(u, hz_checkpoint_get32(&u->reader));
        uint64_t order = hz_checkpoint_get64(&u->reader);
        u->reader.bad = u->reader.bad || !data || node >= u->execution->worker->site_count;
        if (!u->reader.bad && hz_branch_set(&u->execution->thread->branches, branch, node, data, meta, order) != 0)
            u->reader.bad = u->failed = true;
    }
}

static void get_head(struct unpacker *u)
{
    struct hz_execution *execution = u->execution;
    struct hz_checkpoint_reader *reader = &u->reader;
    static const char *const codes[] = {"NODE", "NOMEM", "LIMIT", "UNKNOWN_NODE", "CHECKPOINT", "INPUT"};
    execution->order = hz_checkpoint_get64(reader);
    execution->node_runs = hz_checkpoint_get64(reader);
    execution->emissions = hz_checkpoint_get64(reader);
    execution->cpu_ns = hz_checkpoint_get64(reader);
    execution->failed = hz_checkpoint_get32(reader) != 0;
    execution->error_node = hz_checkpoint_get32(reader);
    const char *code = hz_checkpoint_get_bytes(reader, CODE_BYTES);
    size_t len = (size_t)hz_checkpoint_get64(reader);
    const char *text = hz_checkpoint_get_bytes(reader, len);
    if (text && code && code[0]) {
        execution->error_code = "NODE";
        for (size_t i = 0; i < HZ_COUNT_OF(codes); i++)
            if (strncmp(code, codes[i], CODE_BYTES) == 0)
                execution->error_code = codes[i];
        execution->error = malloc(len + 1);
        if (execution->error) {
            memcpy(execution->error, text, len);
            execution->error[len] = '\0';
            execution->error_len = len;
        }
    }
    execution->result = hz_value_ref(value_at(u, hz_checkpoint_get32(reader)));
}

static void get_ordinals(struct unpacker *u)
{
    struct hz_execution *execution = u->execution;
    uint32_t node;
    while (!u->reader.bad && (node = hz_checkpoint_get32(&u->reader)) != NONE) {
        uint32_t ordinal = hz_checkpoint_get32(&u->reader);
        if (u->reader.bad || node >= execution->worker->site_count || ordinal == 0) {
            u->reader.bad = true;
        } else if (hz_executor_ordinal(execution, node) == 0) {
            u->reader.bad = u->failed = true;
        } else {
            execution->ordinals[node] = ordinal;
        }
    }
}

static void get_join(struct unpacker *u, struct hz_node_state *state, uint32_t origins, bool over)
{
    struct hz_join *join = calloc(1, sizeof(*join) + origins * sizeof(bool));
    if (!join) {
        u->reader.bad = u->failed = true;
        return;
    }
    state->join = join;
    join->over = over;
    join->arrived = hz_checkpoint_get32(&u->reader);
    join->merged = hz_branch_ref(branch_at(u, hz_checkpoint_get32(&u->reader)));
    uint32_t seen = 0;
    for (uint32_t o = 0; o < origins; o++) {
        join->seen[o] = hz_checkpoint_get32(&u->reader) != 0;
        seen += join->seen[o];
    }
    u->reader.bad = u->reader.bad || seen != join->arrived || (over && seen != origins);
}

static void get_states(struct unpacker *u)
{
    uint32_t count = hz_checkpoint_get32(&u->reader);
    for (uint32_t i = 0; i < count && !u->reader.bad; i++) {
        uint32_t node = node_at(u);
        const hz_value *value = value_at(u, hz_checkpoint_get32(&u->reader));
        uint32_t join = hz_checkpoint_get32(&u->reader);
        if (u->reader.bad)
            break;
        struct hz_node_state *state = hz_executor_make_state(u->execution, node);
        if (!state || state->value || state->join) {
            u->failed = !state;
            u->reader.bad = true; /* no memory, or one node twice */
            break;
        }
        state->value = hz_value_ref(value);
        if (join != 0)
            get_join(u, state, u->execution->worker->sites[node].plan->origin_count, join == 2);
    }
}

static void get_deliveries(struct unpacker *u)
{
    struct hz_execution *execution = u->execution;
    struct hz_checkpoint_reader *reader = &u->reader;
    const struct hz_plan *plan = execution->worker->plan;
    uint32_t count = hz_checkpoint_get32(reader);
    if (count > execution->worker->limits.queued)
        reader->bad = true;
    for (uint32_t i = 0; i < count && !reader->bad; i++) {
        struct hz_delivery at = {.node = node_at(u), .change = 1};
        at.origin = hz_checkpoint_get32(reader);
        at.edge = hz_checkpoint_get32(reader);
        at.attempt = (uint16_t)hz_checkpoint_get32(reader);
        at.event = hz_checkpoint_get32(reader) != 0;
        at.ordinal = hz_checkpoint_get32(reader);
        at.since_ms = (int64_t)hz_checkpoint_get64(reader);
        at.accumulated_ns = hz_checkpoint_get64(reader);
        at.data = value_at(u, hz_checkpoint_get32(reader));
        at.branch = branch_at(u, hz_checkpoint_get32(reader));
        bool known = (at.origin == HZ_NO_NODE || at.origin < plan->node_count) && (at.edge == HZ_NO_EDGE || at.edge < plan->edge_count);
        /* An edge is a claim of whose input it is; event() is a trigger's. */
        if (reader->bad || !known || !at.data || (at.edge != HZ_NO_EDGE && hz_plan_edge(plan, at.edge)->node != at.node) ||
                (at.event && !execution->worker->sites[at.node].trigger)) {
            reader->bad = true;
        } else if (hz_executor_push(execution, &at) != 0) {
            reader->bad = u->failed = true;
        } else {
            hz_value_ref(at.data);
            hz_branch_ref(at.branch);
        }
    }
}

static bool get_tables(struct unpacker *u)
{
    struct hz_checkpoint_reader *reader = &u->reader;
    bool magic = hz_checkpoint_get32(reader) == MAGIC;
    uint32_t values = hz_checkpoint_get32(reader), branches = hz_checkpoint_get32(reader), nodes = hz_checkpoint_get32(reader);
    bool same = hz_checkpoint_get64(reader) == fingerprint(u->execution->worker->plan) && nodes == u->execution->worker->site_count;
    size_t left = (size_t)(reader->end - reader->at);
    if (!magic || reader->bad || values > left || branches > left / sizeof(uint32_t))
        return false;
    if (!same) {
        (void)hz_err_set(HZ_EVERSION, "it belongs to another version of the flow");
        return false;
    }
    u->values = calloc(values ? values : 1, sizeof(*u->values));
    u->branches = calloc(branches ? branches : 1, sizeof(*u->branches));
    u->failed = !u->values || !u->branches;
    for (; !u->failed && !reader->bad && u->value_count < values; u->value_count++)
        u->values[u->value_count] = hz_checkpoint_get_value(reader, 0);
    for (; !u->failed && !reader->bad && u->branch_count < branches; u->branch_count++)
        get_branch(u, &u->branches[u->branch_count]);
    return !reader->bad && !u->failed;
}

int hz_checkpoint_restore(struct hz_execution *execution, const void *state, size_t len)
{
    const unsigned char *bytes = state;
    struct unpacker u = {.execution = execution, .reader = {.at = bytes, .end = bytes + len}};
    int err = hz_err_set(HZ_EFORMAT, "its bytes are damaged");
    if (get_tables(&u)) {
        get_head(&u);
        get_ordinals(&u);
        get_states(&u);
        get_deliveries(&u);
        if (!u.reader.bad && u.reader.at == u.reader.end)
            err = 0;
        else
            err = hz_err_set(HZ_EFORMAT, "its bytes are damaged");
    }
    if (u.failed)
        err = hz_err_set(HZ_ENOMEM, "out of memory");
    for (uint32_t i = 0; i < u.value_count; i++)
        hz_value_unref(u.values[i]);
    for (uint32_t i = 0; i < u.branch_count; i++)
        hz_branch_unref(&execution->thread->branches, u.branches[i]);
    free(u.values);
    free(u.branches);
    execution->changes = execution->saved = execution->sending = 1;
    return err;
}
