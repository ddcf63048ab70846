/*
 * json.c - the JSON printer. Numbers and dates are printed by hand: the library's way costs a microsecond each.
 */
#include "json.h"

#include "core/flow/json_text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void hz_json_fini(struct hz_json *json)
{
    free(json->data);
    memset(json, 0, sizeof *json);
}

char *hz_json_take(struct hz_json *json, size_t *ret_len)
{
    char *text = json->failed ? NULL : json->data;
    *ret_len = text ? json->len : 0;
    if (!text)
        free(json->data);
    memset(json, 0, sizeof *json);
    return text;
}

/* Room for `room` more bytes and a NUL; NULL: out of memory. */
static char *reserve(struct hz_json *json, size_t room)
{
    if (json->failed)
        return NULL;
    if (json->capacity - json->len <= room) {
        size_t capacity = HZ_MAX(json->len + room + 1, json->capacity * 2);
        capacity = HZ_MAX(capacity, (size_t)1024);
        char *data = realloc(json->data, capacity);
        if (!data) {
            json->failed = true;
            return NULL;
        }
        json->data = data;
        json->capacity = capacity;
    }
    return json->data + json->len;
}

static void add(struct hz_json *json, const char *text, size_t len)
{
    char *to = reserve(json, len);
    if (!to)
        return;
    if (len)
        memcpy(to, text, len);
    to[len] = 0;
    json->len += len;
}

/* Before a value or key: the comma after its predecessor. */
static void separate(struct hz_json *json)
{
    if (json->comma)
        add(json, ",", 1);
    json->comma = true;
}

void hz_json_open(struct hz_json *json, char bracket)
{
    separate(json);
    add(json, &bracket, 1);
    json->comma = false;
}

void hz_json_close(struct hz_json *json, char bracket)
{
    add(json, &bracket, 1);
    json->comma = true;
}

/* Length of the well-formed UTF-8 character at p (RFC 3629), 0 if there is none. */
static size_t character(const unsigned char *p, size_t left)
{
    if (p[0] >= 0xc2 && p[0] <= 0xdf)
        return left > 1 && (p[1] & 0xc0) == 0x80 ? 2 : 0;
    if ((p[0] & 0xf0) == 0xe0) {
        if (left < 3 || (p[1] & 0xc0) != 0x80 || (p[2] & 0xc0) != 0x80)
            return 0;
        return (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ? 0 : 3;
    }
    if (p[0] >= 0xf0 && p[0] <= 0xf4) {
        if (left < 4 || (p[1] & 0xc0) != 0x80 || (p[2] & 0xc0) != 0x80 || (p[3] & 0xc0) != 0x80)
            return 0;
        return (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f) ? 0 : 4;
    }
    return 0;
}

static size_t escape_one(unsigned char c, char *to)
{
    static const char digits[] = "0123456789abcdef";
    static const char *const from = "\"\\\b\f\n\r\t", *const into = "\"\\bfnrt";
    const char *at = c ? strchr(from, c) : NULL;
    to[0] = '\\';
    if (at) {
        to[1] = into[at - from];
        return 2;
    }
    to[1] = 'u';
    to[2] = to[3] = '0';
    to[4] = digits[c >> 4];
    to[5] = digits[c & 15];
    return 6;
}

static void quote(struct hz_json *json, const char *text, size_t len)
{
    const unsigned char *p = (const unsigned char *)text, *end = p + len;
    char *start = reserve(json, 6 * len + 2); /* the longest each byte can become */
    if (!start)
        return;
    char *to = start;
    *to++ = '"';
    while (p < end) {
        if (*p >= 0x80) {
            size_t size = character(p, (size_t)(end - p));
            memcpy(to, size ? (const char *)p : "\xef\xbf\xbd", size ? size : 3);
            to += size ? size : 3;
            p += size ? size : 1;
        } else if (*p < 0x20 || *p == '"' || *p == '\\')
            to += escape_one(*p++, to);
        else
            *to++ = (char)*p++;
    }
    *to++ = '"';
    *to = 0;
    json->len += (size_t)(to - start);
}

void hz_json_key(struct hz_json *json, const char *key, size_t len)
{
    separate(json);
    quote(json, key, len);
    add(json, ":", 1);
    json->comma = false;
}

void hz_json_string(struct hz_json *json, const char *text, size_t len)
{
    separate(json);
    quote(json, text, len);
}

void hz_json_text(struct hz_json *json, const char *text)
{
    hz_json_string(json, text, strlen(text));
}

void hz_json_raw(struct hz_json *json, const char *text, size_t len)
{
    separate(json);
    add(json, text, len);
}

void hz_json_uint(struct hz_json *json, uint64_t value)
{
    char digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    hz_json_raw(json, digits + at, sizeof digits - at);
}

void hz_json_int(struct hz_json *json, int64_t value)
{
    if (value >= 0) {
        hz_json_uint(json, (uint64_t)value);
        return;
    }
    hz_json_raw(json, "-", 1);
    json->comma = false;
    hz_json_uint(json, (uint64_t)0 - (uint64_t)value);
}

void hz_json_double(struct hz_json *json, double value)
{
    char text[40];
    if (!isfinite(value)) {
        hz_json_null(json);
        return;
    }
    if (value >= 0 && value < 9007199254740992.0 && floor(value) == value) {
        hz_json_uint(json, (uint64_t)value);
        return;
    }
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    hz_json_raw(json, text, strlen(text));
}

void hz_json_bool(struct hz_json *json, bool value)
{
    hz_json_raw(json, value ? "true" : "false", value ? 4 : 5);
}

void hz_json_null(struct hz_json *json)
{
    hz_json_raw(json, "null", 4);
}

static void put_digits(char *to, unsigned value, int count)
{
    for (int i = count - 1; i >= 0; i--, value /= 10)
        to[i] = (char)('0' + value % 10);
}

/* Civil date from days since the epoch: H. Hinnant, "chrono-Compatible Low-Level Date Algorithms" (eras of 400 years).
 */
void hz_json_iso(struct hz_json *json, int64_t wall_ms)
{
    const int64_t day_ms = 86400000;
    int64_t days = wall_ms / day_ms, rest = wall_ms % day_ms;
    if (rest < 0) {
        rest += day_ms;
        days--;
    }
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    unsigned doe = (unsigned)(days - era * 146097);
    unsigned yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    unsigned mp = (5 * doy + 2) / 153;
    unsigned day = doy - (153 * mp + 2) / 5 + 1, month = mp < 10 ? mp + 3 : mp - 9;
    unsigned year = (unsigned)(yoe + (unsigned)(era * 400) + (month <= 2)), ms = (unsigned)rest;
    char text[] = "\"0000-00-00T00:00:00.000Z\"";
    put_digits(text + 1, year, 4);
    put_digits(text + 6, month, 2);
    put_digits(text + 9, day, 2);
    put_digits(text + 12, ms / 3600000, 2);
    put_digits(text + 15, ms / 60000 % 60, 2);
    put_digits(text + 18, ms / 1000 % 60, 2);
    put_digits(text + 21, ms % 1000, 3);
    hz_json_raw(json, text, sizeof text - 1);
}

void hz_json_value(struct hz_json *json, const json_t *value)
{
    char *text = value ? hz_json_text_print(value, 0, NULL) : NULL; /* NULL: whoever made it had no memory */
    if (!text) {
        json->failed = true;
        return;
    }
    hz_json_raw(json, text, strlen(text));
    free(text);
}

json_t *hz_json_string_of(const char *data, size_t len)
{
    json_t *string = json_stringn(data, len);
    if (string)
        return string;
    struct hz_json json = {0};
    quote(&json, data, len); /* repairs it; read back without the need to unescape by hand */
    string = json.failed ? NULL : json_loadb(json.data, json.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    hz_json_fini(&json);
    return string;
}
