/*
 * expr_template.c - the value of one string with expressions, by the rules of flows: an expression alone keeps objects,
 * arrays and null; otherwise its text takes its place, and the text of a `value` is parsed as JSON if it parses.
 * Worker process, the thread that evaluates.
 */
#include "expr_program.h"
#include <math.h>
#include <string.h>

#define FIRST_BYTES 256u /* most texts fit: one allocation from the thread's own cache */
#define FIRST_CELLS 16u

static bool blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Could it be JSON? Looks at both ends only, so that plain text never meets the parser. */
static bool may_be_json(const char *text, size_t len)
{
    size_t first = 0, last = len;
    char a, z;

    while (first < len && blank(text[first]))
        first++;
    while (last > first && blank(text[last - 1]))
        last--;
    if (first == last)
        return false;
    a = text[first];
    z = text[last - 1];
    if (a == '{')
        return z == '}';
    if (a == '[')
        return z == ']';
    if (a == '"')
        return z == '"' && last - first > 1;
    if (a == '-' || (a >= '0' && a <= '9'))
        return z >= '0' && z <= '9';
    return (last - first == 4 && (memcmp(text + first, "true", 4) == 0 || memcmp(text + first, "null", 4) == 0)) ||
           (last - first == 5 && memcmp(text + first, "false", 5) == 0);
}

/* The value of a text under the key `value`; `same`: a value that is this text already, or NULL. */
static const hz_value *parse_text(const char *text, size_t len, const hz_value *same)
{
    const char *error;
    hz_value *parsed = may_be_json(text, len) ? hz_value_parse(text, len, &error) : NULL;

    if (parsed)
        return parsed;
    return same ? hz_value_ref(same) : hz_value_string(text, len);
}

/* An expression alone. */
static const hz_value *whole_value(struct hz_vm *vm, const struct hz_cell *cell, bool parse)
{
    char number[32];

    switch (cell->kind) {
    case HZ_CELL_NULL:
    case HZ_CELL_VALUE:
    case HZ_CELL_INPUT:
    case HZ_CELL_NODE:
        return hz_cell_value(vm, cell);
    case HZ_CELL_UNDEFINED:
        return hz_value_string("", 0);
    case HZ_CELL_TEXT:
        return parse ? parse_text(cell->text.data, cell->text.len, cell->value) : hz_cell_value(vm, cell);
    case HZ_CELL_BOOL:
        if (parse)
            return hz_value_bool(cell->number != 0);
        return cell->number != 0 ? hz_value_string("true", 4) : hz_value_string("false", 5);
    case HZ_CELL_NUMBER:
        if (parse && isfinite(cell->number)) /* the text of -0 is 0 */
            return cell->value && cell->number != 0 ? hz_value_ref(cell->value) : hz_value_number(cell->number + 0.0);
        return hz_value_string(number, hz_value_format_number(cell->number, number));
    }
    return NULL;
}

/* Evaluates every expression of a template in order; the cell of a constant part stays untouched. */
static bool eval_parts(struct hz_vm *vm, const struct hz_plan_tree *tree, struct hz_cell *cells, uint32_t *ret_expr)
{
    for (uint32_t i = 0; i < tree->b; i++) {
        uint32_t expr = hz_plan_part(vm->plan, tree->a + i)->expr;

        if (expr != UINT32_MAX && hz_vm_eval(vm, expr, false, &cells[i]) != HZ_VM_OK) {
            *ret_expr = expr;
            return false;
        }
    }
    return true;
}

/* A text piece that sits inside a JSON string literal. */
static void print_escaped(struct hz_vm *vm, const struct hz_cell *cell, struct hz_buffer *buffer)
{
    struct hz_buffer plain = {0};

    /* NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult): eval_parts() has set every cell */
    if (cell->kind == HZ_CELL_TEXT) {
        hz_value_escape(buffer, cell->text.data, cell->text.len);
        return;
    }
    hz_cell_print(vm, cell, &plain);
    if (plain.failed)
        buffer->failed = true;
    else if (plain.len > 0)
        hz_value_escape(buffer, plain.data, plain.len);
    hz_buffer_fini(&plain);
}

static bool print_parts(
        struct hz_vm *vm, const struct hz_plan_tree *tree, const struct hz_cell *cells, struct hz_buffer *buffer)
{
    for (uint32_t i = 0; i < tree->b; i++) {
        const struct hz_plan_part *part = hz_plan_part(vm->plan, tree->a + i);

        if (part->expr == UINT32_MAX)
            hz_buffer_add(buffer, hz_plan_chars(vm->plan, part->text), part->text.len);
        else if ((tree->flags & HZ_TPL_JSON) && part->in_string)
            print_escaped(vm, &cells[i], buffer);
        else
            hz_cell_print(vm, &cells[i], buffer);
    }
    if (buffer->failed)
        hz_vm_throw(vm, buffer->too_deep ? "RangeError: a value is nested too deeply" : "RangeError: Out of memory");
    return !buffer->failed;
}

static struct hz_cell *cells_for(struct hz_vm *vm, const struct hz_plan_tree *tree, struct hz_cell *first)
{
    struct hz_cell *cells = tree->b <= FIRST_CELLS ? first : hz_vm_alloc(vm, tree->b * sizeof(*cells));

    if (!cells)
        hz_vm_throw(vm, "RangeError: Out of memory");
    return cells;
}

static uint32_t first_expr(const struct hz_plan *plan, const struct hz_plan_tree *tree)
{
    for (uint32_t i = 0; i < tree->b; i++)
        if (hz_plan_part(plan, tree->a + i)->expr != UINT32_MAX)
            return hz_plan_part(plan, tree->a + i)->expr;
    return UINT32_MAX;
}

bool hz_template_text(struct hz_vm *vm, const struct hz_plan_tree *tree, struct hz_buffer *buffer, uint32_t *ret_expr)
{
    struct hz_cell first[FIRST_CELLS], *cells = cells_for(vm, tree, first);

    *ret_expr = first_expr(vm->plan, tree);
    return cells && eval_parts(vm, tree, cells, ret_expr) && print_parts(vm, tree, cells, buffer);
}

/* The way of text: print, then parse if it is the text of a `value`. */
static const hz_value *text_value(struct hz_vm *vm, const struct hz_plan_tree *tree, const struct hz_cell *cells)
{
    struct hz_buffer buffer = {0};
    const hz_value *value = NULL;

    if (!hz_buffer_reserve(&buffer, FIRST_BYTES))
        hz_vm_throw(vm, "RangeError: Out of memory");
    else if (print_parts(vm, tree, cells, &buffer))
        value = tree->flags & HZ_TPL_VALUE ? parse_text(buffer.data, buffer.len, NULL)
                                           : hz_value_string(buffer.data, buffer.len);
    hz_buffer_fini(&buffer);
    return value;
}

const hz_value *hz_template_value(struct hz_program *program, struct hz_vm *vm, uint32_t index, uint32_t *ret_expr)
{
    const struct hz_plan_tree *tree = hz_plan_tree(program->plan, index);
    struct hz_cell first[FIRST_CELLS], *cells = cells_for(vm, tree, first);
    const hz_value *value = NULL;

    *ret_expr = first_expr(vm->plan, tree);
    if (!cells || !eval_parts(vm, tree, cells, ret_expr))
        return NULL;
    if (tree->flags & HZ_TPL_WHOLE)
        value = whole_value(vm, &cells[0], (tree->flags & HZ_TPL_VALUE) != 0);
    else if (program->skeletons[index])
        value = hz_skeleton_build(vm, program->skeletons[index], cells);
    if (!value && !(tree->flags & HZ_TPL_WHOLE))
        return text_value(vm, tree, cells);
    if (!value)
        hz_vm_throw(vm, "RangeError: Out of memory");
    return value;
}
