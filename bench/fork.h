/*
 * fork.h - the floors of worker starts, measured by bench-floor (floor.c) in a process of its own: it is linked like the worker, has
 * opened the built-in nodes and prepared sandbox and fault handlers as the base zygote does, and clones children like it.
 * Not pinned, as the manager and its workers are not. Each returns 0 after hz_bench_skip() when it cannot be measured.
 *
 * bare: clone, the child exits at once, wait. Page tables of the zygote's size are in it, nothing else.
 * cold: the parent makes a default segment (shm_open, posix_fallocate of 256 KiB and a little, mmap) and clones; the child maps it,
 *   closes the descriptor, installs the fault handlers and the alternate stack, enters limits, Landlock and the seccomp filter
 *   with the worker's own functions, and exits; the parent waits, unmaps, unlinks. One thread, as an isolated worker has.
 */
#ifndef HZ_BENCH_FORK_H
#define HZ_BENCH_FORK_H

#include "bench.h"

/* Median nanoseconds of a bare child's life, from before the clone to after the wait. */
double hz_bench_fork_ns(unsigned count);
/* The same of a cold one. */
double hz_bench_cold_fork_ns(unsigned count);
/* Cold ones a second, as many as go, `in_flight` alive at once. */
double hz_bench_cold_fork_rate(unsigned count, unsigned in_flight);

#endif
