/*
 * test_http_server.c - the server over real sockets: two shards in this process, curl and raw sockets as clients. The
 * first tests pin what the server takes from the library for granted.
 */
#include "core/http/internal.h"
#include "tests/harness.h"

#include "shm/err.h"
#include "shm/log.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <urcu/urcu-memb.h>

enum { SHARDS = 2, HEADER_MS = 1500, BODY_MS = 1500, BODIES_MAX = 64 << 20 };

static uint32_t port;
static _Atomic int gone_count, late_count;

/* ---- routes of the test ---- */
static void answer_text(struct hz_http_request *request, uint32_t status, const char *text)
{
    struct hz_http_response response = {.status = status, .type = "text/plain", .body = text, .len = strlen(text)};
    hz_http_respond(request, &response);
}

static void on_now(struct hz_http_request *request, void *arg)
{
    (void)arg;
    const char *q = hz_http_query(request, "q"), *id = hz_http_param(request, "id");
    char text[256];
    snprintf(text, sizeof text, "%s %s id=%s q=%s", hz_http_method(request), hz_http_path(request), id ? id : "-",
            q ? q : "-");
    answer_text(request, 200, text);
}

static void on_echo(struct hz_http_request *request, void *arg)
{
    (void)arg;
    struct hz_http_response response = {.status = 200, .type = "application/octet-stream"};
    response.body = hz_http_body(request, &response.len);
    hz_http_respond(request, &response);
}

struct later {
    uv_timer_t timer;
    struct hz_http_request *request;
};

static void later_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void on_timer(uv_timer_t *timer)
{
    struct later *later = timer->data;
    atomic_fetch_add(&late_count, 1);
    answer_text(later->request, 200, "later");
    uv_close((uv_handle_t *)timer, later_closed);
}

static void on_gone(void *arg)
{
    struct later *later = arg;
    atomic_fetch_add(&gone_count, 1);
    uv_close((uv_handle_t *)&later->timer, later_closed);
}

/* Answers after ?ms=, long enough for the connection to be suspended. */
static void on_later(struct hz_http_request *request, void *arg)
{
    struct later *later = calloc(1, sizeof *later);
    const char *ms = hz_http_query(request, "ms");
    if (!later)
        abort();
    later->request = request;
    if (!arg)
        hz_http_on_gone(request, on_gone, later);
    uv_timer_init(hz_shard_loop(hz_shard_self()), &later->timer);
    later->timer.data = later;
    uv_timer_start(&later->timer, on_timer, ms ? strtoul(ms, NULL, 10) : 0, 0);
}

static void on_flow(struct hz_http_request *request, void *arg)
{
    (void)arg;
    static const char headers[] =
            "X-Flow: yes\nAccess-Control-Allow-Origin: https://a.example\nContent-Length: 5\nbad line\nX-Empty:\n";
    char text[128];
    int len = snprintf(text, sizeof text, "port %u %s", hz_http_local_port(request), hz_http_raw_query(request));
    hz_http_respond(request, &(struct hz_http_response){.status = 201,
                                     .type = "text/plain",
                                     .body = text,
                                     .len = (size_t)len,
                                     .headers = headers,
                                     .headers_len = sizeof headers - 1,
                                     .webhook = true});
}

static void on_public(struct hz_http_request *request, void *arg)
{
    (void)arg;
    answer_text(request, 200, hz_http_over_socket(request) ? "socket" : "open");
}

static void on_problem(struct hz_http_request *request, void *arg)
{
    (void)arg;
    hz_http_problem(request, 404, "no \"such\"\n worker");
}

struct parts {
    char text[1024];
};

static bool on_part(
        void *arg, const char *name, const char *file, const char *type, const char *data, uint64_t offset, size_t len)
{
    struct parts *parts = arg;
    size_t used = strlen(parts->text);
    snprintf(parts->text + used, sizeof parts->text - used, "[%s|%s|%s|%u|%.*s]", name, file ? file : "-",
            type ? type : "-", (unsigned)offset, (int)len, data);
    return true;
}

static void on_form(struct hz_http_request *request, void *arg)
{
    (void)arg;
    struct parts parts = {""};
    if (hz_http_multipart(request, on_part, &parts))
        hz_http_problem(request, 400, hz_err_last());
    else
        answer_text(request, 200, parts.text);
}

/* ---- the server of all tests ---- */
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

static const char *socket_path(void)
{
    return hz_test_path("%s/horizon.sock", hz_test_dir());
}

static void start_server(void)
{
    struct hz_http_options options = {.host = "127.0.0.1",
            .port = 0,
            .socket_path = socket_path(),
            .allowed_origin = "https://app.example",
            .header_timeout_ms = HEADER_MS,
            .body_timeout_ms = BODY_MS,
            .bodies_max = BODIES_MAX,
            .idle_timeout_ms = 3000};
    union {
        const char *given;
        void *wanted;
    } keep = {"keep"};
    int err = hz_shard_init(SHARDS);
    err = err ? err : hz_http_route("GET", "/now/:id", on_now, NULL);
    err = err ? err : hz_http_route("POST", "/echo", on_echo, NULL);
    err = err ? err : hz_http_route("GET", "/later", on_later, NULL);
    err = err ? err : hz_http_route("GET", "/stubborn", on_later, keep.wanted);
    err = err ? err : hz_http_route("GET", "/problem", on_problem, NULL);
    err = err ? err : hz_http_route("POST", "/form", on_form, NULL);
    err = err ? err : hz_http_route_open("GET", "/public", on_public, NULL);
    hz_http_fallback(on_flow, NULL);
    err = err ? err : hz_http_bind(&options, &port);
    err = err ? err : hz_shard_start(begin, NULL);
    if (err) {
        fprintf(stderr, "cannot start: %s\n", hz_err_last());
        exit(EXIT_FAILURE);
    }
}

HZ_SUITE_INIT(http_server)
{
    hz_log_set_level(HZ_LOG_ERROR);
    urcu_memb_register_thread();
    start_server();
}

HZ_SUITE_CLEANUP(http_server)
{
    hz_shard_stop(end, NULL);
    hz_http_fini();
    hz_shard_fini();
    urcu_memb_unregister_thread();
}

/* ---- clients ---- */
static char reply[1 << 16];

static int dial(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    HZ_ASSERT_EQ(connect(fd, (const struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static void say(int fd, const char *text)
{
    HZ_ASSERT_EQ(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

/* Reads until `part` came, the other side closed, or the time is over. True: part came. */
static bool hear(int fd, const char *part, int timeout_ms)
{
    size_t used = 0;
    uint64_t until = hz_test_now_ms() + (uint64_t)timeout_ms;
    reply[0] = 0;
    while (used < sizeof reply - 1) {
        uint64_t now = hz_test_now_ms();
        struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
        if (now >= until || poll(&poll_fd, 1, (int)(until - now)) <= 0)
            return false;
        ssize_t n = recv(fd, reply + used, sizeof reply - 1 - used, 0);
        if (n <= 0)
            return false;
        used += (size_t)n;
        reply[used] = 0;
        if (part && strstr(reply, part))
            return true;
    }
    return false;
}

static const char *ask(const char *request, const char *part)
{
    int fd = dial();
    say(fd, request);
    hear(fd, part, 5000);
    close(fd);
    return reply;
}

static const char *get(const char *path, const char *more_headers)
{
    char text[1024];
    snprintf(
            text, sizeof text, "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n%s\r\n", path, more_headers);
    return ask(text, NULL);
}

/* ---- what the library promises ---- */
struct pin {
    int calls;
    bool answer;
};

static enum MHD_Result pinned(void *cls, struct MHD_Connection *mhd, const char *url, const char *method,
        const char *version, const char *data, size_t *len, void **context)
{
    (void)url, (void)method, (void)version, (void)data, (void)len;
    struct pin *pin = cls;
    if (!*context) {
        *context = pin;
        return MHD_YES;
    }
    pin->calls++;
    if (!pin->answer)
        return MHD_YES;
    struct MHD_Response *response = MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
    enum MHD_Result result = MHD_queue_response(mhd, 204, response);
    MHD_destroy_response(response);
    return result;
}

HZ_TEST(http_server, the_library_asks_an_unanswered_request_again_at_each_run_and_reports_work)
{
    struct pin pin = {0};
    int pair[2];
    struct sockaddr_in address = {.sin_family = AF_INET};
    HZ_ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    struct MHD_Daemon *daemon = MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_ALLOW_SUSPEND_RESUME, 0,
            NULL, NULL, pinned, &pin, MHD_OPTION_END);
    HZ_ASSERT_NOT_NULL(daemon);
    HZ_ASSERT_EQ(MHD_add_connection(daemon, pair[0], (const struct sockaddr *)&address, sizeof address), MHD_YES);
    say(pair[1], "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    for (int i = 0; i < 20 && pin.calls == 0; i++)
        MHD_run(daemon);
    HZ_ASSERT_GE(pin.calls, 1);
    for (int i = 0; i < 10; i++) {
        MHD_UNSIGNED_LONG_LONG timeout = 1;
        int before = pin.calls;
        HZ_ASSERT_EQ(MHD_get_timeout(daemon, &timeout), MHD_YES);
        HZ_ASSERT_EQ(timeout, 0);
        MHD_run(daemon);
        HZ_ASSERT_GT(pin.calls, before);
    }
    pin.answer = true;
    MHD_run(daemon);
    HZ_ASSERT_TRUE(hear(pair[1], "204", 1000));
    close(pair[1]);
    MHD_stop_daemon(daemon);
}

/* ---- requests ---- */
HZ_TEST(http_server, a_route_gets_its_parameters_and_query)
{
    get("/now/a%20b?x=1&q=%C3%B1+o&q=2", "");
    HZ_ASSERT_STR_HAS(reply, "HTTP/1.1 200 OK");
    HZ_ASSERT_STR_HAS(reply, "GET /now/a b id=a b q=\xc3\xb1 o");
    HZ_ASSERT_STR_HAS(reply, "X-Content-Type-Options: nosniff");
    HZ_ASSERT_STR_HAS(reply, "frame-ancestors 'none'");
}

HZ_TEST(http_server, a_late_answer_reaches_its_suspended_connection)
{
    uint64_t start = hz_test_now_ms();
    get("/later?ms=150", "");
    HZ_ASSERT_STR_HAS(reply, "later");
    HZ_ASSERT_GE(hz_test_now_ms() - start, 149);
    get("/later?ms=0", "");
    HZ_ASSERT_STR_HAS(reply, "later");
}

HZ_TEST(http_server, pipelined_requests_are_answered_in_order)
{
    ask("GET /later?ms=60 HTTP/1.1\r\nHost: localhost\r\n\r\nGET /now/2 HTTP/1.1\r\nHost: localhost\r\n\r\n"
        "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nthird"
        "GET /now/4 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
            NULL);
    const char *first = strstr(reply, "later"), *second = strstr(reply, "id=2"), *third = strstr(reply, "third"),
               *fourth = strstr(reply, "id=4");
    HZ_ASSERT_TRUE(first && second && third && fourth);
    HZ_ASSERT_TRUE(first < second && second < third && third < fourth);
}

HZ_TEST(http_server, unknown_methods_and_paths_have_their_status)
{
    ask("DELETE /echo HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", NULL);
    HZ_ASSERT_STR_HAS(reply, "HTTP/1.1 405");
    HZ_ASSERT_STR_HAS(reply, "Allow: POST");
    HZ_ASSERT_STR_HAS(reply, "application/problem+json");
    get("/elsewhere?a=1", "");
    HZ_ASSERT_STR_HAS(reply, "HTTP/1.1 201"); /* the fallback's */
    HZ_ASSERT_STR_HAS(reply, "port 0 a=1");
    get("/%ff", "");
    HZ_ASSERT_STR_HAS(reply, "HTTP/1.1 400");
    get("/problem", "");
    HZ_ASSERT_STR_HAS(reply, "{\"type\":\"about:blank\",\"title\":\"Not Found\",\"status\":404,\"detail\":\"no "
                             "\\\"such\\\"\\u000a worker\"}");
    ask("HEAD /now/1 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", NULL);
    HZ_ASSERT_STR_HAS(reply, "HTTP/1.1 200");
    HZ_ASSERT_STR_HAS_NOT(reply, "id=1");
    ask("ABCDEFGHIJKLMNOPQRSTUVWXYZ /now/1 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", NULL);
    HZ_ASSERT_STR_HAS(reply, "HTTP/1.1 501");
}

HZ_TEST(http_server, long_headers_are_taken_and_endless_ones_refused)
{
    static const char first[] = "GET /now/1 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n";
    static char headers[40000] = "X-Long: ";
    memset(headers + 8, 'x', sizeof headers - 8);
    char request[sizeof headers + 256];
    for (size_t len = 6000; len <= 36000; len += 30000) {
        snprintf(request, sizeof request, "%s%.*s\r\n\r\n", first, (int)len, headers);
        int fd = dial();
        send(fd, request, strlen(request), MSG_NOSIGNAL);
        hear(fd, "\r\n", 3000);
        close(fd);
        HZ_ASSERT_EQ(strncmp(reply, "HTTP/1.1 200", 12) == 0, len == 6000);
    }
}

HZ_TEST(http_server, a_strange_host_is_refused_before_routing)
{
    ask("GET /now/1 HTTP/1.1\r\nHost: attacker.example\r\nConnection: close\r\n\r\n", NULL);
    HZ_ASSERT_STR_HAS(reply, "HTTP/1.1 421");
    ask("GET /nowhere HTTP/1.1\r\nHost: attacker.example\r\nConnection: close\r\n\r\n", NULL);
    HZ_ASSERT_STR_HAS(reply, "HTTP/1.1 421");
    ask("GET /public HTTP/1.0\r\n\r\n", NULL);
    HZ_ASSERT_STR_HAS_NOT(reply, " 200 ");
}

HZ_TEST(http_server, a_strange_origin_is_refused_on_routes_only)
{
    get("/now/1", "Origin: https://attacker.example\r\n");
    HZ_ASSERT_STR_HAS(reply, "HTTP/1.1 403");
    get("/now/1", "Origin: null\r\n");
    HZ_ASSERT_STR_HAS(reply, "HTTP/1.1 403");
    get("/now/1", "Origin: https://app.example\r\n");
    HZ_ASSERT_STR_HAS(reply, "HTTP/1.1 200");
    HZ_ASSERT_STR_HAS(reply, "Access-Control-Allow-Origin: https://app.example\r\n");
    HZ_ASSERT_STR_HAS(reply, "Vary: Origin");
    get("/now/1", "Origin: http://localhost\r\n");
    HZ_ASSERT_STR_HAS(reply, "HTTP/1.1 200");
    get("/public", "Origin: https://attacker.example\r\n");
    HZ_ASSERT_STR_HAS(reply, "HTTP/1.1 200");
    HZ_ASSERT_STR_HAS(reply, "Access-Control-Allow-Origin: *\r\n");
    get("/a/webhook", "Origin: https://attacker.example\r\n");
    HZ_ASSERT_STR_HAS(reply, "HTTP/1.1 201");
}

HZ_TEST(http_server, a_preflight_is_answered_for_an_allowed_origin)
{
    ask("OPTIONS /echo HTTP/1.1\r\nHost: localhost\r\nOrigin: https://app.example\r\nConnection: close\r\n\r\n", NULL);
    HZ_ASSERT_STR_HAS(reply, "HTTP/1.1 204");
    HZ_ASSERT_STR_HAS(reply, "Access-Control-Allow-Methods: POST");
    HZ_ASSERT_STR_HAS(reply, "Access-Control-Allow-Origin: https://app.example\r\n");
    ask("OPTIONS /echo HTTP/1.1\r\nHost: localhost\r\nOrigin: https://attacker.example\r\nConnection: close\r\n\r\n",
            NULL);
    HZ_ASSERT_STR_HAS(reply, "HTTP/1.1 403");
}

HZ_TEST(http_server, headers_of_a_flow_win_over_ours_but_not_over_the_message)
{
    get("/hook", "");
    HZ_ASSERT_STR_HAS(reply, "X-Flow: yes\r\n");
    HZ_ASSERT_STR_HAS(reply, "Access-Control-Allow-Origin: https://a.example\r\n");
    HZ_ASSERT_STR_HAS_NOT(reply, "Access-Control-Allow-Origin: *");
    HZ_ASSERT_STR_HAS(reply, "Content-Length: 7\r\n");
    HZ_ASSERT_STR_HAS_NOT(reply, "X-Empty");
    HZ_ASSERT_STR_HAS(reply, "frame-ancestors 'self'");
}

static char *big_file(size_t len)
{
    char *data = malloc(len);
    if (!data)
        abort();
    for (size_t i = 0; i < len; i++)
        data[i] = (char)('a' + i % 26);
    hz_test_write_file(hz_test_path("%s/big", hz_test_dir()), data, len);
    return data;
}

static int curl_post(struct hz_child *child, const char *path, const char *more)
{
    return hz_child_run(child,
            HZ_ARGV("curl", "-sS", "-m", "30", "-o", hz_test_path("%s/answer", hz_test_dir()), "-w", "%{http_code}",
                    "-H", more, "--data-binary", hz_test_path("@%s/big", hz_test_dir()),
                    hz_test_path("http://127.0.0.1:%u%s", port, path)),
            NULL, 40000);
}

HZ_TEST(http_server, a_large_body_arrives_whole)
{
    enum { SIZE = 9 << 20 };
    char *data = big_file(SIZE);
    struct hz_child child;
    for (int chunked = 0; chunked < 2; chunked++) {
        HZ_ASSERT_EQ(curl_post(&child, "/echo", chunked ? "Transfer-Encoding: chunked" : "X-A: b"), 0);
        HZ_ASSERT_STR_EQ(child.out, "200");
        hz_child_fini(&child);
        size_t len;
        char *back = hz_test_read_file(hz_test_path("%s/answer", hz_test_dir()), &len);
        HZ_ASSERT_EQ(len, SIZE);
        HZ_ASSERT_MEM_EQ(back, data, SIZE);
        free(back);
    }
    free(data);
}

HZ_TEST(http_server, a_body_above_the_limit_is_413)
{
    struct hz_child child;
    free(big_file((17u << 20)));
    curl_post(&child, "/echo", "X-A: b");
    HZ_ASSERT_STR_EQ(child.out, "413");
    hz_child_fini(&child);
    curl_post(&child, "/echo", "Transfer-Encoding: chunked");
    HZ_ASSERT_STR_EQ(child.out, "413");
    hz_child_fini(&child);
    curl_post(&child, "/webhook", "X-A: b"); /* of the fallback: up to 64 MiB */
    HZ_ASSERT_STR_EQ(child.out, "201");
    hz_child_fini(&child);
    ask("POST /webhook HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 67108865\r\n\r\n", NULL);
    HZ_ASSERT_STR_HAS(reply, "HTTP/1.1 413");
}

/* A request whose body of `size` bytes stops short of its end by 100. */
static int post_most(const char *path, size_t size)
{
    static char block[1 << 16];
    int fd = dial();
    say(fd, hz_test_path("POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %zu\r\n\r\n", path, size));
    for (size_t left = size - 100; left > 0;) {
        ssize_t n = send(fd, block, HZ_MIN(left, sizeof block), MSG_NOSIGNAL);
        HZ_ASSERT_GT(n, 0);
        left -= (size_t)n;
    }
    return fd;
}

HZ_TEST(http_server, a_body_that_came_fast_earns_no_hours)
{
    int slow = post_most("/echo", 1 << 20), steady = dial();
    uint64_t start = hz_test_now_ms();
    bool closed = false;
    say(steady, "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 20000\r\n\r\n");
    size_t sent = 0;
    while (!closed && hz_test_now_ms() - start < 8000) {
        struct pollfd poll_fd = {.fd = slow, .events = POLLIN};
        closed = send(slow, "x", 1, MSG_NOSIGNAL) < 0 ||
                 (poll(&poll_fd, 1, 100) > 0 && recv(slow, reply, sizeof reply, 0) <= 0);
        sent += 400;
        say(steady, hz_test_path("%400d", 1)); /* 4 KiB a second: above what is asked for */
    }
    HZ_ASSERT_TRUE(closed);
    HZ_ASSERT_GE(hz_test_now_ms() - start, BODY_MS - 100);
    for (; sent < 20000; sent += 400)
        say(steady, hz_test_path("%400d", 1));
    HZ_ASSERT_TRUE(hear(steady, "HTTP/1.1 200", 5000));
    close(slow);
    close(steady);
}

HZ_TEST(http_server, unfinished_bodies_do_not_keep_smaller_ones_out)
{
    enum { COUNT = 12 };
    int fds[COUNT];
    struct hz_child child;
    for (int i = 0; i < COUNT; i++)
        fds[i] = post_most(i % 2 ? "/echo" : "/webhook", 15 << 20);
    free(big_file(1 << 20));
    for (int i = 0; i < 6; i++) { /* on one shard or the other */
        curl_post(&child, i % 2 ? "/echo" : "/webhook", "X-A: b");
        HZ_ASSERT_STR_EQ(child.out, i % 2 ? "200" : "201");
        hz_child_fini(&child);
    }
    for (int i = 0; i < COUNT; i++)
        close(fds[i]);
}

HZ_TEST(http_server, two_lengths_of_one_body_are_400)
{
    ask("POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /now/1 HTTP/1.1\r\nHost: "
        "localhost\r\n\r\n", NULL);
    HZ_ASSERT_STR_HAS(reply, "HTTP/1.1 400");
    HZ_ASSERT_STR_HAS_NOT(reply, " 200 "); /* what follows is not taken for a request */
}

HZ_TEST(http_server, headers_that_come_too_slowly_end_the_connection)
{
    int fd = dial();
    uint64_t start = hz_test_now_ms();
    bool closed = false;
    say(fd, "GET /now/1 HTTP/1.1\r\n");
    while (!closed && hz_test_now_ms() - start < 8000) { /* a header line each 100 ms: never idle, never complete */
        struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
        closed = send(fd, "X: y\r\n", 6, MSG_NOSIGNAL) < 0 ||
                 (poll(&poll_fd, 1, 100) > 0 && recv(fd, reply, sizeof reply, 0) <= 0);
    }
    close(fd);
    HZ_ASSERT_TRUE(closed);
    HZ_ASSERT_GE(hz_test_now_ms() - start, HEADER_MS - 100);
    HZ_ASSERT_LT(hz_test_now_ms() - start, HEADER_MS + 3000);
    fd = dial(); /* says nothing at all */
    HZ_ASSERT_FALSE(hear(fd, "HTTP", HEADER_MS + 3000));
    HZ_ASSERT_EQ(recv(fd, reply, sizeof reply, MSG_DONTWAIT), 0);
    close(fd);
}

static bool someone_gone(void *arg)
{
    (void)arg;
    return atomic_load(&gone_count) > 0;
}

HZ_TEST(http_server, a_client_that_leaves_is_told_to_the_handler)
{
    atomic_store(&gone_count, 0);
    atomic_store(&late_count, 0);
    int fd = dial();
    say(fd, "GET /later?ms=5000 HTTP/1.1\r\nHost: localhost\r\n\r\n");
    usleep(50000);
    close(fd);
    HZ_ASSERT_TRUE(hz_test_wait(someone_gone, NULL, 4000));
    HZ_ASSERT_EQ(atomic_load(&gone_count), 1);
    HZ_ASSERT_EQ(atomic_load(&late_count), 0);
}

static bool someone_late(void *arg)
{
    (void)arg;
    return atomic_load(&late_count) > 0;
}

HZ_TEST(http_server, an_answer_for_a_client_that_left_is_dropped)
{
    atomic_store(&late_count, 0);
    int fd = dial();
    say(fd, "GET /stubborn?ms=1500 HTTP/1.1\r\nHost: localhost\r\n\r\n");
    usleep(50000);
    struct linger hard = {.l_onoff = 1};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    close(fd);
    HZ_ASSERT_TRUE(hz_test_wait(someone_late, NULL, 5000));
    get("/now/1", "");
    HZ_ASSERT_STR_HAS(reply, "HTTP/1.1 200");
}

HZ_TEST(http_server, many_connections_wait_at_once_and_all_are_answered)
{
    enum { MANY = 200 };
    static int fds[MANY];
    for (int i = 0; i < MANY; i++) {
        fds[i] = dial();
        say(fds[i], i % 2 ? "GET /later?ms=100 HTTP/1.1\r\nHost: localhost\r\n\r\n"
                          : "GET /later?ms=1 HTTP/1.1\r\nHost: localhost\r\n\r\n");
    }
    for (int i = 0; i < MANY; i++) {
        HZ_ASSERT_TRUE(hear(fds[i], "later", 10000));
        close(fds[i]);
    }
}

static const char *over_socket(const char *text)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", socket_path());
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    HZ_ASSERT_EQ(connect(fd, (const struct sockaddr *)&address, sizeof address), 0);
    say(fd, text);
    hear(fd, NULL, 3000);
    close(fd);
    return reply;
}

HZ_TEST(http_server, the_unix_socket_is_for_its_owner_and_needs_no_host)
{
    struct stat info;
    HZ_ASSERT_EQ(stat(socket_path(), &info), 0);
    HZ_ASSERT_EQ(info.st_mode & 0777, 0600);
    over_socket("GET /public HTTP/1.1\r\nHost: anything\r\nConnection: close\r\n\r\n");
    HZ_ASSERT_STR_HAS(reply, "HTTP/1.1 200");
    HZ_ASSERT_STR_HAS(reply, "socket");
}

HZ_TEST(http_server, a_child_of_the_manager_is_refused_at_the_unix_socket)
{
    struct hz_child child;
    int code = hz_child_run(&child,
            HZ_ARGV("curl", "-sS", "-m", "10", "-o", "/dev/null", "-w", "%{http_code}", "--unix-socket", socket_path(),
                    "http://localhost/public"),
            NULL, 20000);
    HZ_ASSERT_TRUE(code != 0 || strcmp(child.out, "403") == 0);
    HZ_ASSERT_STR_HAS_NOT(child.out, "200");
    hz_child_fini(&child);
}

struct handed {
    struct hz_mail mail;
    int fd;
};

static void run_add(struct hz_mail *mail)
{
    struct handed *handed = HZ_CONTAINER_OF(mail, struct handed, mail);
    struct sockaddr_in address = {.sin_family = AF_INET};
    hz_http_add(hz_shard_self(), handed->fd, &address, sizeof address, 3001);
    free(handed);
}

static int dial_worker_port(void)
{
    int pair[2];
    struct handed *handed = calloc(1, sizeof *handed);
    HZ_ASSERT_NOT_NULL(handed);
    HZ_ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
    handed->mail.run = run_add;
    handed->fd = pair[0];
    hz_shard_post(hz_shard_at(1), &handed->mail);
    return pair[1];
}

HZ_TEST(http_server, a_worker_port_serves_the_fallback_only_and_has_its_own_host_list)
{
    int fd = dial_worker_port();
    say(fd, "GET /now/1 HTTP/1.1\r\nHost: 127.1.2.3:3001\r\nConnection: close\r\n\r\n");
    hear(fd, NULL, 3000);
    close(fd);
    HZ_ASSERT_STR_HAS(reply, "port 3001");
    fd = dial_worker_port();
    say(fd, "GET /now/1 HTTP/1.1\r\nHost: attacker.example\r\nConnection: close\r\n\r\n");
    hear(fd, NULL, 3000);
    close(fd);
    HZ_ASSERT_STR_HAS(reply, "HTTP/1.1 421");
}

HZ_TEST(http_server, multipart_forms_are_walked)
{
    static const char form[] =
            "--xx\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\none\r\n"
            "--xx\r\nContent-Disposition: form-data; name=\"f\"; filename=\"t.txt\"\r\nContent-Type: text/css\r\n\r\n"
            "body\r\n--xx--\r\n";
    char text[1024];
    snprintf(text, sizeof text,
            "POST /form HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: multipart/form-data; "
            "boundary=xx\r\n"
            "Content-Length: %zu\r\n\r\n%s",
            sizeof form - 1, form);
    ask(text, NULL);
    HZ_ASSERT_STR_HAS(reply, "[a|-|-|0|one]");
    HZ_ASSERT_STR_HAS(reply, "[f|t.txt|text/css|0|body]");
    ask("POST /form HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: "
        "multipart/form-data\r\nContent-Length: 4\r\n\r\nabcd",
            NULL);
    HZ_ASSERT_STR_HAS(reply, "HTTP/1.1 400");
}

HZ_TEST(http_server, a_busy_port_is_an_error_although_ports_are_shared)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1, fds[2 * HZ_HTTP_LISTENERS];
    uint32_t got = 0;
    for (size_t i = 0; i < HZ_COUNT_OF(fds); i++)
        fds[i] = -1;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    HZ_ASSERT_EQ(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one), 0); /* a stranger who would share */
    HZ_ASSERT_EQ(bind(fd, (const struct sockaddr *)&address, sizeof address), 0);
    HZ_ASSERT_EQ(listen(fd, 1), 0);
    HZ_ASSERT_EQ(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    HZ_ASSERT_EQ(hz_listen_tcp("127.0.0.1", ntohs(address.sin_port), 2, fds, &got), -EADDRINUSE);
    close(fd);
    HZ_ASSERT_OK(hz_listen_tcp("127.0.0.1", ntohs(address.sin_port), 2, fds, &got));
    HZ_ASSERT_EQ(got, ntohs(address.sin_port));
    HZ_ASSERT_TRUE(fds[0] >= 0 && fds[HZ_HTTP_LISTENERS] >= 0); /* both shards */
    for (size_t i = 0; i < HZ_COUNT_OF(fds); i++)
        if (fds[i] >= 0)
            close(fds[i]);
    HZ_ASSERT_EQ(hz_listen_tcp("192.0.2.1", 0, 1, fds, &got), -EADDRNOTAVAIL); /* no machine's own (RFC 5737) */
    HZ_ASSERT_EQ(hz_listen_tcp("example.org", 0, 1, fds, &got), HZ_EFORMAT);
}
