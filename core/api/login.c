/*
 * login.c - into a session and out of it: POST /api/v1/login with a password, GET /?code= with a one-time code, both give the cookie;
 * /api/v1/logout ends it, /api/v1/me says who one is. Also the page at / that the login URL leads to. Shard's thread.
 */
#include "internal.h"

#include "core/access.h"
#include "core/http/http.h"
#include "rest.h"

#include "shm/err.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SESSION_S 604800

/* Cookies ignore ports: the name holds ours. */
static void cookie(const struct hz_http_request *request, const char *secret, char *ret, size_t size)
{
    snprintf(ret, size, "Set-Cookie: horizon_%u=%s; Path=/; HttpOnly; SameSite=Strict; Max-Age=%d%s\n", (unsigned)hz_http_port(), secret,
            *secret ? SESSION_S : 0, hz_http_over_tls(request) ? "; Secure" : "");
}

static void throttled(struct hz_http_request *request, const struct hz_login *login)
{
    char detail[128], headers[64];
    bool busy = login->result == HZ_LOGIN_FAILED;
    snprintf(detail, sizeof detail, busy ? "the login could not be looked at; try again" : "too many failed logins; try again in %u s",
            (unsigned)login->retry_after_s);
    snprintf(headers, sizeof headers, "Retry-After: %u\n", (unsigned)HZ_MAX(login->retry_after_s, 1u));
    hz_http_problem_with(request, busy ? 503 : 429, detail, headers);
}

/* ---- by password ---- */
static void logged_in(void *arg, const struct hz_login *login)
{
    struct hz_http_request *request = arg;
    char headers[256], *text = NULL;
    if (login->result == HZ_LOGIN_REFUSED) {
        hz_http_problem(request, 401, "Credenciales inválidas");
        return;
    }
    if (login->result != HZ_LOGIN_OK) {
        throttled(request, login);
        return;
    }
    json_t *user = hz_access_user_json(&login->caller);
    json_t *body = user ? json_pack("{s:o}", "user", user) : NULL;
    text = body ? json_dumps(body, JSON_COMPACT) : NULL;
    json_decref(body);
    cookie(request, login->secret, headers, sizeof headers);
    if (text)
        hz_http_respond(request, &(struct hz_http_response){.status = 200, .type = "application/json", .body = text, .len = strlen(text),
                                         .headers = headers, .headers_len = strlen(headers)});
    else
        hz_http_problem(request, 503, "out of memory");
    sodium_memzero(headers, sizeof headers);
    free(text);
}

static void log_in(struct hz_http_request *request, void *arg)
{
    (void)arg;
    json_t *body = hz_rest_body(request);
    if (!body)
        return;
    const char *email = json_string_value(json_object_get(body, "email")), *password = json_string_value(json_object_get(body, "password"));
    if (!email || !password)
        hz_http_problem(request, 400, "email and password are needed, both texts");
    else
        hz_access_login(HZ_CALLER_SESSION, email, password, hz_http_peer(request), logged_in, request);
    hz_rest_wipe(body);
}

/* ---- out ---- */
static void logged_out(void *arg, int result)
{
    struct hz_http_request *request = arg;
    char headers[256];
    if (result) {
        hz_http_problem(request, 503, "the session could not be ended; try again");
        return;
    }
    cookie(request, "", headers, sizeof headers);
    hz_http_respond(request, &(struct hz_http_response){.status = 204, .headers = headers, .headers_len = strlen(headers)});
}

static void log_out(struct hz_http_request *request, void *arg)
{
    (void)arg;
    hz_access_logout(hz_rest_caller(request), logged_out, request);
}

static void me(struct hz_http_request *request, void *arg)
{
    (void)arg;
    hz_api_answer_value(hz_rest_done, request, 200, hz_access_user_json(hz_rest_caller(request)));
}

/* ---- the page ---- */
static void page(struct hz_http_request *request, uint32_t status, const char *title, const char *text)
{
    char html[1024];
    int len = snprintf(html, sizeof html,
            "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>Horizon</title></head>\n<body>\n<h1>%s</h1>\n"
            "<p>%s</p>\n</body>\n</html>\n", title, text);
    hz_http_respond(request, &(struct hz_http_response){.status = status, .type = "text/html; charset=utf-8", .body = html, .len = (size_t)len});
}

static void traded(void *arg, const struct hz_login *login)
{
    struct hz_http_request *request = arg;
    char headers[320];
    if (login->result != HZ_LOGIN_OK) {
        page(request, 401, "This login code is not valid", "It was used already, or ten minutes have passed. <code>horizon login</code> prints another.");
        return;
    }
    cookie(request, login->secret, headers, sizeof headers);
    size_t used = strlen(headers);
    snprintf(headers + used, sizeof headers - used, "Location: /\n"); /* the code leaves the address bar */
    hz_http_respond(request, &(struct hz_http_response){.status = 303, .headers = headers, .headers_len = strlen(headers)});
    sodium_memzero(headers, sizeof headers);
}

static void root(struct hz_http_request *request, void *arg)
{
    (void)arg;
    struct hz_caller caller;
    const char *code = hz_http_query(request, "code");
    if (code && strcmp(hz_http_method(request), "GET") == 0) { /* a look at the head must not spend it */
        hz_access_login_code(code, hz_http_peer(request), traded, request);
        return;
    }
    (void)!hz_access_resolve_request(NULL, hz_http_header(request, "Cookie"), hz_http_peer(request), &caller);
    if (caller.kind == HZ_CALLER_SESSION)
        page(request, 200, "Horizon", "You are logged in. The programs' interface is under <code>/api/v1</code>.");
    else
        page(request, 200, "Horizon", "You are not logged in. <code>horizon login</code> prints an address that logs you in.");
}

/* Over the Unix socket alone: who may open it may do everything anyway. */
struct wish {
    struct hz_http_request *request;
    char email[HZ_ACCESS_EMAIL], code[HZ_ACCESS_SECRET], error[256];
};

static int make_code(void *arg)
{
    struct wish *wish = arg;
    int err = hz_access_code_create(wish->email[0] ? wish->email : NULL, wish->code);
    if (err)
        snprintf(wish->error, sizeof wish->error, "%s", hz_err_last());
    return err;
}

static void code_made(void *arg, int result)
{
    struct wish *wish = arg;
    if (result)
        hz_http_problem(wish->request, result == HZ_ENOTFOUND ? 404 : result == HZ_EREFUSED ? 409 : 503, wish->error);
    else {
        char url[400];
        snprintf(url, sizeof url, "%s/?code=%s", hz_http_url(), wish->code);
        hz_api_answer_value(hz_rest_done, wish->request, 201, json_pack("{s:s, s:i}", "url", url, "expiresSeconds", 600));
        sodium_memzero(url, sizeof url);
    }
    sodium_memzero(wish, sizeof *wish);
    free(wish);
}

static void codes_add(struct hz_http_request *request, void *arg)
{
    (void)arg;
    json_t *body = hz_http_over_socket(request) ? hz_rest_body(request) : NULL;
    if (!hz_http_over_socket(request)) {
        hz_http_problem(request, 403, "login codes are made over the Unix socket (horizon login)");
        return;
    }
    if (!body)
        return;
    const char *email = json_string_value(json_object_get(body, "email"));
    struct wish *wish = calloc(1, sizeof *wish);
    if (wish) {
        wish->request = request;
        snprintf(wish->email, sizeof wish->email, "%s", email ? email : "");
    }
    if (!wish || hz_access_work(make_code, code_made, wish)) {
        hz_http_problem(request, 503, hz_err_last());
        free(wish);
    }
    json_decref(body);
}

int hz_api_login_init(void)
{
    int err = hz_http_route_anybody("POST", "/api/v1/login", 0, log_in, NULL);
    if (!err)
        err = hz_http_route_anybody("GET", "/", 0, root, NULL);
    if (!err)
        err = hz_http_route_for("POST", "/api/v1/logout", "", log_out, NULL);
    if (!err)
        err = hz_http_route_for("GET", "/api/v1/me", "", me, NULL);
    if (!err)
        err = hz_http_route_for("POST", "/api/v1/login-codes", "users:update", codes_add, NULL);
    return err;
}
