/* registry.h - workers by id, readable from any thread without waiting (RCU hash, liburcu memb). */
#ifndef HZ_CORE_REGISTRY_H
#define HZ_CORE_REGISTRY_H

#include "progress.h"

enum hz_worker_status { HZ_WORKER_STARTING, HZ_WORKER_RUNNING, HZ_WORKER_STOPPING, HZ_WORKER_STOPPED, HZ_WORKER_ERROR };
const char *hz_worker_status_name(enum hz_worker_status status); /* "starting" ... */

/* What everybody may know of a worker: a copy, replaced as a whole. */
struct hz_worker_info {
    struct hz_uuid id;
    char id_text[HZ_UUID_TEXT], execution_text[HZ_UUID_TEXT]; /* execution_text: "" if none */
    char workflow_id[128], version[32];
    uint64_t sequence; /* creation order */
    uint32_t shard, port, restarts, threads;
    int32_t pid;
    enum hz_worker_status status;
    int64_t start_wall_ms, activity_wall_ms;
    bool has_stats, resident;
    struct hz_stats stats; /* lanes added up, as last sampled */
    uint64_t rss_bytes;    /* the kernel's word when sampled, else the worker's */
    uint64_t memory_limit; /* its workflow's, bytes; 0 none */
    uint32_t in_flight, queued;
    enum hz_progress progress;
    int64_t progress_wall_ms;  /* since when; 0 unknown */
    char progress_node[64], progress_text[256]; /* blocked or stuck: where, and a sentence; "" none */
    char warning[160];         /* near a limit: which, and how near; "" none */
    char segment[HZ_SEGMENT_NAME];
};

HZ_MUST_CHECK int hz_registry_init(void);
void hz_registry_fini(void);
/* Owner's shard only: publish a new or changed worker, or forget it. Cost: one allocation, old copies freed after a grace period. */
HZ_MUST_CHECK int hz_registry_put(const struct hz_worker_info *info);
void hz_registry_remove(const struct hz_uuid *id);
/* Any registered thread. Copies out; false if unknown. */
bool hz_registry_get(const struct hz_uuid *id, struct hz_worker_info *ret_info);
/* Finds by full id or a unique prefix of at least 4 characters: 1 found, 0 none, 2 several. */
int hz_registry_find(const char *text, struct hz_worker_info *ret_info);
/* All, in creation order: malloc'ed array, caller frees. workflow_id: NULL for all. HZ_ENOMEM. */
HZ_MUST_CHECK int hz_registry_list(const char *workflow_id, struct hz_worker_info **ret_infos, size_t *ret_count);
/* Calls fn for each, in no order, without copies; info: valid during the call, which must be short. Any registered thread. */
void hz_registry_visit(void (*fn)(const struct hz_worker_info *info, void *arg), void *arg);

#endif
