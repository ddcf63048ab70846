/*
 * zygote.c - preloads, then clones a worker for each request. A process of its own with exactly one thread, child of the
 * manager's main thread; its clones are children of the manager too (CLONE_PARENT), which alone waits for them.
 *
 * A raw clone skips what fork() repairs: the thread descriptor's tid is set by CLONE_CHILD_SETTID at the address the kernel
 * knows, the robust list is announced again by the child. Only ever from a process with one thread: asserted each time.
 */
#include "zygote.h"
#include "child.h"
#include "crash.h"
#include "js.h"
#include "loader.h"
#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static int task_fd = -1;

/* Threads of this process: the kernel makes the link count of /proc/self/task up anew at each question. */
static unsigned thread_count(void)
{
    struct stat st;
    HZ_ASSERT(fstat(task_fd, &st) == 0 && st.st_nlink >= 3);
    return (unsigned)st.st_nlink - 2;
}

static void *tid_address(void)
{
    int *address = NULL;
    return prctl(PR_GET_TID_ADDRESS, &address, 0, 0, 0) == 0 ? address : NULL;
}

static pid_t clone_sibling(void *tid)
{
    unsigned long flags = CLONE_PARENT | (tid ? CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID : 0);
#if defined(__x86_64__)
    long r = syscall(SYS_clone, flags, 0, NULL, tid, 0);
#elif defined(__aarch64__)
    long r = syscall(SYS_clone, flags, 0, NULL, 0, tid);
#else
#error "argument order of clone on this processor is not known"
#endif
    return r < 0 ? -errno : (pid_t)r;
}

/* What the preparations freed lies unsorted in the allocator: the first larger request of each child would walk over it, and so
 * copy every page it lies on (measured: 40 pages, 0.1 ms a birth). Sorted here, once, and given back where whole pages are free. */
static void settle_heap(void)
{
    void *volatile large = malloc(64u << 10);
    free(large);
    (void)malloc_trim(0);
}

static int preload(const char *kind, const char *nodes)
{
    bool net = strcmp(kind, "base") != 0;
    char *folder = strndup(nodes, strcspn(nodes, ":"));
    if (!folder)
        return HZ_ENOMEM;
    int count = *folder ? hz_loader_preload(folder, net) : 0;
    free(folder);
    if (count < 0)
        return count;
    if (strcmp(kind, "js") == 0) {
        int r = hz_js_preload();
        if (r != 0)
            return r;
    }
    hz_crash_prepare();
    tzset();
    struct hz_sandbox_options plain = {.caps = net ? (uint32_t)HZ_CAP_NET : 0}, plugins = {.caps = plain.caps, .plugins = true},
            bare = {0};
    /* What cannot be prepared here is tried again, and reported, by each worker. */
    (void)!hz_sandbox_prepare(&bare);
    (void)!hz_sandbox_prepare(&plain);
    (void)!hz_sandbox_prepare(&plugins);
    settle_heap();
    return count;
}

static int serve(int socket_fd, uint32_t manager_pid)
{
    struct hz_child_options options = {.from_zygote = true, .manager_pid = manager_pid};
    if (syscall(SYS_get_robust_list, 0, &options.robust_head, &options.robust_len) != 0)
        options.robust_head = NULL;
    void *tid = tid_address();
    for (;;) {
        struct hz_spawn_request request;
        int fds[3];
        int r = hz_child_receive(socket_fd, &request, fds);
        if (r == 0)
            return 0;
        if (r < 0 && r != HZ_EFORMAT && r != HZ_EVERSION)
            return 1;
        struct hz_spawn_reply reply = {.magic = HZ_SPAWN_MAGIC, .version = HZ_LAYOUT_VERSION, .pid = r};
        if (r > 0) {
            uint64_t begun_ns = hz_base_now_ns();
            struct hz_sandbox_options sandbox = {.caps = request.caps};
            if ((request.flags & HZ_SPAWN_SANDBOX_OFF) == 0)
                (void)!hz_sandbox_prepare(&sandbox);
            HZ_ASSERT(thread_count() == 1);
            reply.request = request.request;
            reply.pid = clone_sibling(tid);
            if (reply.pid == 0)
                hz_child_main(&request, fds, &options);
            for (size_t i = 0; i < 3; i++)
                close(fds[i]);
            reply.microseconds = (uint32_t)((hz_base_now_ns() - begun_ns) / 1000u);
        }
        ssize_t n;
        do
            n = send(socket_fd, &reply, sizeof(reply), MSG_NOSIGNAL);
        while (n < 0 && errno == EINTR);
        if (n < 0)
            return 1;
    }
}

static void die_with(uint32_t manager_pid)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (manager_pid != 0 && getppid() != (pid_t)manager_pid)
        _exit(1);
}

int hz_zygote_main(const char *kind, int socket_fd, uint32_t manager_pid, const char *nodes)
{
    die_with(manager_pid);
    task_fd = open("/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (task_fd < 0) {
        fprintf(stderr, "horizon-worker: /proc is needed: %s\n", strerror(errno));
        return 1;
    }
    int count = preload(kind, nodes);
    if (count < 0) {
        fprintf(stderr, "horizon-worker: zygote %s: %s\n", kind, hz_err_last());
        return 1;
    }
    fflush(NULL); /* or each worker would print again what is pending */
    struct hz_spawn_hello hello = {.magic = HZ_SPAWN_MAGIC, .version = HZ_LAYOUT_VERSION, .pid = (uint32_t)getpid(),
            .nodes = (uint32_t)count};
    if (send(socket_fd, &hello, sizeof(hello), MSG_NOSIGNAL) != (ssize_t)sizeof(hello))
        return 1;
    return serve(socket_fd, manager_pid);
}

int hz_zygote_single(int socket_fd, uint32_t manager_pid, const char *nodes)
{
    struct hz_spawn_request request;
    int fds[3];
    die_with(manager_pid);
    int r = hz_child_receive(socket_fd, &request, fds);
    if (r <= 0) {
        fprintf(stderr, "horizon-worker: no spawn request: %s\n", r < 0 ? hz_err_last() : "the other end has gone");
        return 1;
    }
    hz_crash_prepare();
    tzset();
    if ((request.flags & HZ_SPAWN_SPARE) != 0) { /* later there is no opening of files any more */
        char *folder = strndup(nodes, strcspn(nodes, ":"));
        if (folder && *folder && hz_loader_preload(folder, false) < 0)
            fprintf(stderr, "horizon-worker: %s\n", hz_err_last());
        free(folder);
    }
    struct hz_child_options options = {.manager_pid = manager_pid};
    hz_child_main(&request, fds, &options);
}
