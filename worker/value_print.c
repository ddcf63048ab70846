/*
 * value_print.c - JSON text from values, byte for byte as JSON.stringify makes it. Recurses once per nesting level, at
 * most HZ_VALUE_DEPTH levels of about 150 bytes of stack. Worker process, any thread.
 */
#include "value_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What an ASCII character becomes inside a literal: 0 itself, 'u' \u00XX, else the letter after the backslash. */
static const char print_escape[256] = {
        ['\b'] = 'b',
        ['\t'] = 't',
        ['\n'] = 'n',
        ['\f'] = 'f',
        ['\r'] = 'r',
        ['"'] = '"',
        ['\\'] = '\\',
        [0] = 'u',
        [1] = 'u',
        [2] = 'u',
        [3] = 'u',
        [4] = 'u',
        [5] = 'u',
        [6] = 'u',
        [7] = 'u',
        [11] = 'u',
        [14] = 'u',
        [15] = 'u',
        [16] = 'u',
        [17] = 'u',
        [18] = 'u',
        [19] = 'u',
        [20] = 'u',
        [21] = 'u',
        [22] = 'u',
        [23] = 'u',
        [24] = 'u',
        [25] = 'u',
        [26] = 'u',
        [27] = 'u',
        [28] = 'u',
        [29] = 'u',
        [30] = 'u',
        [31] = 'u',
};

#define ONES  0x0101010101010101u
#define HIGHS 0x8080808080808080u
/* High bit set in each byte of w that is zero (exact up to the first one, which is all that is asked). */
#define ZERO_BYTES(w) (((w)-ONES) & ~(w)&HIGHS)

static bool word_needs_escape(const char *p)
{
    uint64_t w;
    memcpy(&w, p, 8);
    uint64_t control = (w - ONES * 0x20) & ~w & HIGHS;
    return (control | ZERO_BYTES(w ^ (ONES * '"')) | ZERO_BYTES(w ^ (ONES * '\\'))) != 0;
}

void hz_value_escape(struct hz_buffer *buffer, const char *text, size_t len)
{
    static const char hex[] = "0123456789abcdef";
    size_t at = 0;
    while (at < len) {
        size_t run = at;
        while (run + 8 <= len && !word_needs_escape(text + run))
            run += 8;
        while (run < len && !print_escape[(unsigned char)text[run]])
            run++;
        hz_buffer_add(buffer, text + at, run - at);
        if (run == len)
            return;
        unsigned char c = (unsigned char)text[run];
        if (print_escape[c] == 'u')
            hz_buffer_add(buffer, (char[]){'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]}, 6);
        else
            hz_buffer_add(buffer, (char[]){'\\', print_escape[c]}, 2);
        at = run + 1;
    }
}

static void print_char(struct hz_buffer *buffer, char c)
{
    char *to = hz_buffer_reserve(buffer, 1);
    if (to) {
        *to = c;
        buffer->len++;
    }
}

/* A literal with its quotes and one more character (0: none); most have nothing to escape and take one copy. */
static void print_literal(struct hz_buffer *buffer, const char *text, size_t len, char after)
{
    size_t clean = 0;
    while (clean + 8 <= len && !word_needs_escape(text + clean))
        clean += 8;
    while (clean < len && !print_escape[(unsigned char)text[clean]])
        clean++;
    char *to = hz_buffer_reserve(buffer, len + 3);
    if (!to)
        return;
    *to++ = '"';
    memcpy(to, text, clean);
    buffer->len += clean + 1;
    if (clean < len)
        hz_value_escape(buffer, text + clean, len - clean);
    to = hz_buffer_reserve(buffer, 2);
    if (!to)
        return;
    *to = '"';
    buffer->len++;
    if (after) {
        to[1] = after;
        buffer->len++;
    }
}

static void print_int(struct hz_buffer *buffer, json_int_t v)
{
    char text[24], *at = text + sizeof text;
    uint64_t left = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
    do {
        *--at = (char)('0' + left % 10);
        left /= 10;
    } while (left);
    if (v < 0)
        *--at = '-';
    size_t len = (size_t)(text + sizeof text - at);
    char *to = hz_buffer_reserve(buffer, len);
    if (to) {
        memcpy(to, at, len);
        buffer->len += len;
    }
}

struct printer {
    struct hz_buffer *buffer;
    const char *nan; /* literal that stands for NaN in text for the script engine; NULL: JSON, where it is null */
    bool saw_nan;
};

static void print_json(struct printer *p, const json_t *json, unsigned depth);

static void print_member(struct printer *p, void *iter, bool first, unsigned depth)
{
    if (!first)
        print_char(p->buffer, ',');
    print_literal(p->buffer, json_object_iter_key(iter), json_object_iter_key_len(iter), ':');
    print_json(p, json_object_iter_value(iter), depth);
}

static void print_object(struct printer *p, const json_t *object, unsigned depth)
{
    print_char(p->buffer, '{');
    if (hz_value_has_index(object)) {
        size_t count;
        void **sorted = hz_value_sort_keys(object, &count);
        if (!sorted) {
            p->buffer->failed = true;
            return;
        }
        for (size_t i = 0; i < count; i++)
            print_member(p, sorted[i], i == 0, depth);
        free(sorted);
    } else {
        json_t *walked = hz_value_mutable(object);
        bool first = true;
        for (void *i = json_object_iter(walked); i; i = json_object_iter_next(walked, i), first = false)
            print_member(p, i, first, depth);
    }
    print_char(p->buffer, '}');
}

static void print_real(struct printer *p, double v)
{
    char text[32];
    if (isfinite(v)) {
        hz_buffer_add(p->buffer, text, hz_value_format_number(v, text));
    } else if (!p->nan) {
        hz_buffer_add(p->buffer, "null", 4);
    } else if (isnan(v)) {
        p->saw_nan = true;
        print_literal(p->buffer, p->nan, strlen(p->nan), 0);
    } else {
        hz_buffer_add(p->buffer, v < 0 ? "-1e999" : "1e999", v < 0 ? 6 : 5); /* reads as Infinity */
    }
}

static void print_json(struct printer *p, const json_t *json, unsigned depth)
{
    struct hz_buffer *buffer = p->buffer;
    if (buffer->failed)
        return;
    if (depth >= HZ_VALUE_DEPTH && (json_is_object(json) || json_is_array(json))) {
        buffer->failed = buffer->too_deep = true;
        return;
    }
    switch (json->type) {
    case JSON_OBJECT:
        print_object(p, json, depth + 1);
        return;
    case JSON_ARRAY:
        print_char(buffer, '[');
        for (size_t i = 0, n = json_array_size(json); i < n; i++) {
            if (i)
                print_char(buffer, ',');
            print_json(p, json_array_get(json, i), depth + 1);
        }
        print_char(buffer, ']');
        return;
    case JSON_STRING:
        print_literal(buffer, json_string_value(json), json_string_length(json), 0);
        return;
    case JSON_INTEGER:
        print_int(buffer, json_integer_value(json));
        return;
    case JSON_REAL:
        print_real(p, hz_value_num(hz_value_of(hz_value_mutable(json))));
        return;
    case JSON_TRUE:
        hz_buffer_add(buffer, "true", 4);
        return;
    case JSON_FALSE:
        hz_buffer_add(buffer, "false", 5);
        return;
    case JSON_NULL:
        hz_buffer_add(buffer, "null", 4);
        return;
    }
}

void hz_value_print(struct hz_buffer *buffer, const hz_value *value)
{
    struct printer printer = {.buffer = buffer};
    if (hz_value_type(value) != HZ_UNDEFINED)
        print_json(&printer, hz_value_json(value), 0);
    hz_buffer_add(buffer, "", 0); /* the NUL */
}

bool hz_value_print_script(struct hz_buffer *buffer, const hz_value *value, const char *nan)
{
    struct printer printer = {.buffer = buffer, .nan = nan};
    print_json(&printer, hz_value_json(value), 0);
    hz_buffer_add(buffer, "", 0);
    return printer.saw_nan;
}

void hz_value_print_text(struct hz_buffer *buffer, const hz_value *value)
{
    if (hz_value_type(value) == HZ_STRING) {
        hz_str text = hz_value_str(value);
        hz_buffer_add(buffer, text.data, text.len);
    } else if (hz_value_type(value) == HZ_NUMBER) {
        char text[32];
        hz_buffer_add(buffer, text, hz_value_format_number(hz_value_num(value), text));
    } else {
        hz_value_print(buffer, value);
    }
}
