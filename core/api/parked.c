/* parked.c - the operations on parked workflows. Shard's thread. */
#include "internal.h"

#include "core/parked.h"

#include "shm/log.h"

void hz_api_parked_list(hz_api_done_fn *done, void *arg)
{
    json_t *list = hz_parked_list();
    json_t *answer = list ? json_pack("{s:o}", "parked", list) : NULL;
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
