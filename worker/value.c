/*
 * value.c - making, sharing, reading and comparing values. A hz_value is a json_t; jansson keeps the memory, the rules
 * are JavaScript's. Printing, parsing, numbers and key order have files of their own. Worker process, any thread.
 */
#include "value_internal.h"

#include "shm/err.h"
#include "utf8.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define FROZEN ((size_t)-1) /* jansson's refcount of what is not counted and never freed */
#define STATIC_REAL(v)                                                                                                 \
    {                                                                                                                  \
        {JSON_REAL, FROZEN}, (v)                                                                                       \
    }
struct hz_value_static hz_value_static_undefined = {{JSON_NULL, FROZEN}, 0.0};
struct hz_value_static hz_value_static_nan = STATIC_REAL((double)NAN);
struct hz_value_static hz_value_static_infinity = STATIC_REAL((double)INFINITY);
struct hz_value_static hz_value_static_minus_infinity = STATIC_REAL(-(double)INFINITY);

/* Containers waiting to be torn down; grows on the heap only for values with many inner containers. */
struct value_stack {
    json_t **items, *first[32];
    size_t count, capacity;
};

int hz_value_init(void)
{
    size_t seed = 0;
    while (seed == 0) /* 0 would make jansson open a device */
        hz_base_random(&seed, sizeof seed);
    json_object_seed(seed);
    return 0;
}

json_t *hz_value_mutable(const json_t *json)
{
    return (json_t *)(uintptr_t)json;
}

json_t *hz_value_json(const hz_value *value)
{
    return (json_t *)(uintptr_t)value;
}

const hz_value *hz_value_ref(const hz_value *value)
{
    (void)hz_value_take(hz_value_json(value));
    return value;
}

static bool is_static_real(const json_t *json)
{
    return json == &hz_value_static_nan.json || json == &hz_value_static_infinity.json ||
           json == &hz_value_static_minus_infinity.json;
}

/* false: no memory to remember it; jansson's own recursion takes it then. */
static bool stack_push(struct value_stack *stack, json_t *container)
{
    if (stack->count == stack->capacity) {
        bool heap = stack->items != stack->first;
        json_t **grown = realloc(heap ? stack->items : NULL, stack->capacity * 2 * sizeof(void *));
        if (!grown)
            return false;
        if (!heap)
            memcpy(grown, stack->first, sizeof stack->first);
        stack->items = grown;
        stack->capacity *= 2;
    }
    stack->items[stack->count++] = container;
    return true;
}

static void stack_push_child(struct value_stack *stack, json_t *child)
{
    if (__atomic_load_n(&child->refcount, __ATOMIC_RELAXED) == FROZEN)
        return; /* not counted: it stays */
    if ((json_is_object(child) && json_object_size(child)) || (json_is_array(child) && json_array_size(child))) {
        if (stack_push(stack, child))
            (void)hz_value_take(child);
    }
}

/*
 * Frees a container whose last reference is gone. jansson would recurse as deep as the value is nested, and a flow that
 * wraps its message once a turn nests it a million deep; so inner containers are taken out by a reference of ours first
 * and come to their end from an explicit stack.
 */
static void value_delete_container(json_t *dead)
{
    struct value_stack stack = {.capacity = HZ_COUNT_OF(stack.first)};
    stack.items = stack.first;
    json_t *next = dead;
    for (;;) {
        if (json_is_object(next)) {
            for (void *i = json_object_iter(next); i; i = json_object_iter_next(next, i))
                stack_push_child(&stack, json_object_iter_value(i));
        } else {
            for (size_t i = 0, n = json_array_size(next); i < n; i++)
                stack_push_child(&stack, json_array_get(next, i));
        }
        json_delete(next);
        do {
            if (stack.count == 0) {
                if (stack.items != stack.first)
                    free(stack.items);
                return;
            }
            next = stack.items[--stack.count];
        } while (__atomic_sub_fetch(&next->refcount, 1, __ATOMIC_ACQ_REL) != 0);
    }
}

/*
 * Reference counts: every holder reads the value only before its own decrement (release); whoever takes the count to
 * zero sees all those reads ended (acquire) before it frees. New references are made only from existing ones, so a
 * count of zero cannot rise again.
 */
void hz_value_unref(const hz_value *value)
{
    json_t *json = hz_value_json(value);
    if (!json || __atomic_load_n(&json->refcount, __ATOMIC_RELAXED) == FROZEN)
        return;
    if (__atomic_sub_fetch(&json->refcount, 1, __ATOMIC_ACQ_REL) != 0)
        return;
    if (json_is_object(json) || json_is_array(json))
        value_delete_container(json);
    else
        json_delete(json);
}

/* Recursion is bounded by HZ_VALUE_DEPTH: what is frozen was parsed. */
static void set_frozen(json_t *json, bool frozen)
{
    if (!json || json_is_null(json) || json_is_boolean(json) || is_static_real(json) || (json->refcount == FROZEN) == frozen)
        return;
    json->refcount = frozen ? FROZEN : 1;
    for (void *i = json_object_iter(json); i; i = json_object_iter_next(json, i))
        set_frozen(json_object_iter_value(i), frozen);
    for (size_t i = 0, n = json_array_size(json); i < n; i++)
        set_frozen(json_array_get(json, i), frozen);
}

void hz_value_freeze(const hz_value *value)
{
    set_frozen(hz_value_json(value), true);
}

void hz_value_thaw(const hz_value *value)
{
    set_frozen(hz_value_json(value), false);
}

hz_value *hz_value_undefined(void)
{
    return hz_value_of(&hz_value_static_undefined.json);
}

hz_value *hz_value_null(void)
{
    return hz_value_of(json_null());
}

hz_value *hz_value_bool(bool v)
{
    return hz_value_of(json_boolean(v));
}

json_t *hz_value_make_number(double v)
{
    if (isnan(v))
        return &hz_value_static_nan.json;
    if (isinf(v))
        return v > 0 ? &hz_value_static_infinity.json : &hz_value_static_minus_infinity.json;
    if (fabs(v) <= (double)HZ_VALUE_SAFE_INT) {
        json_int_t whole = (json_int_t)v;
        if ((double)whole == v && (whole != 0 || !signbit(v)))
            return json_integer(whole);
    }
    return json_real(v);
}

hz_value *hz_value_number(double v)
{
    return hz_value_of(hz_value_make_number(v));
}

hz_value *hz_value_int(int64_t v)
{
    if (v > HZ_VALUE_SAFE_INT || v < -HZ_VALUE_SAFE_INT)
        return hz_value_of(json_real((double)v));
    return hz_value_of(json_integer(v));
}

hz_value *hz_value_string(const char *data, size_t len)
{
    if (len == 0)
        return hz_value_of(json_stringn_nocheck("", 0));
    if (hz_utf8_prefix(data, len) == len)
        return hz_value_of(json_stringn_nocheck(data, len));
    struct hz_buffer fixed = {0};
    hz_utf8_repair(&fixed, data, len);
    json_t *made = fixed.failed ? NULL : json_stringn_nocheck(fixed.data, fixed.len);
    hz_buffer_fini(&fixed);
    return hz_value_of(made);
}

hz_value *hz_value_object(void)
{
    return hz_value_of(json_object());
}

hz_value *hz_value_array(void)
{
    return hz_value_of(json_array());
}

int hz_value_set(hz_value *object, const char *key, size_t len, const hz_value *value)
{
    json_t *into = hz_value_json(object), *json = hz_value_json(value);
    if (!json || !json_is_object(into))
        return HZ_ENOMEM; /* a NULL comes from a failed construction: reported once, at the end of the chain */
    if (json == &hz_value_static_undefined.json)
        return 0; /* as JSON.stringify leaves it out */
    if (len == 0)
        key = "";
    if (hz_utf8_prefix(key, len) == len)
        return json_object_setn_new_nocheck(into, key, len, hz_value_take(json)) < 0 ? HZ_ENOMEM : 0;
    struct hz_buffer fixed = {0};
    hz_utf8_repair(&fixed, key, len);
    int rc = fixed.failed ? -1 : json_object_setn_new_nocheck(into, fixed.data, fixed.len, hz_value_take(json));
    hz_buffer_fini(&fixed);
    return rc < 0 ? HZ_ENOMEM : 0;
}

int hz_value_push(hz_value *array, const hz_value *value)
{
    json_t *into = hz_value_json(array), *json = hz_value_json(value);
    if (!json || !json_is_array(into))
        return HZ_ENOMEM;
    if (json == &hz_value_static_undefined.json)
        json = json_null();
    return json_array_append_new(into, hz_value_take(json)) < 0 ? HZ_ENOMEM : 0;
}

hz_value *hz_value_copy(const hz_value *value)
{
    json_t *json = hz_value_json(value);
    if (json_is_object(json) || json_is_array(json))
        return hz_value_of(json_copy(json));
    return hz_value_of(hz_value_take(json)); /* scalars never change */
}

enum hz_type hz_value_type(const hz_value *value)
{
    const json_t *json = hz_value_json(value);
    if (!json || json == &hz_value_static_undefined.json)
        return HZ_UNDEFINED;
    switch (json->type) {
    case JSON_OBJECT:
        return HZ_OBJECT;
    case JSON_ARRAY:
        return HZ_ARRAY;
    case JSON_STRING:
        return HZ_STRING;
    case JSON_INTEGER:
    case JSON_REAL:
        return HZ_NUMBER;
    case JSON_TRUE:
    case JSON_FALSE:
        return HZ_BOOL;
    case JSON_NULL:
        return HZ_NULL;
    }
    HZ_ASSERT(false); /* all of jansson's types are listed */
    return HZ_UNDEFINED;
}

double hz_value_num(const hz_value *value)
{
    const json_t *json = hz_value_json(value);
    if (json_is_integer(json))
        return (double)json_integer_value(json);
    if (!json_is_real(json))
        return (double)NAN;
    if (is_static_real(json))
        return HZ_CONTAINER_OF(hz_value_json(value), struct hz_value_static, json)->number;
    return json_real_value(json);
}

bool hz_value_truthy(const hz_value *value)
{
    switch (hz_value_type(value)) {
    case HZ_UNDEFINED:
    case HZ_NULL:
        return false;
    case HZ_BOOL:
        return json_is_true(hz_value_json(value));
    case HZ_NUMBER: {
        double v = hz_value_num(value);
        return !isnan(v) && v != 0.0;
    }
    case HZ_STRING:
        return json_string_length(hz_value_json(value)) != 0;
    case HZ_ARRAY:
    case HZ_OBJECT:
        break;
    }
    return true;
}

hz_str hz_value_str(const hz_value *value)
{
    const json_t *json = hz_value_json(value);
    if (!json_is_string(json))
        return (hz_str){"", 0};
    return (hz_str){json_string_value(json), json_string_length(json)};
}

size_t hz_value_length(const hz_value *value)
{
    const json_t *json = hz_value_json(value);
    if (json_is_string(json))
        return json_string_length(json);
    if (json_is_array(json))
        return json_array_size(json);
    return json_is_object(json) ? json_object_size(json) : 0;
}

const hz_value *hz_value_get(const hz_value *object, const char *key, size_t len)
{
    const json_t *json = hz_value_json(object);
    if (!json_is_object(json))
        return NULL;
    return hz_value_of(json_object_getn(json, len ? key : "", len));
}

const hz_value *hz_value_at(const hz_value *array, size_t index)
{
    const json_t *json = hz_value_json(array);
    return json_is_array(json) ? hz_value_of(json_array_get(json, index)) : NULL;
}

static bool value_equal(const json_t *a, const json_t *b, unsigned depth)
{
    if (a == b)
        return true;
    if (!a || !b || depth > HZ_VALUE_DEPTH)
        return false;
    enum hz_type type = hz_value_type(hz_value_of(hz_value_mutable(a)));
    if (type != hz_value_type(hz_value_of(hz_value_mutable(b))))
        return false;
    if (type == HZ_NUMBER) {
        double x = hz_value_num(hz_value_of(hz_value_mutable(a))), y = hz_value_num(hz_value_of(hz_value_mutable(b)));
        return x <= y && x >= y; /* NaN equals itself by address, above */
    }
    if (type == HZ_STRING) {
        size_t len = json_string_length(a);
        return len == json_string_length(b) && memcmp(json_string_value(a), json_string_value(b), len) == 0;
    }
    if (type == HZ_ARRAY) {
        size_t n = json_array_size(a);
        if (n != json_array_size(b))
            return false;
        for (size_t i = 0; i < n; i++) {
            if (!value_equal(json_array_get(a, i), json_array_get(b, i), depth + 1))
                return false;
        }
        return true;
    }
    if (type != HZ_OBJECT || json_object_size(a) != json_object_size(b))
        return false; /* equal booleans and nulls share an address */
    json_t *walked = hz_value_mutable(a);
    for (void *i = json_object_iter(walked); i; i = json_object_iter_next(walked, i)) {
        const json_t *other = json_object_getn(b, json_object_iter_key(i), json_object_iter_key_len(i));
        if (!other || !value_equal(json_object_iter_value(i), other, depth + 1))
            return false;
    }
    return true;
}

bool hz_value_equal(const hz_value *a, const hz_value *b)
{
    return value_equal(hz_value_json(a), hz_value_json(b), 0);
}
