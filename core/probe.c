/*
 * probe.c - the manager asks short-lived processes what it must not find out itself: what a node's shared object says, whether
 * a script parses. posix_spawn, three pipes, one poll loop. The child is noted as ours (children.h) and reaped here.
 */
#include "probe.h"

#include "children.h"

#include "shm/err.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct text {
    char *data;
    size_t len, capacity, limit;
};

struct run {
    int in, out, err; /* our ends; -1 closed */
    const char *input;
    size_t input_left;
    struct text output, errors;
};

static void close_end(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* 1 more may come, 0 end of file, negative error. What exceeds the limit is an error for output; stderr keeps its tail. */
static int read_some(int fd, struct text *text, bool keep_tail)
{
    if (text->capacity - text->len < 4096) {
        size_t capacity = text->capacity ? 2 * text->capacity : 16384;
        char *grown = realloc(text->data, capacity);
        if (!grown)
            return hz_err_set(HZ_ENOMEM, "reading a helper's output");
        text->data = grown;
        text->capacity = capacity;
    }
    ssize_t n = read(fd, text->data + text->len, text->capacity - text->len - 1);
    if (n < 0)
        return errno == EINTR || errno == EAGAIN ? 1 : hz_err_set(-errno, "reading a helper's output");
    text->len += (size_t)n;
    text->data[text->len] = 0;
    if (text->len > text->limit && keep_tail) {
        memmove(text->data, text->data + text->len / 2, text->len - text->len / 2 + 1);
        text->len -= text->len / 2;
    } else if (text->len > text->limit) {
        return hz_err_set(HZ_ETOOBIG, "a helper printed more than %zu bytes", text->limit);
    }
    return n > 0;
}

static int write_some(struct run *run)
{
    ssize_t n = write(run->in, run->input, run->input_left);
    if (n < 0 && errno != EINTR && errno != EAGAIN)
        n = (ssize_t)run->input_left; /* it does not want more: what it answers decides */
    if (n > 0) {
        run->input += n;
        run->input_left -= (size_t)n;
    }
    if (run->input_left == 0)
        close_end(&run->in);
    return 0;
}

static int pump(struct run *run, uint32_t timeout_ms)
{
    uint64_t end = hz_base_now_ns() + timeout_ms * UINT64_C(1000000);
    while (run->out >= 0 || run->err >= 0) {
        uint64_t now = hz_base_now_ns();
        if (now >= end)
            return hz_err_set(HZ_ETIMEOUT, "a helper did not end within %u ms", timeout_ms);
        struct pollfd fds[] = {{run->in, POLLOUT, 0}, {run->out, POLLIN, 0}, {run->err, POLLIN, 0}};
        int n = poll(fds, 3, (int)((end - now) / 1000000) + 1);
        if (n < 0 && errno != EINTR)
            return hz_err_set(-errno, "waiting for a helper");
        if (n <= 0)
            continue;
        int more = 1;
        if (run->in >= 0 && fds[0].revents)
            more = write_some(run);
        if (run->out >= 0 && fds[1].revents && (more = read_some(run->out, &run->output, false)) == 0)
            close_end(&run->out);
        if (more < 0)
            return more;
        if (run->err >= 0 && fds[2].revents && (more = read_some(run->err, &run->errors, true)) == 0)
            close_end(&run->err);
        if (more < 0)
            return more;
    }
    return 0;
}

static int spawn_helper(char *const argv[], int in, int out, int err, pid_t *ret_pid)
{
    char path[4096], lang[256], tz[256];
    char *env[4];
    int n = 0;
    static const char *const names[] = {"PATH", "LANG", "TZ"};
    char *texts[] = {path, lang, tz};
    size_t sizes[] = {sizeof path, sizeof lang, sizeof tz};
    for (size_t i = 0; i < HZ_COUNT_OF(names); i++) {
        const char *value = getenv(names[i]);
        if (value && (size_t)snprintf(texts[i], sizes[i], "%s=%s", names[i], value) < sizes[i])
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
        posix_spawn_file_actions_adddup2(&actions, out, 1);
        posix_spawn_file_actions_adddup2(&actions, err, 2);
        posix_spawnattr_setsigmask(&attributes, &none);
        posix_spawnattr_setsigdefault(&attributes, &defaults);
        posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
        code = posix_spawn(ret_pid, argv[0], &actions, &attributes, argv, env);
        posix_spawnattr_destroy(&attributes);
    }
    posix_spawn_file_actions_destroy(&actions);
    return code;
}

static const char *last_line(struct text *text)
{
    if (!text->data)
        return "";
    while (text->len && text->data[text->len - 1] == '\n')
        text->data[--text->len] = 0;
    char *line = strrchr(text->data, '\n');
    return line ? line + 1 : text->data;
}

int hz_probe_run(char *const argv[], const char *input, size_t input_len, uint32_t timeout_ms, size_t max_output, char **ret_output,
        size_t *ret_len)
{
    int pipes[3][2] = {{-1, -1}, {-1, -1}, {-1, -1}};
    struct run run = {-1, -1, -1, input, input_len, {NULL, 0, 0, max_output}, {NULL, 0, 0, 65536}};
    pid_t pid = -1;
    int err = 0;
    for (int i = 0; i < 3 && !err; i++)
        if (pipe2(pipes[i], O_CLOEXEC))
            err = hz_err_set(-errno, "starting %s", argv[0]);
    if (!err) {
        unsigned hold = hz_children_hold();
        int code = spawn_helper(argv, pipes[0][0], pipes[1][1], pipes[2][1], &pid);
        if (code)
            err = hz_err_set(-code, "cannot start %s", argv[0]);
        else
            err = hz_children_add(pid); /* we reap it ourselves, below */
        hz_children_release(hold);
    }
    close_end(&pipes[0][0]);
    close_end(&pipes[1][1]);
    close_end(&pipes[2][1]);
    run.in = pipes[0][1];
    run.out = pipes[1][0];
    run.err = pipes[2][0];
    if (run.in >= 0)
        (void)fcntl(run.in, F_SETFL, O_NONBLOCK);
    if (!err && input_len == 0)
        close_end(&run.in);
    if (!err)
        err = pump(&run, timeout_ms);
    close_end(&run.in);
    close_end(&run.out);
    close_end(&run.err);
    if (pid > 0) {
        if (err)
            (void)kill(pid, SIGKILL);
        siginfo_t info;
        memset(&info, 0, sizeof info);
        int waited;
        do
            waited = waitid(P_PID, (id_t)pid, &info, WEXITED);
        while (waited && errno == EINTR);
        hz_children_remove(pid);
        if (!err && waited == 0 && (info.si_code != CLD_EXITED || info.si_status != 0))
            err = hz_err_set(HZ_EREFUSED, "%s ended with %s %d: %s", argv[0], info.si_code == CLD_EXITED ? "code" : "signal", info.si_status,
                    last_line(&run.errors));
    }
    free(run.errors.data);
    if (!err && !run.output.data)
        run.output.data = calloc(1, 1);
    if (!err && !run.output.data)
        err = hz_err_set(HZ_ENOMEM, "starting %s", argv[0]);
    if (err) {
        free(run.output.data);
        return err;
    }
    *ret_output = run.output.data;
    *ret_len = run.output.len;
    return 0; // cppcheck-suppress memleak ; the caller has run.output.data now, a member of a member is not followed
}
