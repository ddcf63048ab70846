/*
 * data_transformer - emits its mapping after the expressions in it were filled in. The host evaluates and parses; what
 * arrives here as text did not parse, what arrives undefined did not evaluate: both are this node's error.
 */
#include "text.h"

static int data_transformer_run(hz_call *call)
{
    const hz_value *mapping = hz_param(call, "mapping");
    if (hz_type_of(mapping) == HZ_UNDEFINED) {
        hz_str reason = hz_param_error(call, "mapping");
        if (!reason.len)
            return hz_fail(call, "El mapeo no tiene valor");
        return hz_fail(call, "%.*s", (int)(reason.len < 4096 ? reason.len : 4096), reason.data);
    }
    hz_str error;
    const hz_value *result = param_json(call, "mapping", &error);
    if (error.len)
        return hz_fail(call, "%.*s", (int)(error.len < 4096 ? error.len : 4096), error.data);
    return hz_emit(call, "output", result);
}

HZ_NODE(.type = "data_transformer", .title = "Data Transformer", .group = "Utilities", .icon = "\U000F0626",
        .color = "#16A085", .desc = "Crea un objeto nuevo a partir de un mapeo con expresiones", .version = HZ_VERSION,
        .author = "Horizon", .license = "Apache-2.0", .flags = HZ_NODE_CONCURRENT | HZ_NODE_PURE, .inputs = HZ_NAMES("input"),
        .outputs = HZ_NAMES("output", "error"), .run = data_transformer_run,
        .properties = HZ_PROPERTIES(
                {"mapping", "code", "Mapeo", "\"{\\n  \\\"datos\\\": {{input.data}}\\n}\"", NULL,
                        "{\"lang\":\"json\",\"description\":\"Texto JSON con expresiones; sin comillas junto a las "
                        "llaves un número sigue siendo número\"}"},
                {"helperFunctions", "code", "Funciones auxiliares", "\"// Por compatibilidad; no se ejecuta\"", NULL,
                        "{\"lang\":\"js\"}"}))
