/*
 * parallelism - joins branches. allParallel: once every node connected to it has arrived, the branch goes on with the
 * data of all. firstParallel: the first arrival of an execution goes on, later ones end here. Counting is the host's.
 */
#include "text.h"

static int go_on(hz_call *call)
{
    hz_value *data = hz_object(call);
    if (!data || hz_set(data, "response", hz_text(call, "Ok")) != HZ_OK)
        return HZ_ERR_NOMEM;
    return hz_emit(call, "response", data);
}

static int parallelism_run(hz_call *call)
{
    if (text_is(hz_param_str(call, "type", "allParallel"), "firstParallel")) {
        if (hz_state_get(call))
            return HZ_OK;
        int r = hz_state_set(call, hz_bool(call, true));
        return r == HZ_OK ? go_on(call) : r;
    }
    int r = hz_join(call);
    if (r == 1)
        return go_on(call);
    if (r == HZ_ERR_NOENT)
        return hz_fail(call, "No se encontraron nodos");
    return r == HZ_ERR_ALREADY ? HZ_OK : r;
}

HZ_NODE(.type = "parallelism", .title = "Parallelism", .group = "Procesamiento", .icon = "\U000F00F8",
        .color = "#2980B9", .desc = "Espera a que lleguen las ramas y las une", .version = HZ_VERSION,
        .author = "Horizon", .license = "Apache-2.0", .flags = HZ_NODE_SINGLETON | HZ_NODE_CONCURRENT | HZ_NODE_PURE,
        .inputs = HZ_NAMES("input"), .outputs = HZ_NAMES("response", "error"), .run = parallelism_run,
        .properties = HZ_PROPERTIES({"type", "options", "Tipo", "\"allParallel\"",
                "[{\"label\":\"Esperar todas las ramas\",\"value\":\"allParallel\"},"
                "{\"label\":\"Primer resultado\",\"value\":\"firstParallel\"}]",
                NULL}))
