/* doctor_host.c - what the machine gives: shared memory, limits, kernel, libraries. */
#include "doctor.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WORKERS_WANTED = 64, WORKER_BYTES = 262144, WORKER_DESCRIPTORS = 8, DESCRIPTORS_WANTED = 1024 };

void hz_doctor_shm(struct hz_doctor *doctor)
{
    static const char grow[] = "mount -o remount,size=1G /dev/shm (docker: --shm-size=1g)";
    struct statvfs info;
    char size[16], left[16], wanted[16], name[64];
    if (statvfs("/dev/shm", &info)) {
        hz_doctor_find(doctor, HZ_FINDING_BAD, "/dev/shm", "mount -t tmpfs tmpfs /dev/shm", "/dev/shm is not there: %s",
                strerror(errno));
        return;
    }
    snprintf(name, sizeof name, "/horizon-doctor-%d", (int)getpid());
    int fd = shm_open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) {
        hz_doctor_find(doctor, HZ_FINDING_BAD, "/dev/shm", "chmod 1777 /dev/shm", "no file can be made in /dev/shm: %s",
                strerror(errno));
        return;
    }
    shm_unlink(name);
    close(fd);
    uint64_t total = (uint64_t)info.f_blocks * info.f_frsize, free_bytes = (uint64_t)info.f_bavail * info.f_frsize;
    uint64_t need = (uint64_t)WORKERS_WANTED * WORKER_BYTES;
    hz_cli_bytes(size, total);
    hz_cli_bytes(left, free_bytes);
    hz_cli_bytes(wanted, need);
    enum hz_finding_state state = free_bytes >= need       ? HZ_FINDING_OK
                                  : free_bytes >= need / 4 ? HZ_FINDING_WARN
                                                           : HZ_FINDING_BAD;
    hz_doctor_find(doctor, state, "/dev/shm", state ? grow : "",
            "%s, %s free: room for about %llu workers (%s wanted for %d)", size, left,
            (unsigned long long)(free_bytes / WORKER_BYTES), wanted, WORKERS_WANTED);
}

void hz_doctor_limits(struct hz_doctor *doctor)
{
    static const char raise[] = "ulimit -n 65536 (systemd: LimitNOFILE=65536; /etc/security/limits.conf: nofile)";
    struct rlimit files, processes;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        bool few = files.rlim_max < DESCRIPTORS_WANTED;
        hz_doctor_find(doctor, few ? HZ_FINDING_BAD : HZ_FINDING_OK, "descriptors", few ? raise : "",
                "%llu may be open (hard limit %llu): enough for about %llu workers", (unsigned long long)files.rlim_cur,
                (unsigned long long)files.rlim_max, (unsigned long long)(files.rlim_max / WORKER_DESCRIPTORS));
    }
    if (getrlimit(RLIMIT_NPROC, &processes) == 0 && processes.rlim_cur != RLIM_INFINITY) {
        bool few = processes.rlim_cur < 256;
        hz_doctor_find(doctor, few ? HZ_FINDING_WARN : HZ_FINDING_OK, "processes",
                few ? "ulimit -u 8192 (systemd: TasksMax)" : "", "%llu processes and threads of this user",
                (unsigned long long)processes.rlim_cur);
    }
}

void hz_doctor_kernel(struct hz_doctor *doctor)
{
    bool required = doctor->config->sandbox == HZ_SANDBOX_REQUIRE;
    enum hz_finding_state weaker = required ? HZ_FINDING_BAD : HZ_FINDING_WARN;
    long pidfd = syscall(SYS_pidfd_open, getpid(), 0);
    if (pidfd >= 0)
        close((int)pidfd);
    hz_doctor_find(doctor, pidfd >= 0 ? HZ_FINDING_OK : HZ_FINDING_BAD, "pidfd",
            pidfd >= 0 ? "" : "a kernel of 5.3 or newer",
            pidfd >= 0 ? "the end of a worker is told by the kernel" : "this kernel has no pidfd_open");
    uint32_t action = SECCOMP_RET_KILL_PROCESS;
    bool seccomp = syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0;
    hz_doctor_find(doctor, seccomp ? HZ_FINDING_OK : weaker, "seccomp",
            seccomp ? "" : "a kernel with CONFIG_SECCOMP_FILTER",
            seccomp ? "system calls of workers are filtered"
                    : "this kernel filters no system calls: workers are less contained");
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    if (abi > 0)
        hz_doctor_find(
                doctor, HZ_FINDING_OK, "landlock", "", "version %ld: workers reach no file that is not theirs", abi);
    else
        hz_doctor_find(doctor, weaker, "landlock",
                "a kernel with CONFIG_SECURITY_LANDLOCK, started with landlock in lsm=",
                "this kernel has no Landlock: only seccomp keeps workers from files");
}

/* In a child: a library that breaks while it is loaded breaks nothing here. */
static bool loads(const char *library)
{
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0)
        _exit(dlopen(library, RTLD_NOW | RTLD_LOCAL) ? 0 : 1);
    int status;
    return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

void hz_doctor_libraries(struct hz_doctor *doctor)
{
    static const struct {
        const char *file, *package, *use;
    } libraries[] = {
            {"libjavascriptcoregtk-4.1.so.0", "libjavascriptcoregtk-4.1-0",
                    "expressions that are more than paths and comparisons"},
            {"libcurl.so.4", "libcurl4", "the commands that talk to a server, and the node http_request"},
    };
    for (size_t i = 0; i < HZ_COUNT_OF(libraries); i++) {
        char cure[96];
        bool ok = loads(libraries[i].file);
        snprintf(cure, sizeof cure, "apt install %s", libraries[i].package);
        hz_doctor_find(doctor, ok ? HZ_FINDING_OK : HZ_FINDING_BAD, "library", ok ? "" : cure, "%s %s (%s)",
                libraries[i].file, ok ? "is here" : "cannot be loaded", libraries[i].use);
    }
}
