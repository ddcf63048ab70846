/* probe.h - runs a short-lived helper process and collects what it prints, bounded in time and size. Any thread; blocks. */
#ifndef HZ_CORE_PROBE_H
#define HZ_CORE_PROBE_H

#include "shm/base.h"

/*
 * hz_probe_run - start argv[0] with an environment of PATH, LANG, TZ only, feed it, read all of its output.
 *
 * argv        NULL-terminated; argv[0] is a path
 * input       its standard input (input_len bytes; may be empty)
 * timeout_ms  killed after it
 * max_output  bytes of standard output at most; more is an error
 * ret_output  NUL-terminated, caller frees
 *
 * Returns 0; HZ_ETIMEOUT, HZ_ETOOBIG, or HZ_EREFUSED when it ended with another code than 0 (with its last line on stderr).
 * Cost: a fork, an exec and whatever it does.
 */
HZ_MUST_CHECK int hz_probe_run(char *const argv[], const char *input, size_t input_len, uint32_t timeout_ms, size_t max_output,
        char **ret_output, size_t *ret_len);

#endif
