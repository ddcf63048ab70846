/*
 * router.h - finds the handler of a method and path. Filled before the shards run, read-only afterwards: any thread.
 *
 * A pattern is "/api/v1/workers/:id": literal segments and named ones, each of which matches exactly one segment that
 * is not empty. A literal wins over a named one. Segments are percent-decoded one by one, after the path was split, so
 * that %2F never makes a border. A slash at the end is a segment of its own.
 */
#ifndef HZ_CORE_HTTP_ROUTER_H
#define HZ_CORE_HTTP_ROUTER_H

#include "http.h"

#define HZ_ROUTER_PARAMS   4
#define HZ_ROUTER_SEGMENTS 16
#define HZ_ROUTER_ALLOW    64

struct hz_router {
    struct hz_router_node *root;
};
/* Who may come in: who the gate lets through; everybody from an allowed Origin; every web page. */
enum hz_router_door { HZ_DOOR_GATE, HZ_DOOR_ANYBODY, HZ_DOOR_OPEN };
struct hz_router_match {
    hz_http_handler_fn *fn;
    void *arg;
    enum hz_router_door door;
    const char *permission; /* for the gate; NULL: none was named */
    uint64_t body_max;      /* bytes; 0: as usual */
    unsigned count; /* parameters */
    struct {
        const char *name, *value; /* value points into the caller's scratch */
    } params[HZ_ROUTER_PARAMS];
    char allow[HZ_ROUTER_ALLOW]; /* HZ_ROUTE_METHOD: value of the Allow header */
};
enum hz_router_result { HZ_ROUTE_FOUND, HZ_ROUTE_UNKNOWN, HZ_ROUTE_METHOD /* path known, method not */ };

HZ_MUST_CHECK int hz_router_init(struct hz_router *router);
void hz_router_fini(struct hz_router *router);
/* method "*": any. open: HZ_DOOR_OPEN, else HZ_DOOR_GATE without a permission. HZ_EEXISTS, HZ_EFORMAT (pattern), HZ_ENOMEM. The method's text must
 * outlive the router. */
HZ_MUST_CHECK int hz_router_add(struct hz_router *router, const char *method, const char *pattern,
        hz_http_handler_fn *fn, void *arg, bool open);
/* The same with all that a route has; permission must outlive the router. body_max: bytes; 0: as usual. */
HZ_MUST_CHECK int hz_router_put(struct hz_router *router, const char *method, const char *pattern,
        hz_http_handler_fn *fn, void *arg, enum hz_router_door door, const char *permission, uint64_t body_max);
/* See hz_http_each_route(). */
void hz_router_each(const struct hz_router *router, hz_http_route_fn *fn, void *arg);
/* path: as sent, without query. scratch: strlen(path) + 1 bytes that hold the parameters' values. HEAD is answered by a
 * GET route. Cost: one pass over the path. */
enum hz_router_result hz_router_find(const struct hz_router *router, const char *method, const char *path,
        char *scratch, struct hz_router_match *ret_match);

#endif
