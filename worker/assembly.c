/*
 * assembly.c - a checked plan made ready to run: one site per node with its descriptor, memory, constant parameters; the
 * nodes by type; the log lines of a start. Worker, main thread, before the first execution.
 */
#include "crash.h"
#include "loader.h"
#include "report.h"
#include "worker.h"

#include <stdlib.h>
#include <string.h>

HZ_KEEPS_WHAT_IS_ALLOCATED /* a site owns what its node keeps */

static hz_str plan_text(const struct hz_plan *plan, struct hz_plan_text text)
{
    return (hz_str){hz_plan_chars(plan, text), text.len};
}

/* The plan names files; those the zygote has opened are there already. */
static int find_node(struct hz_worker *worker, const struct hz_plan_node *node, const struct hz_node_desc **ret_desc)
{
    const struct hz_plan *plan = worker->plan;
    if ((node->flags & HZ_PLAN_NODE_UNKNOWN) != 0 || node->plugin == UINT32_MAX)
        return 0;
    const struct hz_plan_plugin *plugin = hz_plan_plugin(plan, node->plugin);
    const char *file = hz_plan_chars(plan, plugin->file), *type = hz_plan_chars(plan, plugin->type);
    const struct hz_loaded *loaded = hz_loader_find(NULL, file);
    if (!loaded) {
        int r = hz_loader_open(file, (plugin->flags & 1) != 0, &loaded);
        if (r != 0)
            return r;
        hz_crash_modules();
    }
    if (strcmp(loaded->desc->type, type) != 0)
        return hz_err_set(HZ_EFORMAT, "%s is node %s now, the flow was made for %s", file, loaded->desc->type, type);
    *ret_desc = loaded->desc;
    return 0;
}

static int make_site(struct hz_worker *worker, uint32_t index)
{
    const struct hz_plan *plan = worker->plan;
    const struct hz_plan_node *node = hz_plan_node(plan, index);
    struct hz_site *site = &worker->sites[index];
    site->plan = node;
    site->index = index;
    site->id = plan_text(plan, node->id);
    site->name = plan_text(plan, node->name);
    site->type = plan_text(plan, node->type);
    site->logs = node->log_start.type != HZ_PLAN_LOG_NONE || node->log_exec.type != HZ_PLAN_LOG_NONE;
    site->handle = (struct hz_trigger){.magic = HZ_TRIGGER_MAGIC, .node = index, .worker = worker};
    if (pthread_mutex_init(&site->lock, NULL) != 0)
        return hz_err_set(HZ_ENOMEM, "node %s", site->name.data);
    int r = find_node(worker, node, &site->desc);
    if (r != 0)
        return r;
    if (!site->desc) {
        hz_report_linef(worker->threads[0], 0, index, HZ_LEVEL_ERROR, "No existe el nodo %s", site->type.data);
        return 0;
    }
    uint32_t flags = site->desc->flags;
    site->exclusive = (flags & HZ_NODE_SINGLETON) != 0 && (flags & HZ_NODE_CONCURRENT) == 0;
    site->blocking = (flags & HZ_NODE_BLOCKING) != 0;
    site->trigger = (flags & HZ_NODE_TRIGGER) != 0;
    site->pure = (flags & HZ_NODE_PURE) != 0 && !site->blocking && !site->trigger;
    if (site->desc->self_size > 0) {
        site->self = calloc(1, site->desc->self_size);
        if (!site->self)
            return hz_err_set(HZ_ENOMEM, "node %s", site->name.data);
    }
    return 0;
}

static const struct hz_site *compare_sites; /* for qsort, which has no argument; main thread only */

static int by_type(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    int order = strcmp(compare_sites[x].type.data, compare_sites[y].type.data);
    return order != 0 ? order : (x > y) - (x < y);
}

static int group_by_type(struct hz_worker *worker)
{
    uint32_t count = worker->site_count;
    worker->type_nodes = calloc(count ? count : 1, sizeof(*worker->type_nodes));
    worker->types = calloc(count ? count : 1, sizeof(*worker->types));
    if (!worker->type_nodes || !worker->types)
        return hz_err_set(HZ_ENOMEM, "table of types");
    for (uint32_t i = 0; i < count; i++)
        worker->type_nodes[i] = i;
    compare_sites = worker->sites;
    qsort(worker->type_nodes, count, sizeof(*worker->type_nodes), by_type);
    for (uint32_t i = 0; i < count; i++) {
        hz_str type = worker->sites[worker->type_nodes[i]].type;
        struct hz_worker_type *last = worker->type_count ? &worker->types[worker->type_count - 1] : NULL;
        /* NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker): `last` was written when it was counted */
        if (!last || strcmp(last->type.data, type.data) != 0) {
            last = &worker->types[worker->type_count++];
            *last = (struct hz_worker_type){.type = type, .first = i};
        }
        last->count++;
    }
    return 0;
}

static void say_environment(struct hz_worker *worker)
{
    const struct hz_plan *plan = worker->plan;
    const char *name = hz_plan_chars(plan, plan->environment);
    for (uint32_t i = 0; i < plan->environment_count; i++, name += strlen(name) + 1) {
        bool found = hz_value_get(worker->env, name, strlen(name)) != NULL;
        hz_report_linef(worker->threads[0], 0, HZ_NO_NODE, found ? HZ_LEVEL_INFO : HZ_LEVEL_WARN, "\033[44m Variable \033[0m %s %s",
                found ? "\033[32m✓\033[0m" : "\033[33m⚠\033[0m", name);
    }
}

static void say_known_types(struct hz_worker *worker)
{
    unsigned known = 0;
    for (const struct hz_loaded *l = hz_loader_first(); l; l = l->next)
        known++;
    hz_report_linef(worker->threads[0], 0, HZ_NO_NODE, HZ_LEVEL_INFO, "Worker %s: Recibida lista de nodos (%u nodos)",
            worker->id_text, known);
    if (worker->port != 0)
        hz_report_linef(worker->threads[0], 0, HZ_NO_NODE, HZ_LEVEL_INFO, "[port: %u, flow: %s, isDev: %s]",
                (unsigned)worker->port, worker->workflow_id, worker->development ? "true" : "false");
}

/* JavaScript may ask for the time or for chance: what follows from it is not the same the next time. */
static void on_script(void *arg, uint32_t node, struct hz_plan_text property, const struct hz_plan_expr *expr)
{
    struct hz_worker *worker = arg;
    (void)property;
    (void)expr;
    worker->sites[node].pure = false;
}

int hz_assembly_load(struct hz_worker *worker)
{
    const struct hz_plan *plan = worker->plan;
    say_environment(worker);
    int r = hz_program_new(plan, &worker->program);
    if (r != 0)
        return r;
    worker->sites = calloc(plan->node_count ? plan->node_count : 1, sizeof(*worker->sites));
    if (!worker->sites)
        return hz_err_set(HZ_ENOMEM, "%u nodes", plan->node_count);
    for (uint32_t i = 0; i < plan->node_count; i++) {
        worker->site_count = i + 1;
        r = make_site(worker, i);
        if (r != 0)
            return r;
    }
    hz_plan_scripts(plan, on_script, worker);
    r = group_by_type(worker);
    if (r != 0)
        return r;
    /* Before the first execution, and seen by the other threads through the lock of the queue it comes from. */
    for (uint32_t i = 0; i < worker->thread_count; i++) {
        hz_branch_pool_fini(&worker->threads[i]->branches);
        hz_branch_pool_init(&worker->threads[i]->branches, plan->node_count);
    }
    for (uint32_t i = 0; i < worker->site_count; i++) {
        r = hz_executor_constants(worker, worker->threads[0], &worker->sites[i]);
        if (r != 0)
            return hz_err_set(r, "parameters of node %s", worker->sites[i].name.data);
    }
    say_known_types(worker);
    return 0;
}

void hz_assembly_unload(struct hz_worker *worker)
{
    for (uint32_t i = 0; i < worker->site_count; i++) {
        struct hz_site *site = &worker->sites[i];
        for (uint32_t p = 0; site->constant && p < site->plan->prop_count; p++)
            hz_value_unref(site->constant[p]);
        free(site->constant);
        free(site->self);
        pthread_mutex_destroy(&site->lock);
    }
    while (worker->listened) {
        struct hz_listened *next = worker->listened->next;
        free(worker->listened);
        worker->listened = next;
    }
    free(worker->sites);
    free(worker->types);
    free(worker->type_nodes);
    hz_program_free(&worker->program);
    free(worker->plan);
    worker->sites = NULL;
    worker->site_count = 0;
}
