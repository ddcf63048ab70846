/*
 * harness_os.c - files, ports and child processes for tests. A failure here fails the running test through the
 * assertions of harness.h. Nothing survives the program: children die with it, its directory is removed.
 */
#include "harness.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

void hz_test_enter_dir_(void);
void hz_test_leave_dir_(void);

static char test_dir[256];

const char *hz_test_dir(void)
{
    return test_dir;
}

const char *hz_test_source_dir(void)
{
    return HZ_TEST_SOURCE_DIR;
}

const char *hz_test_build_dir(void)
{
    return HZ_TEST_BUILD_DIR;
}

const char *hz_test_path(const char *format, ...)
{
    static _Thread_local char buffers[8][4096];
    static _Thread_local unsigned turn;
    char *buffer = buffers[turn++ % 8];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(buffer, sizeof(buffers[0]), format, args);
    va_end(args);
    return buffer;
}

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *where)
{
    (void)info;
    (void)kind;
    (void)where;
    (void)remove(path);
    return 0;
}

void hz_test_remove_tree(const char *path)
{
    (void)nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/* Directories of programs that crashed: named after a process that is gone. */
static void sweep(const char *base)
{
    DIR *dir = opendir(base);
    if (dir == NULL)
        return;
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        int pid = 0;
        if (sscanf(entry->d_name, "hz-test-%d-", &pid) == 1 && pid > 0 && kill(pid, 0) != 0 && errno == ESRCH)
            hz_test_remove_tree(hz_test_path("%s/%s", base, entry->d_name));
    }
    (void)closedir(dir);
}

void hz_test_enter_dir_(void)
{
    const char *base = getenv("TMPDIR");
    if (base == NULL || base[0] != '/' || strlen(base) > 128)
        base = "/tmp";
    sweep(base);
    (void)snprintf(test_dir, sizeof(test_dir), "%s/hz-test-%d-XXXXXX", base, (int)getpid());
    if (mkdtemp(test_dir) == NULL || chdir(test_dir) != 0) {
        fprintf(stderr, "harness: cannot use %s: %s\n", test_dir, strerror(errno));
        exit(2);
    }
}

void hz_test_leave_dir_(void)
{
    if (getenv("HZ_KEEP") != NULL) {
        printf("kept %s\n", test_dir);
        return;
    }
    if (chdir("/") == 0)
        hz_test_remove_tree(test_dir);
}

void hz_test_write_file(const char *path, const void *data, size_t len)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        HZ_FAIL("cannot create %s: %s", path, strerror(errno));
    const char *bytes = data;
    for (size_t done = 0; done < len;) {
        ssize_t n = write(fd, bytes + done, len - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            (void)close(fd);
            HZ_FAIL("cannot write %s: %s", path, strerror(errno));
        }
        done += (size_t)n;
    }
    (void)close(fd);
}

/* One read into a growing text; returns what read() returned. */
static ssize_t read_some(int fd, char **text, size_t *len)
{
    char *grown = realloc(*text, *len + 65536 + 1);
    if (grown == NULL)
        return -1;
    *text = grown;
    ssize_t n = read(fd, grown + *len, 65536);
    if (n > 0)
        *len += (size_t)n;
    grown[*len] = '\0';
    return n;
}

char *hz_test_read_file(const char *path, size_t *ret_len)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        HZ_FAIL("cannot open %s: %s", path, strerror(errno));
    char *text = NULL;
    size_t len = 0;
    ssize_t n;
    while ((n = read_some(fd, &text, &len)) > 0)
        ;
    (void)close(fd);
    if (n < 0)
        HZ_FAIL("cannot read %s: %s", path, strerror(errno));
    if (ret_len != NULL)
        *ret_len = len;
    return text;
}

uint16_t hz_test_free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0 ||
            getsockname(fd, (struct sockaddr *)&address, &size) != 0)
        HZ_FAIL("no free port: %s", strerror(errno));
    (void)close(fd);
    return ntohs(address.sin_port);
}

uint64_t hz_test_now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u;
}

bool hz_test_wait(bool (*ready)(void *arg), void *arg, int timeout_ms)
{
    uint64_t end = hz_test_now_ms() + (uint64_t)timeout_ms;
    for (;;) {
        if (ready(arg))
            return true;
        if (hz_test_now_ms() >= end)
            return false;
        (void)usleep(2000);
    }
}

int hz_test_open_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    int count = -1; /* the directory itself */
    if (dir == NULL)
        return -1;
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
        count += entry->d_name[0] != '.';
    (void)closedir(dir);
    return count;
}

static void child_exec(const char *const argv[], int in, int out, int err, pid_t parent)
{
    (void)setpgid(0, 0);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent || dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(err, 2) < 0)
        _exit(126);
    union {
        const char *const *from;
        char *const *to;
    } args = {argv}; /* execvp does not write to them: its prototype predates const */
    (void)execvp(argv[0], args.to);
    (void)dprintf(2, "harness: cannot start %s: %s\n", argv[0], strerror(errno));
    _exit(127);
}

static int stdin_of(const char *text)
{
    if (text == NULL)
        return open("/dev/null", O_RDONLY | O_CLOEXEC);
    char name[] = "hz-stdin-XXXXXX";
    int fd = mkostemp(name, O_CLOEXEC);
    if (fd < 0)
        return -1;
    (void)unlink(name);
    size_t len = strlen(text);
    if (write(fd, text, len) != (ssize_t)len || lseek(fd, 0, SEEK_SET) != 0) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

void hz_child_start(struct hz_child *child, const char *const argv[], const char *stdin_text)
{
    int out[2], err[2];
    *child = (struct hz_child){.pidfd = -1, .out_fd = -1, .err_fd = -1, .exit_code = -1};
    int in = stdin_of(stdin_text);
    if (in < 0 || pipe2(out, O_CLOEXEC) != 0 || pipe2(err, O_CLOEXEC) != 0)
        HZ_FAIL("cannot make pipes for %s: %s", argv[0], strerror(errno));
    pid_t parent = getpid();
    child->started_ms = hz_test_now_ms();
    child->pid = fork();
    if (child->pid == 0)
        child_exec(argv, in, out[1], err[1], parent);
    (void)close(in);
    (void)close(out[1]);
    (void)close(err[1]);
    child->out_fd = out[0];
    child->err_fd = err[0];
    if (child->pid < 0)
        HZ_FAIL("cannot fork for %s: %s", argv[0], strerror(errno));
    (void)setpgid(child->pid, child->pid);
    child->pidfd = (int)syscall(SYS_pidfd_open, child->pid, 0);
    child->out = calloc(1, 1);
    child->err = calloc(1, 1);
    if (child->pidfd < 0 || child->out == NULL || child->err == NULL)
        HZ_FAIL("cannot watch %s: %s", argv[0], strerror(errno));
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
    *fd = -1;
}

static void reap(struct hz_child *child)
{
    int status = 0;
    if (child->ended || child->pid <= 0)
        return;
    while (waitpid(child->pid, &status, 0) < 0 && errno == EINTR)
        ;
    child->ended = true;
    child->took_ms = hz_test_now_ms() - child->started_ms;
    child->exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    child->signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

/* Serves pipes and the end of the child for at most wait_ms. Grandchildren may keep the pipes open: once the child has
 * ended only what is already there is read. */
static void pump(struct hz_child *child, int wait_ms)
{
    struct pollfd fds[3] = {{child->out_fd, POLLIN, 0}, {child->err_fd, POLLIN, 0},
            {child->ended ? -1 : child->pidfd, POLLIN, 0}};
    if (poll(fds, 3, wait_ms) <= 0)
        return;
    if (fds[0].revents != 0 && read_some(child->out_fd, &child->out, &child->out_len) <= 0)
        close_fd(&child->out_fd);
    if (fds[1].revents != 0 && read_some(child->err_fd, &child->err, &child->err_len) <= 0)
        close_fd(&child->err_fd);
    if (fds[0].revents == 0 && fds[1].revents == 0 && fds[2].revents != 0)
        reap(child);
}

int hz_child_wait(struct hz_child *child, int timeout_ms)
{
    uint64_t end = hz_test_now_ms() + (uint64_t)timeout_ms;
    while (!child->ended) {
        uint64_t now = hz_test_now_ms();
        if (now >= end) {
            child->timed_out = true;
            (void)kill(-child->pid, SIGKILL);
            reap(child);
            break;
        }
        pump(child, (int)(end - now));
    }
    return child->exit_code;
}

static bool has_text(const struct hz_child *child, const char *part)
{
    return strstr(child->out, part) != NULL || strstr(child->err, part) != NULL;
}

bool hz_child_wait_text(struct hz_child *child, const char *part, int timeout_ms)
{
    uint64_t end = hz_test_now_ms() + (uint64_t)timeout_ms;
    while (!has_text(child, part)) {
        uint64_t now = hz_test_now_ms();
        if (child->ended || now >= end)
            return false;
        pump(child, (int)(end - now));
    }
    return true;
}

void hz_child_kill(struct hz_child *child, int signal_number)
{
    if (!child->ended && child->pid > 0)
        (void)kill(child->pid, signal_number);
}

void hz_child_fini(struct hz_child *child)
{
    if (!child->ended && child->pid > 0) {
        (void)kill(-child->pid, SIGKILL);
        reap(child);
    }
    close_fd(&child->out_fd);
    close_fd(&child->err_fd);
    close_fd(&child->pidfd);
    free(child->out);
    free(child->err);
    child->out = child->err = NULL;
}

int hz_child_run(struct hz_child *child, const char *const argv[], const char *stdin_text, int timeout_ms)
{
    hz_child_start(child, argv, stdin_text);
    return hz_child_wait(child, timeout_ms);
}
