/*
 * sampler.c - figures of the workers into the registry: the worker's own from its stats blocks, the kernel's resident size. Each
 * second for workers with work in hand by our own books, the others in slices over thirty seconds. On the workers' shard.
 *
 * What a worker publishes is its claim and only shown; what limits would be decided by is the kernel's word (/proc/PID/statm through a
 * descriptor kept open for busy workers: 2.4 us instead of 10).
 */
#include "worker.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PERIOD_MS 1000u
#define SLICES 30u
#define OVERRUN_SLACK_MS 500u /* the worker ends by itself what comes back late */

static uint64_t read_rss(struct hz_worker *w, bool keep)
{
    char text[128];
    if (w->statm_fd < 0 && w->info.pid > 0) {
        snprintf(text, sizeof text, "/proc/%d/statm", w->info.pid);
        w->statm_fd = open(text, O_RDONLY | O_CLOEXEC);
    }
    if (w->statm_fd < 0)
        return 0;
    ssize_t n = pread(w->statm_fd, text, sizeof text - 1, 0);
    if (!keep)
        hz_sampler_detach(w);
    if (n <= 0)
        return 0;
    text[n] = 0;
    unsigned long long total, resident;
    if (sscanf(text, "%llu %llu", &total, &resident) != 2)
        return 0;
    return (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

void hz_sampler_detach(struct hz_worker *w)
{
    if (w->statm_fd >= 0)
        close(w->statm_fd);
    w->statm_fd = -1;
}

static bool busy(const struct hz_worker *w)
{
    /* The first run of a trigger may stay open for good: what a worker began by itself is no work of ours. */
    return w->info.in_flight > w->own_count || w->info.queued > 0 || w->requests != NULL;
}

bool hz_sampler_read(struct hz_worker *w)
{
    struct hz_stats total, lane;
    bool any = false;
    memset(&total, 0, sizeof total);
    for (uint32_t i = 0; i < w->link.segment.geometry.lanes; i++) {
        if (hz_stats_read(w->link.segment.lanes[i].stats, &lane)) {
            hz_stats_add(&total, &lane);
            any |= lane.v[HZ_STAT_published_ns] != 0;
        }
    }
    if (hz_guard_poisoned(w->link.guard)) {
        hz_worker_poison(w, "the segment was made shorter, or pages were taken out of it");
        return false;
    }
    uint64_t rss = read_rss(w, busy(w));
    if (rss == 0)
        rss = any ? total.v[HZ_STAT_rss_bytes] : w->info.rss_bytes;
    bool changed = rss != w->info.rss_bytes || (any && memcmp(&total, &w->info.stats, sizeof total) != 0);
    w->info.rss_bytes = rss;
    if (any) {
        w->info.stats = total;
        w->info.has_stats = true;
    }
    return changed;
}

/* A thread that does not come back from a node cannot keep the node's limit: the worker ends what waits, the manager what does
 * not return. The cells are the worker's claim; who lies there has only its own executions to lose. */
static void look_for_overrun(struct hz_worker *w)
{
    const struct hz_plan *plan = w->workflow->plan;
    uint64_t suspect_ns = 0;
    uint32_t suspect = HZ_NO_NODE;
    for (uint32_t i = 0; i < w->link.segment.geometry.lanes && !w->killed; i++) {
        const struct hz_crash_cell *cell = w->link.segment.lanes[i].crash;
        uint32_t phase = atomic_load_explicit(&cell->phase, memory_order_relaxed);
        uint32_t node = atomic_load_explicit(&cell->node, memory_order_relaxed);
        uint64_t execution = atomic_load_explicit(&cell->execution, memory_order_relaxed);
        uint64_t entered_ns = atomic_load_explicit(&cell->entered_ns, memory_order_relaxed);
        if ((phase != HZ_PHASE_NODE && phase != HZ_PHASE_EXPRESSION) || !plan || node >= plan->node_count)
            continue;
        uint32_t limit_ms = hz_plan_node(plan, node)->timeout_ms;
        uint64_t now = hz_base_now_ns();
        if (limit_ms == 0 || entered_ns >= now || now - entered_ns <= (limit_ms + OVERRUN_SLACK_MS) * UINT64_C(1000000))
            continue;
        /* The four words may be of two entries: only what a second look finds unchanged is believed. */
        if (w->overrun_ns == entered_ns && w->overrun_node == node)
            hz_worker_sink.overrun(w, execution, limit_ms);
        suspect_ns = entered_ns;
        suspect = node;
    }
    w->overrun_ns = suspect_ns;
    w->overrun_node = suspect;
}

static void sample(struct hz_worker *w)
{
    if (!w->workflow || w->buried || w->link.poisoned)
        return;
    if (hz_worker_sink.overrun && !w->stopping)
        look_for_overrun(w);
    bool changed = hz_sampler_read(w);
    int64_t activity = hz_base_wall_ms() - (int64_t)((hz_base_now_ns() - w->last_activity_ns) / 1000000u);
    if (activity - w->info.activity_wall_ms > 100) {
        w->info.activity_wall_ms = activity;
        changed = true;
    }
    if (changed || w->dirty_info)
        hz_worker_publish(w);
}

static void on_sample(struct hz_timer *timer)
{
    struct hz_yard *yard = HZ_CONTAINER_OF(timer, struct hz_yard, sample_timer);
    uint64_t slice = yard->sample_turn++ % SLICES, i = 0;
    struct hz_worker *w, *next;
    cds_list_for_each_entry_safe(w, next, &yard->workers, all_node) {
        bool young = hz_base_now_ns() - w->created_ns < UINT64_C(3000000000);
        if (w->workflow && (busy(w) || young || w->dirty_info || i % SLICES == slice))
            sample(w);
        i++;
    }
    if (yard->count > 0)
        hz_timer_after(hz_shard_timers(yard->shard), &yard->sample_timer, PERIOD_MS, on_sample);
}

void hz_sampler_wake(struct hz_yard *yard)
{
    if (!hz_timer_armed(&yard->sample_timer))
        hz_timer_after(hz_shard_timers(yard->shard), &yard->sample_timer, PERIOD_MS, on_sample);
}

void hz_sampler_begin(struct hz_yard *yard)
{
    yard->sample_turn = 0;
}

void hz_sampler_end(struct hz_yard *yard)
{
    hz_timer_cancel(hz_shard_timers(yard->shard), &yard->sample_timer);
}
