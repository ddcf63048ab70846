/*
 * print.c - values and flows back to JSON text. jansson prints 0.1 as 0.10000000000000001, a file written by a client
 * must not change under our hands, so printing is ours: same text as JSON.stringify for what we parsed.
 * Any process, any thread; no state.
 */
#include "json_text.h"
#include "model.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIGITS_MAX 17 /* enough for any double (IEEE 754) */

struct printer {
    char *text;
    size_t len, capacity;
    unsigned indent, depth;
    bool failed;
};

static void put(struct printer *out, const char *data, size_t len)
{
    if (out->failed)
        return;
    if (!out->text || out->capacity - out->len <= len) {
        size_t capacity = HZ_MAX(out->capacity * 2, out->len + len + 256);
        char *grown = realloc(out->text, capacity);

        if (!grown) {
            out->failed = true;
            return;
        }
        out->text = grown;
        out->capacity = capacity;
    }
    memcpy(out->text + out->len, data, len);
    out->len += len;
    out->text[out->len] = '\0';
}

static void put_text(struct printer *out, const char *text)
{
    put(out, text, strlen(text));
}

static void put_line(struct printer *out)
{
    if (out->indent == 0)
        return;
    put(out, "\n", 1);
    for (unsigned i = 0; i < out->indent * out->depth; i++)
        put(out, " ", 1);
}

static void put_string(struct printer *out, const char *text, size_t len)
{
    size_t from = 0;

    put(out, "\"", 1);
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        const char *named = NULL;
        char unit[8];

        if (c >= 0x20 && c != '"' && c != '\\')
            continue;
        put(out, text + from, i - from);
        from = i + 1;
        switch (c) {
        case '"':
            named = "\\\"";
            break;
        case '\\':
            named = "\\\\";
            break;
        case '\b':
            named = "\\b";
            break;
        case '\f':
            named = "\\f";
            break;
        case '\n':
            named = "\\n";
            break;
        case '\r':
            named = "\\r";
            break;
        case '\t':
            named = "\\t";
            break;
        default:
            snprintf(unit, sizeof(unit), "\\u%04x", c);
            named = unit;
        }
        put_text(out, named);
    }
    put(out, text + from, len - from);
    put(out, "\"", 1);
}

/* ECMAScript's Number::toString for finite numbers: the fewest digits that read back, plain up to 1e21. */
static void put_real(struct printer *out, double v)
{
    char text[40], digits[DIGITS_MAX + 1] = "";
    int precision = 1, exponent, count = 0;
    const char *mark;

    if (!isfinite(v)) {
        put_text(out, "null");
        return;
    }
    do
        snprintf(text, sizeof(text), "%.*e", precision - 1, v);
    while (strtod(text, NULL) != v && ++precision <= DIGITS_MAX);
    mark = strchr(text, 'e');
    HZ_ASSERT(mark != NULL);
    exponent = (int)strtol(mark + 1, NULL, 10) + 1; /* the point stands before digit number `exponent` (0-based) */
    for (const char *p = text; p < mark && count < DIGITS_MAX; p++)
        if (*p >= '0' && *p <= '9')
            digits[count++] = *p;
    if (v < 0)
        put(out, "-", 1);
    if (v == 0 || (count <= exponent && exponent <= 21)) {
        put(out, digits, (size_t)count);
        for (int i = count; i < exponent; i++)
            put(out, "0", 1);
    } else if (exponent > 0 && exponent < count) {
        put(out, digits, (size_t)exponent);
        put(out, ".", 1);
        put(out, digits + exponent, (size_t)(count - exponent));
    } else if (exponent > -6 && exponent <= 0) {
        put_text(out, "0.");
        for (int i = exponent; i < 0; i++)
            put(out, "0", 1);
        put(out, digits, (size_t)count);
    } else {
        put(out, digits, 1);
        if (count > 1)
            put(out, ".", 1);
        put(out, digits + 1, (size_t)(count - 1));
        snprintf(text, sizeof(text), "e%+d", exponent - 1);
        put_text(out, text);
    }
}

static void put_value(struct printer *out, const json_t *value);

static void put_array(struct printer *out, const json_t *array)
{
    size_t count = json_array_size(array);

    put(out, "[", 1);
    out->depth++;
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            put(out, ",", 1);
        put_line(out);
        put_value(out, json_array_get(array, i));
    }
    out->depth--;
    if (count > 0)
        put_line(out);
    put(out, "]", 1);
}

static void put_object(struct printer *out, const json_t *value)
{
    json_t *object = hz_model_json(value);
    size_t printed = 0;

    put(out, "{", 1);
    out->depth++;
    for (void *at = json_object_iter(object); at; at = json_object_iter_next(object, at)) {
        if (printed++ > 0)
            put(out, ",", 1);
        put_line(out);
        put_string(out, json_object_iter_key(at), json_object_iter_key_len(at));
        put_text(out, out->indent ? ": " : ":");
        put_value(out, json_object_iter_value(at));
    }
    out->depth--;
    if (printed > 0)
        put_line(out);
    put(out, "}", 1);
}

static void put_value(struct printer *out, const json_t *value)
{
    char number[32];

    switch (json_typeof(value)) {
    case JSON_OBJECT:
        put_object(out, value);
        break;
    case JSON_ARRAY:
        put_array(out, value);
        break;
    case JSON_STRING:
        put_string(out, json_string_value(value), json_string_length(value));
        break;
    case JSON_INTEGER:
        snprintf(number, sizeof(number), "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        put_text(out, number);
        break;
    case JSON_REAL:
        put_real(out, json_real_value(value));
        break;
    case JSON_TRUE:
        put_text(out, "true");
        break;
    case JSON_FALSE:
        put_text(out, "false");
        break;
    case JSON_NULL:
        put_text(out, "null");
        break;
    }
}

char *hz_json_text_print(const json_t *value, unsigned indent, size_t *ret_len)
{
    struct printer out = {.indent = indent};

    put_value(&out, value);
    if (out.failed) {
        free(out.text);
        return NULL;
    }
    if (ret_len)
        *ret_len = out.len;
    return out.text;
}

char *hz_flow_print(const struct hz_flow *flow, size_t *ret_len)
{
    HZ_CHECK_OBJ(flow, HZ_MODEL_MAGIC);
    return hz_json_text_print(flow->root, 2, ret_len);
}
