/*
 * attacker - what an enemy's code would try from inside a worker, one attack a run: `attack` names it, `ms` says how long, `path` and
 * `port` are the victim's data directory and port. Emits {tried, worked, errno}: errno of the last refusal; `worked` counts what did
 * what the attacker wanted. Attacks that the filter answers with a trap end the worker. A test's node; see test_hostile.py.
 */
#include "tests/badnodes/segment_find.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>

struct attack {
    char path[400];
    int port;
    uint64_t until_ns, tried, worked;
    int last_errno;
};

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void note(struct attack *a, bool worked)
{
    int error = errno;
    a->tried++;
    a->worked += worked;
    if (!worked)
        a->last_errno = error;
}

static const char *in_data(const struct attack *a, const char *name)
{
    static char path[512];
    (void)snprintf(path, sizeof(path), "%s/%s", a->path, name);
    return path;
}

/* ---- memory shared with the manager: whatever is written there may be written; what counts is what comes of it ---- */
__attribute__((no_sanitize("address"))) static void rings(struct attack *a)
{
    size_t size = 0;
    volatile uint64_t *base = (volatile uint64_t *)(volatile void *)segment_find(&size);
    uint64_t state = 0x9e3779b97f4a7c15u ^ (uint64_t)getpid();
    for (size_t i = 0; base && i < size / 8; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        base[i] = i % 3 ? state : state & 0xfff8;
        a->tried++;
    }
}

/* Plausible records only: small words, so that lengths and indices look right and change while they are read. */
__attribute__((no_sanitize("address"))) static void records(struct attack *a)
{
    size_t size = 0;
    volatile uint64_t *base = (volatile uint64_t *)(volatile void *)segment_find(&size);
    for (size_t i = 512; base && i < size / 8; i++) {
        base[i] = (uint64_t)(32 + (a->tried + i) % 11) << 32 | (8 * (i % 40));
        a->tried++;
    }
}

__attribute__((no_sanitize("address"))) static void holes(struct attack *a)
{
    size_t size = 0;
    volatile unsigned char *base = segment_find(&size);
    note(a, base && madvise((void *)(uintptr_t)base, size, MADV_REMOVE) == 0);
}

/* ---- what is open ---- */
static void descriptors(struct attack *a)
{
    static const char noise[4096];
    for (int fd = 0; fd < 64; fd++) {
        struct stat info;
        if (fstat(fd, &info) != 0 || fd == 1 || fd == 2)
            continue;
        (void)fcntl(fd, F_SETFL, O_NONBLOCK);
        note(a, ftruncate(fd, 0) == 0);
        note(a, mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) != MAP_FAILED);
        (void)!write(fd, noise, sizeof(noise)); /* the doorbells: rung as often as they can be */
    }
}

/* ---- others ---- */
static void signals(struct attack *a)
{
    static const int numbers[] = {SIGKILL, SIGSTOP, SIGTERM, SIGSEGV};
    pid_t self = getpid();
    for (size_t i = 0; i < 4; i++) {
        note(a, kill(getppid(), numbers[i]) == 0);
        note(a, kill(-1, numbers[i]) == 0);
        note(a, kill(0, numbers[i]) == 0);
        note(a, syscall(SYS_tkill, getppid(), numbers[i]) == 0);
        siginfo_t info = {.si_code = SI_QUEUE};
        note(a, syscall(SYS_rt_sigqueueinfo, getppid(), numbers[i], &info) == 0);
        int fd = (int)syscall(SYS_pidfd_open, getppid(), 0);
        note(a, fd >= 0);
        note(a, syscall(SYS_pidfd_send_signal, fd, numbers[i], NULL, 0) == 0);
        for (pid_t pid = self - 40; pid < self + 40; pid++)
            if (pid > 1 && pid != self)
                note(a, kill(pid, numbers[i]) == 0 || syscall(SYS_tgkill, pid, pid, numbers[i]) == 0);
    }
}

/* The kernel is to send the signals of a descriptor: to the manager, to whoever is near, by every way of asking for it. */
static void owner(struct attack *a)
{
    int ends[2];
    if (pipe2(ends, O_NONBLOCK | O_CLOEXEC))
        return;
    for (pid_t pid = getpid() - 10; pid < getpid() + 10; pid++) {
        pid_t victim = pid == getpid() ? getppid() : pid;
        struct f_owner_ex process = {F_OWNER_PID, victim};
        if (victim < 2)
            continue;
        note(a, fcntl(ends[0], F_SETOWN, victim) == 0);
        note(a, fcntl(ends[0], F_SETOWN_EX, &process) == 0);
        note(a, fcntl(ends[0], F_SETSIG, SIGKILL) == 0);
        (void)fcntl(ends[0], F_SETFL, O_ASYNC | O_NONBLOCK);
        (void)!write(ends[1], "x", 1);
    }
    close(ends[0]);
    close(ends[1]);
}

static void limits(struct attack *a)
{
    struct rlimit limit = {1, 1};
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(0, &set);
    pid_t self = getpid();
    for (pid_t pid = self - 20; pid < self + 20; pid++) {
        if (pid < 2 || pid == self)
            continue;
        note(a, prlimit(pid, RLIMIT_CPU, &limit, NULL) == 0);
        note(a, sched_setaffinity(pid, sizeof(set), &set) == 0);
        note(a, setpriority(PRIO_PROCESS, (id_t)pid, 19) == 0);
    }
    note(a, syscall(SYS_prctl, 1 /* PR_SET_PDEATHSIG */, 0, 0, 0, 0) == 0);
    note(a, setpriority(PRIO_PROCESS, 0, -20) == 0);
}

static void becoming(struct attack *a)
{
    note(a, syscall(SYS_setuid, 0) == 0);
    note(a, syscall(SYS_setresuid, 0, 0, 0) == 0);
    note(a, syscall(SYS_setgroups, 0, NULL) == 0);
    note(a, chmod("/tmp", 0) == 0);
}

/* ---- processes, threads, memory ---- */
static void fork_bomb(struct attack *a)
{
    pid_t pid = fork();
    if (pid == 0)
        for (;;)
            (void)fork();
    note(a, pid > 0);
    long other = syscall(SYS_vfork);
    if (other == 0)
        _exit(0);
    note(a, other > 0);
    char *argv[] = {(char *)(uintptr_t)"sh", NULL};
    note(a, execve("/bin/sh", argv, NULL) == 0);
}

static _Atomic bool threads_end;
static void *sleeper(void *arg)
{
    struct timespec pause = {.tv_nsec = 20000000};
    while (!threads_end)
        nanosleep(&pause, NULL);
    return arg;
}
/* As many threads as there may be, ended again. `worked`: more than a thousand came. */
static void thread_bomb(struct attack *a)
{
    static pthread_t all[4000];
    pthread_attr_t small;
    size_t count = 0;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 65536);
    threads_end = false;
    while (count < 4000 && (errno = pthread_create(&all[count], &small, sleeper, NULL)) == 0)
        count++;
    note(a, count > 1000);
    threads_end = true;
    while (count > 0)
        pthread_join(all[--count], NULL);
    pthread_attr_destroy(&small);
}

/* `worked`: 768 MiB were had and touched. */
static void memory_bomb(struct attack *a)
{
    enum { PIECE = 16 << 20, PIECES = 48 };
    void *all[PIECES];
    int count = 0;
    while (count < PIECES && (all[count] = malloc(PIECE)) != NULL)
        memset(all[count++], 1, PIECE);
    note(a, count == PIECES);
    while (count > 0)
        free(all[--count]);
    note(a, mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0) != MAP_FAILED);
    note(a, syscall(SYS_memfd_create, "x", 0) >= 0);
}

/* ---- files ---- */
static void shared_memory(struct attack *a)
{
    DIR *dir = opendir("/dev/shm");
    note(a, dir != NULL);
    for (const struct dirent *entry; dir && (entry = readdir(dir)) != NULL;)
        if (strncmp(entry->d_name, "horizon-", 8) == 0)
            note(a, shm_unlink(entry->d_name) == 0);
    if (dir)
        closedir(dir);
    note(a, shm_open("/horizon-attacker", O_RDWR | O_CREAT, 0600) >= 0);
    char maps[4096]; /* its own segment's name would tell the instance, and so the names of the others */
    int fd = open("/proc/self/maps", O_RDONLY);
    note(a, fd >= 0 && read(fd, maps, sizeof(maps)) > 0);
    note(a, open("/dev/shm", O_RDONLY | O_DIRECTORY) >= 0);
    note(a, open("/dev/shm/horizon-attacker", O_RDWR | O_CREAT, 0600) >= 0);
}

static void files(struct attack *a)
{
    static const char *const names[] = {"horizon.db", "horizon.db-wal", "secret.key", "lock", "instance", "policy.json", "."};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        note(a, open(in_data(a, names[i]), O_RDONLY) >= 0);
        note(a, open(in_data(a, names[i]), O_RDWR) >= 0);
        note(a, unlink(in_data(a, names[i])) == 0);
    }
    char path[64];
    for (int i = 0; i < 32; i++) {
        (void)snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)getppid(), i);
        note(a, open(path, O_RDWR) >= 0);
    }
    (void)snprintf(path, sizeof(path), "/proc/%d/mem", (int)getppid());
    note(a, open(path, O_RDWR) >= 0);
    note(a, open("/etc/passwd", O_RDONLY) >= 0);
    note(a, symlink("/etc/passwd", "/tmp/attacker") == 0);
}

static void sockets(struct attack *a)
{
    static const int families[] = {AF_UNIX, AF_INET, AF_INET6, AF_NETLINK, AF_PACKET, AF_VSOCK};
    for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++)
        note(a, socket(families[i], SOCK_STREAM, 0) >= 0 || socket(families[i], SOCK_RAW, 0) >= 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)a->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    for (int fd = 0; fd < 64; fd++)
        note(a, connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0);
    int pair[2];
    note(a, socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
}

static void code(struct attack *a)
{
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    note(a, mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED);
    note(a, page != MAP_FAILED && mprotect(page, 4096, PROT_READ | PROT_EXEC) == 0);
    if (page != MAP_FAILED)
        munmap(page, 4096);
}

static void lines(struct attack *a, hz_call *call)
{
    for (int i = 0; i < 200; i++) {
        hz_log(call, HZ_LEVEL_ERROR, "%0400d", i);
        a->tried++;
    }
}

/* ---- calls that end the worker ---- */
static void trapped(struct attack *a, const char *name)
{
    struct io_uring_params params = {0};
    struct iovec part = {a->path, 8};
    long result = -1;
    if (strcmp(name, "ptrace") == 0)
        result = syscall(SYS_ptrace, PTRACE_ATTACH, getppid(), NULL, NULL);
    else if (strcmp(name, "vm_write") == 0)
        result = syscall(SYS_process_vm_writev, getppid(), &part, 1, &part, 1, 0);
    else if (strcmp(name, "io_uring") == 0)
        result = syscall(SYS_io_uring_setup, 4, &params);
    else if (strcmp(name, "bpf") == 0)
        result = syscall(SYS_bpf, 0, NULL, 0);
    else if (strcmp(name, "mount") == 0)
        result = mount("none", "/tmp", "tmpfs", 0, NULL);
    else if (strcmp(name, "namespace") == 0)
        result = syscall(SYS_unshare, CLONE_NEWUSER);
    else if (strcmp(name, "take_fd") == 0)
        result = syscall(SYS_pidfd_getfd, 3, 3, 0);
    note(a, result >= 0);
}

static bool once(struct attack *a, const char *name, hz_call *call)
{
    static const struct {
        const char *name;
        void (*run)(struct attack *a);
    } known[] = {{"rings", rings}, {"records", records}, {"holes", holes}, {"descriptors", descriptors}, {"signals", signals}, {"owner", owner}, {"limits", limits},
            {"becoming", becoming}, {"fork_bomb", fork_bomb}, {"thread_bomb", thread_bomb}, {"memory_bomb", memory_bomb},
            {"shared_memory", shared_memory}, {"files", files}, {"sockets", sockets}, {"code", code}};
    if (strcmp(name, "burn") == 0) /* the honest one: it only computes */
        return ++a->tried < UINT64_MAX;
    if (strcmp(name, "lines") == 0)
        lines(a, call);
    else {
        for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
            if (strcmp(known[i].name, name) == 0) {
                known[i].run(a);
                return true;
            }
        trapped(a, name);
    }
    return true;
}

static int attacker_run(hz_call *call)
{
    static struct attack a;
    char name[64];
    hz_str attack = hz_param_str(call, "attack", "burn"), path = hz_param_str(call, "path", "");
    memset(&a, 0, sizeof(a));
    (void)snprintf(name, sizeof(name), "%.*s", (int)attack.len, attack.data);
    (void)snprintf(a.path, sizeof(a.path), "%.*s", (int)path.len, path.data);
    a.port = (int)hz_param_num(call, "port", 0);
    a.until_ns = now_ns() + (uint64_t)(hz_param_num(call, "ms", 100) * 1e6);
    do
        (void)once(&a, name, call);
    while (now_ns() < a.until_ns);
    hz_value *result = hz_object(call);
    if (!result || hz_set(result, "tried", hz_int(call, (int64_t)a.tried)) || hz_set(result, "worked", hz_int(call, (int64_t)a.worked)) ||
            hz_set(result, "errno", hz_int(call, a.last_errno)))
        return HZ_ERR_NOMEM;
    return hz_emit(call, "response", result);
}

HZ_NODE(.type = "attacker", .title = "Attacker", .group = "Test", .flags = HZ_NODE_BLOCKING, .inputs = HZ_NAMES("input"),
        .outputs = HZ_NAMES("response", "error"), .run = attacker_run,
        .properties = HZ_PROPERTIES({.key = "attack", .type = "string", .name = "Attack", .value = "\"burn\""},
                {.key = "path", .type = "string", .name = "Path", .value = "\"\""}, {.key = "port", .type = "number", .name = "Port", .value = "0"},
                {.key = "ms", .type = "number", .name = "Time", .value = "100"}))
