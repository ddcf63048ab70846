/*
 * bench.c - the frame of the benchmark programs. Not a benchmark itself; knows nothing of what is measured.
 *
 * The two CPUs of a virtual machine move apart and together by themselves (a cache line's round trip takes 28, 64 or
 * 307 ns on the same host within minutes). A row that depends on it is probed before and after every run; runs whose
 * two probes differ are repeated, and the median is taken over the largest group of runs at the same distance.
 */
#include "bench.h"

#include <math.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define ALIKE      1.30 /* two distances within this factor are the same distance */
#define MOST_TRIES 4u   /* per run that was wanted */
#define MOST_RUNS  64u

static char skip_text[256];

bool hz_bench_skip(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(skip_text, sizeof(skip_text), format, args);
    va_end(args);
    return false;
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double hz_bench_percentile(double *values, size_t count, double percent)
{
    HZ_ASSERT(count > 0);
    qsort(values, count, sizeof(*values), compare_doubles);
    double at = percent / 100 * (double)(count - 1);
    size_t low = (size_t)at, high = HZ_MIN(low + 1, count - 1);
    return values[low] + (values[high] - values[low]) * (at - (double)low);
}

double hz_bench_median(double *values, size_t count)
{
    return hz_bench_percentile(values, count, 50);
}

void hz_bench_cpus(int *ret_first, int *ret_second)
{
    /* Asked once, before anybody is pinned. */
    static int first = -1, second = -1;
    if (first < 0) {
        cpu_set_t set;
        CPU_ZERO(&set);
        HZ_ASSERT(sched_getaffinity(0, sizeof(set), &set) == 0);
        for (size_t i = 0; i < CPU_SETSIZE; i++) {
            if (!CPU_ISSET(i, &set))
                continue;
            if (first < 0)
                first = second = (int)i;
            else if (second == first)
                second = (int)i;
        }
    }
    *ret_first = first;
    *ret_second = second;
}

bool hz_bench_pin(int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((unsigned)cpu, &set);
    return sched_setaffinity(0, sizeof(set), &set) == 0;
}

void *hz_bench_shared(size_t bytes)
{
    void *mem = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    HZ_ASSERT(mem != MAP_FAILED);
    return mem;
}

int hz_bench_child(void (*fn)(void *arg), void *arg, int cpu)
{
    pid_t parent = getpid();
    fflush(NULL);
    pid_t pid = fork();
    HZ_ASSERT(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(1);
        hz_bench_pin(cpu);
        fn(arg);
        _exit(0);
    }
    return pid;
}

bool hz_bench_wait(int pid)
{
    int status;
    HZ_ASSERT(waitpid(pid, &status, 0) == pid);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

double hz_bench_pss_mib(int pid)
{
    char path[64], line[256];
    double kib = 0;
    snprintf(path, sizeof path, "/proc/%d/smaps_rollup", pid);
    FILE *f = fopen(path, "re");
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, "Pss:", 4) == 0)
            kib = strtod(line + 4, NULL);
    if (f)
        fclose(f);
    return kib / 1024;
}

/* Two cells, each written by one side: the smallest exchange two CPUs can have. */
struct probe {
    _Alignas(128) _Atomic uint32_t ping;
    _Alignas(128) _Atomic uint32_t pong;
};
#define PROBE_TURNS  2000u
#define PROBE_BURSTS 9u

static void probe_peer(void *arg)
{
    struct probe *probe = arg;
    for (uint32_t i = 1; i <= PROBE_TURNS * PROBE_BURSTS; i++) {
        while (atomic_load_explicit(&probe->ping, memory_order_acquire) != i) {
        }
        atomic_store_explicit(&probe->pong, i, memory_order_release);
    }
}

double hz_bench_distance(void)
{
    int first, second;
    hz_bench_cpus(&first, &second);
    struct probe *probe = hz_bench_shared(sizeof(*probe));
    cpu_set_t before; /* the caller's children inherit where it may run */
    HZ_ASSERT(sched_getaffinity(0, sizeof(before), &before) == 0);
    hz_bench_pin(first);
    int pid = hz_bench_child(probe_peer, probe, second);
    double bursts[PROBE_BURSTS];
    uint32_t turn = 0;
    for (size_t b = 0; b < PROBE_BURSTS; b++) {
        uint64_t start = hz_base_now_ns();
        for (uint32_t i = 0; i < PROBE_TURNS; i++) {
            atomic_store_explicit(&probe->ping, ++turn, memory_order_release);
            while (atomic_load_explicit(&probe->pong, memory_order_acquire) != turn) {
            }
        }
        bursts[b] = (double)(hz_base_now_ns() - start) / PROBE_TURNS;
    }
    hz_bench_wait(pid);
    sched_setaffinity(0, sizeof(before), &before);
    munmap(probe, sizeof(*probe));
    return hz_bench_median(bursts, PROBE_BURSTS);
}

static bool alike(double a, double b)
{
    return a <= b * ALIKE && b <= a * ALIKE;
}

bool hz_bench_settle(double ns, double timeout_s)
{
    uint64_t end = hz_base_now_ns() + (uint64_t)(timeout_s * 1e9);
    do
        if (alike(hz_bench_distance(), ns))
            return true;
    while (hz_base_now_ns() < end);
    return false;
}

struct sample {
    struct hz_bench_pair pair;
    double distance;
};

/* Keeps the samples of the most frequent distance; returns how many. */
static size_t keep_alike(struct sample *samples, size_t count)
{
    size_t best = 0, best_count = 0;
    for (size_t i = 0; i < count; i++) {
        size_t same = 0;
        for (size_t k = 0; k < count; k++)
            same += alike(samples[i].distance, samples[k].distance);
        if (same > best_count) {
            best = i;
            best_count = same;
        }
    }
    double distance = samples[best].distance;
    size_t kept = 0;
    for (size_t i = 0; i < count; i++)
        if (alike(samples[i].distance, distance))
            samples[kept++] = samples[i];
    return kept;
}

struct outcome {
    double ours, reference, ratio, distance;
    size_t runs;
};

static bool measure(const struct hz_bench_row *row, struct outcome *ret_outcome)
{
    unsigned wanted = row->runs != 0 ? HZ_MIN(row->runs, MOST_RUNS) : HZ_BENCH_RUNS;
    unsigned tries = row->two_cpus ? wanted * MOST_TRIES : wanted;
    struct sample samples[MOST_RUNS * MOST_TRIES];
    size_t count = 0, kept = 0;
    skip_text[0] = '\0';
    for (unsigned i = 0; i < tries && kept < wanted; i++) {
        struct sample sample = {.distance = row->two_cpus ? hz_bench_distance() : 1};
        if (!row->run(&sample.pair))
            return false;
        if (row->two_cpus && !alike(hz_bench_distance(), sample.distance))
            continue; /* the CPUs moved during the run */
        samples[count++] = sample;
        struct sample group[MOST_RUNS * MOST_TRIES];
        memcpy(group, samples, count * sizeof(*group));
        kept = keep_alike(group, count);
    }
    if (count == 0)
        return hz_bench_skip("the CPUs moved during every run");
    count = keep_alike(samples, count);
    double ours[MOST_RUNS * MOST_TRIES], reference[MOST_RUNS * MOST_TRIES], ratio[MOST_RUNS * MOST_TRIES],
            distance[MOST_RUNS * MOST_TRIES];
    for (size_t i = 0; i < count; i++) {
        ours[i] = samples[i].pair.ours;
        reference[i] = samples[i].pair.reference;
        ratio[i] = reference[i] > 0 ? ours[i] / reference[i] : 0;
        distance[i] = samples[i].distance;
    }
    *ret_outcome = (struct outcome){hz_bench_median(ours, count), hz_bench_median(reference, count),
            hz_bench_median(ratio, count), row->two_cpus ? hz_bench_median(distance, count) : 0, count};
    return true;
}

static bool reached(const struct hz_bench_row *row, const struct outcome *outcome)
{
    double figure = row->reach_of == HZ_BENCH_OURS ? outcome->ours : outcome->ratio;
    return row->higher_is_better ? figure >= row->reach : figure <= row->reach;
}

static void print_json(const struct hz_bench_row *row, const struct outcome *o)
{
    printf("{\"name\":\"%s\",\"ours\":%.6g,\"reference\":", row->name, o->ours);
    if (o->reference > 0)
        printf("%.6g,\"ratio\":%.4g", o->reference, o->ratio);
    else
        printf("null,\"ratio\":null");
    printf(",\"unit\":\"%s\",\"better\":\"%s\",\"reach\":%g,\"reached\":%s,\"runs\":%zu", row->unit,
            row->higher_is_better ? "higher" : "lower", row->reach, reached(row, o) ? "true" : "false", o->runs);
    printf("}\n");
}

static void print_line(const struct hz_bench_row *row, const struct outcome *o)
{
    char reach[48], reference[32] = "-", ratio[32] = "-";
    snprintf(reach, sizeof(reach), "%s%s %g", row->reach_of == HZ_BENCH_OURS ? "" : "ratio ",
            row->higher_is_better ? ">=" : "<=", row->reach);
    if (o->reference > 0) {
        snprintf(reference, sizeof(reference), "%.5g", o->reference);
        snprintf(ratio, sizeof(ratio), "%.3f", o->ratio);
    }
    printf("%-20s %10.5g %10s %8s  %-12s %-14s %-6s %3zu", row->name, o->ours, reference, ratio, row->unit, reach,
            reached(row, o) ? "yes" : "NO", o->runs);
    if (row->two_cpus)
        printf("  (CPUs %.0f ns apart)", o->distance);
    printf("  vs %s\n", row->reference != NULL ? row->reference : "-");
}

static bool wanted(const struct hz_bench_row *row, char **names, int count)
{
    for (int i = 0; i < count; i++)
        if (strcmp(names[i], row->name) == 0)
            return true;
    return count == 0;
}

int hz_bench_main(int argc, char **argv, const struct hz_bench_row *rows, size_t count)
{
    bool json = false, list = false;
    char *names[64];
    int named = 0;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0)
            json = true;
        else if (strcmp(argv[i], "--list") == 0)
            list = true;
        else if (argv[i][0] == '-' || named == (int)HZ_COUNT_OF(names)) {
            fprintf(stderr, "usage: %s [--json] [--list] [NAME...]\n", argv[0]);
            return 2;
        } else
            names[named++] = argv[i];
    }
    int first, second, code = 0;
    hz_bench_cpus(&first, &second);
    bool head = false;
    for (size_t i = 0; i < count; i++) {
        const struct hz_bench_row *row = &rows[i];
        if (!wanted(row, names, named))
            continue; /* another program's row, or not asked for */
        if (list) {
            printf("%s\n", row->name);
            continue;
        }
        if (!json && !head)
            printf("%-20s %10s %10s %8s  %-12s %-14s %-6s %3s\n", "name", "ours", "reference", "ratio", "unit", "reach",
                    "there", "n");
        head = true;
        struct outcome outcome = {0};
        if (!measure(row, &outcome)) {
            fprintf(stderr, "%s: not measured: %s\n", row->name, skip_text[0] != '\0' ? skip_text : "the run failed");
            code = 1;
        } else if (json) {
            print_json(row, &outcome);
        } else {
            print_line(row, &outcome);
        }
        fflush(stdout);
    }
    return code;
}
