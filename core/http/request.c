/*
 * request.c - one request from its first line to the moment its answer is queued or its client has gone. Shard's
 * thread.
 *
 * A request that waits for its answer is asked about at each run of the library: the callback returns "go on" without
 * having queued a response, and is called again at the next run. That is cheaper than suspending and resuming the
 * connection as long as the answer comes soon; after HZ_HTTP_EMPTY_TURNS runs without it the connection is suspended,
 * so that a waiting request costs nothing.
 */
#include "internal.h"
#include "proxy.h"

#include "shm/err.h"
#include "shm/log.h"
#include "url.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- birth and death ---- */
void *hz_request_begin(struct hz_http_conn *conn, struct MHD_Connection *mhd, const char *uri)
{
    if (conn->request) /* the connection was reused without an end being told */
        hz_request_abandon(conn->request);
    size_t len = strlen(uri);
    struct hz_http_request *request = calloc(1, sizeof *request + 3 * (len + 1));
    if (!request)
        return NULL;
    request->magic = HZ_HTTP_REQUEST_MAGIC;
    request->server = conn->server;
    request->conn = conn;
    request->mhd = mhd;
    memcpy(request->storage, uri, len + 1);
    request->path = request->storage + len + 1;
    request->scratch = request->path + len + 1;
    request->raw_path = request->storage;
    char *mark = strchr(request->storage, '?');
    request->raw_query = mark ? mark + 1 : request->storage + len;
    if (mark)
        *mark = 0;
    conn->request = request;
    conn->deadline_ns = hz_base_now_ns() + (uint64_t)hz_http_shared.header_ms * 1000000u;
    return request;
}

static void unlink_lost(struct hz_http_request *request)
{
    if (request->prev_lost)
        request->prev_lost->next_lost = request->next_lost;
    else
        request->server->lost = request->next_lost;
    if (request->next_lost)
        request->next_lost->prev_lost = request->prev_lost;
}

/* Its body counts no more. */
static void give_back(struct hz_http_request *request)
{
    request->server->body_bytes -= request->body_capacity;
    if (request->strange)
        request->server->strange_bytes -= request->body_capacity;
    request->body_capacity = 0;
}

void hz_request_orphan(struct hz_http_request *request)
{
    unlink_lost(request);
    give_back(request);
    request->server = NULL;
}

void hz_request_free(struct hz_http_request *request)
{
    HZ_CHECK_OBJ(request, HZ_HTTP_REQUEST_MAGIC);
    if (request->state == HZ_HTTP_LOST && request->server)
        unlink_lost(request);
    if (request->conn)
        request->conn->request = NULL;
    if (request->stream)
        hz_stream_detach(request->stream);
    if (request->response)
        MHD_destroy_response(request->response);
    if (request->upgrade)
        hz_upgrade_lost(request->upgrade);
    if (request->server)
        give_back(request);
    free(request->body);
    free(request->kept);
    free(request->query);
    free(request->query_text);
    request->magic = 0;
    free(request);
}

void hz_request_completed(struct hz_http_request *request)
{
    HZ_CHECK_OBJ(request, HZ_HTTP_REQUEST_MAGIC);
    struct hz_http_conn *conn = request->conn;
    if (conn) /* the next request on this connection may be long in coming, its headers may not */
        conn->deadline_ns =
                hz_base_now_ns() + (uint64_t)(hz_http_shared.idle_ms + hz_http_shared.header_ms) * 1000000u;
    hz_request_free(request);
    if (conn && conn->leaving)
        hz_server_leave(conn);
}

void hz_request_abandon(struct hz_http_request *request)
{
    HZ_CHECK_OBJ(request, HZ_HTTP_REQUEST_MAGIC);
    struct hz_http_conn *conn = request->conn;
    if (request->state != HZ_HTTP_PENDING) {
        if (request->stream && !request->server->ending)
            hz_stream_lose(request->stream);
        if (request->suspended) { /* answered meanwhile: the library ends it itself */
            request->suspended = false;
            MHD_resume_connection(request->mhd);
        } else
            hz_request_free(request);
        return;
    }
    /* From here on the library knows nothing of the request: its callback gets an empty context and closes the
     * connection. */
    if (request->suspended)
        MHD_resume_connection(request->mhd);
    request->suspended = false;
    if (conn)
        conn->request = NULL;
    request->conn = NULL;
    request->mhd = NULL;
    request->state = HZ_HTTP_LOST;
    request->prev_lost = NULL;
    request->next_lost = request->server->lost;
    if (request->next_lost)
        request->next_lost->prev_lost = request;
    request->server->lost = request;
    hz_server_kick(request->server);
    if (request->gone) {
        request->gone(request->gone_arg);
        hz_request_free(request);
    }
}

/* ---- headers complete: may it go on? ---- */
static const char *header_of(const struct hz_http_request *request, const char *name)
{
    return request->mhd ? MHD_lookup_connection_value(request->mhd, MHD_HEADER_KIND, name) : NULL;
}

static bool refuse(struct hz_http_request *request, uint32_t status, const char *detail)
{
    if (!hz_respond_problem(request, status, detail, ""))
        request->state = HZ_HTTP_FAILED;
    return false;
}

void hz_http_refuse(struct hz_http_request *request, uint32_t status, const char *detail, const char *headers)
{
    request->refused = true;
    if (!hz_respond_problem(request, status, detail, headers))
        request->state = HZ_HTTP_FAILED;
}

static bool answer_headers(struct hz_http_request *request, uint32_t status, const char *headers)
{
    struct hz_http_response response = {.status = status, .headers = headers, .headers_len = strlen(headers)};
    request->state = hz_respond_build(request, &response) ? HZ_HTTP_ANSWERED : HZ_HTTP_FAILED;
    return false;
}

static bool check_host(struct hz_http_request *request)
{
    const char *host = header_of(request, "Host");
    if (request->conn->over_socket || hz_gate_host(&hz_http_shared.gate, host, request->conn->port != 0))
        return true;
    return refuse(request, 421, "this Host is not served here; HORIZON_HOSTS lists further names");
}

static bool check_origin(struct hz_http_request *request)
{
    if (request->conn->over_socket || request->match.door == HZ_DOOR_OPEN)
        return true;
    switch (hz_gate_origin(&hz_http_shared.gate, header_of(request, "Origin"), header_of(request, "Host"))) {
    case HZ_ORIGIN_NONE:
        return true;
    case HZ_ORIGIN_OWN:
        request->cors = true;
        return true;
    case HZ_ORIGIN_REFUSED:
        break;
    }
    return refuse(request, 403, "this Origin is not allowed; CLIENT_URL names a further one");
}

static bool wrong_method(struct hz_http_request *request)
{
    char headers[384];
    if (!check_origin(request))
        return false;
    if (strcmp(request->method, "OPTIONS") == 0) {
        snprintf(headers, sizeof headers,
                "Allow: %s\nAccess-Control-Allow-Methods: %s\nAccess-Control-Allow-Headers: Authorization, Content-Type, Idempotency-Key, If-Match, "
                "If-None-Match, Last-Event-ID\nAccess-Control-Max-Age: 600\n",
                request->match.allow, request->match.allow);
        return answer_headers(request, 204, headers);
    }
    if (!refuse(request, 405, "this method is not offered here") && request->response)
        MHD_add_response_header(request->response, "Allow", request->match.allow);
    return false;
}

/* Before the body is read: who may not come in sends none. */
static bool pass_gate(struct hz_http_request *request)
{
    if (request->match.door != HZ_DOOR_GATE || !hz_http_shared.guard)
        return true;
    request->gated = true;
    if (hz_http_shared.guard(request, request->match.permission))
        return true;
    if (!request->refused && !refuse(request, 403, "the gate refused this request"))
        request->refused = true;
    return false;
}

static bool find_handler(struct hz_http_request *request)
{
    enum hz_router_result result = HZ_ROUTE_UNKNOWN;
    if (request->conn->port == 0)
        result = hz_router_find(
                &hz_http_shared.router, request->method, request->raw_path, request->scratch, &request->match);
    if (result == HZ_ROUTE_METHOD)
        return wrong_method(request);
    if (result == HZ_ROUTE_FOUND)
        return check_origin(request) && pass_gate(request);
    request->webhook = true;
    request->match.fn = hz_http_shared.fallback;
    request->match.arg = hz_http_shared.fallback_arg;
    return request->match.fn ? true : refuse(request, 404, "there is nothing at this path");
}

static uint64_t body_limit(const struct hz_http_request *request)
{
    return request->webhook ? HZ_HTTP_WEBHOOK_MAX : request->match.body_max ? request->match.body_max : HZ_HTTP_BODY_MAX;
}

static bool too_large(struct hz_http_request *request)
{
    char text[64];
    uint64_t limit = body_limit(request);
    if (limit >> 20)
        snprintf(text, sizeof text, "a request body may have %u MiB", (unsigned)(limit >> 20));
    else
        snprintf(text, sizeof text, "a request body may have %u KiB here", (unsigned)(limit >> 10));
    return refuse(request, 413, text);
}

static bool check_length(struct hz_http_request *request)
{
    const char *text = header_of(request, "Content-Length");
    /* RFC 9112, 6.1: a proxy in front may believe the one where the library believes the other. */
    if (text && header_of(request, "Transfer-Encoding"))
        return refuse(request, 400, "a request has either Content-Length or Transfer-Encoding");
    return text && strtoull(text, NULL, 10) > body_limit(request) ? too_large(request) : true;
}

/* Splits the query into decoded pairs; what is not text is left out. */
static bool parse_query(struct hz_http_request *request)
{
    size_t len = strlen(request->raw_query), most = 1;
    for (const char *p = request->raw_query; *p; p++)
        most += *p == '&';
    request->query_text = malloc(2 * len + 2 * most + 2);
    request->query = calloc(most, sizeof *request->query);
    if (!request->query_text || !request->query)
        return false;
    char *to = request->query_text;
    for (const char *p = request->raw_query; *p;) {
        size_t pair = strcspn(p, "&"), name = strcspn(p, "=&");
        char *value = to + name + 1;
        ptrdiff_t a = hz_url_decode(p, name, true, to);
        ptrdiff_t b = hz_url_decode(p + name + (name < pair), pair - name - (name < pair), true, value);
        if (a > 0 && b >= 0) {
            request->query[request->query_count++] = (struct hz_http_pair){to, value};
            to = value + b + 1;
        }
        p += pair + (p[pair] == '&');
    }
    return true;
}

struct forwarded {
    char text[1024];
    size_t len;
    bool tls;
};

static enum MHD_Result on_forwarded(void *cls, enum MHD_ValueKind kind, const char *name, const char *value)
{
    (void)kind;
    struct forwarded *f = cls;
    if (!value)
        return MHD_YES;
    if (strcasecmp(name, "X-Forwarded-Proto") == 0)
        f->tls = strcasecmp(value, "https") == 0; /* the last one: the proxy's own */
    if (strcasecmp(name, "X-Forwarded-For") != 0)
        return MHD_YES;
    size_t len = strlen(value);
    if (len >= sizeof f->text) { /* what the proxy itself says stands at the end */
        value += len - (sizeof f->text - 1);
        len = sizeof f->text - 1;
    }
    if (f->len + 1 + len >= sizeof f->text)
        f->len = 0;
    else if (f->len > 0)
        f->text[f->len++] = ',';
    memcpy(f->text + f->len, value, len + 1);
    f->len += len;
    return MHD_YES;
}

/* Whose request a trusted proxy passes on, for bounds, logins and the audit log. False: he asks too often. */
static bool ask_for_client(struct hz_http_request *request)
{
    struct forwarded f = {.len = 0};
    struct sockaddr_storage client;
    (void)MHD_get_connection_values(request->mhd, MHD_HEADER_KIND, on_forwarded, &f);
    request->forwarded_tls = f.tls;
    if (!hz_proxy_client(f.text, &client))
        return true;
    hz_server_name(&client, false, request->client);
    hz_address_of(&client, &request->client_address);
    return hz_address_ask_for(&client, hz_base_now_ns());
}

/* False: the request has its (refusing) answer. */
static bool admit(struct hz_http_request *request, const char *method)
{
    size_t len = strlen(method);
    if (len >= sizeof request->method)
        return refuse(request, 501, "unknown method");
    memcpy(request->method, method, len + 1);
    request->head = strcmp(method, "HEAD") == 0;
    if (!(request->conn->proxied ? ask_for_client(request) : hz_address_ask(&request->conn->address, hz_base_now_ns()))) {
        hz_http_refuse(request, 429, "too many requests from this address; HORIZON_ADDRESS_RATE bounds them", "Retry-After: 1\n");
        return false;
    }
    if (hz_url_decode(request->raw_path, strlen(request->raw_path), false, request->path) < 0)
        return refuse(request, 400, "the path is not UTF-8 text");
    if (!check_host(request) || !find_handler(request) || !check_length(request))
        return false;
    request->strange = !request->gated && !request->conn->over_socket;
    return request->webhook || !*request->raw_query || parse_query(request) ? true
                                                                            : refuse(request, 503, "out of memory");
}

/* ---- body ---- */

/* A body may take 20 s; longer while it comes at 1 KiB/s. What comes faster earns no more than 20 s ahead, so that megabytes
 * sent at once are not followed by hours of a byte now and then. */
static void extend_deadline(struct hz_http_request *request, size_t len)
{
    struct hz_http_conn *conn = request->conn;
    uint64_t earned = len * UINT64_C(1000000000) / HZ_HTTP_BODY_RATE;
    conn->deadline_ns = HZ_MIN(conn->deadline_ns + earned, hz_base_now_ns() + hz_http_shared.body_ms * UINT64_C(1000000));
}

/* Of the strangers' bodies that are still coming, the one that holds most. */
static struct hz_http_request *largest_coming(const struct hz_http_server *server)
{
    struct hz_http_request *largest = NULL;
    for (struct hz_http_conn *conn = server->conns; conn; conn = conn->next) {
        struct hz_http_request *request = conn->request;
        if (request && request->state == HZ_HTTP_READING && request->strange &&
                (!largest || request->body_capacity > largest->body_capacity))
            largest = request;
    }
    return largest;
}

/*
 * Room for a body of this capacity. When all bodies have what they may have, or those of strangers three quarters of it, the largest of
 * a stranger that is still coming is given up: it is the one that harms others most, and who sends little is not in its way.
 */
static bool make_room(struct hz_http_request *request, size_t capacity)
{
    struct hz_http_server *server = request->server;
    uint64_t more = capacity - request->body_capacity, most = hz_http_shared.bodies_max;
    while (server->body_bytes + more > most || (request->strange && server->strange_bytes + more > most / 4 * 3)) {
        struct hz_http_request *victim = largest_coming(server);
        if (!victim || victim == request || (request->strange && victim->body_capacity <= capacity))
            return false;
        HZ_LOG(WARN, "http: a body of %zu KiB from %s, still coming, is given up: %zu MiB of bodies are held",
                victim->body_capacity >> 10, victim->conn->peer, (size_t)(server->body_bytes >> 20));
        give_back(victim);
        free(victim->body);
        victim->body = NULL;
        victim->body_len = 0;
        victim->refuse_status = 503;
    }
    return true;
}

static void take_body(struct hz_http_request *request, const char *data, size_t len)
{
    struct hz_http_server *server = request->server;
    request->body_seen += len;
    extend_deadline(request, len);
    if (request->refuse_status)
        return; /* thrown away; the answer says why */
    size_t needed = request->body_len + len + 1;
    if (request->body_seen > body_limit(request)) {
        request->refuse_status = 413;
        return;
    }
    if (needed > request->body_capacity) {
        size_t capacity = HZ_MAX(needed, request->body_capacity * 2);
        char *body = make_room(request, capacity) ? realloc(request->body, capacity) : NULL;
        if (!body) {
            request->refuse_status = 503;
            return;
        }
        server->body_bytes += capacity - request->body_capacity;
        if (request->strange)
            server->strange_bytes += capacity - request->body_capacity;
        request->body = body;
        request->body_capacity = capacity;
    }
    memcpy(request->body + request->body_len, data, len);
    request->body_len += len;
    request->body[request->body_len] = 0;
}

static void dispatch(struct hz_http_request *request)
{
    request->conn->deadline_ns = 0;
    if (request->refuse_status == 413) {
        too_large(request);
        return;
    }
    if (request->refuse_status) {
        refuse(request, 503, "too many request bodies at once");
        return;
    }
    request->state = HZ_HTTP_PENDING;
    request->last_turn = request->server->turn;
    request->match.fn(request, request->match.arg);
}

/* The library asks again and there is no answer yet. */
static enum MHD_Result wait_for_answer(struct hz_http_request *request)
{
    struct hz_http_server *server = request->server;
    if (server->ending)
        return MHD_NO;
    if (request->last_turn == server->turn) /* asked twice in one run: the oldest connection is */
        return MHD_YES;
    request->last_turn = server->turn;
    if (++request->empty_turns > HZ_HTTP_EMPTY_TURNS) {
        request->suspended = true;
        MHD_suspend_connection(request->mhd);
    }
    return MHD_YES;
}

static enum MHD_Result queue(struct hz_http_request *request)
{
    request->state = HZ_HTTP_QUEUED;
    return MHD_queue_response(request->mhd, request->status, request->response);
}

enum MHD_Result hz_request_handle(void *cls, struct MHD_Connection *mhd, const char *url, const char *method,
        const char *version, const char *data, size_t *data_len, void **context)
{
    (void)cls;
    (void)url;
    (void)version;
    struct hz_http_conn *conn = hz_server_conn(mhd);
    struct hz_http_request *request = *context;
    if (!conn || !request || conn->request != request) { /* no memory, or the client was found gone */
        *context = NULL;
        return MHD_NO;
    }
    HZ_CHECK_OBJ(request, HZ_HTTP_REQUEST_MAGIC);
    if (request->state == HZ_HTTP_NEW) {
        request->state = HZ_HTTP_READING;
        conn->body_ns = hz_base_now_ns();
        conn->deadline_ns = conn->body_ns + hz_http_shared.body_ms * UINT64_C(1000000);
        if (admit(request, method))
            return MHD_YES;
    } else if (*data_len) {
        take_body(request, data, *data_len);
        *data_len = 0;
        /* Somebody who goes on sending long after the limit is not listening. */
        return request->refuse_status && request->body_seen > 2 * body_limit(request) ? MHD_NO : MHD_YES;
    } else if (request->state == HZ_HTTP_READING)
        dispatch(request);
    switch (request->state) {
    case HZ_HTTP_ANSWERED:
        return queue(request);
    case HZ_HTTP_PENDING:
        return wait_for_answer(request);
    case HZ_HTTP_QUEUED:
        return MHD_YES;
    case HZ_HTTP_NEW:
    case HZ_HTTP_READING:
    case HZ_HTTP_FAILED:
    case HZ_HTTP_LOST:
        break;
    }
    return MHD_NO;
}

/* ---- what a handler may ask ---- */
const char *hz_http_method(const struct hz_http_request *request)
{
    return request->method;
}

const char *hz_http_path(const struct hz_http_request *request)
{
    return request->path;
}

const char *hz_http_raw_query(const struct hz_http_request *request)
{
    return request->raw_query;
}

const char *hz_http_param(const struct hz_http_request *request, const char *name)
{
    for (unsigned i = 0; i < request->match.count; i++)
        if (strcmp(request->match.params[i].name, name) == 0)
            return request->match.params[i].value;
    return NULL;
}

const char *hz_http_query(const struct hz_http_request *request, const char *name)
{
    for (size_t i = 0; i < request->query_count; i++)
        if (strcmp(request->query[i].name, name) == 0)
            return request->query[i].value;
    return NULL;
}

const char *hz_http_header(const struct hz_http_request *request, const char *name)
{
    return header_of(request, name);
}

struct each_header {
    hz_http_header_fn *fn;
    void *arg;
};

static enum MHD_Result on_header(void *cls, enum MHD_ValueKind kind, const char *name, const char *value)
{
    (void)kind;
    struct each_header *each = cls;
    each->fn(each->arg, name, value ? value : "");
    return MHD_YES;
}

void hz_http_each_header(const struct hz_http_request *request, hz_http_header_fn *fn, void *arg)
{
    struct each_header each = {fn, arg};
    if (request->mhd)
        MHD_get_connection_values(request->mhd, MHD_HEADER_KIND, on_header, &each);
}

char *hz_request_take_body(struct hz_http_request *request, size_t *ret_len)
{
    char *body = request->body;
    *ret_len = request->body_len;
    if (request->server)
        give_back(request);
    request->body = NULL;
    request->body_len = 0;
    return body;
}

const void *hz_http_body(const struct hz_http_request *request, size_t *ret_len)
{
    *ret_len = request->body_len;
    return request->body ? request->body : "";
}

uint32_t hz_http_local_port(const struct hz_http_request *request)
{
    return request->conn ? request->conn->port : 0;
}

bool hz_http_over_socket(const struct hz_http_request *request)
{
    return request->conn && request->conn->over_socket;
}

bool hz_http_over_tls(const struct hz_http_request *request)
{
    return request->forwarded_tls || (request->conn && request->conn->tls);
}

const char *hz_http_peer(const struct hz_http_request *request)
{
    return !request->conn ? "" : request->client[0] ? request->client : request->conn->peer;
}

void hz_http_keep(struct hz_http_request *request, void *kept)
{
    free(request->kept);
    request->kept = kept;
}

void *hz_http_kept(const struct hz_http_request *request)
{
    return request->kept;
}

void hz_http_on_gone(struct hz_http_request *request, void (*fn)(void *arg), void *arg)
{
    HZ_CHECK_OBJ(request, HZ_HTTP_REQUEST_MAGIC);
    request->gone = fn;
    request->gone_arg = arg;
}
