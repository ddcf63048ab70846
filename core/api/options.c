/* options.c - reads and checks the options of a request to run a flow; says everything that is wrong at once. Pure. */
#include "options.h"

#include "core/queues.h"
#include "core/scheduler.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define DELAY_MOST_MS INT64_C(31536000000) /* a year */

struct findings {
    char *text;
    size_t size, used;
};

static void HZ_PRINTF(2, 3) find_wrong(struct findings *findings, const char *format, ...)
{
    va_list args;
    if (findings->used && findings->used + 2 < findings->size)
        findings->used += (size_t)snprintf(findings->text + findings->used, findings->size - findings->used, "; ");
    va_start(args, format);
    int n = vsnprintf(findings->text + findings->used, findings->size - findings->used, format, args);
    va_end(args);
    findings->used = HZ_MIN(findings->size - 1, findings->used + (size_t)HZ_MAX(0, n));
}

int64_t hz_api_parse_time(const char *text)
{
    struct tm tm = {0};
    int at = 0, digits = 0;
    int64_t ms = 0, offset = 0;
    if (sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2d%n", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &tm.tm_hour, &tm.tm_min, &tm.tm_sec, &at) != 6 ||
            at != 19)
        return -1;
    text += at;
    if (*text == '.') {
        for (text++; *text >= '0' && *text <= '9'; text++, digits++)
            if (digits < 3)
                ms = ms * 10 + (*text - '0');
        if (digits == 0)
            return -1;
        for (; digits < 3; digits++)
            ms *= 10;
    }
    int hours, minutes, end = 0;
    if ((*text == '+' || *text == '-') && sscanf(text + 1, "%2d:%2d%n", &hours, &minutes, &end) == 2 && end == 5 && text[6] == 0 && hours >= 0 &&
            minutes >= 0 && minutes < 60)
        offset = (*text == '-' ? -1 : 1) * (int64_t)(hours * 60 + minutes) * 60000;
    else if (strcmp(text, "Z") != 0)
        return -1;
    struct tm given = tm;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    time_t seconds = timegm(&tm);
    if (seconds < 0 || tm.tm_mon + 1 != given.tm_mon || tm.tm_mday != given.tm_mday || tm.tm_hour != given.tm_hour || tm.tm_min != given.tm_min)
        return -1; /* the 31st of February */
    return (int64_t)seconds * 1000 + ms - offset;
}

/* 0 if it is not there or wrong. */
static int64_t read_number(const json_t *body, const char *key, json_int_t lowest, json_int_t highest, struct findings *findings)
{
    const json_t *value = json_object_get(body, key);
    if (!value)
        return 0;
    if (json_is_integer(value) && json_integer_value(value) >= lowest && json_integer_value(value) <= highest)
        return json_integer_value(value);
    find_wrong(findings, "%s: expected a whole number from %" JSON_INTEGER_FORMAT " to %" JSON_INTEGER_FORMAT, key, lowest, highest);
    return 0;
}

static const char *read_key(const json_t *body, struct findings *findings)
{
    const json_t *value = json_object_get(body, "dedupKey");
    if (!value)
        return NULL;
    const char *key = json_string_value(value);
    size_t len = json_string_length(value);
    bool good = key && len > 0 && len < HZ_SUBMIT_KEY && strlen(key) == len;
    for (size_t i = 0; good && i < len; i++)
        good = (unsigned char)key[i] >= 0x20 && key[i] != 0x7f;
    if (!good)
        find_wrong(findings, "dedupKey: expected a text of 1 to %u bytes without control characters", HZ_SUBMIT_KEY - 1);
    return good ? key : NULL;
}

bool hz_api_execute_options(const json_t *body, struct hz_api_execute *execute, char *error, size_t size)
{
    struct findings findings = {error, size, 0};
    const json_t *wait = json_object_get(body, "wait"), *version = json_object_get(body, "version"), *at = json_object_get(body, "startAt");
    if (wait && !json_is_boolean(wait))
        find_wrong(&findings, "wait: expected true or false");
    if (version && !json_is_string(version))
        find_wrong(&findings, "version: expected a text");
    execute->wait = json_is_true(wait);
    execute->version = json_string_value(version);
    execute->priority = (uint32_t)read_number(body, "priority", 1, HZ_PRIORITY_MOST, &findings);
    execute->deadline_ms = (uint32_t)read_number(body, "deadlineMs", 1, 2000000000, &findings);
    execute->key = read_key(body, &findings);
    int64_t delay = read_number(body, "delayMs", 0, DELAY_MOST_MS, &findings), now = hz_base_wall_ms();
    execute->due_ms = delay > 0 ? now + delay : 0;
    if (at) {
        int64_t due = json_is_string(at) ? hz_api_parse_time(json_string_value(at)) : -1;
        if (due < 0 || due > now + DELAY_MOST_MS)
            find_wrong(&findings, "startAt: expected a time as 2026-11-24T03:00:00Z, within a year");
        else if (json_object_get(body, "delayMs"))
            find_wrong(&findings, "startAt: expected either startAt or delayMs");
        execute->due_ms = due;
    }
    return findings.used == 0;
}
