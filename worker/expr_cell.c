/*
 * expr_cell.c - JavaScript's conversions and comparisons on cells of the stack machine (ECMA-262, section 7).
 * Worker process, the thread that evaluates.
 */
#include "expr_vm.h"
#include "utf8.h"
#include <math.h>
#include <string.h>

void hz_cell_load(struct hz_cell *cell, const hz_value *value, uint32_t root)
{
    cell->root = root;
    cell->value = value;
    switch (hz_value_type(value)) {
    case HZ_UNDEFINED:
        cell->kind = HZ_CELL_UNDEFINED;
        return;
    case HZ_NULL:
        cell->kind = HZ_CELL_NULL;
        return;
    case HZ_BOOL:
        cell->kind = HZ_CELL_BOOL;
        cell->number = hz_value_truthy(value);
        return;
    case HZ_NUMBER:
        cell->kind = HZ_CELL_NUMBER;
        cell->number = hz_value_num(value);
        return;
    case HZ_STRING: {
        hz_str text = hz_value_str(value);

        cell->kind = HZ_CELL_TEXT;
        cell->text.data = text.data;
        cell->text.len = text.len;
        return;
    }
    case HZ_ARRAY:
    case HZ_OBJECT:
        cell->kind = HZ_CELL_VALUE;
        return;
    }
}

bool hz_cell_truthy(const struct hz_cell *cell)
{
    switch (cell->kind) {
    case HZ_CELL_UNDEFINED:
    case HZ_CELL_NULL:
        return false;
    case HZ_CELL_BOOL:
    case HZ_CELL_NUMBER:
        return cell->number != 0 && !isnan(cell->number);
    case HZ_CELL_TEXT:
        return cell->text.len > 0;
    case HZ_CELL_VALUE:
    case HZ_CELL_INPUT:
    case HZ_CELL_NODE:
        break;
    }
    return true;
}

const char *hz_cell_typeof(const struct hz_cell *cell)
{
    switch (cell->kind) {
    case HZ_CELL_UNDEFINED:
        return "undefined";
    case HZ_CELL_BOOL:
        return "boolean";
    case HZ_CELL_NUMBER:
        return "number";
    case HZ_CELL_TEXT:
        return "string";
    case HZ_CELL_NULL:
    case HZ_CELL_VALUE:
    case HZ_CELL_INPUT:
    case HZ_CELL_NODE:
        break;
    }
    return "object";
}

size_t hz_cell_utf16_length(const char *data, size_t len)
{
    size_t units = 0;

    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)data[i];

        units += (c & 0xc0) != 0x80; /* every byte that is no continuation starts a character */
        units += c >= 0xf0;          /* beyond the basic plane: a pair of surrogates */
    }
    return units;
}

/* ---- text ---- */

/* An object whose data brings a `toString` of its own: no function, so JavaScript finds no way to a primitive. */
static bool no_default_value(const hz_value *value)
{
    return hz_value_type(value) == HZ_OBJECT && hz_value_get(value, "toString", strlen("toString")) != NULL;
}

/* Array.prototype.join(",") into buffer. False: an element has no primitive, or the nesting is beyond what is printed.
 */
static bool join(const hz_value *array, struct hz_buffer *buffer, unsigned depth)
{
    size_t length = hz_value_length(array);

    if (depth > HZ_VALUE_DEPTH)
        return false;
    for (size_t i = 0; i < length; i++) {
        const hz_value *item = hz_value_at(array, i);
        enum hz_type type = hz_value_type(item);

        if (i > 0)
            hz_buffer_add(buffer, ",", 1);
        if (type == HZ_NULL || type == HZ_UNDEFINED)
            continue;
        if (type == HZ_OBJECT) {
            if (no_default_value(item))
                return false;
            hz_buffer_add(buffer, "[object Object]", strlen("[object Object]"));
        } else if (type == HZ_ARRAY) {
            if (!join(item, buffer, depth + 1))
                return false;
        } else {
            hz_value_print_text(buffer, item);
        }
    }
    return true;
}

static enum hz_vm_result out_of_memory(struct hz_vm *vm)
{
    return hz_vm_throw(vm, "RangeError: Out of memory");
}

/* Sets a cell to a copy of text that lives as long as the vm. */
static enum hz_vm_result set_copy(struct hz_vm *vm, struct hz_cell *cell, const char *data, size_t len)
{
    char *copy = hz_vm_alloc(vm, len + 1);

    if (!copy)
        return out_of_memory(vm);
    memcpy(copy, data, len);
    copy[len] = '\0';
    hz_cell_set_text(cell, copy, len);
    return HZ_VM_OK;
}

static enum hz_vm_result array_text(struct hz_vm *vm, struct hz_cell *cell)
{
    struct hz_buffer buffer = {0};
    enum hz_vm_result result;

    if (!join(cell->value, &buffer, 1))
        result = hz_vm_throw(vm, "TypeError: No default value");
    else if (buffer.failed)
        result = out_of_memory(vm);
    else
        result = set_copy(vm, cell, buffer.len > 0 ? buffer.data : "", buffer.len);
    hz_buffer_fini(&buffer);
    return result;
}

enum hz_vm_result hz_cell_primitive(struct hz_vm *vm, struct hz_cell *cell)
{
    if (!hz_cell_is_object(cell))
        return HZ_VM_OK;
    if (cell->kind == HZ_CELL_VALUE && hz_value_type(cell->value) == HZ_ARRAY)
        return array_text(vm, cell);
    if (cell->kind == HZ_CELL_VALUE && no_default_value(cell->value))
        return hz_vm_throw(vm, "TypeError: No default value");
    hz_cell_set_text(cell, "[object Object]", strlen("[object Object]"));
    return HZ_VM_OK;
}

enum hz_vm_result hz_cell_text(struct hz_vm *vm, struct hz_cell *cell)
{
    char number[32];

    switch (cell->kind) {
    case HZ_CELL_UNDEFINED:
        hz_cell_set_text(cell, "undefined", strlen("undefined"));
        break;
    case HZ_CELL_NULL:
        hz_cell_set_text(cell, "null", strlen("null"));
        break;
    case HZ_CELL_BOOL:
        if (cell->number != 0)
            hz_cell_set_text(cell, "true", strlen("true"));
        else
            hz_cell_set_text(cell, "false", strlen("false"));
        break;
    case HZ_CELL_NUMBER:
        return set_copy(vm, cell, number, hz_value_format_number(cell->number, number));
    case HZ_CELL_TEXT:
        break;
    case HZ_CELL_VALUE:
    case HZ_CELL_INPUT:
    case HZ_CELL_NODE:
        return hz_cell_primitive(vm, cell);
    }
    return HZ_VM_OK;
}

/* ---- numbers ---- */

/* The rules for text are value.c's; only values enter there. */
static enum hz_vm_result text_number(struct hz_vm *vm, const struct hz_cell *cell, double *ret_number)
{
    const hz_value *made;

    if (cell->value) {
        *ret_number = hz_value_to_number(cell->value);
        return HZ_VM_OK;
    }
    made = hz_value_string(cell->text.data, cell->text.len);
    if (!made)
        return out_of_memory(vm);
    *ret_number = hz_value_to_number(made);
    hz_value_unref(made);
    return HZ_VM_OK;
}

enum hz_vm_result hz_cell_number(struct hz_vm *vm, const struct hz_cell *cell, double *ret_number)
{
    struct hz_cell copy = *cell;
    enum hz_vm_result result;

    switch (cell->kind) {
    case HZ_CELL_UNDEFINED:
        *ret_number = (double)NAN;
        return HZ_VM_OK;
    case HZ_CELL_NULL:
        *ret_number = 0;
        return HZ_VM_OK;
    case HZ_CELL_BOOL:
    case HZ_CELL_NUMBER:
        *ret_number = cell->number;
        return HZ_VM_OK;
    case HZ_CELL_TEXT:
        return text_number(vm, cell, ret_number);
    case HZ_CELL_VALUE:
    case HZ_CELL_INPUT:
    case HZ_CELL_NODE:
        break;
    }
    result = hz_cell_primitive(vm, &copy);
    return result == HZ_VM_OK ? text_number(vm, &copy, ret_number) : result;
}

enum hz_vm_result hz_cell_add(struct hz_vm *vm, struct hz_cell *left, struct hz_cell *right)
{
    enum hz_vm_result result;
    double a = 0, b = 0;
    char *sum;

    if ((result = hz_cell_primitive(vm, left)) != HZ_VM_OK || (result = hz_cell_primitive(vm, right)) != HZ_VM_OK)
        return result;
    if (left->kind != HZ_CELL_TEXT && right->kind != HZ_CELL_TEXT) {
        if ((result = hz_cell_number(vm, left, &a)) != HZ_VM_OK || (result = hz_cell_number(vm, right, &b)) != HZ_VM_OK)
            return result;
        hz_cell_set_number(left, a + b);
        return HZ_VM_OK;
    }
    if ((result = hz_cell_text(vm, left)) != HZ_VM_OK || (result = hz_cell_text(vm, right)) != HZ_VM_OK)
        return result;
    sum = hz_vm_alloc(vm, left->text.len + right->text.len + 1);
    if (!sum)
        return out_of_memory(vm);
    memcpy(sum, left->text.data, left->text.len);
    memcpy(sum + left->text.len, right->text.data, right->text.len);
    sum[left->text.len + right->text.len] = '\0';
    hz_cell_set_text(left, sum, left->text.len + right->text.len);
    return HZ_VM_OK;
}

/* ---- comparisons ---- */

/* Order of UTF-16 units from UTF-8 bytes: bytes decide, but U+E000..U+FFFF (lead bytes EE, EF) come after the
 * surrogates that stand for everything from U+10000 (lead bytes F0 and up). Lead and continuation bytes cannot be
 * confused there. */
static int compare_text(const struct hz_cell *left, const struct hz_cell *right)
{
    size_t common = HZ_MIN(left->text.len, right->text.len);

    for (size_t i = 0; i < common; i++) {
        unsigned char a = (unsigned char)left->text.data[i], b = (unsigned char)right->text.data[i];

        if (a == b)
            continue;
        if (a >= 0xee && b >= 0xee && (a >= 0xf0) != (b >= 0xf0))
            return a >= 0xf0 ? -1 : 1;
        return a < b ? -1 : 1;
    }
    return left->text.len == right->text.len ? 0 : left->text.len < right->text.len ? -1 : 1;
}

enum hz_vm_result hz_cell_less(struct hz_vm *vm, struct hz_cell *left, struct hz_cell *right, int *ret_less)
{
    enum hz_vm_result result;
    double a = 0, b = 0;

    if ((result = hz_cell_primitive(vm, left)) != HZ_VM_OK || (result = hz_cell_primitive(vm, right)) != HZ_VM_OK)
        return result;
    if (left->kind == HZ_CELL_TEXT && right->kind == HZ_CELL_TEXT) {
        *ret_less = compare_text(left, right) < 0;
        return HZ_VM_OK;
    }
    if ((result = hz_cell_number(vm, left, &a)) != HZ_VM_OK || (result = hz_cell_number(vm, right, &b)) != HZ_VM_OK)
        return result;
    *ret_less = isnan(a) || isnan(b) ? -1 : a < b;
    return HZ_VM_OK;
}

static bool same_text(const struct hz_cell *left, const struct hz_cell *right)
{
    return left->text.len == right->text.len && memcmp(left->text.data, right->text.data, left->text.len) == 0;
}

bool hz_cell_same(const struct hz_cell *left, const struct hz_cell *right)
{
    if (left->kind != right->kind)
        return false;
    switch (left->kind) {
    case HZ_CELL_UNDEFINED:
    case HZ_CELL_NULL:
    case HZ_CELL_INPUT:
        return true;
    case HZ_CELL_BOOL:
    case HZ_CELL_NUMBER:
        return left->number == right->number;
    case HZ_CELL_TEXT:
        return same_text(left, right);
    case HZ_CELL_VALUE:
        return left->value == right->value && left->root == right->root;
    case HZ_CELL_NODE:
        return left->root == right->root;
    }
    return false;
}

enum hz_vm_result hz_cell_equal(struct hz_vm *vm, struct hz_cell *left, struct hz_cell *right, bool *ret_equal)
{
    enum hz_vm_result result;
    double a = 0, b = 0;

    *ret_equal = false;
    if (hz_cell_nullish(left) || hz_cell_nullish(right)) {
        *ret_equal = hz_cell_nullish(left) && hz_cell_nullish(right);
        return HZ_VM_OK;
    }
    if (left->kind == right->kind || (hz_cell_is_object(left) && hz_cell_is_object(right))) {
        *ret_equal = hz_cell_same(left, right);
        return HZ_VM_OK;
    }
    if ((result = hz_cell_primitive(vm, left)) != HZ_VM_OK || (result = hz_cell_primitive(vm, right)) != HZ_VM_OK)
        return result;
    if (left->kind == HZ_CELL_TEXT && right->kind == HZ_CELL_TEXT) {
        *ret_equal = same_text(left, right);
        return HZ_VM_OK;
    }
    if ((result = hz_cell_number(vm, left, &a)) != HZ_VM_OK || (result = hz_cell_number(vm, right, &b)) != HZ_VM_OK)
        return result;
    *ret_equal = a == b;
    return HZ_VM_OK;
}

/* ---- to values and text ---- */
static bool set(hz_value *object, const char *key, const hz_value *value)
{
    return hz_value_set(object, key, strlen(key), value) == 0;
}

static bool set_text(hz_value *object, const char *key, const char *text)
{
    const hz_value *value = hz_value_string(text, strlen(text));
    bool done = value && set(object, key, value);

    hz_value_unref(value);
    return done;
}

const hz_value *hz_cell_input(struct hz_vm *vm)
{
    const struct hz_scope *scope = vm->scope;
    hz_value *object;

    if (vm->input)
        return vm->input;
    object = hz_value_object();
    if (!object)
        return NULL;
    if (!set_text(object, "idNode", scope->input_node ? scope->input_node : "") ||
            !set_text(object, "inputName", scope->input_name ? scope->input_name : "") ||
            (scope->input_data && hz_value_type(scope->input_data) != HZ_UNDEFINED &&
                    !set(object, "data", scope->input_data))) {
        hz_value_unref(object);
        return NULL;
    }
    vm->input = object;
    return object;
}

const hz_value *hz_cell_node(struct hz_vm *vm, const hz_value *data, const hz_value *meta)
{
    hz_value *object = hz_value_object();

    if (!object)
        return NULL;
    if ((data && hz_value_type(data) != HZ_UNDEFINED && !set(object, "data", data)) ||
            (meta && hz_value_type(meta) != HZ_UNDEFINED && !set(object, "meta", meta))) {
        hz_value_unref(object);
        return NULL;
    }
    return hz_vm_keep(vm, object);
}

const hz_value *hz_cell_value(struct hz_vm *vm, const struct hz_cell *cell)
{
    switch (cell->kind) {
    case HZ_CELL_UNDEFINED:
        return hz_value_undefined();
    case HZ_CELL_NULL:
        return hz_value_null();
    case HZ_CELL_BOOL:
        return hz_value_bool(cell->number != 0);
    case HZ_CELL_NUMBER:
        return cell->value ? hz_value_ref(cell->value) : hz_value_number(cell->number);
    case HZ_CELL_TEXT:
        return cell->value ? hz_value_ref(cell->value) : hz_value_string(cell->text.data, cell->text.len);
    case HZ_CELL_VALUE:
        return hz_value_ref(cell->value);
    case HZ_CELL_INPUT:
        return hz_value_ref(hz_cell_input(vm));
    case HZ_CELL_NODE:
        return hz_value_ref(hz_cell_node(vm, cell->value, cell->meta));
    }
    return NULL;
}

void hz_cell_print(struct hz_vm *vm, const struct hz_cell *cell, struct hz_buffer *buffer)
{
    const hz_value *value;
    char number[32];

    switch (cell->kind) {
    case HZ_CELL_UNDEFINED:
        return;
    case HZ_CELL_NULL:
        hz_buffer_add(buffer, "null", 4);
        return;
    case HZ_CELL_BOOL:
        hz_buffer_add(buffer, cell->number != 0 ? "true" : "false", cell->number != 0 ? 4 : 5);
        return;
    case HZ_CELL_NUMBER:
        hz_buffer_add(buffer, number, hz_value_format_number(cell->number, number));
        return;
    case HZ_CELL_TEXT:
        hz_buffer_add(buffer, cell->text.data, cell->text.len);
        return;
    case HZ_CELL_VALUE:
    case HZ_CELL_INPUT:
    case HZ_CELL_NODE:
        break;
    }
    value = cell->kind == HZ_CELL_VALUE   ? cell->value
            : cell->kind == HZ_CELL_INPUT ? hz_cell_input(vm)
                                          : hz_cell_node(vm, cell->value, cell->meta);
    if (value)
        hz_value_print_text(buffer, value);
    else
        buffer->failed = true;
}
