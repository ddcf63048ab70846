/*
 * workflow.c - makes and ends a struct hz_workflow: a plan with its settings, which zygote it needs, the values of the environment names it
 * lists, the names of its secrets; and versions. No I/O, any thread.
 */
#include "workflow.h"

#include "workflow_settings.h"

#include "core/flow/queueing.h"
#include "core/flow/report.h"
#include "shm/err.h"

#define HZ_HOST_SIDE
#include <horizon/node.h>

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

HZ_KEEPS_WHAT_IS_ALLOCATED /* texts are owned by the array that ends at NULL */

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
    if (!err && (take_env(workflow) || take_secrets(workflow, flow)
            || asprintf(&workflow->path, "%s/workflows/%s/flow.json", config->data_dir ? config->data_dir : ".", id) < 0))
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
    workflow->node_stats = settings.node_stats;
    workflow->threads = workflow->resident ? settings.threads : 1;
    workflow->timeout_ms = settings.timeout_ms;
    workflow->retry = settings.retry;
    workflow->segment_bytes = settings.segment_bytes;
    hz_flow_queueing(flow, NULL, &workflow->queueing); /* compiling it checked them */
    workflow->restart = settings.restart;
    workflow->limits = settings.limits;
    snprintf(workflow->on_error, sizeof workflow->on_error, "%s", settings.on_error ? settings.on_error : "");
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

enum { PART_MOST = 65535, PATCH_MOST = 999999999 };

uint64_t hz_workflow_version_number(const char *version)
{
    unsigned major, minor, patch;
    int end = 0;
    if (sscanf(version, "%5u.%5u.%9u%n", &major, &minor, &patch, &end) != 3 || version[end] || major > PART_MOST || minor > PART_MOST)
        return 0;
    return ((uint64_t)major << 48) + ((uint64_t)minor << 32) + patch + 1;
}

void hz_workflow_version_next(const char *version, char ret_next[32])
{
    unsigned major = 0, minor = 0, patch = 0;
    if (sscanf(version, "%5u.%5u.%9u", &major, &minor, &patch) != 3)
        major = minor = patch = 0;
    if (patch < PATCH_MOST) {
        patch++;
    } else if (minor < PART_MOST) {
        minor++;
        patch = 0;
    } else if (major < PART_MOST) {
        major++;
        minor = patch = 0;
    }
    snprintf(ret_next, 32, "%u.%u.%u", major, minor, patch);
}
