/*
 * bench.h - what every benchmark program shares: pinning, timing, medians, the distance of the two CPUs, printing.
 *
 * A row compares ours with a reference measured in the same run. A program registers its rows and calls
 * hz_bench_main(); `program [--json] [NAME...]` runs the named rows (all without names) and prints a table or one JSON
 * object a line:
 * {"name","ours","reference","ratio","unit","better","reach","runs"}.
 */
#ifndef HZ_BENCH_H
#define HZ_BENCH_H

#include "shm/base.h"

struct hz_bench_pair {
    double ours, reference;
};

enum hz_bench_reach { /* what the figure `reach` of a row bounds */
    HZ_BENCH_RATIO,   /* ours / reference */
    HZ_BENCH_OURS     /* ours itself: the reference is only shown (0: there is none) */
};

struct hz_bench_row {
    const char *name, *unit;
    bool higher_is_better;
    double reach;
    enum hz_bench_reach reach_of;
    const char *reference; /* what the reference is, for the table */
    /* One run. False: this host cannot do it, or the run failed (hz_bench_skip() says why). */
    bool (*run)(struct hz_bench_pair *ret_pair);
    unsigned runs; /* 0: HZ_BENCH_RUNS */
    bool two_cpus; /* depends on the distance of two CPUs: probe before and after each run, compare like with like */
};
#define HZ_BENCH_RUNS 7u

/* Runs and prints; the exit code of the program: 0, 1 if a row could not be measured, 2 for a wrong argument. */
int hz_bench_main(int argc, char **argv, const struct hz_bench_row *rows, size_t count);
/* Says why a row cannot be measured; returns false. */
bool hz_bench_skip(const char *format, ...) HZ_PRINTF(1, 2);

/* The CPUs for the two ends: different ones if the process may use two. */
void hz_bench_cpus(int *ret_first, int *ret_second);
/* Pins the calling thread; false if refused. */
bool hz_bench_pin(int cpu);
/* Round trip of one cache line between the two CPUs, nanoseconds: median of short bursts, about 3 ms. */
double hz_bench_distance(void);
/* Waits until the distance is within 30 % of `ns` (at most timeout_s), so that two halves of a comparison are alike. */
bool hz_bench_settle(double ns, double timeout_s);

double hz_bench_median(double *values, size_t count);
/* Percentile 0..100 of sorted or unsorted values (sorts them). */
double hz_bench_percentile(double *values, size_t count, double percent);
/* A zeroed mapping shared with children of fork(), at least `bytes`, prefaulted. Aborts if there is none. */
void *hz_bench_shared(size_t bytes);
/* Runs fn(arg) in a child pinned to `cpu` that dies with us; returns its pid. */
int hz_bench_child(void (*fn)(void *arg), void *arg, int cpu);
/* Waits for it; true if it exited 0. */
bool hz_bench_wait(int pid);
/* PSS of a process, MiB; 0 if the kernel does not say. */
double hz_bench_pss_mib(int pid);
/* Keeps the compiler from dropping a result. */
static inline void hz_bench_keep(const void *ptr)
{
    __asm__ __volatile__("" : : "r"(ptr) : "memory");
}

#endif
