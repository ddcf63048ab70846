/*
 * form_json.c - is a text JSON (RFC 8259)? The manager refuses a broken body before it costs a worker anything, but
 * hands it on as bytes: nothing is built here.
 */
#include "form.h"

#include "shm/text.h"


#include <ctype.h>
#include <string.h>

enum { NESTING_MAX = 512 };

static const char *skip_blank(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r'))
        p++;
    return p;
}

/* Each scanner returns the place after what it read, or NULL. */
static const char *scan_string(const char *p, const char *end)
{
    for (p++; p < end; p++) {
        if (*p == '"')
            return p + 1;
        if ((unsigned char)*p < 0x20)
            return NULL;
        if (*p != '\\')
            continue;
        if (++p >= end || !strchr("\"\\/bfnrtu", *p) || *p == 0)
            return NULL;
        if (*p == 'u') {
            for (int i = 0; i < 4; i++)
                if (++p >= end || !isxdigit((unsigned char)*p))
                    return NULL;
        }
    }
    return NULL;
}

static const char *scan_digits(const char *p, const char *end)
{
    const char *start = p;
    while (p < end && *p >= '0' && *p <= '9')
        p++;
    return p > start ? p : NULL;
}

static const char *scan_number(const char *p, const char *end)
{
    if (p < end && *p == '-')
        p++;
    if (p < end && *p == '0')
        p++;
    else if (!(p = scan_digits(p, end)))
        return NULL;
    if (p < end && *p == '.' && !(p = scan_digits(p + 1, end)))
        return NULL;
    if (p < end && (*p == 'e' || *p == 'E')) {
        p++;
        if (p < end && (*p == '+' || *p == '-'))
            p++;
        p = scan_digits(p, end);
    }
    return p;
}

static const char *scan_scalar(const char *p, const char *end)
{
    static const struct {
        const char *text;
        size_t len;
    } words[] = {{"true", 4}, {"false", 5}, {"null", 4}};
    if (*p == '"')
        return scan_string(p, end);
    for (size_t i = 0; i < HZ_COUNT_OF(words); i++)
        if ((size_t)(end - p) >= words[i].len && memcmp(p, words[i].text, words[i].len) == 0)
            return p + words[i].len;
    return scan_number(p, end);
}

/* `"key" :` of an object; the place of the value. */
static const char *scan_key(const char *p, const char *end)
{
    p = skip_blank(p, end);
    if (p >= end || *p != '"' || !(p = scan_string(p, end)))
        return NULL;
    p = skip_blank(p, end);
    return p < end && *p == ':' ? p + 1 : NULL;
}

static const char *scan_value(const char *p, const char *end)
{
    char open[NESTING_MAX];
    unsigned depth = 0;
    for (;;) {
        p = skip_blank(p, end);
        if (p >= end)
            return NULL;
        if (*p == '{' || *p == '[') {
            if (depth == NESTING_MAX)
                return NULL;
            char close = *p == '{' ? '}' : ']';
            open[depth++] = close;
            const char *next = skip_blank(p + 1, end);
            if (next >= end)
                return NULL;
            if (*next != close) {
                p = close == '}' ? scan_key(next, end) : next;
                if (!p)
                    return NULL;
                continue;
            }
            depth--;
            p = next + 1;
        } else if (!(p = scan_scalar(p, end)))
            return NULL;
        /* A value has ended: close what ends with it, or go on behind a comma. */
        for (;;) {
            if (depth == 0)
                return p;
            p = skip_blank(p, end);
            if (p >= end)
                return NULL;
            if (*p == open[depth - 1]) {
                depth--;
                p++;
                continue;
            }
            if (*p != ',')
                return NULL;
            p = open[depth - 1] == '}' ? scan_key(p + 1, end) : p + 1;
            if (!p)
                return NULL;
            break;
        }
    }
}

bool hz_form_is_json(const char *text, size_t len)
{
    const char *end = text + len;
    const char *p = scan_value(text, end);
    return p && skip_blank(p, end) == end && hz_text_is_utf8(text, len);
}
