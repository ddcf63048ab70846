/*
 * conditional - the first condition that is exactly `true` sends the payload out on its name, else it goes out on
 * `else`. The host has evaluated the conditions; the texts of the names are never evaluated, so `{{index}}` arrives
 * here.
 */
#include "text.h"

#define INDEX_MARK "{{index}}"

/* Only the boolean counts, and the text that JSON reads as that boolean. */
static bool is_true(const hz_value *condition)
{
    if (hz_type_of(condition) == HZ_BOOL)
        return hz_as_bool(condition);
    return hz_type_of(condition) == HZ_STRING && text_is(text_trim(hz_as_str(condition)), "true");
}

/* Name of the output of the item at `index`, NUL-terminated: trimmed, the first `{{index}}` replaced by the two-digit
 * position counted from 1; empty: `condicion_<nn>`. NULL: out of memory. */
static const char *output_name(hz_call *call, const hz_value *item, size_t index)
{
    hz_str name = text_trim(hz_as_str(hz_get(hz_get(item, "name"), "value")));
    if (!name.len)
        name = (hz_str){"condicion_" INDEX_MARK, sizeof "condicion_" INDEX_MARK - 1};
    const char *mark = memmem(name.data, name.len, INDEX_MARK, sizeof INDEX_MARK - 1);
    if (!mark)
        return text_copy(call, name);
    size_t before = (size_t)(mark - name.data), after = before + sizeof INDEX_MARK - 1;
    size_t size = name.len + 24;
    char *text = hz_alloc(call, size);
    if (!text)
        return NULL;
    int n = snprintf(text + before, size - before, "%02zu", index + 1);
    memcpy(text, name.data, before);
    size_t len = before + (size_t)n;
    memcpy(text + len, name.data + after, name.len - after);
    text[len + name.len - after] = 0;
    return text;
}

static int conditional_run(hz_call *call)
{
    hz_str reason;
    const hz_value *conditions = param_json(call, "conditions", &reason);
    if (hz_type_of(conditions) != HZ_ARRAY) {
        reason = hz_param_error(call, "conditions");
        if (reason.len)
            return hz_fail(call, "%.*s", (int)(reason.len < 4096 ? reason.len : 4096), reason.data);
        return hz_fail(call, "Las condiciones deben ser un listado (Array)");
    }
    for (size_t i = 0; i < hz_length(conditions); i++) {
        const hz_value *item = hz_at(conditions, i);
        if (!is_true(hz_get(hz_get(item, "condition"), "value")))
            continue;
        const char *name = output_name(call, item, i);
        return name ? hz_emit(call, name, hz_input(call)) : HZ_ERR_NOMEM;
    }
    return hz_emit(call, "else", hz_input(call));
}

HZ_NODE(.type = "conditional", .title = "Conditional", .group = "Control Flow / Logic", .icon = "\U000F062C",
        .color = "#F39C12", .desc = "Envía los datos por la primera condición que se cumple", .version = HZ_VERSION,
        .author = "Horizon", .license = "Apache-2.0", .flags = HZ_NODE_SINGLETON | HZ_NODE_CONCURRENT | HZ_NODE_PURE,
        .inputs = HZ_NAMES("input"), .outputs = HZ_NAMES("error"), .run = conditional_run,
        .properties = HZ_PROPERTIES({"conditions", "list", "Condiciones", "[]", NULL,
                "{\"description\":\"Se evalúan en orden; gana la primera que es verdadera\",\"object\":{"
                "\"name\":{\"name\":\"Nombre\",\"type\":\"string\",\"value\":\"condicion_{{index}}\",\"maxlength\":20,"
                "\"size\":1,\"onTransform\":\"utils_standard_name\",\"evaluation\":{\"active\":false}},"
                "\"condition\":{\"name\":\"Condición\",\"type\":\"string\",\"value\":\"\",\"size\":2,"
                "\"evaluation\":{\"all\":true}},"
                "\"value\":{\"name\":\"Valor\",\"type\":\"string\",\"value\":\"\",\"size\":1}}}"}))
