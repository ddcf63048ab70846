/*
 * console_output - writes its payload as one line `[console] <JSON>` to the worker's log and passes it on.
 */
#include <horizon/node.h>

static int console_output_run(hz_call *call)
{
    int r = hz_console(call, hz_input(call));
    if (r != HZ_OK)
        return r;
    return hz_emit(call, "response", hz_input(call));
}

HZ_NODE(.type = "console_output", .title = "Console", .group = "Utilities", .icon = "\U000F018D", .color = "#2C3E50",
        .desc = "Escribe los datos de entrada en el registro y los deja pasar", .version = HZ_VERSION,
        .author = "Horizon", .license = "Apache-2.0", .flags = HZ_NODE_CONCURRENT, .inputs = HZ_NAMES("input"),
        .outputs = HZ_NAMES("response"), .run = console_output_run,
        .properties = HZ_PROPERTIES({"delay", "switch", "Mostrar en producción", "false", NULL,
                "{\"description\":\"Se conserva por compatibilidad; no cambia nada\"}"}))
