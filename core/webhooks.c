/*
 * webhooks.c - table of webhook routes: an RCU hash by port and first path segment, so that a match costs two look-ups whatever the
 * number of workers. Paths compare without regard to case and to a slash at the end, as upstream's router does.
 *
 * Synchronisation: entries are immutable; a worker's shard adds and removes its own; readers on any registered thread match inside the
 * read lock and copy the target out. Removed entries are freed after a grace period (call_rcu).
 */
#include "webhooks.h"

#include "edges.h"

#include "core/flow/plan.h"

#include <ctype.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <urcu/urcu-memb.h>
#include <urcu/rculfhash.h>

HZ_KEEPS_WHAT_IS_ALLOCATED /* paths are freed by the loop over their array */

#define BUCKETS 4096u
#define SEGMENTS 64u
#define METHOD_BYTES 16u
#define ENDPOINT_BYTES 2048u
#define KEYS 4 /* own port and server's port, development and production path */

struct segment {
    const char *text;
    size_t len;
};

struct hz_webhook_entry {
    struct cds_lfht_node node;
    struct rcu_head rcu;
    struct hz_webhook_target target;
    uint64_t order;
    char method[METHOD_BYTES];
    unsigned count;
    struct segment segments[]; /* into the text behind them */
};

struct hz_webhook_route { /* one wish of a worker */
    struct hz_webhook_route *next;
    uint32_t node, timeout_ms, index;
    uint64_t opening; /* 0: not visible */
    char method[METHOD_BYTES];
    struct hz_webhook_entry *entries[KEYS];
    char endpoint[];
};

struct key {
    uint32_t port;
    struct segment first; /* ":" for a parameter, "*" for the rest, "" for the root */
};

static struct cds_lfht *table;
static bool development;
static _Atomic uint64_t openings; /* order of readiness; any shard adds */

int hz_webhooks_init(bool dev)
{
    development = dev;
    table = cds_lfht_new_flavor(BUCKETS, BUCKETS, 0, 0, &urcu_memb_flavor, NULL);
    return table ? 0 : hz_err_set(HZ_ENOMEM, "webhooks");
}

static void free_entry(struct rcu_head *rcu)
{
    HZ_EDGE_IN(&table); /* readers' unlocks before the end of the grace period */
    free(caa_container_of(rcu, struct hz_webhook_entry, rcu));
}

void hz_webhooks_fini(void)
{
    if (!table)
        return;
    struct cds_lfht_iter iter;
    struct hz_webhook_entry *e;
    HZ_EDGE_OUT(&table); /* publication before look-up */
    urcu_memb_read_lock();
    cds_lfht_for_each_entry(table, &iter, e, node)
        if (!cds_lfht_del(table, &e->node))
            urcu_memb_call_rcu(&e->rcu, free_entry);
    HZ_EDGE_OUT(&table);
    urcu_memb_read_unlock();
    urcu_memb_barrier();
    cds_lfht_destroy(table, NULL);
    table = NULL;
}

/* ---- paths ---- */

/* Segments between slashes, empty ones left out. Returns the count, or SEGMENTS + 1: too many. */
static unsigned split(const char *path, struct segment ret_segments[SEGMENTS])
{
    unsigned count = 0;
    for (const char *at = path; *at;) {
        at += strspn(at, "/");
        size_t len = strcspn(at, "/");
        if (len == 0)
            break;
        if (count == SEGMENTS)
            return SEGMENTS + 1;
        ret_segments[count++] = (struct segment){at, len};
        at += len;
    }
    return count;
}

char *hz_webhooks_join(const char *const parts[])
{
    size_t len = 2;
    for (size_t i = 0; parts[i]; i++)
        len += strlen(parts[i]) + 1;
    char *path = malloc(len), *to = path;
    if (!path)
        return NULL;
    for (size_t i = 0; parts[i]; i++) {
        for (const char *at = parts[i]; *at;) {
            at += strspn(at, "/");
            size_t n = strcspn(at, "/");
            if (n == 0)
                break;
            *to++ = '/';
            memcpy(to, at, n);
            to += n;
            at += n;
        }
    }
    if (to == path)
        *to++ = '/';
    *to = 0;
    return path;
}

static unsigned long hash_of(const struct key *key)
{
    uint64_t hash = UINT64_C(14695981039346656037) ^ key->port; /* FNV-1a, letters in lower case */
    for (size_t i = 0; i < key->first.len; i++)
        hash = (hash ^ (unsigned char)tolower((unsigned char)key->first.text[i])) * UINT64_C(1099511628211);
    return (unsigned long)(hash ^ hash >> 32);
}

static bool is_param(const struct segment *s)
{
    return s->len > 1 && s->text[0] == ':';
}

static bool is_rest(const struct segment *s)
{
    return s->len == 1 && s->text[0] == '*';
}

static struct key key_of(uint32_t port, const struct segment *segments, unsigned count)
{
    struct key key = {port, {"", 0}};
    if (count > 0)
        key.first = is_param(&segments[0]) ? (struct segment){":", 1} : segments[0];
    return key;
}

static bool same(const struct segment *a, const struct segment *b)
{
    return a->len == b->len && strncasecmp(a->text, b->text, a->len) == 0;
}

static int match_key(struct cds_lfht_node *node, const void *wanted)
{
    HZ_EDGE_IN(&table); /* its publication */
    const struct hz_webhook_entry *e = caa_container_of(node, struct hz_webhook_entry, node);
    const struct key *key = wanted, own = key_of(e->target.port, e->segments, e->count);
    return own.port == key->port && same(&own.first, &key->first);
}

/* ---- entries ---- */

int hz_webhooks_add(const struct hz_webhook_target *target, const char *method, const char *path, uint64_t order,
        struct hz_webhook_entry **ret_entry)
{
    struct segment segments[SEGMENTS];
    unsigned count = split(path, segments);
    if (count > SEGMENTS)
        return hz_err_set(HZ_ETOOBIG, "a webhook's path of more than %u parts", SEGMENTS);
    size_t text = strlen(path) + 1;
    struct hz_webhook_entry *e = calloc(1, sizeof *e + count * sizeof(struct segment) + text);
    if (!e)
        return hz_err_set(HZ_ENOMEM, "webhook");
    char *copy = (char *)(e->segments + count);
    memcpy(copy, path, text);
    e->target = *target;
    e->order = order;
    e->count = count;
    snprintf(e->method, sizeof e->method, "%s", method);
    for (unsigned i = 0; i < count; i++)
        e->segments[i] = (struct segment){copy + (segments[i].text - path), segments[i].len};
    cds_lfht_node_init(&e->node);
    struct key key = key_of(target->port, e->segments, count);
    HZ_EDGE_OUT(&table); /* publication before look-up */
    urcu_memb_read_lock();
    cds_lfht_add(table, hash_of(&key), &e->node);
    HZ_EDGE_OUT(&table);
    urcu_memb_read_unlock();
    *ret_entry = e;
    return 0;
}

void hz_webhooks_remove(struct hz_webhook_entry **entry)
{
    struct hz_webhook_entry *e = *entry;
    *entry = NULL;
    if (!e)
        return;
    HZ_EDGE_OUT(&table); /* publication before look-up */
    urcu_memb_read_lock();
    int err = cds_lfht_del(table, &e->node);
    HZ_EDGE_OUT(&table);
    urcu_memb_read_unlock();
    HZ_ASSERT(err == 0); /* its owner alone removes it */
    urcu_memb_call_rcu(&e->rcu, free_entry);
}

/* ---- matching ---- */

static bool match_path(const struct hz_webhook_entry *e, const struct segment *path, unsigned count)
{
    for (unsigned i = 0; i < e->count; i++) {
        if (is_rest(&e->segments[i]) && i + 1 == e->count)
            return true;
        if (i >= count || (!is_param(&e->segments[i]) && !same(&e->segments[i], &path[i])))
            return false;
    }
    return e->count == count;
}

static bool match_method(const struct hz_webhook_entry *e, const char *method)
{
    return strcasecmp(e->method, method) == 0 || strcasecmp(e->method, "all") == 0 || strcmp(e->method, "*") == 0 ||
            (strcasecmp(method, "HEAD") == 0 && strcasecmp(e->method, "GET") == 0);
}

struct search {
    const struct segment *path;
    unsigned count;
    const char *method;
    const struct hz_webhook_entry *best;
    bool path_known;
};

static void look(struct search *s, const struct key *key)
{
    struct cds_lfht_iter iter;
    cds_lfht_lookup(table, hash_of(key), match_key, key, &iter);
    for (struct cds_lfht_node *node; (node = cds_lfht_iter_get_node(&iter)) != NULL; cds_lfht_next_duplicate(table, match_key, key, &iter)) {
        const struct hz_webhook_entry *e = caa_container_of(node, struct hz_webhook_entry, node);
        if (!match_path(e, s->path, s->count))
            continue;
        s->path_known = true;
        if (match_method(e, s->method) && (!s->best || e->order > s->best->order))
            s->best = e;
    }
}

/* Bytes that are no UTF-8 become question marks: the parameters must be a JSON text. */
static json_t *text_of(const struct segment *s)
{
    json_t *text = json_stringn(s->text, s->len);
    if (text)
        return text;
    char *clean = malloc(s->len + 1);
    if (!clean)
        return NULL;
    for (size_t i = 0; i < s->len; i++)
        clean[i] = (unsigned char)s->text[i] < 0x80 ? s->text[i] : '?';
    text = json_stringn(clean, s->len);
    free(clean);
    return text;
}

static char *params_of(const struct hz_webhook_entry *e, const struct segment *path)
{
    json_t *params = json_object();
    for (unsigned i = 0; params && i < e->count; i++) {
        if (!is_param(&e->segments[i]))
            continue;
        char name[256];
        snprintf(name, sizeof name, "%.*s", (int)HZ_MIN(e->segments[i].len - 1, sizeof name - 1), e->segments[i].text + 1);
        if (json_object_set_new(params, name, text_of(&path[i])))
            HZ_LOG(DEBUG, "a webhook's parameter name that is no text was left out");
    }
    char *text = params ? json_dumps(params, JSON_COMPACT) : NULL;
    json_decref(params);
    return text;
}

int hz_webhooks_match(uint32_t port, const char *method, const char *path, struct hz_webhook_match *ret_match)
{
    struct segment segments[SEGMENTS];
    struct search s = {.path = segments, .method = method};
    s.count = split(path, segments);
    if (s.count > SEGMENTS || !table)
        return 0;
    struct key literal = {port, s.count ? segments[0] : (struct segment){"", 0}}, param = {port, {":", 1}}, rest = {port, {"*", 1}};
    int found = 0;
    HZ_EDGE_OUT(&table); /* publication before look-up */
    urcu_memb_read_lock();
    look(&s, &literal);
    look(&s, &param);
    look(&s, &rest);
    if (s.best) {
        *ret_match = (struct hz_webhook_match){.worker = s.best->target.worker, .shard = s.best->target.shard, .node = s.best->target.node,
                .timeout_ms = s.best->target.timeout_ms, .params = params_of(s.best, segments)};
        found = ret_match->params ? 1 : 0;
    } else if (s.path_known) {
        found = -1;
    }
    HZ_EDGE_OUT(&table);
    urcu_memb_read_unlock();
    return found;
}

/* ---- of a worker ---- */

static void open_route(struct hz_worker *w, struct hz_webhook_route *route, uint64_t opening)
{
    const struct hz_plan *plan = w->workflow->plan;
    const char *router = hz_plan_chars(plan, plan->router);
    char uid[512];
    snprintf(uid, sizeof uid, "f_%.*s", (int)HZ_MIN(plan->uid.len, 500u), hz_plan_chars(plan, plan->uid));
    char *paths[2] = {hz_webhooks_join((const char *const[]){router, route->endpoint, NULL}),
            development ? hz_webhooks_join((const char *const[]){uid, "api", router, route->endpoint, NULL}) : NULL};
    /* Later openings come first; within one worker what it asked for first. */
    route->opening = opening;
    uint64_t order = (opening << 16) + (0xffffu - route->index);
    int n = 0;
    for (int p = 0; p < 2; p++) {
        for (int own = 0; own < 2 && paths[p]; own++) {
            if (own && w->info.port == 0)
                continue;
            struct hz_webhook_target target = {.worker = w->info.id, .port = own ? w->info.port : 0, .shard = w->info.shard,
                    .node = route->node, .timeout_ms = route->timeout_ms};
            if (route->entries[n] == NULL && hz_webhooks_add(&target, route->method, paths[p], order, &route->entries[n]))
                HZ_LOG(ERROR, "worker %s: webhook %s %s: %s", w->info.id_text, route->method, paths[p], hz_err_last());
            n++;
        }
        free(paths[p]);
    }
}

void hz_webhooks_open(struct hz_worker *w)
{
    if (w->stopping || !w->routes)
        return;
    uint64_t opening = atomic_fetch_add_explicit(&openings, 1, memory_order_relaxed) + 1;
    for (struct hz_webhook_route *route = w->routes; route; route = route->next)
        open_route(w, route, opening);
}

void hz_webhooks_close(struct hz_worker *w)
{
    for (struct hz_webhook_route *route = w->routes; route; route = route->next)
        for (int i = 0; i < KEYS; i++)
            hz_webhooks_remove(&route->entries[i]);
}

void hz_webhooks_forget(struct hz_worker *w)
{
    while (w->routes) {
        struct hz_webhook_route *route = w->routes;
        w->routes = route->next;
        free(route);
    }
    w->route_count = 0;
}

static bool valid_method(const char *text, size_t len)
{
    if (len == 0 || len >= METHOD_BYTES)
        return false;
    for (size_t i = 0; i < len; i++)
        if (!isalpha((unsigned char)text[i]) && text[i] != '*')
            return false;
    return true;
}

static bool valid_endpoint(const char *text, size_t len)
{
    if (len > ENDPOINT_BYTES)
        return false;
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            return false;
    return true;
}

void hz_webhooks_listen(struct hz_worker *w, const struct hz_msg *msg)
{
    const struct hz_msg_listen *listen = msg->body;
    size_t len = msg->str[1].len;
    if (listen->node >= w->workflow->plan->node_count || w->route_count >= HZ_WEBHOOKS_ROUTES ||
            !valid_method(msg->str[0].data, msg->str[0].len) || !valid_endpoint(msg->str[1].data, len)) {
        hz_worker_poison(w, "a webhook that cannot be");
        return;
    }
    struct hz_webhook_route *route = calloc(1, sizeof *route + len + 1);
    if (!route) {
        HZ_LOG(ERROR, "worker %s: out of memory for a webhook", w->info.id_text);
        return;
    }
    route->node = listen->node;
    route->timeout_ms = listen->timeout_ms;
    route->index = w->route_count++;
    memcpy(route->method, msg->str[0].data, msg->str[0].len);
    if (len)
        memcpy(route->endpoint, msg->str[1].data, len);
    route->next = w->routes;
    w->routes = route;
    if (w->ready && !w->stopping)
        open_route(w, route, atomic_fetch_add_explicit(&openings, 1, memory_order_relaxed) + 1);
}

/* ---- to the next image ---- */

void hz_webhooks_carry(const struct hz_worker *w, struct hz_carry_out *out)
{
    uint64_t count = 0;
    for (const struct hz_webhook_route *route = w->routes; route; route = route->next)
        count++;
    hz_carry_put(out, count);
    for (const struct hz_webhook_route *route = w->routes; route; route = route->next) {
        hz_carry_put(out, route->node);
        hz_carry_put(out, route->timeout_ms);
        hz_carry_put(out, route->index);
        hz_carry_put(out, route->opening);
        hz_carry_put_text(out, route->method);
        hz_carry_put_text(out, route->endpoint);
    }
}

static struct hz_webhook_route *take_route(struct hz_carry_in *in)
{
    struct hz_webhook_route *route = calloc(1, sizeof *route + ENDPOINT_BYTES + 1);
    if (!route) {
        in->bad = true;
        return NULL;
    }
    route->node = (uint32_t)hz_carry_take_most(in, UINT32_MAX);
    route->timeout_ms = (uint32_t)hz_carry_take_most(in, UINT32_MAX);
    route->index = (uint32_t)hz_carry_take_most(in, HZ_WEBHOOKS_ROUTES);
    route->opening = hz_carry_take(in);
    hz_carry_take_text(in, route->method, sizeof route->method);
    hz_carry_take_text(in, route->endpoint, ENDPOINT_BYTES + 1);
    return route;
}

void hz_webhooks_adopt(struct hz_worker *w, struct hz_carry_in *in)
{
    size_t count = hz_carry_take_count(in, HZ_WEBHOOKS_ROUTES);
    struct hz_webhook_route **link = &w->routes;
    for (size_t i = 0; i < count && !in->bad; i++) {
        struct hz_webhook_route *route = take_route(in);
        if (!route)
            return;
        *link = route;
        link = &route->next;
        w->route_count++;
        if (route->opening && !in->bad)
            open_route(w, route, route->opening);
    }
}

uint64_t hz_webhooks_openings(void)
{
    return atomic_load_explicit(&openings, memory_order_relaxed);
}

void hz_webhooks_set_openings(uint64_t count)
{
    atomic_store_explicit(&openings, count, memory_order_relaxed);
}
