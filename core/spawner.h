/*
 * spawner.h - processes for workers: zygotes started on first need by the main thread, requests from the shards by mail, answers back
 * to the shard. Knows no worker: an id, a geometry, three descriptors in; a pid out.
 */
#ifndef HZ_CORE_SPAWNER_H
#define HZ_CORE_SPAWNER_H

#include "shard.h"
#include "shm/spawn.h"

struct hz_config;
/* Main thread, after hz_shard_init() and hz_children_init(). config must outlive the spawner. */
HZ_MUST_CHECK int hz_spawner_init(const struct hz_config *config);
/* Ends the zygotes. Main thread. */
void hz_spawner_fini(void);

struct hz_spawn_job;
#define HZ_SPAWNER_KINDS 3u /* enum hz_zygote_kind, seen from below: base, net, js */
/* On the shard that asked. pid > 0: a child of ours, already noted as ours; it may be dead by now. Else a negative code, and
 * HZ_ECLOSED means the zygote died meanwhile: asking again is worth it. */
typedef void hz_spawned_fn(void *arg, int32_t pid, const char *error);
/* Asks for a process. The descriptors (segment, worker's bell, manager's bell) must stay open until fn is called. Calls fn exactly
 * once, later. Any shard. 0 or HZ_ENOMEM (fn is not called). */
HZ_MUST_CHECK int hz_spawner_ask(unsigned kind, const struct hz_spawn_request *request, const int fds[3], hz_spawned_fn *fn,
        void *arg);
uint64_t hz_spawner_zygote_starts(void);

#endif
