/*
 * workflow_init - where a flow begins: hands the caller's payload, wrapped as {data: payload}, to the nodes behind
 * `init`. Runs once per execution, first of all nodes.
 */
#include "text.h"

static bool is_missing(const hz_value *payload)
{
    enum hz_type type = hz_type_of(payload);
    return type == HZ_UNDEFINED || (type == HZ_OBJECT && hz_length(payload) == 0);
}

static int workflow_init_run(hz_call *call)
{
    const hz_value *payload = hz_input(call);
    if (is_missing(payload)) {
        const hz_value *fallback = hz_param(call, "valueDefault");
        if (!is_missing(fallback) && !(hz_type_of(fallback) == HZ_STRING && hz_length(fallback) == 0))
            payload = fallback;
    }
    if (hz_type_of(payload) == HZ_UNDEFINED)
        payload = hz_object(call);
    hz_value *data = hz_object(call), *meta = hz_object(call);
    if (!data || !meta || hz_set(data, "data", payload) != HZ_OK)
        return HZ_ERR_NOMEM;
    if (hz_set(meta, "nextIsTrigger", hz_bool(call, true)) != HZ_OK)
        return HZ_ERR_NOMEM;
    if (text_is(hz_param_str(call, "typeExec", "local"), "global") &&
            hz_set(meta, "globalExec", hz_bool(call, true)) != HZ_OK)
        return HZ_ERR_NOMEM;
    return hz_emit_meta(call, "init", data, meta);
}

HZ_NODE(.type = "workflow_init", .title = "Iniciador", .group = "Triggers", .icon = "\U000F040A", .color = "#3498DB",
        .desc = "Inicia el flujo y entrega los datos recibidos", .version = HZ_VERSION, .author = "Horizon",
        .license = "Apache-2.0", .flags = HZ_NODE_CONCURRENT | HZ_NODE_PURE, .inputs = HZ_NONE, .outputs = HZ_NAMES("init"),
        .run = workflow_init_run,
        .properties = HZ_PROPERTIES(
                {"typeExec", "options", "Tipo de ejecución", "\"local\"",
                        "[{\"label\":\"Local\",\"value\":\"local\"},{\"label\":\"Global\",\"value\":\"global\"}]",
                        "{\"description\":\"Alcance de los datos de la ejecución\"}"},
                {"schema", "code", "Esquema de entrada", "\"{\\n  \\\"nombre\\\": \\\"Ana\\\"\\n}\"", NULL,
                        "{\"lang\":\"json\",\"description\":\"Ejemplo de lo que debe enviar quien llama al flujo\"}"},
                {"valueDefault", "code", "Valor por defecto", "\"{\\n}\"", NULL,
                        "{\"lang\":\"json\",\"description\":\"Datos que se usan cuando no llega ninguno\"}"}))
