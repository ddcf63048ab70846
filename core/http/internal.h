/*
 * internal.h - what the files of this folder share and nobody else includes: the server of a shard, its connections,
 * its requests. All of it belongs to the shard's thread; `hz_http_shared` is written by the main thread before the
 * shards run.
 */
#ifndef HZ_CORE_HTTP_INTERNAL_H
#define HZ_CORE_HTTP_INTERNAL_H

#include "address.h"
#include "gate.h"
#include "http.h"
#include "router.h"

#include <microhttpd.h>

#define HZ_HTTP_BODY_MAX    (UINT64_C(16) << 20)  /* of a route */
#define HZ_HTTP_WEBHOOK_MAX (UINT64_C(64) << 20)  /* of the fallback */
#define HZ_HTTP_SMALL_MAX   (UINT64_C(64) << 10)  /* of what is for everybody */
#define HZ_HTTP_BODIES_MAX  (UINT64_C(256) << 20) /* all bodies held by one shard; three quarters of it without an account */
#define HZ_HTTP_HEADER_MS   10000u
#define HZ_HTTP_IDLE_MS     30000u
#define HZ_HTTP_BODY_MS     20000u /* without progress, or below HZ_HTTP_BODY_RATE */
#define HZ_HTTP_BODY_RATE   1024u  /* bytes a second */
#define HZ_HTTP_EMPTY_TURNS 12u
#define HZ_HTTP_LISTENERS   3u /* IPv4, IPv6, Unix */

struct hz_http_listener {
    struct hz_http_server *server;
    uv_poll_t poll;
    int fd;
    bool is_unix, open;
};

struct hz_http_server { /* one per shard */
    uint32_t magic;
#define HZ_HTTP_SERVER_MAGIC 0x48745376u
    struct hz_shard *shard;
    struct MHD_Daemon *daemon, *tls_daemon; /* tls_daemon: NULL without TLS; it has the connections of the server's port */
    uv_poll_t epoll, tls_epoll;
    uv_timer_t sweep;
    uv_idle_t idle;
    struct hz_http_listener listeners[HZ_HTTP_LISTENERS];
    unsigned handles; /* libuv handles not yet closed */
    struct hz_http_conn *conns;
    struct hz_http_request *lost; /* client gone, answer still to come */
    struct hz_http_lease *leases; /* of upgraded connections below which the library still works */
    struct hz_http_lease *given_up; /* the library may close its side of them */
    struct hz_eio *engine;        /* engineio.h; NULL: not served */
    uint32_t conn_count, conn_limit;
    uint64_t body_bytes, strange_bytes, turn; /* strange: of them, of those without an account */
    bool wanted;  /* run the library at the next loop turn; the idle handle is active then */
    bool running; /* inside MHD_run */
    bool again;   /* somebody was woken who is looked at by the next run alone */
    bool listening, accept_failed, ending, resting;
    struct {
        uint32_t port;
        int fd;
        bool over_socket, tls, proxied;
        char peer[48];
        struct hz_address address;
    } adding; /* valid during MHD_add_connection */
};

struct hz_http_conn {
    struct hz_http_conn *next, *prev;
    struct hz_http_server *server;
    struct hz_http_request *request;
    uint64_t deadline_ns; /* headers or body must be complete; 0: none */
    struct MHD_Connection *mhd;
    int fd;
    uint32_t port;
    bool over_socket;
    bool tls;
    struct hz_address address;
    uint64_t body_ns; /* its body began */
    char peer[48]; /* numeric address, or "unix" */
    bool proxied;  /* the peer is a trusted proxy */
    bool resting; /* suspended between two requests */
    bool leaving; /* its port was given up: no further request */
    bool upgraded; /* no longer HTTP, nor ours */
};

enum hz_http_state {
    HZ_HTTP_NEW,      /* request line seen */
    HZ_HTTP_READING,  /* headers complete, body comes */
    HZ_HTTP_PENDING,  /* with its handler */
    HZ_HTTP_ANSWERED, /* response made, not yet queued */
    HZ_HTTP_QUEUED,
    HZ_HTTP_FAILED, /* close the connection without a response */
    HZ_HTTP_LOST    /* client gone while pending, handler still owes an answer */
};

struct hz_http_pair {
    const char *name, *value;
};

struct hz_http_request {
    uint32_t magic;
#define HZ_HTTP_REQUEST_MAGIC 0x48745271u
    enum hz_http_state state;
    struct hz_http_server *server;
    struct hz_http_conn *conn;  /* NULL once the client has gone */
    struct MHD_Connection *mhd; /* the same */
    struct hz_http_request *next_lost, *prev_lost;
    bool suspended, too_large, webhook, head, cors;
    bool gated;       /* its route has a gate in front, and it was asked */
    bool refused;     /* by the gate */
    bool strange;     /* no account was needed to send its body */
    bool forwarded_tls; /* says the trusted proxy */
    char client[48];  /* whom the trusted proxy names; "" the peer itself */
    struct hz_address client_address;
    void *kept;       /* the gate's, malloc'ed */
    uint32_t empty_turns, refuse_status;
    uint64_t last_turn;
    struct hz_router_match match;
    void (*gone)(void *arg);
    void *gone_arg;
    struct MHD_Response *response;
    struct hz_http_stream *stream; /* the answer goes on; NULL: it does not */
    struct hz_http_lease *upgrade; /* the answer is one */
    uint32_t status;
    char method[16];
    char *body;
    size_t body_len, body_capacity;
    uint64_t body_seen;         /* also what was thrown away */
    struct hz_http_pair *query; /* decoded; of routes only */
    size_t query_count;
    char *query_text;
    char *path, *scratch; /* in storage */
    const char *raw_query, *raw_path;
    char storage[];
};

struct hz_http_shared {
    struct hz_router router;
    struct hz_gate gate;
    hz_http_guard_fn *guard;
    hz_http_after_fn *after;
    hz_http_handler_fn *fallback;
    void *fallback_arg;
    int *fds; /* HZ_HTTP_LISTENERS per shard, -1 none */
    uint32_t shards, port, header_ms, body_ms, idle_ms;
    uint64_t bodies_max;
    char *socket_path;
    char url[300];
    bool routed, tls;
};
extern struct hz_http_shared hz_http_shared;

/* server.c */
void hz_server_leave(struct hz_http_conn *conn); /* the answer is out: resets a connection that is leaving */
void hz_server_kick(struct hz_http_server *server);              /* work in hand: run MHD at the shard's next turn */
struct hz_http_conn *hz_server_conn(struct MHD_Connection *mhd); /* NULL: there was no memory for it */
void hz_server_set_listening(struct hz_http_server *server, bool on);
struct sockaddr_storage;
/* "192.0.2.1" (also of ::ffff:192.0.2.1), "unix", "unknown". */
void hz_server_name(const struct sockaddr_storage *address, bool over_socket, char ret[48]);
void hz_server_add(
        struct hz_http_server *server, int fd, const void *addr, unsigned addr_len, uint32_t port, bool over_socket);
void hz_server_rest_idle(struct hz_http_server *server); /* rest.c: after each run while it rests */
/* listen.c: sockets bound and listening, non-blocking. v6 may stay -1. */
HZ_MUST_CHECK int hz_listen_tcp(const char *host, uint32_t port, uint32_t shards, int *ret_fds, uint32_t *ret_port);
/* unix.c */
HZ_MUST_CHECK int hz_unix_listen(const char *path, int *ret_fd);
bool hz_unix_peer_allowed(int fd); /* uid is ours and the process is no child of this manager; logs a refusal */
/* request.c: callbacks of libmicrohttpd and the life of a request */
void *hz_request_begin(struct hz_http_conn *conn, struct MHD_Connection *mhd, const char *uri);
enum MHD_Result hz_request_handle(void *cls, struct MHD_Connection *mhd, const char *url, const char *method,
        const char *version, const char *data, size_t *data_len, void **context);
void hz_request_completed(struct hz_http_request *request);
void hz_request_abandon(struct hz_http_request *request); /* the client has gone */
void hz_request_orphan(struct hz_http_request *request);  /* LOST, and the server ends */
void hz_request_free(struct hz_http_request *request);
char *hz_request_take_body(struct hz_http_request *request, size_t *ret_len); /* malloc'ed, a NUL behind it; NULL: none */
/* upgrade.c */
void hz_upgrade_lost(struct hz_http_lease *lease); /* it will not come to that */
bool hz_upgrade_give_up(struct hz_http_server *server, bool all); /* tells the library; true: it has to run */
/* stream.c */
void hz_stream_detach(struct hz_http_stream *stream); /* its request is going; hears of it */
void hz_stream_lose(struct hz_http_stream *stream);   /* its client has gone: the library is to end it when it asks next */
/* respond.c */
/* Headers of `from` and ours, status; the response is the request's from now on. */
void hz_respond_head(struct hz_http_request *request, struct MHD_Response *response, const struct hz_http_response *from);
void hz_respond_lines(struct MHD_Response *response, const char *lines, size_t len);
void hz_respond_answered(struct hz_http_request *request); /* its response is made: go on with it */
HZ_MUST_CHECK bool hz_respond_build(struct hz_http_request *request, const struct hz_http_response *response);
bool hz_respond_problem(struct hz_http_request *request, uint32_t status, const char *detail, const char *headers);

#endif
