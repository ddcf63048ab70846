/*
 * sandbox_filter.c - which system calls a worker may make. A list of what computing needs (as traced: jansson, liburcu, libuv,
 * JavaScriptCore without JIT), everything else answers EPERM, which libraries cope with; a short list of calls that no honest
 * node makes traps instead and ends the worker with the call's number.
 */
#include "sandbox_filter.h"

#include "shm/err.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PID_MARK 0x5a17c3e9u /* stands for the worker's pid until it is loaded; no call number, flag or pid looks like it */
#define FILTER_BYTES_MAX (4096u * sizeof(struct sock_filter))

static const int computing[] = {SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(readv), SCMP_SYS(writev), SCMP_SYS(pread64), SCMP_SYS(lseek),
        SCMP_SYS(close), SCMP_SYS(fstat), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(brk), SCMP_SYS(madvise), SCMP_SYS(futex),
        SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn), SCMP_SYS(rt_sigtimedwait), SCMP_SYS(sigaltstack),
        SCMP_SYS(clock_gettime), SCMP_SYS(clock_getres), SCMP_SYS(clock_nanosleep), SCMP_SYS(nanosleep), SCMP_SYS(gettimeofday), SCMP_SYS(time),
        SCMP_SYS(getpid), SCMP_SYS(getppid), SCMP_SYS(gettid), SCMP_SYS(getuid), SCMP_SYS(geteuid), SCMP_SYS(getgid), SCMP_SYS(getegid),
        SCMP_SYS(epoll_create1), SCMP_SYS(epoll_ctl), SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait), SCMP_SYS(epoll_pwait2), SCMP_SYS(eventfd2),
        SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(select), SCMP_SYS(pselect6), SCMP_SYS(pipe2), SCMP_SYS(timerfd_create),
        SCMP_SYS(timerfd_settime), SCMP_SYS(timerfd_gettime), SCMP_SYS(dup), SCMP_SYS(getrandom), SCMP_SYS(exit),
        SCMP_SYS(exit_group), SCMP_SYS(set_robust_list), SCMP_SYS(set_tid_address), SCMP_SYS(rseq), SCMP_SYS(membarrier),
        SCMP_SYS(sched_yield), SCMP_SYS(sched_getaffinity), SCMP_SYS(sched_getparam), SCMP_SYS(sched_getscheduler),
        SCMP_SYS(sched_get_priority_max), SCMP_SYS(sched_get_priority_min), SCMP_SYS(sysinfo), SCMP_SYS(getrusage), SCMP_SYS(times),
        SCMP_SYS(getcpu), SCMP_SYS(restart_syscall), SCMP_SYS(uname)};

static const int networking[] = {SCMP_SYS(connect), SCMP_SYS(getsockname), SCMP_SYS(getpeername), SCMP_SYS(setsockopt), SCMP_SYS(getsockopt),
        SCMP_SYS(sendto), SCMP_SYS(recvfrom), SCMP_SYS(sendmsg), SCMP_SYS(recvmsg), SCMP_SYS(sendmmsg), SCMP_SYS(recvmmsg), SCMP_SYS(shutdown),
        SCMP_SYS(bind), SCMP_SYS(socketpair), SCMP_SYS(statx), SCMP_SYS(access), SCMP_SYS(readlink), SCMP_SYS(getdents64)};

/* Which files: Landlock's business. */
static const int reading[] = {SCMP_SYS(statx), SCMP_SYS(access), SCMP_SYS(faccessat), SCMP_SYS(faccessat2), SCMP_SYS(readlink),
        SCMP_SYS(readlinkat), SCMP_SYS(getdents64), SCMP_SYS(fadvise64), SCMP_SYS(preadv), SCMP_SYS(getcwd), SCMP_SYS(fstatfs)};

/* No chmod, chown, links: Landlock does not know the first two, and the others reach what was not granted. */
static const int writing[] = {SCMP_SYS(openat), SCMP_SYS(pwrite64), SCMP_SYS(pwritev), SCMP_SYS(ftruncate), SCMP_SYS(fallocate), SCMP_SYS(fsync),
        SCMP_SYS(fdatasync), SCMP_SYS(rename), SCMP_SYS(renameat), SCMP_SYS(renameat2), SCMP_SYS(unlink), SCMP_SYS(unlinkat),
        SCMP_SYS(mkdir), SCMP_SYS(mkdirat), SCMP_SYS(rmdir), SCMP_SYS(flock)};

/* What a shell and the program it starts need beyond computing and reading. */
static const int processes[] = {SCMP_SYS(fork), SCMP_SYS(vfork), SCMP_SYS(execve), SCMP_SYS(wait4), SCMP_SYS(waitid),
        SCMP_SYS(kill), SCMP_SYS(tgkill), SCMP_SYS(arch_prctl), SCMP_SYS(dup2), SCMP_SYS(dup3), SCMP_SYS(pipe), SCMP_SYS(setpgid),
        SCMP_SYS(getpgid), SCMP_SYS(getpgrp), SCMP_SYS(getsid), SCMP_SYS(setsid), SCMP_SYS(umask), SCMP_SYS(chdir), SCMP_SYS(fchdir),
        SCMP_SYS(getresuid), SCMP_SYS(getresgid), SCMP_SYS(getgroups), SCMP_SYS(alarm), SCMP_SYS(setitimer), SCMP_SYS(rt_sigsuspend),
        SCMP_SYS(pause), SCMP_SYS(stat), SCMP_SYS(lstat)};

static const int never[] = {SCMP_SYS(ptrace), SCMP_SYS(bpf), SCMP_SYS(mount), SCMP_SYS(umount2), SCMP_SYS(pivot_root), SCMP_SYS(io_uring_setup),
        SCMP_SYS(io_uring_enter), SCMP_SYS(io_uring_register), SCMP_SYS(keyctl), SCMP_SYS(add_key), SCMP_SYS(request_key), SCMP_SYS(userfaultfd),
        SCMP_SYS(perf_event_open), SCMP_SYS(kexec_load), SCMP_SYS(kexec_file_load), SCMP_SYS(init_module), SCMP_SYS(finit_module),
        SCMP_SYS(delete_module), SCMP_SYS(process_vm_readv), SCMP_SYS(process_vm_writev), SCMP_SYS(pidfd_getfd), SCMP_SYS(setns),
        SCMP_SYS(unshare), SCMP_SYS(reboot), SCMP_SYS(swapon), SCMP_SYS(swapoff), SCMP_SYS(open_by_handle_at), SCMP_SYS(settimeofday),
        SCMP_SYS(clock_settime), SCMP_SYS(chroot)};

static int add_all(scmp_filter_ctx filter, uint32_t action, const int *calls, size_t count)
{
    int err = 0;
    for (size_t i = 0; i < count && !err; i++)
        err = seccomp_rule_add(filter, action, calls[i], 0);
    return err;
}

/* Anonymous shared memory escapes the limit of data, so it is not offered; executable memory only where the set says so. */
static int add_mappings(scmp_filter_ctx filter, unsigned set)
{
    static const unsigned kinds[] = {MAP_ANONYMOUS, MAP_SHARED, 0}; /* private anonymous, shared file, private file */
    int err = 0;
    for (size_t i = 0; i < HZ_COUNT_OF(kinds) && !err; i++) {
        bool executable = kinds[i] == MAP_ANONYMOUS ? (set & HZ_FILTER_JIT) != 0 : kinds[i] == 0 && (set & (HZ_FILTER_EXEC_FILES | HZ_FILTER_PROCESS)) != 0;
        struct scmp_arg_cmp kind = SCMP_A3(SCMP_CMP_MASKED_EQ, MAP_SHARED | MAP_ANONYMOUS, kinds[i]);
        err = executable ? seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1, kind)
                         : seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 2, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0), kind);
    }
    if (!err && set & (HZ_FILTER_JIT | HZ_FILTER_EXEC_FILES | HZ_FILTER_PROCESS))
        err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 0);
    else if (!err)
        err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    return err;
}

/* No F_SETOWN and F_SETSIG: with them the kernel sends a signal of the worker's choice to a process of its choice. */
static int add_fcntl(scmp_filter_ctx filter)
{
    static const unsigned commands[] = {F_DUPFD, F_DUPFD_CLOEXEC, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_GETLK, F_SETLK, F_SETLKW,
            F_OFD_GETLK, F_OFD_SETLK, F_OFD_SETLKW};
    int err = 0;
    for (size_t i = 0; i < HZ_COUNT_OF(commands) && !err; i++)
        err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 1, SCMP_A1(SCMP_CMP_MASKED_EQ, UINT32_MAX, commands[i]));
    return err;
}

/* A child in no namespace of its own, where it would have every capability, and not the manager's child instead of ours. */
#define CLONE_FOREIGN (CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP | \
                       CLONE_PARENT | CLONE_PTRACE)

/* Threads yes, processes no; clone3 hides its flags behind a pointer, so libc is sent back to clone. */
static int add_process(scmp_filter_ctx filter, unsigned set)
{
    bool alone = (set & HZ_FILTER_PROCESS) == 0;
    int err = alone ? seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
                              SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD | CLONE_VM, CLONE_THREAD | CLONE_VM))
                    : seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1, SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_FOREIGN, 0));
    if (!err && !alone)
        err = add_all(filter, SCMP_ACT_ALLOW, processes, HZ_COUNT_OF(processes));
    if (!err)
        err = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
    if (!err && alone)
        err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1, SCMP_A0(SCMP_CMP_EQ, PID_MARK));
    if (!err) /* reading our own limits */
        err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 2, SCMP_A0(SCMP_CMP_EQ, 0), SCMP_A2(SCMP_CMP_EQ, 0));
    if (!err)
        err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1, SCMP_A0(SCMP_CMP_EQ, PR_SET_NAME));
    if (!err)
        err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1, SCMP_A0(SCMP_CMP_EQ, PR_GET_NAME));
    if (!err)
        err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1, SCMP_A1(SCMP_CMP_EQ, FIONBIO));
    if (!err) /* a further filter: the seal */
        err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(seccomp), 1, SCMP_A0(SCMP_CMP_EQ, SECCOMP_SET_MODE_FILTER));
    return err;
}

static int add_files(scmp_filter_ctx filter, unsigned set)
{
    if (set & HZ_FILTER_EXEC_FILES) { /* giving up a capability, before the seal */
        int given = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(capset), 0);
        if (given)
            return given;
    }
    const unsigned opens = HZ_FILTER_NET | HZ_FILTER_EXEC_FILES | HZ_FILTER_SCRIPT | HZ_FILTER_READ | HZ_FILTER_WRITE | HZ_FILTER_PROCESS;
    if (set & opens) { /* which files: Landlock's business. Truncating is writing, and kernels before 6.2 leave it to us. */
        int err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(newfstatat), 0);
        if (!err && set & (HZ_FILTER_READ | HZ_FILTER_WRITE | HZ_FILTER_PROCESS))
            err = add_all(filter, SCMP_ACT_ALLOW, reading, HZ_COUNT_OF(reading));
        if (!err && set & HZ_FILTER_WRITE)
            return add_all(filter, SCMP_ACT_ALLOW, writing, HZ_COUNT_OF(writing));
        if (!err && set & HZ_FILTER_PROCESS) /* a shell throws away into /dev/null */
            err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(openat), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, O_ACCMODE, O_WRONLY));
        return err ? err : seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(openat), 1,
                                   SCMP_A2(SCMP_CMP_MASKED_EQ, O_ACCMODE | O_CREAT | O_TRUNC, O_RDONLY));
    }
    return seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(newfstatat), 1, SCMP_A3(SCMP_CMP_MASKED_EQ, AT_EMPTY_PATH, AT_EMPTY_PATH));
}

static int add_network(scmp_filter_ctx filter)
{
    static const unsigned families[] = {AF_INET, AF_INET6, AF_NETLINK};
    int err = add_all(filter, SCMP_ACT_ALLOW, networking, HZ_COUNT_OF(networking));
    for (size_t i = 0; i < HZ_COUNT_OF(families) && !err; i++)
        err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1, SCMP_A0(SCMP_CMP_EQ, families[i]));
    if (!err)
        err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1, SCMP_A1(SCMP_CMP_EQ, FIONREAD));
    return err;
}

/* libseccomp writes its program to a descriptor. */
static int export_program(scmp_filter_ctx filter, struct hz_filter *ret_filter)
{
    int fd = memfd_create("filter", MFD_CLOEXEC);
    if (fd < 0)
        return -errno;
    int err = seccomp_export_bpf(filter, fd);
    off_t size = err ? 0 : lseek(fd, 0, SEEK_END);
    struct sock_filter *code = NULL;
    if (!err && (size <= 0 || (size_t)size > FILTER_BYTES_MAX || (size_t)size % sizeof *code))
        err = -EINVAL;
    if (!err && !(code = malloc((size_t)size)))
        err = HZ_ENOMEM;
    if (!err && pread(fd, code, (size_t)size, 0) != size)
        err = -EIO;
    close(fd);
    unsigned count = (unsigned)((size_t)size / sizeof *code), marks = 0;
    for (unsigned i = 0; i < count && !err; i++)
        if (BPF_CLASS(code[i].code) == BPF_JMP && code[i].k == PID_MARK) {
            ret_filter->pid_at = (unsigned short)i;
            marks++;
        }
    if (!err && marks > 1)
        err = -EINVAL;
    if (err) {
        free(code);
        return err;
    }
    ret_filter->code = code;
    ret_filter->count = (unsigned short)count;
    return 0;
}

int hz_filter_build(unsigned set, struct hz_filter *ret_filter)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    if (!filter)
        return HZ_ENOMEM;
    int err = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* a binary tree over the call numbers */
    if (!err)
        err = add_all(filter, SCMP_ACT_ALLOW, computing, HZ_COUNT_OF(computing));
    if (!err)
        err = add_all(filter, SCMP_ACT_TRAP, never, HZ_COUNT_OF(never));
    if (!err)
        err = add_fcntl(filter);
    if (!err)
        err = add_mappings(filter, set);
    if (!err)
        err = add_process(filter, set);
    if (!err)
        err = add_files(filter, set);
    if (!err && set & HZ_FILTER_NET)
        err = add_network(filter);
    if (!err)
        err = export_program(filter, ret_filter);
    if (!err && !(set & HZ_FILTER_PROCESS) && ret_filter->pid_at == 0) {
        free(ret_filter->code);
        ret_filter->code = NULL;
        err = -EINVAL;
    }
    seccomp_release(filter);
    return err;
}

int hz_filter_load(struct hz_filter *filter)
{
    if (filter->pid_at)
        filter->code[filter->pid_at].k = (uint32_t)getpid();
    struct sock_fprog program = {filter->count, filter->code};
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program))
        return -errno;
    return 0;
}
