/*
 * rest.c - connections come to rest before the manager executes itself anew, and live on after it. A connection between
 * two requests is suspended: the library reads nothing of it, so what its client sends stays in the kernel until the
 * next image reads it. Shard's thread.
 */
#include "engineio_internal.h"
#include "internal.h"

#include "core/carry.h"

#include "shm/err.h"
#include "shm/log.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECTIONS_MOST 65536u

static struct hz_http_server *server_of(struct hz_shard *shard)
{
    HZ_ASSERT_SHARD(shard);
    return hz_shard_get(shard, HZ_SHARD_HTTP);
}

void hz_server_rest_idle(struct hz_http_server *server)
{
    for (struct hz_http_conn *conn = server->conns; conn; conn = conn->next) {
        if (conn->request || conn->resting || conn->leaving || conn->upgraded)
            continue;
        conn->resting = true;
        conn->deadline_ns = 0;
        MHD_suspend_connection(conn->mhd);
    }
}

void hz_http_rest(struct hz_shard *shard)
{
    struct hz_http_server *server = server_of(shard);
    if (!server)
        return;
    server->resting = true;
    hz_server_set_listening(server, false);
    hz_eio_rest(shard);
    for (const struct hz_http_conn *conn = server->conns; conn; conn = conn->next)
        if (conn->request && conn->request->stream)
            hz_http_stream_end(conn->request->stream); /* its client comes again */
    hz_server_rest_idle(server);
}

bool hz_http_quiet(struct hz_shard *shard)
{
    const struct hz_http_server *server = server_of(shard);
    for (const struct hz_http_conn *conn = server ? server->conns : NULL; conn; conn = conn->next)
        if (conn->request)
            return false;
    return hz_eio_quiet(shard);
}

/* Past the library: it has sent nothing of this answer yet, and sees the connection's end. */
static void cut(struct hz_http_conn *conn)
{
    const struct hz_http_request *request = conn->request;
    bool looks = strcmp(request->method, "GET") == 0 || strcmp(request->method, "HEAD") == 0;
    bool begun = request->state == HZ_HTTP_PENDING && (!looks || request->webhook);
    char text[512];
    static const char later[] = "{\"type\":\"about:blank\",\"title\":\"Service Unavailable\",\"status\":503,"
                                "\"detail\":\"the server restarts\"}";
    static const char goes_on[] = "{\"type\":\"about:blank\",\"title\":\"Gateway Timeout\",\"status\":504,"
                                  "\"detail\":\"the server restarts; what was asked for goes on\"}";
    int len = snprintf(text, sizeof text,
            "HTTP/1.1 %s\r\n%sContent-Type: application/problem+json\r\nContent-Length: %zu\r\n"
            "Connection: close\r\n\r\n%s",
            begun ? "504 Gateway Timeout" : "503 Service Unavailable", begun ? "" : "Retry-After: 1\r\n",
            begun ? sizeof goes_on - 1 : sizeof later - 1, begun ? goes_on : later);
    ssize_t sent = conn->tls ? 0 : send(conn->fd, text, (size_t)len, MSG_NOSIGNAL | MSG_DONTWAIT);
    (void)sent; /* a client that does not read has no more coming */
    conn->leaving = true;
    shutdown(conn->fd, SHUT_RDWR);
}

void hz_http_hurry(struct hz_shard *shard, bool readers)
{
    struct hz_http_server *server = server_of(shard);
    if (!server)
        return;
    hz_eio_hurry(shard);
    for (struct hz_http_conn *conn = server->conns, *next; conn; conn = next) {
        next = conn->next;
        struct hz_http_request *request = conn->request;
        if (!request)
            continue;
        if (request->state <= HZ_HTTP_PENDING)
            cut(conn);
        else if (readers)
            shutdown(conn->fd, SHUT_RDWR);
        if (request->state == HZ_HTTP_PENDING)
            hz_request_abandon(request); /* its handler hears of it */
    }
    hz_server_kick(server);
}

void hz_http_wake(struct hz_shard *shard)
{
    struct hz_http_server *server = server_of(shard);
    if (!server)
        return;
    server->resting = false;
    for (struct hz_http_conn *conn = server->conns; conn; conn = conn->next) {
        if (!conn->resting)
            continue;
        conn->resting = false;
        conn->deadline_ns =
                hz_base_now_ns() + (uint64_t)(hz_http_shared.idle_ms + hz_http_shared.header_ms) * 1000000u;
        MHD_resume_connection(conn->mhd);
    }
    hz_eio_wake(shard);
    hz_server_set_listening(server, true);
    hz_server_kick(server);
}

void hz_http_carry(struct hz_shard *shard, struct hz_carry_out *out)
{
    const struct hz_http_server *server = server_of(shard);
    uint64_t count = 0;
    for (const struct hz_http_conn *conn = server ? server->conns : NULL; conn; conn = conn->next)
        count += conn->resting && !conn->tls; /* whose keys this process alone has: closed, its client comes again */
    hz_carry_put(out, count);
    for (const struct hz_http_conn *conn = server ? server->conns : NULL; conn; conn = conn->next) {
        if (!conn->resting || conn->tls)
            continue;
        hz_carry_put_fd(out, conn->fd);
        hz_carry_put(out, conn->port);
        hz_carry_put(out, conn->over_socket);
    }
}

int hz_http_adopt(struct hz_shard *shard, struct hz_carry_in *in)
{
    struct hz_http_server *server = server_of(shard);
    size_t count = hz_carry_take_count(in, CONNECTIONS_MOST);
    for (size_t i = 0; i < count; i++) {
        struct sockaddr_storage address;
        socklen_t len = sizeof address;
        int fd = hz_carry_take_fd(in);
        uint32_t port = (uint32_t)hz_carry_take_most(in, 65535);
        bool over_socket = hz_carry_take_most(in, 1);
        if (in->bad || fd < 0 || !server)
            return hz_err_set(HZ_EFORMAT, "a connection that cannot be");
        memset(&address, 0, sizeof address);
        if (getpeername(fd, (struct sockaddr *)&address, &len))
            close(fd); /* its client has gone */
        else
            hz_server_add(server, fd, &address, len, port, over_socket);
    }
    return 0;
}
