/*
 * webhook_proxy.c - see webhook_proxy.h. The body was parsed by the server, so it is written again here in the
 * request's own type. Headers that concern one connection only (RFC 9110, 7.6.1) are not passed on.
 */
#include "webhook_proxy.h"
#include "http_client.h"
#include "text.h"
#include <strings.h>

#define HEADERS_MAX 300 /* the client keeps 256, CORS adds three */

/* Text that grows, of the call. */
struct builder {
    hz_call *call;
    char *data;
    size_t len, capacity;
    bool failed;
};

static void add(struct builder *to, const char *data, size_t len)
{
    if (to->failed)
        return;
    if (to->len + len + 1 > to->capacity) {
        size_t capacity = to->capacity ? to->capacity : 256;
        while (capacity < to->len + len + 1)
            capacity *= 2;
        char *grown = hz_alloc(to->call, capacity);
        if (!grown) {
            to->failed = true;
            return;
        }
        if (to->len)
            memcpy(grown, to->data, to->len);
        to->data = grown;
        to->capacity = capacity;
    }
    if (!to->data || !len)
        return;
    memcpy(to->data + to->len, data, len);
    to->len += len;
    to->data[to->len] = 0;
}

static void add_escaped(struct builder *to, hz_str text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.data[i];
        char code[4];
        if ((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || strchr("-._~", c)) {
            add(to, &text.data[i], 1);
            continue;
        }
        snprintf(code, sizeof code, "%%%02X", c);
        add(to, code, 3);
    }
}

/* `a=1&b[c]=2`: nested objects and lists in brackets, at most 16 deep. */
static void add_form(struct builder *to, hz_str name, const hz_value *value, int depth)
{
    enum hz_type type = hz_type_of(value);
    if ((type == HZ_OBJECT || type == HZ_ARRAY) && depth < 16) {
        void *cursor = NULL;
        hz_str key;
        const hz_value *member;
        size_t i = 0;
        for (;;) {
            char index[24];
            if (type == HZ_ARRAY) {
                if (i == hz_length(value))
                    break;
                snprintf(index, sizeof index, "%zu", i);
                key = (hz_str){name.len ? "" : index, name.len ? 0 : strlen(index)};
                member = hz_at(value, i++);
            } else if (!hz_next(value, &cursor, &key, &member)) {
                break;
            }
            struct builder path = {.call = to->call};
            add(&path, name.len ? name.data : "", name.len);
            if (name.len)
                add(&path, "[", 1);
            add(&path, key.len ? key.data : "", key.len);
            if (name.len)
                add(&path, "]", 1);
            to->failed = to->failed || path.failed;
            add_form(to, (hz_str){path.data ? path.data : "", path.len}, member, depth + 1);
        }
        return;
    }
    hz_str text = type == HZ_STRING                         ? hz_as_str(value)
                  : type == HZ_NULL || type == HZ_UNDEFINED ? (hz_str){"", 0}
                                                            : hz_print(to->call, value);
    if (to->len && to->data[to->len - 1] != '?')
        add(to, "&", 1);
    add_escaped(to, name);
    add(to, "=", 1);
    if (text.data)
        add_escaped(to, text);
}

static bool is_one_of(const char *name, const char *const *list)
{
    for (; *list; list++)
        if (strcasecmp(name, *list) == 0)
            return true;
    return false;
}

static const char *const hop_by_hop[] = {"connection", "keep-alive", "proxy-authenticate", "proxy-authorization",
        "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "content-length", "host", "expect",
        "accept-encoding", "content-encoding", NULL};

/* {error: "Error de proxy: <reason>", originalError: reason} */
static int failed(hz_call *call, const char *reason, const hz_value *meta)
{
    char text[640];
    hz_value *data = hz_object(call);
    snprintf(text, sizeof text, "Error de proxy: %s", reason);
    if (!data || hz_set(data, "error", hz_text(call, text)) != HZ_OK)
        return HZ_ERR_NOMEM;
    if (hz_set(data, "originalError", hz_text(call, reason)) != HZ_OK)
        return HZ_ERR_NOMEM;
    return hz_emit_meta(call, "error", data, meta);
}

/* What the continuation needs again; of the call, like the values in it. */
struct forward {
    const hz_value *headers, *meta;
};

static struct forward *forward_find(hz_call *call)
{
    const hz_value *state = hz_state_get(call);
    struct forward *forward = hz_alloc(call, sizeof *forward);
    if (forward)
        *forward = (struct forward){hz_get(state, "headers"), hz_get(state, "meta")};
    return forward;
}

static int answered(hz_call *call, void *arg)
{
    struct http_job *job = arg;
    struct forward *forward = forward_find(call);
    if (!forward)
        return HZ_ERR_NOMEM;
    if (job->error[0])
        return failed(call, job->error, forward->meta);
    struct hz_http_header headers[HEADERS_MAX];
    struct hz_http_answer answer = {
            .status = job->status, .body = job->body ? job->body : "", .body_len = job->body_len, .headers = headers};
    for (size_t i = 0; i < job->header_count && answer.header_count < HEADERS_MAX - 8; i++)
        if (!is_one_of(job->headers[i].name, hop_by_hop) && !hz_get(forward->headers, job->headers[i].name))
            headers[answer.header_count++] = (struct hz_http_header){job->headers[i].name, job->headers[i].value};
    void *cursor = NULL;
    hz_str name;
    const hz_value *value;
    while (hz_next(forward->headers, &cursor, &name, &value) && answer.header_count < HEADERS_MAX)
        headers[answer.header_count++] = (struct hz_http_header){name.data, hz_as_str(value).data};
    hz_next_stop(&cursor);
    int r = hz_http_answer(call, &answer);
    if (r == HZ_OK || r == HZ_ERR_ALREADY)
        return HZ_OK;
    return failed(call, r == HZ_ERR_LIMIT ? "la respuesta es demasiado grande" : "respuesta inválida", forward->meta);
}

/* The request's body in its own type. NULL, or why not. */
static const char *add_body(hz_call *call, struct http_job *job, const hz_value *request, hz_str type)
{
    const hz_value *body = hz_get(request, "body");
    struct builder form = {.call = call};
    hz_str text;
    if (hz_type_of(body) == HZ_UNDEFINED)
        return NULL;
    if (type.len >= 19 && strncasecmp(type.data, "multipart/form-data", 19) == 0)
        return "multipart/form-data no se puede reenviar";
    if (hz_type_of(body) == HZ_STRING) {
        text = hz_as_str(body);
    } else if (type.len >= 33 && strncasecmp(type.data, "application/x-www-form-urlencoded", 33) == 0) {
        add_form(&form, (hz_str){"", 0}, body, 0);
        text = (hz_str){form.data ? form.data : "", form.len};
    } else {
        text = hz_print(call, body);
    }
    return form.failed || !text.data || http_job_body(job, text.data, text.len) != HZ_OK ? "out of memory" : NULL;
}

static int add_headers(hz_call *call, struct http_job *job, const hz_value *request)
{
    bool all = hz_param_bool(call, "proxyPreserveHeaders", true);
    void *cursor = NULL;
    hz_str name;
    const hz_value *value;
    int r = HZ_OK;
    while (r != HZ_ERR_NOMEM && hz_next(hz_get(request, "headers"), &cursor, &name, &value)) {
        bool content = strcasecmp(name.data, "content-type") == 0;
        if ((all || content) && hz_type_of(value) == HZ_STRING && !is_one_of(name.data, hop_by_hop))
            r = http_job_header(job, name, hz_as_str(value)); /* what is not a header is left out */
    }
    hz_next_stop(&cursor);
    return r == HZ_ERR_NOMEM ? r : HZ_OK;
}

bool proxy_available(void)
{
    return curl_api_get() != NULL;
}

int proxy_forward(hz_call *call, hz_str target, const hz_value *request, const hz_value *headers, const hz_value *meta)
{
    struct builder url = {.call = call};
    hz_str path = hz_as_str(hz_get(request, "endpoint"));
    target = text_trim(target);
    while (target.len && target.data[target.len - 1] == '/')
        target.len--;
    add(&url, target.data, target.len);
    if (!path.len || path.data[0] != '/')
        add(&url, "/", 1);
    if (path.len)
        add(&url, path.data, path.len);
    if (hz_length(hz_get(request, "query"))) {
        add(&url, "?", 1);
        add_form(&url, (hz_str){"", 0}, hz_get(request, "query"), 0);
    }
    hz_value *state = hz_object(call);
    if (url.failed || !state || (headers && hz_set(state, "headers", headers) != HZ_OK) ||
            (meta && hz_set(state, "meta", meta) != HZ_OK) || hz_state_set(call, state) != HZ_OK)
        return HZ_ERR_NOMEM;
    char error[512] = "";
    struct http_job *job;
    int r = http_job_new(hz_as_str(hz_get(request, "method")), (hz_str){url.data, url.len}, error, sizeof error, &job);
    if (r != HZ_OK)
        return error[0] ? failed(call, error, meta) : r;
    http_job_keep_redirects(job);
    hz_str type = hz_as_str(hz_get(hz_get(request, "headers"), "content-type"));
    const char *reason = add_body(call, job, request, type);
    if (!reason && add_headers(call, job, request) != HZ_OK)
        reason = "out of memory";
    if (!reason)
        return http_job_start(call, job, answered);
    http_job_free(&job);
    return failed(call, reason, meta);
}
