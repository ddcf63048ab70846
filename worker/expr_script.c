/*
 * expr_script.c - hands an expression to JavaScript: input, env and the nodes it names that have run on this branch.
 * Worker process, the thread that evaluates; the context is that thread's own.
 */
#include "core/flow/expr.h"
#include "expr_vm.h"
#include "js.h"
#include <stdlib.h>
#include <string.h>

#define FIRST_BINDINGS 16u

struct bindings {
    struct hz_js_binding *list, first[FIRST_BINDINGS];
    size_t count, capacity;
};

static bool add(struct bindings *bindings, const char *name, size_t len, const hz_value *value)
{
    for (size_t i = 0; i < bindings->count; i++)
        if (bindings->list[i].len == len && memcmp(bindings->list[i].name, name, len) == 0) {
            bindings->list[i].value = value; /* several nodes of one name: the last one counts */
            return true;
        }
    if (bindings->count == bindings->capacity) {
        struct hz_js_binding *grown = malloc(bindings->capacity * 2 * sizeof(*grown));

        if (!grown)
            return false;
        memcpy(grown, bindings->list, bindings->count * sizeof(*grown));
        if (bindings->list != bindings->first)
            free(bindings->list);
        bindings->list = grown;
        bindings->capacity *= 2;
    }
    bindings->list[bindings->count++] = (struct hz_js_binding){name, len, value};
    return true;
}

static bool add_node(struct hz_vm *vm, struct bindings *bindings, uint32_t index)
{
    const struct hz_scope *scope = vm->scope;
    struct hz_plan_text name = hz_plan_node(vm->plan, index)->name;
    const hz_value *data = NULL, *meta = NULL, *value;

    if (!scope->node || !scope->node(scope->arg, index, &data, &meta))
        return true;
    value = hz_cell_node(vm, data, meta);
    return value && add(bindings, hz_plan_chars(vm->plan, name), name.len, value);
}

/* Names of a script are listed in the plan, those of native code stand in the code. */
static bool add_nodes(struct hz_vm *vm, const struct hz_plan_expr *expr, struct bindings *bindings)
{
    if (expr->kind == HZ_EXPR_SCRIPT) {
        /* the plan lists several nodes of one name last in the file first */
        for (uint32_t i = expr->ref_count; i > 0; i--)
            if (!add_node(vm, bindings, hz_plan_ref(vm->plan, expr->first_ref + i - 1)))
                return false;
        return true;
    }
    for (uint32_t i = 0; i < expr->op_count; i++) {
        const struct hz_plan_op *op = hz_plan_op(vm->plan, expr->first_op + i);

        if (op->op == HZ_OP_NODE && !add_node(vm, bindings, op->a))
            return false;
    }
    return true;
}

enum hz_vm_result hz_vm_script(struct hz_vm *vm, const struct hz_plan_expr *expr, struct hz_cell *ret_cell)
{
    const struct hz_scope *scope = vm->scope;
    struct bindings bindings = {.capacity = FIRST_BINDINGS};
    struct hz_js *js = scope->js ? scope->js(scope->arg) : NULL;
    const char *reason = NULL;
    const hz_value *input, *value = NULL;
    enum hz_vm_result result;

    if (!js)
        return hz_vm_throw(vm, "Error: this expression needs JavaScript, which this worker was started without");
    bindings.list = bindings.first;
    input = hz_cell_input(vm);
    if (input && add(&bindings, "input", strlen("input"), input) && add(&bindings, "env", strlen("env"), scope->env) &&
            add_nodes(vm, expr, &bindings))
        value = hz_js_eval(
                js, hz_plan_chars(vm->plan, expr->text), expr->text.len, bindings.list, bindings.count, &reason);
    else
        reason = "RangeError: Out of memory";
    value = hz_vm_keep(vm, value);
    if (value) {
        hz_cell_load(ret_cell, value, UINT32_MAX);
        result = HZ_VM_OK;
    } else {
        result = hz_vm_throw(vm, "%s", reason ? reason : "RangeError: Out of memory");
    }
    if (bindings.list != bindings.first)
        free(bindings.list);
    return result;
}
