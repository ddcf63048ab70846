/*
 * unix.c - the Unix socket in the data directory, which the commands use: who may open it is decided by the file's mode
 * and by the kernel's word about the peer, not by anything the peer says.
 */
#include "internal.h"

#include "shm/err.h"
#include "shm/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* Paths longer than a socket address (108 bytes) are reached through the folder's descriptor. *ret_dir: -1 or to be
 * closed. */
static int address_of(const char *path, struct sockaddr_un *ret_address, int *ret_dir)
{
    memset(ret_address, 0, sizeof *ret_address);
    ret_address->sun_family = AF_UNIX;
    *ret_dir = -1;
    if (strlen(path) < sizeof ret_address->sun_path) {
        memcpy(ret_address->sun_path, path, strlen(path) + 1);
        return 0;
    }
    const char *slash = strrchr(path, '/');
    char *dir = slash ? strndup(path, (size_t)(slash - path)) : NULL;
    if (!dir)
        return slash ? HZ_ENOMEM : -ENAMETOOLONG;
    *ret_dir = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    free(dir);
    if (*ret_dir < 0)
        return -errno;
    int len = snprintf(ret_address->sun_path, sizeof ret_address->sun_path, "/proc/self/fd/%d%s", *ret_dir, slash);
    return len > 0 && (size_t)len < sizeof ret_address->sun_path ? 0 : -ENAMETOOLONG;
}

int hz_unix_listen(const char *path, int *ret_fd)
{
    struct sockaddr_un address;
    int dir, fd = -1;
    int err = address_of(path, &address, &dir);
    if (err)
        goto fail;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        err = -errno;
        goto fail;
    }
    /* Whoever holds the lock of the data directory owns the name: one that is left over belongs to a dead manager. */
    if (unlink(path) && errno != ENOENT) {
        err = -errno;
        goto fail;
    }
    mode_t mask = umask(0177);
    if (bind(fd, (const struct sockaddr *)&address, sizeof address))
        err = -errno;
    umask(mask);
    if (!err && (chmod(path, 0600) || listen(fd, SOMAXCONN)))
        err = -errno;
    if (err)
        goto fail;
    if (dir >= 0)
        close(dir);
    *ret_fd = fd;
    return 0;
fail:
    if (fd >= 0)
        close(fd);
    if (dir >= 0)
        close(dir);
    return hz_err_set(err, "cannot listen on the socket %s", path);
}

/* Parent of a process by /proc, 0 if it cannot be told. */
static pid_t parent_of(pid_t pid)
{
    char path[64], text[512];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    text[n < 0 ? 0 : n] = 0;
    const char *end = strrchr(text, ')'); /* the name may hold anything; ") S 123": state, then the parent */
    return end && strlen(end) > 4 ? (pid_t)strtol(end + 4, NULL, 10) : 0;
}

bool hz_unix_peer_allowed(int fd)
{
    struct ucred peer;
    socklen_t len = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len))
        return false;
    if (peer.uid != geteuid() && peer.uid != 0) {
        HZ_LOG(WARN, "control socket: refused process %d of user %u", (int)peer.pid, (unsigned)peer.uid);
        return false;
    }
    /* Our children are workers, zygotes and probes; none of them has business here, nor has anything they started. */
    pid_t self = getpid(), pid = peer.pid;
    for (int depth = 0; depth < 64 && pid > 1 && pid != self; depth++) {
        pid = parent_of(pid);
        if (pid == self) {
            HZ_LOG(WARN, "control socket: refused process %d, a child of this manager", (int)peer.pid);
            return false;
        }
    }
    return true;
}
