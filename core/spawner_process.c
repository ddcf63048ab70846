/*
 * spawner_process.c - posix_spawn of horizon-worker and the datagram with descriptors. Main thread of the manager: a zygote's
 * death signal follows the thread that started it.
 */
#include "spawner_process.h"

#include "cgroup.h"
#include "children.h"
#include "config.h"
#include "shm/err.h"
#include "shm/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CHILD_FD 3 /* the only descriptor besides 0, 1, 2 that the child gets */

/* The manager's own variables hold secrets of workflows: the children get these three and nothing else. */
static char **clean_environment(const struct hz_config *config)
{
    static const char *const names[] = {"PATH", "LANG", "TZ"};
    static const char *const sanitizers[] = {"ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS", "TSAN_OPTIONS"};
    char **env = calloc(HZ_COUNT_OF(names) + HZ_COUNT_OF(sanitizers) + 3, sizeof *env);
    size_t count = 0;
    /* Whatever is started below them carries it: what outlives a manager is found by the next one (children.h). */
    if (env && config->instance[0] && asprintf(&env[count], HZ_CHILDREN_MARK "%s", config->instance) >= 0)
        count++;
    const char *groups = hz_cgroup_base();
    if (env && groups && asprintf(&env[count], HZ_SPAWN_GROUP_VARIABLE "=%s", groups) >= 0)
        count++;
    for (size_t i = 0; env && i < HZ_COUNT_OF(names); i++) {
        const char *value = getenv(names[i]);
        if (value && asprintf(&env[count], "%s=%s", names[i], value) >= 0)
            count++;
    }
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    for (size_t i = 0; env && i < HZ_COUNT_OF(sanitizers); i++) {
        const char *value = getenv(sanitizers[i]);
        if (value && asprintf(&env[count], "%s=%s", sanitizers[i], value) >= 0)
            count++;
    }
#else
    (void)sanitizers;
#endif
    return env;
}

static void free_environment(char **env)
{
    for (char **line = env; line && *line; line++)
        free(*line);
    free(env);
}

static int spawn(const struct hz_config *config, char *const argv[], int child_fd, int32_t *ret_pid)
{
    HZ_ASSERT(getpid() == (pid_t)syscall(SYS_gettid));
    char **env = clean_environment(config);
    if (!env)
        return ENOMEM;
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, defaults;
    sigemptyset(&none);
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE);
    sigaddset(&defaults, SIGBUS);
    int code = posix_spawn_file_actions_init(&actions);
    if (code == 0) {
        code = posix_spawnattr_init(&attributes);
        if (code == 0) {
            /* Standard output belongs to the manager (results, contract lines): what a node prints goes to standard error. */
            posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
            posix_spawn_file_actions_adddup2(&actions, 2, 1);
            posix_spawn_file_actions_adddup2(&actions, child_fd, CHILD_FD); /* the same number: close-on-exec is taken off */
            posix_spawnattr_setsigmask(&attributes, &none);
            posix_spawnattr_setsigdefault(&attributes, &defaults);
            /* A group of its own, which its workers join: Ctrl-C in a terminal is for the manager alone, which stops them. */
            posix_spawnattr_setpgroup(&attributes, 0);
            posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
            pid_t pid;
            code = posix_spawn(&pid, argv[0], &actions, &attributes, argv, env);
            if (code == 0)
                *ret_pid = pid;
            posix_spawnattr_destroy(&attributes);
        }
        posix_spawn_file_actions_destroy(&actions);
    }
    free_environment(env);
    return code;
}

/* Runs `path mode [kind] --fd 3 --manager PID --nodes DIR[:DIR]`. */
static int start(const struct hz_config *config, const char *mode, const char *kind, int child_fd, int32_t *ret_pid)
{
    char fd_text[16], pid_text[16], *nodes = NULL;
    snprintf(fd_text, sizeof fd_text, "%d", CHILD_FD);
    snprintf(pid_text, sizeof pid_text, "%d", getpid());
    const char *extra = config->extra_nodes_path;
    if (asprintf(&nodes, "%s%s%s", config->nodes_path ? config->nodes_path : ".", extra ? ":" : "", extra ? extra : "") < 0)
        return hz_err_set(HZ_ENOMEM, "starting %s", config->worker_path);
    const char *texts[] = {config->worker_path, mode, kind, "--fd", fd_text, "--manager", pid_text, "--nodes", nodes};
    char *argv[HZ_COUNT_OF(texts) + 1];
    size_t n = 0;
    for (size_t i = 0; i < HZ_COUNT_OF(texts); i++)
        if (texts[i])
            argv[n++] = (char *)(uintptr_t)texts[i]; /* posix_spawn takes char *const, and changes nothing */
    argv[n] = NULL;
    int code = spawn(config, argv, child_fd, ret_pid);
    free(nodes);
    return code ? hz_err_set(-code, "cannot start %s", config->worker_path) : 0;
}

static int socket_pair(int ret_fds[2])
{
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ret_fds))
        return hz_err_set(-errno, "cannot make a socket pair");
    (void)fcntl(ret_fds[0], F_SETFL, O_NONBLOCK);
    return 0;
}

int hz_spawner_process_zygote(const struct hz_config *config, const char *kind, int32_t *ret_pid, int *ret_fd)
{
    int pair[2];
    int32_t pid = 0;
    int err = socket_pair(pair);
    if (err)
        return err;
    unsigned hold = hz_children_hold();
    err = start(config, "--zygote", kind, pair[1], &pid);
    if (!err)
        err = hz_children_add(pid);
    if (err && pid > 0)
        (void)kill(pid, SIGKILL); /* reaped as a stranger */
    hz_children_release(hold);
    close(pair[1]);
    if (err) {
        close(pair[0]);
        return err;
    }
    *ret_pid = pid;
    *ret_fd = pair[0];
    return 0;
}

int hz_spawner_process_worker(const struct hz_config *config, const struct hz_spawn_request *request, const int fds[3], int32_t *ret_pid)
{
    int pair[2];
    int err = socket_pair(pair);
    if (err)
        return err;
    err = hz_spawner_process_send(pair[0], request, fds);
    if (!err)
        err = start(config, "--worker", NULL, pair[1], ret_pid);
    close(pair[0]);
    close(pair[1]);
    return err;
}

int hz_spawner_process_send(int fd, const struct hz_spawn_request *request, const int fds[3])
{
    union {
        char bytes[CMSG_SPACE(3 * sizeof(int))];
        struct cmsghdr align;
    } control;
    memset(&control, 0, sizeof control);
    struct hz_spawn_request copy = *request;
    struct iovec part = {&copy, sizeof copy};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(3 * sizeof(int));
    memcpy(CMSG_DATA(head), fds, 3 * sizeof(int));
    ssize_t n;
    do
        n = sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    return n == (ssize_t)sizeof copy ? 0 : n < 0 ? (errno == EAGAIN ? -EAGAIN : hz_err_set(-errno, "asking for a process")) : -EIO;
}
