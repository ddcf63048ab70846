/*
 * history.c - samples and lines for the store. Samples are made on the worker's shard from the sampler's figures, the
 * manager's on the first shard; lines come from any thread.
 *
 * What does not change is not written: a worker at rest leaves a sample every thirty seconds, and readers fill the
 * seconds between (HZ_STORE_METRIC_HOLE). A thousand idle workers are some thirty rows a second instead of a thousand.
 *
 * Synchronisation: `open` and the budget of lines are relaxed atomics (around the change of a second some lines more
 * may pass); totals are added up by all shards and read by the first one. A worker's part belongs to its shard.
 */
#include "history.h"

#include "executions.h"
#include "lines.h"
#include "logs.h"
#include "scheduler.h"
#include "worker.h"

#include "shm/err.h"
#include "shm/log.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define SECOND_NS UINT64_C(1000000000)
#define REST_NS   (30 * SECOND_NS - SECOND_NS / 2) /* a sample of a worker at rest; well below HZ_STORE_METRIC_HOLE */
#define CLAIM_MS  60000                            /* a worker's clock that is further off than this is not believed */

struct hz_past {
    uint64_t look_ns, sample_ns, cpu_ns, node_runs, dying_runs;
    int64_t at_s;
    bool rests; /* its last sample had nothing in it that moved */
    uint64_t executions, failures, bytes_in, bytes_out;
    struct hz_history_latency latency;
};

static struct {
    _Atomic bool open;
    _Atomic uint64_t executions, failures, bytes_in, bytes_out; /* of all workers, since the start */
    _Atomic int running;                                        /* executions that a worker has */
    _Atomic uint64_t line_second, lost_told_s;
    _Atomic uint32_t second_lines;
    /* the first shard's */
    struct hz_timer timer;
    uint64_t sample_ns, cpu_ns, told[4];
    int64_t at_s;
    int statm;
} history = {.statm = -1};

static bool is_open(void)
{
    return atomic_load_explicit(&history.open, memory_order_relaxed);
}

/* ---- latencies ---- */

void hz_history_latency_add(struct hz_history_latency *latency, uint64_t us)
{
    us = HZ_MIN(HZ_MAX(us, UINT64_C(4)), (UINT64_C(1) << 40) - 1);
    unsigned bits = 63u - (unsigned)__builtin_clzll(us);
    latency->buckets[bits * 4 + ((us >> (bits - 2)) & 3)]++;
    latency->count++;
}

double hz_history_latency_at(const struct hz_history_latency *latency, double share)
{
    double wanted = share * latency->count, seen = 0;
    for (unsigned i = 0; latency->count && i < HZ_COUNT_OF(latency->buckets); i++) {
        seen += latency->buckets[i];
        if (seen >= wanted && latency->buckets[i])
            return (double)(UINT64_C(1) << (i / 4)) * (1.0 + (double)(i % 4 + 1) / 4);
    }
    return 0;
}

/* ---- samples ---- */

static void put(const char *subject, int64_t at_s, const struct hz_store_metric *sample)
{
    if (hz_store_metric_put(subject, at_s, sample) == 0)
        return;
    uint64_t now = hz_base_now_ns() / SECOND_NS,
             told = atomic_load_explicit(&history.lost_told_s, memory_order_relaxed);
    if (now - told >= 60 && atomic_compare_exchange_strong_explicit(
                                    &history.lost_told_s, &told, now, memory_order_relaxed, memory_order_relaxed))
        HZ_LOG(WARN, "the store is behind: samples are left out of the history: %s", hz_err_last());
}

static struct hz_past *history_of(struct hz_worker *w)
{
    if (!w->history)
        w->history = calloc(1, sizeof *w->history); /* none: not sampled */
    return w->history;
}

/* One word a lane, each written by one thread; a mixture of two moments is corrected by the next look. */
static uint64_t node_runs_of(const struct hz_worker *w)
{
    uint64_t runs = 0;
    for (uint32_t i = 0; i < w->link.segment.geometry.lanes; i++)
        runs += atomic_load_explicit(&w->link.segment.lanes[i].stats->v[HZ_STAT_node_runs], memory_order_relaxed);
    return runs;
}

static void write_sample(
        struct hz_worker *w, struct hz_past *h, uint64_t now, uint64_t since_ns, uint64_t cpu_ns, uint64_t runs)
{
    double elapsed = (double)HZ_MAX(now - HZ_MIN(since_ns, now), UINT64_C(1000000));
    struct hz_store_metric sample = {.memory_bytes = (double)w->info.rss_bytes,
            .in_flight = w->info.in_flight,
            .queued = w->info.queued,
            .cpu_percent = cpu_ns > h->cpu_ns ? (double)(cpu_ns - h->cpu_ns) / elapsed * 100 : 0,
            .executions = (double)h->executions,
            .failures = (double)h->failures,
            .node_runs = runs > h->node_runs ? (double)(runs - h->node_runs) : 0,
            .bytes_in = (double)h->bytes_in,
            .bytes_out = (double)h->bytes_out,
            .restarts = h->sample_ns ? 0 : (w->info.restarts > 0),
            .latency_p50_us = hz_history_latency_at(&h->latency, 0.5),
            .latency_p99_us = hz_history_latency_at(&h->latency, 0.99)};
    put(w->info.id_text, h->at_s, &sample);
    h->sample_ns = now;
    h->cpu_ns = HZ_MAX(cpu_ns, h->cpu_ns);
    h->node_runs = runs;
    h->executions = h->failures = h->bytes_in = h->bytes_out = 0;
    if (h->latency.count)
        memset(&h->latency, 0, sizeof h->latency);
}

void hz_history_look(struct hz_worker *w)
{
    if (!is_open() || !w->workflow || w->info.pid <= 0 || w->buried || w->link.poisoned)
        return;
    struct hz_past *h = history_of(w);
    if (!h)
        return;
    uint64_t now = hz_base_now_ns(), runs = node_runs_of(w);
    bool work = h->executions || h->bytes_in || runs != h->node_runs || hz_sampler_busy(w);
    if (!work && h->rests && now - h->sample_ns < REST_NS) {
        h->look_ns = now;
        return;
    }
    int64_t at_s = hz_base_wall_ms() / 1000;
    if (at_s <= h->at_s)
        return; /* this second has its sample: the next look takes what came since */
    h->at_s = at_s;
    uint64_t since = !h->sample_ns ? w->created_ns : work && h->rests ? h->look_ns : h->sample_ns;
    write_sample(w, h, now, since, hz_sampler_cpu_ns(w), runs);
    h->rests = !work;
    h->look_ns = now;
}

void hz_history_adopted(struct hz_worker *w)
{
    struct hz_past *h = is_open() ? history_of(w) : NULL;
    if (!h)
        return;
    h->look_ns = h->sample_ns = hz_base_now_ns();
    h->cpu_ns = hz_sampler_cpu_ns(w);
    h->node_runs = node_runs_of(w);
}

void hz_history_ended(
        struct hz_worker *w, const struct hz_outcome *outcome, uint64_t took_ns, uint64_t bytes_in, uint64_t bytes_out)
{
    if (!is_open())
        return;
    bool failed = outcome->state != HZ_EXEC_SUCCESS && outcome->state != HZ_EXEC_CANCELLED;
    atomic_fetch_add_explicit(&history.executions, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&history.failures, failed, memory_order_relaxed);
    atomic_fetch_add_explicit(&history.bytes_in, bytes_in, memory_order_relaxed);
    atomic_fetch_add_explicit(&history.bytes_out, bytes_out, memory_order_relaxed);
    struct hz_past *h = !w ? NULL : w->purpose == HZ_PURPOSE_RESIDENT ? history_of(w) : w->history;
    if (!h)
        return;
    h->executions++;
    h->failures += failed;
    h->bytes_in += bytes_in;
    h->bytes_out += bytes_out;
    hz_history_latency_add(&h->latency, took_ns / 1000u);
}

void hz_history_running(int more)
{
    atomic_fetch_add_explicit(&history.running, more, memory_order_relaxed);
}

void hz_history_dying(struct hz_worker *w)
{
    if (w->history)
        w->history->dying_runs = node_runs_of(w);
}

void hz_history_bury(struct hz_worker *w, bool expected)
{
    if (is_open() && w->workflow && w->info.pid > 0 && !expected)
        (void)history_of(w);
    struct hz_past *h = w->history;
    if (!h)
        return;
    w->history = NULL;
    if (is_open() && (h->sample_ns || !expected || w->purpose == HZ_PURPOSE_RESIDENT)) {
        const struct rusage *usage = &w->usage;
        uint64_t cpu_ns = ((uint64_t)usage->ru_utime.tv_sec + (uint64_t)usage->ru_stime.tv_sec) * SECOND_NS +
                          ((uint64_t)usage->ru_utime.tv_usec + (uint64_t)usage->ru_stime.tv_usec) * 1000u;
        uint64_t now = hz_base_now_ns();
        h->at_s = HZ_MAX(hz_base_wall_ms() / 1000, h->at_s + 1);
        write_sample(w, h, now,
                !h->sample_ns ? w->created_ns
                : h->rests    ? h->look_ns
                              : h->sample_ns,
                cpu_ns, HZ_MAX(h->dying_runs, h->node_runs));
    }
    free(h);
}

/* ---- the manager's own ---- */

static double own_resident(void)
{
    char text[128];
    unsigned long long total, resident;
    if (history.statm < 0)
        history.statm = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    ssize_t n = history.statm >= 0 ? pread(history.statm, text, sizeof text - 1, 0) : 0;
    text[HZ_MAX(n, (ssize_t)0)] = 0;
    return sscanf(text, "%llu %llu", &total, &resident) == 2 ? (double)resident * (double)sysconf(_SC_PAGESIZE) : 0;
}

static double since_told(unsigned which, const _Atomic uint64_t *total)
{
    uint64_t now = atomic_load_explicit(total, memory_order_relaxed), before = history.told[which];
    history.told[which] = now;
    return (double)(now - before);
}

static void sample_manager(void)
{
    struct timespec t;
    int64_t at_s = hz_base_wall_ms() / 1000;
    uint64_t now = hz_base_now_ns();
    if (at_s <= history.at_s || clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t) != 0)
        return;
    uint64_t cpu_ns = (uint64_t)t.tv_sec * SECOND_NS + (uint64_t)t.tv_nsec;
    uint32_t admitted = hz_executions_admitted(),
             running = (uint32_t)HZ_MAX(atomic_load_explicit(&history.running, memory_order_relaxed), 0);
    struct hz_store_metric sample = {.memory_bytes = own_resident(),
            .in_flight = running,
            .queued = admitted > running ? admitted - running : 0,
            .cpu_percent = history.sample_ns ? (double)(cpu_ns - history.cpu_ns) /
                                                       (double)HZ_MAX(now - history.sample_ns, UINT64_C(1000000)) * 100
                                             : 0,
            .executions = since_told(0, &history.executions),
            .failures = since_told(1, &history.failures),
            .bytes_in = since_told(2, &history.bytes_in),
            .bytes_out = since_told(3, &history.bytes_out),
            .store_lag_ms = (double)hz_store_lag_ms(),
            .store_pending = (double)hz_store_pending()};
    history.at_s = at_s;
    history.sample_ns = now;
    history.cpu_ns = cpu_ns;
    put(HZ_HISTORY_MANAGER, at_s, &sample);
}

static void on_second(struct hz_timer *timer)
{
    sample_manager();
    hz_timer_after(hz_shard_timers(hz_shard_self()), timer, 1000, on_second);
}

void hz_history_begin(struct hz_shard *shard)
{
    if (is_open() && hz_shard_index(shard) == 0)
        hz_timer_after(hz_shard_timers(shard), &history.timer, 1000, on_second);
}

void hz_history_end(struct hz_shard *shard)
{
    if (is_open() && hz_shard_index(shard) == 0)
        hz_timer_cancel(hz_shard_timers(shard), &history.timer);
}

/* ---- lines ---- */

/* What is no UTF-8 becomes '?': the store's text is read as UTF-8 by everybody. NULL: it is good as it is, or memory is
 * out. */
static char *repaired(const char *text, size_t len)
{
    json_t *string = json_stringn(text, len);
    bool bad = !string || memchr(text, 0, len) != NULL;
    json_decref(string);
    char *copy = bad ? malloc(len + 1) : NULL;
    for (size_t i = 0; copy && i < len; i++)
        copy[i] = (unsigned char)text[i] >= 0x80 || text[i] == 0 ? '?' : text[i];
    return copy;
}

static void keep(int64_t wall_ms, int level, const char *workflow_id, const char *worker_id,
        const struct hz_uuid *execution, const char *text, size_t len)
{
    char *copy = repaired(text, len);
    int err = hz_store_log_put(wall_ms, level, workflow_id, worker_id, execution, copy ? copy : text, len);
    (void)err; /* the store is behind: left out, and nothing is said of it, as that would be a line more */
    free(copy);
}

static void on_line(const struct hz_worker_info *info, int64_t wall_ms, int level, const struct hz_uuid *execution,
        const char *text, size_t len)
{
    int64_t now = hz_base_wall_ms();
    if (!is_open())
        return;
    keep(llabs(now - wall_ms) <= CLAIM_MS ? wall_ms : now, level, info->workflow_id, info->id_text, execution, text,
            len);
}

static void on_own_line(int level, const char *text, size_t len)
{
    uint64_t now = hz_base_now_ns() / SECOND_NS;
    if (!is_open())
        return;
    if (atomic_load_explicit(&history.line_second, memory_order_relaxed) != now) {
        atomic_store_explicit(&history.line_second, now, memory_order_relaxed);
        atomic_store_explicit(&history.second_lines, 0, memory_order_relaxed);
    }
    uint32_t before = atomic_fetch_add_explicit(&history.second_lines, 1, memory_order_relaxed);
    static const char more[] = "more lines of the manager in this second are not kept in the history";
    if (before < HZ_HISTORY_SECOND_LINES)
        keep(hz_base_wall_ms(), level, NULL, HZ_HISTORY_MANAGER, NULL, text, len);
    else if (before == HZ_HISTORY_SECOND_LINES)
        keep(hz_base_wall_ms(), HZ_LOG_WARN, NULL, HZ_HISTORY_MANAGER, NULL, more, sizeof more - 1);
}

static void on_log(enum hz_log_level level, const char *text, size_t len, void *arg)
{
    hz_log_stderr(level, text, len, arg);
    on_own_line((int)level, text, len);
}

void hz_history_open(void)
{
    hz_logs_set_history(on_line);
    hz_lines_set_history(on_own_line);
    hz_log_set_sink(on_log, NULL);
    history.sample_ns = history.cpu_ns = 0;
    history.at_s = 0;
    atomic_store(&history.open, true);
}

/* The store's own thread may be about to say something: its last words are written before the store is closed. */
void hz_history_close(void)
{
    if (!atomic_exchange(&history.open, false))
        return;
    hz_log_set_sink(NULL, NULL);
    hz_lines_set_history(NULL);
    hz_logs_set_history(NULL);
    if (history.statm >= 0)
        close(history.statm);
    history.statm = -1;
}
