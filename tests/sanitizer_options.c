/*
 * sanitizer_options.c - linked into every program of the asan and tsan presets: options and suppressions that do not depend
 * on the environment, because a worker is executed with PATH, LANG and TZ only. The suppressions are those of lsan.supp and
 * tsan.supp, where each names library and reason. Weak: a test may have its own.
 */
#include <link.h>
#include <string.h>

#include "sanitizer_suppressions.inc" /* made by CMake: HZ_LSAN_SUPPRESSIONS, HZ_TSAN_SUPPRESSIONS */

#define EXPORT __attribute__((weak, visibility("default"), used, no_sanitize("address", "thread", "undefined")))

EXPORT const char *__asan_default_options(void);
EXPORT const char *__ubsan_default_options(void);
EXPORT const char *__tsan_default_options(void);
EXPORT const char *__tsan_default_suppressions(void);
EXPORT const char *__lsan_default_suppressions(void);
EXPORT const char *__lsan_default_options(void);
EXPORT int __lsan_is_turned_off(void);

/* allocator_may_return_null: our own handling of "out of memory" is what shall be tested. quarantine_size_mb: a worker that
 * runs a million steps shall show whether its memory is flat. */
const char *__asan_default_options(void)
{
    return "detect_leaks=1:detect_stack_use_after_return=1:strict_string_checks=1:allocator_may_return_null=1:exitcode=99:"
           "quarantine_size_mb=8";
}

const char *__ubsan_default_options(void)
{
    return "print_stacktrace=1:halt_on_error=1";
}

/* report_thread_leaks: a worker ends its process without joining a thread that may be inside a node. */
const char *__tsan_default_options(void)
{
    return "halt_on_error=1:second_deadlock_stack=1:report_thread_leaks=0:exitcode=66";
}

const char *__tsan_default_suppressions(void)
{
    return HZ_TSAN_SUPPRESSIONS;
}

const char *__lsan_default_suppressions(void)
{
    return HZ_LSAN_SUPPRESSIONS;
}

const char *__lsan_default_options(void)
{
    return "";
}

static int is_javascript(struct dl_phdr_info *info, size_t size, void *arg)
{
    (void)size;
    (void)arg;
    return info->dlpi_name != NULL && strstr(info->dlpi_name, "libjavascriptcoregtk") != NULL;
}

/* libjavascriptcoregtk: LeakSanitizer faults when it reads the thread-local storage of the engine's threads. A process that
 * loaded it is searched only if it leaves that storage out, as the tests of the engine do; all others always are. */
int __lsan_is_turned_off(void)
{
    return strstr(__lsan_default_options(), "use_tls=0") == NULL && dl_iterate_phdr(is_javascript, NULL);
}
