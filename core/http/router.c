/*
 * router.c - a tree of path segments. About thirty routes: children are lists, compared one by one.
 */
#include "router.h"

#include "shm/err.h"
#include "url.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct route {
    const char *method;
    hz_http_handler_fn *fn;
    void *arg;
    enum hz_router_door door;
    const char *permission;
    uint64_t body_max;
    struct route *next;
};
struct hz_router_node {
    char *text; /* of the pattern: literal, or name of the parameter */
    size_t len;
    struct hz_router_node *literals, *param, *next;
    struct route *routes;
};
struct segment {
    const char *text;
    size_t len;
};

int hz_router_init(struct hz_router *router)
{
    router->root = calloc(1, sizeof *router->root);
    return router->root ? 0 : hz_err_set(HZ_ENOMEM, "making the router");
}

static void free_node(struct hz_router_node *node)
{
    while (node) {
        struct hz_router_node *next = node->next;
        free_node(node->literals);
        free_node(node->param);
        while (node->routes) {
            struct route *route = node->routes;
            node->routes = route->next;
            free(route);
        }
        free(node->text);
        free(node);
        node = next;
    }
}

void hz_router_fini(struct hz_router *router)
{
    free_node(router->root);
    router->root = NULL;
}

/* The child of `node` for one segment of a pattern, made if it is not there. */
static struct hz_router_node *child_of(struct hz_router_node *node, const char *text, size_t len)
{
    bool named = text[0] == ':';
    struct hz_router_node **at = named ? &node->param : &node->literals;
    for (; *at; at = &(*at)->next)
        if (named || ((*at)->len == len && memcmp((*at)->text, text, len) == 0))
            return *at;
    struct hz_router_node *child = calloc(1, sizeof *child);
    if (!child)
        return NULL;
    child->len = len - named;
    child->text = strndup(text + named, child->len);
    if (!child->text) {
        free(child);
        return NULL;
    }
    *at = child;
    return child;
}

int hz_router_add(
        struct hz_router *router, const char *method, const char *pattern, hz_http_handler_fn *fn, void *arg, bool open)
{
    return hz_router_put(router, method, pattern, fn, arg, open ? HZ_DOOR_OPEN : HZ_DOOR_GATE, NULL, 0);
}

int hz_router_put(struct hz_router *router, const char *method, const char *pattern, hz_http_handler_fn *fn, void *arg,
        enum hz_router_door door, const char *permission, uint64_t body_max)
{
    if (pattern[0] != '/')
        return hz_err_set(HZ_EFORMAT, "route %s: expected a slash first", pattern);
    struct hz_router_node *node = router->root;
    unsigned params = 0, segments = 0;
    for (const char *p = pattern; *p == '/';) {
        size_t len = strcspn(++p, "/");
        params += p[0] == ':';
        if (++segments > HZ_ROUTER_SEGMENTS || params > HZ_ROUTER_PARAMS || (p[0] == ':' && len < 2))
            return hz_err_set(HZ_EFORMAT, "route %s: too many segments or a parameter without name", pattern);
        node = child_of(node, p, len);
        if (!node)
            return hz_err_set(HZ_ENOMEM, "route %s", pattern);
        p += len;
    }
    struct route **at = &node->routes;
    for (; *at; at = &(*at)->next)
        if (strcmp((*at)->method, method) == 0)
            return hz_err_set(HZ_EEXISTS, "route %s %s", method, pattern);
    *at = calloc(1, sizeof **at);
    if (!*at)
        return hz_err_set(HZ_ENOMEM, "route %s", pattern);
    **at = (struct route){method, fn, arg, door, permission, body_max, NULL};
    return 0;
}

/* The node of segments[at..count), literals before parameters; fills the parameters on the way back. */
static const struct hz_router_node *walk(const struct hz_router_node *node, const struct segment *segments, unsigned at,
        unsigned count, struct hz_router_match *match)
{
    if (at == count)
        return node->routes ? node : NULL;
    const struct segment *segment = &segments[at];
    for (const struct hz_router_node *child = node->literals; child; child = child->next)
        if (child->len == segment->len && memcmp(child->text, segment->text, segment->len) == 0) {
            const struct hz_router_node *found = walk(child, segments, at + 1, count, match);
            if (found)
                return found;
        }
    if (!node->param || segment->len == 0)
        return NULL;
    unsigned index = match->count++;
    match->params[index].name = node->param->text;
    match->params[index].value = segment->text;
    const struct hz_router_node *found = walk(node->param, segments, at + 1, count, match);
    if (!found)
        match->count = index;
    return found;
}

static void fill_allow(const struct hz_router_node *node, char allow[HZ_ROUTER_ALLOW])
{
    size_t used = 0;
    allow[0] = 0;
    for (const struct route *route = node->routes; route; route = route->next) {
        const char *words[] = {route->method, strcmp(route->method, "GET") == 0 ? "HEAD" : NULL};
        for (size_t i = 0; i < HZ_COUNT_OF(words) && words[i]; i++) {
            size_t len = strlen(words[i]);
            if (used + len + 3 > HZ_ROUTER_ALLOW)
                return;
            if (used) {
                allow[used++] = ',';
                allow[used++] = ' ';
            }
            memcpy(allow + used, words[i], len + 1);
            used += len;
        }
    }
}

enum hz_router_result hz_router_find(const struct hz_router *router, const char *method, const char *path,
        char *scratch, struct hz_router_match *ret_match)
{
    struct segment segments[HZ_ROUTER_SEGMENTS];
    unsigned count = 0;
    ret_match->count = 0;
    ret_match->allow[0] = 0;
    while (*path == '/') {
        size_t len = strcspn(++path, "/");
        ptrdiff_t decoded = hz_url_decode(path, len, false, scratch);
        if (count == HZ_ROUTER_SEGMENTS || decoded < 0)
            return HZ_ROUTE_UNKNOWN;
        segments[count++] = (struct segment){scratch, (size_t)decoded};
        scratch += decoded + 1; /* never more than the path: each segment had a slash before it */
        path += len;
    }
    const struct hz_router_node *node = count ? walk(router->root, segments, 0, count, ret_match) : NULL;
    if (!node)
        return HZ_ROUTE_UNKNOWN;
    const char *wanted = strcmp(method, "HEAD") == 0 ? "GET" : method;
    const struct route *any = NULL;
    for (const struct route *route = node->routes; route; route = route->next) {
        if (strcmp(route->method, "*") == 0)
            any = route;
        if (strcmp(route->method, wanted) == 0 || strcmp(route->method, method) == 0) {
            any = route;
            break;
        }
    }
    if (!any) {
        fill_allow(node, ret_match->allow);
        return HZ_ROUTE_METHOD;
    }
    ret_match->fn = any->fn;
    ret_match->arg = any->arg;
    ret_match->door = any->door;
    ret_match->permission = any->permission;
    ret_match->body_max = any->body_max;
    return HZ_ROUTE_FOUND;
}

static void each_node(const struct hz_router_node *node, char *pattern, size_t len, size_t size, hz_http_route_fn *fn, void *arg)
{
    for (const struct route *route = node->routes; route; route = route->next)
        fn(arg, route->method, len ? pattern : "/", route->permission, route->door != HZ_DOOR_GATE);
    for (int named = 0; named < 2; named++)
        for (const struct hz_router_node *child = named ? node->param : node->literals; child; child = child->next) {
            int more = snprintf(pattern + len, size - len, "/%s%s", named ? ":" : "", child->text);
            if (more > 0 && (size_t)more < size - len)
                each_node(child, pattern, len + (size_t)more, size, fn, arg);
            pattern[len] = 0;
        }
}

void hz_router_each(const struct hz_router *router, hz_http_route_fn *fn, void *arg)
{
    char pattern[1024] = "";
    each_node(router->root, pattern, 0, sizeof pattern, fn, arg);
}
