/*
 * json_workers.c - workers as clients see them: one worker, the list, the dashboard. Only workers that are alive are in
 * the registry, and only those count.
 */
#include "json.h"

#include <stdlib.h>
#include <string.h>

enum { RECENT_MAX = 10 };
static const uint64_t high_memory = 104857600; /* bytes: the dashboard warns above */
static const int64_t recent_ms = INT64_C(86400000);

static uint64_t rss_of(const struct hz_worker_info *info)
{
    return info->rss_bytes ? info->rss_bytes : info->stats.v[HZ_STAT_rss_bytes];
}

static void add_memory(struct hz_json *json, const struct hz_worker_info *info)
{
    hz_json_open(json, '{');
    HZ_JSON_KEY(json, "rss");
    hz_json_uint(json, rss_of(info));
    HZ_JSON_KEY(json, "heapUsed");
    hz_json_uint(json, info->stats.v[HZ_STAT_heap_used_bytes]);
    HZ_JSON_KEY(json, "heapTotal");
    hz_json_uint(json, info->stats.v[HZ_STAT_heap_total_bytes]);
    HZ_JSON_KEY(json, "external");
    hz_json_uint(json, info->stats.v[HZ_STAT_external_bytes]);
    hz_json_close(json, '}');
}

static void add_usage(struct hz_json *json, const struct hz_worker_info *info, enum hz_worker_form form)
{
    HZ_JSON_KEY(json, "memoryUsage");
    if (form == HZ_WORKER_LISTED || form == HZ_WORKER_PAGE_LISTED) {
        hz_json_uint(json, rss_of(info));
        HZ_JSON_KEY(json, "memory");
    }
    add_memory(json, info);
    HZ_JSON_KEY(json, "cpuUsage");
    hz_json_open(json, '{');
    HZ_JSON_KEY(json, "user");
    hz_json_uint(json, info->stats.v[HZ_STAT_cpu_user_us]);
    HZ_JSON_KEY(json, "system");
    hz_json_uint(json, info->stats.v[HZ_STAT_cpu_system_us]);
    hz_json_close(json, '}');
}

/* What the house knows besides. */
static void add_state(struct hz_json *json, const struct hz_worker_info *info)
{
    HZ_JSON_KEY(json, "progress");
    hz_json_open(json, '{');
    HZ_JSON_KEY(json, "state");
    hz_json_text(json, hz_progress_name(info->progress));
    if (info->progress_wall_ms) {
        HZ_JSON_KEY(json, "since");
        hz_json_iso(json, info->progress_wall_ms);
    }
    if (info->progress_node[0]) {
        HZ_JSON_KEY(json, "node");
        hz_json_text(json, info->progress_node);
    }
    if (info->progress_text[0]) {
        HZ_JSON_KEY(json, "text");
        hz_json_text(json, info->progress_text);
    }
    hz_json_close(json, '}');
    if (info->warning[0]) {
        HZ_JSON_KEY(json, "warning");
        hz_json_text(json, info->warning);
    }
    HZ_JSON_KEY(json, "restarts");
    hz_json_uint(json, info->restarts);
    HZ_JSON_KEY(json, "inFlight");
    hz_json_uint(json, info->in_flight);
    HZ_JSON_KEY(json, "queued");
    hz_json_uint(json, info->queued);
}

void hz_json_worker(struct hz_json *json, const struct hz_worker_info *info, enum hz_worker_form form)
{
    hz_json_open(json, '{');
    HZ_JSON_KEY(json, "id");
    hz_json_text(json, info->id_text);
    HZ_JSON_KEY(json, "workflowId");
    hz_json_text(json, info->workflow_id);
    HZ_JSON_KEY(json, "processId");
    hz_json_int(json, info->pid);
    HZ_JSON_KEY(json, "port");
    hz_json_uint(json, info->port);
    HZ_JSON_KEY(json, "status");
    hz_json_text(json, hz_worker_status_name(info->status));
    HZ_JSON_KEY(json, "startTime");
    hz_json_iso(json, info->start_wall_ms);
    HZ_JSON_KEY(json, "lastActivity");
    hz_json_iso(json, info->activity_wall_ms);
    if (info->execution_text[0]) {
        HZ_JSON_KEY(json, "executionId");
        hz_json_text(json, info->execution_text);
    }
    if (info->version[0]) {
        HZ_JSON_KEY(json, "version");
        hz_json_text(json, info->version);
    }
    if (info->has_stats)
        add_usage(json, info, form);
    if (form == HZ_WORKER_LISTED || form == HZ_WORKER_OBJECT)
        add_state(json, info);
    hz_json_close(json, '}');
}

void hz_json_workers(struct hz_json *json, const struct hz_worker_info *infos, size_t count)
{
    hz_json_open(json, '{');
    HZ_JSON_KEY(json, "workers");
    hz_json_open(json, '[');
    for (size_t i = 0; i < count; i++)
        hz_json_worker(json, &infos[i], HZ_WORKER_LISTED);
    hz_json_close(json, ']');
    HZ_JSON_KEY(json, "next");
    hz_json_null(json);
    hz_json_close(json, '}');
}

/* ---- dashboard ---- */
static uint64_t add_overview(struct hz_json *json, const struct hz_worker_info *infos, size_t count)
{
    uint64_t by_status[HZ_WORKER_ERROR + 1] = {0}, memory = 0;
    for (size_t i = 0; i < count; i++) {
        by_status[infos[i].status]++;
        memory += infos[i].has_stats ? rss_of(&infos[i]) : 0;
    }
    HZ_JSON_KEY(json, "overview");
    hz_json_open(json, '{');
    HZ_JSON_KEY(json, "totalActive");
    hz_json_uint(json, count);
    HZ_JSON_KEY(json, "running");
    hz_json_uint(json, by_status[HZ_WORKER_RUNNING]);
    HZ_JSON_KEY(json, "errors");
    hz_json_uint(json, by_status[HZ_WORKER_ERROR]);
    HZ_JSON_KEY(json, "starting");
    hz_json_uint(json, by_status[HZ_WORKER_STARTING]);
    hz_json_close(json, '}');
    return memory;
}

static bool is_newer(const struct hz_worker_info *a, const struct hz_worker_info *b)
{
    return a->start_wall_ms != b->start_wall_ms ? a->start_wall_ms > b->start_wall_ms : a->sequence > b->sequence;
}

static void add_recent(struct hz_json *json, const struct hz_worker_info *infos, size_t count, int64_t now)
{
    const struct hz_worker_info *newest[RECENT_MAX] = {NULL};
    size_t kept = 0;
    uint64_t started = 0;
    for (size_t i = 0; i < count; i++) {
        if (infos[i].start_wall_ms <= now - recent_ms)
            continue;
        started++;
        size_t at = kept < RECENT_MAX ? kept++ : RECENT_MAX;
        if (at == RECENT_MAX && !is_newer(&infos[i], newest[RECENT_MAX - 1]))
            continue;
        at = HZ_MIN(at, (size_t)RECENT_MAX - 1);
        for (; at > 0 && is_newer(&infos[i], newest[at - 1]); at--)
            newest[at] = newest[at - 1];
        newest[at] = &infos[i];
    }
    HZ_JSON_KEY(json, "recentActivity");
    hz_json_open(json, '{');
    HZ_JSON_KEY(json, "workersStartedToday");
    hz_json_uint(json, started);
    HZ_JSON_KEY(json, "recentWorkers");
    hz_json_open(json, '[');
    for (size_t i = 0; i < kept; i++) {
        hz_json_open(json, '{');
        HZ_JSON_KEY(json, "id");
        hz_json_text(json, newest[i]->id_text);
        HZ_JSON_KEY(json, "workflowId");
        hz_json_text(json, newest[i]->workflow_id);
        HZ_JSON_KEY(json, "status");
        hz_json_text(json, hz_worker_status_name(newest[i]->status));
        HZ_JSON_KEY(json, "startTime");
        hz_json_iso(json, newest[i]->start_wall_ms);
        HZ_JSON_KEY(json, "port");
        hz_json_uint(json, newest[i]->port);
        if (newest[i]->has_stats) {
            HZ_JSON_KEY(json, "memoryUsage");
            hz_json_uint(json, rss_of(newest[i]));
        }
        hz_json_close(json, '}');
    }
    hz_json_close(json, ']');
    hz_json_close(json, '}');
}

static void add_performance(struct hz_json *json, const struct hz_worker_info *infos, size_t count, uint64_t memory)
{
    HZ_JSON_KEY(json, "performance");
    hz_json_open(json, '{');
    HZ_JSON_KEY(json, "totalMemoryUsage");
    hz_json_uint(json, memory);
    HZ_JSON_KEY(json, "averageMemoryPerWorker");
    hz_json_double(json, count ? (double)memory / (double)count : 0);
    HZ_JSON_KEY(json, "highMemoryWorkers");
    hz_json_open(json, '[');
    for (size_t i = 0; i < count; i++) {
        if (!infos[i].has_stats || rss_of(&infos[i]) <= high_memory)
            continue;
        hz_json_open(json, '{');
        HZ_JSON_KEY(json, "id");
        hz_json_text(json, infos[i].id_text);
        HZ_JSON_KEY(json, "workflowId");
        hz_json_text(json, infos[i].workflow_id);
        HZ_JSON_KEY(json, "memoryUsage");
        hz_json_uint(json, rss_of(&infos[i]));
        HZ_JSON_KEY(json, "port");
        hz_json_uint(json, infos[i].port);
        hz_json_close(json, '}');
    }
    hz_json_close(json, ']');
    hz_json_close(json, '}');
}

/* Workers of one workflow as a chain of indices, workflows in the order of their first worker. */
struct group {
    size_t first, last, count;
};
struct grouping {
    struct group *groups;
    size_t group_count, slot_count;
    size_t *next;  /* of a worker: the next one of its workflow, SIZE_MAX at the end */
    size_t *slots; /* hash table: group + 1, 0 empty */
};

static uint64_t hash_text(const char *text) /* FNV-1a, 64 bits */
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (; *text; text++)
        hash = (hash ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
    return hash;
}

static bool group_workers(struct grouping *g, const struct hz_worker_info *infos, size_t count)
{
    for (g->slot_count = 16; g->slot_count < 2 * count;)
        g->slot_count *= 2;
    g->groups = calloc(count + 1, sizeof *g->groups);
    g->next = calloc(count + 1, sizeof *g->next);
    g->slots = calloc(g->slot_count, sizeof *g->slots);
    if (!g->groups || !g->next || !g->slots)
        return false;
    for (size_t i = 0; i < count; i++) {
        size_t slot = hash_text(infos[i].workflow_id) & (g->slot_count - 1);
        while (g->slots[slot] &&
                strcmp(infos[g->groups[g->slots[slot] - 1].first].workflow_id, infos[i].workflow_id) != 0)
            slot = (slot + 1) & (g->slot_count - 1);
        if (!g->slots[slot]) {
            g->groups[g->group_count] = (struct group){i, i, 0};
            g->slots[slot] = ++g->group_count;
        }
        struct group *group = &g->groups[g->slots[slot] - 1];
        g->next[group->last] = i;
        g->next[i] = SIZE_MAX;
        group->last = i;
        group->count++;
    }
    return true;
}

static void add_distribution(struct hz_json *json, const struct hz_worker_info *infos, size_t count)
{
    struct grouping g = {0};
    bool ok = group_workers(&g, infos, count);
    HZ_JSON_KEY(json, "workflows");
    hz_json_open(json, '{');
    HZ_JSON_KEY(json, "distribution");
    hz_json_open(json, '{');
    for (size_t k = 0; ok && k < g.group_count; k++) {
        const char *id = infos[g.groups[k].first].workflow_id;
        hz_json_key(json, id, strlen(id));
        hz_json_open(json, '{');
        HZ_JSON_KEY(json, "workflowId");
        hz_json_text(json, id);
        HZ_JSON_KEY(json, "count");
        hz_json_uint(json, g.groups[k].count);
        HZ_JSON_KEY(json, "workers");
        hz_json_open(json, '[');
        for (size_t i = g.groups[k].first; i != SIZE_MAX; i = g.next[i]) {
            hz_json_open(json, '{');
            HZ_JSON_KEY(json, "id");
            hz_json_text(json, infos[i].id_text);
            HZ_JSON_KEY(json, "status");
            hz_json_text(json, hz_worker_status_name(infos[i].status));
            HZ_JSON_KEY(json, "port");
            hz_json_uint(json, infos[i].port);
            HZ_JSON_KEY(json, "startTime");
            hz_json_iso(json, infos[i].start_wall_ms);
            hz_json_close(json, '}');
        }
        hz_json_close(json, ']');
        hz_json_close(json, '}');
    }
    hz_json_close(json, '}');
    hz_json_close(json, '}');
    json->failed |= !ok;
    free(g.groups);
    free(g.next);
    free(g.slots);
}

void hz_json_dashboard(struct hz_json *json, const struct hz_worker_info *infos, size_t count, int64_t now_wall_ms)
{
    hz_json_open(json, '{');
    uint64_t memory = add_overview(json, infos, count);
    add_recent(json, infos, count, now_wall_ms);
    add_performance(json, infos, count, memory);
    add_distribution(json, infos, count);
    hz_json_close(json, '}');
}

char *hz_api_dashboard_json(size_t *ret_len)
{
    struct hz_worker_info *infos;
    size_t count;
    if (hz_registry_list(NULL, &infos, &count))
        return NULL;
    struct hz_json json = {0};
    hz_json_dashboard(&json, infos, count, hz_base_wall_ms());
    free(infos);
    return hz_json_take(&json, ret_len);
}
