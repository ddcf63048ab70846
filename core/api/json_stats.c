/* json_stats.c - the figures over all workers that are listed (`workers:stats`). Any registered thread. */
#include "json.h"

#include <string.h>

static void add_count(struct hz_json *json, const char *key, const struct hz_worker_info *infos, size_t count, enum hz_worker_status status)
{
    uint64_t found = 0;
    for (size_t i = 0; i < count; i++)
        found += infos[i].status == status;
    hz_json_key(json, key, strlen(key));
    hz_json_uint(json, found);
}

static void add_distribution(struct hz_json *json, const struct hz_worker_info *infos, size_t count)
{
    json_t *counts = json_object();
    for (size_t i = 0; i < count; i++) {
        json_int_t before = json_integer_value(json_object_get(counts, infos[i].workflow_id));
        json->failed |= json_object_set_new(counts, infos[i].workflow_id, json_integer(before + 1)) != 0;
    }
    HZ_JSON_KEY(json, "workflowDistribution");
    hz_json_value(json, counts);
    json_decref(counts);
}

void hz_json_stats(struct hz_json *json, const struct hz_worker_info *infos, size_t count)
{
    uint64_t memory = 0;
    int64_t oldest = INT64_MAX;
    for (size_t i = 0; i < count; i++) {
        if (infos[i].has_stats)
            memory += infos[i].rss_bytes ? infos[i].rss_bytes : infos[i].stats.v[HZ_STAT_rss_bytes];
        oldest = HZ_MIN(oldest, infos[i].start_wall_ms);
    }
    hz_json_open(json, '{');
    HZ_JSON_KEY(json, "totalWorkers");
    hz_json_uint(json, count);
    add_count(json, "runningWorkers", infos, count, HZ_WORKER_RUNNING);
    add_count(json, "startingWorkers", infos, count, HZ_WORKER_STARTING);
    add_count(json, "stoppingWorkers", infos, count, HZ_WORKER_STOPPING);
    add_count(json, "errorWorkers", infos, count, HZ_WORKER_ERROR);
    HZ_JSON_KEY(json, "totalMemoryUsage");
    hz_json_uint(json, memory);
    HZ_JSON_KEY(json, "averageMemoryUsage");
    hz_json_double(json, count ? (double)memory / (double)count : 0);
    HZ_JSON_KEY(json, "usedPorts");
    hz_json_open(json, '[');
    for (size_t i = 0; i < count; i++)
        if (infos[i].port)
            hz_json_uint(json, infos[i].port);
    hz_json_close(json, ']');
    HZ_JSON_KEY(json, "oldestWorker");
    if (count)
        hz_json_int(json, oldest);
    else
        hz_json_null(json);
    add_distribution(json, infos, count);
    hz_json_close(json, '}');
}
