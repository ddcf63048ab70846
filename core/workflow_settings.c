/*
 * workflow_settings.c - from a flow's own wishes and its plan to a struct hz_workflow: isolation, durability, which zygote it
 * needs, the values of the environment names it lists. No I/O, any thread.
 */
#include "workflow_settings.h"

#include "shm/err.h"
#include "shm/segment.h"

#define HZ_HOST_SIDE
#include <horizon/node.h>

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int read_word(const json_t *settings, const char *key, const char *const *words, int initial, int *ret)
{
    const json_t *value = json_object_get(settings, key);
    *ret = initial;
    if (!value)
        return 0;
    char expected[128] = "";
    for (int i = 0; words[i]; i++) {
        if (json_is_string(value) && strcmp(json_string_value(value), words[i]) == 0) {
            *ret = i;
            return 0;
        }
        size_t used = strlen(expected);
        snprintf(expected + used, sizeof expected - used, "%s%s", i ? ", " : "", words[i]);
    }
    return hz_err_set(HZ_EFORMAT, "properties.horizon.%s: expected one of %s", key, expected);
}

static int read_number(const json_t *settings, const char *key, json_int_t lowest, json_int_t highest, json_int_t initial, json_int_t *ret)
{
    const json_t *value = json_object_get(settings, key);
    *ret = initial;
    if (!value)
        return 0;
    if (!json_is_integer(value) || json_integer_value(value) < lowest || json_integer_value(value) > highest)
        return hz_err_set(HZ_EFORMAT, "properties.horizon.%s: expected a whole number from %" JSON_INTEGER_FORMAT " to %" JSON_INTEGER_FORMAT, key,
                lowest, highest);
    *ret = json_integer_value(value);
    return 0;
}

static int read_retry(const json_t *retry, struct hz_retry *ret_retry)
{
    static const char *const known[] = {"times", "delay", "max", "jitter"};
    static const json_int_t most[] = {100, 86400000, 86400000, 100}, initial[] = {3, 1000, 60000, 20};
    json_int_t v[HZ_COUNT_OF(known)];
    const char *key;
    json_t *value;
    *ret_retry = (struct hz_retry){0};
    if (!retry)
        return 0;
    if (!json_is_object(retry))
        return hz_err_set(HZ_EFORMAT, "properties.horizon.retry: expected an object with times, delay, max, jitter");
    for (size_t i = 0; i < HZ_COUNT_OF(known); i++) {
        value = json_object_get(retry, known[i]);
        v[i] = value ? json_integer_value(value) : initial[i];
        if (value && (!json_is_integer(value) || v[i] < 0 || v[i] > most[i]))
            return hz_err_set(HZ_EFORMAT, "properties.horizon.retry.%s: expected a whole number from 0 to %" JSON_INTEGER_FORMAT, known[i], most[i]);
    }
    json_object_foreach((json_t *)(uintptr_t)retry, key, value) {
        bool found = false;
        for (size_t i = 0; i < HZ_COUNT_OF(known); i++)
            found = found || strcmp(key, known[i]) == 0;
        if (!found)
            return hz_err_set(HZ_EFORMAT, "properties.horizon.retry.%s: expected one of times, delay, max, jitter", key);
    }
    *ret_retry = (struct hz_retry){.given = true, .times = (uint32_t)v[0], .delay_ms = (uint32_t)v[1], .max_ms = (uint32_t)v[2],
            .jitter = (uint32_t)v[3]};
    return 0;
}

int hz_workflow_settings_read(const json_t *flow, const struct hz_config *config, struct hz_workflow_settings *ret_settings)
{
    static const char *const isolations[] = {"auto", "isolated", "resident", NULL};
    static const char *const durabilities[] = {"none", "execution", "checkpoint", NULL};
    static const char *const interrupts[] = {"fail", "restart", "resume", NULL};
    static const char *const histories[] = {"all", "failed+sample", "counters", NULL};
    const json_t *settings = json_object_get(json_object_get(flow, "properties"), "horizon");
    if (settings && !json_is_object(settings))
        return hz_err_set(HZ_EFORMAT, "properties.horizon: expected an object");
    int isolation, durability, interrupt, history;
    json_int_t threads, timeout, segment;
    int err = read_word(settings, "isolation", isolations, HZ_ISOLATION_AUTO, &isolation);
    if (!err)
        err = read_word(settings, "durability", durabilities, HZ_DURABILITY_EXECUTION, &durability);
    bool checkpoint = !err && durability == HZ_DURABILITY_CHECKPOINT;
    if (!err)
        err = read_word(settings, "onInterrupt", interrupts, checkpoint ? HZ_INTERRUPT_RESUME : HZ_INTERRUPT_FAIL, &interrupt);
    if (!err && interrupt == HZ_INTERRUPT_RESUME && !checkpoint)
        err = hz_err_set(HZ_EFORMAT, "properties.horizon.onInterrupt: resume needs durability checkpoint, expected fail or restart");
    if (!err)
        err = read_word(settings, "history", histories, durability == HZ_DURABILITY_NONE ? HZ_HISTORY_SAMPLE : HZ_HISTORY_ALL, &history);
    if (!err)
        err = read_number(settings, "threads", 1, HZ_MAX_LANES, config->threads, &threads);
    if (!err)
        err = read_number(settings, "timeout", 0, 2000000000, config->execution_timeout_ms, &timeout);
    if (!err)
        err = read_number(settings, "segmentBytes", 131072, 1073741824, 0, &segment);
    if (!err)
        err = read_retry(json_object_get(settings, "retry"), &ret_settings->retry);
    if (err)
        return err;
    ret_settings->isolation = (enum hz_isolation)isolation;
    ret_settings->durability = (enum hz_durability)durability;
    ret_settings->on_interrupt = (enum hz_on_interrupt)interrupt;
    ret_settings->history = (enum hz_history)history;
    ret_settings->threads = (uint32_t)threads;
    ret_settings->timeout_ms = (uint32_t)timeout;
    ret_settings->segment_bytes = (uint64_t)segment;
    return 0;
}

int hz_workflow_settings_check(const json_t *flow, const struct hz_plan *plan, const struct hz_config *config,
        struct hz_workflow_settings *ret_settings)
{
    int err = hz_workflow_settings_read(flow, config, ret_settings);
    if (!err && plan->trigger_count > 0 && ret_settings->isolation == HZ_ISOLATION_ISOLATED)
        err = hz_err_set(HZ_EFORMAT, "properties.horizon.isolation: a flow with a trigger is always resident, expected resident or auto");
    if (!err && plan->trigger_count > 0 && ret_settings->durability == HZ_DURABILITY_CHECKPOINT)
        err = hz_err_set(HZ_EFORMAT, "properties.horizon.durability: checkpoint is for flows without a trigger, expected none or execution");
    if (!err && plan->trigger_count > 0 && ret_settings->retry.given)
        err = hz_err_set(HZ_EFORMAT, "properties.horizon.retry: an event of a trigger is not kept to be tried again, expected no retry");
    return err;
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
        workflow->env[n + 1] = strdup(value);
        if (!workflow->env[n] || !workflow->env[n + 1])
            return HZ_ENOMEM;
        n += 2;
    }
    return 0;
}

static int add_secrets(struct hz_workflow *workflow, const json_t *names, size_t *count)
{
    for (size_t i = 0; i < json_array_size(names); i++) {
        const char *name = json_string_value(json_array_get(names, i));
        bool known = false;
        for (size_t k = 0; name && k < *count; k++)
            known |= strcmp(workflow->secrets[k], name) == 0;
        if (!name || !*name || known)
            continue;
        char **grown = realloc(workflow->secrets, (*count + 2) * sizeof *grown);
        if (!grown)
            return HZ_ENOMEM;
        workflow->secrets = grown;
        grown[*count + 1] = NULL;
        grown[*count] = strdup(name);
        if (!grown[*count])
            return HZ_ENOMEM;
        ++*count;
    }
    return 0;
}

/* Names in the flow's `secrets` and in its nodes' `meta.credentials`. */
static int take_secrets(struct hz_workflow *workflow, const json_t *flow)
{
    size_t count = 0;
    const char *key;
    json_t *node;
    int err = add_secrets(workflow, json_object_get(flow, "secrets"), &count);
    json_object_foreach(json_object_get(flow, "nodes"), key, node)
        if (!err)
            err = add_secrets(workflow, json_object_get(json_object_get(node, "meta"), "credentials"), &count);
    return err;
}

int hz_workflow_new(const char *id, const char *version, const json_t *flow, struct hz_plan *plan, const struct hz_config *config,
        struct hz_workflow **ret_workflow)
{
    struct hz_workflow_settings settings;
    struct hz_workflow *workflow = calloc(1, sizeof *workflow);
    if (!workflow) {
        free(plan);
        return hz_err_set(HZ_ENOMEM, "workflow %s", id);
    }
    workflow->references = 1;
    workflow->plan = plan;
    int err = hz_workflow_settings_check(flow, plan, config, &settings);
    if (!err && (take_env(workflow) || take_secrets(workflow, flow) ||
            asprintf(&workflow->path, "%s/workflows/%s/flow.json", config->data_dir ? config->data_dir : ".", id) < 0))
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
    workflow->history = settings.history;
    workflow->threads = workflow->resident ? settings.threads : 1;
    workflow->timeout_ms = settings.timeout_ms;
    workflow->retry = settings.retry;
    workflow->segment_bytes = settings.segment_bytes;
    hz_flow_queueing(flow, NULL, &workflow->queueing); /* compiling it checked them */
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
    for (char **name = w->secrets; name && *name; name++)
        free(*name);
    free(w->secrets);
    free(w->paths);
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
