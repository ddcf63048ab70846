/*
 * http.h - front door of the HTTP folder: one libmicrohttpd daemon per shard, driven by the shard's loop; a router; bytes in,
 * bytes out. It knows no subject: operations are registered from above as routes.
 */
#ifndef HZ_CORE_HTTP_HTTP_H
#define HZ_CORE_HTTP_HTTP_H

#include "core/shard.h"

struct hz_http_request; /* one request on its shard */

/* A handler answers now or later, on the same shard, with exactly one hz_http_respond*(). */
typedef void hz_http_handler_fn(struct hz_http_request *request, void *arg);
/* pattern: "/api/v1/workers/:id"; method: "GET" or "*". Before the shards run. */
int hz_http_route(const char *method, const char *pattern, hz_http_handler_fn *fn, void *arg);
/* What no route matches (webhooks on the server's port), and everything on a worker's port. */
void hz_http_fallback(hz_http_handler_fn *fn, void *arg);

struct hz_http_options {
    const char *host; uint32_t port;  /* port 0: any; *ret_port of the first shard is used by the others */
    const char *socket_path;          /* Unix socket, 0600, first shard only; NULL none */
    const char *allowed_hosts, *allowed_origin; /* further ones, may be NULL */
};
/* Binds (first without, then with SO_REUSEPORT) so that a busy port is an error. Main thread. */
HZ_MUST_CHECK int hz_http_bind(const struct hz_http_options *options, uint32_t *ret_port);
HZ_MUST_CHECK int hz_http_begin(struct hz_shard *shard);
void hz_http_end(struct hz_shard *shard);
/* Serves a connection somebody else accepted (a worker's port). Owns fd. */
void hz_http_add(struct hz_shard *shard, int fd, const void *addr, unsigned addr_len, uint32_t port);

const char *hz_http_method(const struct hz_http_request *request);
const char *hz_http_path(const struct hz_http_request *request);            /* decoded, without query */
const char *hz_http_param(const struct hz_http_request *request, const char *name);  /* of the pattern */
const char *hz_http_query(const struct hz_http_request *request, const char *name);
const char *hz_http_header(const struct hz_http_request *request, const char *name);
const void *hz_http_body(const struct hz_http_request *request, size_t *ret_len);
uint32_t hz_http_local_port(const struct hz_http_request *request);         /* 0: the server's own */
bool hz_http_over_socket(const struct hz_http_request *request);            /* Unix socket: peer's uid was checked */
void hz_http_on_gone(struct hz_http_request *request, void (*fn)(void *arg), void *arg);

struct hz_http_response {
    uint32_t status;
    const char *type;
    const void *body; size_t len;
    const char *headers; size_t headers_len; /* "Name: value\n" lines or NULL */
    bool webhook; /* no hardening headers of our own beyond upstream's set */
};
void hz_http_respond(struct hz_http_request *request, const struct hz_http_response *response);

#endif
