/*
 * json_text.c - JSON text to jansson's values. A pass of our own goes first: it finds what jansson does not check or
 * checks without a position (nesting, UTF-8), and rewrites what JavaScript reads and jansson refuses.
 * Any process, any thread; no state.
 */
#include "json_text.h"
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* More digits than this may lie beyond 2^53; such an integer is read as double. */
#define SAFE_DIGITS  15
#define SAFE_INTEGER (1LL << 53)
#define NUMBER_TEXT  2048
#define READ_DEPTH   1000

struct scan {
    const char *text;
    size_t len, at;
    int line;
    size_t line_start;   /* offset of the line's first byte */
    size_t continuation; /* continuation bytes since then: columns count characters */
    unsigned depth, max_depth;
    bool rewrite; /* some token has to be changed */
    FILE *out;    /* second pass: the changed copy; NULL in the first */
    struct hz_json_text_error *error;
};

static bool HZ_PRINTF(2, 3) refuse(struct scan *scan, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(scan->error->message, sizeof(scan->error->message), format, args);
    va_end(args);
    scan->error->line = scan->line;
    scan->error->column = (int)(scan->at - scan->line_start - scan->continuation) + 1;
    return false;
}

static void copy_out(struct scan *scan, size_t from, size_t to)
{
    if (scan->out)
        fwrite(scan->text + from, 1, to - from, scan->out);
}

/* Length of the well-formed UTF-8 character at `at`, or 0 (RFC 3629: no overlong form, no surrogate, at most 10FFFF).
 */
static size_t utf8_length(const struct scan *scan)
{
    const unsigned char *s = (const unsigned char *)scan->text + scan->at;
    size_t left = scan->len - scan->at;

    if (s[0] < 0x80)
        return 1;
    if (s[0] >= 0xc2 && s[0] <= 0xdf && left >= 2 && (s[1] & 0xc0) == 0x80)
        return 2;
    if ((s[0] & 0xf0) == 0xe0 && left >= 3 && (s[1] & 0xc0) == 0x80 && (s[2] & 0xc0) == 0x80)
        return (s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ? 0 : 3;
    if (s[0] >= 0xf0 && s[0] <= 0xf4 && left >= 4 && (s[1] & 0xc0) == 0x80 && (s[2] & 0xc0) == 0x80 &&
            (s[3] & 0xc0) == 0x80)
        return (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f) ? 0 : 4;
    return 0;
}

/* The four hexadecimal digits of a \u escape at `at`, or -1. */
static int escape_unit(const struct scan *scan, size_t at)
{
    int unit = 0;

    if (at + 6 > scan->len || scan->text[at] != '\\' || scan->text[at + 1] != 'u')
        return -1;
    for (size_t i = at + 2; i < at + 6; i++) {
        int c = (unsigned char)scan->text[i];

        if (c >= '0' && c <= '9')
            unit = unit * 16 + c - '0';
        else if ((c | 32) >= 'a' && (c | 32) <= 'f')
            unit = unit * 16 + (c | 32) - 'a' + 10;
        else
            return -1;
    }
    return unit;
}

/* Behind the opening quote. */
static bool scan_string(struct scan *scan)
{
    size_t from = scan->at;

    while (scan->at < scan->len && scan->text[scan->at] != '"') {
        int unit;
        size_t n;

        if (scan->text[scan->at] == '\n')
            return refuse(scan, "line break inside a string");
        if (scan->text[scan->at] != '\\') {
            n = utf8_length(scan);
            if (n == 0)
                return refuse(scan, "byte 0x%02x is not UTF-8", (unsigned char)scan->text[scan->at]);
            scan->continuation += n - 1;
            scan->at += n;
            continue;
        }
        unit = escape_unit(scan, scan->at);
        if (unit >= 0xd800 && unit <= 0xdfff) {
            int low = unit <= 0xdbff ? escape_unit(scan, scan->at + 6) : -1;

            if (low >= 0xdc00 && low <= 0xdfff) {
                scan->at += 12;
                continue;
            }
            scan->rewrite = true;
            copy_out(scan, from, scan->at);
            if (scan->out)
                fputs("\\ufffd", scan->out);
            scan->at += 6;
            from = scan->at;
            continue;
        }
        scan->at += HZ_MIN((size_t)2, scan->len - scan->at);
    }
    if (scan->at == scan->len)
        return refuse(scan, "the text ends inside a string");
    scan->at++;
    copy_out(scan, from, scan->at);
    return true;
}

static bool scan_number(struct scan *scan)
{
    size_t from = scan->at, digits;
    bool integer = true;

    while (scan->at < scan->len && strchr("+-.0123456789eE", scan->text[scan->at]) && scan->text[scan->at] != '\0') {
        if (strchr(".eE", scan->text[scan->at]))
            integer = false;
        scan->at++;
    }
    digits = scan->at - from;
    copy_out(scan, from, scan->at);
    if (integer && digits <= SAFE_DIGITS)
        return true;
    if (digits < NUMBER_TEXT) {
        char number[NUMBER_TEXT];
        long long exact;

        memcpy(number, scan->text + from, digits);
        number[digits] = '\0';
        if (isfinite(strtod(number, NULL))) {
            exact = strtoll(number, NULL, 10); /* saturates beyond 64 bits */
            if (integer && (exact > SAFE_INTEGER || exact < -SAFE_INTEGER)) {
                scan->rewrite = true;
                if (scan->out)
                    fputs("e0", scan->out);
            }
            return true;
        }
    }
    scan->at = from;
    return refuse(scan, "the number is too large");
}

/* Checks nesting, UTF-8 and numbers; grammar is jansson's business. With scan->out it also writes the changed copy. */
static bool scan_text(struct scan *scan)
{
    while (scan->at < scan->len) {
        char c = scan->text[scan->at];
        size_t from = scan->at, n;

        if (c == '-' || (c >= '0' && c <= '9')) {
            if (!scan_number(scan))
                return false;
            continue;
        }
        if (c == '{' || c == '[') {
            if (++scan->depth > scan->max_depth)
                return refuse(scan, "nested deeper than %u levels", scan->max_depth);
        } else if ((c == '}' || c == ']') && scan->depth > 0) {
            scan->depth--;
        }
        n = utf8_length(scan);
        if (n == 0)
            return refuse(scan, "byte 0x%02x is not UTF-8", (unsigned char)c);
        scan->continuation += n - 1;
        scan->at += n;
        copy_out(scan, from, scan->at);
        if (c == '"' && !scan_string(scan))
            return false;
        if (c == '\n') {
            scan->line++;
            scan->line_start = scan->at;
            scan->continuation = 0;
        }
    }
    return true;
}

static json_t *load(const char *text, size_t len, bool unique, struct hz_json_text_error *ret_error)
{
    json_error_t error;
    json_t *value =
            json_loadb(text, len, JSON_DECODE_ANY | JSON_ALLOW_NUL | (unique ? JSON_REJECT_DUPLICATES : 0u), &error);

    if (!value) {
        snprintf(ret_error->message, sizeof(ret_error->message), "%s", error.text);
        ret_error->line = error.line;
        ret_error->column = error.column;
    }
    return value;
}

json_t *hz_json_text_parse(
        const char *text, size_t len, unsigned max_depth, bool unique, struct hz_json_text_error *ret_error)
{
    struct scan scan = {.line = 1, .max_depth = max_depth, .error = ret_error};
    char *changed = NULL;
    size_t changed_len = 0;
    json_t *value = NULL;

    *ret_error = (struct hz_json_text_error){{0}, 0, 0};
    if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
        text += 3;
        len -= 3;
    }
    scan.text = text;
    scan.len = len;
    if (!scan_text(&scan))
        return NULL;
    if (!scan.rewrite)
        return load(text, len, unique, ret_error);

    scan = (struct scan){.text = text, .len = len, .line = 1, .max_depth = max_depth, .error = ret_error};
    scan.out = open_memstream(&changed, &changed_len);
    if (!scan.out || !scan_text(&scan) || ferror(scan.out)) {
        snprintf(ret_error->message, sizeof(ret_error->message), "out of memory");
        if (scan.out)
            fclose(scan.out);
        free(changed);
        return NULL;
    }
    if (fclose(scan.out) == 0)
        value = load(changed, changed_len, unique, ret_error);
    free(changed);
    return value;
}

json_t *hz_json_text_read(const char *text, size_t len)
{
    struct hz_json_text_error error;
    return text ? hz_json_text_parse(text, len, READ_DEPTH, false, &error) : NULL;
}
