/* test_sandbox.c - what a sandboxed process can and cannot do: real calls in real children, each on its own. */
#include "shm/err.h"
#include "tests/harness.h"
#include "worker/js.h"
#include "worker/sandbox.h"
#include "worker/sandbox_filter.h"

#define HZ_HOST_SIDE
#include <horizon/node.h>

#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static struct hz_sandbox_options options;
static pid_t sibling;

HZ_SETUP(sandbox)
{
    memset(&options, 0, sizeof options);
    options.mode = HZ_SANDBOX_MODE_REQUIRE;
    sibling = fork();
    if (sibling == 0) {
        for (;;)
            pause();
    }
}

HZ_TEARDOWN(sandbox)
{
    kill(sibling, SIGKILL);
    (void)waitpid(sibling, NULL, 0);
}

/* Runs fn in a sandboxed child. Returns its exit code, or 1000 + the signal that ended it. fn returns errno of what it tried, 0 if it worked. */
static int inside(int (*fn)(void))
{
    pid_t pid = fork();
    if (pid == 0) {
        if (hz_sandbox_enter(&options) || hz_sandbox_seal(&options))
            _exit(250);
        _exit(fn());
    }
    int status;
    if (waitpid(pid, &status, 0) != pid)
        return -1;
    return WIFSIGNALED(status) ? 1000 + WTERMSIG(status) : WEXITSTATUS(status);
}
#define TRIED(call) ((call) < 0 ? errno : 0)

static int try_open(void) { return TRIED(open("/etc/hostname", O_RDONLY)); }
static int try_create(void) { return TRIED(open("x", O_RDWR | O_CREAT, 0600)); }
static int try_socket(void) { return TRIED(socket(AF_INET, SOCK_STREAM, 0)); }
static int try_unix(void) { return TRIED(socket(AF_UNIX, SOCK_STREAM, 0)); }
static int try_fork(void)
{
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    return pid < 0 ? errno : 0;
}
static int try_exec(void) { return TRIED(execl("/bin/true", "true", (char *)NULL)); }
static int try_kill_parent(void) { return TRIED(kill(getppid(), SIGKILL)); }
static int try_kill_sibling(void) { return TRIED(kill(sibling, SIGKILL)); }
static int try_prlimit_sibling(void)
{
    struct rlimit limit = {1, 1};
    return TRIED(prlimit(sibling, RLIMIT_CPU, &limit, NULL));
}
static int try_affinity_parent(void)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(0, &set);
    return TRIED(sched_setaffinity(getppid(), sizeof set, &set));
}
static int try_ftruncate(void) { return TRIED(ftruncate(1, 0)); }
static int try_memfd(void) { return TRIED(memfd_create("x", 0)); }
static int try_shared_memory(void) { return mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? errno : 0; }
static int try_executable(void) { return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? errno : 0; }
static int try_make_executable(void)
{
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return page == MAP_FAILED ? 240 : TRIED(mprotect(page, 4096, PROT_READ | PROT_EXEC));
}
static int try_pdeathsig(void) { return TRIED((int)syscall(SYS_prctl, 1 /* PR_SET_PDEATHSIG */, 0, 0, 0, 0)); }
static int try_ptrace(void) { return TRIED((int)ptrace(PTRACE_ATTACH, sibling, NULL, NULL)); }
static int try_bpf(void) { return TRIED((int)syscall(SYS_bpf, 0, NULL, 0)); }
static int try_vm_readv(void) { return TRIED((int)syscall(SYS_process_vm_readv, sibling, NULL, 0, NULL, 0, 0)); }

HZ_TEST(sandbox, by_default_nothing_but_computing_is_possible)
{
    static int (*const tries[])(void) = {try_open, try_create, try_socket, try_unix, try_fork, try_exec, try_kill_parent, try_kill_sibling,
            try_prlimit_sibling, try_affinity_parent, try_ftruncate, try_memfd, try_shared_memory, try_executable, try_make_executable, try_pdeathsig};
    for (size_t i = 0; i < HZ_COUNT_OF(tries); i++) {
        int got = inside(tries[i]);
        if (got != EPERM && got != EACCES)
            HZ_FAIL("try %zu answered %d", i, got);
    }
    HZ_ASSERT_EQ(kill(sibling, 0), 0);
}

HZ_TEST(sandbox, calls_that_no_honest_node_makes_end_the_worker)
{
    static int (*const tries[])(void) = {try_ptrace, try_bpf, try_vm_readv};
    for (size_t i = 0; i < HZ_COUNT_OF(tries); i++)
        HZ_ASSERT_EQ(inside(tries[i]), 1000 + SIGSYS);
}

static void *thread_main(void *arg)
{
    char *memory = malloc(1 << 20);
    if (memory)
        memset(memory, 1, 1 << 20);
    free(memory);
    *(int *)arg = 1;
    return NULL;
}
static int compute(void)
{
    pthread_t thread;
    int ran = 0;
    struct timespec pause_time = {0, 1000000};
    if (pthread_create(&thread, NULL, thread_main, &ran) || pthread_join(thread, NULL) || !ran)
        return 1;
    return nanosleep(&pause_time, NULL) || getrusage(RUSAGE_SELF, &(struct rusage){0}) ? 2 : 0;
}
HZ_TEST(sandbox, computing_threads_and_memory_go_on)
{
    HZ_ASSERT_EQ(inside(compute), 0);
}

static int do_abort(void) { abort(); }
HZ_TEST(sandbox, abort_still_dies_by_its_own_signal)
{
    HZ_ASSERT_OK(hz_sandbox_prepare(&options)); /* the filter carries the pid of nobody until it is loaded */
    HZ_ASSERT_EQ(inside(do_abort), 1000 + SIGABRT);
}

static int connect_out(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0)
        return 1;
    return connect(fd, (struct sockaddr *)&address, sizeof address) && errno != ECONNREFUSED ? 2 : 0;
}
HZ_TEST(sandbox, the_net_capability_opens_sockets_and_resolver_files_only)
{
    options.caps = HZ_CAP_NET;
    HZ_ASSERT_EQ(inside(connect_out), 0);
    HZ_ASSERT_EQ(inside(try_unix), EPERM);
    HZ_ASSERT_EQ(inside(try_open), EACCES);
    HZ_ASSERT_EQ(inside(try_fork), EPERM);
}

static int open_node(void)
{
    if (hz_sandbox_enter(&options))
        return 250;
    char path[4096];
    snprintf(path, sizeof path, "%s/lib/horizon/nodes/delay.so", hz_test_build_dir());
    void *node = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!node)
        return 1;
    if (hz_sandbox_seal(&options))
        return 2;
    return try_open() == EPERM && try_executable() == EPERM ? 0 : 3;
}
HZ_TEST(sandbox, plugins_are_opened_before_the_seal_and_nothing_after_it)
{
    char path[4096];
    if (HZ_TEST_ASAN || HZ_TEST_TSAN)
        HZ_SKIP("the sanitizer's own dlopen hook reads files that a worker may not");
    snprintf(path, sizeof path, "%s/lib/horizon/nodes", hz_test_build_dir());
    options.plugins = true;
    options.plugin_path = path;
    pid_t pid = fork();
    if (pid == 0)
        _exit(open_node());
    int status;
    HZ_ASSERT_EQ(waitpid(pid, &status, 0), pid);
    HZ_ASSERT_EQ(status, 0);
}

static int use_memory(void)
{
    void *volatile big = malloc((size_t)96 << 20); /* volatile: else the pair could be left out */
    int code = big ? 0 : ENOMEM;
    free(big);
    return code;
}
HZ_TEST(sandbox, the_limit_of_data_is_a_malloc_that_fails)
{
    if (HZ_TEST_ASAN || HZ_TEST_TSAN)
        HZ_SKIP("shadow memory counts as data");
    options.memory_limit_bytes = (uint64_t)64 << 20;
    HZ_ASSERT_EQ(inside(use_memory), ENOMEM);
    options.script = true;
    HZ_ASSERT_EQ(inside(use_memory), 0);
}

static int evaluate(void)
{
    struct hz_js *js;
    const char *error;
    if (hz_js_new(false, 1000, &js))
        return 1;
    const hz_value *six = hz_js_eval(js, "[1, 2, 3].reduce((a, b) => a + b)", 33, NULL, 0, &error);
    return six && hz_value_num(six) == 6.0 && try_open() == EACCES ? 0 : 2;
}
HZ_TEST(sandbox, javascript_starts_inside_with_nothing_but_its_own_files)
{
    if (HZ_TEST_ASAN || HZ_TEST_TSAN)
        HZ_SKIP("the sanitizer reads files of its own when threads start");
    HZ_ASSERT_OK(hz_value_init());
    HZ_ASSERT_OK(hz_js_preload());
    options.script = true;
    HZ_ASSERT_EQ(inside(evaluate), 0);
}

/* ---- capabilities that have paths ---- */

static char granted[4096], in_path[1024], out_path[1024];

/* A folder `in` with a file, and an empty folder `out`; grants as the options have them. */
static void grant(const char *kinds)
{
    char *cwd = getcwd(NULL, 0);
    size_t used = 0;
    HZ_ASSERT_NOT_NULL(cwd);
    snprintf(in_path, sizeof in_path, "%s/in", cwd);
    snprintf(out_path, sizeof out_path, "%s/out", cwd);
    (void)mkdir("in", 0755); /* the folder is the suite's */
    (void)mkdir("out", 0777);
    HZ_ASSERT_OK(chmod("out", 0777));
    FILE *file = fopen("in/text", "w");
    HZ_ASSERT_NOT_NULL(file);
    fputs("hello", file);
    fclose(file);
    for (const char *kind = kinds; *kind; kind++)
        used += (size_t)snprintf(granted + used, sizeof granted - used, "%c%s", *kind,
                        *kind == 'r' ? in_path : *kind == 'w' ? out_path : "/bin/sh") + 1;
    options.paths = granted;
    options.paths_len = used;
    free(cwd);
}

static int read_granted(void)
{
    char text[8];
    int fd = open(hz_test_path("%s/text", in_path), O_RDONLY);
    return fd >= 0 && read(fd, text, sizeof text) == 5 ? 0 : errno;
}
static int write_into_granted(void) { return TRIED(open(hz_test_path("%s/text", in_path), O_WRONLY)); }
static int cut_granted(void) { return TRIED(open(hz_test_path("%s/text", in_path), O_RDONLY | O_TRUNC)); }
static int make_in_granted(void) { return TRIED(open(hz_test_path("%s/new", in_path), O_RDONLY | O_CREAT, 0600)); }
static int make_in_out(void)
{
    int fd = open(hz_test_path("%s/new", out_path), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    return fd >= 0 && write(fd, "x", 1) == 1 && ftruncate(fd, 0) == 0 && unlink(hz_test_path("%s/new", out_path)) == 0 ? 0 : errno;
}
static int link_out(void) { return TRIED(symlink("/etc/passwd", hz_test_path("%s/link", out_path))); }
static int open_segments(void) { return TRIED(open("/dev/shm", O_RDONLY | O_DIRECTORY)); }
static int chmod_out(void) { return TRIED(chmod(out_path, 0700)); }
static int climb_out(void) { return TRIED(open(hz_test_path("%s/../../../../../../../etc/hostname", in_path), O_RDONLY)); }

static void refused(int (*const *tries)(void), size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int got = inside(tries[i]);
        if (got != EPERM && got != EACCES)
            HZ_FAIL("try %zu answered %d", i, got);
    }
}

HZ_TEST(sandbox, fs_read_opens_the_granted_paths_for_reading_only)
{
    static int (*const tries[])(void) = {write_into_granted, cut_granted, make_in_granted, make_in_out, climb_out, open_segments, try_open,
            try_fork, try_exec, try_socket, try_unix, try_ftruncate};
    options.caps = HZ_CAP_FS_READ;
    grant("rw"); /* a path for writing is nothing without its capability */
    HZ_ASSERT_EQ(inside(read_granted), 0);
    refused(tries, HZ_COUNT_OF(tries));
}

HZ_TEST(sandbox, fs_write_makes_writes_and_removes_where_it_is_granted)
{
    static int (*const tries[])(void) = {read_granted, write_into_granted, make_in_granted, link_out, chmod_out, open_segments, try_open, try_fork,
            try_exec, try_socket};
    options.caps = HZ_CAP_FS_WRITE;
    grant("w");
    HZ_ASSERT_EQ(inside(make_in_out), 0);
    refused(tries, HZ_COUNT_OF(tries));
}

static int run_shell(void)
{
    int status;
    pid_t pid = vfork();
    if (pid == 0) {
        execl("/bin/sh", "sh", "-c", "(exit 3); test $? = 3 && : > /dev/null && exit 7", (char *)NULL);
        _exit(99);
    }
    if (pid < 0)
        return errno;
    return waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 7 ? 0 : 240;
}
static int kill_parent_by_shell(void)
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        char line[64];
        snprintf(line, sizeof line, "kill -9 %d", (int)sibling);
        execl("/bin/sh", "sh", "-c", line, (char *)NULL);
    }
    return pid > 0 && waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) != 0 ? EPERM : 0;
}
static int bomb(void)
{
    int made = 0;
    while (made < 10000) {
        pid_t pid = fork();
        if (pid == 0) {
            for (;;)
                pause();
        }
        if (pid < 0)
            return made > 100 ? 241 : errno;
        made++;
    }
    return 0;
}
static int try_other_program(void) { return TRIED(execl("/usr/bin/env", "env", (char *)NULL)); }

/* The same as inside(), as a user of its own: exec is nothing for root. */
static int inside_as_other(int (*fn)(void))
{
    pid_t pid = fork();
    if (pid == 0) {
        if (setsid() < 0 || (geteuid() == 0 && (setresgid(1999999999, 1999999999, 1999999999) || setresuid(1999999999, 1999999999, 1999999999))))
            _exit(251);
        if (hz_sandbox_enter(&options))
            _exit(250);
        _exit(fn());
    }
    int status;
    if (waitpid(pid, &status, 0) != pid)
        return -1;
    (void)kill(-pid, SIGKILL); /* what it left */
    return WIFSIGNALED(status) ? 1000 + WTERMSIG(status) : WEXITSTATUS(status);
}

HZ_TEST(sandbox, exec_starts_the_granted_program_and_bounds_what_it_makes)
{
    if (HZ_TEST_ASAN || HZ_TEST_TSAN)
        HZ_SKIP("the sanitizer's child wants to read files of its own");
    options.caps = HZ_CAP_EXEC;
    grant("x");
    HZ_ASSERT_EQ(inside_as_other(run_shell), 0);
    HZ_ASSERT_EQ(inside_as_other(try_other_program), EACCES);
    HZ_ASSERT_EQ(inside_as_other(kill_parent_by_shell), EPERM);
    HZ_ASSERT_EQ(kill(sibling, 0), 0);
    HZ_ASSERT_EQ(inside_as_other(bomb), EAGAIN);
    HZ_ASSERT_EQ(inside_as_other(try_open), EACCES);
    HZ_ASSERT_EQ(inside_as_other(try_unix), EPERM);
    HZ_ASSERT_EQ(inside_as_other(try_ptrace), 1000 + SIGSYS);
    if (geteuid() == 0)
        HZ_ASSERT_EQ(inside(run_shell), 250);
}

HZ_TEST(sandbox, off_means_off)
{
    options.mode = HZ_SANDBOX_MODE_OFF;
    HZ_ASSERT_EQ(inside(try_open), 0);
}

HZ_TEST(sandbox, filters_stay_short)
{
    struct hz_filter filter;
    HZ_ASSERT_OK(hz_filter_build(0, &filter));
    HZ_ASSERT_GT(filter.count, 50);
    HZ_ASSERT_LT(filter.count, 400);
    free(filter.code);
}
