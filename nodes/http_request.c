/*
 * http_request - one HTTP call. 2xx goes out on `response` with the parsed body, everything else on `error`. The call
 * waits in the worker's main loop (http_client.c) and holds no thread.
 */
#include "http_client.h"
#include "text.h"
#include <strings.h>

/* When the process that workers are forked from loads this node, it also pays for the libraries' start, once (OpenSSL
 * reads its tables and configuration: some milliseconds). No thread, socket or random number is made by that. */
__attribute__((constructor)) static void warm_up(void)
{
    (void)curl_api_get();
}

/* The text of a header's value; {NULL, 0}: leave the header out. */
static hz_str header_value(hz_call *call, const hz_value *value)
{
    enum hz_type type = hz_type_of(value);
    if (type == HZ_STRING)
        return hz_as_str(value);
    if (type == HZ_UNDEFINED || type == HZ_NULL)
        return (hz_str){NULL, 0};
    return hz_print(call, value);
}

/* Headers of the property, then ours. Returns HZ_OK, or an error with the text in error[size]. */
static int add_headers(hz_call *call, struct http_job *job, bool safe, char *error, size_t size)
{
    hz_str reason, name, type = hz_param_str(call, "contentType", "application/json");
    const hz_value *headers = param_json(call, "headers", &reason), *value;
    void *cursor = NULL;
    bool accept = false, key = false;
    int r = HZ_OK;
    if (reason.len && text_trim(hz_as_str(headers)).len) {
        snprintf(error, size, "Error: headers: %.*s", (int)(reason.len < 400 ? reason.len : 400), reason.data);
        return HZ_ERR_INVALID;
    }
    while (r == HZ_OK && hz_type_of(headers) == HZ_OBJECT && hz_next(headers, &cursor, &name, &value)) {
        hz_str text = header_value(call, value);
        if (!text.data || (type.len && name.len == 12 && strncasecmp(name.data, "content-type", 12) == 0))
            continue;
        key = key || (name.len == 15 && strncasecmp(name.data, "idempotency-key", 15) == 0);
        accept = accept || (name.len == 6 && strncasecmp(name.data, "accept", 6) == 0);
        r = http_job_header(job, name, text);
        if (r == HZ_ERR_INVALID)
            snprintf(error, size, "TypeError: Invalid character in header content [\"%.*s\"]",
                    (int)(name.len < 200 ? name.len : 200), name.data);
    }
    hz_next_stop(&cursor);
    if (r == HZ_OK && !accept)
        r = http_job_header(job, (hz_str){"Accept", 6}, (hz_str){"application/json, text/plain, */*", 33});
    if (r == HZ_OK && !safe && !key) { /* the other side can tell a second attempt from a second request */
        hz_str id = hz_idempotency_key(call);
        r = id.data ? http_job_header(job, (hz_str){"Idempotency-Key", 15}, id) : HZ_ERR_NOMEM;
    }
    if (r == HZ_OK && type.len) {
        r = http_job_header(job, (hz_str){"Content-Type", 12}, type);
        if (r == HZ_ERR_INVALID)
            snprintf(error, size, "TypeError: Invalid character in header content [\"Content-Type\"]");
    }
    return r;
}

/* The body: text as it is, everything else as JSON. With GET only what the flow has set, which the default `{}` is
 * not. */
static int add_body(hz_call *call, struct http_job *job, bool get)
{
    const hz_value *body = hz_param(call, "body");
    enum hz_type type = hz_type_of(body);
    if (type == HZ_UNDEFINED)
        return HZ_OK;
    hz_str text = type == HZ_STRING ? hz_as_str(body) : hz_print(call, body);
    if (!text.data)
        return HZ_ERR_NOMEM;
    if (get && ((type == HZ_OBJECT && hz_length(body) == 0) || type == HZ_NULL || text_trim(text).len == 0))
        return HZ_OK;
    return http_job_body(job, text.data, text.len);
}

static int answered(hz_call *call, void *arg)
{
    struct http_job *job = arg;
    if (job->error[0])
        return hz_fail(call, "%s", job->error);
    if (job->status < 200 || job->status > 299)
        return hz_fail(call, "Request failed with status code %d", job->status);
    const hz_value *data = job->body_len ? hz_parse(call, job->body, job->body_len, NULL) : NULL;
    if (!data)
        data = hz_string(call, job->body ? job->body : "", job->body_len);
    return hz_emit(call, "response", data);
}

static int http_request_run(hz_call *call)
{
    static const char *const keys[] = {"url", "type", "headers", "body", "contentType"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        hz_str reason = hz_param_error(call, keys[i]);
        if (reason.len)
            return hz_fail(call, "%.*s", (int)(reason.len < 4096 ? reason.len : 4096), reason.data);
    }
    char error[512] = "";
    struct http_job *job;
    hz_str method = hz_param_str(call, "type", "get");
    int r = http_job_new(method, hz_param_str(call, "url", ""), error, sizeof error, &job);
    if (r != HZ_OK)
        return error[0] ? hz_fail(call, "%s", error) : r;
    bool safe = strcmp(job->method, "GET") == 0 || strcmp(job->method, "HEAD") == 0;
    r = add_headers(call, job, safe, error, sizeof error);
    if (r == HZ_OK)
        r = add_body(call, job, safe);
    if (r == HZ_OK)
        return http_job_start(call, job, answered);
    http_job_free(&job);
    return error[0] ? hz_fail(call, "%s", error) : r;
}

HZ_NODE(.type = "http_request", .title = "Request", .group = "Input/Output", .icon = "\U000F059F", .color = "#2ECC71",
        .desc = "Hace una petición HTTP", .version = HZ_VERSION, .author = "Horizon", .license = "Apache-2.0",
        .flags = HZ_NODE_CONCURRENT, .caps = HZ_CAP_NET, .inputs = HZ_NAMES("input"),
        .outputs = HZ_NAMES("response", "error"), .run = http_request_run,
        .properties = HZ_PROPERTIES(
                {"type", "options", "Método", "\"get\"",
                        "[{\"label\":\"GET\",\"value\":\"get\"},{\"label\":\"POST\",\"value\":\"post\"},"
                        "{\"label\":\"PUT\",\"value\":\"put\"},{\"label\":\"DELETE\",\"value\":\"delete\"}]",
                        "{\"size\":1}"},
                {"url", "string", "URL", "\"\"", NULL, "{\"size\":3,\"placeholder\":\"https://\"}"},
                {"contentType", "string", "Content-Type", "\"application/json\"", NULL, NULL},
                {"headers", "code", "Cabeceras", "\"{\\n}\"", NULL, "{\"lang\":\"json\"}"},
                {"body", "code", "Cuerpo", "\"{\\n}\"", NULL, "{\"lang\":\"json\"}"}))
