/* err.h - negative error codes from one list, and a per-thread text that says what, where and what was expected. */
#ifndef HZ_SHM_ERR_H
#define HZ_SHM_ERR_H

#include "base.h"

enum hz_err {
#define HZ_ERR_X(name, value, text) HZ_##name = (value),
#include "err_table.h"
#undef HZ_ERR_X
};

/* Name ("HZ_EBUSY", "ENOENT") and sentence of a code; system failures are -errno. Static strings. */
const char *hz_err_name(int code);
const char *hz_err_text(int code);

/* Sets this thread's error text; returns `code`, so that `return hz_err_set(-errno, "cannot open %s", path);` reads
 * well. For codes from errno pass -errno; the sentence of the code is appended after ": ". At most 1023 bytes are kept.
 */
int hz_err_set(int code, const char *format, ...) HZ_PRINTF(2, 3);
/* Puts `format` + ": " before the text on the way up; returns `code`. */
int hz_err_prefix(int code, const char *format, ...) HZ_PRINTF(2, 3);
/* The last text of this thread ("" if none). Valid until the next hz_err_* call of this thread. */
const char *hz_err_last(void);

/* A failure is never 0. gcc -fanalyzer and clang-tidy cannot see that through a variadic call, so they are told. */
#ifdef HZ_ANALYZE
static inline int hz_err_told_(int code)
{
    if (code == 0)
        __builtin_trap();
    return code;
}
#define hz_err_set(...) hz_err_told_(hz_err_set(__VA_ARGS__))
#define hz_err_prefix(...) hz_err_told_(hz_err_prefix(__VA_ARGS__))
#endif

#endif
