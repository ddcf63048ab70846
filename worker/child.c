/*
 * child.c - the first acts of a worker, in this order: die with the manager; robust list; mapping, everything else closed;
 * seeds; fault handlers; sandbox; then third-party code; then ready. Worker, its only thread so far.
 */
#include "child.h"
#include "crash.h"
#include "loader.h"
#include "js.h"
#include "sandbox.h"
#include "warm.h"
#include "worker.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define OPEN_FILES_DEFAULT 256u

int hz_child_receive(int socket_fd, struct hz_spawn_request *ret_request, int ret_fds[3])
{
    union {
        char bytes[CMSG_SPACE(3 * sizeof(int))];
        struct cmsghdr align;
    } control;
    struct hz_spawn_request request;
    struct iovec part = {&request, sizeof(request)};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control.bytes)};
    ssize_t n;
    do
        n = recvmsg(socket_fd, &message, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n <= 0)
        return n == 0 ? 0 : -errno;
    int fds[3] = {-1, -1, -1};
    size_t count = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c))
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS && c->cmsg_len >= CMSG_LEN(sizeof(int))) {
            count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
            memcpy(fds, CMSG_DATA(c), HZ_MIN(count, (size_t)3) * sizeof(int));
        }
    int r = 1;
    if ((size_t)n != sizeof(request) || count != 3 || (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0)
        r = hz_err_set(HZ_EFORMAT, "spawn request of %zd bytes with %zu descriptors", n, count);
    else if (request.magic != HZ_SPAWN_MAGIC || request.version != HZ_LAYOUT_VERSION)
        r = hz_err_set(HZ_EVERSION, "spawn request of layout %u, this is %u", request.version, HZ_LAYOUT_VERSION);
    if (r < 0) {
        for (size_t i = 0; i < HZ_MIN(count, (size_t)3); i++)
            close(fds[i]);
        return r;
    }
    *ret_request = request;
    memcpy(ret_fds, fds, sizeof(fds));
    return 1;
}

HZ_NORETURN static void give_up(const char *what)
{
    char text[1200];
    int n = snprintf(text, sizeof(text), "horizon-worker: %s: %s\n", what, hz_err_last());
    if (n > 0)
        (void)!write(STDERR_FILENO, text, HZ_MIN((size_t)n, sizeof(text) - 1));
    _exit(1);
}

static void die_with(uint32_t manager_pid)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (manager_pid != 0 && getppid() != (pid_t)manager_pid)
        _exit(1); /* it died before we could ask for its signal */
}

/* Closes all but standard input, output, error and the kept ones. */
static void close_others(const int *kept, size_t count)
{
    int sorted[4];
    HZ_ASSERT(count <= HZ_COUNT_OF(sorted));
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        if (kept[i] < 3)
            continue;
        size_t at = n++;
        for (; at > 0 && sorted[at - 1] > kept[i]; at--)
            sorted[at] = sorted[at - 1];
        sorted[at] = kept[i];
    }
    unsigned from = 3;
    for (size_t i = 0; i < n; i++) {
        if ((unsigned)sorted[i] > from)
            (void)syscall(SYS_close_range, from, (unsigned)sorted[i] - 1, 0);
        from = (unsigned)sorted[i] + 1;
    }
    (void)syscall(SYS_close_range, from, ~0u, 0);
}

/* The manager made it. Where it cannot be entered the limits are kept by sampling, as everywhere else. */
static void join_group(const struct hz_uuid *id)
{
    char text[HZ_UUID_TEXT], path[700];
    const char *base = getenv(HZ_SPAWN_GROUP_VARIABLE);
    hz_uuid_format(id, text);
    int n = base ? snprintf(path, sizeof(path), "%s/" HZ_SPAWN_GROUP_PREFIX "%s/cgroup.procs", base, text) : 0;
    int fd = n > 0 && (size_t)n < sizeof(path) ? open(path, O_WRONLY | O_CLOEXEC) : -1;
    if (fd >= 0) {
        (void)!write(fd, "0", 1);
        close(fd);
    }
}

/* A user of our own, before anybody else's code. The death signal is lost by it, so it is asked for again. */
static void become(uint32_t uid, uint32_t manager_pid)
{
    uid_t real, effective, saved;
    (void)prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0);
    if (setgroups(0, NULL) || setresgid(uid, uid, uid) || setresuid(uid, uid, uid) || getresuid(&real, &effective, &saved) ||
            real != uid || effective != uid || saved != uid) {
        (void)hz_err_set(-errno, "user %u", uid);
        give_up("identity");
    }
    if (hz_sandbox_keep_search() != 0)
        give_up("identity");
    die_with(manager_pid);
}

static void seed(void)
{
    unsigned numbers[2];
    hz_base_random(numbers, sizeof(numbers));
    srandom(numbers[0]);
    srand(numbers[1]);
    srand48((long)numbers[0]);
}

static void on_signal(int number)
{
    hz_worker_on_signal(number);
}

static void set_signals(void)
{
    struct sigaction end = {.sa_handler = on_signal, .sa_flags = SA_RESTART}, ignore = {.sa_handler = SIG_IGN};
    sigemptyset(&end.sa_mask);
    sigemptyset(&ignore.sa_mask);
    (void)sigaction(SIGTERM, &end, NULL);
    (void)sigaction(SIGINT, &end, NULL);
    (void)sigaction(SIGPIPE, &ignore, NULL);
    (void)sigaction(SIGXFSZ, &ignore, NULL);
}

/* Folders of the third parties' objects that the plan names, colon-separated. */
static char *plugin_folders(const struct hz_plan *plan)
{
    struct hz_buffer paths = {0};
    for (uint32_t i = 0; i < plan->plugin_count; i++) {
        const struct hz_plan_plugin *plugin = hz_plan_plugin(plan, i);
        const char *file = hz_plan_chars(plan, plugin->file), *slash = strrchr(file, '/');
        if ((plugin->flags & 1) != 0 || !slash)
            continue;
        if (paths.len > 0)
            hz_buffer_add(&paths, ":", 1);
        hz_buffer_add(&paths, file, slash == file ? 1 : (size_t)(slash - file));
    }
    return paths.data;
}

/* True: something came in that was not preloaded. */
static bool open_trusted(const struct hz_plan *plan)
{
    const struct hz_loaded *loaded;
    bool any = false;
    for (uint32_t i = 0; i < plan->plugin_count; i++) {
        const struct hz_plan_plugin *plugin = hz_plan_plugin(plan, i);
        const char *file = hz_plan_chars(plan, plugin->file);
        /* a refusal is reported by hz_assembly_load(), which tries again */
        if ((plugin->flags & 1) != 0 && !hz_loader_find(NULL, file) && hz_loader_open(file, true, &loaded) == 0)
            any = true;
    }
    return any;
}

static enum hz_sandbox_mode mode_of(uint32_t flags)
{
    if ((flags & HZ_SPAWN_SANDBOX_OFF) != 0)
        return HZ_SANDBOX_MODE_OFF;
    return (flags & HZ_SPAWN_SANDBOX_REQUIRE) != 0 ? HZ_SANDBOX_MODE_REQUIRE : HZ_SANDBOX_MODE_TRY;
}

static int enter_sandbox(struct hz_worker *worker)
{
    const struct hz_spawn_request *request = &worker->request;
    worker->sandbox = (struct hz_sandbox_options){.mode = mode_of(request->flags), .caps = request->caps,
            .memory_limit_bytes = request->memory_limit_bytes,
            .open_files = request->open_files ? request->open_files : OPEN_FILES_DEFAULT, .processes = request->processes, .tasks = request->tasks};
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    worker->sandbox.memory_limit_bytes = 0; /* the sanitizers' shadow counts as data */
#endif
    char *folders = NULL;
    if (worker->plan) {
        worker->sandbox.caps |= worker->plan->caps;
        worker->sandbox.script = worker->plan->needs_script != 0;
        worker->sandbox.plugins = worker->plan->untrusted_plugins > 0;
        if (worker->sandbox.plugins)
            worker->sandbox.plugin_path = folders = plugin_folders(worker->plan);
        if (worker->sandbox.script)
            (void)!hz_js_preload(); /* said by the first expression that needs it */
        if (open_trusted(worker->plan) || worker->sandbox.script)
            hz_crash_modules();
    }
    worker->sandbox.paths = worker->paths;
    worker->sandbox.paths_len = worker->paths_len;
    int r = hz_sandbox_enter(&worker->sandbox);
    worker->sandbox.plugin_path = worker->sandbox.paths = NULL;
    worker->sandbox.paths_len = 0;
    free(worker->paths);
    worker->paths = NULL;
    free(folders);
    return r;
}

void hz_child_main(const struct hz_spawn_request *request, const int fds[3], const struct hz_child_options *options)
{
    die_with(options->manager_pid);
    if (options->from_zygote && options->robust_head)
        (void)syscall(SYS_set_robust_list, options->robust_head, options->robust_len);

    static struct hz_segment segment;
    static struct hz_worker worker;
    if (hz_segment_attach(&segment, fds[0], &request->geometry) != 0)
        give_up("segment");
    close_others((const int[]){fds[1], fds[2], hz_sandbox_fd()}, 3);
    int statm_fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);

    if ((request->flags & HZ_SPAWN_GROUPED) != 0)
        join_group(&request->worker_id);
    if (request->uid != 0)
        become(request->uid, options->manager_pid);
    seed();
    if (hz_value_init() != 0)
        give_up("values");
    if (!options->from_zygote || request->threads > 1) /* else the zygote said it: it goes through the whole heap */
        (void)mallopt(M_ARENA_MAX, (int)HZ_MAX(request->threads, 1u));
    if (hz_worker_init(&worker, request, &segment, fds[1], fds[2]) != 0)
        give_up("worker");
    worker.statm_fd = statm_fd;
    atomic_store_explicit(&worker.segment.header->worker_pid, (uint32_t)getpid(), memory_order_relaxed);
    set_signals();
    if (hz_crash_install() != 0 || hz_crash_thread_begin(worker.threads[0]) != 0)
        give_up("fault handlers");

    int r = 0;
    if ((request->flags & HZ_SPAWN_SPARE) == 0)
        r = hz_command_await_plan(&worker);
    if (r == 0 && !atomic_load(&worker.ending))
        r = enter_sandbox(&worker);
    if (r != 0)
        hz_worker_fatal(&worker, "%s", hz_err_last());
    else if ((request->flags & HZ_SPAWN_SPARE) != 0)
        hz_warm_up(&worker);
    _exit(hz_worker_run(&worker));
}
