/*
 * worker_assign.c - what a worker gets with its flow: name, port, environment values, plan, all as records in its command ring. Values
 * of the environment leave the manager here and only for names the flow lists. On the worker's shard.
 */
#include "worker.h"

#include "secrets.h"

#include "core/flow/plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct hz_geometry hz_worker_geometry(const struct hz_workflow *workflow)
{
    uint32_t lanes = workflow ? HZ_MAX(1u, HZ_MIN(workflow->threads, HZ_MAX_LANES)) : 1;
    if (!workflow || workflow->segment_bytes == 0)
        return hz_segment_geometry(lanes);
    return hz_segment_geometry_for(lanes, workflow->segment_bytes);
}

/* NAME NUL value NUL ... of the pairs. */
static char *pack_env(char *const *plain, char *const *secret, size_t *ret_len)
{
    char *const *const lists[] = {plain, secret};
    size_t len = 0, at = 0;
    for (size_t k = 0; k < HZ_COUNT_OF(lists); k++)
        for (size_t i = 0; lists[k] && lists[k][i]; i++)
            len += strlen(lists[k][i]) + 1;
    char *packed = malloc(len + 1);
    if (!packed)
        return NULL;
    for (size_t k = 0; k < HZ_COUNT_OF(lists); k++)
        for (size_t i = 0; lists[k] && lists[k][i]; i++) {
            size_t n = strlen(lists[k][i]) + 1;
            memcpy(packed + at, lists[k][i], n);
            at += n;
        }
    *ret_len = len;
    return packed;
}

static uint32_t flags_of(const struct hz_worker *w, bool listens)
{
    uint32_t flags = 0;
    if (w->purpose == HZ_PURPOSE_RESIDENT)
        flags |= HZ_WORKER_RESIDENT;
    if (w->yard->config->development)
        flags |= HZ_WORKER_DEVELOPMENT;
    if (w->yard->config->tracking)
        flags |= HZ_WORKER_TRACKING;
    if (w->workflow->durability == HZ_DURABILITY_CHECKPOINT)
        flags |= HZ_WORKER_CHECKPOINTS;
    if (w->workflow->node_stats)
        flags |= HZ_WORKER_NODE_STATS;
    if (listens)
        flags |= HZ_WORKER_LISTENS;
    return flags;
}

int hz_worker_assign(struct hz_worker *w, bool listens)
{
    const struct hz_workflow *workflow = w->workflow;
    size_t env_len;
    char who[160];
    snprintf(who, sizeof who, "workflow %.127s", workflow->id);
    int opened = w->secrets ? 0 : hz_secrets_open(workflow->secrets, who, &w->secrets);
    if (opened)
        return opened;
    char *env = pack_env(workflow->env, w->secrets ? w->secrets->pairs : NULL, &env_len);
    if (!env)
        return hz_err_set(HZ_ENOMEM, "worker %s", w->info.id_text);
    struct hz_segment_header *header = w->link.segment.header;
    snprintf(header->workflow_id, sizeof header->workflow_id, "%s", workflow->id);
    atomic_store_explicit(&header->port, w->info.port, memory_order_relaxed);
    struct hz_msg_assign assign = {.worker_id = w->info.id, .flags = flags_of(w, listens), .port = w->info.port,
            .server_port = hz_supervisor_server_port(), .worker_id_len = (uint32_t)strlen(w->info.id_text),
            .workflow_id_len = (uint32_t)strlen(workflow->id), .env_len = (uint32_t)env_len, .start_wall_ms = w->info.start_wall_ms};
    struct hz_part assign_parts[] = {{&assign, sizeof assign}, {w->info.id_text, assign.worker_id_len}, {workflow->id, assign.workflow_id_len},
            {env, env_len}};
    int err = hz_worker_send(w, HZ_MSG_ASSIGN, assign_parts, HZ_COUNT_OF(assign_parts));
    explicit_bzero(env, env_len);
    free(env);
    if (!err) {
        struct hz_msg_plan plan = {.plan_len = workflow->plan->size, .paths_len = workflow->paths_len};
        struct hz_part plan_parts[] = {{&plan, sizeof plan}, {workflow->plan, workflow->plan->size}, {workflow->paths, workflow->paths_len}};
        err = hz_worker_send(w, HZ_MSG_PLAN, plan_parts, HZ_COUNT_OF(plan_parts));
    }
    return err ? hz_err_set(err, "worker %s: its flow cannot be sent", w->info.id_text) : 0;
}
