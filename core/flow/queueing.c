/*
 * queueing.c - reads and checks how a flow wants its executions queued. Pure; manager and `horizon check`, any thread.
 */
#include "queueing.h"

#include "model.h"
#include "report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void find_wrong(struct hz_flow_report *report, const char *key, const json_t *value, const char *expected)
{
    char property[64], quoted[HZ_REPORT_QUOTE];
    struct hz_report_place place = {.property = property};
    if (!report)
        return;
    snprintf(property, sizeof property, "properties.horizon.%s", key);
    if (json_is_string(value))
        hz_report_add(report, HZ_FLOW_ERROR, &place, expected, "is the text `%s`",
                hz_report_quote(json_string_value(value), json_string_length(value), quoted));
    else if (json_is_number(value))
        hz_report_add(report, HZ_FLOW_ERROR, &place, expected, "is the number %.15g", json_number_value(value));
    else
        hz_report_add(report, HZ_FLOW_ERROR, &place, expected, "is %s", hz_model_type_name(value));
}

static uint32_t read_count(const json_t *horizon, const char *key, json_int_t highest, struct hz_flow_report *report)
{
    const json_t *value = hz_model_get(horizon, key);
    char expected[80];
    if (!value)
        return 0;
    if (json_is_integer(value) && json_integer_value(value) >= 1 && json_integer_value(value) <= highest)
        return (uint32_t)json_integer_value(value);
    snprintf(expected, sizeof expected, "a whole number from 1 to %" JSON_INTEGER_FORMAT, highest);
    find_wrong(report, key, value, expected);
    return 0;
}

/* "COUNT/s", "COUNT/min" or "COUNT/h" to ns between two starts. */
static uint64_t read_rate(const json_t *horizon, struct hz_flow_report *report)
{
    static const struct {
        const char *unit;
        uint64_t ns;
    } units[] = {{"/s", UINT64_C(1000000000)}, {"/min", UINT64_C(60000000000)}, {"/h", UINT64_C(3600000000000)}};
    const json_t *value = hz_model_get(horizon, "rate");
    if (!value)
        return 0;
    const char *text = json_is_string(value) ? json_string_value(value) : "";
    char *end = NULL;
    unsigned long count = text[0] >= '0' && text[0] <= '9' ? strtoul(text, &end, 10) : 0;
    for (size_t i = 0; i < HZ_COUNT_OF(units); i++)
        if (count >= 1 && count <= 1000000 && strcmp(end, units[i].unit) == 0)
            return units[i].ns / count;
    find_wrong(report, "rate", value, "starts in a period as 10/s, 100/min or 500/h, 1 to 1000000 of them");
    return 0;
}

void hz_flow_queueing(const json_t *flow, struct hz_flow_report *report, struct hz_queueing *ret_queueing)
{
    const json_t *horizon = hz_model_get(hz_model_get(flow, "properties"), "horizon");
    *ret_queueing = (struct hz_queueing){.concurrency = read_count(horizon, "concurrency", 1000000, report),
            .queue = read_count(horizon, "queue", 10000000, report),
            .priority = read_count(horizon, "priority", 9, report),
            .share = read_count(horizon, "share", 100, report),
            .burst = read_count(horizon, "burst", 1000000, report),
            .rate_ns = read_rate(horizon, report)};
    if (ret_queueing->burst && !hz_model_get(horizon, "rate"))
        find_wrong(report, "burst", hz_model_get(horizon, "burst"), "properties.horizon.rate beside it");
}
