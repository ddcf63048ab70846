/*
 * value.h - immutable, reference-counted values with JavaScript's semantics. jansson parses and holds them and stays
 * behind this file: a hz_value is a json_t. Printing, parsing and enumeration are ours where JavaScript differs:
 * integers within +-2^53 are int64, else double; larger integers read as double, 1E400 as Infinity (printed null);
 * numbers print by the shortest text that reads back, as JavaScript does; `\u0000` is allowed; lone surrogates become
 * U+FFFD; number-like keys are enumerated first, ascending. `undefined` is a value of its own (a static object), never
 * inside a container. All functions may be called from any thread; a value may be shared by threads once built.
 */
#ifndef HZ_WORKER_VALUE_H
#define HZ_WORKER_VALUE_H

#include "shm/base.h"
#define HZ_HOST_SIDE
#include <horizon/node.h>
#include <jansson.h>

/* Containers inside containers that are parsed and printed; deeper text is refused. */
#define HZ_VALUE_DEPTH 512

/* Call once per process before the first value (seeds jansson's hash; see json_object_seed). 0 or -errno. */
HZ_MUST_CHECK int hz_value_init(void);

static inline hz_value *hz_value_of(json_t *json)
{
    return (hz_value *)(void *)json;
}
/* jansson's API takes non-const pointers even to read. */
json_t *hz_value_json(const hz_value *value);

const hz_value *hz_value_ref(const hz_value *value); /* NULL-safe; returns its argument */
void hz_value_unref(const hz_value *value);          /* NULL-safe */
/* For constants that all threads use: counting references to one value from two processors costs more than most nodes do.
 * freeze: the caller holds the only reference to the tree and no other thread knows it; from here on references to it or
 * into it are not counted. thaw: nobody else holds any any more (or the tree was never frozen): counted again, from one. NULL-safe. O(tree). */
void hz_value_freeze(const hz_value *value);
void hz_value_thaw(const hz_value *value);

/* New references; NULL: out of memory. */
hz_value *hz_value_undefined(void);
hz_value *hz_value_null(void);
hz_value *hz_value_bool(bool v);
hz_value *hz_value_number(double v); /* int64 inside when integral and within +-2^53 (not -0), NaN and Infinity kept */
hz_value *hz_value_int(int64_t v);
hz_value *hz_value_string(const char *data, size_t len); /* invalid UTF-8 replaced by U+FFFD */
hz_value *hz_value_object(void);
hz_value *hz_value_array(void);
int hz_value_set(
        hz_value *object, const char *key, size_t len, const hz_value *value); /* takes its own reference; HZ_ENOMEM */
int hz_value_push(hz_value *array, const hz_value *value);
hz_value *hz_value_copy(const hz_value *value); /* shallow */

enum hz_type hz_value_type(const hz_value *value);
bool hz_value_truthy(const hz_value *value);
double hz_value_to_number(const hz_value *value); /* JavaScript's Number(value) */
double hz_value_num(const hz_value *value);       /* numbers only, else NaN */
hz_str hz_value_str(const hz_value *value);       /* strings only, else {"", 0}; borrowed */
size_t hz_value_length(const hz_value *value);
const hz_value *hz_value_get(const hz_value *object, const char *key, size_t len); /* borrowed, NULL if absent */
const hz_value *hz_value_at(const hz_value *array, size_t index);
/* JavaScript's key order. *cursor starts NULL and holds no memory: stopping early needs nothing (hz_value_next_stop()
 * only sets it back to the start). The object must not lose keys meanwhile. O(1) a step, after O(n log n) at the start
 * for an object with number-like keys. */
bool hz_value_next(const hz_value *object, void **cursor, hz_str *ret_key, const hz_value **ret_value);
void hz_value_next_stop(void **cursor);
bool hz_value_equal(const hz_value *a, const hz_value *b); /* deep, for tests and nodes */

/* Growing text; text.data is always NUL-terminated once something was added. `failed`: memory ran out. */
struct hz_buffer {
    char *data;
    size_t len, capacity;
    bool failed;
    bool too_deep; /* set together with `failed` when a value nested deeper than HZ_VALUE_DEPTH was printed */
};
void hz_buffer_add(struct hz_buffer *buffer, const void *data, size_t len);
/* Room for `room` more bytes and a NUL at data + len (the caller writes them and raises len); NULL: out of memory. */
char *hz_buffer_reserve(struct hz_buffer *buffer, size_t room);
void hz_buffer_fini(struct hz_buffer *buffer);

/* JSON text (any bytes, nesting at most 512) to value; NULL: *ret_error says why (static or thread-local text). */
hz_value *hz_value_parse(const char *text, size_t len, const char **ret_error);
/* As JSON.stringify: compact, undefined prints as nothing at top level, NaN and Infinity as null. */
void hz_value_print(struct hz_buffer *buffer, const hz_value *value);
/* As JavaScript's String(value) for scalars; objects and arrays as compact JSON; undefined as "". */
void hz_value_print_text(struct hz_buffer *buffer, const hz_value *value);
/* Number as JavaScript prints it (shortest round trip; Number::toString). Returns the length; buf of 32 bytes. */
size_t hz_value_format_number(double v, char buf[32]);
/* The bytes of `text` escaped for the inside of a JSON string literal. */
void hz_value_escape(struct hz_buffer *buffer, const char *text, size_t len);

#endif
