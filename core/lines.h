/*
 * lines.h - the exact lines people and scripts grep for: plain on standard output or standard error, or in the log when
 * `horizon run` keeps standard output for the result. Any thread.
 */
#ifndef HZ_CORE_LINES_H
#define HZ_CORE_LINES_H

#include "shm/base.h"

/* Before the threads run. */
void hz_lines_quiet(bool quiet);
/* Hears each line of hz_lines_print() that is not in the log; NULL: nobody. Before the threads run. */
typedef void hz_lines_history_fn(int level, const char *text, size_t len);
void hz_lines_set_history(hz_lines_history_fn *fn);
/* One line, without its line feed; error: standard error. Control characters become blanks, but colours are kept. One system call. */
void hz_lines_print(bool error, const char *format, ...) HZ_PRINTF(2, 3);
/* The same for a text that is there already. */
void hz_lines_text(bool error, const char *text, size_t len);
/* Makes `len` bytes printable in place: control characters become blanks; escape sequences that only set colours stay. */
void hz_lines_clean(char *text, size_t len);

#endif
