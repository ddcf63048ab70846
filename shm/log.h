/*
 * log.h - HZ_LOG(): one line, level, subject first, numbers with units, no secret.
 * Goes to the sink of the process: stderr until somebody sets another one.
 */
#ifndef HZ_SHM_LOG_H
#define HZ_SHM_LOG_H

#include "base.h"

enum hz_log_level { HZ_LOG_DEBUG, HZ_LOG_INFO, HZ_LOG_WARN, HZ_LOG_ERROR };

/* text: one line without line feed, NUL-terminated, valid during the call. Called from any thread. */
typedef void hz_log_sink_fn(enum hz_log_level level, const char *text, size_t len, void *arg);

void hz_log_set_sink(hz_log_sink_fn *sink, void *arg);
void hz_log_set_level(enum hz_log_level lowest);
const char *hz_log_level_name(enum hz_log_level level); /* "debug" "info" "warn" "error" */
void hz_log_write(enum hz_log_level level, const char *format, ...) HZ_PRINTF(2, 3);
/* The default sink: stderr, "ISO level text"; exact contract lines (plain) go without prefix to stdout or stderr. */
void hz_log_stderr(enum hz_log_level level, const char *text, size_t len, void *arg);

#define HZ_LOG(level, ...) hz_log_write(HZ_LOG_##level, __VA_ARGS__)

#endif
