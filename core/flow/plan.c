/*
 * plan.c - proves a plan block and looks things up in it. The block comes from the manager through shared memory: the
 * worker runs hz_plan_check() once on its private copy, afterwards nobody checks again. Both processes, any thread.
 */
#include "plan.h"
#include "limits.h"
#include "plan_op.h"
#include "shm/err.h"
#include <stdlib.h>
#include <string.h>

_Static_assert(
        sizeof(struct hz_plan_op) == 16 && offsetof(struct hz_plan_op, number) == 8, "layout is part of the format");
_Static_assert(sizeof(struct hz_plan_expr) == 32 && sizeof(struct hz_plan_tree) == 16, "layout is part of the format");
_Static_assert(sizeof(struct hz_plan) % 8 == 0, "tables start aligned");

/* A tree's nodes are values of one property; JSON text bounds them too. */
#define TREE_DEPTH_MAX (HZ_FLOW_MAX_DEPTH + 1)

struct check {
    const struct hz_plan *plan;
    const char *why;  /* of the first broken rule */
    uint32_t *depths; /* per operation of one expression: cells on the stack there, plus 1; 0 unknown */
    uint8_t *levels;  /* per tree: height; 0 not seen as a child yet */
    uint8_t *owned;   /* per tree: somebody's child, property or log already */
};

static bool refuse(struct check *check, const char *why)
{
    if (!check->why)
        check->why = why;
    return false;
}

static bool inside(uint32_t first, uint32_t count, uint32_t total)
{
    return first <= total && count <= total - first;
}

static bool text_ok(const struct hz_plan *plan, struct hz_plan_text text)
{
    uint64_t end = (uint64_t)text.offset + text.len;

    return text.offset >= plan->texts && end < (uint64_t)plan->texts + plan->text_bytes &&
           ((const char *)plan)[end] == '\0';
}

static bool table_ok(const struct hz_plan *plan, uint32_t offset, uint32_t count, size_t size, uint32_t align)
{
    return offset >= sizeof(struct hz_plan) && offset % align == 0 &&
           (uint64_t)offset + (uint64_t)count * size <= plan->size;
}

static bool check_head(struct check *check, size_t size)
{
    const struct hz_plan *p = check->plan;
    uint32_t separators = 0;

    if (p->size != size || size > HZ_FLOW_MAX_TEXT)
        return refuse(check, "size");
    if (!table_ok(p, p->texts, p->text_bytes, 1, 1) ||
            !table_ok(p, p->nodes, p->node_count, sizeof(struct hz_plan_node), 8) ||
            !table_ok(p, p->outputs, p->output_count, sizeof(struct hz_plan_output), 8) ||
            !table_ok(p, p->edges, p->edge_count, sizeof(struct hz_plan_edge), 8) ||
            !table_ok(p, p->props, p->prop_count, sizeof(struct hz_plan_prop), 8) ||
            !table_ok(p, p->trees, p->tree_count, sizeof(struct hz_plan_tree), 8) ||
            !table_ok(p, p->members, p->member_count, sizeof(struct hz_plan_member), 8) ||
            !table_ok(p, p->parts, p->part_count, sizeof(struct hz_plan_part), 8) ||
            !table_ok(p, p->exprs, p->expr_count, sizeof(struct hz_plan_expr), 8) ||
            !table_ok(p, p->ops, p->op_count, sizeof(struct hz_plan_op), 8) ||
            !table_ok(p, p->refs, p->ref_count, sizeof(uint32_t), 8) ||
            !table_ok(p, p->plugins, p->plugin_count, sizeof(struct hz_plan_plugin), 8))
        return refuse(check, "a table outside the block");
    if (p->node_count > HZ_FLOW_MAX_NODES || p->start_node >= p->node_count)
        return refuse(check, "start node");
    if (!text_ok(p, p->uid) || !text_ok(p, p->name) || !text_ok(p, p->flow_version) || !text_ok(p, p->router) ||
            !text_ok(p, p->environment))
        return refuse(check, "a text of the head");
    /* names are separated by NUL; the last one's NUL lies behind the text */
    for (uint32_t i = 0; i < p->environment.len; i++)
        separators += hz_plan_chars(p, p->environment)[i] == '\0';
    if (p->environment_count != (p->environment.len > 0 ? separators + 1 : 0))
        return refuse(check, "environment names");
    return true;
}

static bool check_simple_tables(struct check *check)
{
    const struct hz_plan *p = check->plan;

    for (uint32_t i = 0; i < p->plugin_count; i++)
        if (!text_ok(p, hz_plan_plugin(p, i)->type) || !text_ok(p, hz_plan_plugin(p, i)->file))
            return refuse(check, "a plugin's text");
    for (uint32_t i = 0; i < p->edge_count; i++)
        if (!text_ok(p, hz_plan_edge(p, i)->input) || hz_plan_edge(p, i)->node >= p->node_count)
            return refuse(check, "a connection");
    for (uint32_t i = 0; i < p->output_count; i++)
        if (!text_ok(p, hz_plan_output(p, i)->name) ||
                !inside(hz_plan_output(p, i)->first_edge, hz_plan_output(p, i)->edge_count, p->edge_count))
            return refuse(check, "an output");
    for (uint32_t i = 0; i < p->ref_count; i++)
        if (hz_plan_ref(p, i) >= p->node_count)
            return refuse(check, "a reference to a node");
    for (uint32_t i = 0; i < p->part_count; i++) {
        const struct hz_plan_part *part = hz_plan_part(p, i);

        if (!text_ok(p, part->text) || (part->expr != UINT32_MAX && part->expr >= p->expr_count))
            return refuse(check, "a part of a template");
    }
    for (uint32_t i = 0; i < p->member_count; i++)
        if (!text_ok(p, hz_plan_member(p, i)->key))
            return refuse(check, "a member's key");
    return true;
}

/* Notes that `at` is reached with `depth` cells; every way there has to agree. */
static bool reach(struct check *check, uint32_t at, uint32_t depth)
{
    if (check->depths[at] != 0 && check->depths[at] != depth + 1)
        return refuse(check, "an expression whose ways disagree on the stack");
    check->depths[at] = depth + 1;
    return true;
}

static bool check_operand(struct check *check, const struct hz_plan_expr *expr, uint32_t at, uint32_t left)
{
    const struct hz_plan *p = check->plan;
    const struct hz_plan_op *op = hz_plan_op(p, expr->first_op + at);
    const struct hz_plan_op_info *info = hz_plan_op_info(op->op);

    if (info->operand == HZ_PLAN_OP_NODE && op->a >= p->node_count)
        return refuse(check, "an expression's node");
    if (info->operand == HZ_PLAN_OP_TEXT && !text_ok(p, (struct hz_plan_text){op->a, op->len}))
        return refuse(check, "an expression's text");
    if (info->operand != HZ_PLAN_OP_JUMP)
        return true;
    if (op->a <= at || op->a >= expr->op_count)
        return refuse(check, "a jump that does not go forward inside its expression");
    return reach(check, op->a, left - info->leaves + info->landing);
}

/* Abstract run: every operation is visited once, in order; jumps only go forward, so one pass knows all depths. */
static bool check_code(struct check *check, const struct hz_plan_expr *expr)
{
    const struct hz_plan *p = check->plan;

    if (expr->op_count == 0 || expr->op_count > HZ_FLOW_MAX_EXPR_OPS ||
            !inside(expr->first_op, expr->op_count, p->op_count))
        return refuse(check, "an expression's code");
    if (expr->max_stack == 0 || expr->max_stack > HZ_FLOW_MAX_EXPR_STACK)
        return refuse(check, "an expression's stack");
    memset(check->depths, 0, expr->op_count * sizeof(*check->depths));
    check->depths[0] = 1;
    for (uint32_t at = 0; at < expr->op_count; at++) {
        const struct hz_plan_op *op = hz_plan_op(p, expr->first_op + at);
        const struct hz_plan_op_info *info = hz_plan_op_info(op->op);
        uint32_t depth, left;

        if (!info)
            return refuse(check, "an unknown operation");
        if (check->depths[at] == 0)
            return refuse(check, "an operation that nothing reaches");
        depth = check->depths[at] - 1;
        if (depth < info->takes)
            return refuse(check, "an expression that takes more than there is");
        left = depth - info->takes + info->leaves;
        if (!check_operand(check, expr, at, left))
            return false;
        if (left > expr->max_stack)
            return refuse(check, "an expression that needs a larger stack");
        if (op->op == HZ_OP_END) {
            if (at + 1 != expr->op_count || depth != 1)
                return refuse(check, "an expression's end");
            return true;
        }
        if (at + 1 == expr->op_count)
            return refuse(check, "an expression without an end");
        if (op->op != HZ_OP_JUMP && !reach(check, at + 1, left))
            return false;
    }
    return false;
}

static bool check_exprs(struct check *check)
{
    const struct hz_plan *p = check->plan;
    uint32_t next_op = 0; /* code follows code without overlap: so the whole check stays linear */

    for (uint32_t i = 0; i < p->expr_count; i++) {
        const struct hz_plan_expr *expr = hz_plan_expr(p, i);

        if (!text_ok(p, expr->text))
            return refuse(check, "an expression's source");
        if (expr->kind == HZ_EXPR_SCRIPT) {
            if (!inside(expr->first_ref, expr->ref_count, p->ref_count))
                return refuse(check, "an expression's names");
        } else if (expr->kind != HZ_EXPR_NATIVE) {
            return refuse(check, "an expression's kind");
        } else if (expr->first_op != next_op || !check_code(check, expr)) {
            return refuse(check, "an expression's code");
        } else {
            next_op += expr->op_count;
        }
    }
    return true;
}

/* A tree has one owner, and children come before their parent: no cycle, no sharing, bounded height. */
static bool own_tree(struct check *check, uint32_t tree)
{
    if (check->owned[tree])
        return refuse(check, "a value with two owners");
    check->owned[tree] = 1;
    return true;
}

static bool check_trees(struct check *check)
{
    const struct hz_plan *p = check->plan;

    for (uint32_t i = 0; i < p->tree_count; i++) {
        const struct hz_plan_tree *tree = hz_plan_tree(p, i);
        uint8_t level = 0;

        switch ((enum hz_tree_kind)tree->kind) {
        case HZ_TREE_CONST:
            if (!text_ok(p, (struct hz_plan_text){tree->a, tree->b}))
                return refuse(check, "a constant's text");
            break;
        case HZ_TREE_TEMPLATE:
            if (!inside(tree->a, tree->b, p->part_count) || ((tree->flags & HZ_TPL_WHOLE) && tree->b != 1) ||
                    ((tree->flags & HZ_TPL_WHOLE) && hz_plan_part(p, tree->a)->expr == UINT32_MAX))
                return refuse(check, "a template");
            break;
        case HZ_TREE_OBJECT:
        case HZ_TREE_ARRAY:
            if (!inside(tree->a, tree->b, p->member_count))
                return refuse(check, "a value's members");
            for (uint32_t m = tree->a; m < tree->a + tree->b; m++) {
                uint32_t child = hz_plan_member(p, m)->tree;

                if (child >= i || !own_tree(check, child))
                    return refuse(check, "a value inside itself");
                level = HZ_MAX(level, check->levels[child]);
            }
            break;
        default:
            return refuse(check, "a value's kind");
        }
        if (level + 1u > TREE_DEPTH_MAX)
            return refuse(check, "a value nested too deeply");
        check->levels[i] = (uint8_t)(level + 1u);
    }
    for (uint32_t i = 0; i < p->prop_count; i++) {
        const struct hz_plan_prop *prop = hz_plan_prop(p, i);

        if (!text_ok(p, prop->key) || prop->tree >= p->tree_count || !own_tree(check, prop->tree))
            return refuse(check, "a property");
    }
    return true;
}

static bool check_log(struct check *check, const struct hz_plan_log *log)
{
    if (log->type > HZ_PLAN_LOG_ERROR || (log->tree != UINT32_MAX && log->tree >= check->plan->tree_count))
        return refuse(check, "a node's log");
    return log->tree == UINT32_MAX || own_tree(check, log->tree);
}

static bool check_nodes(struct check *check)
{
    const struct hz_plan *p = check->plan;

    for (uint32_t i = 0; i < p->node_count; i++) {
        const struct hz_plan_node *node = hz_plan_node(p, i);

        if (!text_ok(p, node->id) || !text_ok(p, node->name) || !text_ok(p, node->type) || !text_ok(p, node->title) ||
                !text_ok(p, node->meta))
            return refuse(check, "a node's text");
        if (!inside(node->first_prop, node->prop_count, p->prop_count) ||
                !inside(node->first_output, node->output_count, p->output_count) ||
                !inside(node->first_origin, node->origin_count, p->ref_count))
            return refuse(check, "a node's tables");
        if (node->plugin >= p->plugin_count && !(node->plugin == UINT32_MAX && (node->flags & HZ_PLAN_NODE_UNKNOWN)))
            return refuse(check, "a node's plugin");
        if (node->timeout_ms > HZ_FLOW_MAX_TIMEOUT_MS || node->retry_delay_ms > HZ_FLOW_MAX_TIMEOUT_MS ||
                node->retries > HZ_FLOW_MAX_RETRIES)
            return refuse(check, "a node's limits");
        if (!check_log(check, &node->log_start) || !check_log(check, &node->log_exec))
            return false;
    }
    return true;
}

int hz_plan_check(const void *block, size_t size)
{
    struct check check = {.plan = block};
    bool good;

    if (size < sizeof(struct hz_plan) || (uintptr_t)block % 8 != 0 || check.plan->magic != HZ_PLAN_MAGIC)
        return hz_err_set(HZ_EFORMAT, "no plan");
    if (check.plan->version != HZ_PLAN_VERSION)
        return hz_err_set(HZ_EVERSION, "plan of version %u instead of %u", check.plan->version, HZ_PLAN_VERSION);
    if (!check_head(&check, size))
        return hz_err_set(HZ_EFORMAT, "plan: %s", check.why);
    check.depths = calloc(HZ_FLOW_MAX_EXPR_OPS, sizeof(*check.depths));
    check.levels = calloc(check.plan->tree_count + 1u, 1);
    check.owned = calloc(check.plan->tree_count + 1u, 1);
    if (!check.depths || !check.levels || !check.owned) {
        free(check.depths);
        free(check.levels);
        free(check.owned);
        return hz_err_set(HZ_ENOMEM, "plan check");
    }
    good = check_simple_tables(&check) && check_exprs(&check) && check_trees(&check) && check_nodes(&check);
    free(check.depths);
    free(check.levels);
    free(check.owned);
    return good ? 0 : hz_err_set(HZ_EFORMAT, "plan: %s", check.why ? check.why : "an expression");
}

static bool equals(const struct hz_plan *plan, struct hz_plan_text text, const char *name, size_t len)
{
    return text.len == len && memcmp(hz_plan_chars(plan, text), name, len) == 0;
}

const struct hz_plan_output *hz_plan_find_output(
        const struct hz_plan *plan, uint32_t node, const char *name, size_t len)
{
    const struct hz_plan_node *from = hz_plan_node(plan, node);

    for (uint32_t i = 0; i < from->output_count; i++) {
        const struct hz_plan_output *output = hz_plan_output(plan, from->first_output + i);

        if (equals(plan, output->name, name, len))
            return output;
    }
    return NULL;
}

uint32_t hz_plan_find_prop(const struct hz_plan *plan, uint32_t node, const char *key, size_t len)
{
    const struct hz_plan_node *of = hz_plan_node(plan, node);

    for (uint32_t i = 0; i < of->prop_count; i++)
        if (equals(plan, hz_plan_prop(plan, of->first_prop + i)->key, key, len))
            return i;
    return UINT32_MAX;
}

static void tree_scripts(const struct hz_plan *plan, uint32_t tree, uint32_t node, struct hz_plan_text property,
        hz_plan_script_fn *visit, void *arg)
{
    const struct hz_plan_tree *value = hz_plan_tree(plan, tree);

    if (value->kind == HZ_TREE_TEMPLATE)
        for (uint32_t i = 0; i < value->b; i++) {
            uint32_t expr = hz_plan_part(plan, value->a + i)->expr;

            if (expr != UINT32_MAX && hz_plan_expr(plan, expr)->kind == HZ_EXPR_SCRIPT)
                visit(arg, node, property, hz_plan_expr(plan, expr));
        }
    if (value->kind == HZ_TREE_OBJECT || value->kind == HZ_TREE_ARRAY)
        for (uint32_t i = 0; i < value->b; i++) /* as deep as TREE_DEPTH_MAX */
            tree_scripts(plan, hz_plan_member(plan, value->a + i)->tree, node, property, visit, arg);
}

void hz_plan_scripts(const struct hz_plan *plan, hz_plan_script_fn *visit, void *arg)
{
    for (uint32_t n = 0; n < plan->node_count; n++) {
        const struct hz_plan_node *node = hz_plan_node(plan, n);
        struct hz_plan_text none = {plan->texts, 0};

        for (uint32_t i = 0; i < node->prop_count; i++) {
            const struct hz_plan_prop *prop = hz_plan_prop(plan, node->first_prop + i);

            tree_scripts(plan, prop->tree, n, prop->key, visit, arg);
        }
        if (node->log_start.tree != UINT32_MAX)
            tree_scripts(plan, node->log_start.tree, n, none, visit, arg);
        if (node->log_exec.tree != UINT32_MAX)
            tree_scripts(plan, node->log_exec.tree, n, none, visit, arg);
    }
}
