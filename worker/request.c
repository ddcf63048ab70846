/*
 * request.c - an HTTP request as the manager sends it, to the input of its webhook: {headers, params, query, method,
 * endpoint, time, body?, files?}. Worker, the thread that begins the execution. Everything in it comes from the network.
 */
#include "worker.h"

#include <string.h>
#include <strings.h>

static bool has_prefix(const char *type, size_t len, const char *prefix)
{
    size_t n = strlen(prefix);
    return len >= n && strncasecmp(type, prefix, n) == 0;
}

/* The media type without its parameters and blanks. */
static size_t essence(const char *type, size_t len)
{
    size_t n = 0;
    while (n < len && type[n] != ';' && type[n] != ' ' && type[n] != '\t')
        n++;
    return n;
}

static bool has_suffix(const char *type, size_t len, const char *suffix)
{
    size_t n = strlen(suffix);
    return len >= n && strncasecmp(type + len - n, suffix, n) == 0;
}

enum kind { NOTHING, JSON, TEXT };

static enum kind kind_of(const char *type, size_t len)
{
    size_t n = essence(type, len);
    if ((n == 16 && has_prefix(type, n, "application/json")) || has_suffix(type, n, "+json"))
        return JSON;
    if (has_prefix(type, n, "text/") || (n == 15 && has_prefix(type, n, "application/xml")) || has_suffix(type, n, "+xml"))
        return TEXT;
    return NOTHING; /* forms are in the meta object already; other bytes are no value */
}

const hz_value *hz_request_input(const char *meta, size_t meta_len, const char *type, size_t type_len, const char *body,
        size_t body_len, const char **ret_error)
{
    hz_value *input = hz_value_parse(meta, meta_len, ret_error);
    if (!input)
        return NULL;
    if (hz_value_type(input) != HZ_OBJECT) {
        hz_value_unref(input);
        *ret_error = "the request is not described by an object";
        return NULL;
    }
    if (body_len == 0)
        return input;
    hz_value *value = NULL;
    switch (kind_of(type, type_len)) {
    case JSON:
        value = hz_value_parse(body, body_len, ret_error);
        break;
    case TEXT:
        value = hz_value_string(body, body_len);
        break;
    case NOTHING:
        return input;
    }
    if (!value || hz_value_set(input, "body", 4, value) != 0) {
        hz_value_unref(value);
        hz_value_unref(input);
        return NULL;
    }
    hz_value_unref(value);
    return input;
}
