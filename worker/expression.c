/*
 * expression.c - programs: a plan's constants parsed once, and the evaluation of a node's properties in each run.
 * Worker process; a program never changes after hz_program_new(), so any thread may evaluate with it.
 */
#include "expression.h"
#include "expr_program.h"
#include "shm/err.h"
#include <stdlib.h>
#include <string.h>

int hz_program_new(const struct hz_plan *plan, struct hz_program **ret_program)
{
    struct hz_program *program = calloc(1, sizeof(*program));
    const char *error = "";

    if (!program)
        return hz_err_set(HZ_ENOMEM, "program");
    program->magic = HZ_PROGRAM_MAGIC;
    program->plan = plan;
    program->consts = calloc(plan->tree_count + 1u, sizeof(void *));
    program->skeletons = calloc(plan->tree_count + 1u, sizeof(void *));
    if (!program->consts || !program->skeletons) {
        hz_program_free(&program);
        return hz_err_set(HZ_ENOMEM, "program");
    }
    for (uint32_t i = 0; i < plan->tree_count; i++) {
        const struct hz_plan_tree *tree = hz_plan_tree(plan, i);

        if (tree->kind == HZ_TREE_CONST) {
            program->consts[i] = hz_value_parse((const char *)plan + tree->a, tree->b, &error);
            if (!program->consts[i]) {
                int code = hz_err_set(HZ_EFORMAT, "constant of the plan: %s", error);

                hz_program_free(&program);
                return code;
            }
            hz_value_freeze(program->consts[i]);
        } else if (tree->kind == HZ_TREE_TEMPLATE && (tree->flags & HZ_TPL_VALUE) && (tree->flags & HZ_TPL_JSON)) {
            program->skeletons[i] = hz_skeleton_new(plan, tree);
        }
    }
    *ret_program = program;
    return 0;
}

void hz_program_free(struct hz_program **program)
{
    struct hz_program *gone = *program;

    if (!gone)
        return;
    HZ_CHECK_OBJ(gone, HZ_PROGRAM_MAGIC);
    *program = NULL;
    for (uint32_t i = 0; i < gone->plan->tree_count; i++) {
        if (gone->consts) {
            hz_value_thaw(gone->consts[i]);
            hz_value_unref(gone->consts[i]);
        }
        if (gone->skeletons)
            hz_skeleton_free(gone->skeletons[i]);
    }
    free(gone->consts);
    free(gone->skeletons);
    gone->magic = 0;
    free(gone);
}

struct params {
    struct hz_program *program;
    struct hz_vm vm;
    int failures; /* strings that failed, or HZ_ENOMEM */
};

static void tell_failure(struct params *params, uint32_t expr)
{
    const struct hz_scope *scope = params->vm.scope;
    const struct hz_plan *plan = params->program->plan;
    struct hz_plan_text text = {0, 0};

    params->failures++;
    if (expr != UINT32_MAX)
        text = hz_plan_expr(plan, expr)->text;
    if (scope->failed)
        scope->failed(scope->arg, hz_plan_chars(plan, text), text.len, params->vm.error ? params->vm.error : "");
}

static const hz_value *tree_value(struct params *params, uint32_t index);

/* A container whose members hold expressions: made anew in every run. A failed string is absent, or null in an array.
 */
static const hz_value *container_value(struct params *params, const struct hz_plan_tree *tree)
{
    bool object = tree->kind == HZ_TREE_OBJECT;
    const struct hz_plan *plan = params->program->plan;
    hz_value *made = object ? hz_value_object() : hz_value_array();

    for (uint32_t i = 0; made && i < tree->b; i++) {
        const struct hz_plan_member *member = hz_plan_member(plan, tree->a + i);
        const hz_value *value = tree_value(params, member->tree), *null = NULL;
        int code = 0;

        if (value && hz_value_type(value) != HZ_UNDEFINED)
            code = object ? hz_value_set(made, hz_plan_chars(plan, member->key), member->key.len, value)
                          : hz_value_push(made, value);
        else if (value && !object)
            code = (null = hz_value_null()) ? hz_value_push(made, null) : HZ_ENOMEM;
        else if (!value)
            code = HZ_ENOMEM;
        hz_value_unref(value);
        hz_value_unref(null);
        if (code != 0) {
            hz_value_unref(made);
            made = NULL;
        }
    }
    return made;
}

/* New reference; undefined for a failed string; NULL: out of memory. The plan bounds the depth. */
static const hz_value *tree_value(struct params *params, uint32_t index)
{
    const struct hz_plan_tree *tree = hz_plan_tree(params->program->plan, index);
    const hz_value *value = params->program->consts[index];
    uint32_t expr;

    if (value)
        return hz_value_ref(value);
    if (tree->kind != HZ_TREE_TEMPLATE)
        return container_value(params, tree);
    value = hz_template_value(params->program, &params->vm, index, &expr);
    if (value)
        return value;
    tell_failure(params, expr);
    return hz_value_undefined();
}

int hz_program_params(
        struct hz_program *program, uint32_t node, const struct hz_scope *scope, const hz_value **ret_values)
{
    const struct hz_plan_node *of = hz_plan_node(program->plan, node);
    const struct hz_plan_prop *props;
    struct params params = {.program = program};

    if (of->prop_count == 0)
        return 0;
    props = hz_plan_prop(program->plan, of->first_prop);
    hz_vm_init(&params.vm, program->plan, scope);
    for (uint32_t i = 0; i < of->prop_count; i++) {
        ret_values[i] = tree_value(&params, props[i].tree);
        if (ret_values[i])
            continue;
        while (i > 0)
            hz_value_unref(ret_values[--i]);
        hz_vm_fini(&params.vm);
        return HZ_ENOMEM;
    }
    hz_vm_fini(&params.vm);
    return params.failures;
}

int hz_program_text(struct hz_program *program, uint32_t tree, const struct hz_scope *scope, struct hz_buffer *ret_text)
{
    const struct hz_plan_tree *of = hz_plan_tree(program->plan, tree);
    struct params params = {.program = program};
    size_t before = ret_text->len;
    uint32_t expr;

    hz_vm_init(&params.vm, program->plan, scope);
    if (of->kind == HZ_TREE_CONST) {
        hz_value_print_text(ret_text, program->consts[tree]);
    } else if (of->kind == HZ_TREE_TEMPLATE && !hz_template_text(&params.vm, of, ret_text, &expr)) {
        tell_failure(&params, expr);
        ret_text->len = before; /* a failed string is no text at all */
        if (ret_text->data)
            ret_text->data[before] = '\0';
    }
    hz_vm_fini(&params.vm);
    return ret_text->failed ? HZ_ENOMEM : params.failures;
}

const hz_value *hz_program_expr(struct hz_program *program, uint32_t expr, const struct hz_scope *scope,
        bool force_script, const char **ret_error)
{
    const hz_value *value = NULL;
    struct hz_cell cell;
    struct hz_vm vm;

    hz_vm_init(&vm, program->plan, scope);
    if (hz_vm_eval(&vm, expr, force_script, &cell) == HZ_VM_OK) {
        value = hz_cell_value(&vm, &cell);
        if (!value)
            hz_vm_throw(&vm, "RangeError: Out of memory");
    }
    *ret_error = vm.error;
    hz_vm_fini(&vm);
    return value;
}
