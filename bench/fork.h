/* fork.h - the floors of worker starts: a bare fork, and a fork that makes what a cold worker needs and nothing else. */
#ifndef HZ_BENCH_FORK_H
#define HZ_BENCH_FORK_H

#include "bench.h"

/* Median nanoseconds of fork + _exit + wait, measured in a small process of its own. */
double hz_bench_fork_ns(unsigned count);
/* The same with a segment of 256 KiB made and mapped, and a seccomp filter of the worker's length loaded. */
double hz_bench_cold_fork_ns(unsigned count);
/* PSS of a bare child that waits, MiB. */
double hz_bench_fork_pss_mib(void);

#endif
