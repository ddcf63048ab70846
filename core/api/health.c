/* health.c - is the server there; tells nothing else, because every page may ask. */
#include "internal.h"

#include <stdlib.h>

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
