/*
 * validator_rules.c - the keywords that look at one value: its type, its size, what it equals. A keyword whose own
 * value has the wrong type checks nothing.
 */
#include "validator_internal.h"

#include <math.h>
#include <stdlib.h>

static bool fail(const struct schema_rule_input *in, const char *keyword)
{
    (void)schema_check_error(in->check, in->path, keyword, in->schema, in->operand);
    return false;
}

static bool is_text(hz_str text, const char *word)
{
    return text.len == strlen(word) && memcmp(text.data, word, text.len) == 0;
}

static bool is_type(const struct schema_rule_input *in, hz_str name)
{
    switch (in->type) {
    case HZ_NULL:
        return is_text(name, "null");
    case HZ_BOOL:
        return is_text(name, "boolean");
    case HZ_STRING:
        return is_text(name, "string");
    case HZ_ARRAY:
        return is_text(name, "array");
    case HZ_OBJECT:
        return is_text(name, "object");
    case HZ_NUMBER: {
        double v = hz_as_num(in->data), whole;
        return is_text(name, "number") || (is_text(name, "integer") && isfinite(v) && !(fabs(modf(v, &whole)) > 0));
    }
    case HZ_UNDEFINED:
        break;
    }
    return false;
}

bool schema_rule_type(const struct schema_rule_input *in)
{
    if (hz_type_of(in->operand) == HZ_STRING)
        return is_type(in, hz_as_str(in->operand)) || fail(in, "type");
    for (size_t i = 0, n = hz_length(in->operand); i < n; i++) {
        if (is_type(in, hz_as_str(hz_at(in->operand, i))))
            return true;
    }
    return fail(in, "type");
}

bool schema_rule_enum(const struct schema_rule_input *in)
{
    if (hz_type_of(in->operand) != HZ_ARRAY)
        return true;
    in->check->steps += hz_length(in->operand) / 8;
    for (size_t i = 0, n = hz_length(in->operand); i < n; i++) {
        if (hz_equal(hz_at(in->operand, i), in->data))
            return true;
    }
    return fail(in, "enum");
}

bool schema_rule_const(const struct schema_rule_input *in)
{
    return hz_equal(in->operand, in->data) || fail(in, "const");
}

/* ## Numbers */

__extension__ typedef unsigned __int128 wide;

/* The number as its shortest decimal: digits * 10^exponent. */
static void decimal_of(double v, uint64_t *ret_digits, int *ret_exponent)
{
    char text[40];
    for (int precision = 15; precision <= 17; precision++) {
        (void)snprintf(text, sizeof text, "%.*e", precision - 1, v);
        double back = strtod(text, NULL);
        if (!(back < v) && !(back > v))
            break;
    }
    uint64_t digits = 0;
    int exponent = 0;
    bool point = false;
    const char *p = text;
    for (; *p && *p != 'e'; p++) {
        if (*p == '.') {
            point = true;
        } else {
            digits = digits * 10 + (uint64_t)(*p - '0');
            exponent -= point;
        }
    }
    exponent += (int)strtol(p + 1, NULL, 10);
    for (; digits && digits % 10 == 0; digits /= 10)
        exponent++;
    *ret_digits = digits;
    *ret_exponent = exponent;
}

/* Is a * 10^i a multiple of b * 10^j? Exact: in decimals as people write them, 0.0075 is a multiple of 0.0001. */
static bool is_multiple(double value, double of)
{
    uint64_t a, b;
    int i, j;
    if (!isfinite(value) || !isfinite(of))
        return false;
    value = fabs(value);
    of = fabs(of);
    if (!(value > 0) || !(of > 0))
        return !(value > 0);
    if (value < 0x1p53 && of < 0x1p53 && !(value > floor(value)) && !(of > floor(of)))
        return !(fmod(value, of) > 0);
    decimal_of(value, &a, &i);
    decimal_of(of, &b, &j);
    if (b == 0)
        return false;
    for (; i < j; i++) { /* b grows until a is certainly smaller */
        if (b > UINT64_MAX / 10)
            return false;
        b *= 10;
    }
    wide rest = a % b;
    for (; i > j && rest; i--)
        rest = rest * 10 % b;
    return rest == 0;
}

bool schema_rule_multiple(const struct schema_rule_input *in)
{
    return in->type != HZ_NUMBER || hz_type_of(in->operand) != HZ_NUMBER ||
           is_multiple(hz_as_num(in->data), hz_as_num(in->operand)) || fail(in, "multipleOf");
}

static bool are_numbers(const struct schema_rule_input *in)
{
    return in->type == HZ_NUMBER && hz_type_of(in->operand) == HZ_NUMBER;
}

bool schema_rule_maximum(const struct schema_rule_input *in)
{
    return !are_numbers(in) || hz_as_num(in->data) <= hz_as_num(in->operand) || fail(in, "maximum");
}

bool schema_rule_minimum(const struct schema_rule_input *in)
{
    return !are_numbers(in) || hz_as_num(in->data) >= hz_as_num(in->operand) || fail(in, "minimum");
}

bool schema_rule_below(const struct schema_rule_input *in)
{
    return !are_numbers(in) || hz_as_num(in->data) < hz_as_num(in->operand) || fail(in, "exclusiveMaximum");
}

bool schema_rule_above(const struct schema_rule_input *in)
{
    return !are_numbers(in) || hz_as_num(in->data) > hz_as_num(in->operand) || fail(in, "exclusiveMinimum");
}

/* ## Sizes */

static size_t characters(hz_str text)
{
    size_t n = 0;
    for (size_t i = 0; i < text.len; i++)
        n += ((unsigned char)text.data[i] & 0xc0) != 0x80;
    return n;
}

static bool at_most(const struct schema_rule_input *in, enum hz_type type, const char *keyword)
{
    if (in->type != type || hz_type_of(in->operand) != HZ_NUMBER)
        return true;
    double limit = hz_as_num(in->operand);
    size_t size = type == HZ_STRING ? characters(hz_as_str(in->data)) : hz_length(in->data);
    return (double)size <= limit || fail(in, keyword);
}

static bool at_least(const struct schema_rule_input *in, enum hz_type type, const char *keyword)
{
    if (in->type != type || hz_type_of(in->operand) != HZ_NUMBER)
        return true;
    double limit = hz_as_num(in->operand);
    size_t size = type == HZ_STRING ? characters(hz_as_str(in->data)) : hz_length(in->data);
    return (double)size >= limit || fail(in, keyword);
}

bool schema_rule_max_length(const struct schema_rule_input *in)
{
    return at_most(in, HZ_STRING, "maxLength");
}

bool schema_rule_min_length(const struct schema_rule_input *in)
{
    return at_least(in, HZ_STRING, "minLength");
}

bool schema_rule_max_items(const struct schema_rule_input *in)
{
    return at_most(in, HZ_ARRAY, "maxItems");
}

bool schema_rule_min_items(const struct schema_rule_input *in)
{
    return at_least(in, HZ_ARRAY, "minItems");
}

bool schema_rule_max_properties(const struct schema_rule_input *in)
{
    return at_most(in, HZ_OBJECT, "maxProperties");
}

bool schema_rule_min_properties(const struct schema_rule_input *in)
{
    return at_least(in, HZ_OBJECT, "minProperties");
}

/* ## Texts */

bool schema_rule_pattern(const struct schema_rule_input *in)
{
    if (in->type != HZ_STRING || hz_type_of(in->operand) != HZ_STRING)
        return true;
    const struct schema_pattern *pattern = schema_set_pattern(in->check->set, hz_as_str(in->operand));
    return !pattern || schema_pattern_match(pattern, hz_as_str(in->data)) > 0 || fail(in, "pattern");
}

bool schema_rule_format(const struct schema_rule_input *in)
{
    return in->type != HZ_STRING || hz_type_of(in->operand) != HZ_STRING ||
           schema_format_check(hz_as_str(in->operand), hz_as_str(in->data)) || fail(in, "format");
}
