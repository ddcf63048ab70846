/*
 * target_request.c - an HTTP request from its parsed line and headers to its answer, without sockets: gate, router, query, body, REST routes,
 * options of a start, forms, multipart, and what a webhook's request becomes for a flow. The library below (libmicrohttpd) and the
 * operations above (core/api's workers.c, executions.c, the table of route.h, accounts) are played here; webhook routes are real.
 *
 * An input: one byte of flags, `METHOD target` and header lines, an empty line, the body. Checked: each request is answered once with a
 * status that exists, an answer of type JSON is JSON, no header carries a control character, and what goes to a flow is JSON.
 */
#include "core/access.h"
#include "core/api/api.h"
#include "core/api/form.h"
#include "core/api/internal.h"
#include "core/api/rest.h"
#include "core/api/route.h"
#include "core/audit.h"
#include "core/http/internal.h"
#include "core/scheduler.h"
#include "core/secrets.h"
#include "core/shard.h"
#include "core/store_access.h"
#include "core/store_records.h"
#include "core/webhooks.h"
#include "fuzz.h"
#include "shm/err.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <urcu/urcu-memb.h>

void hz_webhook_init(void);

enum { FLAG_WORKER_PORT = 1, FLAG_SOCKET = 2, FLAG_PIECES = 4, FLAG_LATER = 8, FLAG_GONE = 16, FLAG_FAIL = 32 };
#define HEADERS_MOST 64u

struct MHD_Connection {
    struct hz_http_conn conn;
    union MHD_ConnectionInfo info;
    struct {
        char *name, *value;
    } headers[HEADERS_MOST];
    size_t count;
    unsigned queued;
};

struct MHD_Response {
    char *body;
    size_t len;
    struct {
        char *name, *value;
    } headers[HEADERS_MOST];
    size_t count;
};

struct MHD_PostProcessor {
    MHD_PostDataIterator fn;
    void *arg;
    bool ended;
};

static unsigned flags;
static struct {
    hz_api_done_fn *done;
    void *arg;
    hz_http_reply_fn *reply;
    hz_route_done_fn *routed;
} later; /* an operation that has not answered yet */

/* ---- the library, played ---- */

const char *MHD_lookup_connection_value(struct MHD_Connection *mhd, enum MHD_ValueKind kind, const char *name)
{
    FUZZ_CHECK(kind == MHD_HEADER_KIND);
    for (size_t i = 0; i < mhd->count; i++)
        if (strcasecmp(mhd->headers[i].name, name) == 0)
            return mhd->headers[i].value;
    return NULL;
}

int MHD_get_connection_values(struct MHD_Connection *mhd, enum MHD_ValueKind kind, MHD_KeyValueIterator fn, void *arg)
{
    for (size_t i = 0; i < mhd->count; i++)
        if (fn(arg, kind, mhd->headers[i].name, mhd->headers[i].value) != MHD_YES)
            break;
    return (int)mhd->count;
}

const union MHD_ConnectionInfo *MHD_get_connection_info(struct MHD_Connection *mhd, enum MHD_ConnectionInfoType type, ...)
{
    FUZZ_CHECK(type == MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return &mhd->info;
}

struct MHD_Response *MHD_create_response_from_buffer(size_t len, void *body, enum MHD_ResponseMemoryMode mode)
{
    struct MHD_Response *response = calloc(1, sizeof *response);
    FUZZ_CHECK(mode == MHD_RESPMEM_MUST_COPY && response != NULL);
    response->body = malloc(len + 1);
    HZ_ASSERT(response->body != NULL);
    memcpy(response->body, body, len);
    response->body[len] = 0;
    response->len = len;
    return response;
}

enum MHD_Result MHD_add_response_header(struct MHD_Response *response, const char *name, const char *value)
{
    if (response->count == HEADERS_MOST || !*name || !*value || strpbrk(name, "\t\r\n") || strpbrk(value, "\t\r\n"))
        return MHD_NO; /* as the library does */
    response->headers[response->count].name = strdup(name);
    response->headers[response->count++].value = strdup(value);
    return MHD_YES;
}

const char *MHD_get_response_header(struct MHD_Response *response, const char *name)
{
    for (size_t i = 0; i < response->count; i++)
        if (strcasecmp(response->headers[i].name, name) == 0)
            return response->headers[i].value;
    return NULL;
}

void MHD_destroy_response(struct MHD_Response *response)
{
    for (size_t i = 0; i < response->count; i++) {
        free(response->headers[i].name);
        free(response->headers[i].value);
    }
    free(response->body);
    free(response);
}

static bool is_json(const char *text, size_t len)
{
    json_t *value = json_loadb(text, len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    json_decref(value);
    return value != NULL;
}

enum MHD_Result MHD_queue_response(struct MHD_Connection *mhd, unsigned int status, struct MHD_Response *response)
{
    const char *type = MHD_get_response_header(response, "Content-Type");
    FUZZ_CHECK(++mhd->queued == 1 && status >= 200 && status <= 599);
    if (type && response->len > 0 && strstr(type, "json") && !is_json(response->body, response->len))
        FUZZ_FAIL("an answer that is no JSON: %.*s", (int)response->len, response->body);
    return MHD_YES;
}

void MHD_suspend_connection(struct MHD_Connection *mhd)
{
    (void)mhd;
}

void MHD_resume_connection(struct MHD_Connection *mhd)
{
    (void)mhd;
}

const char *MHD_get_reason_phrase_for(unsigned int code)
{
    return code < 600 ? "Reason" : NULL;
}

struct MHD_PostProcessor *MHD_create_post_processor(struct MHD_Connection *mhd, size_t size, MHD_PostDataIterator fn, void *arg)
{
    (void)size;
    const char *type = MHD_lookup_connection_value(mhd, MHD_HEADER_KIND, "Content-Type");
    struct MHD_PostProcessor *processor = type && strstr(type, "boundary") ? calloc(1, sizeof *processor) : NULL;
    if (processor)
        *processor = (struct MHD_PostProcessor){.fn = fn, .arg = arg};
    return processor;
}

/* A part a line: `name|file|type|data`, the data in two pieces; `.` is the end of the form. */
enum MHD_Result MHD_post_process(struct MHD_PostProcessor *processor, const char *data, size_t size)
{
    for (size_t at = 0; at < size;) {
        const char *end = memchr(data + at, '\n', size - at);
        size_t len = end ? (size_t)(end - (data + at)) : size - at;
        char *line = strndup(data + at, len), *rest = line;
        HZ_ASSERT(line != NULL);
        at += len + 1;
        if (strcmp(line, ".") == 0) {
            processor->ended = true;
            free(line);
            continue;
        }
        const char *name = strsep(&rest, "|"), *file = strsep(&rest, "|"), *type = strsep(&rest, "|"), *text = rest ? rest : "";
        size_t half = strlen(text) / 2;
        enum MHD_Result go = processor->fn(processor->arg, MHD_POSTDATA_KIND, name, file && *file ? file : NULL, type && *type ? type : NULL,
                NULL, text, 0, half);
        if (go == MHD_YES && half > 0)
            go = processor->fn(processor->arg, MHD_POSTDATA_KIND, name, file && *file ? file : NULL, type && *type ? type : NULL, NULL,
                    text + half, half, strlen(text) - half);
        free(line);
        if (go != MHD_YES)
            return MHD_NO;
    }
    return MHD_YES;
}

enum MHD_Result MHD_destroy_post_processor(struct MHD_PostProcessor *processor)
{
    bool ended = processor->ended;
    free(processor);
    return ended ? MHD_YES : MHD_NO;
}

/* ---- the operations, played: each reads what it was given ---- */

static void finish(hz_api_done_fn *done, void *arg)
{
    struct hz_api_result good = {.status = 200, .data = "{\"a\":[1]}", .len = 9},
                         bad = {.status = 409, .retry_after_s = 3, .error = "it \"cannot\"\n be", .more = "{\"workerId\":\"x\"}"};
    done(arg, (flags & FLAG_FAIL) ? &bad : &good);
}

static void operate(const char *text, hz_api_done_fn *done, void *arg)
{
    if (text)
        fuzz_touch(text, strlen(text) + 1);
    if (flags & FLAG_LATER) {
        later.done = done;
        later.arg = arg;
    } else {
        finish(done, arg);
    }
}

#define PLAY(name) void name(hz_api_done_fn *done, void *arg) { operate(NULL, done, arg); }
#define PLAY_TEXT(name) void name(const char *text, hz_api_done_fn *done, void *arg) { operate(text, done, arg); }
PLAY(hz_api_workers_list)
PLAY(hz_api_dashboard)
PLAY(hz_api_parked_list)
PLAY(hz_api_workflows_list)
PLAY(hz_api_nodes_list)
PLAY(hz_api_health)
PLAY(hz_api_live)
PLAY(hz_api_ready)
PLAY_TEXT(hz_api_workers_get)
PLAY_TEXT(hz_api_crashes_get)
PLAY_TEXT(hz_api_workflows_release)
PLAY_TEXT(hz_api_workflows_get)
PLAY_TEXT(hz_api_executions_get)
PLAY_TEXT(hz_api_dead_redrive)
PLAY_TEXT(hz_api_nodes_get)
PLAY_TEXT(hz_api_executions_nodes)
PLAY(hz_api_manager_get)

void hz_api_executions_rerun(const char *id, const char *from, hz_api_done_fn *done, void *arg)
{
    fuzz_touch(from, from ? strlen(from) : 0);
    operate(id, done, arg);
}

void hz_api_manager_restart(const char *binary, uint32_t drain_ms, hz_api_done_fn *done, void *arg)
{
    FUZZ_CHECK(drain_ms <= 600000 && (flags & FLAG_SOCKET));
    operate(binary, done, arg);
}

void hz_api_workers_logs(const char *id, uint64_t lines, uint64_t after, hz_api_done_fn *done, void *arg)
{
    (void)after;
    FUZZ_CHECK(lines >= 1 && lines <= 10000);
    operate(id, done, arg);
}

void hz_api_workers_start(const char *id, const char *version, hz_api_done_fn *done, void *arg)
{
    fuzz_touch(version, version ? strlen(version) : 0);
    operate(id, done, arg);
}

void hz_api_workers_stop(const char *id, const char *user, hz_api_done_fn *done, void *arg)
{
    (void)user;
    operate(id, done, arg);
}

void hz_api_workers_restart(const char *id, const char *user, hz_api_done_fn *done, void *arg)
{
    (void)user;
    operate(id, done, arg);
}

void hz_api_workers_message(const char *id, const char *route, const char *data, size_t len, hz_api_done_fn *done, void *arg)
{
    fuzz_touch(route, strlen(route));
    FUZZ_CHECK(is_json(data, len));
    operate(id, done, arg);
}

void hz_api_crashes_list(const char *id, uint64_t limit, uint64_t cursor, hz_api_done_fn *done, void *arg)
{
    FUZZ_CHECK(limit >= 1 && limit <= 1000 && cursor <= INT64_MAX);
    operate(id, done, arg);
}

void hz_api_executions_list(const struct hz_api_list *list, hz_api_done_fn *done, void *arg)
{
    FUZZ_CHECK(list->limit >= 1 && list->limit <= 1000);
    fuzz_touch(list->state, list->state ? strlen(list->state) + 1 : 0);
    fuzz_touch(list->cursor, list->cursor ? strlen(list->cursor) + 1 : 0);
    operate(list->workflow_id, done, arg);
}

void hz_api_workflows_put(const char *id, const char *text, size_t len, const char *author, uint64_t if_revision, hz_api_done_fn *done, void *arg)
{
    (void)author;
    (void)if_revision;
    fuzz_touch(text, len);
    operate(id, done, arg);
}

void hz_api_executions_start(const struct hz_api_execute *execute, hz_api_done_fn *done, void *arg)
{
    FUZZ_CHECK(execute->len == 0 || is_json(execute->data, execute->len));
    FUZZ_CHECK(execute->priority <= 9 && execute->due_ms >= 0);
    FUZZ_CHECK(!execute->key || (*execute->key && strlen(execute->key) < HZ_SUBMIT_KEY));
    fuzz_touch(execute->version, execute->version ? strlen(execute->version) : 0);
    operate(execute->workflow_id, done, arg);
}

void hz_api_executions_cancel(const char *id, const char *reason, hz_api_done_fn *done, void *arg)
{
    (void)reason;
    operate(id, done, arg);
}

int hz_secrets_put(const char *name, const char *value, size_t len)
{
    fuzz_touch(name, strlen(name));
    fuzz_touch(value, len);
    return (flags & FLAG_FAIL) ? hz_err_set(HZ_EFORMAT, "a name of letters") : 0;
}

int hz_secrets_remove(const char *name)
{
    fuzz_touch(name, strlen(name));
    return (flags & FLAG_FAIL) ? hz_err_set(HZ_ENOTFOUND, "there is no secret of that name") : 0;
}

int hz_secrets_rotate(size_t *ret_count)
{
    *ret_count = 1;
    return 0;
}

json_t *hz_secrets_list(void)
{
    return json_array();
}

static void finish_route(hz_route_done_fn *done, void *arg)
{
    json_t *record = json_pack("{s:s, s:i}", "id", "r1", "n", 3);
    /* Every member a resource may take its record or list from. */
    json_t *good = json_pack("{s:b, s:[O, O, n], s:O}", "success", 1, "workspaces", record, record, "workspace", record);
    json_t *bad = json_pack("{s:b, s:s}", "success", 0, "message", "it \"cannot\"\n be");
    static const char text[] = "{\"success\": true, \"stats\": {\"a\": 1}, \"workflows\": [{\"id\": 7}, 1, null]}";
    HZ_ASSERT(record != NULL && good != NULL && bad != NULL);
    if (flags & FLAG_FAIL)
        done(arg, &(struct hz_route_answer){.status = 409, .object = bad});
    else if (flags & FLAG_PIECES)
        done(arg, &(struct hz_route_answer){.status = 200, .text = text, .len = sizeof text - 1});
    else
        done(arg, &(struct hz_route_answer){.status = 200, .object = good, .revision = 5});
    json_decref(record);
    json_decref(good);
    json_decref(bad);
}

void hz_route_start(const struct hz_route *route, const struct hz_route_call *call, const struct hz_route_work *how)
{
    FUZZ_CHECK(route->permission != NULL && how != NULL && json_is_object(call->data));
    FUZZ_CHECK(call->caller != NULL && call->caller->kind != HZ_CALLER_NONE);
    if (flags & FLAG_LATER) {
        later.routed = call->done;
        later.arg = call->arg;
    } else {
        finish_route(call->done, call->arg);
    }
}

/* ---- accounts, played: who shows nothing is the administrator, who shows "Bearer v..." a viewer, who shows something else nobody ---- */

bool hz_access_resolve_request(const char *authorization, const char *cookie, const char *address, struct hz_caller *ret_caller)
{
    fuzz_touch(authorization, authorization ? strlen(authorization) : 0);
    fuzz_touch(cookie, cookie ? strlen(cookie) : 0);
    FUZZ_CHECK(address != NULL);
    bool viewer = authorization && strncmp(authorization, "Bearer v", 8) == 0;
    *ret_caller = (struct hz_caller){.kind = HZ_CALLER_SESSION, .role = viewer ? HZ_ROLE_VIEWER : HZ_ROLE_SUPERADMIN, .name = "somebody"};
    return !authorization || viewer;
}

bool hz_access_allows(const struct hz_caller *caller, const char *permission)
{
    return caller->role == HZ_ROLE_SUPERADMIN || strstr(permission, ":list") != NULL;
}

bool hz_access_refresh(struct hz_caller *caller)
{
    return caller->kind != HZ_CALLER_NONE;
}

void hz_access_unix_caller(struct hz_caller *ret_caller)
{
    *ret_caller = (struct hz_caller){.kind = HZ_CALLER_UNIX, .role = HZ_ROLE_SUPERADMIN, .name = "horizon"};
}

static void log_in(const char *text, hz_login_fn *done, void *arg)
{
    fuzz_touch(text, strlen(text) + 1);
    struct hz_login login = {.result = (flags & FLAG_FAIL) ? HZ_LOGIN_THROTTLED : HZ_LOGIN_OK, .retry_after_s = 2, .secret = "secret"};
    hz_access_unix_caller(&login.caller);
    done(arg, &login);
}

void hz_access_login(enum hz_caller_kind kind, const char *email, const char *password, const char *address, hz_login_fn *done, void *arg)
{
    FUZZ_CHECK(kind == HZ_CALLER_SESSION && address != NULL);
    fuzz_touch(password, strlen(password) + 1);
    log_in(email, done, arg);
}

void hz_access_login_code(const char *code, const char *address, hz_login_fn *done, void *arg)
{
    FUZZ_CHECK(address != NULL);
    log_in(code, done, arg);
}

void hz_access_logout(const struct hz_caller *caller, void (*done)(void *arg, int result), void *arg)
{
    FUZZ_CHECK(caller->kind != HZ_CALLER_NONE);
    done(arg, (flags & FLAG_FAIL) ? -1 : 0);
}

int hz_access_work(int (*work)(void *arg), void (*done)(void *arg, int result), void *arg)
{
    FUZZ_CHECK(work != NULL && done != NULL && arg != NULL);
    return hz_err_set(HZ_EBUSY, "too much at once");
}

json_t *hz_access_user_json(const struct hz_caller *caller)
{
    return json_pack("{s:s}", "name", caller->name);
}

json_t *hz_access_users_json(const struct hz_caller *caller)
{
    return json_pack("[{s:s}]", "name", caller->name);
}

json_t *hz_access_tokens_json(const struct hz_caller *by)
{
    return hz_access_users_json(by);
}

void hz_audit_note(const struct hz_caller *caller, const char *action, const char *target, uint32_t status)
{
    FUZZ_CHECK(caller->kind != HZ_CALLER_NONE && status >= 200 && status <= 599);
    fuzz_touch(action, strlen(action) + 1);
    fuzz_touch(target, target ? strlen(target) + 1 : 0);
}

/* ---- threads and store, played: nothing can be begun, nothing is kept ---- */

uv_loop_t *hz_shard_loop(struct hz_shard *shard)
{
    FUZZ_CHECK(shard == NULL);
    return NULL;
}

int uv_queue_work(uv_loop_t *loop, uv_work_t *work, uv_work_cb work_fn, uv_after_work_cb after_fn)
{
    FUZZ_CHECK(loop == NULL && work != NULL && work_fn != NULL && after_fn != NULL);
    return UV_ENOMEM;
}

int hz_store_answer_get(const char *owner, const char *key, uint64_t *ret_request, uint32_t *ret_status, char **ret_body)
{
    fuzz_touch(owner, strlen(owner) + 1);
    *ret_request = 0;
    *ret_status = 202;
    *ret_body = strncmp(key, "known", 5) == 0 ? strdup("{}") : NULL;
    return *ret_body ? 0 : HZ_ENOTFOUND;
}

json_t *hz_store_audit_list(const char *user, const char *action, int64_t from_ms, int64_t before_sequence, size_t limit)
{
    fuzz_touch(user, user ? strlen(user) + 1 : 0);
    fuzz_touch(action, action ? strlen(action) + 1 : 0);
    FUZZ_CHECK(limit >= 1 && limit <= 1000 && from_ms >= 0 && before_sequence >= 0);
    return json_array();
}

/* /metrics: reads registry and store, nothing of the request. */
int hz_metrics_init(void)
{
    return 0;
}

/* The client has gone when the stream is opened; its head is answered. */
struct hz_http_stream *hz_http_stream_open(
        struct hz_http_request *request, const struct hz_http_response *head, void (*gone)(void *arg), void *arg)
{
    FUZZ_CHECK(head->status == 200 && gone != NULL && arg != NULL);
    hz_http_respond(request, head);
    return NULL;
}

/* ---- the flow, played ---- */

static void reply(hz_http_reply_fn *fn, void *arg)
{
    static const char headers[] = "X-One: 1\nContent-Type: a/b\nbroken\n: none\nSet-Cookie: a=b\n";
    struct hz_http_reply good = {.status = 200, .type = "text/plain", .type_len = 10, .headers = headers, .headers_len = sizeof headers - 1,
            .body = "x", .body_len = 1, .retry_after_s = (flags & FLAG_SOCKET) ? 1 : 0},
                         bad = {.status = 101, .type = "", .headers = "", .body = ""};
    fn(arg, (flags & FLAG_FAIL) ? &bad : &good);
}

void hz_scheduler_http(const struct hz_http_call *call, hz_http_reply_fn *fn, void *arg, uint64_t *ret_ticket)
{
    *ret_ticket = 1;
    if (!is_json(call->meta, call->meta_len))
        FUZZ_FAIL("a flow's request that is no JSON: %.*s", (int)call->meta_len, call->meta);
    FUZZ_CHECK(call->match.params != NULL && is_json(call->match.params, strlen(call->match.params)));
    fuzz_touch(call->type, call->type_len);
    fuzz_touch(call->body, call->body_len);
    if (flags & FLAG_LATER) {
        later.reply = fn;
        later.arg = arg;
    } else {
        reply(fn, arg);
    }
}

void hz_scheduler_http_gone(uint64_t ticket)
{
    FUZZ_CHECK(ticket == 1 && later.reply != NULL);
    later.reply = NULL; /* its argument has gone */
}

static void answer_late(void)
{
    if (later.done)
        finish(later.done, later.arg);
    else if (later.reply)
        reply(later.reply, later.arg);
    else if (later.routed)
        finish_route(later.routed, later.arg);
    later.done = NULL;
    later.reply = NULL;
    later.routed = NULL;
}

/* ---- one request ---- */

static void prepare(void)
{
    static const char *const routes[][2] = {{"GET", "/hook/:id"}, {"POST", "/hook/:id"}, {"all", "/any/:a/:b/*"}, {"POST", "/"}, {"PUT", "/Caf\xc3\xa9"}};
    struct hz_webhook_entry *entry;
    urcu_memb_register_thread();
    HZ_ASSERT(hz_webhooks_init(false) == 0 && hz_rest_init() == 0);
    hz_webhook_init();
    HZ_ASSERT(hz_gate_init(&hz_http_shared.gate, "horizon.example,*.lan", "https://app.example") == 0);
    hz_http_shared.gate.port = 3000;
    hz_http_shared.header_ms = hz_http_shared.idle_ms = 10000;
    for (size_t i = 0; i < HZ_COUNT_OF(routes); i++)
        for (uint32_t port = 0; port <= 4000; port += 4000) {
            struct hz_webhook_target target = {.port = port, .node = (uint32_t)i, .timeout_ms = 100};
            HZ_ASSERT(hz_webhooks_add(&target, routes[i][0], routes[i][1], i, &entry) == 0);
        }
}

/* The next line of the head, without its end; NULL at the empty one. */
static char *next_line(char **at)
{
    char *line = *at && **at != '\n' && **at ? strsep(at, "\n") : NULL;
    return line;
}

static void parse_headers(struct MHD_Connection *mhd, char **at)
{
    for (char *line; (line = next_line(at)) != NULL;) {
        char *colon = strchr(line, ':');
        if (!colon || colon == line || mhd->count == HEADERS_MOST)
            continue;
        *colon = 0;
        mhd->headers[mhd->count].name = line;
        mhd->headers[mhd->count++].value = colon + 1 + strspn(colon + 1, " ");
    }
}

/* Calls the callback as the library does until it is through: 1 queued, 0 refused, -1 still waiting. */
static int deliver(struct MHD_Connection *mhd, struct hz_http_request *request, const char *method, const char *body, size_t len)
{
    void *context = request;
    size_t none = 0, piece = (flags & FLAG_PIECES) ? 7 : len;
    if (hz_request_handle(NULL, mhd, request->storage, method, "HTTP/1.1", NULL, &none, &context) != MHD_YES)
        return 0;
    for (size_t at = 0; at < len && !mhd->queued; at += piece) {
        /* Each piece in a block of its own size. */
        size_t size = HZ_MIN(piece, len - at), left = size;
        char *copy = malloc(size);
        HZ_ASSERT(copy != NULL);
        memcpy(copy, body + at, size);
        enum MHD_Result go = hz_request_handle(NULL, mhd, request->storage, method, "HTTP/1.1", copy, &left, &context);
        free(copy);
        if (go != MHD_YES)
            return 0;
        FUZZ_CHECK(left == 0);
    }
    for (int turn = 0; turn < 15 && !mhd->queued; turn++) {
        request->server->turn++;
        if (hz_request_handle(NULL, mhd, request->storage, method, "HTTP/1.1", NULL, &none, &context) != MHD_YES)
            return 0;
        if (turn == 13 && !(flags & FLAG_GONE))
            answer_late();
    }
    return mhd->queued ? 1 : -1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool prepared;
    if (!prepared)
        prepare();
    prepared = true;
    if (size < 2)
        return 0;
    char *text = malloc(size);
    HZ_ASSERT(text != NULL);
    memcpy(text, data + 1, size - 1);
    text[size - 1] = 0;
    flags = data[0];
    later.done = NULL;
    later.reply = NULL;
    later.routed = NULL;
    struct hz_http_server server = {.magic = HZ_HTTP_SERVER_MAGIC, .running = true};
    struct MHD_Connection mhd = {.conn = {.server = &server, .port = (flags & FLAG_WORKER_PORT) ? 4000 : 0, .over_socket = flags & FLAG_SOCKET}};
    mhd.info.socket_context = &mhd.conn;
    char *at = text, *line = next_line(&at), *target = line ? strchr(line, ' ') : NULL;
    if (target) {
        *target++ = 0;
        parse_headers(&mhd, &at);
        const char *body = at && *at == '\n' ? at + 1 : text + size - 1;
        struct hz_http_request *request = hz_request_begin(&mhd.conn, &mhd, target);
        HZ_ASSERT(request != NULL);
        int end = deliver(&mhd, request, line, body, (size_t)(text + size - 1 - body));
        if (end == 1)
            hz_request_completed(request);
        else
            hz_request_abandon(request); /* with a handler that has not answered: it is told, or answers later */
        answer_late();
        FUZZ_CHECK(mhd.conn.request == NULL && server.lost == NULL && server.body_bytes == 0);
    }
    free(text);
    return 0;
}
