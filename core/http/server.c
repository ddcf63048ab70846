/*
 * server.c - one libmicrohttpd daemon per shard, on the shard's loop: listeners, connections, deadlines, and when the
 * library runs. What a request is and how it is answered is in request.c and respond.c.
 *
 * The daemon has no listening socket: connections are accepted here and handed over, those of the API, of the worker
 * ports and of the Unix socket alike. Its epoll descriptor is polled by the loop. While the library says that it has
 * work (time-out 0) it runs once each loop turn, so that the handlers of waiting requests are asked again between two
 * looks at the workers' rings.
 */
#include "engineio_internal.h"
#include "internal.h"
#include "proxy.h"
#include "socketio_internal.h"
#include "tls.h"

#include "shm/err.h"
#include "shm/log.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

/* The library clears a connection's whole pool between two requests, so its size is a cost of each request; headers of
 * more than about half of it are refused (431). */
enum { POOL_BYTES = 16384, ACCEPTS_PER_EVENT = 16, SWEEP_MS = 1000, CONNECTIONS_MAX = 8192, CONNECTIONS_MIN = 64, LAST_RUNS = 8 };

#define DAEMON_FLAGS (MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_ALLOW_SUSPEND_RESUME | MHD_ALLOW_UPGRADE | MHD_USE_ERROR_LOG)
static char tls_versions[] = "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"; /* the library takes a pointer it may write to */

struct hz_http_shared hz_http_shared;

/* ---- before the shards run ---- */
static int need_router(void)
{
    if (hz_http_shared.routed)
        return 0;
    int err = hz_router_init(&hz_http_shared.router);
    hz_http_shared.routed = err == 0;
    return err;
}

static int route(const char *method, const char *pattern, hz_http_handler_fn *fn, void *arg, enum hz_router_door door,
        const char *permission, uint64_t body_max)
{
    int err = need_router();
    return err ? err : hz_router_put(&hz_http_shared.router, method, pattern, fn, arg, door, permission, body_max);
}

int hz_http_route(const char *method, const char *pattern, hz_http_handler_fn *fn, void *arg)
{
    return route(method, pattern, fn, arg, HZ_DOOR_GATE, NULL, 0);
}

int hz_http_route_for(const char *method, const char *pattern, const char *permission, hz_http_handler_fn *fn, void *arg)
{
    return route(method, pattern, fn, arg, HZ_DOOR_GATE, permission, 0);
}

int hz_http_route_anybody(const char *method, const char *pattern, size_t body_max, hz_http_handler_fn *fn, void *arg)
{
    return route(method, pattern, fn, arg, HZ_DOOR_ANYBODY, NULL, body_max ? body_max : HZ_HTTP_SMALL_MAX);
}

int hz_http_route_open(const char *method, const char *pattern, hz_http_handler_fn *fn, void *arg)
{
    return route(method, pattern, fn, arg, HZ_DOOR_OPEN, NULL, HZ_HTTP_SMALL_MAX);
}

void hz_http_each_route(hz_http_route_fn *fn, void *arg)
{
    if (hz_http_shared.routed)
        hz_router_each(&hz_http_shared.router, fn, arg);
}

void hz_http_guard(hz_http_guard_fn *guard, hz_http_after_fn *after)
{
    hz_http_shared.guard = guard;
    hz_http_shared.after = after;
}

void hz_http_fallback(hz_http_handler_fn *fn, void *arg)
{
    hz_http_shared.fallback = fn;
    hz_http_shared.fallback_arg = arg;
}

/* An address people can open: all interfaces is none. */
static void name_url(const char *host)
{
    const char *name = strcmp(host, "0.0.0.0") == 0 ? "localhost" : strcmp(host, "::") == 0 ? "::1" : host;
    bool v6 = strchr(name, ':') != NULL;
    snprintf(hz_http_shared.url, sizeof hz_http_shared.url, "%s://%s%.250s%s:%u", hz_http_shared.tls ? "https" : "http", v6 ? "[" : "", name, v6 ? "]" : "",
            (unsigned)hz_http_shared.port);
}

/* Who listens on an address of its own is called by it. */
static int init_gate(const struct hz_http_options *options)
{
    const char *host = options->host, *others = options->allowed_hosts ? options->allowed_hosts : "";
    char *all = NULL;
    bool any = strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0, v6 = strchr(host, ':') != NULL;
    if (asprintf(&all, "%s%s%s%s%s", others, any ? "" : ",", any ? "" : v6 ? "[" : "", any ? "" : host, any || !v6 ? "" : "]") < 0)
        return hz_err_set(HZ_ENOMEM, "starting the HTTP server");
    int err = hz_gate_init(&hz_http_shared.gate, all, options->allowed_origin);
    free(all);
    return err;
}

int hz_http_reload_tls(void)
{
    return hz_http_shared.tls ? hz_tls_reload() : 0;
}

int hz_http_bind(const struct hz_http_options *options, uint32_t *ret_port)
{
    struct hz_http_shared *shared = &hz_http_shared;
    int err = need_router();
    if (err)
        return err;
    shared->shards = hz_shard_count();
    shared->header_ms = options->header_timeout_ms ? options->header_timeout_ms : HZ_HTTP_HEADER_MS;
    shared->body_ms = options->body_timeout_ms ? options->body_timeout_ms : HZ_HTTP_BODY_MS;
    shared->bodies_max = options->bodies_max ? options->bodies_max : HZ_HTTP_BODIES_MAX;
    shared->idle_ms = options->idle_timeout_ms ? options->idle_timeout_ms : HZ_HTTP_IDLE_MS;
    size_t count = (size_t)shared->shards * HZ_HTTP_LISTENERS;
    shared->fds = calloc(count, sizeof *shared->fds);
    if (!shared->fds)
        return hz_err_set(HZ_ENOMEM, "starting the HTTP server");
    for (size_t i = 0; i < count; i++)
        shared->fds[i] = -1;
    err = init_gate(options);
    if (!err && options->tls_cert)
        err = hz_tls_open(options->tls_cert, options->tls_key);
    shared->tls = options->tls_cert != NULL;
    if (!err)
        err = hz_address_init(options->address_connections, options->address_rate, options->limit_loopback);
    if (!err)
        err = hz_proxy_trust(options->trusted_proxies);
    if (!err && options->listeners) {
        if (options->listener_count != count)
            return hz_err_set(HZ_EFORMAT, "%zu listening sockets instead of %zu", options->listener_count, count);
        memcpy(shared->fds, options->listeners, count * sizeof *shared->fds);
        shared->port = options->port;
        shared->socket_path = options->socket_path ? strdup(options->socket_path) : NULL;
        shared->gate.port = *ret_port = shared->port;
        name_url(options->host);
        return 0;
    }
    if (!err)
        err = hz_listen_tcp(options->host, options->port, shared->shards, shared->fds, &shared->port);
    if (!err && options->socket_path) {
        shared->socket_path = strdup(options->socket_path);
        err = shared->socket_path ? hz_unix_listen(options->socket_path, &shared->fds[2])
                                  : hz_err_set(HZ_ENOMEM, "starting the HTTP server");
    }
    if (err)
        return err;
    shared->gate.port = shared->port;
    name_url(options->host);
    *ret_port = shared->port;
    return hz_eio_bind();
}

const char *hz_http_url(void)
{
    return hz_http_shared.url;
}

uint32_t hz_http_port(void)
{
    return hz_http_shared.port;
}

const int *hz_http_listeners(size_t *ret_count)
{
    *ret_count = (size_t)hz_http_shared.shards * HZ_HTTP_LISTENERS;
    return hz_http_shared.fds;
}

void hz_http_fini(void)
{
    struct hz_http_shared *shared = &hz_http_shared;
    hz_sio_fini();
    hz_eio_fini();
    for (size_t i = 0; shared->fds && i < (size_t)shared->shards * HZ_HTTP_LISTENERS; i++)
        if (shared->fds[i] >= 0)
            close(shared->fds[i]);
    if (shared->socket_path && shared->fds && shared->fds[2] >= 0)
        unlink(shared->socket_path);
    free(shared->fds);
    free(shared->socket_path);
    hz_gate_fini(&shared->gate);
    hz_router_fini(&shared->router);
    hz_tls_close();
    hz_address_fini();
    memset(shared, 0, sizeof *shared);
}

/* ---- running the library ---- */
static bool has_work(struct MHD_Daemon *daemon)
{
    MHD_UNSIGNED_LONG_LONG timeout;
    return daemon && MHD_get_timeout(daemon, &timeout) == MHD_YES && timeout == 0;
}

static bool run(struct hz_http_server *server)
{
    server->turn++;
    server->again = false;
    server->running = true;
    if (MHD_run(server->daemon) != MHD_YES || (server->tls_daemon && MHD_run(server->tls_daemon) != MHD_YES))
        HZ_LOG(ERROR, "http: shard %u: the server could not run", hz_shard_index(server->shard));
    server->running = false;
    if (server->resting)
        hz_server_rest_idle(server);
    if (hz_upgrade_give_up(server, false) || server->again)
        return true;
    return has_work(server->daemon) || has_work(server->tls_daemon);
}

static void on_idle(uv_idle_t *idle)
{
    (void)idle; /* that it is active keeps the loop from sleeping */
}

static void set_wanted(struct hz_http_server *server, bool wanted)
{
    if (server->wanted == wanted)
        return;
    server->wanted = wanted;
    if (wanted)
        uv_idle_start(&server->idle, on_idle);
    else
        uv_idle_stop(&server->idle);
}

/* Once each loop turn. arg: the shard, which goes on asking after hz_http_end(). */
static bool take_turn(void *arg)
{
    struct hz_http_server *server = hz_shard_get(arg, HZ_SHARD_HTTP);
    if (!server || !server->wanted)
        return false;
    set_wanted(server, run(server));
    return server->wanted;
}

/* The turn function of somebody else may have answered after ours was asked in this loop turn: the idle handle sees to
 * it that the loop does not sleep before the next one. */
void hz_server_kick(struct hz_http_server *server)
{
    if (!server->running && !server->ending)
        set_wanted(server, true);
}

static void on_epoll(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    struct hz_http_server *server = poll->data;
    if (!server->wanted)
        set_wanted(server, run(server));
}

/* ---- connections ---- */
static void on_listener(uv_poll_t *poll, int status, int events);

void hz_server_set_listening(struct hz_http_server *server, bool on)
{
    if (server->listening == on || (on && server->resting))
        return;
    server->listening = on;
    for (unsigned i = 0; i < HZ_HTTP_LISTENERS; i++) {
        struct hz_http_listener *listener = &server->listeners[i];
        if (!listener->open)
            continue;
        if (on)
            uv_poll_start(&listener->poll, UV_READABLE, on_listener);
        else
            uv_poll_stop(&listener->poll);
    }
}

static void refuse(int fd, const char *text)
{
    ssize_t sent = send(fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT);
    (void)sent; /* a courtesy; the connection ends either way */
    close(fd);
}

/* ::ffff:a.b.c.d is the IPv4 address it is. */
void hz_server_name(const struct sockaddr_storage *address, bool over_socket, char ret[48])
{
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)address;
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)address;
    const char *text = NULL;
    if (address->ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr))
        text = inet_ntop(AF_INET, &v6->sin6_addr.s6_addr[12], ret, 48);
    else if (address->ss_family == AF_INET6)
        text = inet_ntop(AF_INET6, &v6->sin6_addr, ret, 48);
    else if (address->ss_family == AF_INET && !over_socket)
        text = inet_ntop(AF_INET, &v4->sin_addr, ret, 48);
    if (!text)
        snprintf(ret, 48, "%s", over_socket ? "unix" : "unknown");
}

void hz_server_add(
        struct hz_http_server *server, int fd, const void *addr, unsigned addr_len, uint32_t port, bool over_socket)
{
    if (server->conn_count >= server->conn_limit || server->ending) {
        refuse(fd,
                "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        return;
    }
    struct sockaddr_storage address;
    memset(&address, 0, sizeof address);
    memcpy(&address, addr, HZ_MIN((size_t)addr_len, sizeof address));
    if (address.ss_family != AF_INET && address.ss_family != AF_INET6) {
        /* The library wants an Internet address; it is asked for by nobody. */
        address.ss_family = AF_INET;
        addr_len = sizeof(struct sockaddr_in);
    }
    bool tls = hz_http_shared.tls && port == 0 && !over_socket;
    server->adding.proxied = !over_socket && hz_proxy_trusted(&address);
    if (!over_socket && !server->adding.proxied && !hz_address_enter(&address, &server->adding.address)) {
        if (tls)
            close(fd);
        else
            refuse(fd, "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        return;
    }
    if (over_socket || server->adding.proxied)
        memset(&server->adding.address, 0, sizeof server->adding.address);
    server->adding.tls = tls;
    server->adding.port = port;
    server->adding.fd = fd;
    server->adding.over_socket = over_socket;
    hz_server_name(&address, over_socket, server->adding.peer);
    /* Closes fd itself when it fails. */
    if (MHD_add_connection(tls ? server->tls_daemon : server->daemon, fd, (const struct sockaddr *)&address, addr_len) != MHD_YES)
        HZ_LOG(WARN, "http: a connection was refused: %s", strerror(errno));
    hz_address_leave(&server->adding.address); /* no connection took it over */
}

static void on_listener(uv_poll_t *poll, int status, int events)
{
    (void)events;
    struct hz_http_listener *listener = poll->data;
    struct hz_http_server *server = listener->server;
    for (int i = 0; status == 0 && i < ACCEPTS_PER_EVENT && server->conn_count < server->conn_limit; i++) {
        struct sockaddr_storage address;
        socklen_t len = sizeof address;
        int fd = accept4(listener->fd, (struct sockaddr *)&address, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
                /* No descriptor left: the level-triggered event would spin, so the sweep tries again. */
                HZ_LOG(WARN, "http: accept: %s", strerror(errno));
                server->accept_failed = true;
                hz_server_set_listening(server, false);
                uv_timer_again(&server->sweep);
            }
            break;
        }
        if (listener->is_unix && !hz_unix_peer_allowed(fd))
            refuse(fd, "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        else
            hz_server_add(server, fd, &address, len, 0, listener->is_unix);
    }
    if (server->conn_count >= server->conn_limit)
        hz_server_set_listening(server, false);
}

void hz_http_add(struct hz_shard *shard, int fd, const void *addr, unsigned addr_len, uint32_t port)
{
    HZ_ASSERT_SHARD(shard);
    struct hz_http_server *server = hz_shard_get(shard, HZ_SHARD_HTTP);
    if (!server) {
        close(fd);
        return;
    }
    HZ_CHECK_OBJ(server, HZ_HTTP_SERVER_MAGIC);
    hz_server_add(server, fd, addr, addr_len, port, false);
}

/* connect() to no address takes the socket out of the kernel's tables now, with a reset and without TIME_WAIT; the library
 * sees an error on it and closes the descriptor. */
static void reset(const struct hz_http_conn *conn)
{
    const struct sockaddr none = {.sa_family = AF_UNSPEC};
    if (connect(conn->fd, &none, sizeof none))
        shutdown(conn->fd, SHUT_RDWR);
}

void hz_server_leave(struct hz_http_conn *conn)
{
    int unsent = 0; /* what was sent on loopback is in the client's queue, where a reset leaves it */
    if (ioctl(conn->fd, SIOCOUTQNSD, &unsent) || unsent > 0) /* a slow reader: the answer goes before the port */
        shutdown(conn->fd, SHUT_RDWR);
    else
        reset(conn);
}

void hz_http_port_free(struct hz_shard *shard, uint32_t port)
{
    struct hz_http_server *server = hz_shard_get(shard, HZ_SHARD_HTTP);
    if (!server)
        return;
    HZ_CHECK_OBJ(server, HZ_HTTP_SERVER_MAGIC);
    for (struct hz_http_conn *conn = server->conns; conn; conn = conn->next) {
        if (conn->port != port || conn->over_socket)
            continue;
        conn->leaving = true;
        if (!conn->request || conn->request->state < HZ_HTTP_PENDING)
            reset(conn);
    }
}

static void conn_opened(struct hz_http_server *server, struct MHD_Connection *mhd, void **context)
{
    struct hz_http_conn *conn = calloc(1, sizeof *conn);
    *context = conn;
    server->conn_count++;
    if (!conn) {
        shutdown(server->adding.fd, SHUT_RDWR); /* the library then sees the end of it */
        return;
    }
    conn->server = server;
    conn->mhd = mhd;
    conn->fd = server->adding.fd;
    conn->port = server->adding.port;
    conn->over_socket = server->adding.over_socket;
    conn->tls = server->adding.tls;
    conn->address = server->adding.address;
    server->adding.address.counted = false; /* the connection's now */
    memcpy(conn->peer, server->adding.peer, sizeof conn->peer);
    conn->proxied = server->adding.proxied;
    conn->deadline_ns = hz_base_now_ns() + (uint64_t)hz_http_shared.header_ms * 1000000u;
    conn->next = server->conns;
    if (conn->next)
        conn->next->prev = conn;
    server->conns = conn;
    if (!uv_is_active((uv_handle_t *)&server->sweep))
        uv_timer_again(&server->sweep);
}

static void conn_closed(struct hz_http_server *server, void **context)
{
    struct hz_http_conn *conn = *context;
    server->conn_count--;
    if (!server->listening && !server->accept_failed && !server->ending && server->conn_count < server->conn_limit)
        hz_server_set_listening(server, true);
    if (!conn)
        return;
    if (conn->request) /* ended between request line and headers: nobody was told of it */
        hz_request_abandon(conn->request);
    if (conn->prev)
        conn->prev->next = conn->next;
    else
        server->conns = conn->next;
    if (conn->next)
        conn->next->prev = conn->prev;
    hz_address_leave(&conn->address);
    free(conn);
    *context = NULL;
}

static void on_connection(
        void *cls, struct MHD_Connection *mhd, void **context, enum MHD_ConnectionNotificationCode code)
{
    if (code == MHD_CONNECTION_NOTIFY_STARTED)
        conn_opened(cls, mhd, context);
    else
        conn_closed(cls, context);
}

struct hz_http_conn *hz_server_conn(struct MHD_Connection *mhd)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info ? info->socket_context : NULL;
}

static void *on_uri(void *cls, const char *uri, struct MHD_Connection *mhd)
{
    (void)cls;
    struct hz_http_conn *conn = hz_server_conn(mhd);
    return conn ? hz_request_begin(conn, mhd, uri) : NULL;
}

static void on_completed(void *cls, struct MHD_Connection *mhd, void **context, enum MHD_RequestTerminationCode code)
{
    (void)cls;
    struct hz_http_conn *conn = hz_server_conn(mhd);
    struct hz_http_request *request = *context;
    *context = NULL;
    if (!request || !conn || conn->request != request) /* abandoned before: the pointer may be stale */
        return;
    if (code == MHD_REQUEST_TERMINATED_COMPLETED_OK)
        hz_request_completed(request);
    else
        hz_request_abandon(request);
}

static size_t keep_escapes(void *cls, struct MHD_Connection *mhd, char *text)
{
    (void)cls;
    (void)mhd;
    return strlen(text); /* decoded by the router, segment by segment */
}

HZ_PRINTF(2, 0) static void on_message(void *cls, const char *format, va_list args)
{
    (void)cls;
    char text[512];
    int len = vsnprintf(text, sizeof text, format, args);
    while (len > 0 && (size_t)len < sizeof text && text[len - 1] == '\n')
        text[--len] = 0;
    HZ_LOG(DEBUG, "http: %s", text);
}

/* ---- once a second while there is a connection ---- */

/* The library does not look at suspended connections: ask the kernel whether their clients are still there. */
static void look_for_gone(struct hz_http_server *server)
{
    struct pollfd fds[256];
    struct hz_http_conn *conns[256];
    struct hz_http_conn *conn = server->conns;
    while (conn) {
        nfds_t count = 0;
        for (; conn && count < HZ_COUNT_OF(fds); conn = conn->next)
            if (conn->request && conn->request->suspended && (conn->request->state == HZ_HTTP_PENDING || conn->request->stream)) {
                fds[count] = (struct pollfd){.fd = conn->fd, .events = POLLRDHUP};
                conns[count++] = conn;
            }
        if (count == 0 || poll(fds, count, 0) <= 0)
            continue;
        for (nfds_t i = 0; i < count; i++)
            if (fds[i].revents & (POLLRDHUP | POLLHUP | POLLERR))
                hz_request_abandon(conns[i]->request);
    }
}

static void on_sweep(uv_timer_t *timer)
{
    struct hz_http_server *server = timer->data;
    uint64_t now = hz_base_now_ns();
    for (struct hz_http_conn *conn = server->conns; conn; conn = conn->next)
        if (conn->deadline_ns && now >= conn->deadline_ns) {
            conn->deadline_ns = 0;
            shutdown(conn->fd, SHUT_RDWR);
        }
    look_for_gone(server);
    if (server->accept_failed) {
        server->accept_failed = false;
        hz_server_set_listening(server, true);
    }
    if (!server->wanted) /* also the library's own time-outs */
        set_wanted(server, run(server));
    if (!server->conns && !server->accept_failed)
        uv_timer_stop(timer);
}

/* ---- life of a shard's server ---- */
static uint32_t connection_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit))
        return CONNECTIONS_MIN;
    rlim_t share = limit.rlim_cur / 4 / hz_http_shared.shards;
    return (uint32_t)HZ_MAX(HZ_MIN(share, (rlim_t)CONNECTIONS_MAX), (rlim_t)CONNECTIONS_MIN);
}

static int open_listeners(struct hz_http_server *server)
{
    uint32_t index = hz_shard_index(server->shard);
    uv_loop_t *loop = hz_shard_loop(server->shard);
    for (unsigned i = 0; i < HZ_HTTP_LISTENERS; i++) {
        struct hz_http_listener *listener = &server->listeners[i];
        listener->server = server;
        listener->fd = hz_http_shared.fds[(size_t)index * HZ_HTTP_LISTENERS + i];
        listener->is_unix = i == 2;
        if (listener->fd < 0)
            continue;
        int err = uv_poll_init(loop, &listener->poll, listener->fd);
        if (err)
            return hz_err_set(err, "polling a listening socket");
        listener->poll.data = listener;
        listener->open = true;
        server->handles++;
    }
    hz_server_set_listening(server, true);
    return 0;
}

static struct MHD_Daemon *start_daemon(struct hz_http_server *server, bool tls)
{
    struct MHD_OptionItem secure[] = {{MHD_OPTION_HTTPS_CERT_CALLBACK, 0, tls ? hz_tls_callback() : NULL},
            {MHD_OPTION_HTTPS_PRIORITIES, 0, tls_versions}, {MHD_OPTION_END, 0, NULL}};
    return MHD_start_daemon(DAEMON_FLAGS | (tls ? MHD_USE_TLS : 0), 0, NULL, NULL, hz_request_handle, server,
            MHD_OPTION_EXTERNAL_LOGGER, on_message, NULL, MHD_OPTION_NOTIFY_CONNECTION, on_connection, server,
            MHD_OPTION_URI_LOG_CALLBACK, on_uri, server, MHD_OPTION_NOTIFY_COMPLETED, on_completed, server,
            MHD_OPTION_UNESCAPE_CALLBACK, keep_escapes, NULL, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)POOL_BYTES,
            MHD_OPTION_CONNECTION_LIMIT, (unsigned)server->conn_limit, MHD_OPTION_CONNECTION_TIMEOUT,
            (unsigned)HZ_MAX(hz_http_shared.idle_ms / 1000u, 1u), MHD_OPTION_ARRAY, tls ? secure : secure + 2, MHD_OPTION_END);
}

/* The loop polls the library's own epoll descriptor. */
static int poll_daemon(struct hz_http_server *server, struct MHD_Daemon *daemon, uv_poll_t *poll)
{
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_EPOLL_FD);
    int err = info ? uv_poll_init(hz_shard_loop(server->shard), poll, info->epoll_fd) : -EINVAL;
    if (err)
        return hz_err_set(err, "polling the HTTP server");
    poll->data = server;
    uv_poll_start(poll, UV_READABLE, on_epoll);
    server->handles++;
    return 0;
}

static void stop_daemons(struct hz_http_server *server)
{
    MHD_stop_daemon(server->daemon);
    if (server->tls_daemon)
        MHD_stop_daemon(server->tls_daemon);
    server->daemon = server->tls_daemon = NULL;
}

static void free_server(struct hz_http_server *server)
{
    if (server->handles > 0)
        return;
    server->magic = 0;
    free(server);
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct hz_http_server *server = handle->data;
    server->handles--;
    free_server(server);
}

static void on_listener_closed(uv_handle_t *handle)
{
    struct hz_http_listener *listener = handle->data;
    listener->server->handles--;
    free_server(listener->server);
}

int hz_http_begin(struct hz_shard *shard)
{
    HZ_ASSERT_SHARD(shard);
    uv_loop_t *loop = hz_shard_loop(shard);
    struct hz_http_server *server = calloc(1, sizeof *server);
    if (!server)
        return hz_err_set(HZ_ENOMEM, "starting the HTTP server");
    server->magic = HZ_HTTP_SERVER_MAGIC;
    server->shard = shard;
    server->conn_limit = connection_limit();
    server->daemon = start_daemon(server, false);
    server->tls_daemon = hz_http_shared.tls && server->daemon ? start_daemon(server, true) : NULL;
    if (!server->daemon || (hz_http_shared.tls && !server->tls_daemon)) {
        int err = hz_err_set(errno ? -errno : -EINVAL, "starting the HTTP server");
        if (server->daemon)
            stop_daemons(server);
        free(server);
        return err;
    }
    int err = poll_daemon(server, server->daemon, &server->epoll);
    if (!err && server->tls_daemon)
        err = poll_daemon(server, server->tls_daemon, &server->tls_epoll);
    if (err) { /* the start fails, and the process ends with it: a handle of the loop may still point to the server */
        stop_daemons(server);
        return err;
    }
    uv_timer_init(loop, &server->sweep);
    server->sweep.data = server;
    uv_timer_start(&server->sweep, on_sweep, SWEEP_MS, SWEEP_MS);
    uv_idle_init(loop, &server->idle);
    server->idle.data = server;
    server->handles += 2;
    hz_shard_set(shard, HZ_SHARD_HTTP, server);
    err = hz_shard_add_turn(shard, take_turn, shard);
    if (!err)
        err = hz_eio_begin(shard);
    if (!err)
        err = open_listeners(server);
    if (err)
        hz_http_end(shard);
    return err;
}

static bool answers_wait(const struct hz_http_server *server)
{
    const struct hz_http_conn *conn = server->conns;
    while (conn && !(conn->request && conn->request->state > HZ_HTTP_PENDING))
        conn = conn->next;
    return conn;
}

void hz_http_end(struct hz_shard *shard)
{
    HZ_ASSERT_SHARD(shard);
    struct hz_http_server *server = hz_shard_get(shard, HZ_SHARD_HTTP);
    if (!server)
        return;
    HZ_CHECK_OBJ(server, HZ_HTTP_SERVER_MAGIC);
    hz_eio_end(shard);
    for (int i = 0; i < LAST_RUNS && answers_wait(server); i++)
        run(server); /* what they were told at last */
    hz_shard_set(shard, HZ_SHARD_HTTP, NULL);
    server->ending = true;
    hz_server_set_listening(server, false);
    /* A daemon with suspended connections must not be stopped. */
    for (struct hz_http_conn *conn = server->conns; conn; conn = conn->next)
        if (conn->request && conn->request->suspended)
            hz_request_abandon(conn->request);
    server->resting = false;
    for (struct hz_http_conn *conn = server->conns; conn; conn = conn->next)
        if (conn->resting)
            MHD_resume_connection(conn->mhd);
    hz_upgrade_give_up(server, true);
    run(server);
    uv_close((uv_handle_t *)&server->epoll, on_handle_closed);
    if (server->tls_daemon)
        uv_close((uv_handle_t *)&server->tls_epoll, on_handle_closed);
    uv_close((uv_handle_t *)&server->sweep, on_handle_closed);
    uv_close((uv_handle_t *)&server->idle, on_handle_closed);
    stop_daemons(server);
    while (server->lost) /* freed by their late answers, which find no server any more */
        hz_request_orphan(server->lost);
    for (unsigned i = 0; i < HZ_HTTP_LISTENERS; i++)
        if (server->listeners[i].open)
            uv_close((uv_handle_t *)&server->listeners[i].poll, on_listener_closed);
}
