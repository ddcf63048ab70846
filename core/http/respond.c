/*
 * respond.c - answers: headers of ours and the caller's, problem documents, and handing the answer over to the
 * connection that may be suspended, or gone. Shard's thread.
 */
#include "internal.h"

#include "shm/err.h"
#include "shm/log.h"
#include "shm/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

const char *hz_http_reason(uint32_t status)
{
    const char *text = MHD_get_reason_phrase_for(status);
    return text ? text : "Unknown";
}

/* Headers that follow from the message itself and are not the caller's to say. */
static bool is_reserved(const char *name)
{
    static const char *const names[] = {
            "Content-Length", "Transfer-Encoding", "Connection", "Keep-Alive", "Upgrade", "Trailer", "TE", "Date"};
    for (size_t i = 0; i < HZ_COUNT_OF(names); i++)
        if (strcasecmp(name, names[i]) == 0)
            return true;
    return false;
}

/* Adds "Name: value\n" lines; one that is no header is left out. */
void hz_respond_lines(struct MHD_Response *response, const char *lines, size_t len)
{
    char stack[1024];
    const char *end = lines + len;
    while (lines < end) {
        const char *stop = memchr(lines, '\n', (size_t)(end - lines));
        size_t size = (size_t)((stop ? stop : end) - lines);
        char *line = size < sizeof stack ? stack : malloc(size + 1);
        if (line) {
            memcpy(line, lines, size);
            line[size] = 0;
            char *colon = strchr(line, ':');
            if (colon && colon > line) {
                char *value = colon + 1 + strspn(colon + 1, " \t");
                *colon = 0;
                if (!is_reserved(line) &&
                        (strcasecmp(line, "Content-Type") != 0 || !MHD_get_response_header(response, line)) && *value)
                    MHD_add_response_header(response, line, value);
            }
            if (line != stack)
                free(line);
        }
        lines += size + 1;
    }
}

static void add_default(struct MHD_Response *response, const char *name, const char *value)
{
    if (!MHD_get_response_header(response, name))
        MHD_add_response_header(response, name, value);
}

static void add_own(struct hz_http_request *request, struct MHD_Response *response, bool webhook)
{
    if (webhook) {
        add_default(response, "Access-Control-Allow-Origin", "*");
        add_default(
                response, "Content-Security-Policy", "default-src 'self'; frame-ancestors 'self'; object-src 'none'");
    } else {
        const char *origin =
                request->cors ? MHD_lookup_connection_value(request->mhd, MHD_HEADER_KIND, "Origin") : NULL;
        if (request->match.door == HZ_DOOR_OPEN)
            MHD_add_response_header(response, "Access-Control-Allow-Origin", "*");
        else {
            if (origin) {
                MHD_add_response_header(response, "Access-Control-Allow-Origin", origin);
                MHD_add_response_header(response, "Access-Control-Allow-Credentials", "true");
                MHD_add_response_header(response, "Access-Control-Expose-Headers", "ETag, Location, Retry-After");
            }
            MHD_add_response_header(response, "Vary", "Origin");
        }
        add_default(response, "Cache-Control", "no-store");
        MHD_add_response_header(response, "Content-Security-Policy",
                "default-src 'self'; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; object-src 'none'; "
                "form-action 'self'");
        MHD_add_response_header(response, "Referrer-Policy", "no-referrer");
    }
    add_default(response, "X-Content-Type-Options", "nosniff");
}

/* The library's own copy of the body, or (it takes over the promise to call `done`) the caller's. */
static struct MHD_Response *new_response(const struct hz_http_response *from)
{
    /* The library takes a pointer that may be written to and only reads it. */
    union {
        const void *given;
        void *wanted;
    } body = {from->len ? from->body : ""};
    if (!from->done)
        return MHD_create_response_from_buffer(from->len, body.wanted, MHD_RESPMEM_MUST_COPY);
    struct MHD_Response *response =
            MHD_create_response_from_buffer_with_free_callback_cls(from->len, body.wanted, from->done, from->done_arg);
    if (!response)
        from->done(from->done_arg);
    return response;
}

void hz_respond_head(struct hz_http_request *request, struct MHD_Response *response, const struct hz_http_response *from)
{
    if (from->type && *from->type)
        MHD_add_response_header(response, "Content-Type", from->type);
    if (from->headers)
        hz_respond_lines(response, from->headers, from->headers_len);
    add_own(request, response, from->webhook);
    request->response = response;
    request->status = from->status;
    if (request->gated && hz_http_shared.after)
        hz_http_shared.after(request, request->match.permission, from->status);
}

/* Needs request->mhd. False: no memory. */
bool hz_respond_build(struct hz_http_request *request, const struct hz_http_response *from)
{
    struct MHD_Response *response = new_response(from);
    if (response)
        hz_respond_head(request, response, from);
    return response != NULL;
}

void hz_http_respond(struct hz_http_request *request, const struct hz_http_response *response)
{
    HZ_CHECK_OBJ(request, HZ_HTTP_REQUEST_MAGIC);
    HZ_ASSERT(!request->server || hz_shard_self() == request->server->shard);
    if (request->state == HZ_HTTP_LOST) {
        if (response->done)
            response->done(response->done_arg);
        hz_request_free(request);
        return;
    }
    HZ_ASSERT(request->state == HZ_HTTP_PENDING);
    request->state = hz_respond_build(request, response) ? HZ_HTTP_ANSWERED : HZ_HTTP_FAILED;
    hz_respond_answered(request);
}

void hz_respond_answered(struct hz_http_request *request)
{
    if (request->suspended) {
        request->suspended = false;
        MHD_resume_connection(request->mhd);
        request->server->again = true; /* also if a handler of another request answers this one */
    }
    hz_server_kick(request->server);
}

/* The document's text, malloc'ed; NULL: no memory. */
static char *problem_text(uint32_t status, const char *detail, size_t *ret_len)
{
    size_t most = 6 * strlen(detail) + 256;
    char *text = malloc(most);
    if (!text)
        return NULL;
    int head = snprintf(text, most, "{\"type\":\"about:blank\",\"title\":\"%s\",\"status\":%u,\"detail\":\"",
            hz_http_reason(status), (unsigned)status);
    if (head < 0 || head > 200) {
        free(text);
        return NULL;
    }
    char *to = text + head;
    bool plain = !hz_text_is_utf8(detail, strlen(detail)); /* it may quote a body, or half a character of one */
    for (const unsigned char *p = (const unsigned char *)detail; *p; p++) {
        if (*p == '"' || *p == '\\') {
            *to++ = '\\';
            *to++ = (char)*p;
        } else if (*p < 0x20)
            to += sprintf(to, "\\u%04x", (unsigned)*p);
        else if (plain && *p >= 0x80)
            *to++ = '?';
        else
            *to++ = (char)*p;
    }
    *to++ = '"';
    *to++ = '}';
    *ret_len = (size_t)(to - text);
    return text;
}

/* Before the request went to a handler. */
bool hz_respond_problem(struct hz_http_request *request, uint32_t status, const char *detail, const char *headers)
{
    struct hz_http_response response = {
            .status = status, .type = "application/problem+json", .headers = headers, .headers_len = strlen(headers)};
    char *text = problem_text(status, detail, &response.len);
    response.body = text;
    bool ok = text && hz_respond_build(request, &response);
    free(text);
    if (ok)
        request->state = HZ_HTTP_ANSWERED;
    return ok;
}

void hz_http_problem(struct hz_http_request *request, uint32_t status, const char *detail)
{
    hz_http_problem_with(request, status, detail, "");
}

void hz_http_problem_with(struct hz_http_request *request, uint32_t status, const char *detail, const char *headers)
{
    struct hz_http_response response = {
            .status = status, .type = "application/problem+json", .headers = headers, .headers_len = strlen(headers)};
    char *text = problem_text(status, detail, &response.len);
    response.body = text;
    hz_http_respond(request, &response);
    free(text);
}
