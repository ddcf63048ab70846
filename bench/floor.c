/*
 * floor.c - the least a worker's start can cost: a process that has what the base zygote has (the worker's code, the built-in nodes,
 * prepared filter and Landlock rules), and clones children that do nothing, or make what a cold worker needs and nothing else.
 * A program of its own, because the worker's code and the manager's do not go into one; fork.c runs it. Prints one number.
 *
 *   bench-floor NODES bare COUNT            median ns of clone + _exit + wait
 *   bench-floor NODES cold COUNT            the same with segment, mapping, sandbox, fault handlers
 *   bench-floor NODES rate COUNT IN_FLIGHT  cold ones a second, so many alive at once
 */
#include "bench.h"

#include "shm/segment.h"
#include "worker/crash.h"
#include "worker/loader.h"
#include "worker/sandbox.h"
#include "worker/thread.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MOST_IN_FLIGHT 256u

static const struct hz_sandbox_options sandbox = {.open_files = 256};

HZ_NORETURN static void give_up(const char *what)
{
    fprintf(stderr, "bench-floor: %s: %s\n", what, hz_err_last());
    exit(1);
}

/* As the zygote does it, but our own child. */
static pid_t clone_child(void)
{
    long pid = syscall(SYS_clone, (unsigned long)SIGCHLD, 0, NULL, NULL, 0);
    if (pid < 0)
        give_up("clone");
    return (pid_t)pid;
}

HZ_NORETURN static void run_cold(const struct hz_geometry *geometry, int fd)
{
    static struct hz_segment segment;
    static struct hz_thread thread;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (hz_segment_attach(&segment, fd, geometry)) /* closes fd */
        _exit(1);
    segment.header->worker_pid = (uint32_t)getpid();
    thread.lane = &segment.lanes[0];
    if (hz_crash_install() || hz_crash_thread_begin(&thread) || hz_sandbox_enter(&sandbox))
        _exit(1);
    _exit(0);
}

static pid_t start_cold(struct hz_segment *ret_segment)
{
    struct hz_geometry geometry = hz_segment_geometry(1);
    struct hz_uuid id = hz_uuid_new();
    int fd;
    if (hz_segment_create(ret_segment, "bench000", &id, &geometry, &fd))
        give_up("segment");
    pid_t pid = clone_child();
    if (pid == 0)
        run_cold(&geometry, fd);
    close(fd);
    return pid;
}

static void end_cold(struct hz_segment *segment)
{
    char name[HZ_SEGMENT_NAME];
    memcpy(name, segment->name, sizeof name);
    hz_segment_detach(segment);
    (void)hz_segment_unlink(name);
}

static pid_t wait_for(pid_t pid)
{
    int status;
    pid_t got = waitpid(pid, &status, 0);
    if (got < 0 || status)
        give_up("a child failed");
    return got;
}

static double median_ns(unsigned count, bool cold)
{
    double *ns = calloc(count, sizeof *ns);
    if (!ns)
        give_up("memory");
    for (unsigned i = 0; i < count; i++) {
        static struct hz_segment segment;
        uint64_t begun = hz_base_now_ns();
        pid_t pid = cold ? start_cold(&segment) : clone_child();
        if (pid == 0)
            _exit(0);
        (void)wait_for(pid);
        if (cold)
            end_cold(&segment);
        ns[i] = (double)(hz_base_now_ns() - begun);
    }
    double median = hz_bench_median(ns, count);
    free(ns);
    return median;
}

static double per_second(unsigned count, unsigned in_flight)
{
    static struct {
        pid_t pid;
        struct hz_segment segment;
    } slots[MOST_IN_FLIGHT];
    unsigned started = 0, ended = 0;
    in_flight = HZ_MIN(in_flight, MOST_IN_FLIGHT);
    uint64_t begun = hz_base_now_ns();
    while (ended < count) {
        for (unsigned i = 0; i < in_flight && started < count; i++)
            if (slots[i].pid == 0) {
                slots[i].pid = start_cold(&slots[i].segment);
                started++;
            }
        pid_t pid = wait_for(-1);
        for (unsigned i = 0; i < in_flight; i++)
            if (slots[i].pid == pid) {
                slots[i].pid = 0;
                end_cold(&slots[i].segment);
                ended++;
                break;
            }
    }
    return count / ((double)(hz_base_now_ns() - begun) / 1e9);
}

int main(int argc, char **argv)
{
    unsigned count = argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : 100, in_flight = argc > 4 ? (unsigned)strtoul(argv[4], NULL, 10) : 1;
    const char *what = argc > 2 ? argv[2] : "";
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (argc < 3 || count == 0 || in_flight == 0) {
        fprintf(stderr, "usage: bench-floor NODES bare|cold COUNT | rate COUNT IN_FLIGHT\n");
        return 2;
    }
    if (hz_loader_preload(argv[1], false) < 0)
        give_up("nodes");
    hz_crash_prepare();
    tzset();
    if (hz_sandbox_prepare(&sandbox))
        give_up("sandbox");
    fflush(NULL);
    if (strcmp(what, "rate") == 0)
        printf("%.17g\n", per_second(count, in_flight));
    else
        printf("%.17g\n", median_ns(count, strcmp(what, "cold") == 0));
    return 0;
}
