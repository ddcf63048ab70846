/*
 * test_webhook_handler.c - listening, security, CORS, redirect, fixed answer, proxy (against a server of our own).
 */
#include "http_peer.h"
#include "jwt_samples.h"
#include "node_host.h"
#include <stdio.h>
#include <string.h>

static struct node_host *n;

HZ_SETUP(webhook_handler)
{
    n = node_host_open("webhook_handler");
}
HZ_TEARDOWN(webhook_handler)
{
    node_host_close(&n);
}

#define REQUEST(method, headers)                                                                                       \
    "{\"headers\":{" headers "},\"params\":{\"id\":\"7\"},\"query\":{\"q\":\"a b\"},\"body\":{\"n\":1},"               \
    "\"method\":\"" method "\",\"endpoint\":\"/saludo\",\"time\":1700000000000}"
#define PLAIN REQUEST("POST", "\"host\":\"x\"")

static const char *event(const char *request)
{
    HZ_ASSERT_EQ(node_host_event(n, request), HZ_OK);
    return node_host_only(n);
}

static const char *event_with(const char *authorization)
{
    char request[2048];
    snprintf(request, sizeof request, "{\"headers\":{\"authorization\":\"%s\"},\"method\":\"GET\",\"endpoint\":\"/\"}",
            authorization);
    return event(request);
}

HZ_TEST(webhook_handler, listens_as_its_properties_say)
{
    node_host_run(n, "input", "{}");
    HZ_ASSERT_STR_EQ(node_host_listened(n), "get / 50000;");
    node_host_param(n, "type", "\"post\"");
    node_host_param(n, "endpoint", "\"/a/:id\"");
    node_host_param(n, "timeout", "2.5");
    node_host_run(n, "input", "{}");
    node_host_param(n, "timeout", "0");
    node_host_run(n, "input", "{}");
    node_host_param(n, "timeout", "\"x\"");
    node_host_param(n, "enableCors", "true"); /* without the master switch it is off */
    node_host_run(n, "input", "{}");
    node_host_param(n, "advancedOptions", "true");
    node_host_run(n, "input", "{}");
    HZ_ASSERT_STR_EQ(node_host_listened(n), "get / 50000;post /a/:id 2500;post /a/:id 50000;post /a/:id 50000;"
                                            "post /a/:id 50000;options /a/:id 50000;");
}

HZ_TEST(webhook_handler, emits_the_request)
{
    HZ_ASSERT_STR_EQ(event(PLAIN),
            "response {\"headers\":{\"host\":\"x\"},\"params\":{\"id\":\"7\"},\"query\":{\"q\":\"a b\"},"
            "\"body\":{\"n\":1},\"method\":\"POST\",\"endpoint\":\"/saludo\",\"time\":1700000000000,\"security\":{}}");
    HZ_ASSERT_NULL(node_host_emissions(n)->meta);
    HZ_ASSERT_STR_EQ(node_host_answer(n), "");
}

HZ_TEST(webhook_handler, asks_for_user_and_password)
{
    node_host_param(n, "security", "\"basic\"");
    node_host_param(n, "securityBasicUser", "\"ana\"");
    node_host_param(n, "securityBasicPass", "\"a:b\"");
    const char *refused =
            "401|text/plain; charset=utf-8|WWW-Authenticate: Basic realm=\"horizon\", charset=\"UTF-8\"\n|"
            "Autenticación fallida";
    const char *bad[] = {"", "Basic", "Basic ", "Basic !!!!", "Basic YW5hOmE6Yw==" /* ana:a:c */,
            "Basic YW5h" /* ana */, "Basic YW5hOg==" /* ana: */,
            "Bearer YW5hOmE6Yg==", "Basic QW5hOmE6Yg==" /* Ana:a:b */};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        HZ_ASSERT_STR_EQ(event_with(bad[i]), "");
        HZ_ASSERT_STR_EQ(node_host_answer(n), refused);
    }
    HZ_ASSERT_STR_EQ(event(PLAIN), "");
    HZ_ASSERT_STR_EQ(node_host_answer(n), refused);
    HZ_ASSERT_STR_HAS(event_with("basic  YW5hOmE6Yg=="), "\"security\":{\"user\":\"ana\"}");
    HZ_ASSERT_STR_EQ(node_host_answer(n), "");
}

HZ_TEST(webhook_handler, lets_nobody_in_when_nothing_was_set)
{
    node_host_param(n, "security", "\"basic\"");
    HZ_ASSERT_STR_EQ(event_with("Basic Og==" /* : */), "");
    HZ_ASSERT_STR_HAS(node_host_answer(n), "401|");
    node_host_param(n, "security", "\"bearer\"");
    HZ_ASSERT_STR_EQ(event_with("Bearer "), "");
    HZ_ASSERT_STR_HAS(node_host_answer(n), "401|");
    node_host_param(n, "security", "\"jwt\"");
    HZ_ASSERT_STR_HAS(event_with("Bearer " JWT_HS256), "error {\"error\":\"secret or public key must be provided\"}");
    node_host_param(n, "security", "\"oauth9\"");
    HZ_ASSERT_STR_HAS(event(PLAIN), "error {\"error\":\"Tipo de seguridad desconocido\"}");
    node_host_param(n, "security", "7");
    HZ_ASSERT_STR_HAS(event(PLAIN), "error ");
}

HZ_TEST(webhook_handler, asks_for_the_bearer_token)
{
    node_host_param(n, "security", "\"bearer\"");
    node_host_param(n, "securityBearerToken", "\"t0k3n\"");
    HZ_ASSERT_STR_HAS(event_with("Bearer t0k3n"), "\"security\":{}");
    const char *bad[] = {"Bearer t0k3", "Bearer t0k3nn", "t0k3n", "Basic t0k3n", "Bearert0k3n", ""};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        HZ_ASSERT_STR_EQ(event_with(bad[i]), "");
        HZ_ASSERT_STR_EQ(node_host_answer(n),
                "401|text/plain; charset=utf-8|WWW-Authenticate: Bearer realm=\"horizon\"\n|Autenticación fallida");
    }
}

HZ_TEST(webhook_handler, verifies_three_algorithms)
{
    const char *good[] = {"Bearer " JWT_HS256, "Bearer " JWT_HS384, "Bearer " JWT_HS512};
    node_host_param(n, "security", "\"jwt\"");
    node_host_param(n, "securityJWTSecret", "\"secreto\"");
    for (size_t i = 0; i < 3; i++)
        HZ_ASSERT_STR_HAS(event_with(good[i]), "\"security\":{\"sub\":\"ana\",\"exp\":4102444800,\"nbf\":1}");
    node_host_param(n, "securityJWTSecret", "\"otro\"");
    for (size_t i = 0; i < 3; i++)
        HZ_ASSERT_STR_EQ(event_with(good[i]), "error {\"error\":\"invalid signature\"}");
    char key[203] = "\"";
    memset(key + 1, 'k', 200);
    key[201] = '"';
    node_host_param(n, "securityJWTSecret", key); /* longer than a block: hashed first */
    HZ_ASSERT_STR_HAS(event_with("Bearer " JWT_HS384_LONG_KEY), "\"sub\":\"ana\"");
}

HZ_TEST(webhook_handler, refuses_bad_tokens_with_the_reason)
{
    static const char *const cases[][2] = {{JWT_EXPIRED, "jwt expired"}, {JWT_NOT_YET, "jwt not active"},
            {JWT_EXP_TEXT, "invalid exp value"}, {JWT_NONE, "invalid algorithm"}, {JWT_CRIT, "invalid token"},
            {JWT_LIST, "invalid token"}, {"a.b", "jwt malformed"}, {"a", "jwt malformed"}, {"a.b.c.d", "jwt malformed"},
            {"a.b.c", "invalid token"}, {"..", "invalid token"}, {JWT_HS256 "x", "invalid signature"},
            {JWT_HS256 "AAAA", "invalid signature"}, {"e30.e30.", "invalid algorithm"}};
    node_host_param(n, "security", "\"jwt\"");
    node_host_param(n, "securityJWTSecret", "\"secreto\"");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char header[1024], wanted[128];
        snprintf(header, sizeof header, "Bearer %s", cases[i][0]);
        snprintf(wanted, sizeof wanted, "error {\"error\":\"%s\"}", cases[i][1]);
        HZ_ASSERT_STR_EQ(event_with(header), wanted);
        HZ_ASSERT_STR_EQ(node_host_answer(n), "");
    }
}

HZ_TEST(webhook_handler, every_changed_byte_breaks_a_token)
{
    char header[1024] = "Bearer " JWT_HS384;
    size_t len = strlen(header);
    node_host_param(n, "security", "\"jwt\"");
    node_host_param(n, "securityJWTSecret", "\"secreto\"");
    for (size_t i = 7; i + 1 < len; i++) { /* the last letter has two unused bits */
        char was = header[i];
        header[i] = was == 'A' ? 'B' : 'A';
        HZ_ASSERT_STR_HAS(event_with(header), "error {\"error\":\"");
        header[i] = was;
    }
}

HZ_TEST(webhook_handler, names_a_missing_token)
{
    node_host_param(n, "security", "\"jwt\"");
    node_host_param(n, "securityJWTSecret", "\"secreto\"");
    node_host_param(n, "timeout", "5");
    const char *wanted = "error {\"error\":\"Autenticación fallida\",\"responseTime\":5000,\"responseCode\":506}";
    HZ_ASSERT_STR_EQ(event(PLAIN), wanted);
    HZ_ASSERT_STR_EQ(event_with("Basic YTpi"), wanted);
    HZ_ASSERT_STR_EQ(event_with("Bearer "), wanted);
}

#define CORS                                                                                                           \
    "access-control-allow-origin: *\naccess-control-allow-methods: GET,POST,PUT,DELETE,OPTIONS\n"                      \
    "access-control-allow-headers: Content-Type,Authorization\n"

HZ_TEST(webhook_handler, answers_preflights_and_hands_the_headers_on)
{
    node_host_param(n, "advancedOptions", "true");
    node_host_param(n, "enableCors", "true");
    node_host_param(n, "security", "\"basic\"");
    node_host_param(n, "securityBasicUser", "\"u\"");
    HZ_ASSERT_STR_EQ(event(REQUEST("OPTIONS", "")), "");
    HZ_ASSERT_STR_EQ(node_host_answer(n), "204|-|" CORS "|");
    event(PLAIN);
    HZ_ASSERT_STR_HAS(node_host_answer(n), "401|text/plain; charset=utf-8|" CORS "WWW-Authenticate: Basic");
    node_host_param(n, "security", "\"null\"");
    HZ_ASSERT_STR_HAS(event(PLAIN), "response {");
    HZ_ASSERT_STR_HAS(node_host_emissions(n)->meta, "{\"headers\":{\"access-control-allow-origin\":\"*\",");
}

HZ_TEST(webhook_handler, redirects_after_security)
{
    node_host_param(n, "enableRedirect", "true");
    node_host_param(n, "redirectUrl", "\"https://example.org/x\"");
    HZ_ASSERT_STR_HAS(event(PLAIN), "response "); /* the master switch is off */
    node_host_param(n, "advancedOptions", "true");
    HZ_ASSERT_STR_EQ(event(PLAIN), "");
    HZ_ASSERT_STR_EQ(node_host_answer(n), "302|-|Location: https://example.org/x\n|");
    node_host_param(n, "redirectStatusCode", "308");
    event(PLAIN);
    HZ_ASSERT_STR_HAS(node_host_answer(n), "308|");
    node_host_param(n, "redirectUrl", "\"https://example.org/\\r\\nX: 1\"");
    HZ_ASSERT_STR_HAS(event(PLAIN), "error {");
    HZ_ASSERT_STR_EQ(node_host_answer(n), "");
    node_host_param(n, "redirectUrl", "\"\"");
    HZ_ASSERT_STR_HAS(event(PLAIN), "response ");
    node_host_param(n, "redirectUrl", "\"https://example.org/x\"");
    node_host_param(n, "security", "\"bearer\"");
    node_host_param(n, "securityBearerToken", "\"t\"");
    event(PLAIN);
    HZ_ASSERT_STR_HAS(node_host_answer(n), "401|");
}

HZ_TEST(webhook_handler, answers_with_a_fixed_text)
{
    node_host_param(n, "advancedOptions", "true");
    node_host_param(n, "customResponse", "true");
    HZ_ASSERT_STR_EQ(event(PLAIN), "");
    HZ_ASSERT_STR_EQ(node_host_answer(n), "200|application/json; charset=utf-8||{\"success\":true}");
    node_host_param(n, "responseStatusCode", "418");
    node_host_param(n, "responseContentType", "\"text/html\"");
    node_host_param(n, "responseBody", "\"<p>no</p>\"");
    event(PLAIN);
    HZ_ASSERT_STR_EQ(node_host_answer(n), "418|text/html; charset=utf-8||<p>no</p>");
}

HZ_TEST(webhook_handler, forwards_to_another_server)
{
    static uint16_t port;
    if (!port)
        port = http_peer_start();
    char url[128];
    snprintf(url, sizeof url, "\"http://127.0.0.1:%u/echo/\"", port);
    node_host_param(n, "advancedOptions", "true");
    node_host_param(n, "enableProxy", "true");
    node_host_param(n, "enableCors", "true");
    node_host_param(n, "proxyUrl", url);
    HZ_ASSERT_STR_EQ(
            event(REQUEST("PATCH", "\"host\":\"original\",\"x-keep\":\"1\",\"content-type\":\"application/json\"")),
            "");
    const char *answer = node_host_answer(n);
    HZ_ASSERT_STR_HAS(answer, "200|-|");
    HZ_ASSERT_STR_HAS(answer, "x-peer: yes\nset-cookie: a=1\nset-cookie: b=2\n");
    HZ_ASSERT_STR_HAS(answer, CORS "|");
    HZ_ASSERT_STR_HAS(answer, "\"method\":\"PATCH\",\"path\":\"/echo/saludo?q=a%20b\",\"body\":\"{'n':1}\"");
    HZ_ASSERT_STR_HAS(answer, "x-keep: 1");
    HZ_ASSERT_STR_HAS_NOT(answer, "original");
    node_host_param(n, "proxyPreserveHeaders", "false");
    event(REQUEST("POST", "\"x-keep\":\"1\",\"content-type\":\"application/x-www-form-urlencoded\""));
    answer = node_host_answer(n);
    HZ_ASSERT_STR_HAS(answer, "\"body\":\"n=1\"");
    HZ_ASSERT_STR_HAS_NOT(answer, "x-keep");
    snprintf(url, sizeof url, "\"http://127.0.0.1:%u/status/404\"", port);
    node_host_param(n, "proxyUrl", url);
    event(PLAIN);
    HZ_ASSERT_STR_HAS(node_host_answer(n), "404|");
    snprintf(url, sizeof url, "\"http://127.0.0.1:%u/redirect/3\"", port);
    node_host_param(n, "proxyUrl", url);
    event(PLAIN); /* a redirect is the caller's to follow */
    HZ_ASSERT_STR_HAS(node_host_answer(n), "302|");
}

HZ_TEST(webhook_handler, reports_a_proxy_that_fails)
{
    char url[128], wanted[256];
    uint16_t closed = hz_test_free_port();
    snprintf(url, sizeof url, "\"http://127.0.0.1:%u\"", closed);
    node_host_param(n, "advancedOptions", "true");
    node_host_param(n, "enableProxy", "true");
    node_host_param(n, "proxyUrl", url);
    snprintf(wanted, sizeof wanted,
            "error {\"error\":\"Error de proxy: Error: connect ECONNREFUSED 127.0.0.1:%u\","
            "\"originalError\":\"Error: connect ECONNREFUSED 127.0.0.1:%u\"}",
            closed, closed);
    HZ_ASSERT_STR_EQ(event(PLAIN), wanted);
    node_host_param(n, "proxyUrl", "\"nowhere\"");
    HZ_ASSERT_STR_EQ(event(PLAIN), "error {\"error\":\"Error de proxy: TypeError: Invalid URL\","
                                   "\"originalError\":\"TypeError: Invalid URL\"}");
}
