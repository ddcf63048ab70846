/* watch.c - see watch.h. */
#include "watch.h"

#include "shm/guard.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct looking {
    struct hz_watched *list;
    size_t count, capacity;
    bool failed;
};

static size_t read_small(const char *path, char *text, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, size - 1);
    if (fd >= 0)
        close(fd);
    text[n < 0 ? 0 : n] = 0;
    return n < 0 ? 0 : (size_t)n;
}

/* Memory and CPU time as the kernel counts them; false if the process is gone or is no worker. Fields as in proc(5): 3
 * state, 14 and 15 CPU time in ticks, 24 resident pages. */
static bool ask_kernel(struct hz_watched *one)
{
    char path[64], text[1024], *rest = NULL;
    uint64_t fields[25] = {0};
    snprintf(path, sizeof path, "/proc/%u/stat", (unsigned)one->pid);
    if (!read_small(path, text, sizeof text))
        return false;
    char *end = strrchr(text, ')'); /* the name may hold anything */
    if (!end || !strstr(text, "horizon"))
        return false;
    unsigned field = 3;
    for (char *word = strtok_r(end + 1, " ", &rest); word && field < HZ_COUNT_OF(fields);
            word = strtok_r(NULL, " ", &rest))
        fields[field++] = word[0] == 'Z' ? UINT64_MAX : strtoull(word, NULL, 10);
    if (field < HZ_COUNT_OF(fields) || fields[3] == UINT64_MAX)
        return false;
    one->rss_bytes = fields[24] * (uint64_t)sysconf(_SC_PAGESIZE);
    one->cpu_ns = (fields[14] + fields[15]) * (UINT64_C(1000000000) / (uint64_t)sysconf(_SC_CLK_TCK));
    return true;
}

static void copy_segment(const struct hz_segment *segment, int slot, struct hz_watched *one)
{
    const struct hz_segment_header *header = segment->header;
    struct hz_uuid id = header->worker_id;
    hz_uuid_format(&id, one->id);
    memcpy(one->workflow_id, header->workflow_id, sizeof one->workflow_id);
    one->workflow_id[sizeof one->workflow_id - 1] = 0;
    one->pid = atomic_load_explicit(&header->worker_pid, memory_order_relaxed);
    one->port = atomic_load_explicit(&header->port, memory_order_relaxed);
    one->created_wall_ms = header->created_wall_ms;
    one->progress = atomic_load_explicit(&header->progress, memory_order_relaxed);
    for (size_t i = 0; i < HZ_COUNT_OF(header->progress_node); i++) {
        uint64_t word = atomic_load_explicit(&header->progress_node[i], memory_order_relaxed);
        memcpy(one->progress_node + i * sizeof word, &word, sizeof word);
    }
    one->lanes = HZ_MIN(segment->geometry.lanes, HZ_MAX_LANES);
    for (uint32_t i = 0; i < one->lanes; i++) {
        if (hz_stats_read(segment->lanes[i].stats, &one->by_lane[i]))
            hz_stats_add(&one->stats, &one->by_lane[i]);
    }
    if (hz_guard_poisoned(slot))
        one->workflow_id[0] = 0;
}

static void look_at(const char *name, void *arg)
{
    struct looking *looking = arg;
    struct hz_segment segment;
    struct hz_watched one;
    memset(&one, 0, sizeof one);
    if (hz_segment_observe(&segment, name))
        return; /* no segment, or one that is just being made */
    int slot = hz_guard_add(segment.base, segment.total_bytes);
    if (slot >= 0) {
        copy_segment(&segment, slot, &one);
        hz_guard_remove(slot);
    }
    hz_segment_detach(&segment);
    if (!one.workflow_id[0] || !one.pid)
        return; /* a spare */
    one.rss_bytes = one.stats.v[HZ_STAT_rss_bytes];
    one.seen_ns = hz_base_now_ns();
    if (!ask_kernel(&one))
        return; /* dead, its segment is about to go */
    if (looking->count == looking->capacity) {
        size_t capacity = looking->capacity ? looking->capacity * 2 : 64;
        struct hz_watched *list = realloc(looking->list, capacity * sizeof *list);
        if (!list) {
            looking->failed = true;
            return;
        }
        looking->list = list;
        looking->capacity = capacity;
    }
    looking->list[looking->count++] = one;
}

static const struct hz_watched *find(const struct hz_watch *watch, const char *id)
{
    for (size_t i = 0; i < watch->count; i++)
        if (strcmp(watch->list[i].id, id) == 0)
            return &watch->list[i];
    return NULL;
}

static double rate(uint64_t now, uint64_t before, double seconds)
{
    return now > before ? (double)(now - before) / seconds : 0;
}

static int compare_created(const void *a, const void *b)
{
    const struct hz_watched *left = a, *right = b;
    return (left->created_wall_ms > right->created_wall_ms) - (left->created_wall_ms < right->created_wall_ms);
}

int hz_watch_look(struct hz_watch *watch, const char *instance)
{
    int err = watch->guarded ? 0 : hz_guard_install();
    if (err)
        return hz_err_set(err, "preparing to read segments");
    watch->guarded = 1;
    struct looking looking = {NULL, 0, 0, false};
    int found = hz_segment_list(instance, look_at, &looking);
    if (found < 0 || looking.failed) {
        free(looking.list);
        return found < 0 ? hz_err_set(found, "reading /dev/shm") : hz_err_set(HZ_ENOMEM, "reading /dev/shm");
    }
    for (size_t i = 0; i < looking.count; i++) {
        struct hz_watched *one = &looking.list[i];
        const struct hz_watched *before = find(watch, one->id);
        if (!before || one->seen_ns <= before->seen_ns)
            continue;
        double seconds = (double)(one->seen_ns - before->seen_ns) / 1e9;
        one->cpu_percent = rate(one->cpu_ns, before->cpu_ns, seconds) / 1e7;
        one->executions_per_s =
                rate(one->stats.v[HZ_STAT_executions_finished], before->stats.v[HZ_STAT_executions_finished], seconds);
        one->node_runs_per_s = rate(one->stats.v[HZ_STAT_node_runs], before->stats.v[HZ_STAT_node_runs], seconds);
    }
    if (looking.count)
        qsort(looking.list, looking.count, sizeof *looking.list, compare_created);
    free(watch->list);
    watch->list = looking.list;
    watch->count = looking.count;
    return 0;
}

void hz_watch_fini(struct hz_watch *watch)
{
    free(watch->list);
    memset(watch, 0, sizeof *watch);
}
