/*
 * hello - the smallest useful node: reads a parameter, builds a value, emits it. Pure: no state, no waiting.
 */
#include <horizon/node.h>

static int hello_run(hz_call *call)
{
    hz_str name = hz_param_str(call, "name", "world");
    char *text = hz_alloc(call, name.len + sizeof "Hello, ");
    hz_value *data = hz_object(call);
    if (!text || !data)
        return HZ_ERR_NOMEM;
    int len = snprintf(text, name.len + sizeof "Hello, ", "Hello, %s", name.data);
    if (hz_set(data, "greeting", hz_string(call, text, (size_t)len)) != HZ_OK)
        return HZ_ERR_NOMEM;
    return hz_emit(call, "response", data);
}

HZ_NODE(.type = "hello", .title = "Hello", .group = "Examples", .desc = "Greets somebody", .icon = "\U000F1821",
        .color = "#3498DB", .version = "1.0.0", .author = "Horizon", .license = "Apache-2.0",
        .flags = HZ_NODE_CONCURRENT, .inputs = HZ_NAMES("input"), .outputs = HZ_NAMES("response"), .run = hello_run,
        .properties = HZ_PROPERTIES({.key = "name", .type = "string", .name = "Name", .value = "\"world\""}))
