/*
 * check.c - judges what a flow stores in a property against the type its node's catalogue entry declares. A string with
 * an expression is allowed everywhere: its value is known only when the node runs. Runs while a flow is compiled.
 */
#include "compile.h"
#include "limits.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPECTED_TEXT 240

static bool has_expression(const json_t *value)
{
    size_t from, to;

    return json_is_string(value) &&
           hz_template_find(json_string_value(value), json_string_length(value), 0, &from, &to);
}

static void find_type(struct hz_compile *compile, const json_t *value, const char *expected)
{
    char quoted[HZ_REPORT_QUOTE];

    if (json_is_string(value))
        hz_compile_find(compile, hz_compile_severity(compile), expected, "is the text `%s`",
                hz_report_quote(json_string_value(value), json_string_length(value), quoted));
    else if (json_is_number(value))
        hz_compile_find(
                compile, hz_compile_severity(compile), expected, "is the number %.15g", json_number_value(value));
    else
        hz_compile_find(compile, hz_compile_severity(compile), expected, "is %s", hz_model_type_name(value));
}

static void check_number(struct hz_compile *compile, const json_t *value, const json_t *known)
{
    const json_t *min = hz_model_get(known, "min"), *max = hz_model_get(known, "max");
    char expected[EXPECTED_TEXT], *end;
    double number;

    if (json_is_string(value) && json_string_length(value) > 0) {
        /* text fields of older canvases store numbers as text; nodes read it as a number */
        strtod(json_string_value(value), &end);
        if (*end == '\0') {
            hz_compile_find(compile, HZ_FLOW_WARNING, "a number", "is a number written as text");
            return;
        }
    }
    if (!json_is_number(value)) {
        find_type(compile, value, "a number");
        return;
    }
    number = json_number_value(value);
    if (json_is_number(min) && number < json_number_value(min)) {
        snprintf(expected, sizeof(expected), "at least %.15g", json_number_value(min));
        hz_compile_find(compile, HZ_FLOW_WARNING, expected, "is %.15g", number);
    } else if (json_is_number(max) && number > json_number_value(max)) {
        snprintf(expected, sizeof(expected), "at most %.15g", json_number_value(max));
        hz_compile_find(compile, HZ_FLOW_WARNING, expected, "is %.15g", number);
    }
}

/* A scalar's text, to compare `200` with `"200"`; NULL for what is no scalar. buf of 32 bytes. */
static const char *scalar_text(const json_t *value, char buf[32])
{
    switch (value ? json_typeof(value) : JSON_OBJECT) {
    case JSON_STRING:
        return json_string_value(value);
    case JSON_NULL:
        return "null";
    case JSON_TRUE:
        return "true";
    case JSON_FALSE:
        return "false";
    case JSON_INTEGER:
    case JSON_REAL:
        snprintf(buf, 32, "%.15g", json_number_value(value));
        return buf;
    case JSON_OBJECT:
    case JSON_ARRAY:
        break;
    }
    return NULL;
}

/* An open list ("custom") takes other values of the kind its options have: another number where all are numbers. */
static bool fits_open_list(const json_t *options, const char *text)
{
    char *end = NULL;

    for (size_t i = 0; i < json_array_size(options); i++)
        if (!json_is_number(hz_model_get(json_array_get(options, i), "value")))
            return true;
    if (text)
        (void)strtod(text, &end);
    return text && end != text && *end == '\0';
}

/* Selects store the option's value; old files hold numbers as text and the reverse, which every node reads alike. */
static void check_options(struct hz_compile *compile, const json_t *value, const json_t *known)
{
    const json_t *options = hz_model_get(known, "options");
    char mine[32], theirs[32], expected[EXPECTED_TEXT] = "one of";
    const char *text = scalar_text(value, mine);
    size_t used = strlen(expected);

    if (!json_is_array(options) || json_array_size(options) == 0)
        return;
    if (json_is_true(hz_model_get(known, "custom")) && fits_open_list(options, text))
        return;
    for (size_t i = 0; i < json_array_size(options); i++) {
        const char *option = scalar_text(hz_model_get(json_array_get(options, i), "value"), theirs);

        if (option && text && strcmp(option, text) == 0)
            return;
        if (option && used < sizeof(expected) - 8) {
            int n = snprintf(expected + used, sizeof(expected) - 4 - used, "%s %s", i > 0 ? "," : "", option);

            used = HZ_MIN(used + (size_t)HZ_MAX(n, 0), sizeof(expected) - 5);
        }
    }
    if (used >= sizeof(expected) - 8)
        memcpy(expected + used, "...", 4);
    find_type(compile, value, expected);
}

static void check_value(struct hz_compile *compile, const json_t *value, const json_t *known);

/* A list: objects, each a map of full properties as the catalogue's template says. */
static void check_list(struct hz_compile *compile, const json_t *list, const json_t *known)
{
    const json_t *template = hz_model_get(known, "object");

    if (!json_is_array(list)) {
        find_type(compile, list, "an array of objects");
        return;
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i);
        json_t *members = hz_model_json(item);
        size_t back = hz_compile_enter(compile, NULL, i);

        if (!json_is_object(item))
            find_type(compile, item, "an object of properties");
        else
            for (void *at = json_object_iter(members); at; at = json_object_iter_next(members, at)) {
                const char *key = json_object_iter_key(at);
                const json_t *property = json_object_iter_value(at), *type = hz_model_get(template, key);
                size_t inner = hz_compile_enter(compile, key, 0);

                if (type && !json_is_object(property)) {
                    find_type(compile, property, "a property: an object with `value`");
                } else if (type && hz_model_get(property, "value")) {
                    hz_compile_enter(compile, "value", 0);
                    check_value(compile, hz_model_get(property, "value"), type);
                }
                hz_compile_leave(compile, inner);
            }
        hz_compile_leave(compile, back);
    }
}

static bool is_one_of(const char *type, const char *list)
{
    size_t n = strlen(type);

    for (const char *at = strstr(list, type); at; at = strstr(at + 1, type))
        if ((at == list || at[-1] == ' ') && (at[n] == ' ' || at[n] == '\0'))
            return n > 0;
    return false;
}

static void check_value(struct hz_compile *compile, const json_t *value, const json_t *known)
{
    const char *type = hz_model_text(known, "type", "");

    if (has_expression(value))
        return;
    if (strcmp(type, "number") == 0) {
        check_number(compile, value, known);
    } else if (strcmp(type, "switch") == 0) {
        if (!json_is_boolean(value))
            find_type(compile, value, "true or false");
    } else if (strcmp(type, "options") == 0) {
        check_options(compile, value, known);
    } else if (strcmp(type, "list") == 0) {
        check_list(compile, value, known);
    } else if (strcmp(type, "code") == 0) {
        if (!json_is_string(value) && !json_is_object(value) && !json_is_array(value))
            find_type(compile, value, "code: a text or an object");
    } else if (strcmp(type, "box") == 0) {
        if (!json_is_array(value))
            find_type(compile, value, "an array of {label, value}");
    } else if (is_one_of(type, "string password textarea secret credential button")) {
        if (!json_is_string(value))
            find_type(compile, value, "a text");
    }
}

const json_t *hz_check_property(struct hz_compile *compile, const json_t *stored, const json_t *known)
{
    const json_t *value = hz_model_get(stored, "value");

    if (stored && !json_is_object(stored)) {
        find_type(compile, stored, "a property: an object with `value`");
        return hz_model_get(known, "value");
    }
    if (!value)
        return hz_model_get(known, "value");
    if (known) {
        size_t back = hz_compile_enter(compile, "value", 0);

        check_value(compile, value, known);
        hz_compile_leave(compile, back);
    }
    return value;
}
