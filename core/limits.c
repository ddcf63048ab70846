/* limits.c - see limits.h. */
#include "limits.h"

#include "cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <horizon/node.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define BUSY_MS 100u
#define IDLE_MS 1000u
#define GRACE_MS 1000u
#define WARN_PERCENT 80u
#define CALM_PERCENT 70u /* below it the next warning may come */
#define RUNAWAY_PERCENT 125u /* of memory: no grace */
#define PROCESSES_MOST 4096u

enum { MEMORY, CPU, WALL, FILES, PROCESSES, KINDS };

bool hz_limits_any(const struct hz_workflow *workflow)
{
    const struct hz_workflow_limits *l = &workflow->limits;
    return l->memory_bytes || l->cpu_ms || l->wall_ms || l->open_files || l->processes;
}

static void bound(struct hz_worker *w, int which, uint64_t value, const char *name)
{
    struct rlimit limit = {(rlim_t)value, (rlim_t)value};
    if (prlimit(w->info.pid, (__rlimit_resource_t)which, &limit, NULL))
        HZ_LOG(DEBUG, "worker %s: no hard bound for %s: %s", w->info.id_text, name, hz_err_text(-errno));
}

static void set_bounds(struct hz_worker *w)
{
    const struct hz_workflow_limits *l = &w->workflow->limits;
    if (l->open_files)
        bound(w, RLIMIT_NOFILE, l->open_files, "open files");
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) /* whose shadow counts as data */
    /* What is asked for and not touched counts here and not as resident, hence the room. JavaScriptCore reserves 70 GB. */
    if (l->memory_bytes && !w->workflow->plan->needs_script)
        bound(w, RLIMIT_DATA, 2 * l->memory_bytes + (UINT64_C(64) << 20), "data");
#endif
}

/* ---- the kernel's figures ---- */

static uint64_t count_files(int32_t pid)
{
    char path[64];
    struct stat info;
    uint64_t count = 0;
    snprintf(path, sizeof path, "/proc/%d/fd", pid);
    if (stat(path, &info) == 0 && info.st_size > 0)
        return (uint64_t)info.st_size; /* Linux 6.2 and later count for us */
    DIR *dir = opendir(path);
    for (const struct dirent *entry; dir && (entry = readdir(dir)) != NULL;)
        count += entry->d_name[0] != '.';
    if (dir)
        closedir(dir);
    return count;
}

/* The process and what is below it, each process once; bounded. */
static unsigned count_processes(int32_t pid, unsigned room)
{
    char path[300];
    unsigned count = 1;
    snprintf(path, sizeof path, "/proc/%d/task", pid);
    DIR *dir = opendir(path);
    for (const struct dirent *entry; dir && (entry = readdir(dir)) != NULL;) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "/proc/%d/task/%.32s/children", pid, entry->d_name);
        FILE *file = fopen(path, "re");
        int child;
        while (file && count < room && fscanf(file, "%d", &child) == 1)
            count += count_processes(child, room - count);
        if (file)
            fclose(file);
    }
    if (dir)
        closedir(dir);
    return count;
}

static uint64_t limit_of(const struct hz_workflow_limits *l, unsigned kind)
{
    const uint64_t limits[KINDS] = {l->memory_bytes, l->cpu_ms, l->wall_ms, l->open_files, l->processes};
    return limits[kind];
}

static uint64_t used_of(struct hz_worker *w, unsigned kind)
{
    switch (kind) {
    case MEMORY:
        w->info.rss_bytes = hz_sampler_resident(w);
        return w->info.rss_bytes;
    case CPU:
        return HZ_MAX(hz_sampler_cpu_ns(w), w->grouped ? hz_cgroup_cpu_ns(&w->info.id) : 0) / 1000000u; /* a group counts what it started, too */
    case WALL:
        return (hz_base_now_ns() - w->flow_ns) / 1000000u;
    case FILES:
        return count_files(w->info.pid);
    default:
        return count_processes(w->info.pid, PROCESSES_MOST);
    }
}

static void say(char *text, size_t size, unsigned kind, uint64_t used, uint64_t limit)
{
    static const char *const names[KINDS] = {"memory", "CPU time", "wall clock", "open files", "processes"};
    if (kind == MEMORY)
        snprintf(text, size, "%s: %.1f of %.1f MB", names[kind], (double)used / 1048576.0, (double)limit / 1048576.0);
    else if (kind == CPU || kind == WALL)
        snprintf(text, size, "%s: %.1f of %.1f s", names[kind], (double)used / 1e3, (double)limit / 1e3);
    else
        snprintf(text, size, "%s: %" PRIu64 " of %" PRIu64, names[kind], used, limit);
}

/* ---- what is done about it ---- */

static void on_grace(struct hz_timer *timer)
{
    hz_worker_kill(HZ_CONTAINER_OF(timer, struct hz_worker, stop_timer), HZ_INTENT_LIMIT, 0);
}

static void reach(struct hz_worker *w, unsigned kind, const char *text)
{
    snprintf(w->limit_text, sizeof w->limit_text, "limit reached, %s allowed by workflow %s", text, w->info.workflow_id);
    w->limit_memory = kind == MEMORY;
    HZ_LOG(WARN, "worker %s: %s; it is asked to end", w->info.id_text, w->limit_text);
    hz_supervisor_emit(HZ_EVENT_WORKER_LIMIT, &w->info, w->limit_text);
    hz_worker_stop(w, HZ_INTENT_LIMIT, "limit", NULL, NULL);
    if (!w->killed)
        hz_timer_after(hz_shard_timers(w->yard->shard), &w->stop_timer, HZ_MIN(GRACE_MS, w->yard->config->stop_grace_ms), on_grace);
}

static void warn(struct hz_worker *w, unsigned kind, const char *text)
{
    w->limit_warned |= 1u << kind;
    snprintf(w->info.warning, sizeof w->info.warning, "near its limit, %s", text);
    HZ_LOG(WARN, "worker %s of %s is %s", w->info.id_text, w->info.workflow_id, w->info.warning);
    hz_supervisor_emit(HZ_EVENT_WORKER_LIMIT, &w->info, w->info.warning);
    hz_worker_publish(w);
}

static void check(struct hz_worker *w, unsigned kind)
{
    char text[128];
    uint64_t limit = limit_of(&w->workflow->limits, kind), used = limit ? used_of(w, kind) : 0;
    if (!limit)
        return;
    uint64_t percent = used / limit >= 1000 ? 100000 : used * 100 / limit;
    say(text, sizeof text, kind, used, limit);
    if (w->stopping) {
        if (kind == MEMORY && w->intent == HZ_INTENT_LIMIT && percent >= RUNAWAY_PERCENT)
            hz_worker_kill(w, HZ_INTENT_LIMIT, 0);
    } else if (percent >= 100) {
        reach(w, kind, text);
    } else if (percent >= WARN_PERCENT && !(w->limit_warned & 1u << kind)) {
        warn(w, kind, text);
    } else if (percent < CALM_PERCENT && (w->limit_warned & 1u << kind)) {
        w->limit_warned &= ~(1u << kind);
        if (!w->limit_warned) {
            w->info.warning[0] = 0;
            hz_worker_publish(w);
        }
    }
}

static void on_look(struct hz_timer *timer)
{
    struct hz_worker *w = HZ_CONTAINER_OF(timer, struct hz_worker, limit_timer);
    HZ_CHECK_OBJ(w, HZ_WORKER_MAGIC);
    if (w->buried || w->reaped || w->info.pid <= 0)
        return;
    for (unsigned kind = 0; kind < KINDS && !w->killed; kind++)
        check(w, kind);
    if (!w->killed)
        hz_timer_after(hz_shard_timers(w->yard->shard), timer, hz_sampler_busy(w) ? BUSY_MS : IDLE_MS, on_look);
}

/* Only where it bounds something: moving a process costs a grace period of the kernel. */
void hz_limits_group(struct hz_worker *w)
{
    if (w->grouped || !w->workflow || (!hz_limits_any(w->workflow) && !(w->workflow->caps & HZ_CAP_EXEC)))
        return;
    w->grouped = hz_cgroup_make(&w->info.id, w->workflow->limits.memory_bytes, w->workflow->limits.processes);
    if (w->grouped && w->info.pid > 0)
        (void)hz_cgroup_move(&w->info.id, w->info.pid);
}

void hz_limits_begin(struct hz_worker *w)
{
    if (!w->workflow || w->info.pid <= 0 || !hz_limits_any(w->workflow))
        return;
    set_bounds(w);
    w->info.memory_limit = w->workflow->limits.memory_bytes;
    hz_timer_after(hz_shard_timers(w->yard->shard), &w->limit_timer, BUSY_MS, on_look);
}

void hz_limits_end(struct hz_worker *w)
{
    hz_timer_cancel(hz_shard_timers(w->yard->shard), &w->limit_timer);
}
