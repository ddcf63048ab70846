/* value_internal.h - what the value_*.c files share and nobody else includes. */
#ifndef HZ_WORKER_VALUE_INTERNAL_H
#define HZ_WORKER_VALUE_INTERNAL_H

#include "value.h"

/* Not numbers of jansson's: it refuses to make them. Static objects with jansson's layout of a real, immortal by its
 * own convention (reference count -1), told apart by their address. */
struct hz_value_static {
    json_t json;
    double number;
};
extern struct hz_value_static hz_value_static_undefined, hz_value_static_nan, hz_value_static_infinity,
        hz_value_static_minus_infinity;

/* Largest integer a double counts up to without gaps. */
#define HZ_VALUE_SAFE_INT 9007199254740992LL

/* Is the key what JavaScript calls an array index: decimal, canonical, below 2^32 - 1? */
bool hz_value_key_index(const char *key, size_t len, uint32_t *ret_index);
/* Has the object a number-like key? Only then its key order differs from insertion order. O(keys). */
bool hz_value_has_index(const json_t *object);
/* The object's jansson iterators in JavaScript's order, in memory from malloc; NULL: out of memory. O(n log n). */
void **hz_value_sort_keys(const json_t *object, size_t *ret_count);
/* New reference to the number as jansson holds it; NULL: out of memory. */
json_t *hz_value_make_number(double v);
/* jansson's iterator calls take non-const pointers even to read. */
json_t *hz_value_mutable(const json_t *json);

/* JSON text for JavaScript's JSON.parse: Infinity as 1e999, NaN as the string `nan`. True: there was a NaN. */
bool hz_value_print_script(struct hz_buffer *buffer, const hz_value *value, const char *nan);

/* A reference more. Unlike json_incref every access to the count is atomic, the look for immortals too. Relaxed: the
 * caller already holds a reference, so nothing has to become visible. */
static inline json_t *hz_value_take(json_t *json)
{
    if (json && __atomic_load_n(&json->refcount, __ATOMIC_RELAXED) != (size_t)-1)
        (void)__atomic_add_fetch(&json->refcount, 1, __ATOMIC_RELAXED);
    return json;
}

#endif
