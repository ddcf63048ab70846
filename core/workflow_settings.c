/*
 * workflow_settings.c - reads and checks `properties.horizon` of a flow, all findings at once. How executions are queued is core/flow/queueing.c's.
 * No I/O, any thread.
 */
#include "workflow_settings.h"

#include "core/flow/model.h"
#include "core/flow/report.h"
#include "shm/err.h"
#include "shm/segment.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define HZ_MAX_LIMIT_MS 2000000000

/* Where in the file: an object, its path below properties.horizon ("" or "retry."), and where findings go. */
struct place {
    const json_t *object;
    const char *path;
    struct hz_flow_report *report;
};

static void find(const struct place *at, const char *key, const json_t *value, const char *expected)
{
    char property[128], message[128], quoted[HZ_REPORT_QUOTE];
    if (json_is_string(value))
        snprintf(message, sizeof message, "is the text `%s`",
                hz_report_quote(json_string_value(value), json_string_length(value), quoted));
    else if (json_is_number(value))
        snprintf(message, sizeof message, "is %.15g", json_number_value(value));
    else
        snprintf(message, sizeof message, "is %s", hz_model_type_name(value));
    snprintf(property, sizeof property, "properties.horizon%s%s%.60s", *key ? "." : "", at->path, key);
    hz_flow_report_add(at->report, HZ_FLOW_ERROR, NULL, property, message, expected);
}

/* The number of the word. */
static int read_word(const struct place *at, const char *key, const char *const *words, int count, int initial)
{
    const json_t *value = json_object_get(at->object, key);
    if (!value)
        return initial;
    char expected[128] = "one of ";
    for (int i = 0; i < count; i++) {
        if (json_is_string(value) && strcmp(json_string_value(value), words[i]) == 0)
            return i;
        size_t used = strlen(expected);
        snprintf(expected + used, sizeof expected - used, "%s%s", i ? ", " : "", words[i]);
    }
    find(at, key, value, expected);
    return initial;
}

static json_int_t read_number(const struct place *at, const char *key, json_int_t lowest, json_int_t highest, json_int_t initial)
{
    const json_t *value = json_object_get(at->object, key);
    if (!value)
        return initial;
    if (json_is_integer(value) && json_integer_value(value) >= lowest && json_integer_value(value) <= highest)
        return json_integer_value(value);
    char expected[96];
    snprintf(expected, sizeof expected, "a whole number from %" JSON_INTEGER_FORMAT " to %" JSON_INTEGER_FORMAT, lowest, highest);
    find(at, key, value, expected);
    return initial;
}

/* Keys that no reader knows: a warning, so that a file of a newer Horizon runs; an error where a misspelt key would protect nobody. */
static void judge_unknown(const struct place *at, enum hz_flow_severity severity, const char *const *known, size_t count, const char *expected)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)at->object, key, value) /* jansson's macro knows no const */
    {
        bool found = false;
        for (size_t i = 0; i < count; i++)
            found |= strcmp(known[i], key) == 0;
        char property[128];
        snprintf(property, sizeof property, "properties.horizon.%s%.60s", at->path, key);
        if (!found)
            hz_flow_report_add(at->report, severity, NULL, property, "is unknown and changes nothing", expected);
    }
}

/* The object under `key`, which has a path of its own; false if there is none. */
static bool enter(const struct place *at, const char *key, const char *path, struct place *ret)
{
    const json_t *value = json_object_get(at->object, key);
    *ret = (struct place){.object = value, .path = path, .report = at->report};
    if (value && !json_is_object(value))
        find(at, key, value, "an object");
    return json_is_object(value);
}

static struct hz_retry read_retry(const struct place *settings)
{
    static const char *const known[] = {"times", "delay", "max", "jitter"};
    struct place at;
    if (!enter(settings, "retry", "retry.", &at))
        return (struct hz_retry){.given = false};
    judge_unknown(&at, HZ_FLOW_ERROR, known, HZ_COUNT_OF(known), "times, delay, max or jitter");
    return (struct hz_retry){.given = true,
            .times = (uint32_t)read_number(&at, "times", 0, 100, 3),
            .delay_ms = (uint32_t)read_number(&at, "delay", 0, 86400000, 1000),
            .max_ms = (uint32_t)read_number(&at, "max", 0, 86400000, 60000),
            .jitter = (uint32_t)read_number(&at, "jitter", 0, 100, 20)};
}

static struct hz_workflow_limits read_limits(const struct place *settings)
{
    static const char *const known[] = {"memory", "cpu", "wallClock", "openFiles", "processes"};
    struct place at;
    if (!enter(settings, "limits", "limits.", &at))
        return (struct hz_workflow_limits){0};
    judge_unknown(&at, HZ_FLOW_ERROR, known, HZ_COUNT_OF(known), "memory, cpu, wallClock, openFiles or processes");
    return (struct hz_workflow_limits){.memory_bytes = (uint64_t)read_number(&at, "memory", 16777216, INT64_C(1) << 40, 0),
            .cpu_ms = (uint64_t)read_number(&at, "cpu", 10, HZ_MAX_LIMIT_MS, 0),
            .wall_ms = (uint64_t)read_number(&at, "wallClock", 10, HZ_MAX_LIMIT_MS, 0),
            .open_files = (uint32_t)read_number(&at, "openFiles", 16, 65536, 0),
            .processes = (uint32_t)read_number(&at, "processes", 1, 65536, 0)};
}

static bool read_flag(const struct place *at, const char *key)
{
    const json_t *value = json_object_get(at->object, key);
    if (value && !json_is_boolean(value))
        find(at, key, value, "true or false");
    return json_is_true(value);
}

static const char *read_on_error(const struct place *at)
{
    const json_t *value = json_object_get(at->object, "onError");
    if (!value)
        return NULL;
    if (json_is_string(value) && hz_workflows_valid_id(json_string_value(value), json_string_length(value)))
        return json_string_value(value);
    find(at, "onError", value, "the id of a workflow");
    return NULL;
}

/* What each value alone cannot tell. */
static void judge_together(const struct place *at, const struct hz_plan *plan, const struct hz_workflow_settings *settings)
{
    bool checkpoint = settings->durability == HZ_DURABILITY_CHECKPOINT;
    if (settings->on_interrupt == HZ_INTERRUPT_RESUME && !checkpoint)
        find(at, "onInterrupt", json_object_get(at->object, "onInterrupt"), "fail or restart, as resume needs durability checkpoint");
    if (plan->trigger_count == 0)
        return;
    if (settings->isolation == HZ_ISOLATION_ISOLATED)
        find(at, "isolation", json_object_get(at->object, "isolation"), "resident or auto, as the flow has a trigger");
    if (checkpoint)
        find(at, "durability", json_object_get(at->object, "durability"), "none or execution, as the flow has a trigger");
    if (settings->retry.given)
        find(at, "retry", json_object_get(at->object, "retry"), "nothing, as an event of a trigger is not kept to be tried again");
}

int hz_workflow_settings_read(const json_t *flow, const struct hz_plan *plan, const struct hz_config *config, struct hz_flow_report *report,
        struct hz_workflow_settings *ret_settings)
{
    static const char *const isolations[] = {"auto", "isolated", "resident"};
    static const char *const durabilities[] = {"none", "execution", "checkpoint"};
    static const char *const interrupts[] = {"fail", "restart", "resume"};
    static const char *const histories[] = {"all", "failed+sample", "counters"};
    static const char *const restarts[] = {"on-failure", "never", "always"};
    static const char *const known[] = {"isolation", "durability", "onInterrupt", "history", "nodeStats", "threads", "timeout", "segmentBytes", "retry",
            "restart", "limits",
            "onError", "concurrency", "queue", "priority", "share", "rate", "burst"};
    size_t errors = report->errors;
    struct place at = {.object = json_object_get(json_object_get(flow, "properties"), "horizon"), .path = "", .report = report};
    if (at.object && !json_is_object(at.object))
        find(&at, "", at.object, "an object");
    judge_unknown(&at, HZ_FLOW_WARNING, known, HZ_COUNT_OF(known),
            "isolation, durability, onInterrupt, history, nodeStats, threads, timeout, segmentBytes, retry, restart, limits, onError, concurrency, queue, priority, share, "
            "rate or burst");
    struct hz_workflow_settings settings = {
            .isolation = (enum hz_isolation)read_word(&at, "isolation", isolations, HZ_COUNT_OF(isolations), HZ_ISOLATION_AUTO),
            .durability = (enum hz_durability)read_word(&at, "durability", durabilities, HZ_COUNT_OF(durabilities), HZ_DURABILITY_EXECUTION),
            .restart = (enum hz_restart)read_word(&at, "restart", restarts, HZ_COUNT_OF(restarts), HZ_RESTART_ON_FAILURE),
            .threads = (uint32_t)read_number(&at, "threads", 1, HZ_MAX_LANES, config->threads),
            .timeout_ms = (uint32_t)read_number(&at, "timeout", 0, HZ_MAX_LIMIT_MS, config->execution_timeout_ms),
            .segment_bytes = (uint64_t)read_number(&at, "segmentBytes", 131072, 1073741824, 0),
            .node_stats = read_flag(&at, "nodeStats"),
            .retry = read_retry(&at),
            .limits = read_limits(&at),
            .on_error = read_on_error(&at)};
    settings.on_interrupt = (enum hz_on_interrupt)read_word(&at, "onInterrupt", interrupts, HZ_COUNT_OF(interrupts),
            settings.durability == HZ_DURABILITY_CHECKPOINT ? HZ_INTERRUPT_RESUME : HZ_INTERRUPT_FAIL);
    settings.history = (enum hz_history)read_word(&at, "history", histories, HZ_COUNT_OF(histories),
            settings.durability == HZ_DURABILITY_NONE ? HZ_HISTORY_SAMPLE : HZ_HISTORY_ALL);
    judge_together(&at, plan, &settings);
    *ret_settings = settings;
    if (report->errors == errors)
        return 0;
    const struct hz_flow_finding *last = report->count ? &report->findings[report->count - 1] : NULL;
    return hz_err_set(HZ_EFORMAT, "%s: %s (expected %s)", last ? last->property : "properties.horizon", last ? last->message : "is wrong",
            last ? last->expected : "other values");
}
