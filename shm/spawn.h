/*
 * spawn.h - what manager and zygote say to each other over their SOCK_SEQPACKET pair, one datagram each way.
 * A request carries three descriptors (SCM_RIGHTS): the segment, the worker's doorbell, the manager's doorbell.
 */
#ifndef HZ_SHM_SPAWN_H
#define HZ_SHM_SPAWN_H

#include "segment.h"

#define HZ_SPAWN_MAGIC 0x485a5350u
enum { HZ_SPAWN_SANDBOX_OFF = 1, HZ_SPAWN_SANDBOX_REQUIRE = 2, HZ_SPAWN_SPARE = 4, HZ_SPAWN_GROUPED = 8 };
/* HZ_SPAWN_GROUPED: the worker moves into the control group worker-ID of the folder that this variable of the zygote names. */
#define HZ_SPAWN_GROUP_VARIABLE "HORIZON_CGROUP_BASE"
#define HZ_SPAWN_GROUP_PREFIX "worker-"

struct hz_spawn_request {
    uint32_t magic, version; /* HZ_LAYOUT_VERSION */
    uint64_t request;
    uint32_t threads, flags, caps, manager_pid;
    struct hz_geometry geometry;
    uint64_t memory_limit_bytes; /* RLIMIT_DATA for workers without JavaScript; 0 none */
    uint32_t open_files, uid; /* uid: user and group it becomes before any node's code; 0: stays */
    uint32_t processes, tasks; /* processes: with exec, beyond its own threads, 0 default; tasks: bound of its user's threads and processes, 0 none */
    struct hz_uuid worker_id;
};
struct hz_spawn_reply {
    uint32_t magic, version;
    uint64_t request;
    int32_t pid;   /* > 0, or -errno */
    uint32_t microseconds;
};
/* The zygote's first datagram: it is there. */
struct hz_spawn_hello {
    uint32_t magic, version, pid, nodes;
};

#endif
