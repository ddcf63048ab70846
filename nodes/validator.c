/*
 * validator - checks the payload, or a part of it, against a JSON Schema (draft-07; validator_schema.c does the work)
 * and sends it out on `valid` or `invalid`.
 */
#include "text.h"
#include "validator_schema.h"

/* JavaScript's false values: nothing to validate. */
static bool is_empty(const hz_value *data)
{
    return !hz_as_bool(data);
}

/* Follows a dotted path; a part that is a number also counts into a list. NULL: leads nowhere. */
static const hz_value *follow(hz_call *call, const hz_value *data, hz_str path)
{
    const char *rest = path.data, *end = path.data + path.len;
    while (data && rest <= end) {
        const char *dot = memchr(rest, '.', (size_t)(end - rest));
        hz_str part = {rest, (size_t)((dot ? dot : end) - rest)};
        const char *key = text_copy(call, part);
        if (!key)
            return NULL;
        if (hz_type_of(data) == HZ_ARRAY) {
            char *stop;
            unsigned long index = strtoul(key, &stop, 10);
            data = part.len && part.len < 10 && key[0] >= '0' && key[0] <= '9' && !*stop ? hz_at(data, index) : NULL;
        } else {
            data = memchr(part.data, 0, part.len) ? NULL : hz_get(data, key);
        }
        if (!dot)
            return data;
        rest = dot + 1;
    }
    return NULL;
}

/* The errors once more in the words of the library people know from other servers. */
static hz_value *original_errors(hz_call *call, const hz_value *errors)
{
    hz_value *list = hz_array(call);
    for (size_t i = 0; list && i < hz_length(errors); i++) {
        const hz_value *error = hz_at(errors, i), *path = hz_get(error, "path");
        hz_value *item = hz_object(call);
        if (!item || hz_set(item, "instancePath", text_is(hz_as_str(path), "/") ? hz_text(call, "") : path) != HZ_OK ||
                hz_set(item, "keyword", hz_get(error, "keyword")) != HZ_OK ||
                hz_set(item, "params", hz_get(error, "params")) != HZ_OK ||
                hz_set(item, "message", hz_get(error, "message")) != HZ_OK || hz_push(list, item) != HZ_OK)
            return NULL;
    }
    return list;
}

static int emit_result(hz_call *call, const hz_value *errors, const hz_value *data)
{
    bool valid = hz_length(errors) == 0;
    hz_value *result = hz_object(call);
    if (!result || hz_set(result, "valid", hz_bool(call, valid)) != HZ_OK)
        return HZ_ERR_NOMEM;
    if (!valid && hz_set(result, "errors", errors) != HZ_OK)
        return HZ_ERR_NOMEM;
    if (!valid && hz_param_bool(call, "errorDetails", true) &&
            hz_set(result, "originalErrors", original_errors(call, errors)) != HZ_OK)
        return HZ_ERR_NOMEM;
    if (hz_set(result, "data", data) != HZ_OK)
        return HZ_ERR_NOMEM;
    return hz_emit(call, valid ? "valid" : "invalid", result);
}

static int fail_schema(hz_call *call, hz_str reason)
{
    return hz_fail(call, "Error al parsear el esquema de validación: %.*s",
            (int)(reason.len < 4096 ? reason.len : 4096), reason.data);
}

static int validator_run(hz_call *call)
{
    const hz_value *data = hz_input(call);
    if (is_empty(data))
        return hz_fail(call, "No se encontraron datos en la entrada");
    hz_str path = text_trim(hz_param_str(call, "inputPath", ""));
    if (path.len) {
        data = follow(call, data, path);
        if (!data)
            return hz_fail(call, "Ruta de entrada inválida: %.*s", (int)(path.len < 1024 ? path.len : 1024), path.data);
    }
    hz_str keywords = text_trim(hz_param_str(call, "customKeywords", ""));
    if (keywords.len && !(keywords.len >= 2 && memcmp(keywords.data, "//", 2) == 0))
        return hz_fail(call, "Error en keywords personalizados: no soportado");

    hz_str reason = hz_param_error(call, "validationSchema");
    if (reason.len)
        return fail_schema(call, reason);
    const hz_value *schema = param_json(call, "validationSchema", &reason);
    if (reason.len)
        return fail_schema(call, reason);
    const hz_value *messages = NULL;
    if (hz_param_bool(call, "customErrorMessages", true)) {
        messages = param_json(call, "globalErrorMessages", &reason);
        if (hz_type_of(messages) != HZ_OBJECT || hz_length(messages) == 0)
            messages = NULL;
    }
    reason = (hz_str){"", 0};
    const hz_value *errors = schema_validate(call, schema, data, messages, &reason);
    if (!errors)
        return reason.len ? fail_schema(call, reason) : HZ_ERR_NOMEM;
    return emit_result(call, errors, data);
}

#define SAMPLE                                                                                                         \
    "\"{\\n  \\\"type\\\": \\\"object\\\",\\n  \\\"properties\\\": {\\n    \\\"nombre\\\": { \\\"type\\\": "           \
    "\\\"string\\\", \\\"minLength\\\": 1 },\\n    \\\"edad\\\": { \\\"type\\\": \\\"integer\\\", \\\"minimum\\\": 0 " \
    "}\\n  },\\n  \\\"required\\\": [\\\"nombre\\\"]\\n}\""

HZ_NODE(.type = "validator", .title = "Validación", .group = "Utilities", .icon = "\U000F05E1", .color = "#27AE60",
        .desc = "Valida los datos con un esquema JSON", .version = HZ_VERSION, .author = "Horizon",
        .license = "Apache-2.0", .flags = HZ_NODE_CONCURRENT | HZ_NODE_PURE, .inputs = HZ_NAMES("input"),
        .outputs = HZ_NAMES("valid", "invalid", "error"), .run = validator_run,
        .properties = HZ_PROPERTIES({"inputPath", "string", "Ruta de entrada", "\"\"", NULL,
                                            "{\"description\":\"Ruta con puntos dentro de los datos; vacía es todo\"}"},
                {"validationSchema", "code", "Esquema", SAMPLE, NULL, "{\"lang\":\"json\"}"},
                {"errorDetails", "switch", "Detalles de los errores", "true", NULL, NULL},
                {"customKeywords", "code", "Palabras clave propias", "\"// No se ejecuta\"", NULL, "{\"lang\":\"js\"}"},
                {"advancedOptions", "switch", "Opciones avanzadas", "false", NULL, NULL},
                {"customErrorMessages", "switch", "Mensajes propios", "true", NULL, "{\"show\":false}"},
                {"globalErrorMessages", "code", "Mensajes por palabra clave", "\"{\\n}\"", NULL,
                        "{\"show\":false,\"lang\":\"json\"}"}))
