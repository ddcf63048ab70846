/* test_plan.c - the plan block: what the compiler lays out, and that hz_plan_check() survives and refuses anything
 * else. */
#include "core/flow/limits.h"
#include "core/flow/plan_build.h"
#include "flow_fixture.h"
#include "shm/err.h"

static struct outcome sample(const char *name)
{
    size_t len;
    char *text = hz_test_read_file(hz_test_path("%s/tests/flows/%s/flow.json", hz_test_source_dir(), name), &len);
    struct outcome outcome = compile_bytes(text, len, true);

    free(text);
    HZ_ASSERT_STR_EQ(outcome.text, "");
    ASSERT_COMPILED(outcome);
    return outcome;
}

HZ_TEST(plan, all_sample_flows_compile_without_a_finding)
{
    static const char *const names[] = {
            "conditional", "delay", "error", "hello", "iteration", "large", "parallelism", "webhook"};

    for (size_t i = 0; i < HZ_COUNT_OF(names); i++) {
        struct outcome outcome = sample(names[i]);

        HZ_ASSERT_OK(hz_plan_check(outcome.plan, outcome.plan->size));
        HZ_ASSERT_STR_EQ(plan_text(outcome.plan, outcome.plan->uid), names[i]);
        outcome_free(&outcome);
    }
}

HZ_TEST(plan, outputs_keep_the_connections_in_file_order)
{
    struct outcome outcome = compile_nodes(",`A`:{`type`:`delay`},`B`:{`type`:`delay`}",
            "{`idNodeOrigin`:`S`,`connectorOriginName`:`init`,`idNodeDestiny`:`B`,`connectorDestinyName`:`x`},"
            "{`idNodeOrigin`:`S`,`connectorOriginName`:`other`,`idNodeDestiny`:`A`,`connectorDestinyName`:`y`},"
            "{`idNodeOrigin`:`S`,`connectorOriginName`:`init`,`idNodeDestiny`:`A`,`connectorDestinyName`:`z`},"
            "{`idNodeOrigin`:`S`,`connectorOriginName`:`init`,`idNodeDestiny`:`B`,`connectorDestinyName`:`x`}",
            true);
    const struct hz_plan_output *output;

    ASSERT_COMPILED(outcome);
    HZ_ASSERT_EQ(hz_plan_node(outcome.plan, 0)->output_count, 2);
    output = hz_plan_find_output(outcome.plan, 0, "init", 4);
    HZ_ASSERT_NOT_NULL(output);
    HZ_ASSERT_EQ(output->edge_count, 3);
    HZ_ASSERT_EQ(hz_plan_edge(outcome.plan, output->first_edge)->node, 2);
    HZ_ASSERT_EQ(hz_plan_edge(outcome.plan, output->first_edge + 1)->node, 1);
    HZ_ASSERT_STR_EQ(plan_text(outcome.plan, hz_plan_edge(outcome.plan, output->first_edge + 1)->input), "z");
    HZ_ASSERT_EQ(hz_plan_edge(outcome.plan, output->first_edge + 2)->node, 2);
    HZ_ASSERT_NULL(hz_plan_find_output(outcome.plan, 0, "ini", 3));
    HZ_ASSERT_NULL(hz_plan_find_output(outcome.plan, 1, "init", 4));
    outcome_free(&outcome);
}

HZ_TEST(plan, origins_are_distinct_and_in_file_order)
{
    struct outcome outcome = sample("parallelism");
    uint32_t join = 1; /* Une */
    const struct hz_plan_node *node = hz_plan_node(outcome.plan, join);

    HZ_ASSERT_STR_EQ(plan_text(outcome.plan, node->name), "Une");
    HZ_ASSERT_EQ(node->origin_count, 3);
    HZ_ASSERT_STR_EQ(
            plan_text(outcome.plan, hz_plan_node(outcome.plan, hz_plan_ref(outcome.plan, node->first_origin))->name),
            "Uno");
    HZ_ASSERT_STR_EQ(plan_text(outcome.plan,
                             hz_plan_node(outcome.plan, hz_plan_ref(outcome.plan, node->first_origin + 1))->name),
            "Dos");
    HZ_ASSERT_STR_EQ(plan_text(outcome.plan,
                             hz_plan_node(outcome.plan, hz_plan_ref(outcome.plan, node->first_origin + 2))->name),
            "Tres");
    outcome_free(&outcome);
}

HZ_TEST(plan, several_connections_of_one_origin_are_one_origin)
{
    struct outcome outcome = compile_nodes(",`A`:{`type`:`parallelism`}",
            "{`idNodeOrigin`:`S`,`connectorOriginName`:`a`,`idNodeDestiny`:`A`,`connectorDestinyName`:`x`},"
            "{`idNodeOrigin`:`A`,`connectorOriginName`:`b`,`idNodeDestiny`:`A`,`connectorDestinyName`:`x`},"
            "{`idNodeOrigin`:`S`,`connectorOriginName`:`c`,`idNodeDestiny`:`A`,`connectorDestinyName`:`y`}",
            true);

    ASSERT_COMPILED(outcome);
    HZ_ASSERT_EQ(hz_plan_node(outcome.plan, 1)->origin_count, 2);
    outcome_free(&outcome);
}

HZ_TEST(plan, properties_are_the_catalogues_then_unknown_ones)
{
    struct outcome outcome =
            compile_nodes(",`D`:{`type`:`cache`,`properties`:{`x`:{`value`:1},`stdTTL`:{`value`:5}}}", "", false);
    const struct hz_plan_node *node = hz_plan_node(outcome.plan, 1);

    ASSERT_COMPILED(outcome);
    HZ_ASSERT_EQ(node->prop_count, 4);
    HZ_ASSERT_EQ(hz_plan_find_prop(outcome.plan, 1, "key", 3), 0);
    HZ_ASSERT_EQ(hz_plan_find_prop(outcome.plan, 1, "stdTTL", 6), 1);
    HZ_ASSERT_EQ(hz_plan_find_prop(outcome.plan, 1, "x", 1), 3);
    HZ_ASSERT_EQ(hz_plan_find_prop(outcome.plan, 1, "stdTTLx", 7), UINT32_MAX);
    HZ_ASSERT_STR_EQ(prop_const(outcome.plan, 1, "stdTTL"), "5");
    outcome_free(&outcome);
}

HZ_TEST(plan, plugins_are_listed_once_with_their_file)
{
    struct outcome outcome = sample("large");

    HZ_ASSERT_EQ(outcome.plan->plugin_count, 5);
    HZ_ASSERT_EQ(outcome.plan->untrusted_plugins, 0);
    HZ_ASSERT_EQ(outcome.plan->trigger_count, 1);
    HZ_ASSERT_STR_EQ(plan_text(outcome.plan, hz_plan_plugin(outcome.plan, 0)->type), "workflow_init");
    HZ_ASSERT_STR_EQ(
            plan_text(outcome.plan, hz_plan_plugin(outcome.plan, 0)->file), "lib/horizon/nodes/workflow_init.so");
    HZ_ASSERT_EQ(hz_plan_plugin(outcome.plan, 0)->flags, 1);
    outcome_free(&outcome);
}

HZ_TEST(plan, environment_names_follow_each_other_with_a_nul)
{
    struct outcome outcome = compile_text("{`environment`:[`A`,``,`BC`],`nodes`:{`S`:{`type`:`workflow_init`}}}", true);

    ASSERT_COMPILED(outcome);
    HZ_ASSERT_EQ(outcome.plan->environment_count, 2);
    HZ_ASSERT_EQ(outcome.plan->environment.len, 4);
    HZ_ASSERT_MEM_EQ(plan_text(outcome.plan, outcome.plan->environment), "A\0BC", 5);
    outcome_free(&outcome);
}

HZ_TEST(plan, short_texts_are_stored_once)
{
    struct outcome outcome = sample("delay");
    const struct hz_plan *plan = outcome.plan;

    HZ_ASSERT_EQ(hz_plan_node(plan, 1)->type.offset, hz_plan_node(plan, 3)->type.offset);
    HZ_ASSERT_EQ(hz_plan_edge(plan, 0)->input.offset, hz_plan_edge(plan, 4)->input.offset);
    outcome_free(&outcome);
}

HZ_TEST(plan, same_flow_gives_the_same_bytes)
{
    struct outcome a = sample("webhook"), b = sample("webhook");

    HZ_ASSERT_EQ(a.plan->size, b.plan->size);
    HZ_ASSERT_MEM_EQ(a.plan, b.plan, a.plan->size);
    outcome_free(&a);
    outcome_free(&b);
}

HZ_TEST(plan, ten_thousand_nodes_compile)
{
    char *text = NULL;
    size_t len;
    FILE *out = must_open(&text, &len);
    struct outcome outcome;

    fprintf(out, "{\"nodes\":{\"n0\":{\"type\":\"workflow_init\"}");
    for (unsigned i = 1; i < HZ_FLOW_MAX_NODES; i++)
        fprintf(out,
                ",\"n%u\":{\"type\":\"data_transformer\",\"name\":\"N%u\",\"properties\":{\"mapping\":{\"value\":\"{"
                "\\\"n\\\":{{N%u.data.n + 1}}}\"}}}",
                i, i, i == 1 ? HZ_FLOW_MAX_NODES - 1 : i - 1);
    fprintf(out, "},\"connections\":[{}");
    for (unsigned i = 1; i < HZ_FLOW_MAX_NODES; i++)
        fprintf(out,
                ",{\"idNodeOrigin\":\"n%u\",\"connectorOriginName\":\"output\",\"idNodeDestiny\":\"n%u\","
                "\"connectorDestinyName\":\"input\"}",
                i - 1, i);
    fprintf(out, "]}");
    fclose(out);
    outcome = compile_bytes(text, len, false);
    free(text);
    ASSERT_COMPILED(outcome);
    HZ_ASSERT_EQ(outcome.plan->node_count, HZ_FLOW_MAX_NODES);
    HZ_ASSERT_EQ(outcome.plan->needs_script, 0);
    HZ_ASSERT_EQ(outcome.plan->edge_count, HZ_FLOW_MAX_NODES - 1);
    outcome_free(&outcome);
}

HZ_TEST(plan, one_node_with_a_hundred_thousand_outputs_compiles)
{
    char *text = NULL;
    size_t len;
    FILE *out = must_open(&text, &len);
    struct outcome outcome;

    fprintf(out, "{\"nodes\":{\"a\":{\"type\":\"workflow_init\"}},\"connections\":[{\"idNodeOrigin\":\"\"}");
    for (unsigned i = 1; i < HZ_FLOW_MAX_CONNECTIONS; i++)
        fprintf(out,
                ",{\"idNodeOrigin\":\"a\",\"connectorOriginName\":\"o%u\",\"idNodeDestiny\":\"a\","
                "\"connectorDestinyName\":\"i\"}",
                i);
    fprintf(out, "]}");
    fclose(out);
    outcome = compile_bytes(text, len, true);
    free(text);
    ASSERT_COMPILED(outcome);
    HZ_ASSERT_EQ(outcome.plan->output_count, HZ_FLOW_MAX_CONNECTIONS - 1);
    HZ_ASSERT_EQ(hz_plan_node(outcome.plan, 0)->origin_count, 1);
    outcome_free(&outcome);
}

/* ---- hz_plan_check ---- */
static struct hz_plan *copy_plan(const struct hz_plan *plan)
{
    struct hz_plan *copy = must_alloc(plan->size);

    memcpy(copy, plan, plan->size);
    return copy;
}

HZ_TEST(plan, short_blocks_and_foreign_ones_are_refused)
{
    struct outcome outcome = sample("hello");
    struct hz_plan *copy = copy_plan(outcome.plan);

    HZ_ASSERT_EQ(hz_plan_check(copy, 0), HZ_EFORMAT);
    HZ_ASSERT_EQ(hz_plan_check(copy, sizeof(*copy) - 1), HZ_EFORMAT);
    HZ_ASSERT_EQ(hz_plan_check(copy, copy->size - 8), HZ_EFORMAT);
    copy->version++;
    HZ_ASSERT_EQ(hz_plan_check(copy, copy->size), HZ_EVERSION);
    copy->version--;
    copy->magic++;
    HZ_ASSERT_EQ(hz_plan_check(copy, copy->size), HZ_EFORMAT);
    free(copy);
    outcome_free(&outcome);
}

/* The mutable member of a copy behind a const accessor. */
#define EDIT(copy, table, type, index) (&((struct type *)(void *)((char *)(copy) + (copy)->table))[index])

static void check_refused(struct hz_plan *plan, const char *why)
{
    HZ_ASSERT_EQ(hz_plan_check(plan, plan->size), HZ_EFORMAT);
    HZ_ASSERT_STR_HAS(hz_err_last(), why);
    free(plan);
}

HZ_TEST(plan, every_kind_of_index_is_proven)
{
    struct outcome outcome = sample("large");
    const struct hz_plan *plan = outcome.plan;
    struct hz_plan *copy;

    copy = copy_plan(plan), copy->start_node = copy->node_count, check_refused(copy, "start node");
    copy = copy_plan(plan), copy->texts = 0, check_refused(copy, "a table outside");
    copy = copy_plan(plan), copy->ops += 4, check_refused(copy, "a table outside");
    copy = copy_plan(plan), copy->op_count = UINT32_MAX, check_refused(copy, "a table outside");
    copy = copy_plan(plan), copy->uid.len = UINT32_MAX, check_refused(copy, "a text of the head");
    copy = copy_plan(plan), copy->environment_count = 9, check_refused(copy, "environment names");
    copy = copy_plan(plan), EDIT(copy, edges, hz_plan_edge, 3)->node = copy->node_count,
    check_refused(copy, "a connection");
    copy = copy_plan(plan), EDIT(copy, outputs, hz_plan_output, 3)->edge_count = UINT32_MAX,
    check_refused(copy, "an output");
    copy = copy_plan(plan), EDIT(copy, nodes, hz_plan_node, 3)->first_prop = UINT32_MAX,
    check_refused(copy, "a node's tables");
    copy = copy_plan(plan), EDIT(copy, nodes, hz_plan_node, 3)->plugin = 77, check_refused(copy, "a node's plugin");
    copy = copy_plan(plan), EDIT(copy, nodes, hz_plan_node, 3)->retries = HZ_FLOW_MAX_RETRIES + 1,
    check_refused(copy, "a node's limits");
    copy = copy_plan(plan), EDIT(copy, nodes, hz_plan_node, 3)->log_exec.type = 9, check_refused(copy, "a node's log");
    copy = copy_plan(plan), EDIT(copy, props, hz_plan_prop, 3)->tree = copy->tree_count,
    check_refused(copy, "a property");
    copy = copy_plan(plan), EDIT(copy, props, hz_plan_prop, 3)->tree = 0, check_refused(copy, "two owners");
    copy = copy_plan(plan), EDIT(copy, parts, hz_plan_part, 0)->expr = copy->expr_count,
    check_refused(copy, "a part of a template");
    copy = copy_plan(plan), EDIT(copy, exprs, hz_plan_expr, 0)->kind = 7, check_refused(copy, "an expression's kind");
    copy = copy_plan(plan), EDIT(copy, exprs, hz_plan_expr, 1)->first_op = 0,
    check_refused(copy, "an expression's code");
    copy = copy_plan(plan), EDIT(copy, exprs, hz_plan_expr, 0)->max_stack = 0,
    check_refused(copy, "an expression's stack");
    copy = copy_plan(plan), EDIT(copy, plugins, hz_plan_plugin, 0)->file.offset = 3,
    check_refused(copy, "a plugin's text");
    outcome_free(&outcome);
}

HZ_TEST(plan, a_text_needs_its_nul)
{
    struct outcome outcome = sample("hello");
    struct hz_plan *copy = copy_plan(outcome.plan);

    ((char *)copy)[copy->uid.offset + copy->uid.len] = 'x';
    check_refused(copy, "a text of the head");
    outcome_free(&outcome);
}

/* A plan of one node with one native expression of these operations. */
static int check_code(const struct hz_plan_op *ops, uint32_t count, uint32_t max_stack)
{
    struct hz_plan_build build;
    struct hz_plan *plan = NULL;
    struct hz_plan_expr expr = {.kind = HZ_EXPR_NATIVE, .op_count = count, .max_stack = max_stack};
    struct hz_plan_node node = {.plugin = UINT32_MAX,
            .flags = HZ_PLAN_NODE_UNKNOWN,
            .log_start.tree = UINT32_MAX,
            .log_exec.tree = UINT32_MAX};
    int code;

    hz_plan_build_init(&build);
    expr.text = hz_plan_build_text(&build, "x", 1);
    build.head.uid = build.head.name = build.head.flow_version = build.head.router = build.head.environment =
            hz_plan_build_text(&build, "", 0);
    node.id = node.name = node.type = node.title = node.meta = expr.text;
    hz_plan_build_add(&build, &build.nodes, &node);
    hz_plan_build_add(&build, &build.exprs, &expr);
    for (uint32_t i = 0; i < count; i++)
        hz_plan_build_add(&build, &build.ops, &ops[i]);
    code = hz_plan_build_finish(&build, &plan);
    free(plan);
    hz_plan_build_fini(&build);
    return code;
}

#define CODE(max, ...)                                                                                                 \
    check_code((const struct hz_plan_op[]){__VA_ARGS__}, sizeof((const struct hz_plan_op[]){__VA_ARGS__}) / 16, max)
#define OP(name)                                                                                                       \
    {                                                                                                                  \
        .op = HZ_OP_##name                                                                                             \
    }
#define TO(name, target)                                                                                               \
    {                                                                                                                  \
        .op = HZ_OP_##name, .a = (target)                                                                              \
    }

HZ_TEST(plan, code_never_leaves_its_stack)
{
    HZ_ASSERT_EQ(CODE(1, OP(TRUE), OP(END)), 0);
    HZ_ASSERT_EQ(CODE(2, OP(TRUE), OP(TRUE), OP(ADD), OP(END)), 0);
    HZ_ASSERT_EQ(CODE(1, OP(TRUE), OP(TRUE), OP(ADD), OP(END)), HZ_EFORMAT);
    HZ_ASSERT_STR_HAS(hz_err_last(), "needs a larger stack");
    HZ_ASSERT_EQ(CODE(2, OP(TRUE), OP(ADD), OP(END)), HZ_EFORMAT);
    HZ_ASSERT_STR_HAS(hz_err_last(), "takes more than there is");
    HZ_ASSERT_EQ(CODE(2, OP(TRUE), OP(TRUE), OP(END)), HZ_EFORMAT);
    HZ_ASSERT_EQ(CODE(2, OP(END)), HZ_EFORMAT);
    HZ_ASSERT_EQ(CODE(2, OP(TRUE)), HZ_EFORMAT);
    HZ_ASSERT_STR_HAS(hz_err_last(), "without an end");
    HZ_ASSERT_EQ(CODE(2, OP(TRUE), OP(END), OP(END)), HZ_EFORMAT);
    HZ_ASSERT_EQ(CODE(2, {.op = 99}, OP(END)), HZ_EFORMAT);
    HZ_ASSERT_STR_HAS(hz_err_last(), "unknown operation");
    HZ_ASSERT_EQ(CODE(65, OP(TRUE), OP(END)), HZ_EFORMAT);
    HZ_ASSERT_EQ(CODE(2, {.op = HZ_OP_NODE, .a = 1}, OP(END)), HZ_EFORMAT);
    HZ_ASSERT_EQ(CODE(2, {.op = HZ_OP_TEXT, .a = 0, .len = 1}, OP(END)), HZ_EFORMAT);
}

HZ_TEST(plan, jumps_only_go_forward_and_agree_on_the_stack)
{
    HZ_ASSERT_EQ(CODE(1, OP(TRUE), TO(AND, 3), OP(TRUE), OP(END)), 0);
    HZ_ASSERT_EQ(CODE(1, OP(TRUE), TO(AND, 1), OP(TRUE), OP(END)), HZ_EFORMAT);
    HZ_ASSERT_STR_HAS(hz_err_last(), "does not go forward");
    HZ_ASSERT_EQ(CODE(1, OP(TRUE), TO(AND, 0), OP(TRUE), OP(END)), HZ_EFORMAT);
    HZ_ASSERT_EQ(CODE(1, OP(TRUE), TO(AND, 4), OP(TRUE), OP(END)), HZ_EFORMAT);
    HZ_ASSERT_EQ(CODE(2, OP(TRUE), TO(AND, 4), OP(TRUE), OP(TRUE), OP(END)), HZ_EFORMAT);
    HZ_ASSERT_STR_HAS(hz_err_last(), "disagree on the stack");
    HZ_ASSERT_EQ(CODE(2, OP(TRUE), TO(JUMP_FALSE, 4), OP(TRUE), TO(JUMP, 5), OP(FALSE), OP(END)), 0);
    HZ_ASSERT_EQ(CODE(2, OP(TRUE), TO(JUMP, 3), OP(TRUE), OP(END)), HZ_EFORMAT);
    HZ_ASSERT_STR_HAS(hz_err_last(), "nothing reaches");
    HZ_ASSERT_EQ(CODE(1, OP(NULL), TO(JUMP_NULLISH, 3), OP(NOT), OP(END)), 0);
}

/* xorshift64* (Vigna 2016): same numbers on every machine. */
static uint64_t next_random(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 2685821657736338717ull;
}

/* Walks everything a checked plan allows to be walked; ASan sees any step outside. */
static uint64_t touch(const struct hz_plan *plan)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < plan->node_count; i++) {
        const struct hz_plan_node *node = hz_plan_node(plan, i);

        sum += strlen(plan_text(plan, node->name)) + hz_plan_find_prop(plan, i, "value", 5);
        sum += hz_plan_find_output(plan, i, "output", 6) != NULL;
        for (uint32_t k = 0; k < node->prop_count; k++)
            sum += hz_plan_tree(plan, hz_plan_prop(plan, node->first_prop + k)->tree)->kind;
        for (uint32_t k = 0; k < node->output_count; k++) {
            const struct hz_plan_output *output = hz_plan_output(plan, node->first_output + k);

            for (uint32_t e = 0; e < output->edge_count; e++)
                sum += hz_plan_edge(plan, output->first_edge + e)->node;
        }
    }
    for (uint32_t i = 0; i < plan->expr_count; i++)
        sum += strlen(plan_text(plan, hz_plan_expr(plan, i)->text));
    return sum;
}

static void count_script(void *arg, uint32_t node, struct hz_plan_text property, const struct hz_plan_expr *expr)
{
    *(uint64_t *)arg += node + property.len + expr->text.len;
}

HZ_TEST(plan, random_corruption_never_gets_through_to_a_bad_index)
{
    static const char *const names[] = {"webhook", "conditional", "hello"};
    uint64_t state = 20261123, accepted = 0, sum = 0;

    for (size_t n = 0; n < HZ_COUNT_OF(names); n++) {
        struct outcome outcome = sample(names[n]);
        size_t size = outcome.plan->size;

        for (unsigned round = 0; round < 20000; round++) {
            struct hz_plan *copy = copy_plan(outcome.plan);
            unsigned changes = 1 + (unsigned)(next_random(&state) % 4);

            for (unsigned i = 0; i < changes; i++) {
                size_t at = next_random(&state) % size;

                if (next_random(&state) % 2)
                    ((unsigned char *)copy)[at] = (unsigned char)next_random(&state);
                else
                    ((uint32_t *)(void *)copy)[at / 4] = (uint32_t)next_random(&state) % (uint32_t)(2 * size);
            }
            if (hz_plan_check(copy, size) == 0) {
                accepted++;
                sum += touch(copy);
                hz_plan_scripts(copy, count_script, &sum);
            }
            free(copy);
        }
        outcome_free(&outcome);
    }
    HZ_ASSERT_GT(accepted, 0); /* a changed letter of a text is still a plan */
    HZ_ASSERT_LT(accepted, 55000);
    HZ_ASSERT_GT(sum, 0);
}
