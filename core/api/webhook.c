/*
 * webhook.c - a request that no route knows: does a flow listen there? Then its parts go to the flow's worker, and its
 * answer comes back; else the page that says there is nothing. Shard's thread of the connection.
 */
#include "internal.h"

#include "core/http/http.h"
#include "core/scheduler.h"
#include "form.h"

#include "shm/err.h"
#include "shm/text.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { HEADERS_MAX = 256, COOKIES_MAX = 16, META_MAX = 63 << 20 }; /* a message to a worker has 64 MiB */

struct call { /* one request on its way */
    struct hz_http_request *request;
    uint64_t ticket;
    bool asking, answered; /* asking: inside hz_scheduler_http() */
};

/* ---- answers of ours ---- */
static void answer_page(struct hz_http_request *request, uint32_t status, const char *text)
{
    char page[1024];
    int len = snprintf(page, sizeof page,
            "<!DOCTYPE html>\n<html lang=\"es\">\n<head><meta charset=\"utf-8\"><title>%u "
            "%s</title></head>\n<body><h1>%s</h1><p>%s</p></body>\n</html>\n",
            (unsigned)status, hz_http_reason(status), hz_http_reason(status), text);
    hz_http_respond(request, &(struct hz_http_response){.status = status,
                                     .type = "text/html; charset=utf-8",
                                     .body = page,
                                     .len = len > 0 ? HZ_MIN((size_t)len, sizeof page - 1) : 0,
                                     .webhook = true});
}

static void answer_error(struct hz_http_request *request, uint32_t status, const char *error)
{
    struct hz_json json = {0};
    hz_json_open(&json, '{');
    HZ_JSON_KEY(&json, "error");
    hz_json_text(&json, error);
    hz_json_close(&json, '}');
    hz_http_respond(request, &(struct hz_http_response){.status = status,
                                     .type = "application/json; charset=utf-8",
                                     .body = json.failed ? "" : json.data,
                                     .len = json.failed ? 0 : json.len,
                                     .webhook = true});
    hz_json_fini(&json);
}

/* OPTIONS on a path some flow listens at: which methods, for a page of any origin. */
static void answer_options(struct hz_http_request *request, const char *path)
{
    static const char *const methods[] = {"GET", "POST", "PUT", "PATCH", "DELETE"};
    char allow[64] = "", headers[512];
    for (size_t i = 0; i < HZ_COUNT_OF(methods); i++) {
        struct hz_webhook_match match = {.params = NULL};
        if (hz_webhooks_match(hz_http_local_port(request), methods[i], path, &match) != 1)
            continue;
        free(match.params);
        size_t used = strlen(allow);
        snprintf(allow + used, sizeof allow - used, "%s%s", used ? ", " : "", i ? methods[i] : "GET, HEAD");
    }
    const char *wanted = hz_http_header(request, "Access-Control-Request-Headers");
    int len = snprintf(headers, sizeof headers,
            "Allow: %s\nAccess-Control-Allow-Methods: %s\nAccess-Control-Allow-Headers: %.200s\n", allow, allow,
            wanted ? wanted : "Content-Type");
    hz_http_respond(request, &(struct hz_http_response){.status = 204,
                                     .headers = headers,
                                     .headers_len = len > 0 ? HZ_MIN((size_t)len, sizeof headers - 1) : 0,
                                     .webhook = true});
}

/* ---- the request as JSON ---- */
struct header {
    const char *name, *value;
};
struct headers {
    struct header list[HEADERS_MAX];
    size_t count;
    char *cookies[COOKIES_MAX]; /* values of our own making */
    size_t cookie_count;
};

/* A cookie header without the sessions of people who are logged in here: who writes flows would else be whoever opens one. malloc'ed,
 * NULL: nothing is left, or no memory. */
static char *without_sessions(const char *value)
{
    static const char ours[] = "horizon_";
    char *rest = malloc(strlen(value) + 3), *to = rest;
    while (rest && *value) {
        value += strspn(value, " \t;");
        size_t len = strcspn(value, ";");
        if (len > 0 && strncmp(value, ours, sizeof ours - 1) != 0) {
            to += sprintf(to, "%s", to > rest ? "; " : "");
            memcpy(to, value, len);
            to += len;
        }
        value += len;
    }
    if (to == rest) {
        free(rest);
        return NULL;
    }
    *to = 0;
    return rest;
}

static bool is_own_token(const char *value)
{
    return strncasecmp(value, "Bearer ", 7) == 0 && strncmp(value + 7 + strspn(value + 7, " "), "hzt_", 4) == 0;
}

static void on_header(void *arg, const char *name, const char *value)
{
    struct headers *headers = arg;
    if (headers->count == HEADERS_MAX || (strcasecmp(name, "Authorization") == 0 && is_own_token(value)))
        return;
    if (strcasecmp(name, "Cookie") == 0) {
        char *rest = headers->cookie_count < COOKIES_MAX ? without_sessions(value) : NULL;
        if (!rest)
            return;
        headers->cookies[headers->cookie_count++] = rest;
        value = rest;
    }
    headers->list[headers->count++] = (struct header){name, value};
}

/* Bytes that are not UTF-8 are Latin-1, as HTTP once said. */
static void add_latin(struct hz_json *json, const char *value, size_t len)
{
    if (hz_text_is_utf8(value, len)) {
        hz_json_string(json, value, len);
        return;
    }
    char *text = malloc(2 * len + 1), *to = text;
    if (!text) {
        json->failed = true;
        return;
    }
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)value[i];
        if (c >= 0x80)
            *to++ = (char)(0xc0 | c >> 6);
        *to++ = (char)(c >= 0x80 ? 0x80 | (c & 0x3f) : c);
    }
    hz_json_string(json, text, (size_t)(to - text));
    free(text);
}

/* Values of a header that came more than once are joined, each name stands once, in lower case. */
static void add_header(struct hz_json *json, const struct headers *headers, size_t first)
{
    char name[256], joined[8192];
    size_t len = 0;
    const struct header *header = &headers->list[first];
    for (; len < sizeof name - 1 && header->name[len]; len++)
        name[len] = (char)tolower((unsigned char)header->name[len]);
    name[len] = 0;
    for (size_t i = 0; i < first; i++)
        if (strcasecmp(headers->list[i].name, header->name) == 0)
            return;
    hz_json_key(json, name, len);
    size_t used = 0;
    bool several = false;
    for (size_t i = first + 1; i < headers->count && !several; i++)
        several = strcasecmp(headers->list[i].name, header->name) == 0;
    if (!several) {
        add_latin(json, header->value, strlen(header->value));
        return;
    }
    const char *glue = strcmp(name, "cookie") == 0 ? "; " : ", ";
    for (size_t i = first; i < headers->count; i++) {
        if (strcasecmp(headers->list[i].name, header->name) != 0)
            continue;
        int n = snprintf(joined + used, sizeof joined - used, "%s%s", used ? glue : "", headers->list[i].value);
        used = n > 0 ? HZ_MIN(used + (size_t)n, sizeof joined - 1) : used;
    }
    add_latin(json, joined, used);
}

/* body, files: NULL if there is none of that kind. */
static void print_meta(struct hz_json *json, struct hz_http_request *request, const char *params, const json_t *query,
        const json_t *body, const json_t *files)
{
    struct headers headers;
    headers.count = headers.cookie_count = 0;
    hz_http_each_header(request, on_header, &headers);
    hz_json_open(json, '{');
    HZ_JSON_KEY(json, "headers");
    hz_json_open(json, '{');
    for (size_t i = 0; i < headers.count; i++)
        add_header(json, &headers, i);
    hz_json_close(json, '}');
    while (headers.cookie_count > 0)
        free(headers.cookies[--headers.cookie_count]);
    HZ_JSON_KEY(json, "params");
    hz_json_raw(json, params ? params : "{}", params ? strlen(params) : 2);
    HZ_JSON_KEY(json, "query");
    if (query)
        hz_json_value(json, query);
    else
        hz_json_raw(json, "{}", 2);
    if (body) {
        HZ_JSON_KEY(json, "body");
        hz_json_value(json, body);
    }
    if (files) {
        HZ_JSON_KEY(json, "files");
        hz_json_value(json, files);
    }
    HZ_JSON_KEY(json, "method");
    hz_json_text(json, hz_http_method(request));
    HZ_JSON_KEY(json, "endpoint");
    hz_json_text(json, hz_http_path(request));
    HZ_JSON_KEY(json, "time");
    hz_json_int(json, hz_base_wall_ms());
    hz_json_close(json, '}');
}

/* ---- multipart ---- */
struct multipart {
    json_t *body, *files;
    char *data; /* of the part at hand */
    size_t len, capacity;
    char *name, *file, *type;
    bool failed;
    unsigned fields;
};

static void end_part(struct multipart *form)
{
    if (!form->name)
        return;
    json_t *value;
    json_t *into = form->file ? form->files : form->body;
    if (form->file)
        value = json_pack("{s:o,s:I,s:s,s:o}", "name", hz_json_string_of(form->file, strlen(form->file)), "size",
                (json_int_t)form->len, "mimetype", form->type ? form->type : "application/octet-stream", "data",
                hz_form_base64(form->data, form->len));
    else
        value = hz_json_string_of(form->data ? form->data : "", form->len);
    if (hz_form_set(into, form->name, value))
        form->failed = true;
    free(form->name);
    free(form->file);
    free(form->type);
    form->name = form->file = form->type = NULL;
    form->len = 0;
}

static bool on_part(
        void *arg, const char *name, const char *file, const char *type, const char *data, uint64_t offset, size_t len)
{
    struct multipart *form = arg;
    if (offset == 0) {
        end_part(form);
        if (!hz_text_is_utf8(name, strlen(name)) || ++form->fields > HZ_FORM_FIELDS) {
            form->failed = true;
            return false;
        }
        form->name = strdup(name);
        form->file = file ? strdup(file) : NULL;
        form->type = type && hz_text_is_utf8(type, strlen(type)) ? strdup(type) : NULL;
        form->failed |= !form->name || (file && !form->file);
    }
    if (form->len + len > form->capacity) {
        size_t capacity = HZ_MAX(form->len + len, form->capacity * 2);
        char *grown = realloc(form->data, capacity);
        if (!grown) {
            form->failed = true;
            return false;
        }
        form->data = grown;
        form->capacity = capacity;
    }
    if (len)
        memcpy(form->data + form->len, data, len);
    form->len += len;
    return !form->failed;
}

static int read_multipart(struct hz_http_request *request, json_t **ret_body, json_t **ret_files)
{
    struct multipart form = {.body = json_object(), .files = json_object()};
    int err = form.body && form.files ? hz_http_multipart(request, on_part, &form) : HZ_ENOMEM;
    end_part(&form);
    free(form.data);
    if (!err && form.failed)
        err = HZ_EFORMAT;
    if (err) {
        json_decref(form.body);
        json_decref(form.files);
        return err;
    }
    *ret_body = form.body;
    *ret_files = form.files;
    return 0;
}

/* ---- kinds of bodies ---- */
static bool is_type(const char *type, const char *wanted)
{
    size_t len = strlen(wanted);
    return type && strncasecmp(type, wanted, len) == 0 && (type[len] == 0 || type[len] == ';' || type[len] == ' ');
}

static bool is_json_type(const char *type)
{
    size_t len = type ? strcspn(type, "; ") : 0;
    return is_type(type, "application/json") || (len > 5 && strncasecmp(type + len - 5, "+json", 5) == 0);
}

/* ---- to the flow and back ---- */
static bool needs_charset(const char *type, size_t len)
{
    size_t name = 0;
    while (name < len && type[name] != ';' && type[name] != ' ')
        name++;
    for (size_t i = name; i + 8 <= len; i++)
        if (strncasecmp(type + i, "charset=", 8) == 0)
            return false;
    static const char *const texts[] = {"application/json", "application/xml", "application/javascript"};
    if (name > 5 && strncasecmp(type, "text/", 5) == 0)
        return true;
    for (size_t i = 0; i < HZ_COUNT_OF(texts); i++)
        if (name == strlen(texts[i]) && strncasecmp(type, texts[i], name) == 0)
            return true;
    return name > 5 && strncasecmp(type + name - 5, "+json", 5) == 0;
}

static void send_reply(struct hz_http_request *request, const struct hz_http_reply *reply)
{
    char type[256] = "", *headers = NULL;
    size_t headers_len = reply->headers_len;
    if (reply->status < 200 || reply->status > 599) { /* an answer of its own is not made of these */
        answer_error(request, 500, "Error en respuesta ");
        return;
    }
    if (reply->type_len && reply->type_len < sizeof type - 20)
        snprintf(type, sizeof type, "%.*s%s", (int)reply->type_len, reply->type,
                needs_charset(reply->type, reply->type_len) ? "; charset=utf-8" : "");
    if (reply->retry_after_s) {
        int len = asprintf(&headers, "Retry-After: %u\n%.*s", (unsigned)reply->retry_after_s, (int)reply->headers_len,
                reply->headers ? reply->headers : "");
        headers_len = len > 0 ? (size_t)len : 0;
        if (len < 0)
            headers = NULL;
    }
    hz_http_respond(request, &(struct hz_http_response){.status = reply->status,
                                     .type = type,
                                     .body = reply->body,
                                     .len = reply->body_len,
                                     .headers = headers ? headers : reply->headers,
                                     .headers_len = headers_len,
                                     .webhook = true});
    free(headers);
}

static void on_reply(void *arg, const struct hz_http_reply *reply)
{
    struct call *call = arg;
    call->answered = true;
    send_reply(call->request, reply);
    if (!call->asking)
        free(call);
}

static void on_gone(void *arg)
{
    struct call *call = arg;
    hz_scheduler_http_gone(call->ticket);
    free(call);
}

static void pass_on(struct hz_http_request *request, const struct hz_http_call *http_call)
{
    struct call *call = calloc(1, sizeof *call);
    if (!call) {
        answer_error(request, 503, hz_err_text(HZ_ENOMEM));
        return;
    }
    call->request = request;
    call->asking = true;
    hz_scheduler_http(http_call, on_reply, call, &call->ticket);
    call->asking = false;
    if (call->answered)
        free(call);
    else
        hz_http_on_gone(request, on_gone, call);
}

static void run_flow(struct hz_http_request *request, const struct hz_webhook_match *match)
{
    size_t len;
    const char *text = hz_http_body(request, &len), *type = hz_http_header(request, "Content-Type"),
               *raw_query = hz_http_raw_query(request);
    json_t *query = NULL, *body = NULL, *files = NULL;
    const char *error = NULL;
    uint32_t status = 400;
    bool raw = false;
    if (*raw_query && hz_form_decode(raw_query, strlen(raw_query), &query))
        error = "the query has too many fields";
    else if (len == 0)
        ; /* no body: the member is absent */
    else if (is_json_type(type)) {
        raw = true;
        if (!hz_form_is_json(text, len))
            error = "the body is no JSON";
    } else if (is_type(type, "application/x-www-form-urlencoded")) {
        int err = hz_form_decode(text, len, &body);
        status = err == HZ_ETOOBIG ? 413 : 400;
        error = err ? "the form has too many fields" : NULL;
    } else if (is_type(type, "multipart/form-data")) {
        if (read_multipart(request, &body, &files))
            error = "the form does not end with its boundary, or has too many fields";
    } else
        raw = true;
    struct hz_json meta = {0};
    if (!error)
        print_meta(&meta, request, match->params, query, body, files);
    if (!error && meta.failed) {
        status = 503;
        error = hz_err_text(HZ_ENOMEM);
    } else if (!error && meta.len + (raw ? len : 0) > META_MAX) {
        status = 413;
        error = "the request is larger than a message to a flow may be (64 MiB, files count a third more)";
    }
    if (error)
        answer_error(request, status, error);
    else
        pass_on(request, &(struct hz_http_call){.match = *match,
                                 .meta = meta.data,
                                 .meta_len = meta.len,
                                 .type = type ? type : "",
                                 .type_len = type ? strlen(type) : 0,
                                 .body = raw ? text : "",
                                 .body_len = raw ? len : 0});
    hz_json_fini(&meta);
    json_decref(query);
    json_decref(body);
    json_decref(files);
}

static void on_request(struct hz_http_request *request, void *arg)
{
    (void)arg;
    struct hz_webhook_match match = {.params = NULL};
    const char *method = hz_http_method(request), *path = hz_http_path(request);
    uint32_t port = hz_http_local_port(request);
    int found = hz_webhooks_match(port, method, path, &match);
    if (found != 1 && strcmp(method, "HEAD") == 0)
        found = hz_webhooks_match(port, "GET", path, &match);
    if (found == 1)
        run_flow(request, &match);
    else if (found < 0 && strcmp(method, "OPTIONS") == 0)
        answer_options(request, path);
    else
        answer_page(request, 404, "No hay nada en esta ruta.");
    free(match.params);
}

void hz_webhook_init(void)
{
    hz_http_fallback(on_request, NULL);
}
