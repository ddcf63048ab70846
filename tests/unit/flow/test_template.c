/* test_template.c - values with expressions: where {{X}} is found, what it becomes in the plan, what stays untouched.
 */
#include "core/flow/compile.h"
#include "core/flow/limits.h"
#include "flow_fixture.h"

/* All expressions found in a text, joined by `|`. */
static void check_found(const char *text, const char *wanted)
{
    char found[512] = "";
    size_t from, to, at = 0, len = strlen(text);

    while (hz_template_find(text, len, at, &from, &to)) {
        if (at > 0)
            must_append(found, sizeof(found), "|");
        strncat(found, text + from, to - from);
        at = to + 2;
    }
    if (strcmp(found, wanted) != 0)
        HZ_FAIL("`%s`: found `%s`, wanted `%s`", text, found, wanted);
    HZ_ASSERT_TRUE(true);
}

HZ_TEST(template, expressions_are_found_between_double_braces)
{
    check_found("", "");
    check_found("{{a}}", "a");
    check_found("x {{ a }} y {{b}}", " a |b");
    check_found("{{a}}{{b}}", "a|b");
    check_found("{{}}", "");
    check_found("{{a}", "");
    check_found("{a}}", "");
    check_found("{{ {a:1} }}", " {a:1} ");
    check_found("{\"o\":{\"n\":{{a.b}}}}", "a.b");
    check_found("{{a\nb}}", "");
    check_found("{{a\rb}} {{c}}", "c");
    check_found("{{a\xe2\x80\xa8}} {{c}}", "c");
    check_found("{{a {{b}} c}}", "b");
    check_found("{{{a}}}", "{a");
    check_found("}} {{a}}", "a");
    check_found("{{{{", "");
    check_found("{", "");
    check_found("{{a}}}}", "a");
}

HZ_TEST(template, search_is_linear_in_unclosed_openings)
{
    size_t len = 4u << 20, from, to;
    char *text = must_alloc(len);

    memset(text, '{', len);
    HZ_ASSERT_FALSE(hz_template_find(text, len, 0, &from, &to));
    for (size_t i = 0; i + 3 < len; i += 4)
        text[i + 2] = 'a', text[i + 3] = '\n';
    HZ_ASSERT_FALSE(hz_template_find(text, len, 0, &from, &to));
    free(text);
}

/* Compiles one data_transformer `T` with this mapping property (backticks); node 1. */
static struct outcome with_mapping(const char *property)
{
    char *nodes = NULL;
    struct outcome outcome;

    HZ_ASSERT_TRUE(asprintf(&nodes, ",`T`:{`type`:`data_transformer`,`properties`:{`mapping`:%s}}", property) > 0);
    outcome = compile_nodes(nodes, "", true);
    free(nodes);
    ASSERT_COMPILED(outcome);
    return outcome;
}

static void check_const(const char *property, const char *wanted)
{
    struct outcome outcome = with_mapping(property);
    char *json = quoted(wanted);

    HZ_ASSERT_STR_EQ(prop_const(outcome.plan, 1, "mapping"), json);
    HZ_ASSERT_TRUE((hz_plan_node(outcome.plan, 1)->flags & HZ_PLAN_NODE_CONSTANT) != 0);
    free(json);
    outcome_free(&outcome);
}

HZ_TEST(template, code_of_lang_json_that_parses_is_handed_over_parsed)
{
    check_const("{`value`:`{\\`a\\`: [1, 2.50]}`}", "{`a`: [1, 2.50]}");
    check_const("{`value`:`12`}", "12");
    check_const("{`value`:` true `}", " true ");
}

HZ_TEST(template, text_without_expressions_stays_untouched)
{
    check_const("{`value`:`{\\`a\\`: `}", "`{\\`a\\`: `");
    check_const("{`value`:``}", "``");
    check_const("{`value`:{`a`:`12`}}", "{`a`:`12`}");
    check_const("{`value`:[1,{`value`:`7`}]}", "[1,{`value`:`7`}]");
}

HZ_TEST(template, falsy_stored_values_win_over_defaults)
{
    struct outcome outcome =
            compile_nodes(",`W`:{`type`:`webhook_handler`,`properties`:{`proxyPreserveHeaders`:{`value`:false},"
                          "`timeout`:{`value`:0},`endpoint`:{`value`:``}}},`D`:{`type`:`delay`}",
                    "", true);

    ASSERT_COMPILED(outcome);
    HZ_ASSERT_STR_EQ(prop_const(outcome.plan, 1, "proxyPreserveHeaders"), "false");
    HZ_ASSERT_STR_EQ(prop_const(outcome.plan, 1, "timeout"), "0");
    HZ_ASSERT_STR_EQ(prop_const(outcome.plan, 1, "endpoint"), "\"\"");
    HZ_ASSERT_STR_EQ(prop_const(outcome.plan, 1, "corsOrigin"), "\"*\"");
    HZ_ASSERT_STR_EQ(prop_const(outcome.plan, 2, "delay"), "3");
    outcome_free(&outcome);
}

HZ_TEST(template, absent_value_keeps_the_default)
{
    struct outcome outcome = compile_nodes(",`D`:{`type`:`delay`,`properties`:{`delay`:{`name`:`x`}}}", "", true);

    ASSERT_COMPILED(outcome);
    HZ_ASSERT_STR_EQ(prop_const(outcome.plan, 1, "delay"), "3");
    outcome_free(&outcome);
}

HZ_TEST(template, null_is_a_value)
{
    struct outcome outcome = compile_nodes(",`D`:{`type`:`delay`,`properties`:{`delay`:{`value`:null}}}", "", false);

    ASSERT_COMPILED(outcome);
    HZ_ASSERT_STR_EQ(prop_const(outcome.plan, 1, "delay"), "null");
    outcome_free(&outcome);
}

HZ_TEST(template, defaults_with_expressions_are_evaluated)
{
    struct outcome outcome = compile_nodes(",`I`:{`type`:`iteration`}", "", true);
    const struct hz_plan_tree *tree;

    ASSERT_COMPILED(outcome);
    tree = prop_tree(outcome.plan, 1, "valor");
    HZ_ASSERT_EQ(tree->kind, HZ_TREE_TEMPLATE);
    HZ_ASSERT_EQ(tree->flags, HZ_TPL_WHOLE | HZ_TPL_VALUE);
    HZ_ASSERT_EQ(hz_plan_node(outcome.plan, 1)->flags & HZ_PLAN_NODE_CONSTANT, 0);
    outcome_free(&outcome);
}

/* Parts of a template as text: literals as they are, expressions as <X> or, inside a JSON string, as "X". */
static void check_parts(const char *property, unsigned flags, const char *wanted)
{
    struct outcome outcome = with_mapping(property);
    const struct hz_plan_tree *tree = prop_tree(outcome.plan, 1, "mapping");
    char text[512] = "";

    HZ_ASSERT_EQ(tree->kind, HZ_TREE_TEMPLATE);
    HZ_ASSERT_EQ(tree->flags, flags);
    for (uint32_t i = 0; i < tree->b; i++) {
        const struct hz_plan_part *part = hz_plan_part(outcome.plan, tree->a + i);

        must_append(text, sizeof(text), part->expr == UINT32_MAX ? "" : part->in_string ? "<<" : "<");
        must_append(text, sizeof(text), plan_text(outcome.plan, part->text));
        must_append(text, sizeof(text), part->expr == UINT32_MAX ? "" : part->in_string ? ">>" : ">");
        if (part->expr != UINT32_MAX)
            HZ_ASSERT_STR_EQ(plan_text(outcome.plan, hz_plan_expr(outcome.plan, part->expr)->text),
                    plan_text(outcome.plan, part->text));
    }
    HZ_ASSERT_STR_EQ(text, wanted);
    outcome_free(&outcome);
}

HZ_TEST(template, json_text_knows_which_expressions_sit_in_strings)
{
    check_parts("{`value`:`{\\`a\\`: {{input.data.n}}, \\`b\\`: \\`x{{input.data.s}}y\\`}`}",
            HZ_TPL_VALUE | HZ_TPL_JSON, "{\"a\": <input.data.n>, \"b\": \"x<<input.data.s>>y\"}");
    check_parts("{`value`:`[\\`\\\\\\`{{1}}\\`, {{2}}]`}", HZ_TPL_VALUE | HZ_TPL_JSON, "[\"\\\"<<1>>\", <2>]");
    check_parts("{`value`:`{\\`{{1}}\\`: 1}`}", HZ_TPL_VALUE | HZ_TPL_JSON, "{\"<<1>>\": 1}");
    check_parts("{`value`:`\\`a {{1}}\\``}", HZ_TPL_VALUE | HZ_TPL_JSON, "\"a <<1>>\"");
}

HZ_TEST(template, members_brought_along_by_an_expression_still_make_json_of_a_json_editor)
{
    check_parts("{`value`:`{ {{1}} \\`a\\`: \\`{{2}}\\`}`}", HZ_TPL_VALUE | HZ_TPL_JSON, "{ <1> \"a\": \"<<2>>\"}");
}

HZ_TEST(template, plain_text_is_not_escaped)
{
    check_parts("{`value`:`Hola \\`{{1}}\\` y {{2}}`}", HZ_TPL_VALUE, "Hola \"<1>\" y <2>");
    check_parts("{`value`:`{{1}} {{2}}`}", HZ_TPL_VALUE, "<1> <2>");
}

HZ_TEST(template, text_that_is_one_expression_is_whole)
{
    check_parts("{`value`:`{{input.data}}`}", HZ_TPL_VALUE | HZ_TPL_WHOLE, "<input.data>");
    check_parts("{`value`:` {{1}}`}", HZ_TPL_VALUE | HZ_TPL_JSON, " <1>"); /* a blank beside it: text around it */
}

HZ_TEST(template, evaluation_all_makes_the_whole_value_an_expression)
{
    check_parts("{`value`:`input.data.a > 1`,`evaluation`:{`all`:true}}", HZ_TPL_VALUE | HZ_TPL_WHOLE,
            "<input.data.a > 1>");
    check_parts(
            "{`value`:`{{input.data.a}}`,`evaluation`:{`all`:true}}", HZ_TPL_VALUE | HZ_TPL_WHOLE, "<input.data.a>");
    check_parts("{`value`:`x {{1}}`,`evaluation`:{`all`:true}}", HZ_TPL_VALUE, "x <1>");
}

HZ_TEST(template, evaluation_that_is_not_active_leaves_expressions_alone)
{
    check_const("{`value`:`a {{index}} {{`,`evaluation`:{`active`:false}}", "`a {{index}} {{`");
    check_const("{`value`:{`a`:[`{{1}}`]},`evaluation`:{`active`:false}}", "{`a`:[`{{1}}`]}");
    check_const("{`value`:`{{1}}`,`evaluation`:{`active`:false,`all`:true}}", "`{{1}}`");
}

HZ_TEST(template, lists_evaluate_item_by_item_as_their_own_properties_say)
{
    struct outcome outcome = compile_nodes(",`C`:{`type`:`conditional`,`properties`:{`conditions`:{`value`:[{"
                                           "`name`:{`value`:`c_{{index}}`,`evaluation`:{`active`:false}},"
                                           "`condition`:{`value`:`input.data.a > 1`,`evaluation`:{`all`:true}},"
                                           "`value`:{`value`:`{{input.data}}`}}]}}}",
            "", true);
    const struct hz_plan *plan = outcome.plan;
    const struct hz_plan_tree *item, *member;

    ASSERT_COMPILED(outcome);
    HZ_ASSERT_EQ(prop_tree(plan, 1, "conditions")->kind, HZ_TREE_ARRAY);
    item = hz_plan_tree(plan, hz_plan_member(plan, prop_tree(plan, 1, "conditions")->a)->tree);
    HZ_ASSERT_EQ(item->kind, HZ_TREE_OBJECT);
    HZ_ASSERT_EQ(item->b, 3);
    member = hz_plan_tree(plan, hz_plan_member(plan, item->a)->tree);
    HZ_ASSERT_EQ(member->kind, HZ_TREE_CONST);
    member = hz_plan_tree(plan, hz_plan_member(plan, item->a + 1)->tree);
    HZ_ASSERT_EQ(member->kind, HZ_TREE_OBJECT);
    HZ_ASSERT_STR_EQ(plan_text(plan, hz_plan_member(plan, member->a)->key), "value");
    HZ_ASSERT_EQ(hz_plan_tree(plan, hz_plan_member(plan, member->a)->tree)->flags, HZ_TPL_WHOLE | HZ_TPL_VALUE);
    HZ_ASSERT_EQ(hz_plan_tree(plan, hz_plan_member(plan, member->a + 1)->tree)->kind, HZ_TREE_CONST);
    outcome_free(&outcome);
}

HZ_TEST(template, condition_without_evaluation_all_needs_braces)
{
    struct outcome outcome =
            compile_nodes(",`C`:{`type`:`conditional`,`properties`:{`conditions`:{`value`:[{`name`:{`value`:`a`},"
                          "`condition`:{`value`:`input.data.a > 1`}}]}}}",
                    "", true);

    ASSERT_COMPILED(outcome);
    HZ_ASSERT_EQ(prop_tree(outcome.plan, 1, "conditions")->kind, HZ_TREE_CONST);
    outcome_free(&outcome);
}

HZ_TEST(template, nested_options_and_list_templates_are_skipped)
{
    check_const("{`value`:{`a`:{`type`:`options`,`value`:`{{1}}`,`deep`:[`{{2}}`]}}}",
            "{`a`:{`type`:`options`,`value`:`{{1}}`,`deep`:[`{{2}}`]}}");
    check_const("{`value`:{`a`:{`type`:`list`,`object`:{`x`:{`value`:`{{1}}`}},`value`:[]}}}",
            "{`a`:{`type`:`list`,`object`:{`x`:{`value`:`{{1}}`}},`value`:[]}}");
}

HZ_TEST(template, strings_at_any_depth_and_key_are_evaluated_but_keys_are_not)
{
    struct outcome outcome = with_mapping("{`value`:{`{{1}}`:2,`a`:[{`b`:`{{3}} x`}],`description`:`{{4}}`}}");
    const struct hz_plan *plan = outcome.plan;
    const struct hz_plan_tree *tree = prop_tree(plan, 1, "mapping");

    HZ_ASSERT_EQ(plan->expr_count, 2);
    HZ_ASSERT_EQ(tree->kind, HZ_TREE_OBJECT);
    HZ_ASSERT_STR_EQ(plan_text(plan, hz_plan_member(plan, tree->a)->key), "{{1}}");
    /* not the key `value`: the text is not parsed as JSON */
    HZ_ASSERT_EQ(hz_plan_tree(plan, hz_plan_member(plan, tree->a + 2)->tree)->flags, HZ_TPL_WHOLE);
    outcome_free(&outcome);
}

HZ_TEST(template, scripts_list_the_nodes_they_name)
{
    struct outcome outcome = compile_nodes(",`a`:{`type`:`delay`,`name`:`Uno`},`b`:{`type`:`delay`,`name`:`Dos`},"
                                           "`T`:{`type`:`data_transformer`,`properties`:{`mapping`:{`value`:"
                                           "`{{f(Dos.data, Uno.data, Dos.x, input, env)}}`}}}",
            "", true);
    const struct hz_plan_expr *expr;

    ASSERT_COMPILED(outcome);
    HZ_ASSERT_EQ(outcome.plan->expr_count, 1);
    expr = hz_plan_expr(outcome.plan, 0);
    HZ_ASSERT_EQ(expr->kind, HZ_EXPR_SCRIPT);
    HZ_ASSERT_EQ(expr->ref_count, 2);
    HZ_ASSERT_EQ(hz_plan_ref(outcome.plan, expr->first_ref), 2);
    HZ_ASSERT_EQ(hz_plan_ref(outcome.plan, expr->first_ref + 1), 1);
    HZ_ASSERT_EQ(outcome.plan->needs_script, 1);
    outcome_free(&outcome);
}

HZ_TEST(template, a_name_of_several_nodes_is_left_to_javascript_with_a_warning)
{
    struct outcome outcome =
            compile_nodes(",`a`:{`type`:`delay`,`name`:`X`},`b`:{`type`:`delay`,`name`:`X`},"
                          "`T`:{`type`:`data_transformer`,`properties`:{`mapping`:{`value`:`{{X.data}}`}}}",
                    "", true);
    const struct hz_plan_expr *expr;

    ASSERT_COMPILED(outcome);
    HZ_ASSERT_STR_EQ(outcome.text,
            "flow.json: warning: node \"T\", properties.mapping.value: several nodes are called `X`: the last one "
            "in the file that has run is meant (expected a name of its own for each node an expression "
            "speaks of)\n");
    expr = hz_plan_expr(outcome.plan, 0);
    HZ_ASSERT_EQ(expr->kind, HZ_EXPR_SCRIPT);
    HZ_ASSERT_EQ(expr->ref_count, 2);
    HZ_ASSERT_EQ(hz_plan_ref(outcome.plan, expr->first_ref), 2);
    outcome_free(&outcome);
}

HZ_TEST(template, names_that_only_occur_in_other_words_are_no_references)
{
    struct outcome outcome = compile_nodes(",`a`:{`type`:`delay`,`name`:`Uno`},`b`:{`type`:`delay`,`name`:`class`},"
                                           "`T`:{`type`:`data_transformer`,`properties`:{`mapping`:{`value`:"
                                           "`{{f(Unos, class, aUno)}}`}}}",
            "", true);

    ASSERT_COMPILED(outcome);
    HZ_ASSERT_EQ(hz_plan_expr(outcome.plan, 0)->ref_count, 0);
    outcome_free(&outcome);
}

HZ_TEST(template, log_texts_of_meta_are_templates)
{
    struct outcome outcome =
            compile_nodes(",`D`:{`type`:`delay`,`meta`:{`logs`:{`start`:{`type`:`info`,`value`:`va {{input.data.n}}`},"
                          "`exec`:{`type`:`none`,`value`:`{{1}}`}}}}",
                    "", true);
    const struct hz_plan_node *node;

    ASSERT_COMPILED(outcome);
    node = hz_plan_node(outcome.plan, 1);
    HZ_ASSERT_EQ(node->log_start.type, HZ_PLAN_LOG_INFO);
    HZ_ASSERT_EQ(hz_plan_tree(outcome.plan, node->log_start.tree)->kind, HZ_TREE_TEMPLATE);
    HZ_ASSERT_EQ(node->log_exec.type, HZ_PLAN_LOG_NONE);
    HZ_ASSERT_EQ(node->log_exec.tree, UINT32_MAX);
    HZ_ASSERT_EQ(outcome.plan->expr_count, 1);
    HZ_ASSERT_TRUE((node->flags & HZ_PLAN_NODE_CONSTANT) != 0); /* its properties are */
    outcome_free(&outcome);
}

HZ_TEST(template, meta_is_kept_and_its_limits_are_read)
{
    struct outcome outcome = compile_nodes(
            ",`D`:{`type`:`delay`,`meta`:{`timeout`:1500,`retries`:3,`retryDelay`:250.4,`x`:[1]}},`E`:{`type`:`delay`}",
            "", true);
    const struct hz_plan_node *node;

    ASSERT_COMPILED(outcome);
    node = hz_plan_node(outcome.plan, 1);
    HZ_ASSERT_STR_EQ(
            plan_text(outcome.plan, node->meta), "{\"timeout\":1500,\"retries\":3,\"retryDelay\":250.4,\"x\":[1]}");
    HZ_ASSERT_EQ(node->timeout_ms, 1500);
    HZ_ASSERT_EQ(node->retries, 3);
    HZ_ASSERT_EQ(node->retry_delay_ms, 250);
    HZ_ASSERT_STR_EQ(plan_text(outcome.plan, hz_plan_node(outcome.plan, 2)->meta), "{}");
    outcome_free(&outcome);
}

struct visited {
    uint32_t count, node;
    char key[64], text[64];
};

static void visit(void *arg, uint32_t node, const char *key, const char *text)
{
    struct visited *visited = arg;

    visited->count++;
    visited->node = node;
    snprintf(visited->key, sizeof(visited->key), "%s", key);
    snprintf(visited->text, sizeof(visited->text), "%s", text);
}

struct walk {
    const struct hz_plan *plan;
    struct visited visited;
};

static void visit_script(void *arg, uint32_t node, struct hz_plan_text property, const struct hz_plan_expr *expr)
{
    struct walk *walk = arg;

    visit(&walk->visited, node, plan_text(walk->plan, property), plan_text(walk->plan, expr->text));
}

HZ_TEST(template, scripts_are_visited_with_node_and_property)
{
    struct outcome outcome = compile_nodes(
            ",`T`:{`type`:`data_transformer`,`properties`:{`mapping`:{`value`:{`a`:[`{{1}} {{f(2)}}`]}}}}", "", true);
    struct walk walk = {.plan = outcome.plan};

    ASSERT_COMPILED(outcome);
    hz_plan_scripts(outcome.plan, visit_script, &walk);
    HZ_ASSERT_EQ(walk.visited.count, 1);
    HZ_ASSERT_EQ(walk.visited.node, 1);
    HZ_ASSERT_STR_EQ(walk.visited.key, "mapping");
    HZ_ASSERT_STR_EQ(walk.visited.text, "f(2)");
    outcome_free(&outcome);
}
