/*
 * listen.c - the listening TCP sockets, one for each shard and address family, made by the main thread before the
 * shards run.
 *
 * The first socket is bound without SO_REUSEPORT, so that a port somebody else uses is an error even if that somebody
 * allows sharing; then it gets the option, and the others join it. The port is never free in between.
 */
#include "internal.h"

#include "shm/err.h"
#include "shm/log.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

/* 0 and a listening socket, or -errno. */
static int open_one(const union address *address, bool shared, int *ret_fd)
{
    bool v6 = address->any.sa_family == AF_INET6;
    int one = 1, err = 0;
    int fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) ||
            (v6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one)) ||
            (shared && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one)) ||
            bind(fd, &address->any, v6 ? sizeof address->v6 : sizeof address->v4) ||
            (!shared && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one)) || listen(fd, SOMAXCONN))
        err = -errno;
    if (err)
        close(fd);
    else
        *ret_fd = fd;
    return err;
}

static uint32_t port_of(int fd)
{
    union address address;
    socklen_t len = sizeof address;
    memset(&address, 0, sizeof address);
    if (getsockname(fd, &address.any, &len))
        return 0;
    return ntohs(address.any.sa_family == AF_INET6 ? address.v6.sin6_port : address.v4.sin_port);
}

static void set_port(union address *address, uint32_t port)
{
    if (address->any.sa_family == AF_INET6)
        address->v6.sin6_port = htons((uint16_t)port);
    else
        address->v4.sin_port = htons((uint16_t)port);
}

/* One socket for each shard at fds[0], fds[stride], ... */
static int open_all(union address *address, uint32_t shards, int *fds, uint32_t *port)
{
    for (uint32_t i = 0; i < shards; i++) {
        set_port(address, *port);
        int err = open_one(address, i > 0, &fds[(size_t)i * HZ_HTTP_LISTENERS]);
        if (err)
            return err;
        if (*port == 0)
            *port = port_of(fds[0]);
    }
    return 0;
}

int hz_listen_tcp(const char *host, uint32_t port, uint32_t shards, int *ret_fds, uint32_t *ret_port)
{
    union address v4 = {.v4 = {.sin_family = AF_INET}},
                  v6 = {.v6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT}};
    bool both = strcmp(host, "localhost") == 0 || strcmp(host, "127.0.0.1") == 0;
    bool only_v6 = strchr(host, ':') != NULL;
    bool any_port = port == 0;
    if (only_v6 ? inet_pton(AF_INET6, host, &v6.v6.sin6_addr) != 1
                : inet_pton(AF_INET, both ? "127.0.0.1" : host, &v4.v4.sin_addr) != 1)
        return hz_err_set(HZ_EFORMAT, "cannot listen on \"%s\", expected an address in numbers", host);
    int err = only_v6 ? 0 : open_all(&v4, shards, ret_fds, &port);
    if (err)
        return hz_err_set(err, "cannot listen on %s:%u", both ? "127.0.0.1" : host, port);
    if (only_v6 || both) {
        err = open_all(&v6, shards, ret_fds + 1, &port);
        /* A host without IPv6 is no error, and a port that was drawn for IPv4 alone may be taken there. */
        if (err && !only_v6 && (any_port || err == -EADDRNOTAVAIL || err == -EAFNOSUPPORT))
            err = 0;
        if (err)
            return hz_err_set(err, "cannot listen on [%s]:%u", only_v6 ? host : "::1", port);
    }
    *ret_port = port;
    return 0;
}
