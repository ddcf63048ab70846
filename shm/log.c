/*
 * log.c - HZ_LOG(): formats one line and hands it to the sink of the process. Any thread; not from a signal handler.
 *
 * Synchronisation: the lowest level is one relaxed atomic (a line more or less at the moment of change is fine). Sink
 * and argument change together under `lock`, which is held only to copy the pair, never during the call of the sink: a
 * sink may log itself and must be ready for calls of several threads at once.
 */
#include "log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#define LINE_BYTES 4096

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static hz_log_sink_fn *current_sink = hz_log_stderr;
static void *current_arg;
static _Atomic int lowest_level = HZ_LOG_INFO;

void hz_log_set_sink(hz_log_sink_fn *sink, void *arg)
{
    pthread_mutex_lock(&lock);
    current_sink = sink != NULL ? sink : hz_log_stderr;
    current_arg = sink != NULL ? arg : NULL;
    pthread_mutex_unlock(&lock);
}

void hz_log_set_level(enum hz_log_level lowest)
{
    atomic_store_explicit(&lowest_level, (int)lowest, memory_order_relaxed);
}

const char *hz_log_level_name(enum hz_log_level level)
{
    static const char *const names[] = {"debug", "info", "warn", "error"};
    return (unsigned)level < HZ_COUNT_OF(names) ? names[level] : "?";
}

/* One line is one line: what a stranger put into a text must not look like a second one or move the terminal's cursor.
 */
static void make_one_line(char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (((unsigned char)text[i] < 0x20 && text[i] != '\t') || text[i] == 0x7f)
            text[i] = ' ';
}

void hz_log_write(enum hz_log_level level, const char *format, ...)
{
    if ((int)level < atomic_load_explicit(&lowest_level, memory_order_relaxed))
        return;
    char line[LINE_BYTES];
    va_list args;
    va_start(args, format);
    int wanted = vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    if (wanted < 0)
        return;
    size_t len = (size_t)wanted;
    if (len >= sizeof(line)) {
        static const char cut[] = " [cut]";
        len = sizeof(line) - 1;
        memcpy(line + len - (sizeof(cut) - 1), cut, sizeof(cut) - 1);
    }
    make_one_line(line, len);

    pthread_mutex_lock(&lock);
    hz_log_sink_fn *sink = current_sink;
    void *arg = current_arg;
    pthread_mutex_unlock(&lock);
    sink(level, line, len, arg);
}

void hz_log_stderr(enum hz_log_level level, const char *text, size_t len, void *arg)
{
    (void)arg;
    char iso[HZ_ISO_TEXT], head[HZ_ISO_TEXT + 16];
    hz_base_iso(hz_base_wall_ms(), iso);
    (void)snprintf(head, sizeof(head), "%s %s ", iso, hz_log_level_name(level));
    char end = '\n', copy[LINE_BYTES];
    len = HZ_MIN(len, sizeof(copy));
    memcpy(copy, text, len); /* struct iovec has no const */
    struct iovec parts[] = {{head, strlen(head)}, {copy, len}, {&end, 1}};
    /* One call, so that lines of several threads and processes do not mix. A closed stderr is nobody's error. */
    ssize_t written = writev(STDERR_FILENO, parts, HZ_COUNT_OF(parts));
    (void)written;
}
