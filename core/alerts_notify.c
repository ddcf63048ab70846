/*
 * alerts_notify.c - the command that is told of alerts: an argument vector, no shell, the JSON on its standard input,
 * one at a time, killed with all it started when its time is up. Its output goes where the server's log goes. Main
 * thread and its loop.
 *
 * Its pid is in the table of children before anybody could take it for a stranger (children.h), and stays there until
 * it is reaped here. Synchronisation: `lock` guards the counts, which any thread may read; `open` is written by the main
 * thread and only looked at by others; everything else belongs to the main thread.
 */
#include "alerts_send.h"

#include "children.h"
#include "shard.h"

#include "shm/err.h"
#include "shm/log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define WAITING_MOST 64u
#define TEXT_MOST    16384u /* fits into a pipe that nobody reads yet */

struct text {
    struct text *next;
    char data[];
};
struct watch { /* of the one that runs; freed by its loop */
    uv_poll_t poll;
    int pidfd;
};

static struct {
    pthread_mutex_t lock;
    struct hz_alerts_sent sent; /* under the lock */
    char **command;
    uint32_t timeout_ms;
    struct text *first, **last;
    unsigned waiting;
    _Atomic unsigned open; /* that wait, and the one that runs */
    pid_t pid; /* 0: none runs */
    bool late;
    struct watch *watch;
    struct hz_timer timer;
} notify = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void count(bool ok, const char *error)
{
    pthread_mutex_lock(&notify.lock);
    if (ok)
        notify.sent.sent++;
    else
        notify.sent.failed++;
    if (!ok)
        snprintf(notify.sent.error, sizeof notify.sent.error, "%.255s", error);
    pthread_mutex_unlock(&notify.lock);
    if (!ok)
        HZ_LOG(WARN, "alerts: the command did not do: %s", error);
}

static void close_watch(uv_handle_t *handle)
{
    struct watch *watch = HZ_CONTAINER_OF((uv_poll_t *)handle, struct watch, poll);
    close(watch->pidfd);
    free(watch);
}

static void start_next(void);

/* Whoever it left behind has its process group, which is still its own as long as it is not reaped. */
static void reap(void)
{
    siginfo_t info;
    memset(&info, 0, sizeof info);
    int waited;
    (void)kill(-notify.pid, SIGKILL);
    do
        waited = waitid(P_PID, (id_t)notify.pid, &info, WEXITED);
    while (waited && errno == EINTR);
    hz_children_remove(notify.pid);
    hz_children_search();
    char error[256];
    bool ok = waited == 0 && info.si_code == CLD_EXITED && info.si_status == 0;
    if (notify.late)
        snprintf(error, sizeof error, "%.150s did not end within %u ms and was killed",
                notify.command ? notify.command[0] : "it", notify.timeout_ms);
    else
        snprintf(error, sizeof error, "%.150s ended with %s %d", notify.command ? notify.command[0] : "it",
                info.si_code == CLD_EXITED ? "code" : "signal", info.si_status);
    count(ok, error);
    atomic_fetch_sub(&notify.open, 1);
    notify.pid = 0;
    notify.late = false;
    hz_timer_cancel(hz_shard_timers(hz_shard_main()), &notify.timer);
    if (notify.watch)
        uv_close((uv_handle_t *)&notify.watch->poll, close_watch);
    notify.watch = NULL;
}

static void on_end(uv_poll_t *poll, int status, int events)
{
    (void)poll;
    (void)status;
    (void)events;
    if (notify.pid == 0)
        return;
    reap();
    start_next();
}

static void on_late(struct hz_timer *timer)
{
    (void)timer;
    if (notify.pid == 0)
        return;
    notify.late = true;
    (void)kill(-notify.pid, SIGKILL);
}

/* Standard input is the pipe, output and errors go to our own standard error. */
static int spawn(int in, pid_t *ret_pid)
{
    static const char *const names[] = {"PATH", "LANG", "TZ", "HOME"};
    char texts[HZ_COUNT_OF(names)][4096];
    char *env[HZ_COUNT_OF(names) + 1];
    size_t n = 0;
    for (size_t i = 0; i < HZ_COUNT_OF(names); i++) {
        const char *value = getenv(names[i]);
        if (value && (size_t)snprintf(texts[i], sizeof texts[i], "%s=%s", names[i], value) < sizeof texts[i])
            env[n++] = texts[i];
    }
    env[n] = NULL;
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, defaults;
    sigemptyset(&none);
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE);
    int code = posix_spawn_file_actions_init(&actions);
    if (code)
        return code;
    code = posix_spawnattr_init(&attributes);
    if (code == 0) {
        posix_spawn_file_actions_adddup2(&actions, in, 0);
        posix_spawn_file_actions_adddup2(&actions, 2, 1);
        posix_spawnattr_setsigmask(&attributes, &none);
        posix_spawnattr_setsigdefault(&attributes, &defaults);
        posix_spawnattr_setpgroup(&attributes, 0);
        posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
        code = posix_spawn(ret_pid, notify.command[0], &actions, &attributes, notify.command, env);
        posix_spawnattr_destroy(&attributes);
    }
    posix_spawn_file_actions_destroy(&actions);
    return code;
}

/* A pipe that holds the whole text. */
static int pipe_with(const char *text)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC))
        return hz_err_set(-errno, "a pipe");
    size_t len = strlen(text);
    int err = 0;
    if (fcntl(ends[1], F_SETFL, O_NONBLOCK) || len > TEXT_MOST || write(ends[1], text, len) != (ssize_t)len)
        err = hz_err_set(HZ_ETOOBIG, "the alert's text of %zu bytes", len);
    close(ends[1]);
    if (err) {
        close(ends[0]);
        return err;
    }
    return ends[0];
}

/* Looks at the process that was started. */
static int begin_watch(void)
{
    struct watch *watch = calloc(1, sizeof *watch);
    if (!watch)
        return hz_err_set(HZ_ENOMEM, "watching a command");
    watch->pidfd = (int)syscall(SYS_pidfd_open, notify.pid, 0);
    if (watch->pidfd < 0 || uv_poll_init(hz_shard_loop(hz_shard_main()), &watch->poll, watch->pidfd)) {
        if (watch->pidfd >= 0)
            close(watch->pidfd);
        free(watch);
        return hz_err_set(HZ_EREFUSED, "watching a command");
    }
    notify.watch = watch;
    int code = uv_poll_start(&watch->poll, UV_READABLE, on_end);
    return code ? hz_err_set(code, "watching a command") : 0;
}

static int start(const char *text)
{
    int in = pipe_with(text);
    if (in < 0)
        return in;
    unsigned hold = hz_children_hold();
    int code = spawn(in, &notify.pid);
    int err = code ? hz_err_set(-code, "cannot start %s", notify.command[0]) : hz_children_add(notify.pid);
    hz_children_release(hold);
    close(in);
    if (code) {
        notify.pid = 0;
        return err;
    }
    if (!err)
        err = begin_watch();
    if (err) { /* nobody would hear of its end */
        reap();
        return 0;
    }
    hz_timer_after(hz_shard_timers(hz_shard_main()), &notify.timer, notify.timeout_ms, on_late);
    return 0;
}

static void start_next(void)
{
    while (notify.pid == 0 && notify.first) {
        struct text *text = notify.first;
        notify.first = text->next;
        if (!notify.first)
            notify.last = &notify.first;
        notify.waiting--;
        int err = notify.command ? start(text->data) : HZ_ECLOSED;
        if (err)
            atomic_fetch_sub(&notify.open, 1);
        if (err && notify.command)
            count(false, hz_err_last());
        free(text);
    }
}

static void free_command(void)
{
    for (size_t i = 0; notify.command && notify.command[i]; i++)
        free(notify.command[i]);
    free(notify.command);
    notify.command = NULL;
}

int hz_notify_set(char *const *command, uint32_t timeout_ms)
{
    size_t n = 0;
    while (command && command[n])
        n++;
    free_command();
    notify.timeout_ms = timeout_ms;
    if (!notify.last)
        notify.last = &notify.first;
    if (n == 0)
        return 0;
    notify.command = calloc(n + 1, sizeof(char *));
    for (size_t i = 0; i < n && notify.command; i++) {
        notify.command[i] = strdup(command[i]);
        if (!notify.command[i])
            free_command();
    }
    return notify.command ? 0 : hz_err_set(HZ_ENOMEM, "alerts: command");
}

void hz_notify_send(const char *text)
{
    HZ_ASSERT_SHARD(hz_shard_main());
    if (!notify.command)
        return;
    size_t len = strlen(text) + 1;
    struct text *copy = notify.waiting < WAITING_MOST ? malloc(sizeof *copy + len) : NULL;
    if (!copy) {
        pthread_mutex_lock(&notify.lock);
        notify.sent.dropped++;
        pthread_mutex_unlock(&notify.lock);
        return;
    }
    copy->next = NULL;
    memcpy(copy->data, text, len);
    *notify.last = copy;
    notify.last = &copy->next;
    notify.waiting++;
    atomic_fetch_add(&notify.open, 1);
    start_next();
}

void hz_notify_sent(struct hz_alerts_sent *ret)
{
    pthread_mutex_lock(&notify.lock);
    *ret = notify.sent;
    pthread_mutex_unlock(&notify.lock);
}

bool hz_notify_idle(void)
{
    return atomic_load(&notify.open) == 0;
}

void hz_notify_stop(void)
{
    for (struct text *text = notify.first, *next; text; text = next) {
        next = text->next;
        atomic_fetch_sub(&notify.open, 1);
        free(text);
    }
    notify.first = NULL;
    notify.last = &notify.first;
    notify.waiting = 0;
    if (notify.pid)
        reap();
    free_command();
    pthread_mutex_lock(&notify.lock);
    memset(&notify.sent, 0, sizeof notify.sent);
    pthread_mutex_unlock(&notify.lock);
}
