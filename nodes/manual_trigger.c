/*
 * manual_trigger - prints its payload to the debug log and passes it on. Despite its name it begins nothing.
 */
#include <horizon/node.h>

static int manual_trigger_run(hz_call *call)
{
    hz_str text = hz_print(call, hz_input(call));
    hz_log(call, HZ_LEVEL_DEBUG, "%.*s", (int)(text.len < 65536 ? text.len : 65536), text.data ? text.data : "");
    return hz_emit(call, "response", hz_input(call));
}

HZ_NODE(.type = "manual_trigger", .title = "Event Manual", .group = "Integrations", .icon = "\U000F0741",
        .color = "#E67E22", .desc = "Muestra los datos en el registro de depuración y los deja pasar",
        .version = HZ_VERSION, .author = "Horizon", .license = "Apache-2.0", .flags = HZ_NODE_CONCURRENT | HZ_NODE_PURE,
        .inputs = HZ_NAMES("input"), .outputs = HZ_NAMES("response"), .run = manual_trigger_run,
        .properties = HZ_PROPERTIES({"delay", "switch", "Mostrar en producción", "false", NULL,
                "{\"description\":\"Se conserva por compatibilidad; no cambia nada\"}"}))
