/*
 * err.c - the sentences of the error codes and one error text per thread, which grows at the front on its way up.
 * Not for normal outcomes (full, empty, closed): those are enums of their own.
 */
#include "err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define TEXT_BYTES 1024
static _Thread_local char last_text[TEXT_BYTES];

static const struct {
    int code;
    const char *name, *text;
} table[] = {
#define HZ_ERR_X(name, value, text) {(value), "HZ_" #name, text},
#include "err_table.h"
#undef HZ_ERR_X
};

const char *hz_err_name(int code)
{
    for (size_t i = 0; i < HZ_COUNT_OF(table); i++)
        if (table[i].code == code)
            return table[i].name;
    const char *name = code < 0 && code > -4096 ? strerrorname_np(-code) : NULL;
    return name != NULL ? name : code == 0 ? "OK" : "?";
}

const char *hz_err_text(int code)
{
    for (size_t i = 0; i < HZ_COUNT_OF(table); i++)
        if (table[i].code == code)
            return table[i].text;
    const char *text = code < 0 && code > -4096 ? strerrordesc_np(-code) : NULL;
    return text != NULL ? text : code == 0 ? "no error" : "unknown error";
}

/* A cut in the middle of a UTF-8 sequence is moved back to its beginning. */
static void cut_clean(char *text, size_t len)
{
    size_t start = len;
    while (start > 0 && ((unsigned char)text[start - 1] & 0xc0) == 0x80)
        start--;
    if (start == 0)
        return;
    unsigned char lead = (unsigned char)text[start - 1];
    size_t want = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1;
    if (len - (start - 1) < want)
        text[start - 1] = '\0';
}

static void set_text(const char *first, const char *second)
{
    int len = snprintf(last_text, sizeof(last_text), "%s: %s", first, second);
    if (len >= (int)sizeof(last_text))
        cut_clean(last_text, sizeof(last_text) - 1);
}

int(hz_err_set)(int code, const char *format, ...)
{
    char text[TEXT_BYTES]; /* the arguments may point into last_text */
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    set_text(text, hz_err_text(code));
    return code;
}

int(hz_err_prefix)(int code, const char *format, ...)
{
    char text[TEXT_BYTES], old[TEXT_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    memcpy(old, last_text, sizeof(old));
    set_text(text, old[0] != '\0' ? old : hz_err_text(code));
    return code;
}

const char *hz_err_last(void)
{
    return last_text;
}
