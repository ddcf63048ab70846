/*
 * @NAME@ - what this node does, in one sentence.
 */
#include <horizon/node.h>

static int @NAME@_run(hz_call *call)
{
    hz_str text = hz_param_str(call, "text", "");
    if (!text.len)
        return hz_fail(call, "text is empty");
    hz_value *data = hz_object(call);
    if (!data || hz_set(data, "text", hz_string(call, text.data, text.len)) != HZ_OK)
        return HZ_ERR_NOMEM;
    if (hz_set(data, "input", hz_input(call)) != HZ_OK)
        return HZ_ERR_NOMEM;
    return hz_emit(call, "response", data);
}

HZ_NODE(.type = "@NAME@", .title = "@NAME@", .group = "Custom", .desc = "What this node does, in one sentence",
        .icon = "\U000F0431", .color = "#7F8C8D", .version = "0.1.0", .author = "", .license = "",
        .flags = HZ_NODE_CONCURRENT, .inputs = HZ_NAMES("input"), .outputs = HZ_NAMES("response", "error"),
        .run = @NAME@_run,
        .properties = HZ_PROPERTIES({.key = "text", .type = "string", .name = "Text", .value = "\"hello\""}))
