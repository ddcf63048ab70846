/*
 * workflow_settings.c - from a flow's own wishes and its plan to a struct hz_workflow: isolation, durability, which zygote it
 * needs, the values of the environment names it lists. No I/O, any thread.
 */
#include "workflow_settings.h"

#include "core/flow/flow.h"
#include "core/flow/model.h"
#include "core/flow/report.h"
#include "shm/err.h"
#include "shm/segment.h"

#define HZ_HOST_SIDE
#include <horizon/node.h>

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

HZ_KEEPS_WHAT_IS_ALLOCATED /* texts are owned by the array that ends at NULL */

static void find(struct hz_flow_report *report, const char *key, const json_t *value, const char *expected)
{
    char property[64], message[128], quoted[HZ_REPORT_QUOTE];
    if (json_is_string(value))
        snprintf(message, sizeof message, "is the text `%s`",
                hz_report_quote(json_string_value(value), json_string_length(value), quoted));
    else if (json_is_number(value))
        snprintf(message, sizeof message, "is %.15g", json_number_value(value));
    else
        snprintf(message, sizeof message, "is %s", hz_model_type_name(value));
    snprintf(property, sizeof property, "properties.horizon%s%s", *key ? "." : "", key);
    hz_flow_report_add(report, HZ_FLOW_ERROR, NULL, property, message, expected);
}

/* The number of the word; a word that `offered` leaves out is an error, too. */
static int read_word(const json_t *settings, const char *key, const char *const *words, int offered, int initial, struct hz_flow_report *report)
{
    const json_t *value = json_object_get(settings, key);
    if (!value)
        return initial;
    char expected[128] = "one of ";
    for (int i = 0; i < offered; i++) {
        if (json_is_string(value) && strcmp(json_string_value(value), words[i]) == 0)
            return i;
        size_t used = strlen(expected);
        snprintf(expected + used, sizeof expected - used, "%s%s", i ? ", " : "", words[i]);
    }
    find(report, key, value, expected);
    return initial;
}

static json_int_t read_number(
        const json_t *settings, const char *key, json_int_t lowest, json_int_t highest, json_int_t initial, struct hz_flow_report *report)
{
    const json_t *value = json_object_get(settings, key);
    if (!value)
        return initial;
    if (json_is_integer(value) && json_integer_value(value) >= lowest && json_integer_value(value) <= highest)
        return json_integer_value(value);
    char expected[96];
    snprintf(expected, sizeof expected, "a whole number from %" JSON_INTEGER_FORMAT " to %" JSON_INTEGER_FORMAT, lowest, highest);
    find(report, key, value, expected);
    return initial;
}

static void warn_of_unknown(const json_t *settings, struct hz_flow_report *report)
{
    static const char *const known[] = {"isolation", "durability", "onInterrupt", "threads", "timeout", "segmentBytes"};
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)settings, key, value) /* jansson's macro knows no const */
    {
        bool found = false;
        for (size_t i = 0; i < HZ_COUNT_OF(known); i++)
            found |= strcmp(known[i], key) == 0;
        char property[128];
        snprintf(property, sizeof property, "properties.horizon.%.60s", key);
        if (!found)
            hz_flow_report_add(report, HZ_FLOW_WARNING, NULL, property, "is unknown and changes nothing",
                    "isolation, durability, onInterrupt, threads, timeout or segmentBytes");
    }
}

int hz_workflow_settings_read(const json_t *flow, const struct hz_plan *plan, const struct hz_config *config, struct hz_flow_report *report,
        struct hz_workflow_settings *ret_settings)
{
    static const char *const isolations[] = {"auto", "isolated", "resident"};
    static const char *const durabilities[] = {"none", "execution"}; /* HZ_DURABILITY_CHECKPOINT is not offered yet */
    static const char *const interrupts[] = {"fail", "restart"};     /* nor HZ_INTERRUPT_RESUME, which needs it */
    size_t errors = report->errors;
    const json_t *settings = json_object_get(json_object_get(flow, "properties"), "horizon");
    if (settings && !json_is_object(settings))
        find(report, "", settings, "an object");
    warn_of_unknown(settings, report);
    *ret_settings = (struct hz_workflow_settings){
            .isolation = (enum hz_isolation)read_word(settings, "isolation", isolations, HZ_COUNT_OF(isolations), HZ_ISOLATION_AUTO, report),
            .durability = (enum hz_durability)read_word(
                    settings, "durability", durabilities, HZ_COUNT_OF(durabilities), HZ_DURABILITY_EXECUTION, report),
            .on_interrupt =
                    (enum hz_on_interrupt)read_word(settings, "onInterrupt", interrupts, HZ_COUNT_OF(interrupts), HZ_INTERRUPT_FAIL, report),
            .threads = (uint32_t)read_number(settings, "threads", 1, HZ_MAX_LANES, config->threads, report),
            .timeout_ms = (uint32_t)read_number(settings, "timeout", 0, 2000000000, config->execution_timeout_ms, report),
            .segment_bytes = (uint64_t)read_number(settings, "segmentBytes", 131072, 1073741824, 0, report)};
    if (plan->trigger_count > 0 && ret_settings->isolation == HZ_ISOLATION_ISOLATED)
        find(report, "isolation", json_object_get(settings, "isolation"), "resident or auto, as the flow has a trigger");
    if (report->errors == errors)
        return 0;
    const struct hz_flow_finding *last = report->count ? &report->findings[report->count - 1] : NULL;
    return hz_err_set(HZ_EFORMAT, "%s: %s (expected %s)", last ? last->property : "properties.horizon", last ? last->message : "is wrong",
            last ? last->expected : "other values");
}

/* The process variable of a name: WORKFLOW_<NAME> first, then WFV_<NAME>, upper case. */
static const char *env_value(const char *name)
{
    static const char *const prefixes[] = {"WORKFLOW_", "WFV_"};
    for (size_t i = 0; i < HZ_COUNT_OF(prefixes); i++) {
        char variable[256];
        if ((size_t)snprintf(variable, sizeof variable, "%s%s", prefixes[i], name) >= sizeof variable)
            return NULL;
        for (char *c = variable; *c; c++)
            *c = (char)toupper((unsigned char)*c);
        const char *value = getenv(variable);
        if (value)
            return value;
    }
    return NULL;
}

static int take_env(struct hz_workflow *workflow)
{
    const struct hz_plan *plan = workflow->plan;
    workflow->env = calloc(2 * (size_t)plan->environment_count + 1, sizeof *workflow->env);
    if (!workflow->env)
        return HZ_ENOMEM;
    const char *name = hz_plan_chars(plan, plan->environment);
    for (uint32_t i = 0, n = 0; i < plan->environment_count; i++, name += strlen(name) + 1) {
        const char *value = env_value(name);
        if (!value)
            continue;
        workflow->env[n] = strdup(name);
        workflow->env[n + 1] = workflow->env[n] ? strdup(value) : NULL; /* the list ends at its first NULL */
        if (!workflow->env[n + 1])
            return HZ_ENOMEM;
        n += 2;
    }
    return 0;
}

int hz_workflow_new(const char *id, const char *version, const json_t *flow, struct hz_plan *plan, const struct hz_config *config,
        struct hz_workflow **ret_workflow)
{
    struct hz_workflow_settings settings;
    struct hz_flow_report report = {0};
    struct hz_workflow *workflow = calloc(1, sizeof *workflow);
    if (!workflow) {
        free(plan);
        return hz_err_set(HZ_ENOMEM, "workflow %s", id);
    }
    workflow->references = 1;
    workflow->plan = plan;
    int err = hz_workflow_settings_read(flow, plan, config, &report, &settings);
    hz_flow_report_fini(&report);
    if (!err && (take_env(workflow) || asprintf(&workflow->path, "%s/workflows/%s/flow.json", config->data_dir ? config->data_dir : ".", id) < 0))
        err = hz_err_set(HZ_ENOMEM, "workflow %s", id);
    if (err) {
        hz_workflow_unref(&workflow);
        return err;
    }
    snprintf(workflow->id, sizeof workflow->id, "%s", id);
    snprintf(workflow->version, sizeof workflow->version, "%s", version);
    workflow->resident = plan->trigger_count > 0 || settings.isolation == HZ_ISOLATION_RESIDENT;
    workflow->zygote = plan->needs_script ? HZ_ZYGOTE_JS : plan->caps & HZ_CAP_NET ? HZ_ZYGOTE_NET : HZ_ZYGOTE_BASE;
    workflow->durability = settings.durability;
    workflow->on_interrupt = settings.on_interrupt;
    workflow->threads = workflow->resident ? settings.threads : 1;
    workflow->timeout_ms = settings.timeout_ms;
    workflow->segment_bytes = settings.segment_bytes;
    *ret_workflow = workflow;
    return 0;
}

struct hz_workflow *hz_workflow_ref(struct hz_workflow *workflow)
{
    __atomic_fetch_add(&workflow->references, 1, __ATOMIC_RELAXED);
    return workflow;
}

void hz_workflow_unref(struct hz_workflow **workflow)
{
    struct hz_workflow *w = *workflow;
    *workflow = NULL;
    if (!w || __atomic_sub_fetch(&w->references, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    for (char **text = w->env; text && *text; text++)
        free(*text);
    free(w->env);
    free(w->path);
    free(w->plan);
    free(w);
}

uint64_t hz_workflow_version_number(const char *version)
{
    unsigned major, minor, patch;
    int end = 0;
    if (sscanf(version, "%5u.%5u.%9u%n", &major, &minor, &patch, &end) != 3 || version[end])
        return 0;
    return ((uint64_t)major << 48) + ((uint64_t)(minor & 0xffff) << 32) + patch + 1;
}

void hz_workflow_version_next(const char *version, char ret_next[32])
{
    unsigned major = 0, minor = 0, patch = 0;
    if (sscanf(version, "%5u.%5u.%9u", &major, &minor, &patch) != 3)
        major = minor = patch = 0;
    snprintf(ret_next, 32, "%u.%u.%u", major, minor, patch + 1);
}
