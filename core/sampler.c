/*
 * sampler.c - figures of the workers into the registry: the worker's own from its stats blocks, the kernel's resident size. Each
 * second for workers with work in hand by our own books, the others in slices over thirty seconds. On the workers' shard.
 *
 * What a worker publishes is its claim and only shown; what limits would be decided by is the kernel's word (/proc/PID/statm through a
 * descriptor kept open for busy workers: 2.4 us instead of 10).
 */
#include "worker.h"

#include "history.h"

#include "core/flow/plan.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
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

/* CPU time of the whole process by the kernel's word; 0 unknown. */
uint64_t hz_sampler_cpu_ns(const struct hz_worker *w)
{
    clockid_t clock;
    struct timespec t;
    if (w->info.pid <= 0 || clock_getcpuclockid(w->info.pid, &clock) != 0 || clock_gettime(clock, &t) != 0)
        return 0;
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* The same words for observers, beside the worker's own figures. */
static void show_progress(struct hz_worker *w)
{
    struct hz_segment_header *header = w->link.segment.header;
    uint64_t words[HZ_COUNT_OF(header->progress_node)] = {0};
    size_t len = strnlen(w->info.progress_node, sizeof words - 1);
    while (len > 0 && len < strlen(w->info.progress_node) && (w->info.progress_node[len] & 0xc0) == 0x80)
        len--; /* not through a character */
    memcpy(words, w->info.progress_node, len);
    for (size_t i = 0; i < HZ_COUNT_OF(words); i++)
        atomic_store_explicit(&header->progress_node[i], words[i], memory_order_relaxed);
    atomic_store_explicit(&header->progress, (uint32_t)w->info.progress, memory_order_relaxed);
}

/* Nothing is done about it here: a person, a deadline or a limit ends a worker, and no execution is begun anew because of it. */
static bool look_at_progress(struct hz_worker *w)
{
    uint64_t now = hz_base_now_ns();
    struct hz_progress_look look = {.now_ns = now, .work = busy(w), .stopped = w->stopped, .cpu_ns = hz_sampler_cpu_ns(w)};
    hz_progress_look(&w->link.segment, &look);
    look.runnable = hz_ring_fill(&w->link.segment.commands) > 0 || hz_link_blocked(&w->link) ||
            (w->info.has_stats && w->info.stats.v[HZ_STAT_queue_depth] > 0 && look.work);
    enum hz_progress before = w->info.progress;
    bool changed = hz_progress_judge(&w->progress_state, &look, w->yard->config->stuck_after_ms * UINT64_C(1000000));
    const struct hz_progress_state *state = &w->progress_state;
    if (!changed && state->progress < HZ_PROGRESS_BLOCKED)
        return false;
    char node[128] = "";
    const struct hz_plan *plan = w->workflow->plan;
    if (state->node < plan->node_count) {
        struct hz_plan_text name = hz_plan_node(plan, state->node)->name;
        snprintf(node, sizeof node, "%.*s", (int)HZ_MIN(name.len, 127u), hz_plan_chars(plan, name));
    }
    w->info.progress = state->progress;
    w->info.progress_wall_ms = hz_base_wall_ms() - (int64_t)((now - HZ_MIN(now, state->since_ns)) / 1000000u);
    snprintf(w->info.progress_node, sizeof w->info.progress_node, "%.*s", (int)HZ_MIN(strlen(node), sizeof w->info.progress_node - 1), node);
    hz_progress_say(state, node, w->stopped, now, w->info.progress_text, sizeof w->info.progress_text);
    show_progress(w);
    bool bad = state->progress >= HZ_PROGRESS_BLOCKED, was_bad = before >= HZ_PROGRESS_BLOCKED;
    if (bad && before != state->progress) {
        HZ_LOG(WARN, "worker %s of %s is %s: %s", w->info.id_text, w->info.workflow_id, hz_progress_name(state->progress), w->info.progress_text);
        hz_supervisor_emit(HZ_EVENT_WORKER_STUCK, &w->info, w->info.progress_text);
    } else if (was_bad && !bad) {
        HZ_LOG(INFO, "worker %s of %s gets on again", w->info.id_text, w->info.workflow_id);
        hz_supervisor_emit(HZ_EVENT_WORKER_CHANGED, &w->info, NULL);
    }
    return true;
}

/* ---- the kernel says that a child of ours was stopped, or goes on ---- */

struct stopped_mail {
    struct hz_mail mail;
    int32_t pid;
    bool stopped;
};

static void sample(struct hz_worker *w);

static void run_stopped(struct hz_mail *mail)
{
    struct stopped_mail *m = HZ_CONTAINER_OF(mail, struct stopped_mail, mail);
    struct hz_yard *yard = hz_yard_here();
    struct hz_worker *w, *next;
    if (yard) {
        cds_list_for_each_entry_safe(w, next, &yard->workers, all_node) {
            if (w->info.pid != m->pid)
                continue;
            w->stopped = m->stopped;
            sample(w);
            break;
        }
    }
    free(m);
}

void hz_sampler_stopped(int32_t pid, bool stopped)
{
    for (uint32_t i = 0; i < hz_shard_count(); i++) { /* whose worker it is only its shard knows */
        struct stopped_mail *m = calloc(1, sizeof *m);
        if (!m)
            return; /* then the state is not shown; nothing else depends on it */
        *m = (struct stopped_mail){.mail.run = run_stopped, .pid = pid, .stopped = stopped};
        hz_shard_post(hz_shard_at(i), &m->mail);
    }
}

/* A worker's own executions are no work of ours, but a thread may be caught in one. */
static bool inside_node(const struct hz_worker *w)
{
    for (uint32_t i = 0; i < w->link.segment.geometry.lanes; i++)
        if (atomic_load_explicit(&w->link.segment.lanes[i].crash->phase, memory_order_relaxed) != HZ_PHASE_IDLE)
            return true;
    for (unsigned i = 0; i < HZ_CRASH_POOL; i++)
        if (atomic_load_explicit(&w->link.segment.lanes[0].crash->pool[i].entered_ns, memory_order_relaxed) != 0)
            return true;
    return false;
}

bool hz_sampler_busy(const struct hz_worker *w)
{
    return busy(w) || inside_node(w);
}

uint64_t hz_sampler_resident(struct hz_worker *w)
{
    return read_rss(w, true);
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
    if (w->buried || w->link.poisoned)
        return;
    changed |= look_at_progress(w);
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
        if (w->workflow && (hz_sampler_busy(w) || w->info.progress != HZ_PROGRESS_IDLE || young || w->dirty_info || i % SLICES == slice))
            sample(w);
        hz_history_look(w);
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
