/*
 * test_http_request.c - the HTTP node against a server of our own on loopback: curl, its sockets and timers are real.
 */
#include "http_peer.h"
#include "node_host.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct node_host *n;
static uint16_t port;

HZ_SETUP(http_request)
{
    if (!port)
        port = http_peer_start();
    n = node_host_open("http_request");
}

HZ_TEARDOWN(http_request)
{
    node_host_close(&n);
}

/* Runs the node with this method and path; the result is in node_host_only(). */
static const char *request(const char *method, const char *path)
{
    char json[512];
    snprintf(json, sizeof json, "\"http://127.0.0.1:%u%s\"", port, path);
    node_host_param(n, "url", json);
    snprintf(json, sizeof json, "\"%s\"", method);
    node_host_param(n, "type", json);
    HZ_ASSERT_EQ(node_host_run(n, "input", "{}"), HZ_OK);
    return node_host_only(n);
}

static const char *fetch_url(const char *url)
{
    char json[512];
    snprintf(json, sizeof json, "\"%s\"", url);
    node_host_param(n, "url", json);
    HZ_ASSERT_EQ(node_host_run(n, "input", "{}"), HZ_OK);
    return node_host_only(n);
}

HZ_TEST(http_request, parses_json_and_keeps_text)
{
    HZ_ASSERT_STR_EQ(request("get", "/json"), "response {\"a\":1}");
    HZ_ASSERT_STR_EQ(request("get", "/text"), "response \"hola\"");
    HZ_ASSERT_STR_EQ(request("get", "/status/204"), "response \"\"");
}

HZ_TEST(http_request, names_every_other_status)
{
    HZ_ASSERT_STR_EQ(request("get", "/status/404"), "error {\"error\":\"Request failed with status code 404\"}");
    HZ_ASSERT_STR_EQ(request("delete", "/status/500"), "error {\"error\":\"Request failed with status code 500\"}");
    HZ_ASSERT_STR_EQ(request("get", "/status/304"), "error {\"error\":\"Request failed with status code 304\"}");
}

HZ_TEST(http_request, names_a_refused_connection)
{
    char wanted[128], url[64];
    uint16_t closed = hz_test_free_port();
    snprintf(url, sizeof url, "http://127.0.0.1:%u/", closed);
    snprintf(wanted, sizeof wanted, "error {\"error\":\"Error: connect ECONNREFUSED 127.0.0.1:%u\"}", closed);
    HZ_ASSERT_STR_EQ(fetch_url(url), wanted);
}

HZ_TEST(http_request, names_an_unknown_host)
{
    HZ_ASSERT_STR_EQ(fetch_url("http://no-such-host.invalid/x"),
            "error {\"error\":\"Error: getaddrinfo ENOTFOUND no-such-host.invalid\"}");
}

HZ_TEST(http_request, refuses_what_is_no_address)
{
    static const char *const bad[] = {
            "", "x", "/only/a/path", "http://", "http://a b/", "127.0.0.1:80", "://", "http://[::1"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        HZ_ASSERT_STR_EQ(fetch_url(bad[i]), "error {\"error\":\"TypeError: Invalid URL\"}");
    node_host_param(n, "url", "null");
    node_host_run(n, "input", "{}");
    HZ_ASSERT_STR_EQ(node_host_only(n), "error {\"error\":\"TypeError: Invalid URL\"}");
}

HZ_TEST(http_request, speaks_http_only)
{
    HZ_ASSERT_STR_EQ(fetch_url("file:///etc/passwd"), "error {\"error\":\"Error: Unsupported protocol file:\"}");
    HZ_ASSERT_STR_EQ(fetch_url("ftp://127.0.0.1/"), "error {\"error\":\"Error: Unsupported protocol ftp:\"}");
    HZ_ASSERT_STR_EQ(fetch_url("gopher://127.0.0.1/"), "error {\"error\":\"Error: Unsupported protocol gopher:\"}");
}

HZ_TEST(http_request, sends_headers_type_and_body)
{
    node_host_param(n, "headers", "{\"X-One\":\"uno\",\"X-Two\":2,\"X-No\":null,\"X-Empty\":\"\"}");
    node_host_param(n, "body", "{\"b\":[1]}");
    const char *got = request("post", "/echo");
    HZ_ASSERT_STR_HAS(got, "\"method\":\"POST\"");
    HZ_ASSERT_STR_HAS(got, "\"body\":\"{'b':[1]}\"");
    HZ_ASSERT_STR_HAS(got, "X-One: uno~");
    HZ_ASSERT_STR_HAS(got, "X-Two: 2~");
    HZ_ASSERT_STR_HAS(got, "X-Empty:");
    HZ_ASSERT_STR_HAS_NOT(got, "X-No");
    HZ_ASSERT_STR_HAS(got, "Content-Type: application/json~");
    HZ_ASSERT_STR_HAS_NOT(got, "Expect:");
    HZ_ASSERT_STR_HAS(request("put", "/echo"), "\"method\":\"PUT\"");
    HZ_ASSERT_STR_HAS(request("delete", "/echo"), "\"method\":\"DELETE\"");
}

HZ_TEST(http_request, takes_headers_as_json_text_and_bodies_as_text)
{
    node_host_param(n, "headers", "\"{\\\"X-Text\\\":\\\"si\\\"}\"");
    node_host_param(n, "contentType", "\"text/plain\"");
    node_host_param(n, "body", "\"hola ñ\"");
    const char *got = request("post", "/echo");
    HZ_ASSERT_STR_HAS(got, "X-Text: si~");
    HZ_ASSERT_STR_HAS(got, "\"body\":\"hola ñ\"");
    HZ_ASSERT_STR_HAS(got, "Content-Type: text/plain~");
    node_host_param(n, "headers", "\"{broken\"");
    HZ_ASSERT_STR_HAS(request("get", "/json"), "error {\"error\":\"Error: headers: ");
}

HZ_TEST(http_request, sends_a_body_with_get_only_if_the_flow_set_one)
{
    HZ_ASSERT_STR_HAS(request("get", "/echo"), "\"body\":\"\"");
    HZ_ASSERT_STR_HAS(request("post", "/echo"), "\"body\":\"{}\"");
    node_host_param(n, "body", "{\"q\":1}");
    const char *got = request("get", "/echo");
    HZ_ASSERT_STR_HAS(got, "\"method\":\"GET\"");
    HZ_ASSERT_STR_HAS(got, "\"body\":\"{'q':1}\"");
}

HZ_TEST(http_request, refuses_line_breaks_in_headers)
{
    node_host_param(n, "headers", "{\"X-Bad\":\"a\\r\\nX-Smuggled: 1\"}");
    HZ_ASSERT_STR_EQ(request("get", "/echo"),
            "error {\"error\":\"TypeError: Invalid character in header content [\\\"X-Bad\\\"]\"}");
    node_host_param(n, "headers", "{\"X Bad\":\"a\"}");
    HZ_ASSERT_STR_HAS(request("get", "/echo"), "Invalid character in header content");
    node_host_param(n, "headers", "{}");
    node_host_param(n, "contentType", "\"a\\nb\"");
    HZ_ASSERT_STR_HAS(request("get", "/echo"), "Invalid character in header content");
}

HZ_TEST(http_request, follows_up_to_21_redirects)
{
    HZ_ASSERT_STR_EQ(request("get", "/redirect/20"), "response {\"a\":1}");
    HZ_ASSERT_STR_EQ(
            request("get", "/redirect/21"), "error {\"error\":\"Error: Maximum number of redirects exceeded\"}");
    HZ_ASSERT_STR_EQ(request("get", "/relative"), "response {\"a\":1}");
}

HZ_TEST(http_request, follows_303_with_get_and_without_the_body)
{
    node_host_param(n, "body", "{\"b\":1}");
    const char *methods[] = {"post", "put", "delete"};
    for (int i = 0; i < 3; i++) {
        const char *got = request(methods[i], "/see-other");
        HZ_ASSERT_STR_HAS(got, "\"method\":\"GET\"");
        HZ_ASSERT_STR_HAS(got, "\"body\":\"\"");
    }
}

HZ_TEST(http_request, reports_an_answer_that_breaks_off)
{
    HZ_ASSERT_STR_EQ(request("get", "/cut"), "error {\"error\":\"Error: socket hang up\"}");
}

HZ_TEST(http_request, bounds_the_answer)
{
    const char *got = request("get", "/big/3");
    HZ_ASSERT_STR_HAS(got, "response \"xxx");
    HZ_ASSERT_EQ(strlen(got), strlen("response \"\"") + (3u << 20));
    HZ_ASSERT_STR_EQ(
            request("get", "/big/65"), "error {\"error\":\"Error: maxContentLength size of 67108864 exceeded\"}");
}

HZ_TEST(http_request, gives_up_when_the_execution_is_cancelled)
{
    char json[128];
    int before = hz_test_open_fds();
    snprintf(json, sizeof json, "\"http://127.0.0.1:%u/hang\"", port);
    node_host_param(n, "url", json);
    node_host_run_cancelled(n, "input", "{}", 100);
    HZ_ASSERT_STR_EQ(node_host_only(n), "");
    node_host_run_cancelled(n, "input", "{}", 0); /* before the loop has even begun it */
    HZ_ASSERT_STR_EQ(node_host_only(n), "");
    HZ_ASSERT_LE(hz_test_open_fds(), before + 2); /* the peer's ends close in their own time */
    HZ_ASSERT_STR_EQ(request("get", "/json"), "response {\"a\":1}");
}

HZ_TEST(http_request, reports_expressions_that_failed)
{
    node_host_param_failed(n, "body", "ReferenceError: x is not defined");
    HZ_ASSERT_STR_EQ(request("post", "/echo"), "error {\"error\":\"ReferenceError: x is not defined\"}");
}
