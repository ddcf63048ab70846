/*
 * validator_messages.c - an error as people read it: the sentence in Spanish, or the one the flow gives for the
 * keyword, and the keyword's figures by the names that programs know.
 */
#include "validator_internal.h"

#define TEXT_MAX 600

struct sentence {
    char text[TEXT_MAX];
};

#define say(to, ...) (void)snprintf((to)->text, sizeof(to)->text, __VA_ARGS__)
#define SHOW(str)    (int)((str).len < 200 ? (str).len : 200), (str).data

static bool is(const struct schema_error *error, const char *keyword)
{
    return strcmp(error->keyword, keyword) == 0;
}

static void say_type(struct sentence *to, const hz_value *types)
{
    size_t len = (size_t)snprintf(to->text, sizeof to->text, "debe ser ");
    size_t count = hz_type_of(types) == HZ_ARRAY ? hz_length(types) : 1;
    for (size_t i = 0; i < count && len < sizeof to->text; i++) {
        hz_str name = hz_as_str(hz_type_of(types) == HZ_ARRAY ? hz_at(types, i) : types);
        len += (size_t)snprintf(to->text + len, sizeof to->text - len, "%s%.*s", i ? ", " : "", SHOW(name));
    }
}

static void say_size(struct sentence *to, bool at_most, hz_str limit, const char *one, const char *many)
{
    say(to, "no debe tener %s de %.*s %s", at_most ? "más" : "menos", SHOW(limit),
            limit.len == 1 && limit.data[0] == '1' ? one : many);
}

/* Sentences of keywords with a figure or a text of their own. */
static bool say_limit(struct sentence *to, hz_call *call, const struct schema_error *error)
{
    static const struct {
        const char *keyword, *before;
    } limits[] = {{"maximum", "debe ser <="}, {"minimum", "debe ser >="}, {"exclusiveMaximum", "debe ser <"},
            {"exclusiveMinimum", "debe ser >"}, {"multipleOf", "debe ser múltiplo de"}};
    static const struct {
        const char *keyword, *one, *many;
        bool at_most;
    } sizes[] = {{"maxItems", "elemento", "elementos", true}, {"minItems", "elemento", "elementos", false},
            {"maxLength", "carácter", "caracteres", true}, {"minLength", "carácter", "caracteres", false},
            {"maxProperties", "propiedad", "propiedades", true}, {"minProperties", "propiedad", "propiedades", false}};
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        if (is(error, limits[i].keyword)) {
            hz_str figure = hz_print(call, error->operand);
            say(to, "%s %.*s", limits[i].before, SHOW(figure));
            return true;
        }
    }
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        if (is(error, sizes[i].keyword)) {
            say_size(to, sizes[i].at_most, hz_print(call, error->operand), sizes[i].one, sizes[i].many);
            return true;
        }
    }
    return false;
}

static void say_error(struct sentence *to, hz_call *call, const struct schema_error *error)
{
    static const struct {
        const char *keyword, *text;
    } fixed[] = {{"additionalProperties", "no debe tener propiedades adicionales"},
            {"anyOf", "debe cumplir al menos un esquema de \"anyOf\""}, {"const", "debe ser igual al valor constante"},
            {"contains", "debe contener un elemento válido"},
            {"enum", "debe ser igual a uno de los valores permitidos"},
            {"false schema", "el esquema no admite ningún valor"}, {"not", "no debe cumplir el esquema de \"not\""},
            {"oneOf", "debe cumplir exactamente un esquema de \"oneOf\""}};
    for (size_t i = 0; i < sizeof fixed / sizeof fixed[0]; i++) {
        if (is(error, fixed[i].keyword)) {
            say(to, "%s", fixed[i].text);
            return;
        }
    }
    if (say_limit(to, call, error))
        return;
    hz_str operand = hz_as_str(error->operand);
    if (is(error, "type"))
        say_type(to, error->operand);
    else if (is(error, "required"))
        say(to, "debe tener la propiedad requerida %.*s", SHOW(error->name));
    else if (is(error, "dependencies"))
        say(to, "debe tener la propiedad %.*s cuando existe la propiedad %.*s", SHOW(error->name2), SHOW(error->name));
    else if (is(error, "propertyNames"))
        say(to, "el nombre de propiedad \"%.*s\" no es válido", SHOW(error->name));
    else if (is(error, "format"))
        say(to, "debe cumplir el formato \"%.*s\"", SHOW(operand));
    else if (is(error, "pattern"))
        say(to, "debe coincidir con el patrón \"%.*s\"", SHOW(operand));
    else if (is(error, "if"))
        say(to, "debe cumplir el esquema \"%.*s\"", SHOW(error->name));
    else if (is(error, "additionalItems"))
        say(to, "no debe tener más de %zu %s", error->i, error->i == 1 ? "elemento" : "elementos");
    else if (is(error, "uniqueItems"))
        say(to, "no debe tener elementos duplicados (los elementos %zu y %zu son iguales)", error->j, error->i);
    else
        say(to, "no cumple \"%s\"", error->keyword);
}

/* The flow's own text for this error; NULL: none. */
static const hz_value *own_text(const struct schema_error *error, const hz_value *messages)
{
    const hz_value *near = error->schema ? hz_get(error->schema, "errorMessage") : NULL;
    if (hz_type_of(near) == HZ_OBJECT)
        near = hz_get(near, error->keyword);
    if (hz_type_of(near) == HZ_STRING)
        return near;
    const hz_value *common = hz_type_of(messages) == HZ_OBJECT ? hz_get(messages, error->keyword) : NULL;
    return hz_type_of(common) == HZ_STRING ? common : NULL;
}

static int set_str(hz_call *call, hz_value *object, const char *key, hz_str text)
{
    return hz_set(object, key, hz_string(call, text.data, text.len));
}

static int set_count(hz_call *call, hz_value *object, const char *key, size_t count)
{
    return hz_set(object, key, hz_int(call, (int64_t)count));
}

static int set_dependencies(hz_call *call, hz_value *params, const struct schema_error *error)
{
    const hz_value *names = schema_get(error->operand, error->name);
    hz_str joined = {"", 0};
    size_t size = 0;
    for (size_t i = 0, n = hz_length(names); i < n; i++)
        size += hz_as_str(hz_at(names, i)).len + 2;
    char *text = hz_alloc(call, size + 1), *at = text;
    for (size_t i = 0, n = hz_length(names); text && i < n; i++) {
        hz_str name = hz_as_str(hz_at(names, i));
        if (i) {
            *at++ = ',';
            *at++ = ' ';
        }
        memcpy(at, name.data, name.len);
        at += name.len;
    }
    if (text)
        joined = (hz_str){text, (size_t)(at - text)};
    if (!text || set_str(call, params, "property", error->name) != HZ_OK ||
            set_str(call, params, "missingProperty", error->name2) != HZ_OK ||
            set_count(call, params, "depsCount", hz_length(names)) != HZ_OK)
        return HZ_ERR_NOMEM;
    return set_str(call, params, "deps", joined);
}

static int set_one_of(hz_call *call, hz_value *params, const struct schema_error *error)
{
    if (error->j == SIZE_MAX)
        return hz_set(params, "passingSchemas", hz_null(call));
    hz_value *pair = hz_array(call);
    if (!pair || hz_push(pair, hz_int(call, (int64_t)error->i)) != HZ_OK ||
            hz_push(pair, hz_int(call, (int64_t)error->j)) != HZ_OK)
        return HZ_ERR_NOMEM;
    return hz_set(params, "passingSchemas", pair);
}

static int set_params(hz_call *call, hz_value *params, const struct schema_error *error)
{
    static const struct {
        const char *keyword, *name, *comparison;
    } operands[] = {{"type", "type", NULL}, {"enum", "allowedValues", NULL}, {"const", "allowedValue", NULL},
            {"multipleOf", "multipleOf", NULL}, {"pattern", "pattern", NULL}, {"format", "format", NULL},
            {"maximum", "limit", "<="}, {"minimum", "limit", ">="}, {"exclusiveMaximum", "limit", "<"},
            {"exclusiveMinimum", "limit", ">"}, {"maxLength", "limit", NULL}, {"minLength", "limit", NULL},
            {"maxItems", "limit", NULL}, {"minItems", "limit", NULL}, {"maxProperties", "limit", NULL},
            {"minProperties", "limit", NULL}};
    for (size_t i = 0; i < sizeof operands / sizeof operands[0]; i++) {
        if (!is(error, operands[i].keyword))
            continue;
        if (operands[i].comparison && hz_set(params, "comparison", hz_text(call, operands[i].comparison)) != HZ_OK)
            return HZ_ERR_NOMEM;
        return hz_set(params, operands[i].name, error->operand);
    }
    if (is(error, "required"))
        return set_str(call, params, "missingProperty", error->name);
    if (is(error, "additionalProperties"))
        return set_str(call, params, "additionalProperty", error->name);
    if (is(error, "propertyNames"))
        return set_str(call, params, "propertyName", error->name);
    if (is(error, "if"))
        return set_str(call, params, "failingKeyword", error->name);
    if (is(error, "additionalItems"))
        return set_count(call, params, "limit", error->i);
    if (is(error, "contains"))
        return set_count(call, params, "minContains", 1);
    if (is(error, "dependencies"))
        return set_dependencies(call, params, error);
    if (is(error, "oneOf"))
        return set_one_of(call, params, error);
    if (is(error, "uniqueItems"))
        return set_count(call, params, "i", error->i) != HZ_OK ? HZ_ERR_NOMEM : set_count(call, params, "j", error->j);
    return HZ_OK;
}

hz_value *schema_message_of(hz_call *call, const struct schema_error *error, const hz_value *messages)
{
    hz_value *made = hz_object(call), *params = hz_object(call);
    const hz_value *text = own_text(error, messages);
    if (!text) {
        struct sentence sentence = {{0}};
        say_error(&sentence, call, error);
        text = hz_text(call, sentence.text);
    }
    if (!made || !params || set_params(call, params, error) != HZ_OK || hz_set(made, "message", text) != HZ_OK ||
            hz_set(made, "path", hz_text(call, error->path)) != HZ_OK ||
            hz_set(made, "keyword", hz_text(call, error->keyword)) != HZ_OK || hz_set(made, "params", params) != HZ_OK)
        return NULL;
    return made;
}
