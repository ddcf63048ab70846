/*
 * test_webhook.c - what reaches a flow of a request, and what of its answer reaches the client: a real server and real
 * sockets; in the place of the scheduler a function that keeps what it is given and answers as the test says.
 */
#include "core/api/internal.h"
#include "core/http/http.h"
#include "core/scheduler.h"
#include "tests/harness.h"

#include "shm/err.h"
#include "shm/log.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <urcu/urcu-memb.h>

static uint32_t port;

/* ---- the scheduler of this test: the shard's thread writes, the test reads after the answer came ---- */
static struct {
    char meta[65536], type[256], body[65536];
    size_t meta_len, body_len;
    uint32_t later_ms; /* 0: answers inside the call */
    struct hz_http_reply reply;
} seen;
static _Atomic int asked, gone, fired;

struct pending {
    uv_timer_t timer;
    hz_http_reply_fn *fn;
    void *arg;
    bool dropped;
};
static struct pending *pending;

int hz_webhooks_match(uint32_t at_port, const char *method, const char *path, struct hz_webhook_match *ret_match)
{
    (void)at_port;
    memset(ret_match, 0, sizeof *ret_match);
    if (strncmp(path, "/hook/", 6) != 0)
        return 0;
    if (strcmp(method, "POST") != 0 && strcmp(method, "GET") != 0)
        return -1;
    ret_match->params = strdup("{\"id\":\"7\"}");
    return 1;
}

static void closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void on_timer(uv_timer_t *timer)
{
    struct pending *later = timer->data;
    if (!later->dropped)
        later->fn(later->arg, &seen.reply);
    uv_close((uv_handle_t *)timer, closed);
    atomic_fetch_add(&fired, 1);
}

void hz_scheduler_http(const struct hz_http_call *call, hz_http_reply_fn *fn, void *arg, uint64_t *ret_ticket)
{
    seen.meta_len = HZ_MIN(call->meta_len, sizeof seen.meta - 1);
    memcpy(seen.meta, call->meta, seen.meta_len);
    seen.meta[seen.meta_len] = 0;
    seen.body_len = HZ_MIN(call->body_len, sizeof seen.body - 1);
    memcpy(seen.body, call->body, seen.body_len);
    seen.body[seen.body_len] = 0;
    snprintf(seen.type, sizeof seen.type, "%.*s", (int)call->type_len, call->type);
    *ret_ticket = 4711;
    atomic_fetch_add(&asked, 1);
    if (!seen.later_ms) {
        fn(arg, &seen.reply);
        return;
    }
    pending = calloc(1, sizeof *pending);
    if (!pending)
        abort();
    pending->fn = fn;
    pending->arg = arg;
    uv_timer_init(hz_shard_loop(hz_shard_self()), &pending->timer);
    pending->timer.data = pending;
    uv_timer_start(&pending->timer, on_timer, seen.later_ms, 0);
}

void hz_scheduler_http_gone(uint64_t ticket)
{
    if (ticket == 4711)
        atomic_fetch_add(&gone, 1);
    pending->dropped = true;
}

/* ---- server and client ---- */
static int begin(struct hz_shard *shard, void *arg)
{
    (void)arg;
    return hz_http_begin(shard);
}

static void end(struct hz_shard *shard, void *arg)
{
    (void)arg;
    hz_http_end(shard);
}

HZ_SUITE_INIT(webhook)
{
    struct hz_http_options options = {.host = "127.0.0.1"};
    hz_log_set_level(HZ_LOG_ERROR);
    urcu_memb_register_thread();
    hz_webhook_init();
    if (hz_shard_init(1) || hz_http_bind(&options, &port) || hz_shard_start(begin, NULL)) {
        fprintf(stderr, "cannot start: %s\n", hz_err_last());
        exit(EXIT_FAILURE);
    }
}

HZ_SUITE_CLEANUP(webhook)
{
    hz_shard_stop(end, NULL);
    hz_http_fini();
    hz_shard_fini();
    urcu_memb_unregister_thread();
}

HZ_SETUP(webhook)
{
    static const char type[] = "text/plain", body[] = "hola";
    memset(&seen, 0, sizeof seen);
    seen.reply = (struct hz_http_reply){
            .status = 200, .type = type, .type_len = sizeof type - 1, .body = body, .body_len = sizeof body - 1};
    atomic_store(&asked, 0);
    atomic_store(&gone, 0);
}

static char reply[1 << 16];

static int dial(const char *request, size_t len)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    HZ_ASSERT_EQ(connect(fd, (const struct sockaddr *)&address, sizeof address), 0);
    HZ_ASSERT_EQ(send(fd, request, len, MSG_NOSIGNAL), (ssize_t)len);
    return fd;
}

/* first: request line; headers: lines with CRLF; body. */
static void ask(const char *first, const char *headers, const char *body, size_t len)
{
    char request[8192];
    int head = snprintf(request, sizeof request,
            "%s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: %zu\r\n%s\r\n", first, len,
            headers);
    memcpy(request + head, body, len);
    int fd = dial(request, (size_t)head + len);
    size_t used = 0;
    for (;;) {
        struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
        ssize_t n = poll(&poll_fd, 1, 5000) > 0 ? recv(fd, reply + used, sizeof reply - 1 - used, 0) : -1;
        if (n <= 0)
            break;
        used += (size_t)n;
    }
    reply[used] = 0;
    close(fd);
}

#define POST(headers, body) ask("POST /hook/7?a=1&b[c]=x%20y&a=2", headers, body, sizeof(body) - 1)

/* The header as the flow sees it; NULL: it does not. */
static char *seen_header(const char *headers, const char *name)
{
    POST(headers, "{}");
    json_t *meta = json_loads(seen.meta, 0, NULL);
    HZ_ASSERT_NOT_NULL(meta);
    const char *text = json_string_value(json_object_get(json_object_get(meta, "headers"), name));
    char *copy = text ? strdup(text) : NULL;
    json_decref(meta);
    return copy;
}

static void check_header(const char *headers, const char *name, const char *wanted)
{
    char *text = seen_header(headers, name);
    if (wanted)
        HZ_ASSERT_STR_EQ(text ? text : "none", wanted);
    else
        HZ_ASSERT_NULL(text);
    free(text);
}

HZ_TEST(webhook, logins_of_people_and_programs_are_not_for_flows)
{
    check_header("Cookie: a=1; horizon_3000=SECRET; b=2\r\n", "cookie", "a=1; b=2");
    check_header("Cookie: horizon_3000=SECRET\r\n", "cookie", NULL);
    check_header("Cookie:  ;; horizon_1=x;c=3;horizon_2=y\r\nCookie: horizon_3=z\r\ncookie: d=4\r\n", "cookie", "c=3; d=4");
    check_header("Cookie: my_horizon_1=x; Horizon=y\r\n", "cookie", "my_horizon_1=x; Horizon=y");
    check_header("Authorization: Bearer hzt_SECRET\r\n", "authorization", NULL);
    check_header("authorization: bearer   hzt_SECRET\r\n", "authorization", NULL);
    check_header("Authorization: Bearer eyJhbGciOi\r\n", "authorization", "Bearer eyJhbGciOi");
    check_header("Authorization: Basic aHp0Xw==\r\n", "authorization", "Basic aHp0Xw==");
}

HZ_TEST(webhook, the_flow_sees_the_parts_of_the_request)
{
    POST("Content-Type: application/json\r\nX-Two: 1\r\nx-two: 2\r\nCookie: a=1\r\nX-Latin: \xe1\r\n", "{\"n\": 1}");
    json_t *meta = json_loads(seen.meta, 0, NULL);
    HZ_ASSERT_NOT_NULL(meta);
    const json_t *headers = json_object_get(meta, "headers");
    HZ_ASSERT_STR_EQ(json_string_value(json_object_get(headers, "x-two")), "1, 2");
    HZ_ASSERT_STR_EQ(json_string_value(json_object_get(headers, "host")), "localhost");
    HZ_ASSERT_STR_EQ(json_string_value(json_object_get(headers, "x-latin")), "\xc3\xa1");
    HZ_ASSERT_STR_EQ(json_string_value(json_object_get(json_object_get(meta, "params"), "id")), "7");
    char *query = json_dumps(json_object_get(meta, "query"), JSON_COMPACT);
    HZ_ASSERT_STR_EQ(query, "{\"a\":[\"1\",\"2\"],\"b\":{\"c\":\"x y\"}}");
    free(query);
    HZ_ASSERT_STR_EQ(json_string_value(json_object_get(meta, "method")), "POST");
    HZ_ASSERT_STR_EQ(json_string_value(json_object_get(meta, "endpoint")), "/hook/7");
    HZ_ASSERT_TRUE(json_is_integer(json_object_get(meta, "time")));
    HZ_ASSERT_NULL(json_object_get(meta, "body"));
    HZ_ASSERT_STR_EQ(seen.body, "{\"n\": 1}");
    HZ_ASSERT_STR_EQ(seen.type, "application/json");
    json_decref(meta);
}

HZ_TEST(webhook, a_broken_json_body_is_400_and_reaches_no_flow)
{
    POST("Content-Type: application/json; charset=utf-8\r\n", "{\"n\": 1");
    HZ_ASSERT_STR_HAS(reply, "HTTP/1.1 400");
    HZ_ASSERT_EQ(atomic_load(&asked), 0);
    POST("Content-Type: application/vnd.x+json\r\n", "{no}");
    HZ_ASSERT_STR_HAS(reply, "HTTP/1.1 400");
    POST("Content-Type: text/plain\r\n", "{no}");
    HZ_ASSERT_STR_HAS(reply, "HTTP/1.1 200");
    HZ_ASSERT_STR_EQ(seen.body, "{no}");
}

HZ_TEST(webhook, an_absent_body_is_absent)
{
    POST("Content-Type: application/json\r\n", "");
    HZ_ASSERT_STR_HAS(reply, "HTTP/1.1 200");
    HZ_ASSERT_STR_HAS_NOT(seen.meta, "\"body\"");
    HZ_ASSERT_EQ(seen.body_len, 0);
}

HZ_TEST(webhook, a_form_becomes_the_body)
{
    POST("Content-Type: application/x-www-form-urlencoded\r\n", "u[n]=Ana&u[e]=30&t=a&t=b");
    HZ_ASSERT_STR_HAS(seen.meta, "\"body\":{\"u\":{\"n\":\"Ana\",\"e\":\"30\"},\"t\":[\"a\",\"b\"]}");
    HZ_ASSERT_EQ(seen.body_len, 0);
}

HZ_TEST(webhook, files_of_a_multipart_form_come_in_base64)
{
    POST("Content-Type: multipart/form-data; boundary=xx\r\n",
            "--xx\r\nContent-Disposition: form-data; name=\"a[b]\"\r\n\r\nuno\r\n"
            "--xx\r\nContent-Disposition: form-data; name=\"f\"; filename=\"t.bin\"\r\nContent-Type: "
            "image/png\r\n\r\n\xff\x00\xfe\r\n--xx--\r\n");
    HZ_ASSERT_STR_HAS(seen.meta, "\"body\":{\"a\":{\"b\":\"uno\"}}");
    HZ_ASSERT_STR_HAS(seen.meta,
            "\"files\":{\"f\":{\"name\":\"t.bin\",\"size\":3,\"mimetype\":\"image/png\",\"data\":\"/wD+\"}}");
    POST("Content-Type: multipart/form-data; boundary=xx\r\n", "--xx\r\nContent-Dispos");
    HZ_ASSERT_STR_HAS(reply, "HTTP/1.1 400");
}

HZ_TEST(webhook, the_answer_of_the_flow_comes_as_it_is)
{
    static const char headers[] = "X-A: b\nAccess-Control-Allow-Origin: https://a.example\n",
                      type[] = "application/json", body[] = "{\"x\":1}";
    seen.reply = (struct hz_http_reply){.status = 201,
            .type = type,
            .type_len = sizeof type - 1,
            .body = body,
            .body_len = sizeof body - 1,
            .headers = headers,
            .headers_len = sizeof headers - 1};
    POST("", "x");
    HZ_ASSERT_STR_HAS(reply, "HTTP/1.1 201 Created");
    HZ_ASSERT_STR_HAS(reply, "Content-Type: application/json; charset=utf-8\r\n");
    HZ_ASSERT_STR_HAS(reply, "X-A: b\r\n");
    HZ_ASSERT_STR_HAS(reply, "Access-Control-Allow-Origin: https://a.example\r\n");
    HZ_ASSERT_STR_HAS(reply, "X-Content-Type-Options: nosniff\r\n");
    HZ_ASSERT_STR_HAS(reply, "\r\n\r\n{\"x\":1}");
}

static void answer_of_type(const char *type)
{
    seen.reply.type = type;
    seen.reply.type_len = strlen(type);
    POST("", "x");
}

HZ_TEST(webhook, text_types_get_a_charset_once)
{
    answer_of_type("text/html");
    HZ_ASSERT_STR_HAS(reply, "Content-Type: text/html; charset=utf-8\r\n");
    answer_of_type("text/plain; charset=iso-8859-1");
    HZ_ASSERT_STR_HAS(reply, "Content-Type: text/plain; charset=iso-8859-1\r\n");
    answer_of_type("image/png");
    HZ_ASSERT_STR_HAS(reply, "Content-Type: image/png\r\n");
    HZ_ASSERT_STR_HAS(reply, "Access-Control-Allow-Origin: *\r\n");
}

HZ_TEST(webhook, a_busy_answer_says_when_to_come_again)
{
    seen.reply.status = 503;
    seen.reply.retry_after_s = 2;
    POST("", "x");
    HZ_ASSERT_STR_HAS(reply, "HTTP/1.1 503");
    HZ_ASSERT_STR_HAS(reply, "Retry-After: 2\r\n");
    seen.reply.status = 100;
    POST("", "x");
    HZ_ASSERT_STR_HAS(reply, "HTTP/1.1 500");
    HZ_ASSERT_STR_HAS(reply, "Error en respuesta ");
}

HZ_TEST(webhook, unknown_paths_and_methods_are_a_page)
{
    ask("GET /other", "", "", 0);
    HZ_ASSERT_STR_HAS(reply, "HTTP/1.1 404");
    HZ_ASSERT_STR_HAS(reply, "text/html");
    ask("DELETE /hook/7", "", "", 0);
    HZ_ASSERT_STR_HAS(reply, "HTTP/1.1 404");
    HZ_ASSERT_EQ(atomic_load(&asked), 0);
    ask("OPTIONS /hook/7", "Access-Control-Request-Headers: x-a, x-b\r\n", "", 0);
    HZ_ASSERT_STR_HAS(reply, "HTTP/1.1 204");
    HZ_ASSERT_STR_HAS(reply, "Allow: GET, HEAD, POST\r\n");
    HZ_ASSERT_STR_HAS(reply, "Access-Control-Allow-Headers: x-a, x-b\r\n");
    ask("HEAD /hook/7", "", "", 0);
    HZ_ASSERT_STR_HAS(reply, "HTTP/1.1 200");
    HZ_ASSERT_STR_HAS(seen.meta, "\"method\":\"HEAD\"");
}

static bool is_gone(void *arg)
{
    (void)arg;
    return atomic_load(&gone) > 0;
}

static bool is_fired(void *arg)
{
    (void)arg;
    return atomic_load(&fired) > 0;
}

HZ_TEST(webhook, late_answers_come_and_clients_that_leave_are_told)
{
    seen.later_ms = 100;
    POST("", "x");
    HZ_ASSERT_STR_HAS(reply, "hola");
    HZ_ASSERT_EQ(atomic_load(&gone), 0);
    static const char request[] = "GET /hook/7 HTTP/1.1\r\nHost: localhost\r\n\r\n";
    seen.later_ms = 2500;
    atomic_store(&fired, 0);
    int fd = dial(request, sizeof request - 1);
    usleep(50000);
    close(fd);
    HZ_ASSERT_TRUE(hz_test_wait(is_gone, NULL, 4000));
    HZ_ASSERT_TRUE(hz_test_wait(is_fired, NULL, 8000)); /* the answer would have come now, and is not given */
    HZ_ASSERT_EQ(atomic_load(&gone), 1);
}
