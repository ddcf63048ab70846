/*
 * http_response - answers the request of the nearest webhook upstream, then emits what was sent. Runs once per branch.
 */
#include "mime_options.h"
#include "text.h"
#include <strings.h>

#define HEADERS_MAX 64

struct answer {
    struct hz_http_header headers[HEADERS_MAX];
    size_t count;
    bool own_type; /* the flow's headers name a Content-Type */
};

/* Is it `type/subtype`, perhaps with parameters, in characters a header may hold? */
static bool is_mime_type(hz_str type)
{
    const char *slash = memchr(type.data, '/', type.len);
    if (!slash || slash == type.data || slash + 1 == type.data + type.len || type.len > 255)
        return false;
    for (size_t i = 0; i < type.len; i++) {
        unsigned char c = (unsigned char)type.data[i];
        if (c == ';')
            return i > (size_t)(slash + 1 - type.data) && !memchr(type.data, '\r', type.len) &&
                   !memchr(type.data, '\n', type.len) && !memchr(type.data, 0, type.len);
        if (c <= ' ' || c >= 127 || (strchr("\"(),:<=>?@[\\]{}", c)))
            return false;
    }
    return true;
}

static bool ends_with(hz_str text, const char *tail)
{
    size_t len = strlen(tail);
    return text.len >= len && strncasecmp(text.data + text.len - len, tail, len) == 0;
}

/* Types whose bytes are text, so that a character set belongs to them. */
static bool is_text_type(hz_str type)
{
    static const char *const whole[] = {"application/json", "application/xml", "application/javascript",
            "application/x-javascript", "application/ecmascript", "application/graphql", "application/yaml",
            "application/x-ndjson", "application/sql", "application/xml-dtd"};
    if (type.len >= 5 && strncasecmp(type.data, "text/", 5) == 0)
        return true;
    for (size_t i = 0; i < sizeof whole / sizeof whole[0]; i++)
        if (type.len == strlen(whole[i]) && ends_with(type, whole[i]))
            return true;
    return ends_with(type, "+json") || ends_with(type, "+xml") || ends_with(type, "+yaml");
}

/* Adds or replaces a header; names compare in any letter case. False: too many, or out of memory. */
static bool put_header(hz_call *call, struct answer *answer, hz_str name, hz_str value)
{
    size_t i = 0;
    while (i < answer->count && strcasecmp(answer->headers[i].name, name.data) != 0)
        i++;
    if (i == HEADERS_MAX)
        return false;
    const char *name_copy = text_copy(call, name), *value_copy = text_copy(call, value);
    if (!name_copy || !value_copy)
        return false;
    answer->headers[i] = (struct hz_http_header){name_copy, value_copy};
    answer->count += i == answer->count;
    return true;
}

/* Adds the members of `object`. NULL, or the reason why not. */
static const char *put_headers(hz_call *call, struct answer *answer, const hz_value *object)
{
    /* the connection's own headers are the server's */
    static const char *const refused[] = {"content-length", "transfer-encoding", "connection", "keep-alive", "upgrade"};
    const hz_value *value;
    const char *reason = NULL;
    void *cursor = NULL;
    hz_str name;
    while (!reason && hz_next(object, &cursor, &name, &value)) {
        enum hz_type type = hz_type_of(value);
        bool skip = type == HZ_NULL || type == HZ_UNDEFINED;
        hz_str text = type == HZ_STRING ? hz_as_str(value) : skip ? (hz_str){"", 0} : hz_print(call, value);
        if (!name.len || memchr(name.data, '\r', name.len) || memchr(name.data, '\n', name.len) ||
                memchr(name.data, 0, name.len))
            reason = "Nombre de cabecera inválido";
        else if (text.len && (memchr(text.data, '\r', text.len) || memchr(text.data, '\n', text.len) ||
                                     memchr(text.data, 0, text.len)))
            reason = "Valor de cabecera inválido";
        for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
            skip = skip || strcasecmp(name.data, refused[i]) == 0;
        if (reason || skip)
            continue;
        answer->own_type = answer->own_type || strcasecmp(name.data, "content-type") == 0;
        if (!put_header(call, answer, name, text))
            reason = "Demasiadas cabeceras";
    }
    hz_next_stop(&cursor);
    return reason;
}

/* `attachment; filename="..."`, with the name's quotes escaped, and once more in the form of RFC 6266 if it is not
 * ASCII. NULL: the name has control characters, or out of memory. */
static const char *disposition(hz_call *call, hz_str name)
{
    size_t size = name.len * 5 + 64, n;
    char *text = hz_alloc(call, size);
    bool ascii = true;
    if (!text)
        return NULL;
    n = (size_t)snprintf(text, size, "attachment; filename=\"");
    for (size_t i = 0; i < name.len; i++) {
        unsigned char c = (unsigned char)name.data[i];
        if (c < ' ' || c == 127)
            return NULL;
        ascii = ascii && c < 128;
        if (c == '"' || c == '\\')
            text[n++] = '\\';
        text[n++] = (char)c;
    }
    text[n++] = '"';
    if (!ascii) {
        n += (size_t)snprintf(text + n, size - n, "; filename*=UTF-8''");
        for (size_t i = 0; i < name.len; i++) {
            unsigned char c = (unsigned char)name.data[i];
            bool plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '.' ||
                         c == '-' || c == '_';
            n += (size_t)snprintf(text + n, size - n, plain ? "%c" : "%%%02X", c);
        }
    }
    text[n] = 0;
    return text;
}

/* {statusCode: 500, error: reason} on `error`. */
static int report(hz_call *call, const char *reason, size_t len)
{
    hz_value *data = hz_object(call);
    if (!data || hz_set(data, "statusCode", hz_int(call, 500)) != HZ_OK)
        return HZ_ERR_NOMEM;
    if (hz_set(data, "error", hz_string(call, reason, len)) != HZ_OK)
        return HZ_ERR_NOMEM;
    return hz_emit(call, "error", data);
}

/* The answer cannot be made: the caller gets 500, the flow the reason. */
static int refuse(hz_call *call, const char *reason, size_t len)
{
    static const char text[] = "Error en respuesta ";
    struct hz_http_answer answer = {
            .status = 500, .content_type = "text/plain; charset=utf-8", .body = text, .body_len = sizeof text - 1};
    (void)hz_http_answer(call, &answer);
    return report(call, reason, len);
}

/* Content-Type as it is sent; NULL with the reason if it is none. */
static const char *content_type(hz_call *call, const char **ret_reason)
{
    hz_str type = text_trim(hz_param_str(call, "contentType", "application/json"));
    if (!is_mime_type(type)) {
        *ret_reason = "Tipo de contenido inválido";
        return NULL;
    }
    static const char charset[] = "; charset=utf-8";
    bool add = !memchr(type.data, ';', type.len) && is_text_type(type);
    char *text = hz_alloc(call, type.len + sizeof charset);
    if (!text) {
        *ret_reason = "out of memory";
        return NULL;
    }
    memcpy(text, type.data, type.len);
    memcpy(text + type.len, add ? charset : "", add ? sizeof charset : 1);
    return text;
}

static int done(hz_call *call, int status, const hz_value *response)
{
    hz_value *data = hz_object(call), *meta = hz_object(call);
    if (!data || !meta || hz_set(data, "statusCode", hz_int(call, status)) != HZ_OK)
        return HZ_ERR_NOMEM;
    hz_str type = hz_param_str(call, "contentType", "application/json");
    if (hz_set(data, "response", response) != HZ_OK || set_text(call, data, "contentType", type) != HZ_OK)
        return HZ_ERR_NOMEM;
    if (set_text(call, meta, "answeredBy", hz_node_id(call)) != HZ_OK)
        return HZ_ERR_NOMEM;
    return hz_emit_meta(call, "response", data, meta);
}

static int http_response_run(hz_call *call)
{
    struct answer headers = {.count = 0};
    const hz_value *webhook, *seen = NULL;
    const char *reason = NULL;
    hz_str error, id = hz_node_id(call);
    if (hz_upstream(call, "http_response", NULL, &seen) == HZ_OK) {
        hz_str by = hz_as_str(hz_get(seen, "answeredBy"));
        if (by.len == id.len && memcmp(by.data, id.data, id.len) == 0)
            return HZ_OK; /* this branch was here before */
    }
    if (hz_upstream(call, "webhook_handler", NULL, &webhook) != HZ_OK)
        return hz_fail(call, "No se encontró el nodo");

    static const char *const keys[] = {"response", "status", "contentType", "header", "nameFile"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        error = hz_param_error(call, keys[i]);
        if (error.len)
            return refuse(call, error.data, error.len);
    }
    struct hz_http_answer answer = {.content_type = content_type(call, &reason)};
    double status = value_number(hz_param(call, "status"), 200);
    answer.status = status >= 100 && status <= 599 ? (int)status : 0;
    if (!answer.status)
        reason = "Código de estado inválido";
    const hz_value *extra = param_json(call, "header", &error);
    if (!reason && error.len && text_trim(hz_as_str(extra)).len)
        reason = "Las cabeceras no son JSON válido";
    if (!reason)
        reason = put_headers(call, &headers, hz_get(webhook, "headers"));
    headers.own_type = false; /* the webhook's headers are not the flow's */
    if (!reason && hz_type_of(extra) == HZ_OBJECT)
        reason = put_headers(call, &headers, extra);
    if (!reason && hz_param_bool(call, "isFile", false)) {
        const char *value = disposition(call, hz_param_str(call, "nameFile", ""));
        if (!value)
            reason = "Nombre de archivo inválido";
        else if (!put_header(call, &headers, (hz_str){"Content-Disposition", 19}, (hz_str){value, strlen(value)}))
            reason = "Demasiadas cabeceras";
    }
    if (reason)
        return refuse(call, reason, strlen(reason));

    const hz_value *response = hz_param(call, "response");
    hz_str body = {"", 0};
    if (hz_type_of(response) == HZ_STRING)
        body = hz_as_str(response);
    else if (hz_type_of(response) != HZ_UNDEFINED)
        body = hz_print(call, response);
    if (!body.data)
        return HZ_ERR_NOMEM;
    bool bodiless = answer.status < 200 || answer.status == 204 || answer.status == 304;
    answer.body = body.data;
    answer.body_len = bodiless ? 0 : body.len;
    answer.headers = headers.headers;
    answer.header_count = headers.count;
    if (headers.own_type || bodiless)
        answer.content_type = NULL;

    int r = hz_http_answer(call, &answer);
    if (r == HZ_OK)
        return done(call, answer.status, response ? response : hz_null(call));
    if (r == HZ_ERR_ALREADY)
        return report(call, "La solicitud ya fue respondida", sizeof "La solicitud ya fue respondida" - 1);
    if (r == HZ_ERR_NOENT)
        return hz_fail(call, "No se encontró el nodo");
    reason = r == HZ_ERR_INVALID ? "Cabecera o código de estado inválido"
             : r == HZ_ERR_LIMIT ? "La respuesta es demasiado grande"
                                 : "No se pudo enviar la respuesta";
    return refuse(call, reason, strlen(reason));
}

#define STATUS(code, text) "{\"label\":\"" #code " " text "\",\"value\":" #code "}"

HZ_NODE(.type = "http_response", .title = "Response", .group = "Input/Output", .icon = "\U000F045A", .color = "#3498DB",
        .desc = "Responde a la solicitud HTTP que inició la ejecución", .version = HZ_VERSION, .author = "Horizon",
        .license = "Apache-2.0", .flags = HZ_NODE_CONCURRENT, .inputs = HZ_NAMES("input"),
        .outputs = HZ_NAMES("response", "error"), .run = http_response_run,
        .properties = HZ_PROPERTIES({"contentType", "options", "Tipo de contenido", "\"application/json\"",
                                            mime_options, "{\"size\":2,\"custom\":true}"},
                {"status", "options", "Código de estado", "200",
                        "[" STATUS(100, "Continue") "," STATUS(101, "Switching Protocols") "," STATUS(
                                200, "OK") "," STATUS(201, "Created") "," STATUS(202, "Accepted") "," STATUS(204,
                                "No Content") "," STATUS(206, "Partial Content") "," STATUS(300,
                                "Multiple Choices") "," STATUS(301, "Moved Permanently") "," STATUS(302,
                                "Found") "," STATUS(304, "Not Modified") "," STATUS(307,
                                "Temporary Redirect") "," STATUS(308, "Permanent Redirect") "," STATUS(400,
                                "Bad Request") "," STATUS(401, "Unauthorized") "," STATUS(403,
                                "Forbidden") "," STATUS(404, "Not Found") "," STATUS(405,
                                "Method Not Allowed") "," STATUS(409, "Conflict") "," STATUS(410,
                                "Gone") "," STATUS(429, "Too Many Requests") "," STATUS(500,
                                "Internal Server Error") "," STATUS(501, "Not Implemented") "," STATUS(503,
                                "Service Unavailable") "," STATUS(504, "Gateway Timeout") "]",
                        "{\"size\":2,\"custom\":true}"},
                {"isFile", "switch", "Enviar como archivo", "false", NULL, NULL},
                {"nameFile", "string", "Nombre del archivo", "\"\"", NULL, "{\"show\":false}"},
                {"response", "code", "Respuesta", "\"{\\n}\"", NULL, "{\"lang\":\"json\"}"},
                {"header", "code", "Cabeceras", "\"{\\n}\"", NULL,
                        "{\"lang\":\"json\",\"description\":\"Cabeceras adicionales de la respuesta\"}"}))
