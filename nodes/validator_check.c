/*
 * validator_check.c - checking a value against a schema: which rules apply, references, errors and their paths.
 * Recurses once per schema inside a schema, at most SCHEMA_MAX_DEPTH deep.
 */
#include "validator_internal.h"

/* ## Errors */

static size_t path_size(const struct schema_path *path)
{
    size_t size = 1;
    for (; path && path->up; path = path->up)
        size += 1 + (path->key.data ? path->key.len * 2 : 20);
    return size;
}

/* Written from the end: the last step comes first on the stack. */
static char *path_text(hz_call *call, const struct schema_path *path)
{
    size_t size = path_size(path);
    char *text = hz_alloc(call, size + 1);
    if (!text)
        return NULL;
    char *at = text + size;
    *at = '\0';
    for (; path && path->up; path = path->up) {
        char digits[24];
        hz_str key = path->key;
        if (!key.data)
            key = (hz_str){digits, (size_t)snprintf(digits, sizeof digits, "%zu", path->index)};
        for (size_t i = key.len; i > 0; i--) {
            char c = key.data[i - 1];
            *--at = c == '~' ? '0' : c == '/' ? '1' : c;
            if (c == '~' || c == '/')
                *--at = '~';
        }
        *--at = '/';
    }
    if (*at == '\0')
        *--at = '/';
    return at;
}

struct schema_error *schema_check_error(struct schema_check *check, const struct schema_path *path, const char *keyword,
        const hz_value *schema, const hz_value *operand)
{
    if (check->quiet || check->error_count >= SCHEMA_MAX_ERRORS)
        return NULL;
    struct schema_error *error = hz_alloc(check->call, sizeof *error);
    char *text = error ? path_text(check->call, path) : NULL;
    if (!text) {
        check->no_memory = true;
        return NULL;
    }
    *error = (struct schema_error){
            .path = text, .keyword = keyword, .schema = schema, .operand = operand, .before = check->last};
    check->last = error;
    check->error_count++;
    return error;
}

void schema_check_forget(struct schema_check *check, struct schema_error *mark, size_t count)
{
    check->last = mark;
    check->error_count = count;
}

/* ## Schemas */

static bool check_reference(
        struct schema_check *check, const hz_value *target, const hz_value *data, const struct schema_path *path)
{
    struct schema_active active = {check->active, target, data};
    for (const struct schema_active *a = check->active; a && a->data == data; a = a->up) {
        if (a->target == target) {
            check->failure = "una referencia vuelve a sí misma sin avanzar en los datos";
            return false;
        }
    }
    check->active = &active;
    bool valid = schema_check_value(check, target, data, path);
    check->active = active.up;
    return valid;
}

static bool check_keywords(
        struct schema_check *check, const hz_value *schema, const hz_value *data, const struct schema_path *path)
{
    struct schema_rule_input in = {check, schema, NULL, data, path, hz_type_of(data)};
    void *cursor = NULL;
    hz_str key;
    bool valid = true;
    while (hz_next(schema, &cursor, &key, &in.operand)) {
        schema_rule_fn *rule = schema_rule_find(key);
        if (!rule)
            continue;
        if (++check->steps > SCHEMA_MAX_STEPS)
            check->failure = "la validación necesita demasiados pasos";
        if (check->failure || check->no_memory)
            return false;
        if (!rule(&in)) {
            valid = false;
            if (check->quiet)
                break;
        }
    }
    return valid;
}

bool schema_check_value(
        struct schema_check *check, const hz_value *schema, const hz_value *data, const struct schema_path *path)
{
    enum hz_type type = hz_type_of(schema);
    if (type == HZ_BOOL) {
        if (!hz_as_bool(schema))
            (void)schema_check_error(check, path, "false schema", NULL, schema);
        return hz_as_bool(schema);
    }
    if (type != HZ_OBJECT)
        return true;
    if (check->depth >= SCHEMA_MAX_DEPTH) {
        check->failure = "la validación anida demasiados niveles";
        return false;
    }
    const hz_value *target =
            hz_type_of(hz_get(schema, "$ref")) == HZ_STRING ? schema_set_target(check->set, schema) : NULL;
    check->depth++;
    bool valid = target ? check_reference(check, target, data, path) : check_keywords(check, schema, data, path);
    check->depth--;
    return valid;
}

/* ## Rules that apply other schemas to the same data */

static bool rule_all(const struct schema_rule_input *in)
{
    bool valid = true;
    for (size_t i = 0, n = hz_length(in->operand); i < n && (valid || !in->check->quiet); i++)
        valid &= schema_check_value(in->check, hz_at(in->operand, i), in->data, in->path);
    return valid;
}

static bool rule_any(const struct schema_rule_input *in)
{
    struct schema_error *mark = in->check->last;
    size_t count = in->check->error_count, n = hz_length(in->operand);
    for (size_t i = 0; i < n; i++) {
        if (schema_check_value(in->check, hz_at(in->operand, i), in->data, in->path)) {
            schema_check_forget(in->check, mark, count);
            return true;
        }
    }
    if (n == 0 || hz_type_of(in->operand) != HZ_ARRAY)
        return true;
    (void)schema_check_error(in->check, in->path, "anyOf", in->schema, in->operand);
    return false;
}

static bool rule_one(const struct schema_rule_input *in)
{
    struct schema_error *mark = in->check->last;
    size_t count = in->check->error_count, passing = 0, which[2] = {0, 0}, n = hz_length(in->operand);
    if (n == 0 || hz_type_of(in->operand) != HZ_ARRAY)
        return true;
    for (size_t i = 0; i < n && passing < 2; i++) {
        if (schema_check_value(in->check, hz_at(in->operand, i), in->data, in->path))
            which[passing++] = i;
    }
    if (passing > 0)
        schema_check_forget(in->check, mark, count);
    if (passing == 1)
        return true;
    struct schema_error *error = schema_check_error(in->check, in->path, "oneOf", in->schema, in->operand);
    if (error) {
        error->i = which[0];
        error->j = passing == 2 ? which[1] : SIZE_MAX;
    }
    return false;
}

static bool check_quietly(const struct schema_rule_input *in, const hz_value *schema)
{
    in->check->quiet++;
    bool valid = schema_check_value(in->check, schema, in->data, in->path);
    in->check->quiet--;
    return valid;
}

static bool rule_not(const struct schema_rule_input *in)
{
    if (!check_quietly(in, in->operand))
        return true;
    (void)schema_check_error(in->check, in->path, "not", in->schema, in->operand);
    return false;
}

static bool rule_if(const struct schema_rule_input *in)
{
    const hz_value *then_schema = hz_get(in->schema, "then"), *else_schema = hz_get(in->schema, "else");
    if (!then_schema && !else_schema)
        return true;
    bool holds = check_quietly(in, in->operand);
    const hz_value *branch = holds ? then_schema : else_schema;
    if (!branch || schema_check_value(in->check, branch, in->data, in->path))
        return true;
    struct schema_error *error = schema_check_error(in->check, in->path, "if", in->schema, in->operand);
    if (error)
        error->name = holds ? (hz_str){"then", 4} : (hz_str){"else", 4};
    return false;
}

/* ## Which keyword is which rule */

schema_rule_fn *schema_rule_find(hz_str keyword)
{
    static const struct {
        const char *name;
        schema_rule_fn *rule;
    } rules[] = {/* by length: rules[first[n]] .. rules[first[n + 1]] have n letters */
            {"if", rule_if}, {"not", rule_not}, {"type", schema_rule_type}, {"enum", schema_rule_enum},
            {"allOf", rule_all}, {"anyOf", rule_any}, {"oneOf", rule_one}, {"const", schema_rule_const},
            {"items", schema_rule_items}, {"format", schema_rule_format}, {"maximum", schema_rule_maximum},
            {"minimum", schema_rule_minimum}, {"pattern", schema_rule_pattern}, {"maxItems", schema_rule_max_items},
            {"minItems", schema_rule_min_items}, {"required", schema_rule_required}, {"contains", schema_rule_contains},
            {"maxLength", schema_rule_max_length}, {"minLength", schema_rule_min_length},
            {"multipleOf", schema_rule_multiple}, {"properties", schema_rule_properties},
            {"uniqueItems", schema_rule_unique}, {"dependencies", schema_rule_dependencies},
            {"maxProperties", schema_rule_max_properties}, {"minProperties", schema_rule_min_properties},
            {"propertyNames", schema_rule_names}, {"exclusiveMaximum", schema_rule_below},
            {"exclusiveMinimum", schema_rule_above}, {"patternProperties", schema_rule_patterns},
            {"additionalProperties", schema_rule_additional}};
    static const unsigned char first[] = {
            0, 0, 0, 1, 2, 4, 9, 10, 13, 17, 19, 21, 22, 23, 26, 26, 26, 28, 29, 29, 29, 30};
    if (keyword.len + 1 >= sizeof first)
        return NULL;
    for (size_t i = first[keyword.len]; i < first[keyword.len + 1]; i++) {
        if (memcmp(rules[i].name, keyword.data, keyword.len) == 0)
            return rules[i].rule;
    }
    return NULL;
}
