/*
 * call.c - memory of a call: its arena, the values it built, which of them it may still change. Worker, the thread that
 * runs the call; structs and chunks that are free go to the lists of the thread that frees them, so no lock is needed.
 */
#include "call.h"
#include "worker.h"

#include <stdlib.h>
#include <string.h>

#define FREE_CALLS_MAX 256u
#define FREE_CHUNKS_MAX 64u

static bool few_containers(const struct hz_call *call)
{
    return call->container_capacity == 0;
}

struct hz_call *hz_call_new(struct hz_thread *thread, struct hz_execution *execution, const struct hz_delivery *at)
{
    struct hz_call *call = thread->free_calls;
    if (call) {
        thread->free_calls = call->next;
        thread->free_call_count--;
    } else {
        call = malloc(sizeof(*call));
        if (!call)
            return NULL;
    }
    memset(call, 0, offsetof(struct hz_call, few_params));
    call->magic = HZ_CALL_MAGIC;
    call->state = HZ_CALL_RUNNING;
    call->event = at->event != 0;
    atomic_init(&call->refs, 1);
    atomic_init(&call->closed, 0);
    call->execution = execution;
    call->owner = thread;
    call->site = &execution->worker->sites[at->node];
    call->at = *at;
    call->owned = call->few_owned;
    call->owned_capacity = HZ_CALL_FEW;
    call->containers = call->few_containers;
    call->entered_ns = thread->now_ns;
    return call;
}

void hz_call_let_go(struct hz_call *call)
{
    hz_value_unref(call->at.data);
    call->at.data = NULL;
    hz_branch_unref(&call->owner->branches, call->at.branch);
    call->at.branch = NULL;
    for (uint32_t i = 0; i < call->param_count; i++)
        hz_value_unref(call->params[i]);
    call->param_count = 0;
    hz_value_unref(call->held_error);
    call->held_error = NULL;
    hz_value_unref(call->state_copy);
    call->state_copy = NULL;
}

static void free_chunks(struct hz_call *call)
{
    struct hz_thread *self = hz_thread_self;
    for (struct hz_chunk *chunk = call->chunks, *next; chunk; chunk = next) {
        next = chunk->next;
        if (self && chunk->size == HZ_CHUNK_BYTES && self->free_chunk_count < FREE_CHUNKS_MAX) {
            chunk->next = self->free_chunks;
            self->free_chunks = chunk;
            self->free_chunk_count++;
        } else {
            hz_memory_count(-(int64_t)chunk->size);
            free(chunk);
        }
    }
    call->chunks = NULL;
}

static void free_call(struct hz_call *call)
{
    HZ_ASSERT(call->state == HZ_CALL_OVER && call->waits == NULL);
    for (uint32_t i = 0; i < call->owned_count; i++)
        hz_value_unref(call->owned[i]);
    if (call->owned != call->few_owned)
        free(call->owned);
    if (!few_containers(call))
        free(call->containers);
    while (call->hooks) {
        struct hz_hook *hook = call->hooks;
        call->hooks = hook->next;
        free(hook);
    }
    free_chunks(call);
    call->magic = 0;
    if (call->holds_execution)
        hz_execution_unref(call->execution);
    struct hz_thread *self = hz_thread_self;
    if (self && self->free_call_count < FREE_CALLS_MAX) {
        call->next = self->free_calls;
        self->free_calls = call;
        self->free_call_count++;
    } else {
        free(call);
    }
}

void hz_call_unref(struct hz_call *call)
{
    HZ_CHECK_OBJ(call, HZ_CALL_MAGIC);
    /* Alone: nobody else can take a reference (that needs one), so no locked instruction. */
    if (atomic_load_explicit(&call->refs, memory_order_acquire) == 1 ||
            atomic_fetch_sub_explicit(&call->refs, 1, memory_order_acq_rel) == 1)
        free_call(call);
}

void *hz_call_alloc(struct hz_call *call, size_t size)
{
    if (size > HZ_MSG_MAX * 4)
        return NULL;
    uint32_t need = (uint32_t)HZ_ALIGN_UP(size ? size : 1, 16u);
    struct hz_chunk *chunk = call->chunks;
    if (!chunk || chunk->size - chunk->used < need) {
        struct hz_thread *self = hz_thread_self;
        uint32_t room = need > HZ_CHUNK_BYTES ? need : HZ_CHUNK_BYTES;
        if (self && room == HZ_CHUNK_BYTES && self->free_chunks) {
            chunk = self->free_chunks;
            self->free_chunks = chunk->next;
            self->free_chunk_count--;
        } else {
            chunk = malloc(sizeof(*chunk) + room);
            if (!chunk)
                return NULL;
            hz_memory_count((int64_t)room);
        }
        chunk->used = 0;
        chunk->size = room;
        call->arena_bytes += room;
        if (call->chunks && room > HZ_CHUNK_BYTES) { /* keep filling the present one */
            chunk->next = call->chunks->next;
            call->chunks->next = chunk;
        } else {
            chunk->next = call->chunks;
            call->chunks = chunk;
        }
    }
    void *data = chunk->data + chunk->used;
    chunk->used += need;
    return data;
}

hz_value *hz_call_own(struct hz_call *call, hz_value *value)
{
    if (!value)
        return NULL;
    if (call->owned_count == call->owned_capacity) {
        uint32_t capacity = call->owned_capacity * 2;
        const hz_value **owned = call->owned == call->few_owned
                ? malloc(capacity * sizeof(const hz_value *))
                : realloc(call->owned, capacity * sizeof(const hz_value *));
        if (!owned) {
            hz_value_unref(value);
            return NULL;
        }
        if (call->owned == call->few_owned)
            memcpy(owned, call->few_owned, sizeof(call->few_owned));
        call->owned = owned;
        call->owned_capacity = capacity;
    }
    call->owned[call->owned_count++] = value;
    return value;
}

/* ---- which containers may be changed: pointers, few in a row or many in a table with open addressing ---- */

static size_t slot_of(const struct hz_call *call, uintptr_t key)
{
    uint64_t hash = (uint64_t)(key >> 4) * UINT64_C(0x9e3779b97f4a7c15); /* Fibonacci hashing, Knuth 6.4 */
    size_t mask = call->container_capacity - 1u, i = (size_t)(hash >> 32) & mask;
    while (call->containers[i] != 0 && (call->containers[i] & ~(uintptr_t)1) != key)
        i = (i + 1) & mask;
    return i;
}

static uintptr_t *find_container(const struct hz_call *call, const hz_value *value)
{
    uintptr_t key = (uintptr_t)value;
    if (!few_containers(call)) {
        uintptr_t *slot = &call->containers[slot_of(call, key)];
        return *slot ? slot : NULL;
    }
    for (uint32_t i = call->container_count; i > 0; i--)
        if ((call->containers[i - 1] & ~(uintptr_t)1) == key)
            return &call->containers[i - 1];
    return NULL;
}

static bool grow_containers(struct hz_call *call)
{
    uint32_t old_capacity = few_containers(call) ? HZ_COUNT_OF(call->few_containers) : call->container_capacity;
    uint32_t capacity = few_containers(call) ? 64 : call->container_capacity * 2;
    uintptr_t *table = calloc(capacity, sizeof(*table)), *old = call->containers;
    if (!table)
        return false;
    call->containers = table;
    call->container_capacity = capacity;
    for (uint32_t i = 0; i < old_capacity; i++)
        if (old[i])
            table[slot_of(call, old[i] & ~(uintptr_t)1)] = old[i];
    if (old != call->few_containers)
        free(old);
    return true;
}

hz_value *hz_call_own_container(struct hz_call *call, hz_value *value)
{
    if (!value)
        return NULL;
    bool full = few_containers(call) ? call->container_count == HZ_COUNT_OF(call->few_containers)
                                     : call->container_count * 4 >= call->container_capacity * 3;
    if (full && !grow_containers(call)) {
        hz_value_unref(value);
        return NULL;
    }
    if (!hz_call_own(call, value))
        return NULL;
    uintptr_t key = (uintptr_t)value;
    if (few_containers(call))
        call->containers[call->container_count] = key;
    else
        call->containers[slot_of(call, key)] = key;
    call->container_count++;
    return value;
}

bool hz_call_may_change(const struct hz_call *call, const hz_value *value)
{
    uintptr_t *slot = find_container(call, value);
    return slot && (*slot & 1) == 0;
}

/* Depth is bounded by what the node itself nested; a node that nests deeper than this keeps the rest changeable. */
static void freeze(struct hz_call *call, const hz_value *value, unsigned depth)
{
    enum hz_type type = hz_value_type(value);
    if (depth > HZ_VALUE_DEPTH || (type != HZ_OBJECT && type != HZ_ARRAY))
        return;
    uintptr_t *slot = find_container(call, value);
    if (!slot || (*slot & 1) != 0)
        return;
    *slot |= 1;
    if (type == HZ_ARRAY) {
        for (size_t i = 0, n = hz_value_length(value); i < n; i++)
            freeze(call, hz_value_at(value, i), depth + 1);
        return;
    }
    void *cursor = NULL;
    hz_str key;
    const hz_value *member;
    while (hz_value_next(value, &cursor, &key, &member))
        freeze(call, member, depth + 1);
}

void hz_call_freeze(struct hz_call *call, const hz_value *value)
{
    if (value && call->container_count > 0)
        freeze(call, value, 0);
}
