/*
 * value_parse.c - JSON text to values. jansson parses; where it is narrower than JavaScript it refuses, and the text is
 * read again by the parser below (linear, same bound of nesting): integers beyond int64, 1E400, lone surrogates, a NUL
 * in a key, bytes that are not UTF-8, and all text that is wrong, so that the reason is ours. What jansson accepts but
 * reads otherwise (integers between 2^53 and 2^63) is found by a look at the bytes and corrected in the result.
 * Worker process, any thread.
 */
#include "value_internal.h"

#include "utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct parser {
    const char *text, *end, *at;
    struct hz_buffer scratch; /* the literal or number being read */
    unsigned depth;
    const char *reason; /* first one; NULL: none yet */
};

static _Thread_local char parse_error[160];

enum parse_look { PARSE_PLAIN, PARSE_LONG_INTEGERS, PARSE_DEEP };

/* Nesting of the text, exact if it is JSON. */
static size_t parse_depth(const char *text, size_t len)
{
    size_t depth = 0, deepest = 0;
    bool literal = false;
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        if (c == '"') {
            literal = !literal;
        } else if (literal) {
            i += c == '\\'; /* whatever is escaped ends no literal */
        } else if (c == '[' || c == '{') {
            depth++;
            deepest = HZ_MAX(deepest, depth);
        } else if ((c == ']' || c == '}') && depth > 0) {
            depth--;
        }
    }
    return deepest;
}

/* Can jansson's result be taken as it is? Looks at bytes without knowing which are inside literals: digits there only
 * cost a second look at the result. */
static enum parse_look parse_look(const char *text, size_t len)
{
    size_t digits = 0, opened = 0;
    bool longs = false;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c >= '0' && c <= '9') {
            longs |= ++digits == 16;
            continue;
        }
        digits = 0;
        opened += (c | 0x20) == '{'; /* '[' and '{' differ in that bit */
    }
    if (opened > HZ_VALUE_DEPTH && parse_depth(text, len) > HZ_VALUE_DEPTH)
        return PARSE_DEEP;
    return longs ? PARSE_LONG_INTEGERS : PARSE_PLAIN;
}

/* Integers beyond 2^53 become doubles. Returns the value to use in place of `json` (its reference moves); NULL: out of
 * memory, json released. Depth is that of the text: bounded by the look above. */
static json_t *parse_fix(json_t *json)
{
    if (json_is_integer(json)) {
        json_int_t v = json_integer_value(json);
        if (v <= HZ_VALUE_SAFE_INT && v >= -HZ_VALUE_SAFE_INT)
            return json;
        json_decref(json);
        return json_real((double)v);
    }
    if (json_is_object(json)) {
        for (void *i = json_object_iter(json); i; i = json_object_iter_next(json, i)) {
            json_t *old = json_object_iter_value(i), *fixed = parse_fix(json_incref(old));
            if (!fixed || (fixed != old && json_object_iter_set(json, i, fixed) < 0)) {
                json_decref(fixed);
                json_decref(json);
                return NULL;
            }
            json_decref(fixed);
        }
    } else if (json_is_array(json)) {
        for (size_t i = 0, n = json_array_size(json); i < n; i++) {
            json_t *old = json_array_get(json, i), *fixed = parse_fix(json_incref(old));
            if (!fixed || (fixed != old && json_array_set(json, i, fixed) < 0)) {
                json_decref(fixed);
                json_decref(json);
                return NULL;
            }
            json_decref(fixed);
        }
    }
    return json;
}

static json_t *parse_fail(struct parser *p, const char *reason)
{
    if (!p->reason)
        p->reason = reason;
    return NULL;
}

static json_t *parse_unexpected(struct parser *p)
{
    return parse_fail(p, p->at == p->end ? "unexpected end" : "unexpected character");
}

static void parse_space(struct parser *p)
{
    while (p->at < p->end && (*p->at == ' ' || *p->at == '\n' || *p->at == '\r' || *p->at == '\t'))
        p->at++;
}

static bool parse_hex4(const char *at, const char *end, uint32_t *ret)
{
    if (end - at < 4)
        return false;
    uint32_t v = 0;
    for (int i = 0; i < 4; i++) {
        unsigned char c = (unsigned char)at[i], low = c | 0x20;
        if (c >= '0' && c <= '9')
            v = v * 16 + c - '0';
        else if (low >= 'a' && low <= 'f')
            v = v * 16 + low - 'a' + 10;
        else
            return false;
    }
    *ret = v;
    return true;
}

/* After the backslash and 'u'. A pair of surrogates is one character, a lone one U+FFFD. */
static bool parse_unicode(struct parser *p)
{
    uint32_t cp, low;
    if (!parse_hex4(p->at, p->end, &cp))
        return false;
    p->at += 4;
    if (cp >= 0xd800 && cp <= 0xdbff && p->end - p->at >= 6 && p->at[0] == '\\' && p->at[1] == 'u' &&
            parse_hex4(p->at + 2, p->end, &low) && low >= 0xdc00 && low <= 0xdfff) {
        cp = 0x10000 + ((cp - 0xd800) << 10) + (low - 0xdc00);
        p->at += 6;
    }
    char utf8[4];
    hz_buffer_add(&p->scratch, utf8, hz_utf8_put(cp, utf8));
    return true;
}

static bool parse_escape(struct parser *p)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    if (p->at == p->end)
        return false;
    char c = *p->at++;
    if (c == 'u')
        return parse_unicode(p);
    const char *found = c ? strchr(from, c) : NULL;
    if (!found)
        return false;
    hz_buffer_add(&p->scratch, &to[found - from], 1);
    return true;
}

/* A literal into p->scratch, well-formed UTF-8 whatever the bytes were. */
static bool parse_literal(struct parser *p)
{
    p->scratch.len = 0;
    if (p->at == p->end || *p->at != '"') {
        (void)parse_unexpected(p);
        return false;
    }
    p->at++;
    for (;;) {
        const char *run = p->at;
        while (run < p->end && *run != '"' && *run != '\\' && (unsigned char)*run >= 0x20)
            run++;
        hz_utf8_repair(&p->scratch, p->at, (size_t)(run - p->at));
        p->at = run;
        if (run == p->end || (unsigned char)*run < 0x20) {
            (void)parse_fail(p, run == p->end ? "unterminated string" : "control character in a string");
            return false;
        }
        p->at++;
        if (*run == '"')
            break;
        if (!parse_escape(p)) {
            (void)parse_fail(p, "bad escape");
            return false;
        }
    }
    hz_buffer_add(&p->scratch, "", 0);
    if (p->scratch.failed)
        (void)parse_fail(p, "out of memory");
    return !p->scratch.failed;
}

static size_t parse_digits(struct parser *p)
{
    const char *start = p->at;
    while (p->at < p->end && *p->at >= '0' && *p->at <= '9')
        p->at++;
    return (size_t)(p->at - start);
}

static json_t *parse_number(struct parser *p)
{
    const char *start = p->at;
    if (*p->at == '-')
        p->at++;
    const char *whole = p->at;
    size_t digits = parse_digits(p);
    if (digits == 0 || (digits > 1 && *whole == '0')) {
        p->at = digits ? whole + 1 : p->at;
        return parse_unexpected(p);
    }
    if (p->at < p->end && *p->at == '.') {
        p->at++;
        if (parse_digits(p) == 0)
            return parse_unexpected(p);
    }
    if (p->at < p->end && (*p->at == 'e' || *p->at == 'E')) {
        p->at++;
        if (p->at < p->end && (*p->at == '+' || *p->at == '-'))
            p->at++;
        if (parse_digits(p) == 0)
            return parse_unexpected(p);
    }
    p->scratch.len = 0;
    hz_buffer_add(&p->scratch, start, (size_t)(p->at - start));
    json_t *made = p->scratch.failed ? NULL : hz_value_make_number(strtod(p->scratch.data, NULL));
    return made ? made : parse_fail(p, "out of memory");
}

static json_t *parse_value(struct parser *p);

static json_t *parse_array(struct parser *p)
{
    json_t *array = json_array();
    if (!array)
        return parse_fail(p, "out of memory");
    p->at++;
    parse_space(p);
    if (p->at < p->end && *p->at == ']') {
        p->at++;
        return array;
    }
    for (;;) {
        json_t *item = parse_value(p);
        if (!item)
            break;
        if (json_array_append_new(array, item) < 0) {
            (void)parse_fail(p, "out of memory");
            break;
        }
        parse_space(p);
        if (p->at < p->end && *p->at == ']') {
            p->at++;
            return array;
        }
        if (p->at == p->end || *p->at != ',') {
            (void)parse_unexpected(p);
            break;
        }
        p->at++;
    }
    json_decref(array);
    return NULL;
}

static bool parse_member(struct parser *p, json_t *object)
{
    parse_space(p);
    if (!parse_literal(p))
        return false;
    size_t len = p->scratch.len;
    char short_key[64], *key = len < sizeof short_key ? short_key : malloc(len + 1);
    if (!key) {
        (void)parse_fail(p, "out of memory");
        return false;
    }
    memcpy(key, p->scratch.data, len + 1); /* the value overwrites the scratch buffer */
    bool ok = false;
    parse_space(p);
    if (p->at == p->end || *p->at != ':') {
        (void)parse_unexpected(p);
    } else {
        p->at++;
        json_t *value = parse_value(p);
        ok = value && json_object_setn_new_nocheck(object, key, len, value) == 0;
        if (value && !ok)
            (void)parse_fail(p, "out of memory");
    }
    if (key != short_key)
        free(key);
    return ok;
}

static json_t *parse_object(struct parser *p)
{
    json_t *object = json_object();
    if (!object)
        return parse_fail(p, "out of memory");
    p->at++;
    parse_space(p);
    if (p->at < p->end && *p->at == '}') {
        p->at++;
        return object;
    }
    while (parse_member(p, object)) {
        parse_space(p);
        if (p->at < p->end && *p->at == '}') {
            p->at++;
            return object;
        }
        if (p->at == p->end || *p->at != ',') {
            (void)parse_unexpected(p);
            break;
        }
        p->at++;
    }
    json_decref(object);
    return NULL;
}

static json_t *parse_word(struct parser *p, const char *word, json_t *value)
{
    for (; *word; word++, p->at++) {
        if (p->at == p->end || *p->at != *word)
            return parse_unexpected(p);
    }
    return value; /* true, false and null are static */
}

static json_t *parse_value(struct parser *p)
{
    parse_space(p);
    if (p->at == p->end)
        return parse_unexpected(p);
    char c = *p->at;
    if (c == '{' || c == '[') {
        if (p->depth == HZ_VALUE_DEPTH)
            return parse_fail(p, "nested deeper than 512 levels");
        p->depth++;
        json_t *made = c == '{' ? parse_object(p) : parse_array(p);
        p->depth--;
        return made;
    }
    if (c == '"') {
        if (!parse_literal(p))
            return NULL;
        json_t *made = json_stringn_nocheck(p->scratch.data, p->scratch.len);
        return made ? made : parse_fail(p, "out of memory");
    }
    if (c == '-' || (c >= '0' && c <= '9'))
        return parse_number(p);
    if (c == 't')
        return parse_word(p, "true", json_true());
    if (c == 'f')
        return parse_word(p, "false", json_false());
    if (c == 'n')
        return parse_word(p, "null", json_null());
    return parse_unexpected(p);
}

static json_t *parse_own(const char *text, size_t len, const char **ret_error)
{
    struct parser p = {.text = text, .end = text + len, .at = text};
    json_t *made = parse_value(&p);
    if (made) {
        parse_space(&p);
        if (p.at != p.end) {
            json_decref(made);
            made = parse_unexpected(&p);
        }
    }
    hz_buffer_fini(&p.scratch);
    if (!made) {
        (void)snprintf(parse_error, sizeof parse_error, "%s at byte %zu", p.reason ? p.reason : "not JSON",
                (size_t)(p.at - text));
        if (ret_error)
            *ret_error = parse_error;
    }
    return made;
}

hz_value *hz_value_parse(const char *text, size_t len, const char **ret_error)
{
    if (!text || len == 0) {
        text = "";
        len = 0;
    }
    enum parse_look look = parse_look(text, len);
    json_t *json = NULL;
    if (len && look != PARSE_DEEP && !memchr(text, '\0', len)) /* jansson takes a NUL byte for the end */
        json = json_loadb(text, len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    if (!json)
        return hz_value_of(parse_own(text, len, ret_error));
    if (look == PARSE_LONG_INTEGERS) {
        json = parse_fix(json);
        if (!json && ret_error)
            *ret_error = "out of memory";
    }
    return hz_value_of(json);
}
