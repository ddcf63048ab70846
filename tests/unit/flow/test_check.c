/* test_check.c - a flow against the catalogue: types of properties, start node, connections, what strict mode changes.
 */
#include "core/flow/limits.h"
#include "flow_fixture.h"
#include "shm/err.h"

#define FILE_ "flow.json: "
#define WARN_ "flow.json: warning: "

/* Strict: an error with this text. Not strict: the same text as a warning, and a plan. */
static void check_both(const char *nodes, const char *connections, const char *wanted)
{
    struct outcome strict = compile_nodes(nodes, connections, true), loose = compile_nodes(nodes, connections, false);
    char *as_error, *as_warning;

    HZ_ASSERT_TRUE(asprintf(&as_error, FILE_ "%s\n", wanted) > 0);
    HZ_ASSERT_TRUE(asprintf(&as_warning, WARN_ "%s\n", wanted) > 0);
    HZ_ASSERT_STR_EQ(strict.text, as_error);
    HZ_ASSERT_EQ(strict.compiled, HZ_EFORMAT);
    HZ_ASSERT_NULL(strict.plan);
    HZ_ASSERT_STR_EQ(loose.text, as_warning);
    HZ_ASSERT_EQ(loose.compiled, 0);
    free(as_error);
    free(as_warning);
    outcome_free(&strict);
    outcome_free(&loose);
}

/* A value of one property of one node type. */
static void check_value(const char *type, const char *key, const char *value, const char *wanted)
{
    char *nodes, *text = NULL;
    struct outcome outcome;

    HZ_ASSERT_TRUE(asprintf(&nodes, ",`N`:{`type`:`%s`,`properties`:{`%s`:{`value`:%s}}}", type, key, value) > 0);
    if (*wanted) {
        HZ_ASSERT_TRUE(asprintf(&text, "node \"N\", properties.%s.value%s", key, wanted) > 0);
        check_both(nodes, "", text);
    } else {
        outcome = compile_nodes(nodes, "", true);
        HZ_ASSERT_STR_EQ(outcome.text, "");
        ASSERT_COMPILED(outcome);
        outcome_free(&outcome);
    }
    free(text);
    free(nodes);
}

HZ_TEST(check, numbers)
{
    check_value("delay", "delay", "2.5", "");
    check_value("delay", "delay", "`{{input.data.s}}`", "");
    check_value("delay", "delay", "`abc`", ": is the text `abc` (expected a number)");
    check_value("delay", "delay", "``", ": is the text `` (expected a number)");
    check_value("delay", "delay", "true", ": is true (expected a number)");
    check_value("delay", "delay", "null", ": is null (expected a number)");
    check_value("delay", "delay", "[1]", ": is an array (expected a number)");
    check_value("delay", "delay", "{}", ": is an object (expected a number)");
}

HZ_TEST(check, numbers_as_text_are_warned_of_only)
{
    struct outcome outcome = compile_nodes(",`N`:{`type`:`delay`,`properties`:{`delay`:{`value`:`5`}}}", "", true);

    HZ_ASSERT_STR_EQ(outcome.text,
            WARN_ "node \"N\", properties.delay.value: is a number written as text (expected a number)\n");
    ASSERT_COMPILED(outcome);
    outcome_free(&outcome);
}

HZ_TEST(check, switches_texts_code_lists_and_boxes)
{
    check_value("console_output", "delay", "false", "");
    check_value("console_output", "delay", "`{{1 > 2}}`", "");
    check_value("console_output", "delay", "1", ": is the number 1 (expected true or false)");
    check_value("console_output", "delay", "`true`", ": is the text `true` (expected true or false)");
    check_value("http_request", "url", "`x`", "");
    check_value("http_request", "url", "7", ": is the number 7 (expected a text)");
    check_value("http_request", "url", "{}", ": is an object (expected a text)");
    check_value("http_request", "body", "{`a`:1}", "");
    check_value("http_request", "body", "[1]", "");
    check_value("http_request", "body", "`x`", "");
    check_value("http_request", "body", "7", ": is the number 7 (expected code: a text or an object)");
    check_value("http_request", "body", "false", ": is false (expected code: a text or an object)");
    check_value("conditional", "conditions", "[]", "");
    check_value("conditional", "conditions", "`{{input.data}}`", "");
    check_value("conditional", "conditions", "{}", ": is an object (expected an array of objects)");
    check_value("conditional", "conditions", "`x`", ": is the text `x` (expected an array of objects)");
    check_value("webhook_handler", "url", "[{`label`:`a`,`value`:`b`}]", "");
    check_value("webhook_handler", "url", "5", ": is the number 5 (expected an array of {label, value})");
}

HZ_TEST(check, options_name_the_choices)
{
    check_value("http_request", "type", "`post`", "");
    check_value("http_request", "type", "`{{env.M}}`", "");
    check_value("http_request", "type", "`trace`", ": is the text `trace` (expected one of get, post, put, delete)");
    check_value("http_request", "type", "3", ": is the number 3 (expected one of get, post, put, delete)");
    check_value("http_request", "type", "[]", ": is an array (expected one of get, post, put, delete)");
    check_value("webhook_handler", "redirectStatusCode", "301", "");
    check_value("webhook_handler", "redirectStatusCode", "`301`", "");
    check_value("webhook_handler", "security", "null", "");                /* the choice is the text `null` */
    check_value("http_response", "contentType", "`image/x-anything`", ""); /* an open list */
}

HZ_TEST(check, long_lists_of_choices_are_cut)
{
    struct outcome outcome =
            compile_nodes(",`N`:{`type`:`http_response`,`properties`:{`status`:{`value`:999}}}", "", true);

    HZ_ASSERT_STR_HAS(outcome.text, "(expected one of 100, 101, 200");
    HZ_ASSERT_LT(strlen(outcome.text), 400);
    outcome_free(&outcome);
}

HZ_TEST(check, list_items_and_their_properties)
{
    check_value("conditional", "conditions", "[7]", "[0]: is the number 7 (expected an object of properties)");
    check_value("conditional", "conditions", "[{},[]]", "[1]: is an array (expected an object of properties)");
    check_value("conditional", "conditions", "[{`name`:`x`}]",
            "[0].name: is the text `x` (expected a property: an object with `value`)");
    check_value(
            "conditional", "conditions", "[{`name`:{`value`:3}}]", "[0].name.value: is the number 3 (expected a text)");
    check_value("conditional", "conditions", "[{`own`:3}]", "");
}

HZ_TEST(check, stored_property_has_to_be_an_object)
{
    check_both(",`N`:{`type`:`delay`,`properties`:{`delay`:4}}", "",
            "node \"N\", properties.delay: is the number 4 (expected a property: an object with `value`)");
}

HZ_TEST(check, unknown_types_are_the_contracts_words)
{
    check_both(",`N`:{`type`:`teleport`,`properties`:{`a`:{`value`:`{{1}}`}}}", "",
            "node \"N\", type: No existe el nodo teleport (expected a type of the node catalogue)");
}

HZ_TEST(check, unknown_types_stay_in_the_plan)
{
    struct outcome outcome = compile_nodes(",`N`:{`type`:`teleport`,`properties`:{`a`:{`value`:7}}}", "", false);
    const struct hz_plan_node *node;

    ASSERT_COMPILED(outcome);
    node = hz_plan_node(outcome.plan, 1);
    HZ_ASSERT_EQ(node->plugin, UINT32_MAX);
    HZ_ASSERT_TRUE((node->flags & HZ_PLAN_NODE_UNKNOWN) != 0);
    HZ_ASSERT_STR_EQ(plan_text(outcome.plan, node->type), "teleport");
    HZ_ASSERT_STR_EQ(prop_const(outcome.plan, 1, "a"), "7");
    outcome_free(&outcome);
}

HZ_TEST(check, unknown_properties_are_kept_with_a_warning)
{
    struct outcome outcome = compile_nodes(",`N`:{`type`:`delay`,`properties`:{`dealy`:{`value`:7}}}", "", true);

    HZ_ASSERT_STR_EQ(outcome.text, WARN_ "node \"N\", properties.dealy: a node of type delay has no such property\n");
    ASSERT_COMPILED(outcome);
    HZ_ASSERT_STR_EQ(prop_const(outcome.plan, 1, "dealy"), "7");
    HZ_ASSERT_EQ(hz_plan_node(outcome.plan, 1)->prop_count, 2);
    outcome_free(&outcome);
}

HZ_TEST(check, exactly_one_start_node_in_either_mode)
{
    struct outcome none = compile_text("{`nodes`:{`a`:{`type`:`delay`}}}", false);
    struct outcome two =
            compile_nodes(",`B`:{`type`:`workflow_init`,`name`:`Otro`},`C`:{`type`:`workflow_init`}", "", false);

    HZ_ASSERT_EQ(none.compiled, HZ_EFORMAT);
    HZ_ASSERT_STR_EQ(
            none.text, FILE_ "nodes: the flow has no start node (expected exactly one node of type workflow_init)\n");
    HZ_ASSERT_EQ(two.compiled, HZ_EFORMAT);
    HZ_ASSERT_STR_EQ(two.text, FILE_
            "node \"Otro\", type: is start node number 2 (expected exactly one node of type workflow_init)\n" FILE_
            "node \"C\", type: is start node number 3 (expected exactly one node of type workflow_init)\n");
    outcome_free(&none);
    outcome_free(&two);
}

#define LINK(from, out, to, in)                                                                                        \
    "{`idNodeOrigin`:" from ",`connectorOriginName`:" out ",`idNodeDestiny`:" to ",`connectorDestinyName`:" in "}"

HZ_TEST(check, dangling_connections)
{
    check_both("", LINK("`S`", "`init`", "`gone`", "`input`"),
            "connections[0].idNodeDestiny: no node has the id `gone` (expected the id of a node)");
    check_both("", LINK("`gone`", "`init`", "`S`", "`input`"),
            "connections[0].idNodeOrigin: no node has the id `gone` (expected the id of a node)");
    check_both("", "{`connectorOriginName`:`init`,`idNodeDestiny`:`S`,`connectorDestinyName`:`x`}",
            "connections[0].idNodeOrigin: is missing (expected the id of a node)");
    check_both("", "{`idNodeOrigin`:`S`,`idNodeDestiny`:`S`,`connectorDestinyName`:`x`}",
            "connections[0].connectorOriginName: is missing (expected the name of an output)");
}

HZ_TEST(check, connections_with_an_empty_end_are_skipped_silently)
{
    struct outcome outcome =
            compile_nodes("", LINK("``", "`init`", "`S`", "`x`") "," LINK("`S`", "`init`", "``", "`x`"), true);

    HZ_ASSERT_STR_EQ(outcome.text, "");
    ASSERT_COMPILED(outcome);
    HZ_ASSERT_EQ(outcome.plan->edge_count, 0);
    outcome_free(&outcome);
}

HZ_TEST(check, broken_expressions_name_reason_and_place)
{
    check_value("http_request", "url", "`a {{input.data.}} b`",
            ": the expression `input.data.` is broken: the expression ends where a member's name is expected, at "
            "character 12 (expected "
            "a JavaScript expression)");
    check_value("http_request", "url", "`{{}}`",
            ": the expression `` is broken: the expression is empty, at character 1 (expected a JavaScript "
            "expression)");
    check_value("http_request", "url", "`{{f(1}}`",
            ": the expression `f(1` is broken: a bracket that is never closed, at character 2 (expected a JavaScript "
            "expression)");
}

HZ_TEST(check, empty_condition_is_a_warning)
{
    struct outcome outcome =
            compile_nodes(",`C`:{`type`:`conditional`,`properties`:{`conditions`:{`value`:[{`name`:{`value`:`a`},"
                          "`condition`:{`value`:``,`evaluation`:{`all`:true}}}]}}}",
                    "", true);

    HZ_ASSERT_STR_EQ(outcome.text,
            WARN_ "node \"C\", properties.conditions.value[0].condition.value: an expression that is empty always "
                  "fails (expected a JavaScript expression)\n");
    ASSERT_COMPILED(outcome);
    outcome_free(&outcome);
}

HZ_TEST(check, unknown_names_are_warned_of)
{
    struct outcome outcome =
            compile_nodes(",`N`:{`type`:`http_request`,`properties`:{`url`:{`value`:`{{Pedido.data.x}}`}}}", "", true);

    HZ_ASSERT_STR_EQ(outcome.text, WARN_ "node \"N\", properties.url.value: nothing is called `Pedido` (expected "
                                         "`input`, `env` or the name of a node)\n");
    ASSERT_COMPILED(outcome);
    outcome_free(&outcome);
}

HZ_TEST(check, meta_limits)
{
    check_both(",`N`:{`type`:`delay`,`meta`:{`timeout`:`x`}}", "",
            "node \"N\", meta.timeout: is a string (expected a number from 0 to 86400000)");
    check_both(",`N`:{`type`:`delay`,`meta`:{`retries`:1001}}", "",
            "node \"N\", meta.retries: is 1001 (expected a number from 0 to 1000)");
    check_both(",`N`:{`type`:`delay`,`meta`:{`retryDelay`:-1}}", "",
            "node \"N\", meta.retryDelay: is -1 (expected a number from 0 to 86400000)");
}

HZ_TEST(check, several_findings_of_several_nodes_come_at_once)
{
    struct outcome outcome =
            compile_nodes(",`A`:{`type`:`delay`,`properties`:{`delay`:{`value`:`x`}}},`B`:{`type`:`nada`},"
                          "`C`:{`type`:`console_output`,`properties`:{`delay`:{`value`:3}}}",
                    LINK("`A`", "`o`", "`Z`", "`i`"), true);

    HZ_ASSERT_EQ(outcome.report.errors, 4);
    HZ_ASSERT_EQ(outcome.report.count, 4);
    outcome_free(&outcome);
}

HZ_TEST(check, texts_have_a_bound)
{
    size_t len = HZ_FLOW_MAX_STRING + 1;
    char *text = must_alloc(len + 200);
    size_t head = (size_t)sprintf(
            text, "{\"nodes\":{\"S\":{\"type\":\"workflow_init\",\"properties\":{\"schema\":{\"value\":\"");
    struct outcome outcome;

    memset(text + head, 'x', len);
    memcpy(text + head + len, "\"}}}}}", sizeof("\"}}}}}"));
    outcome = compile_bytes(text, strlen(text), false);
    HZ_ASSERT_STR_EQ(outcome.text,
            FILE_ "node \"S\", properties.schema.value: the text has 4194305 bytes (expected at most 4 MiB)\n");
    HZ_ASSERT_EQ(outcome.compiled, HZ_EFORMAT);
    outcome_free(&outcome);
    free(text);
}

HZ_TEST(check, capabilities_follow_switched_on_properties)
{
    struct outcome off = compile_nodes(",`W`:{`type`:`webhook_handler`}", "", true);
    struct outcome on =
            compile_nodes(",`W`:{`type`:`webhook_handler`,`properties`:{`enableProxy`:{`value`:true}}}", "", true);
    struct outcome maybe = compile_nodes(
            ",`W`:{`type`:`webhook_handler`,`properties`:{`enableProxy`:{`value`:`{{env.P}}`}}}", "", true);
    struct outcome net = compile_nodes(",`R`:{`type`:`http_request`}", "", true);

    HZ_ASSERT_EQ(off.plan->caps, 0);
    HZ_ASSERT_EQ(on.plan->caps, 1);
    HZ_ASSERT_EQ(hz_plan_node(on.plan, 1)->caps, 1);
    HZ_ASSERT_EQ(maybe.plan->caps, 1);
    HZ_ASSERT_EQ(net.plan->caps, 1);
    HZ_ASSERT_EQ(off.plan->trigger_count, 1);
    HZ_ASSERT_EQ(net.plan->trigger_count, 0);
    outcome_free(&off);
    outcome_free(&on);
    outcome_free(&maybe);
    outcome_free(&net);
}
