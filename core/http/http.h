/*
 * http.h - front door of the HTTP folder: one libmicrohttpd daemon per shard, driven by the shard's loop; a router;
 * bytes in, bytes out. It knows no subject: operations are registered from above as routes.
 */
#ifndef HZ_CORE_HTTP_HTTP_H
#define HZ_CORE_HTTP_HTTP_H

#include "core/shard.h"

#include <stdatomic.h>

struct hz_http_request; /* one request on its shard */

/* A handler answers now or later, on the same shard, with exactly one hz_http_respond*(), or learns by
 * hz_http_on_gone() that it need not any more. The whole body is there when it is called. */
typedef void hz_http_handler_fn(struct hz_http_request *request, void *arg);
/* pattern: "/api/v1/workers/:id"; method: "GET" or "*". Before the shards run. */
int hz_http_route(const char *method, const char *pattern, hz_http_handler_fn *fn, void *arg);
/* The same, for callers with this permission alone ("workers:stop"; "": any caller that is known). Without a permission (hz_http_route) only
 * who may do everything gets in. permission: must outlive the routes. */
int hz_http_route_for(const char *method, const char *pattern, const char *permission, hz_http_handler_fn *fn, void *arg);
/* The gate in front of routes that are not open: called when the headers are complete, before a body is read. True: go on. False:
 * it has said hz_http_refuse(). permission: of the route, NULL none. Without a gate everybody gets in (the library's own tests). */
typedef bool hz_http_guard_fn(struct hz_http_request *request, const char *permission);
/* after: hears once of each answer (and its status) of a route that is not open and went through the gate; may be NULL. */
typedef void hz_http_after_fn(struct hz_http_request *request, const char *permission, uint32_t status);
void hz_http_guard(hz_http_guard_fn *guard, hz_http_after_fn *after);
/* Only within a guard: problem document with these further headers ("Name: value\n" lines or ""). */
void hz_http_refuse(struct hz_http_request *request, uint32_t status, const char *detail, const char *headers);
/* Something of the guard's that lives as long as the request; freed with free(). */
void hz_http_keep(struct hz_http_request *request, void *kept);
void *hz_http_kept(const struct hz_http_request *request);
/* For everybody, but Origin is checked: logging in. body_max: bytes of a body; 0: 64 KiB. */
int hz_http_route_anybody(const char *method, const char *pattern, size_t body_max, hz_http_handler_fn *fn, void *arg);
/* The same as hz_http_route_anybody, but for what every web page may read: no Origin is refused, CORS is `*`. */
int hz_http_route_open(const char *method, const char *pattern, hz_http_handler_fn *fn, void *arg);
/* Each route that was registered, in no order. permission: NULL none; open: for everybody. Once all are. */
typedef void hz_http_route_fn(void *arg, const char *method, const char *pattern, const char *permission, bool open);
void hz_http_each_route(hz_http_route_fn *fn, void *arg);
/* What no route matches (webhooks on the server's port), and everything on a worker's port. */
void hz_http_fallback(hz_http_handler_fn *fn, void *arg);

struct hz_http_options {
    const char *host;
    uint32_t port;                               /* port 0: any; *ret_port of the first shard is used by the others */
    const char *socket_path;                     /* Unix socket, 0600, first shard only; NULL none */
    const char *allowed_hosts, *allowed_origin;  /* further ones, may be NULL */
    const int *listeners;
    size_t listener_count; /* sockets that listen already, as hz_http_listeners() had them; NULL: they are made */
    uint32_t header_timeout_ms, body_timeout_ms, idle_timeout_ms; /* 0: 10 s, 20 s, 30 s */
    size_t bodies_max;                           /* bytes of all bodies of a shard; 0: 256 MiB */
    const char *tls_cert, *tls_key;              /* files; both or none: then the server's port speaks TLS alone */
    uint32_t address_connections, address_rate;  /* of one address at once, and a second; 0: no bound */
    bool limit_loopback;                         /* also of loopback */
    const char *trusted_proxies;                 /* proxy.h; NULL none */
};
/* Binds (first without, then with SO_REUSEPORT) so that a busy port is an error. Main thread. */
/* May be called again after hz_http_fini(). */
HZ_MUST_CHECK int hz_http_bind(const struct hz_http_options *options, uint32_t *ret_port);
HZ_MUST_CHECK int hz_http_begin(struct hz_shard *shard);
/* ---- a restart of the manager in place ---- */
const int *hz_http_listeners(size_t *ret_count); /* -1: none of that kind */
/* No connection is taken and no further request is read: they wait in the kernel, which loses none. What is with a
 * handler is answered. */
void hz_http_rest(struct hz_shard *shard);
bool hz_http_quiet(struct hz_shard *shard); /* no request is in work */
/* Time is up: who waits gets 503 with Retry-After where nothing was begun, else 504. */
void hz_http_hurry(struct hz_shard *shard, bool readers); /* readers: also those who do not read what was answered */
void hz_http_wake(struct hz_shard *shard);                /* it was called off */
struct hz_carry_out;
struct hz_carry_in;
/* The connections between two requests; and their life goes on on the other side. */
void hz_http_carry(struct hz_shard *shard, struct hz_carry_out *out);
HZ_MUST_CHECK int hz_http_adopt(struct hz_shard *shard, struct hz_carry_in *in);
/* Closes every connection of the shard; for requests without an answer their clients have gone (on_gone runs, a late
 * answer is dropped). Shard's thread. */
void hz_http_end(struct hz_shard *shard);
/* Closes what hz_http_bind() opened and forgets the routes. Main thread, after the last hz_http_end(). */
void hz_http_fini(void);
HZ_MUST_CHECK int hz_http_reload_tls(void); /* the certificate's files as they are now. Main thread. */
/* Serves a connection somebody else accepted (a worker's port). Owns fd. */
void hz_http_add(struct hz_shard *shard, int fd, const void *addr, unsigned addr_len, uint32_t port);
/* Ends the connections that were added with this port, so that another program may bind it at once: idle ones now, those
 * with a request in work after its answer. They are reset, since the side that closes first would hold the port in TIME_WAIT
 * for a minute. Cost: a look at each connection of the shard. */
void hz_http_port_free(struct hz_shard *shard, uint32_t port);

const char *hz_http_method(const struct hz_http_request *request);
const char *hz_http_path(const struct hz_http_request *request);                    /* decoded, without query */
const char *hz_http_param(const struct hz_http_request *request, const char *name); /* of the pattern */
const char *hz_http_query(const struct hz_http_request *request, const char *name);
const char *hz_http_header(const struct hz_http_request *request, const char *name);
const void *hz_http_body(const struct hz_http_request *request, size_t *ret_len);
uint32_t hz_http_local_port(const struct hz_http_request *request); /* 0: the server's own */
bool hz_http_over_socket(const struct hz_http_request *request);    /* Unix socket: peer's uid was checked */
bool hz_http_over_tls(const struct hz_http_request *request);
const char *hz_http_peer(const struct hz_http_request *request); /* "127.0.0.1", "unix"; "" once the client has gone */
/* The client left before it was answered: fn runs once on the shard, the request is gone when it returns and must not
 * be answered. Without fn a late answer is taken and dropped. */
void hz_http_on_gone(struct hz_http_request *request, void (*fn)(void *arg), void *arg);
const char *hz_http_raw_query(const struct hz_http_request *request); /* as sent, without '?', "" if none */
/* Each header in the order sent. name and value: NUL-terminated, valid during the call. */
typedef void hz_http_header_fn(void *arg, const char *name, const char *value);
void hz_http_each_header(const struct hz_http_request *request, hz_http_header_fn *fn, void *arg);
/* Walks a multipart/form-data body. A part may come in pieces (offset > 0). fn returns false to stop. file: NULL for a
 * field. 0, or HZ_EFORMAT if the body is no such form. */
typedef bool hz_http_part_fn(
        void *arg, const char *name, const char *file, const char *type, const char *data, uint64_t offset, size_t len);
HZ_MUST_CHECK int hz_http_multipart(const struct hz_http_request *request, hz_http_part_fn *fn, void *arg);

struct hz_http_response {
    uint32_t status;
    const char *type;
    const void *body;
    size_t len;
    const char *headers;
    size_t headers_len; /* "Name: value\n" lines or NULL */
    bool webhook;       /* the headers of a flow's answer: readable by every page; those of the flow win over ours */
    /* NULL: body is copied. Else it is sent from where it is, until done(done_arg) is called: once, on the shard, also if
     * nothing was sent. */
    void (*done)(void *arg);
    void *done_arg;
};
void hz_http_respond(struct hz_http_request *request, const struct hz_http_response *response);
/* RFC 9457 problem document {type, title, status, detail}; detail is copied and escaped. */
void hz_http_problem(struct hz_http_request *request, uint32_t status, const char *detail);
/* headers: "Name: value\n" lines. */
void hz_http_problem_with(struct hz_http_request *request, uint32_t status, const char *detail, const char *headers);
const char *hz_http_url(void); /* of the server as it listens, "http://127.0.0.1:3000", once it is bound */
uint32_t hz_http_port(void); /* the server's own, once it is bound */
const char *hz_http_reason(uint32_t status); /* "Not Found" */

/* ---- answers that go on ---- */
struct hz_http_stream;
struct hz_http_piece { /* shared by all who get it */
    _Atomic uint32_t owners;
    size_t len;
    char data[];
};
struct hz_http_piece *hz_http_piece_new(const void *data, size_t len); /* a copy, one owner; NULL: no memory */
struct hz_http_piece *hz_http_piece_ref(struct hz_http_piece *piece);  /* any thread that is an owner */
void hz_http_piece_unref(struct hz_http_piece *piece);
/*
 * hz_http_stream_open - answers with status, type and headers of head; the body is what is written from now on.
 *
 * gone  called once, on the shard, when the client has gone or the answer is over; the stream is not to be touched any more
 * NULL: the client has gone already, or there was no memory; gone is not called.
 */
struct hz_http_stream *hz_http_stream_open(
        struct hz_http_request *request, const struct hz_http_response *head, void (*gone)(void *arg), void *arg);
/* False: the client does not read, 4 MiB (or one larger piece) wait for it; end it. */
HZ_MUST_CHECK bool hz_http_stream_write(struct hz_http_stream *stream, struct hz_http_piece *piece);
void hz_http_stream_end(struct hz_http_stream *stream); /* after what was written */
/* drained(arg of hz_http_stream_open) is called each time the library has taken all that was written, and may write or end; NULL: no longer.
 * Who has much to say writes a part and waits for it, instead of having it all in memory. */
void hz_http_stream_on_drained(struct hz_http_stream *stream, void (*drained)(void *arg));

/* ---- another protocol on the same connection ---- */
struct hz_http_lease; /* of a connection that the server still carries below (TLS) */
/* Not below TLS with libmicrohttpd before 0.9.76, which then carries four bytes at a time. */
bool hz_http_can_upgrade(const struct hz_http_request *request);
/*
 * hz_http_upgrade - answers 101; then the connection is no longer the server's.
 *
 * protocol  value of the Upgrade header; headers: further "Name: value\n" lines
 * fn        called once on the shard, with what is valid during the call
 */
struct hz_http_upgraded {
    int fd; /* the connection, non-blocking, fn's from now on; -1: the client has gone, and the rest is empty */
    const void *data; /* what the client sent behind its request */
    size_t len;
    struct hz_http_lease *lease;      /* NULL, or to be ended after fd was closed */
    const struct hz_address *address; /* as which it is counted, and fn leaves it when it is over; NULL: the lease does */
};
typedef void hz_http_upgraded_fn(void *arg, const struct hz_http_upgraded *upgraded);
void hz_http_upgrade(struct hz_http_request *request, const char *protocol, const char *headers, hz_http_upgraded_fn *fn,
        void *arg);
void hz_http_lease_end(struct hz_http_lease *lease); /* any shard; NULL: nothing */

#endif
