/*
 * reaper.c - one worker's process: pidfd, kill, reap with its bill. On the worker's shard; what is nobody's is children.c's.
 *
 * The manager opens the pidfd itself from the pid the zygote names. It cannot be somebody else's by then: the pid is a child of ours
 * that nobody but this file reaps (it is in the table of children.h), so its number is not given away before. If the zygote
 * lied, waitid says that it is no child of ours, and the pid is left alone.
 */
#include "worker.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

/* The system call's fifth argument, which glibc hides, is the bill. */
static int wait_pidfd(int pidfd, siginfo_t *info, int options, struct rusage *usage)
{
    memset(info, 0, sizeof *info);
    return syscall(SYS_waitid, P_PIDFD, pidfd, info, options, usage) ? -errno : 0;
}

static void on_exit_readable(uv_poll_t *poll, int status, int events)
{
    struct hz_worker *w = poll->data;
    (void)status;
    (void)events;
    HZ_CHECK_OBJ(w, HZ_WORKER_MAGIC);
    siginfo_t info;
    int err = wait_pidfd(w->pidfd, &info, WEXITED | WNOHANG | __WALL, &w->usage);
    if (!err && info.si_pid == 0)
        return; /* not yet */
    if (err) {
        /* Somebody else reaped it, which nobody may: buried all the same, with what is known. */
        HZ_LOG(ERROR, "worker %s: process %d could not be reaped: %s", w->info.id_text, w->info.pid, hz_err_text(err));
        info.si_code = CLD_KILLED;
        info.si_status = SIGKILL;
    }
    hz_worker_exited(w, info.si_code, info.si_status);
}

static void free_handle(uv_handle_t *handle)
{
    free(handle);
}

int hz_reaper_attach(struct hz_worker *w, int32_t pid)
{
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (fd < 0)
        return hz_err_set(errno == ESRCH ? HZ_ECLOSED : -errno, "process %d of the zygote cannot be watched", pid);
    siginfo_t info;
    int err = wait_pidfd(fd, &info, WEXITED | WNOHANG | WNOWAIT | __WALL, NULL);
    if (err) {
        close(fd);
        return hz_err_set(err == -ECHILD ? HZ_ECLOSED : err, "process %d that the zygote named is no child of ours", pid);
    }
    uv_poll_t *poll = calloc(1, sizeof *poll);
    if (!poll || uv_poll_init(hz_shard_loop(w->yard->shard), poll, fd)) {
        free(poll);
        (void)syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0);
        (void)wait_pidfd(fd, &info, WEXITED | __WALL, NULL);
        close(fd);
        return hz_err_set(HZ_ENOMEM, "process %d cannot be watched", pid);
    }
    w->pidfd = fd;
    w->exit_poll = poll;
    poll->data = w;
    uv_poll_start(poll, UV_READABLE, on_exit_readable);
    return 0;
}

void hz_reaper_detach(struct hz_worker *w)
{
    if (w->pidfd < 0)
        return;
    uv_poll_stop(w->exit_poll);
    uv_close((uv_handle_t *)w->exit_poll, free_handle);
    w->exit_poll = NULL;
    close(w->pidfd);
    w->pidfd = -1;
}

bool hz_reaper_ask(struct hz_worker *w)
{
    /* Only one that is ready has a handler for it; to others it would be deadly. */
    return w->pidfd >= 0 && !w->reaped && w->ready && !w->stopped && syscall(SYS_pidfd_send_signal, w->pidfd, SIGRTMIN, NULL, 0) == 0;
}

void hz_reaper_kill(struct hz_worker *w)
{
    if (w->pidfd >= 0 && !w->reaped && syscall(SYS_pidfd_send_signal, w->pidfd, SIGKILL, NULL, 0) && errno != ESRCH)
        HZ_LOG(ERROR, "worker %s: cannot be killed: %s", w->info.id_text, hz_err_text(-errno));
}
