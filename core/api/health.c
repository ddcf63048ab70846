/* health.c - is the server there; tells nothing else, because every page may ask. */
#include "internal.h"

#include "core/scheduler.h"

#include <stdlib.h>
#include <string.h>

static int64_t started_wall_ms;

void hz_health_init(void)
{
    started_wall_ms = hz_base_wall_ms();
}

void hz_api_health(hz_api_done_fn *done, void *arg)
{
    struct hz_json json = {0};
    hz_json_open(&json, '{');
    HZ_JSON_KEY(&json, "status");
    hz_json_text(&json, "OK");
    HZ_JSON_KEY(&json, "timestamp");
    hz_json_iso(&json, hz_base_wall_ms());
    hz_json_close(&json, '}');
    hz_api_answer(done, arg, 200, &json);
}

/* The process answers: that is all. */
void hz_api_live(hz_api_done_fn *done, void *arg)
{
    struct hz_json json = {0};
    hz_json_open(&json, '{');
    HZ_JSON_KEY(&json, "status");
    hz_json_text(&json, "alive");
    hz_json_close(&json, '}');
    hz_api_answer(done, arg, 200, &json);
}

static void add_count(struct hz_json *json, const char *key, uint64_t count)
{
    hz_json_key(json, key, strlen(key));
    hz_json_uint(json, count);
}

/* Recovery is complete before any connection is taken; what can still be wrong is the disk. */
void hz_api_ready(hz_api_done_fn *done, void *arg)
{
    const struct hz_recovery *recovery = hz_scheduler_recovery();
    bool degraded = hz_store_degraded(), ready = !degraded && !recovery->failed;
    struct hz_json json = {0};
    hz_json_open(&json, '{');
    HZ_JSON_KEY(&json, "status");
    hz_json_text(&json, ready ? "ready" : "degraded");
    HZ_JSON_KEY(&json, "store");
    hz_json_text(&json, degraded ? "it cannot write: executions that need the disk are refused" : "ok");
    add_count(&json, "admitted", hz_scheduler_admitted());
    HZ_JSON_KEY(&json, "recovery");
    hz_json_open(&json, '{');
    HZ_JSON_KEY(&json, "complete");
    hz_json_bool(&json, !recovery->failed);
    add_count(&json, "found", recovery->found);
    add_count(&json, "resumed", recovery->resumed);
    add_count(&json, "restarted", recovery->restarted);
    add_count(&json, "interrupted", recovery->interrupted);
    add_count(&json, "activations", recovery->activations);
    add_count(&json, "microseconds", recovery->took_us);
    hz_json_close(&json, '}');
    hz_json_close(&json, '}');
    hz_api_answer(done, arg, ready ? 200 : 503, &json);
}

/* For workers: what `system:health` answers. */
void hz_health_worker(struct hz_json *json)
{
    struct hz_worker_info *infos = NULL;
    size_t count = 0;
    int64_t now = hz_base_wall_ms();
    if (hz_registry_list(NULL, &infos, &count))
        count = 0;
    free(infos);
    hz_json_open(json, '{');
    HZ_JSON_KEY(json, "success");
    hz_json_bool(json, true);
    HZ_JSON_KEY(json, "status");
    hz_json_text(json, "OK");
    HZ_JSON_KEY(json, "timestamp");
    hz_json_iso(json, now);
    HZ_JSON_KEY(json, "uptime");
    hz_json_int(json, (now - started_wall_ms) / 1000);
    HZ_JSON_KEY(json, "workers");
    hz_json_uint(json, count);
    hz_json_close(json, '}');
}
