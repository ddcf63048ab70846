/*
 * iteration - a cursor over a list. Input `init` loads the list and emits its first element, `next` the following one:
 * all but the last on `response`, the last on `finish`. List and cursor are state of the execution, kept by the host.
 */
#include "text.h"

/* Emits element `index` of `list`; the cursor is stored first because the emission may come back here. */
static int emit_element(hz_call *call, const hz_value *list, size_t index)
{
    size_t count = hz_length(list);
    hz_value *state = hz_object(call), *data = hz_object(call);
    if (!state || hz_set(state, "list", list) != HZ_OK || hz_set(state, "index", hz_int(call, (int64_t)index)) != HZ_OK)
        return HZ_ERR_NOMEM;
    int r = hz_state_set(call, state);
    if (r != HZ_OK)
        return r;
    const hz_value *element = count ? hz_at(list, index) : hz_null(call);
    if (!data || hz_set(data, "index", hz_int(call, count ? (int64_t)index : -1)) != HZ_OK)
        return HZ_ERR_NOMEM;
    if (hz_set(data, "value", element) != HZ_OK)
        return HZ_ERR_NOMEM;
    return hz_emit(call, index + 1 < count ? "response" : "finish", data);
}

static int load(hz_call *call)
{
    hz_str unused;
    const hz_value *list = param_json(call, "valor", &unused);
    if (hz_type_of(list) != HZ_ARRAY)
        return hz_fail(call, "El valor de la iteración debe ser un listado (Array)");
    return emit_element(call, list, 0);
}

static int advance(hz_call *call)
{
    const hz_value *state = hz_state_get(call);
    const hz_value *list = hz_get(state, "list"), *index = hz_get(state, "index");
    if (!list || !index)
        return hz_fail(call, "No hay mas datos");
    size_t next = (size_t)hz_as_num(index) + 1;
    if (next >= hz_length(list))
        return hz_fail(call, "No hay mas datos");
    return emit_element(call, list, next);
}

static int iteration_run(hz_call *call)
{
    hz_str input = hz_input_name(call);
    if (text_is(input, "init"))
        return load(call);
    if (text_is(input, "next"))
        return advance(call);
    return HZ_OK; /* `add` and `finish` are drawn but do nothing */
}

HZ_NODE(.type = "iteration", .title = "Iteration", .group = "Procesamiento", .icon = "\U000F04E6", .color = "#27AE60",
        .desc = "Recorre un listado elemento por elemento", .version = HZ_VERSION, .author = "Horizon",
        .license = "Apache-2.0", .flags = HZ_NODE_SINGLETON | HZ_NODE_CONCURRENT | HZ_NODE_PURE,
        .inputs = HZ_NAMES("init", "add", "next", "finish"), .outputs = HZ_NAMES("response", "finish", "error"),
        .run = iteration_run,
        .properties = HZ_PROPERTIES({"valor", "code", "Listado", "\"{{input.data}}\"", NULL,
                "{\"lang\":\"json\",\"description\":\"Listado que se recorre\"}"}))
