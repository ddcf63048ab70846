/*
 * text.h - small things several nodes do with texts and parameters. All inline: each node stays one shared object.
 */
#ifndef HZ_NODES_TEXT_H
#define HZ_NODES_TEXT_H

#include <horizon/node.h>
#include <stdlib.h>

/* Is `text` exactly `word`? */
static inline bool text_is(hz_str text, const char *word)
{
    size_t len = strlen(word);
    return text.len == len && (len == 0 || memcmp(text.data, word, len) == 0);
}

/* `text` without JSON's white space at both ends. */
static inline hz_str text_trim(hz_str text)
{
    while (text.len && strchr(" \t\r\n", text.data[0]) && text.data[0]) {
        text.data++;
        text.len--;
    }
    while (text.len && text.data[text.len - 1] && strchr(" \t\r\n", text.data[text.len - 1]))
        text.len--;
    return text;
}

/* NUL-terminated copy of the call; NULL: out of memory. */
static inline char *text_copy(hz_call *call, hz_str text)
{
    char *copy = hz_alloc(call, text.len + 1);
    if (!copy)
        return NULL;
    if (text.len)
        memcpy(copy, text.data, text.len);
    copy[text.len] = 0;
    return copy;
}

/* A number, or a text that is one from end to end; else `fallback`. */
static inline double value_number(const hz_value *value, double fallback)
{
    if (hz_type_of(value) == HZ_NUMBER)
        return hz_as_num(value);
    if (hz_type_of(value) != HZ_STRING)
        return fallback;
    hz_str text = text_trim(hz_as_str(value));
    if (!text.len || text.len >= 64)
        return fallback;
    char copy[64], *end;
    memcpy(copy, text.data, text.len);
    copy[text.len] = 0;
    double number = strtod(copy, &end);
    return *end ? fallback : number;
}

/* A parameter that should be JSON: a text that parses is parsed, everything else comes as it is. *ret_error says why a
 * text did not parse; its .len is 0 otherwise. */
static inline const hz_value *param_json(hz_call *call, const char *key, hz_str *ret_error)
{
    const hz_value *value = hz_param(call, key);
    *ret_error = (hz_str){"", 0};
    if (hz_type_of(value) != HZ_STRING)
        return value;
    hz_str text = hz_as_str(value);
    const hz_value *parsed = hz_parse(call, text.data, text.len, ret_error);
    if (parsed)
        *ret_error = (hz_str){"", 0};
    else if (!ret_error->len)
        *ret_error = (hz_str){"not JSON", 8};
    return parsed ? parsed : value;
}

/* Adds `name`: text to an object, or nothing if the text is absent. */
static inline int set_text(hz_call *call, hz_value *object, const char *name, hz_str text)
{
    return hz_set(object, name, hz_string(call, text.data, text.len));
}

#endif
