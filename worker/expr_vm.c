/*
 * expr_vm.c - the stack machine for native expressions. The code was proven by hz_plan_check(): no stack check, no
 * index check here. Errors are worded as JavaScriptCore words them, so that nobody can tell which engine ran. Worker
 * process, the thread that evaluates; no recursion.
 */

/* The analyser cannot know that hz_plan_check() has proven the depth of the stack at every operation: it takes each
 * cell below the top for one that was never written. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wanalyzer-use-of-uninitialized-value"
#endif

#include "expr_vm.h"
#include "core/flow/expr.h"
#include "core/flow/limits.h"
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROOT_INPUT 0u
#define ROOT_ENV   1u
#define ROOT_NODE  2u /* + index */

struct hz_vm_block {
    struct hz_vm_block *next;
    const hz_value *kept; /* NULL: plain memory */
    char data[];
};

static _Thread_local char error_text[1024];

void hz_vm_fini(struct hz_vm *vm)
{
    struct hz_vm_block *block = vm->blocks;

    while (block) {
        struct hz_vm_block *next = block->next;

        hz_value_unref(block->kept);
        free(block);
        block = next;
    }
    hz_value_unref(vm->input);
    vm->blocks = NULL;
    vm->input = NULL;
}

void *hz_vm_alloc(struct hz_vm *vm, size_t size)
{
    struct hz_vm_block *block = malloc(sizeof(*block) + size);

    if (!block)
        return NULL;
    block->next = vm->blocks;
    block->kept = NULL;
    vm->blocks = block;
    return block->data;
}

const hz_value *hz_vm_keep(struct hz_vm *vm, const hz_value *value)
{
    if (!value)
        return NULL;
    if (!hz_vm_alloc(vm, 0)) {
        hz_value_unref(value);
        return NULL;
    }
    vm->blocks->kept = value;
    return value;
}

enum hz_vm_result hz_vm_throw(struct hz_vm *vm, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(error_text, sizeof(error_text), format, args);
    va_end(args);
    vm->error = error_text;
    return HZ_VM_THROW;
}

/* The source an error of operation `at` quotes: parsed once more, because only errors need it. */
static enum hz_vm_result throw_no_object(
        struct hz_vm *vm, const struct hz_plan_expr *expr, uint32_t at, const struct hz_cell *cell)
{
    const char *text = hz_plan_chars(vm->plan, expr->text), *reason;
    struct hz_expr_code code;
    size_t where;
    enum hz_expr_verdict verdict = hz_expr_parse(text, expr->text.len, NULL, NULL, &code, &reason, &where);
    uint32_t from = 0, to = expr->text.len;

    if (verdict == HZ_EXPR_IS_NATIVE && at < code.count) {
        from = code.steps[at].from;
        to = code.steps[at].to;
    }
    hz_expr_code_fini(&code);
    return hz_vm_throw(vm, "TypeError: %s is not an object (evaluating '%.*s')",
            cell->kind == HZ_CELL_NULL ? "null" : "undefined", (int)(to - from), text + from);
}

static bool is_key(const char *key, size_t len, const char *name)
{
    return len == strlen(name) && memcmp(key, name, len) == 0;
}

/* "0", "17": an index as arrays understand it, below 2^32 - 1. */
static bool index_of(const char *key, size_t len, uint64_t *ret_index)
{
    uint64_t index = 0;

    if (len == 0 || len > 10 || (key[0] == '0' && len > 1))
        return false;
    for (size_t i = 0; i < len; i++) {
        if (key[i] < '0' || key[i] > '9')
            return false;
        index = index * 10 + (uint64_t)(key[i] - '0');
    }
    *ret_index = index;
    return index < UINT32_MAX;
}

static void set_undefined(struct hz_cell *cell)
{
    *cell = (struct hz_cell){.kind = HZ_CELL_UNDEFINED};
}

/* One UTF-16 unit of a text, as text. Half of a pair exists only in JavaScript. */
static enum hz_vm_result unit_at(struct hz_cell *cell, uint64_t index)
{
    const char *data = cell->text.data;
    size_t len = cell->text.len, at = 0;
    uint64_t unit = 0;

    while (at < len) {
        unsigned char c = (unsigned char)data[at];
        size_t n = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;

        n = HZ_MIN(n, len - at);
        if (index < unit + (n == 4 ? 2 : 1)) {
            if (n == 4)
                return HZ_VM_SCRIPT;
            hz_cell_set_text(cell, data + at, n);
            return HZ_VM_OK;
        }
        unit += n == 4 ? 2 : 1;
        at += n;
    }
    set_undefined(cell);
    return HZ_VM_OK;
}

/* Nothing of its own under this key: what JavaScript's prototypes have is JavaScript's business. */
static enum hz_vm_result absent(struct hz_cell *cell, const char *key, size_t len, unsigned kinds)
{
    if (hz_expr_inherited(key, len, kinds))
        return HZ_VM_SCRIPT;
    set_undefined(cell);
    return HZ_VM_OK;
}

static enum hz_vm_result text_member(struct hz_cell *cell, const char *key, size_t len)
{
    uint64_t index;

    if (is_key(key, len, "length")) {
        hz_cell_set_number(cell, (double)hz_cell_utf16_length(cell->text.data, cell->text.len));
        return HZ_VM_OK;
    }
    if (index_of(key, len, &index))
        return unit_at(cell, index);
    return absent(cell, key, len, HZ_EXPR_OF_STRING);
}

static enum hz_vm_result array_member(struct hz_cell *cell, const char *key, size_t len)
{
    const hz_value *found;
    uint64_t index;

    if (is_key(key, len, "length")) {
        hz_cell_set_number(cell, (double)hz_value_length(cell->value));
        return HZ_VM_OK;
    }
    if (!index_of(key, len, &index))
        return absent(cell, key, len, HZ_EXPR_OF_ARRAY);
    found = index < hz_value_length(cell->value) ? hz_value_at(cell->value, (size_t)index) : NULL;
    if (found)
        hz_cell_load(cell, found, cell->root);
    else
        set_undefined(cell);
    return HZ_VM_OK;
}

static void load_or_undefined(struct hz_cell *cell, const hz_value *value, uint32_t root)
{
    if (value)
        hz_cell_load(cell, value, root);
    else
        set_undefined(cell);
}

/* cell = cell[key]. The cell is neither undefined nor null. */
static enum hz_vm_result member(struct hz_vm *vm, struct hz_cell *cell, const char *key, size_t len)
{
    const hz_value *found;

    switch (cell->kind) {
    case HZ_CELL_VALUE:
        if (hz_value_type(cell->value) == HZ_ARRAY)
            return array_member(cell, key, len);
        found = hz_value_get(cell->value, key, len);
        if (!found)
            return absent(cell, key, len, HZ_EXPR_OF_OBJECT);
        hz_cell_load(cell, found, cell->root);
        return HZ_VM_OK;
    case HZ_CELL_INPUT:
        if (is_key(key, len, "data")) {
            load_or_undefined(cell, vm->scope->input_data, ROOT_INPUT);
        } else if (is_key(key, len, "idNode") || is_key(key, len, "inputName")) {
            const char *text = len == strlen("idNode") ? vm->scope->input_node : vm->scope->input_name;

            hz_cell_set_text(cell, text ? text : "", text ? strlen(text) : 0);
        } else {
            return absent(cell, key, len, HZ_EXPR_OF_OBJECT);
        }
        return HZ_VM_OK;
    case HZ_CELL_NODE:
        if (is_key(key, len, "data"))
            load_or_undefined(cell, cell->value, cell->root);
        else if (is_key(key, len, "meta"))
            load_or_undefined(cell, cell->meta, cell->root);
        else
            return absent(cell, key, len, HZ_EXPR_OF_OBJECT);
        return HZ_VM_OK;
    case HZ_CELL_TEXT:
        return text_member(cell, key, len);
    case HZ_CELL_NUMBER:
        return absent(cell, key, len, HZ_EXPR_OF_NUMBER);
    case HZ_CELL_BOOL:
        return absent(cell, key, len, HZ_EXPR_OF_OBJECT);
    case HZ_CELL_UNDEFINED:
    case HZ_CELL_NULL:
        break;
    }
    return HZ_VM_SCRIPT;
}

/* object[key] with a computed key. */
static enum hz_vm_result index_cell(struct hz_vm *vm, struct hz_cell *object, struct hz_cell *key)
{
    enum hz_vm_result result;

    if (key->kind == HZ_CELL_NUMBER && object->kind == HZ_CELL_VALUE && key->number >= 0 &&
            key->number == floor(key->number) && hz_value_type(object->value) == HZ_ARRAY) {
        double length = (double)hz_value_length(object->value);

        load_or_undefined(
                object, key->number < length ? hz_value_at(object->value, (size_t)key->number) : NULL, object->root);
        return HZ_VM_OK;
    }
    result = hz_cell_text(vm, key);
    return result == HZ_VM_OK ? member(vm, object, key->text.data, key->text.len) : result;
}

static enum hz_vm_result load_node(struct hz_vm *vm, struct hz_cell *cell, uint32_t index, bool asked_for_type)
{
    const struct hz_scope *scope = vm->scope;
    const hz_value *data = NULL, *meta = NULL;
    struct hz_plan_text name;

    if (scope->node && scope->node(scope->arg, index, &data, &meta)) {
        *cell = (struct hz_cell){.kind = HZ_CELL_NODE, .root = ROOT_NODE + index, .value = data, .meta = meta};
        return HZ_VM_OK;
    }
    if (asked_for_type) { /* typeof of an unknown name is no error */
        set_undefined(cell);
        return HZ_VM_OK;
    }
    name = hz_plan_node(vm->plan, index)->name;
    return hz_vm_throw(vm, "ReferenceError: Can't find variable: %.*s", (int)name.len, hz_plan_chars(vm->plan, name));
}

static enum hz_vm_result arithmetic(struct hz_vm *vm, enum hz_expr_op op, struct hz_cell *left, struct hz_cell *right)
{
    enum hz_vm_result result;
    double a, b;

    if ((result = hz_cell_number(vm, left, &a)) != HZ_VM_OK || (result = hz_cell_number(vm, right, &b)) != HZ_VM_OK)
        return result;
    if (op == HZ_OP_SUB)
        a -= b;
    else if (op == HZ_OP_MUL)
        a *= b;
    else if (op == HZ_OP_DIV)
        a /= b;
    else
        a = fmod(a, b); /* JavaScript's % has fmod's sign rule */
    hz_cell_set_number(left, a);
    return HZ_VM_OK;
}

static enum hz_vm_result compare(struct hz_vm *vm, enum hz_expr_op op, struct hz_cell *left, struct hz_cell *right)
{
    enum hz_vm_result result;
    int less = 0;

    /* a > b is b < a, a <= b is not b < a, and nothing holds with NaN; the left one is converted first either way */
    if (op == HZ_OP_GT || op == HZ_OP_LE) {
        if ((result = hz_cell_primitive(vm, left)) != HZ_VM_OK)
            return result;
        result = hz_cell_less(vm, right, left, &less);
    } else {
        result = hz_cell_less(vm, left, right, &less);
    }
    if (result != HZ_VM_OK)
        return result;
    hz_cell_set_bool(left, op == HZ_OP_LT || op == HZ_OP_GT ? less == 1 : less == 0);
    return HZ_VM_OK;
}

static enum hz_vm_result equality(struct hz_vm *vm, enum hz_expr_op op, struct hz_cell *left, struct hz_cell *right)
{
    bool equal;

    if (op == HZ_OP_SEQ || op == HZ_OP_SNE) {
        equal = hz_cell_same(left, right);
    } else {
        enum hz_vm_result result = hz_cell_equal(vm, left, right, &equal);

        if (result != HZ_VM_OK)
            return result;
    }
    hz_cell_set_bool(left, equal == (op == HZ_OP_EQ || op == HZ_OP_SEQ));
    return HZ_VM_OK;
}

static enum hz_vm_result unary(struct hz_vm *vm, enum hz_expr_op op, struct hz_cell *cell)
{
    enum hz_vm_result result;
    const char *type;
    double number;

    if (op == HZ_OP_NOT) {
        hz_cell_set_bool(cell, !hz_cell_truthy(cell));
        return HZ_VM_OK;
    }
    if (op == HZ_OP_TYPEOF) {
        type = hz_cell_typeof(cell);
        hz_cell_set_text(cell, type, strlen(type));
        return HZ_VM_OK;
    }
    result = hz_cell_number(vm, cell, &number);
    if (result == HZ_VM_OK)
        hz_cell_set_number(cell, op == HZ_OP_NEGATE ? -number : number);
    return result;
}

/* The helper _length(x): a text's length, a number as it is, else the number of keys. */
static void length(const struct hz_vm *vm, struct hz_cell *cell)
{
    switch (cell->kind) {
    case HZ_CELL_UNDEFINED:
    case HZ_CELL_NULL:
        break; /* the caller's */
    case HZ_CELL_BOOL:
        hz_cell_set_number(cell, 0);
        break;
    case HZ_CELL_NUMBER:
        break;
    case HZ_CELL_TEXT:
        hz_cell_set_number(cell, (double)hz_cell_utf16_length(cell->text.data, cell->text.len));
        break;
    case HZ_CELL_VALUE:
        hz_cell_set_number(cell, (double)hz_value_length(cell->value));
        break;
    case HZ_CELL_INPUT:
        hz_cell_set_number(cell, 2 + (vm->scope->input_data && hz_value_type(vm->scope->input_data) != HZ_UNDEFINED));
        break;
    case HZ_CELL_NODE:
        hz_cell_set_number(cell, (cell->value && hz_value_type(cell->value) != HZ_UNDEFINED) +
                                         (cell->meta && hz_value_type(cell->meta) != HZ_UNDEFINED));
        break;
    }
}

enum hz_vm_result hz_vm_run(struct hz_vm *vm, const struct hz_plan_expr *expr, struct hz_cell *ret_cell)
{
    const struct hz_plan *plan = vm->plan;
    const struct hz_plan_op *code = hz_plan_op(plan, expr->first_op), *op = code;
    struct hz_cell stack[HZ_FLOW_MAX_EXPR_STACK + 1], *top = stack; /* the last cell in use; the first one never is */
    enum hz_vm_result result;

    for (;; op++) {
        result = HZ_VM_OK;
        switch ((enum hz_expr_op)op->op) {
        case HZ_OP_INPUT:
            *++top = (struct hz_cell){.kind = HZ_CELL_INPUT, .root = ROOT_INPUT};
            break;
        case HZ_OP_ENV:
            hz_cell_load(++top, vm->scope->env, ROOT_ENV);
            break;
        case HZ_OP_NODE:
            result = load_node(vm, ++top, op->a, op[1].op == HZ_OP_TYPEOF);
            break;
        case HZ_OP_MEMBER:
            if (hz_cell_nullish(top))
                return throw_no_object(vm, expr, (uint32_t)(op - code), top);
            result = member(vm, top, (const char *)plan + op->a, op->len);
            break;
        case HZ_OP_MEMBER_OPT:
            if (hz_cell_nullish(top))
                set_undefined(top);
            else
                result = member(vm, top, (const char *)plan + op->a, op->len);
            break;
        case HZ_OP_INDEX:
            top--;
            if (hz_cell_nullish(top))
                return throw_no_object(vm, expr, (uint32_t)(op - code), top);
            result = index_cell(vm, top, top + 1);
            break;
        case HZ_OP_NUMBER:
            hz_cell_set_number(++top, op->number);
            break;
        case HZ_OP_TEXT:
            hz_cell_set_text(++top, (const char *)plan + op->a, op->len);
            break;
        case HZ_OP_TRUE:
            hz_cell_set_bool(++top, true);
            break;
        case HZ_OP_FALSE:
            hz_cell_set_bool(++top, false);
            break;
        case HZ_OP_NULL:
            *++top = (struct hz_cell){.kind = HZ_CELL_NULL};
            break;
        case HZ_OP_UNDEFINED:
            set_undefined(++top);
            break;
        case HZ_OP_NOT:
        case HZ_OP_NEGATE:
        case HZ_OP_PLUS:
        case HZ_OP_TYPEOF:
            result = unary(vm, (enum hz_expr_op)op->op, top);
            break;
        case HZ_OP_LENGTH: /* its script says 'keys(x)' here; the argument helps more */
            if (hz_cell_nullish(top))
                return throw_no_object(vm, expr, (uint32_t)(op - code), top);
            length(vm, top);
            break;
        case HZ_OP_ADD:
            top--;
            result = hz_cell_add(vm, top, top + 1);
            break;
        case HZ_OP_SUB:
        case HZ_OP_MUL:
        case HZ_OP_DIV:
        case HZ_OP_MOD:
            top--;
            result = arithmetic(vm, (enum hz_expr_op)op->op, top, top + 1);
            break;
        case HZ_OP_LT:
        case HZ_OP_LE:
        case HZ_OP_GT:
        case HZ_OP_GE:
            top--;
            result = compare(vm, (enum hz_expr_op)op->op, top, top + 1);
            break;
        case HZ_OP_EQ:
        case HZ_OP_NE:
        case HZ_OP_SEQ:
        case HZ_OP_SNE:
            top--;
            result = equality(vm, (enum hz_expr_op)op->op, top, top + 1);
            break;
        case HZ_OP_JUMP:
            op = code + op->a - 1;
            break;
        case HZ_OP_JUMP_FALSE:
            if (!hz_cell_truthy(top--))
                op = code + op->a - 1;
            break;
        case HZ_OP_AND:
            if (!hz_cell_truthy(top))
                op = code + op->a - 1;
            else
                top--;
            break;
        case HZ_OP_OR:
            if (hz_cell_truthy(top))
                op = code + op->a - 1;
            else
                top--;
            break;
        case HZ_OP_COALESCE:
            if (!hz_cell_nullish(top))
                op = code + op->a - 1;
            else
                top--;
            break;
        case HZ_OP_JUMP_NULLISH:
            if (hz_cell_nullish(top)) {
                set_undefined(top);
                op = code + op->a - 1;
            }
            break;
        case HZ_OP_END:
            *ret_cell = *top;
            return HZ_VM_OK;
        }
        if (result != HZ_VM_OK)
            return result;
    }
}

enum hz_vm_result hz_vm_eval(struct hz_vm *vm, uint32_t index, bool force_script, struct hz_cell *ret_cell)
{
    const struct hz_plan_expr *expr = hz_plan_expr(vm->plan, index);
    enum hz_vm_result result = HZ_VM_SCRIPT;

    if (expr->kind == HZ_EXPR_NATIVE && !force_script)
        result = hz_vm_run(vm, expr, ret_cell);
    return result == HZ_VM_SCRIPT ? hz_vm_script(vm, expr, ret_cell) : result;
}
