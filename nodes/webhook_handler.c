/*
 * webhook_handler - HTTP in. run() asks the host to listen, once per worker; every request is an execution of its own
 * that begins with event(): preflight, security, then redirect, fixed answer or proxy, else the request goes out on
 * `response`. CORS headers go with every answer made here, and in the emission's meta to the http_response that
 * answers later.
 */
#include "text.h"
#include "webhook_auth.h"
#include "webhook_proxy.h"

#define CORS_HEADERS 3

static const char missing_text[] = "Autenticación fallida";

/* Seconds until 506; 0 or not a number counts as 50. */
static double timeout_s(hz_call *call)
{
    double s = value_number(hz_param(call, "timeout"), 50);
    return s > 0 ? (s < 4000000 ? s : 4000000) : 50;
}

/* Switches below the master switch. */
static bool advanced(hz_call *call, const char *key)
{
    return hz_param_bool(call, "advancedOptions", false) && hz_param_bool(call, key, false);
}

static int webhook_handler_run(hz_call *call)
{
    static const char *const keys[] = {"endpoint", "type", "security"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        hz_str reason = hz_param_error(call, keys[i]);
        if (reason.len)
            return hz_fail(call, "%s: %.*s", keys[i], (int)(reason.len < 4096 ? reason.len : 4096), reason.data);
    }
    const char *method = text_copy(call, hz_param_str(call, "type", "get"));
    const char *endpoint = text_copy(call, hz_param_str(call, "endpoint", "/"));
    uint32_t timeout_ms = (uint32_t)(timeout_s(call) * 1000);
    if (!method || !endpoint)
        return HZ_ERR_NOMEM;
    int r = hz_http_listen(call, method, endpoint, timeout_ms);
    if (r == HZ_OK && advanced(call, "enableCors")) {
        r = hz_http_listen(call, "options", endpoint, timeout_ms);
        if (r == HZ_ERR_ALREADY)
            r = HZ_OK; /* another webhook on the same path answers the preflight */
    }
    if (r == HZ_ERR_ALREADY)
        return hz_fail(call, "Ya existe un webhook %s %s", method, endpoint);
    if (r == HZ_ERR_INVALID)
        return hz_fail(call, "Webhook inválido: %s %s", method, endpoint);
    if (r == HZ_OK && advanced(call, "enableProxy") && hz_param_str(call, "proxyUrl", "").len && !proxy_available())
        hz_log(call, HZ_LEVEL_WARN, "webhook: libcurl is not available, the proxy will not work");
    return r;
}

/* {name: value} of the CORS headers, or NULL if they are off (or memory is). */
static hz_value *cors_headers(hz_call *call)
{
    if (!advanced(call, "enableCors"))
        return NULL;
    hz_value *headers = hz_object(call);
    hz_str origin = hz_param_str(call, "corsOrigin", "*");
    if (!headers || set_text(call, headers, "access-control-allow-origin", origin) != HZ_OK)
        return NULL;
    if (set_text(call, headers, "access-control-allow-methods",
                hz_param_str(call, "corsMethods", "GET,POST,PUT,DELETE,OPTIONS")) != HZ_OK)
        return NULL;
    if (set_text(call, headers, "access-control-allow-headers",
                hz_param_str(call, "corsHeaders", "Content-Type,Authorization")) != HZ_OK)
        return NULL;
    return headers;
}

/* Answers with the CORS headers and one more (name NULL: none). */
static int answer(hz_call *call, int status, const char *type, hz_str body, const hz_value *cors, const char *name,
        const char *value)
{
    struct hz_http_header headers[CORS_HEADERS + 1];
    struct hz_http_answer answer = {.status = status,
            .content_type = type,
            .body = body.data ? body.data : "",
            .body_len = body.len,
            .headers = headers};
    void *cursor = NULL;
    hz_str key;
    const hz_value *text;
    while (answer.header_count < CORS_HEADERS && hz_next(cors, &cursor, &key, &text))
        headers[answer.header_count++] = (struct hz_http_header){key.data, hz_as_str(text).data};
    hz_next_stop(&cursor);
    if (name)
        headers[answer.header_count++] = (struct hz_http_header){name, value};
    int r = hz_http_answer(call, &answer);
    if (r == HZ_ERR_INVALID)
        return hz_fail(call, "La respuesta configurada no es válida (código %d o cabeceras)", status);
    return r == HZ_ERR_ALREADY ? HZ_OK : r;
}

/* Security. True: go on, with `ret_auth->security`; false: *ret_result is what event() returns. */
static bool let_in(hz_call *call, const hz_value *request, const hz_value *cors, const hz_value *meta,
        struct auth *ret_auth, int *ret_result)
{
    static const hz_str refused = {missing_text, sizeof missing_text - 1};
    hz_value *data;
    switch (auth_check(call, hz_get(hz_get(request, "headers"), "authorization"), ret_auth)) {
    case AUTH_OK:
        return true;
    case AUTH_REFUSED:
        hz_log(call, HZ_LEVEL_DEBUG, "webhook: request refused, wrong or missing credentials");
        *ret_result =
                answer(call, 401, "text/plain; charset=utf-8", refused, cors, "WWW-Authenticate", ret_auth->challenge);
        return false;
    case AUTH_UNKNOWN:
        *ret_result = hz_fail(call, "Tipo de seguridad desconocido");
        return false;
    case AUTH_MISSING:
    case AUTH_INVALID:
        break;
    }
    data = hz_object(call);
    *ret_result = HZ_ERR_NOMEM;
    if (!data || hz_set(data, "error", hz_text(call, ret_auth->reason ? ret_auth->reason : missing_text)) != HZ_OK)
        return false;
    if (!ret_auth->reason && (hz_set(data, "responseTime", hz_num(call, timeout_s(call) * 1000)) != HZ_OK ||
                                     hz_set(data, "responseCode", hz_int(call, 506)) != HZ_OK))
        return false;
    *ret_result = hz_emit_meta(call, "error", data, meta);
    return false;
}

/* The fixed answer of customResponse. */
static int answer_fixed(hz_call *call, const hz_value *cors)
{
    const hz_value *body = hz_param(call, "responseBody");
    hz_str text = hz_type_of(body) == HZ_STRING      ? hz_as_str(body)
                  : hz_type_of(body) == HZ_UNDEFINED ? (hz_str){"", 0}
                                                     : hz_print(call, body);
    hz_str type = hz_param_str(call, "responseContentType", "application/json");
    static const char charset[] = "; charset=utf-8";
    char *full = hz_alloc(call, type.len + sizeof charset);
    if (!full || !text.data)
        return HZ_ERR_NOMEM;
    memcpy(full, type.data, type.len);
    memcpy(full + type.len, charset, sizeof charset);
    if (memchr(type.data, ';', type.len))
        full[type.len] = 0;
    double status = value_number(hz_param(call, "responseStatusCode"), 200);
    return answer(call, status >= 100 && status < 600 ? (int)status : 0, full, text, cors, NULL, NULL);
}

/* {headers, params, query, body, files, method, endpoint, time, security}; what the request lacks is absent. */
static hz_value *request_data(hz_call *call, const hz_value *request, const hz_value *security)
{
    static const char *const keys[] = {"headers", "params", "query", "body", "files", "method", "endpoint", "time"};
    hz_value *data = hz_object(call);
    for (size_t i = 0; data && i < sizeof keys / sizeof keys[0]; i++) {
        const hz_value *value = hz_get(request, keys[i]);
        if (value && hz_set(data, keys[i], value) != HZ_OK)
            return NULL;
    }
    return data && hz_set(data, "security", security) == HZ_OK ? data : NULL;
}

static int webhook_handler_event(hz_call *call)
{
    const hz_value *request = hz_input(call);
    const hz_value *cors = cors_headers(call);
    hz_value *meta = NULL;
    if (cors) {
        meta = hz_object(call);
        if (!meta || hz_set(meta, "headers", cors) != HZ_OK)
            return HZ_ERR_NOMEM;
    }
    /* A preflight carries no credentials by its nature and learns nothing but the three headers. */
    if (cors && text_is(hz_as_str(hz_get(request, "method")), "OPTIONS"))
        return answer(call, 204, NULL, (hz_str){"", 0}, cors, NULL, NULL);

    struct auth auth;
    int r = HZ_OK;
    if (!let_in(call, request, cors, meta, &auth, &r))
        return r;
    hz_str target = hz_param_str(call, "redirectUrl", "");
    if (advanced(call, "enableRedirect") && target.len) {
        double status = value_number(hz_param(call, "redirectStatusCode"), 302);
        bool known = status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
        const char *location = text_copy(call, target);
        if (!location)
            return HZ_ERR_NOMEM;
        if (memchr(target.data, 0, target.len))
            return hz_fail(call, "La dirección de redirección no es válida");
        return answer(call, known ? (int)status : 302, NULL, (hz_str){"", 0}, cors, "Location", location);
    }
    if (advanced(call, "customResponse"))
        return answer_fixed(call, cors);
    target = hz_param_str(call, "proxyUrl", "");
    if (advanced(call, "enableProxy") && target.len)
        return proxy_forward(call, target, request, cors, meta);
    return hz_emit_meta(call, "response", request_data(call, request, auth.security), meta);
}

#define HIDDEN        "{\"show\":false}"
#define OPTION(value) "{\"label\":\"" value "\",\"value\":\"" value "\"}"

HZ_NODE(.type = "webhook_handler", .title = "Webhook", .group = "Triggers", .icon = "\U000F062F", .color = "#F39C12",
        .desc = "Recibe solicitudes HTTP", .version = HZ_VERSION, .author = "Horizon", .license = "Apache-2.0",
        .flags = HZ_NODE_TRIGGER | HZ_NODE_CONCURRENT, .inputs = HZ_NAMES("input"),
        .outputs = HZ_NAMES("response", "error"), .run = webhook_handler_run, .event = webhook_handler_event,
        .properties = HZ_PROPERTIES(
                {"url", "box", "URL",
                        "[{\"label\":\"Desarrollo\",\"value\":\"/f_{flujo}/api/{ruta}\",\"isCopy\":true},"
                        "{\"label\":\"Producción\",\"value\":\"/{ruta}\",\"isCopy\":true}]",
                        NULL, "{\"size\":4}"},
                {"endpoint", "string", "Ruta", "\"/\"", NULL, "{\"size\":2}"},
                {"type", "options", "Método", "\"get\"",
                        "[{\"label\":\"GET\",\"value\":\"get\"},{\"label\":\"POST\",\"value\":\"post\"},"
                        "{\"label\":\"PATCH\",\"value\":\"patch\"},{\"label\":\"PUT\",\"value\":\"put\"},"
                        "{\"label\":\"DELETE\",\"value\":\"delete\"}]",
                        "{\"size\":1}"},
                {"timeout", "number", "Tiempo máximo (s)", "50", NULL, "{\"size\":1}"},
                {"security", "options", "Seguridad", "\"null\"",
                        "[{\"label\":\"Ninguna\",\"value\":\"null\"},{\"label\":\"Básica\",\"value\":\"basic\"},"
                        "{\"label\":\"JWT\",\"value\":\"jwt\"},{\"label\":\"Bearer\",\"value\":\"bearer\"}]",
                        NULL},
                {"securityBasicUser", "string", "Usuario", "\"\"", NULL, HIDDEN},
                {"securityBasicPass", "string", "Contraseña", "\"\"", NULL, HIDDEN},
                {"securityBearerToken", "string", "Token", "\"\"", NULL, HIDDEN},
                {"securityJWTSecret", "string", "Secreto JWT", "\"\"", NULL, HIDDEN},
                {"advancedOptions", "switch", "Opciones avanzadas", "false", NULL, NULL},
                {"enableRedirect", "switch", "Redirigir", "false", NULL, HIDDEN},
                {"redirectUrl", "string", "Dirección de redirección", "\"\"", NULL, HIDDEN},
                {"redirectStatusCode", "options", "Código de redirección", "302",
                        "[{\"label\":\"301\",\"value\":301},{\"label\":\"302\",\"value\":302},"
                        "{\"label\":\"303\",\"value\":303},{\"label\":\"307\",\"value\":307},"
                        "{\"label\":\"308\",\"value\":308}]",
                        HIDDEN},
                {"enableProxy", "switch", "Reenviar (proxy)", "false", NULL,
                        "{\"show\":false,\"caps\":1,\"capsWhen\":true}"},
                {"proxyUrl", "string", "Dirección de destino", "\"\"", NULL, HIDDEN},
                {"proxyPreserveHeaders", "switch", "Conservar cabeceras", "true", NULL, HIDDEN},
                {"enableCors", "switch", "CORS", "false", NULL, HIDDEN},
                {"corsOrigin", "string", "Origen permitido", "\"*\"", NULL, HIDDEN},
                {"corsMethods", "string", "Métodos permitidos", "\"GET,POST,PUT,DELETE,OPTIONS\"", NULL, HIDDEN},
                {"corsHeaders", "string", "Cabeceras permitidas", "\"Content-Type,Authorization\"", NULL, HIDDEN},
                {"customResponse", "switch", "Respuesta fija", "false", NULL, HIDDEN},
                {"responseStatusCode", "number", "Código de estado", "200", NULL, HIDDEN},
                {"responseContentType", "options", "Tipo de contenido", "\"application/json\"",
                        "[" OPTION("application/json") "," OPTION("text/html") "," OPTION("text/plain") "," OPTION(
                                "application/xml") "]",
                        HIDDEN},
                {"responseBody", "code", "Cuerpo", "\"{\\n  \\\"success\\\": true\\n}\"", NULL,
                        "{\"show\":false,\"lang\":\"json\"}"}))
