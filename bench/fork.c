/* fork.c - see fork.h. Each floor runs in a child of its own, so that this process's size does not count twice. */
#include "fork.h"
#include "manager.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define SEGMENT_BYTES (256 * 1024)
#define FILTER_INSTRUCTIONS 121 /* what libseccomp makes of the compute-only filter */

struct job {
    unsigned count;
    bool cold;
    double median_ns;
};

static void load_filter(void)
{
    struct sock_filter code[FILTER_INSTRUCTIONS];
    for (int i = 0; i < FILTER_INSTRUCTIONS - 1; i++)
        code[i] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0);
    code[FILTER_INSTRUCTIONS - 1] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct sock_fprog program = {FILTER_INSTRUCTIONS, code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
        _exit(1);
}

static int make_segment(void)
{
    char name[64];
    snprintf(name, sizeof name, "/horizon-bench-%d", getpid());
    int fd = shm_open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 || posix_fallocate(fd, 0, SEGMENT_BYTES))
        exit(1);
    shm_unlink(name);
    return fd;
}

static void run_job(void *arg)
{
    struct job *job = arg;
    double *ns = calloc(job->count, sizeof *ns);
    if (!ns)
        exit(1);
    for (unsigned i = 0; i < job->count; i++) {
        uint64_t begun = hz_base_now_ns();
        int fd = job->cold ? make_segment() : -1;
        pid_t pid = fork();
        if (pid == 0) {
            if (job->cold) {
                char *base = mmap(NULL, SEGMENT_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
                if (base == MAP_FAILED)
                    _exit(1);
                base[0] = 1;
                load_filter();
            }
            _exit(0);
        }
        int status;
        if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
            exit(1);
        if (fd >= 0)
            close(fd);
        ns[i] = (double)(hz_base_now_ns() - begun);
    }
    job->median_ns = hz_bench_median(ns, job->count);
    exit(0);
}

static double measure(unsigned count, bool cold)
{
    struct job *job = hz_bench_shared(sizeof *job);
    int first, second;
    job->count = count;
    job->cold = cold;
    hz_bench_cpus(&first, &second);
    (void)first;
    return hz_bench_wait(hz_bench_child(run_job, job, second)) ? job->median_ns : 0;
}

double hz_bench_fork_ns(unsigned count)
{
    return measure(count, false);
}

double hz_bench_cold_fork_ns(unsigned count)
{
    return measure(count, true);
}

double hz_bench_fork_pss_mib(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        pause();
        _exit(0);
    }
    usleep(20000);
    double mib = hz_bench_pss_mib(pid);
    kill(pid, SIGKILL);
    (void)waitpid(pid, NULL, 0);
    return mib;
}
