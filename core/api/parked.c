/* parked.c - the operations on parked workflows. Shard's thread. */
#include "internal.h"

#include "core/parked.h"

#include "shm/log.h"

void hz_api_parked_list(hz_api_done_fn *done, void *arg)
{
    json_t *table = hz_parked_list(), *list = json_array(), *entry;
    const char *id;
    json_object_foreach(table, id, entry) {
        json_t *row = json_pack("{s:s}", "workflowId", id);
        (void)json_object_update(row, entry);
        (void)json_array_append_new(list, row);
    }
    json_t *answer = table && json_array_size(list) == json_object_size(table) ? json_pack("{s:O, s:n}", "parked", list, "next") : NULL;
    json_decref(list);
    json_decref(table);
    hz_api_answer_value(done, arg, 200, answer);
}

void hz_api_workflows_release(const char *id, hz_api_done_fn *done, void *arg)
{
    if (!id || !hz_parked_release(id)) {
        hz_api_fail(done, arg, 404, "this workflow is not parked");
        return;
    }
    HZ_LOG(INFO, "workflow %s was released", id);
    hz_api_answer_value(done, arg, 200, json_pack("{s:s, s:b}", "workflowId", id, "released", 1));
}
