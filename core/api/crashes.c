/* crashes.c - the operations on crash reports: list and one, as the store keeps them. Shard's thread. */
#include "internal.h"

#include "core/flow/json_text.h"
#include "core/store.h"

#include "shm/err.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

void hz_json_crash(struct hz_json *json, const struct hz_store_crash *crash)
{
    char id[HZ_UUID_TEXT];
    hz_uuid_format(&crash->id, id);
    hz_json_open(json, '{');
    HZ_JSON_KEY(json, "id");
    hz_json_text(json, id);
    HZ_JSON_KEY(json, "time");
    hz_json_iso(json, crash->at_wall_ms);
    HZ_JSON_KEY(json, "workflowId");
    hz_json_text(json, crash->workflow_id);
    HZ_JSON_KEY(json, "kind");
    hz_json_text(json, crash->kind);
    HZ_JSON_KEY(json, "node");
    if (crash->node)
        hz_json_text(json, crash->node);
    else
        hz_json_null(json);
    HZ_JSON_KEY(json, "workerId");
    hz_json_text(json, crash->worker_id);
    HZ_JSON_KEY(json, "executionId");
    hz_uuid_format(&crash->execution, id);
    if (hz_uuid_is_nil(&crash->execution))
        hz_json_null(json);
    else
        hz_json_text(json, id);
    HZ_JSON_KEY(json, "signature");
    hz_json_text(json, crash->signature);
    HZ_JSON_KEY(json, "seenBefore");
    hz_json_uint(json, crash->seen_before);
    HZ_JSON_KEY(json, "text");
    hz_json_text(json, crash->report ? crash->report : "");
    hz_json_close(json, '}');
}

/* Of the newest ones, the one whose id begins so. HZ_ENOTFOUND, HZ_EEXISTS: several. */
static int find_beginning(const char *id, struct hz_uuid *ret)
{
    enum { LOOKED_AT = 1000 };
    struct hz_store_crash *list;
    size_t count, found = 0, len = strlen(id);
    if (len < 4 || len >= HZ_UUID_TEXT)
        return HZ_ENOTFOUND;
    int err = hz_store_crash_list(NULL, 0, LOOKED_AT, &list, &count);
    if (err)
        return err;
    for (size_t i = 0; i < count; i++) {
        char text[HZ_UUID_TEXT];
        hz_uuid_format(&list[i].id, text);
        if (strncasecmp(text, id, len) == 0) {
            *ret = list[i].id;
            found++;
        }
        hz_store_crash_fini(&list[i]);
    }
    free(list);
    return found == 0 ? HZ_ENOTFOUND : found > 1 ? HZ_EEXISTS : 0;
}

void hz_api_crashes_get(const char *id, hz_api_done_fn *done, void *arg)
{
    struct hz_store_crash crash;
    struct hz_uuid uuid;
    int err = !id ? HZ_ENOTFOUND : hz_uuid_parse(id, strlen(id), &uuid) ? 0 : find_beginning(id, &uuid);
    if (!err)
        err = hz_store_crash_get(&uuid, &crash);
    if (err) {
        hz_api_fail(done, arg, err == HZ_ENOTFOUND ? 404 : err == HZ_EEXISTS ? 409 : 500,
                err == HZ_ENOTFOUND ? "there is no crash report of this id" : err == HZ_EEXISTS ? "several crash reports begin so" : hz_err_last());
        return;
    }
    struct hz_json_text_error error;
    json_t *report = hz_json_text_parse(crash.report, strlen(crash.report), 100, false, &error);
    if (report)
        (void)json_object_set_new(report, "seenBefore", json_integer((json_int_t)crash.seen_before));
    hz_store_crash_fini(&crash);
    hz_api_answer_value(done, arg, 200, report);
}
