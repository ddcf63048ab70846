/*
 * watch.h - figures of living workers, read from their segments without asking anybody: what `top` shows. The segments
 * are mapped read-only and nothing in them is believed beyond being shown. One thread.
 */
#ifndef HZ_CORE_CLI_WATCH_H
#define HZ_CORE_CLI_WATCH_H

#include "shm/shm.h"

struct hz_watched {
    char id[HZ_UUID_TEXT], workflow_id[128];
    uint32_t pid, port, lanes, progress; /* progress: enum hz_progress, as the manager said last */
    char progress_node[25];
    int64_t created_wall_ms;
    struct hz_stats stats;                                 /* lanes added up */
    struct hz_stats by_lane[HZ_MAX_LANES];
    uint64_t rss_bytes;                                    /* the kernel's word, else the worker's */
    double cpu_percent, executions_per_s, node_runs_per_s; /* since the last look; 0 at the first */
    uint64_t seen_ns, cpu_ns;
};
struct hz_watch { /* zeroed: nothing seen yet */
    struct hz_watched *list;
    size_t count;
    int guarded; /* the handler is installed */
};

/* Looks at all segments of `instance` (NULL: of any). 0 or a negative code with hz_err_last(). Spares are left out. */
HZ_MUST_CHECK int hz_watch_look(struct hz_watch *watch, const char *instance);
void hz_watch_fini(struct hz_watch *watch);

#endif
