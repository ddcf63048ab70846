/*
 * validator_objects.c - the keywords that look inside lists and objects.
 */
#include "validator_internal.h"

#include <stdlib.h>

static struct schema_error *add_error(const struct schema_rule_input *in, const char *keyword)
{
    return schema_check_error(in->check, in->path, keyword, in->schema, in->operand);
}

/* Nothing more can be learnt: the verdict is known and nobody wants the errors, or the check was given up. */
static bool is_over(const struct schema_rule_input *in, bool valid)
{
    return (!valid && in->check->quiet) || in->check->failure || in->check->no_memory;
}

static bool check_item(const struct schema_rule_input *in, const hz_value *schema, size_t index)
{
    struct schema_path path = {in->path, {NULL, 0}, index};
    return schema_check_value(in->check, schema, hz_at(in->data, index), &path);
}

static bool check_member(const struct schema_rule_input *in, const hz_value *schema, hz_str key, const hz_value *value)
{
    struct schema_path path = {in->path, key.data ? key : (hz_str){"", 0}, 0};
    return schema_check_value(in->check, schema, value, &path);
}

static bool is_false(const hz_value *schema)
{
    return hz_type_of(schema) == HZ_BOOL && !hz_as_bool(schema);
}

/* items, and additionalItems with it: without a list before it, it says nothing. */
bool schema_rule_items(const struct schema_rule_input *in)
{
    if (in->type != HZ_ARRAY)
        return true;
    size_t count = hz_length(in->data), listed = 0;
    const hz_value *rest = in->operand;
    bool valid = true;
    if (hz_type_of(in->operand) == HZ_ARRAY) {
        listed = hz_length(in->operand);
        for (size_t i = 0; i < listed && i < count && !is_over(in, valid); i++)
            valid &= check_item(in, hz_at(in->operand, i), i);
        rest = hz_get(in->schema, "additionalItems");
        if (is_false(rest) && count > listed) {
            struct schema_error *error = add_error(in, "additionalItems");
            if (error)
                error->i = listed;
            return false;
        }
    }
    if (!rest || (hz_type_of(rest) == HZ_BOOL && hz_as_bool(rest)))
        return valid;
    for (size_t i = listed; i < count && !is_over(in, valid); i++)
        valid &= check_item(in, rest, i);
    return valid;
}

bool schema_rule_contains(const struct schema_rule_input *in)
{
    if (in->type != HZ_ARRAY)
        return true;
    bool found = false;
    in->check->quiet++;
    for (size_t i = 0, n = hz_length(in->data); i < n && !found && !in->check->failure; i++)
        found = check_item(in, in->operand, i);
    in->check->quiet--;
    if (!found)
        (void)add_error(in, "contains");
    return found;
}

/* ## uniqueItems: by a hash that equal values share */

static uint64_t hash_bytes(uint64_t hash, hz_str text)
{
    for (size_t i = 0; i < text.len; i++)
        hash = (hash ^ (unsigned char)text.data[i]) * 0x100000001b3u;
    return hash ^ hash >> 31;
}

static uint64_t hash_value(const hz_value *value, unsigned depth)
{
    uint64_t hash = 0xcbf29ce484222325u + (uint64_t)hz_type_of(value);
    if (depth > 64) /* equal values still share it */
        return hash;
    switch (hz_type_of(value)) {
    case HZ_BOOL:
        return hash + hz_as_bool(value);
    case HZ_NUMBER: {
        double v = hz_as_num(value) + 0.0; /* -0 is 0 */
        return hash_bytes(hash, (hz_str){(const char *)&v, sizeof v});
    }
    case HZ_STRING:
        return hash_bytes(hash, hz_as_str(value));
    case HZ_ARRAY:
        for (size_t i = 0, n = hz_length(value); i < n; i++)
            hash = (hash ^ hash_value(hz_at(value, i), depth + 1)) * 0x100000001b3u;
        return hash;
    case HZ_OBJECT: {
        void *cursor = NULL;
        hz_str key;
        const hz_value *member;
        while (hz_next(value, &cursor, &key, &member)) /* a sum: the order of keys does not matter */
            hash += hash_bytes(hash_value(member, depth + 1), key) * 0x9e3779b97f4a7c15u;
        return hash;
    }
    case HZ_NULL:
    case HZ_UNDEFINED:
        break;
    }
    return hash;
}

struct hashed {
    uint64_t hash;
    size_t index;
};

static int compare_hashed(const void *a, const void *b)
{
    const struct hashed *x = a, *y = b;
    if (x->hash != y->hash)
        return x->hash < y->hash ? -1 : 1;
    return x->index < y->index ? -1 : x->index > y->index;
}

bool schema_rule_unique(const struct schema_rule_input *in)
{
    size_t count = hz_length(in->data);
    if (in->type != HZ_ARRAY || hz_type_of(in->operand) != HZ_BOOL || !hz_as_bool(in->operand) || count < 2)
        return true;
    struct hashed *items = malloc(count * sizeof *items);
    if (!items) {
        in->check->no_memory = true;
        return false;
    }
    for (size_t i = 0; i < count; i++)
        items[i] = (struct hashed){hash_value(hz_at(in->data, i), 0), i};
    qsort(items, count, sizeof *items, compare_hashed);
    size_t first = SIZE_MAX, second = SIZE_MAX;
    for (size_t i = 0; i < count; i++) { /* equal hashes lie together, by index */
        for (size_t k = i + 1; k < count && items[k].hash == items[i].hash && items[k].index < second; k++) {
            if (++in->check->steps > SCHEMA_MAX_STEPS) {
                in->check->failure = "la validación necesita demasiados pasos";
                break;
            }
            if (hz_equal(hz_at(in->data, items[i].index), hz_at(in->data, items[k].index))) {
                first = items[i].index;
                second = items[k].index;
                break;
            }
        }
    }
    free(items);
    if (second == SIZE_MAX)
        return !in->check->failure;
    struct schema_error *error = add_error(in, "uniqueItems");
    if (error) {
        error->i = second;
        error->j = first;
    }
    return false;
}

/* ## Objects */

bool schema_rule_properties(const struct schema_rule_input *in)
{
    if (in->type != HZ_OBJECT || hz_type_of(in->operand) != HZ_OBJECT)
        return true;
    void *cursor = NULL;
    hz_str key;
    const hz_value *schema;
    bool valid = true;
    while (!is_over(in, valid) && hz_next(in->operand, &cursor, &key, &schema)) {
        const hz_value *member = schema_get(in->data, key);
        if (member)
            valid &= check_member(in, schema, key, member);
    }
    return valid;
}

static bool pattern_matches(const struct schema_rule_input *in, hz_str source, hz_str key)
{
    const struct schema_pattern *pattern = schema_set_pattern(in->check->set, source);
    return pattern && schema_pattern_match(pattern, key) > 0;
}

bool schema_rule_patterns(const struct schema_rule_input *in)
{
    if (in->type != HZ_OBJECT || hz_type_of(in->operand) != HZ_OBJECT)
        return true;
    void *outer = NULL;
    hz_str source;
    const hz_value *schema;
    bool valid = true;
    while (!is_over(in, valid) && hz_next(in->operand, &outer, &source, &schema)) {
        void *inner = NULL;
        hz_str key;
        const hz_value *member;
        while (!is_over(in, valid) && hz_next(in->data, &inner, &key, &member)) {
            if (++in->check->steps > SCHEMA_MAX_STEPS)
                in->check->failure = "la validación necesita demasiados pasos";
            else if (pattern_matches(in, source, key))
                valid &= check_member(in, schema, key, member);
        }
    }
    return valid;
}

static bool is_described(
        const struct schema_rule_input *in, const hz_value *properties, const hz_value *patterns, hz_str key)
{
    void *cursor = NULL;
    hz_str source;
    if (hz_type_of(properties) == HZ_OBJECT && schema_get(properties, key))
        return true;
    while (hz_type_of(patterns) == HZ_OBJECT && hz_next(patterns, &cursor, &source, NULL)) {
        if (pattern_matches(in, source, key))
            return true;
    }
    return false;
}

bool schema_rule_additional(const struct schema_rule_input *in)
{
    const hz_value *properties = hz_get(in->schema, "properties"), *patterns = hz_get(in->schema, "patternProperties"),
                   *member;
    void *cursor = NULL;
    hz_str key;
    bool valid = true;
    if (in->type != HZ_OBJECT || (hz_type_of(in->operand) == HZ_BOOL && hz_as_bool(in->operand)))
        return true;
    while (!is_over(in, valid) && hz_next(in->data, &cursor, &key, &member)) {
        if (is_described(in, properties, patterns, key))
            continue;
        if (is_false(in->operand)) {
            struct schema_error *error = add_error(in, "additionalProperties");
            if (error)
                error->name = key;
            valid = false;
        } else {
            valid &= check_member(in, in->operand, key, member);
        }
    }
    return valid;
}

bool schema_rule_required(const struct schema_rule_input *in)
{
    bool valid = true;
    if (in->type != HZ_OBJECT || hz_type_of(in->operand) != HZ_ARRAY)
        return true;
    in->check->steps += hz_length(in->operand) / 8;
    for (size_t i = 0, n = hz_length(in->operand); i < n && !is_over(in, valid); i++) {
        const hz_value *name = hz_at(in->operand, i);
        if (hz_type_of(name) != HZ_STRING || schema_get(in->data, hz_as_str(name)))
            continue;
        struct schema_error *error = add_error(in, "required");
        if (error)
            error->name = hz_as_str(name);
        valid = false;
    }
    return valid;
}

static bool check_dependency(const struct schema_rule_input *in, hz_str key, const hz_value *needs)
{
    bool valid = true;
    if (hz_type_of(needs) != HZ_ARRAY)
        return schema_check_value(in->check, needs, in->data, in->path);
    for (size_t i = 0, n = hz_length(needs); i < n && !is_over(in, valid); i++) {
        const hz_value *name = hz_at(needs, i);
        if (hz_type_of(name) != HZ_STRING || schema_get(in->data, hz_as_str(name)))
            continue;
        struct schema_error *error = add_error(in, "dependencies");
        if (error) {
            error->name = key;
            error->name2 = hz_as_str(name);
        }
        valid = false;
    }
    return valid;
}

bool schema_rule_dependencies(const struct schema_rule_input *in)
{
    void *cursor = NULL;
    hz_str key;
    const hz_value *needs;
    bool valid = true;
    if (in->type != HZ_OBJECT || hz_type_of(in->operand) != HZ_OBJECT)
        return true;
    while (!is_over(in, valid) && hz_next(in->operand, &cursor, &key, &needs)) {
        if (schema_get(in->data, key))
            valid &= check_dependency(in, key, needs);
    }
    return valid;
}

bool schema_rule_names(const struct schema_rule_input *in)
{
    void *cursor = NULL;
    hz_str key;
    bool valid = true;
    if (in->type != HZ_OBJECT)
        return true;
    while (!is_over(in, valid) && hz_next(in->data, &cursor, &key, NULL)) {
        const hz_value *name = hz_string(in->check->call, key.data, key.len);
        if (!name) {
            in->check->no_memory = true;
            return false;
        }
        if (schema_check_value(in->check, in->operand, name, in->path))
            continue;
        struct schema_error *error = add_error(in, "propertyNames");
        if (error)
            error->name = key;
        valid = false;
    }
    return valid;
}
