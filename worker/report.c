/*
 * report.c - records, lines and counters of a lane. Worker, any thread; see report.h for who writes.
 *
 * Each record of the result ring is published at once: the node that runs next may crash or never come back, and what was
 * said before must not go with it. (Measured: no difference to publishing once a turn; the ringer rings once per sleep.)
 *
 * The manager does not ring when it has made room, so a thread that must wait looks again after short sleeps that grow to
 * 1 ms: rare, and the manager drains whole rings at a time.
 */
#include "report.h"
#include "worker.h"

#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define BACKLOG_BYTES ((size_t)256 << 10)
#define FORWARDED_MOST ((size_t)256 << 10)
#define LINE_MAX_BYTES ((size_t)1 << 20)

void hz_report_attach(struct hz_thread *thread)
{
    struct hz_worker *worker = thread->worker;
    struct hz_doorbell_cell *cell = &worker->segment.header->manager_sleep;
    hz_stream_out_init(&thread->results, &thread->lane->results, cell, worker->manager_fd, BACKLOG_BYTES);
    hz_stream_out_init(&thread->metrics, &thread->lane->metrics, cell, worker->manager_fd, 0);
}

/* A record on its way to the thread that may write it. */
struct forwarded {
    struct hz_mail mail;
    uint32_t type;
    int drops; /* enum hz_stat, or -1: result ring */
    size_t len;
    _Alignas(8) char data[];
};

static void run_forwarded(struct hz_thread *thread, struct hz_mail *mail)
{
    struct forwarded *record = HZ_CONTAINER_OF(mail, struct forwarded, mail);
    atomic_fetch_sub_explicit(&thread->forwarded, sizeof(*record) + record->len, memory_order_relaxed);
    struct hz_part part = {record->data, record->len};
    if (record->drops >= 0)
        (void)hz_report_try(thread, record->type, &part, 1, (enum hz_stat)record->drops);
    else
        (void)hz_report_send(thread, record->type, &part, 1, 0);
    free(record);
}

/* A thread of a blocking node waits while the lane has enough of its kind, as the lane itself would for the ring. A lane never waits
 * for another: each might wait for the other. Only a count is shared, so it needs no order. */
static void await_forwarded(struct hz_thread *to)
{
    const struct hz_thread *self = hz_thread_self;
    long sleep_ns = 10000;
    if (self && self->lane)
        return;
    while (atomic_load_explicit(&to->forwarded, memory_order_relaxed) > FORWARDED_MOST &&
            !atomic_load_explicit(&to->worker->ending, memory_order_relaxed)) {
        nanosleep(&(struct timespec){.tv_nsec = sleep_ns}, NULL);
        sleep_ns = HZ_MIN(sleep_ns * 2, 1000000L);
    }
}

static int forward(struct hz_thread *to, uint32_t type, const struct hz_part *parts, size_t count, int drops)
{
    size_t len = 0;
    for (size_t i = 0; i < count; i++)
        len += parts[i].len;
    if (len > HZ_MSG_MAX)
        return HZ_ETOOBIG;
    await_forwarded(to);
    struct forwarded *record = malloc(sizeof(*record) + len);
    if (!record)
        return HZ_ENOMEM;
    record->mail.run = run_forwarded;
    record->type = type;
    record->drops = drops;
    record->len = len;
    size_t at = 0;
    for (size_t i = 0; i < count; i++) {
        if (parts[i].len > 0)
            memcpy(record->data + at, parts[i].data, parts[i].len);
        at += parts[i].len;
    }
    atomic_fetch_add_explicit(&to->forwarded, sizeof(*record) + len, memory_order_relaxed);
    hz_thread_post(to, &record->mail);
    return 0;
}

int hz_report_send(struct hz_thread *thread, uint32_t type, const struct hz_part *parts, size_t count, uint64_t deadline_ns)
{
    if (hz_thread_self != thread)
        return forward(thread, type, parts, count, -1);
    int r = hz_stream_send(&thread->results, type, parts, count, true);
    if (__builtin_expect(r != HZ_EBUSY, 1))
        return r;
    thread->stats.v[HZ_STAT_result_ring_waits]++;
    long sleep_ns = 10000;
    for (;;) {
        struct timespec pause = {.tv_nsec = sleep_ns};
        nanosleep(&pause, NULL);
        r = hz_stream_send(&thread->results, type, parts, count, true);
        if (r != HZ_EBUSY)
            return r;
        if (deadline_ns && hz_base_now_ns() >= deadline_ns)
            return HZ_ETIMEOUT;
        sleep_ns = HZ_MIN(sleep_ns * 2, 1000000L);
    }
}

bool hz_report_try(struct hz_thread *thread, uint32_t type, const struct hz_part *parts, size_t count, enum hz_stat drops)
{
    if (hz_thread_self != thread)
        return forward(thread, type, parts, count, (int)drops) == 0;
    if (hz_stream_try(&thread->metrics, type, parts, count, type == HZ_MSG_LOG) == 0)
        return true;
    thread->stats.v[drops]++;
    return false;
}

bool hz_report_flush(struct hz_thread *thread)
{
    (void)hz_stream_flush(&thread->metrics); /* first: what was said before an end should be seen before it */
    return hz_stream_flush(&thread->results);
}

void hz_report_line(struct hz_thread *thread, uint64_t execution, uint32_t node, enum hz_level level, bool console,
        const char *text, size_t len)
{
    int64_t wall_ms = hz_base_wall_ms();
    if (len > LINE_MAX_BYTES && !console)
        len = LINE_MAX_BYTES;
    if (level >= HZ_LEVEL_WARN || console) {
        struct hz_msg_line line = {.wall_ms = wall_ms, .execution = execution, .level = (uint32_t)level, .node = node,
                .console = console, .text_len = (uint32_t)len};
        struct hz_part parts[] = {{&line, sizeof(line)}, {text, len}};
        if (hz_report_send(thread, HZ_MSG_LINE, parts, 2, 0) == HZ_ETOOBIG) {
            line.text_len = (uint32_t)LINE_MAX_BYTES;
            parts[1].len = LINE_MAX_BYTES;
            (void)hz_report_send(thread, HZ_MSG_LINE, parts, 2, 0);
        }
        return;
    }
    struct hz_msg_log log = {.wall_ms = wall_ms, .execution = execution, .level = (uint32_t)level, .node = node,
            .text_len = (uint32_t)len};
    struct hz_part parts[] = {{&log, sizeof(log)}, {text, len}};
    (void)hz_report_try(thread, HZ_MSG_LOG, parts, 2, HZ_STAT_drops_log);
}

void hz_report_linef(struct hz_thread *thread, uint64_t execution, uint32_t node, enum hz_level level, const char *format, ...)
{
    char few[1024], *text = few, *large = NULL;
    va_list args;
    va_start(args, format);
    int n = vsnprintf(few, sizeof(few), format, args);
    va_end(args);
    if (n < 0)
        return;
    size_t len = (size_t)n;
    if (len >= sizeof(few)) {
        large = malloc(len + 1);
        if (large) {
            text = large;
            va_start(args, format);
            vsnprintf(text, len + 1, format, args);
            va_end(args);
        } else {
            len = sizeof(few) - 1;
        }
    }
    for (size_t i = 0; i < len; i++) /* one record is one line */
        if (text[i] == '\n' || text[i] == '\r')
            text[i] = ' ';
    hz_report_line(thread, execution, node, level, false, text, len);
    free(large);
}

void hz_report_sink(enum hz_log_level level, const char *text, size_t len, void *arg)
{
    static const enum hz_level levels[] = {HZ_LEVEL_DEBUG, HZ_LEVEL_INFO, HZ_LEVEL_WARN, HZ_LEVEL_ERROR};
    struct hz_worker *worker = arg;
    if (!worker->assigned) { /* a spare says nothing but that it is warm */
        hz_log_stderr(level, text, len, NULL);
        return;
    }
    struct hz_thread *self = hz_thread_self;
    struct hz_thread *to = self && self->lane ? self : worker->threads[0];
    hz_report_line(to, 0, HZ_NO_NODE, levels[level], false, text, len);
}

/* Own resident memory by the descriptor opened before the sandbox. */
static uint64_t resident_bytes(const struct hz_worker *worker)
{
    char text[96];
    ssize_t n = worker->statm_fd >= 0 ? pread(worker->statm_fd, text, sizeof(text) - 1, 0) : -1;
    if (n <= 0)
        return 0;
    text[n] = '\0';
    unsigned long long total, resident;
    if (sscanf(text, "%llu %llu", &total, &resident) != 2)
        return 0;
    return (uint64_t)resident * worker->page_bytes;
}

static uint64_t microseconds(struct timeval t)
{
    return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_usec;
}

void hz_report_stats(struct hz_thread *thread, bool kernel)
{
    struct hz_stats *stats = &thread->stats;
    stats->v[HZ_STAT_published_ns] = thread->now_ns;
    if (kernel && thread->index == 0) {
        struct rusage usage;
        if (getrusage(RUSAGE_SELF, &usage) == 0) {
            stats->v[HZ_STAT_cpu_user_us] = microseconds(usage.ru_utime);
            stats->v[HZ_STAT_cpu_system_us] = microseconds(usage.ru_stime);
        }
        struct mallinfo2 heap = mallinfo2();
        stats->v[HZ_STAT_heap_used_bytes] = heap.uordblks + heap.hblkhd;
        stats->v[HZ_STAT_heap_total_bytes] = heap.arena + heap.hblkhd;
        stats->v[HZ_STAT_external_bytes] = thread->worker->segment.total_bytes;
        uint64_t rss = resident_bytes(thread->worker);
        if (rss > 0)
            stats->v[HZ_STAT_rss_bytes] = rss;
    }
    hz_stats_publish(thread->lane->stats, stats);
}
