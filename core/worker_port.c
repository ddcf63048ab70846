/*
 * worker_port.c - the port a worker owns: the manager listens there on its behalf and hands the connections to whoever serves
 * them. On the worker's shard.
 */
#include "worker.h"

#include "ports.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define ACCEPTS 64 /* a turn; the poll is level-triggered, the rest comes again */

static hz_accept_fn *accept_fn; /* both: set before the shards run */
static hz_port_free_fn *port_free_fn;

void hz_supervisor_on_accept(hz_accept_fn *fn, hz_port_free_fn *free_fn)
{
    accept_fn = fn;
    port_free_fn = free_fn;
}

static void on_connection(uv_poll_t *poll, int status, int events)
{
    struct hz_worker *w = poll->data;
    (void)status;
    (void)events;
    HZ_CHECK_OBJ(w, HZ_WORKER_MAGIC);
    for (int i = 0; i < ACCEPTS; i++) {
        struct sockaddr_storage address;
        socklen_t len = sizeof address;
        int fd = accept4(w->port_fd, (struct sockaddr *)&address, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0 && (errno == ECONNABORTED || errno == EINTR))
            continue;
        if (fd < 0) {
            if (errno != EAGAIN)
                HZ_LOG(WARN, "worker %s: no connection could be taken on port %u: %s", w->info.id_text, w->info.port, hz_err_text(-errno));
            return;
        }
        if (accept_fn)
            accept_fn(w->yard->shard, fd, &address, len, w->info.port, &w->info.id);
        else
            close(fd);
    }
}

static void free_handle(uv_handle_t *handle)
{
    free(handle);
}

static int watch(struct hz_worker *w, int fd)
{
    uv_poll_t *poll = calloc(1, sizeof *poll);
    if (!poll || uv_poll_init(hz_shard_loop(w->yard->shard), poll, fd)) {
        free(poll);
        hz_ports_give(fd, w->info.port);
        w->info.port = 0;
        return hz_err_set(HZ_ENOMEM, "worker %s: cannot watch its port", w->info.id_text);
    }
    w->port_fd = fd;
    w->port_poll = poll;
    poll->data = w;
    if (!w->yard->closed)
        uv_poll_start(poll, UV_READABLE, on_connection);
    return 0;
}

int hz_worker_port_attach(struct hz_worker *w)
{
    int fd = hz_ports_take(&w->info.port);
    return fd < 0 ? fd : watch(w, fd);
}

int hz_worker_port_adopt(struct hz_worker *w, int fd)
{
    int err = hz_ports_adopt(w->info.port);
    return err ? err : watch(w, fd);
}

void hz_worker_port_rest(struct hz_worker *w, bool rest)
{
    if (w->port_fd < 0)
        return;
    if (rest)
        uv_poll_stop(w->port_poll);
    else
        uv_poll_start(w->port_poll, UV_READABLE, on_connection);
}

void hz_worker_port_detach(struct hz_worker *w)
{
    if (w->port_fd < 0)
        return;
    uv_poll_stop(w->port_poll);
    uv_close((uv_handle_t *)w->port_poll, free_handle);
    w->port_poll = NULL;
    hz_ports_give(w->port_fd, w->info.port);
    w->port_fd = -1;
    if (port_free_fn)
        port_free_fn(w->yard->shard, w->info.port);
}
