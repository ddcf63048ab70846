/*
 * ports.c - ports of the workers: a bitmap under a lock, and the kernel's word on top of it. Any thread of the manager.
 *
 * Synchronisation: `lock` guards bitmap and count, held during bind and listen (about 10 us), so that two creations at once
 * cannot fight for one number. The number is freed after the socket is closed: whoever gets it next can bind it.
 */
#include "ports.h"

#include "shm/err.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG 511

static struct {
    pthread_mutex_t lock;
    bool *taken; /* by offset from start */
    uint32_t start, count, skip, in_use;
} ports = {.lock = PTHREAD_MUTEX_INITIALIZER};

int hz_ports_init(uint32_t start, uint32_t end, uint32_t skip)
{
    if (start == 0 || start > end || end > 65535)
        return hz_err_set(HZ_EFORMAT, "WORKER_PORT_START is %u and WORKER_PORT_END is %u, expected 1 to 65535 and start not above end", start, end);
    ports.start = start;
    ports.count = end - start + 1;
    ports.skip = skip;
    ports.in_use = 0;
    ports.taken = calloc(ports.count, sizeof *ports.taken);
    return ports.taken ? 0 : hz_err_set(HZ_ENOMEM, "ports");
}

void hz_ports_fini(void)
{
    free(ports.taken);
    ports.taken = NULL;
    ports.count = 0;
}

/* SO_REUSEADDR: a closed connection of the last owner, still in TIME_WAIT, must not keep the port from the next one. It does
 * not let two sockets listen: that is decided by listen(), so both calls belong to the test. */
static int open_port(uint32_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    int yes = 1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) ||
            bind(fd, (const struct sockaddr *)&address, sizeof address) || listen(fd, BACKLOG)) {
        int err = -errno;
        close(fd);
        return err;
    }
    return fd;
}

int hz_ports_take(uint32_t *ret_port)
{
    int fd = HZ_ELIMIT;
    pthread_mutex_lock(&ports.lock);
    for (uint32_t i = 0; i < ports.count; i++) {
        uint32_t port = ports.start + i;
        if (ports.taken[i] || port == ports.skip)
            continue;
        fd = open_port(port);
        if (fd >= 0) {
            ports.taken[i] = true;
            ports.in_use++;
            *ret_port = port;
            break;
        }
        if (fd == -EMFILE || fd == -ENFILE || fd == -ENOMEM || fd == -ENOBUFS)
            break; /* no port would do better */
        fd = HZ_ELIMIT;
    }
    pthread_mutex_unlock(&ports.lock);
    if (fd < 0)
        return hz_err_set(fd, "no port for a worker in %u to %u", ports.start, ports.start + ports.count - 1);
    return fd;
}

int hz_ports_adopt(uint32_t port)
{
    pthread_mutex_lock(&ports.lock);
    bool good = port >= ports.start && port - ports.start < ports.count && !ports.taken[port - ports.start];
    if (good) {
        ports.taken[port - ports.start] = true;
        ports.in_use++;
    }
    pthread_mutex_unlock(&ports.lock);
    return good ? 0
                : hz_err_set(HZ_EFORMAT, "port %u of a worker is not one of %u to %u, or taken twice", port,
                          ports.start, ports.start + ports.count - 1);
}

void hz_ports_give(int fd, uint32_t port)
{
    pthread_mutex_lock(&ports.lock);
    HZ_ASSERT(port >= ports.start && port - ports.start < ports.count && ports.taken[port - ports.start]);
    close(fd);
    ports.taken[port - ports.start] = false;
    ports.in_use--;
    pthread_mutex_unlock(&ports.lock);
}

uint32_t hz_ports_taken(void)
{
    pthread_mutex_lock(&ports.lock);
    uint32_t in_use = ports.in_use;
    pthread_mutex_unlock(&ports.lock);
    return in_use;
}
