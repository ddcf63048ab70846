/*
 * cgroup.h - a control group (version 2) for each worker whose workflow has limits or may start programs, where the manager has a tree of
 * its own to write in; elsewhere nothing of this happens and limits.h works by rlimits and sampling alone. Found by the main thread before
 * the shards run; a worker's group belongs to its shard.
 */
#ifndef HZ_CORE_CGROUP_H
#define HZ_CORE_CGROUP_H

#include "shm/base.h"

struct hz_cgroup_place {
    bool on, memory, pids; /* which controllers its groups have */
    char base[512];        /* where the workers' groups lie */
    char text[400];        /* one line for people: what is used, or why nothing is */
};
/*
 * hz_cgroup_find - what there is, without touching it. Any thread.
 *
 * setting   NULL or "auto": the manager's own group, if it may write it and nobody else is in it; "off"; or the path of a group.
 * Returns 0; HZ_EREFUSED: a path was given that cannot be used, hz_err_last() says why.
 */
HZ_MUST_CHECK int hz_cgroup_find(const char *setting, struct hz_cgroup_place *ret);
/* Moves the manager to a leaf, passes the controllers on; alone: takes empty groups of a former manager away. 0 or as above. Main
 * thread. */
HZ_MUST_CHECK int hz_cgroup_init(const char *setting, bool alone);
void hz_cgroup_fini(void);

struct hz_cgroup_end {
    bool killed, own;    /* by the kernel for want of memory; at the bound of this group, not of one above or of the machine */
    uint64_t peak_bytes; /* 0 unknown */
};
/* The folder of the groups, for whoever starts workers; NULL: there are none. */
const char *hz_cgroup_base(void);
/* A group for this worker: bounds a quarter above the limit of memory, where sampling would end it at once, and above the one of
 * processes; 0: none, 64. False: there is none, or it could not be made (said once). Some tens of microseconds. */
bool hz_cgroup_make(const struct hz_uuid *id, uint64_t memory_bytes, uint32_t processes);
/* Moves a process that runs already; the others move themselves before they run anybody's code. Waits for a grace period of the kernel. */
bool hz_cgroup_move(const struct hz_uuid *id, int32_t pid);
uint64_t hz_cgroup_cpu_ns(const struct hz_uuid *id); /* of all that ever ran in it; 0 unknown */
/* After the worker's death: what its group counted; whoever is left in it is killed, and the group goes. At most 10 ms, and those only if
 * somebody was left. */
void hz_cgroup_leave(const struct hz_uuid *id, struct hz_cgroup_end *ret);
/* The number behind `key` in lines of "key number"; 0 if it is not there. */
uint64_t hz_cgroup_number(const char *text, const char *key);

#endif
