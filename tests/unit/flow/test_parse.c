/* test_parse.c - bytes of a flow.json to a model: what is tolerated, what is refused, and with which words. */
#include "core/flow/limits.h"
#include "core/flow/model.h"
#include "flow_fixture.h"
#include "shm/err.h"

/* Parses text with backticks; the flow is freed, the findings stay as text (caller frees). */
static char *findings_of(const char *text, size_t len, size_t *ret_errors)
{
    struct outcome outcome = {0};
    char *findings;

    outcome.parsed = hz_flow_parse(text, len, &outcome.report, &outcome.flow);
    outcome_text(&outcome);
    findings = must_copy(outcome.text);
    *ret_errors = outcome.report.errors;
    HZ_ASSERT_EQ(outcome.parsed, outcome.report.errors > 0 ? HZ_EFORMAT : 0);
    outcome_free(&outcome);
    return findings;
}

static void check_findings(const char *text, const char *wanted)
{
    char *json = quoted(text), *findings;
    size_t errors;

    findings = findings_of(json, strlen(json), &errors);
    HZ_ASSERT_STR_EQ(findings, wanted);
    free(findings);
    free(json);
}

static struct hz_flow *parsed(const char *text)
{
    struct hz_flow_report report = {0};
    struct hz_flow *flow = NULL;
    char *json = quoted(text);

    HZ_ASSERT_OK(hz_flow_parse(json, strlen(json), &report, &flow));
    HZ_ASSERT_EQ(report.count, 0);
    free(json);
    hz_flow_report_fini(&report);
    return flow;
}

HZ_TEST(parse, smallest_flow_is_an_object_with_nodes)
{
    struct hz_flow *flow = parsed("{`nodes`:{}}");

    HZ_ASSERT_EQ(flow->node_count, 0);
    HZ_ASSERT_EQ(flow->link_count, 0);
    HZ_ASSERT_STR_EQ(hz_flow_uid(flow), "");
    HZ_ASSERT_STR_EQ(hz_flow_name(flow), "");
    HZ_ASSERT_STR_EQ(hz_flow_version(flow), "0.0.1");
    hz_flow_free(&flow);
    HZ_ASSERT_NULL(flow);
}

HZ_TEST(parse, head_is_read)
{
    struct hz_flow *flow =
            parsed("{`info`:{`uid`:`u`,`name`:`n`},`version`:`1.2.3`,`properties`:{`basic`:{`router`:`/v1`}},"
                   "`environment`:[`A`,`B`],`nodes`:{}}");

    HZ_ASSERT_STR_EQ(hz_flow_uid(flow), "u");
    HZ_ASSERT_STR_EQ(hz_flow_name(flow), "n");
    HZ_ASSERT_STR_EQ(hz_flow_version(flow), "1.2.3");
    HZ_ASSERT_STR_EQ(flow->router, "/v1");
    HZ_ASSERT_EQ(json_array_size(flow->environment), 2);
    hz_flow_free(&flow);
}

HZ_TEST(parse, nodes_keep_file_order_and_names_fall_back)
{
    struct hz_flow *flow =
            parsed("{`nodes`:{`b`:{`type`:`x`,`name`:`B`},`a`:{`type`:`y`,`info`:{`name`:`de info`}},`c`:{`type`:`z`},"
                   "`d`:{`type`:`z`,`name`:``,`info`:{`name`:`D`}},`e`:{`type`:`z`,`name`:null}}}");

    HZ_ASSERT_EQ(flow->node_count, 5);
    HZ_ASSERT_STR_EQ(flow->nodes[0].id, "b");
    HZ_ASSERT_STR_EQ(flow->nodes[0].name, "B");
    HZ_ASSERT_STR_EQ(flow->nodes[1].name, "de info");
    HZ_ASSERT_STR_EQ(flow->nodes[2].name, "c");
    HZ_ASSERT_STR_EQ(flow->nodes[3].name, "D");
    HZ_ASSERT_STR_EQ(flow->nodes[4].name, "e");
    HZ_ASSERT_EQ(hz_model_find(flow, "c"), 2);
    HZ_ASSERT_EQ(hz_model_find(flow, "q"), HZ_MODEL_NONE);
    hz_flow_free(&flow);
}

HZ_TEST(parse, key_of_a_node_wins_over_the_id_inside)
{
    struct hz_flow *flow = parsed("{`nodes`:{`outer`:{`id`:`inner`,`type`:`x`}}}");

    HZ_ASSERT_STR_EQ(flow->nodes[0].id, "outer");
    hz_flow_free(&flow);
}

HZ_TEST(parse, old_names_of_connections_are_accepted)
{
    struct hz_flow *flow =
            parsed("{`nodes`:{`a`:{`type`:`x`},`b`:{`type`:`x`}},`connections`:["
                   "{`id_node_origin`:`a`,`output`:`o`,`id_node_destiny`:`b`,`input`:`i`},"
                   "{`idNodeOrigin`:`b`,`connectorOriginName`:`p`,`idNodeDestiny`:`a`,`connectorDestinyName`:`q`}]}");

    HZ_ASSERT_EQ(flow->link_count, 2);
    HZ_ASSERT_EQ(flow->links[0].origin, 0);
    HZ_ASSERT_EQ(flow->links[0].destiny, 1);
    HZ_ASSERT_STR_EQ(flow->links[0].output, "o");
    HZ_ASSERT_STR_EQ(flow->links[0].input, "i");
    HZ_ASSERT_EQ(flow->links[1].origin, 1);
    HZ_ASSERT_STR_EQ(flow->links[1].input, "q");
    hz_flow_free(&flow);
}

HZ_TEST(parse, new_names_win_over_old_ones)
{
    struct hz_flow *flow = parsed(
            "{`nodes`:{`a`:{`type`:`x`},`b`:{`type`:`x`}},`connections`:["
            "{`id_node_origin`:`b`,`idNodeOrigin`:`a`,`idNodeDestiny`:`b`,`connectorOriginName`:`o`,`output`:`p`,"
            "`connectorDestinyName`:`i`,`input`:`j`}]}");

    HZ_ASSERT_EQ(flow->links[0].origin, 0);
    HZ_ASSERT_STR_EQ(flow->links[0].output, "o");
    HZ_ASSERT_STR_EQ(flow->links[0].input, "i");
    hz_flow_free(&flow);
}

HZ_TEST(parse, missing_nodes_is_the_fatal_text_of_the_contract)
{
    check_findings(
            "{}", "flow.json: nodes: No se pudo leer el archivo flow.json (expected an object: node id to node)\n");
    check_findings("{`nodes`:null}",
            "flow.json: nodes: No se pudo leer el archivo flow.json (expected an object: node id to node)\n");
}

HZ_TEST(parse, null_or_missing_connections_are_empty)
{
    struct hz_flow *flow = parsed("{`nodes`:{},`connections`:null}");

    HZ_ASSERT_EQ(flow->link_count, 0);
    hz_flow_free(&flow);
}

HZ_TEST(parse, byte_order_mark_is_skipped)
{
    struct hz_flow *flow = parsed("\xef\xbb\xbf{`nodes`:{}}");

    hz_flow_free(&flow);
}

HZ_TEST(parse, several_errors_come_at_once)
{
    check_findings(
            "{`info`:7,`version`:3,`environment`:`A`,`nodes`:{`a`:5,`b`:{},`c`:{`type`:``,`meta`:[],`properties`:`x`}},"
            "`connections`:[4,{`idNodeOrigin`:5}]}",
            "flow.json: info: is a number (expected an object)\n"
            "flow.json: version: is a number (expected a string)\n"
            "flow.json: environment: is a string (expected an array of names)\n"
            "flow.json: node \"a\": is a number (expected an object)\n"
            "flow.json: node \"b\", type: is missing (expected the name of a node type)\n"
            "flow.json: node \"c\", type: is the text `` (expected the name of a node type)\n"
            "flow.json: node \"c\", properties: is the text `x` (expected an object)\n"
            "flow.json: node \"c\", meta: is an array (expected an object)\n"
            "flow.json: connections[0]: is a number (expected an object)\n"
            "flow.json: connections[1].idNodeOrigin: is a number (expected a string)\n");
}

HZ_TEST(parse, json_errors_have_line_and_column)
{
    check_findings("{\n  `nodes`: {\n    `a`: ,\n",
            "flow.json:3:10: unexpected token near ',' (expected JSON text in UTF-8)\n");
}

HZ_TEST(parse, columns_count_characters)
{
    check_findings("{`ñandú`: `\xff`}", "flow.json:1:12: byte 0xff is not UTF-8 (expected JSON text in UTF-8)\n");
}

HZ_TEST(parse, duplicate_keys_are_refused)
{
    size_t errors;
    const char text[] = "{\"nodes\":{},\n\"nodes\":{}}";
    char *findings = findings_of(text, strlen(text), &errors);

    HZ_ASSERT_EQ(errors, 1);
    HZ_ASSERT_STR_HAS(findings, "flow.json:2:");
    HZ_ASSERT_STR_HAS(findings, "duplicate object key");
    free(findings);
}

HZ_TEST(parse, not_an_object_and_empty_are_told_apart)
{
    check_findings(
            "[]", "flow.json: the file holds an array (expected a JSON object with `nodes` and `connections`)\n");
    check_findings(
            "\"x\"", "flow.json: the file holds a string (expected a JSON object with `nodes` and `connections`)\n");
    check_findings("", "flow.json: the file is empty (expected a JSON object with `nodes` and `connections`)\n");
}

HZ_TEST(parse, nesting_is_bounded_with_its_place)
{
    char *text = must_alloc(4096), *findings;
    size_t len = 0, errors;

    for (unsigned i = 0; i < HZ_FLOW_MAX_DEPTH + 1; i++)
        text[len++] = '[';
    findings = findings_of(text, len, &errors);
    HZ_ASSERT_STR_EQ(findings, "flow.json:1:101: nested deeper than 100 levels (expected JSON text in UTF-8)\n");
    free(findings);
    free(text);
}

HZ_TEST(parse, million_brackets_do_not_recurse)
{
    size_t len = 1000000, errors;
    char *text = must_alloc(len), *findings;

    memset(text, '{', len);
    findings = findings_of(text, len, &errors);
    HZ_ASSERT_EQ(errors, 1);
    free(findings);
    free(text);
}

HZ_TEST(parse, large_integers_become_doubles_and_infinite_ones_are_refused)
{
    struct hz_flow *flow = parsed("{`nodes`:{},`a`:123456789012345678901234567890,`b`:9007199254740993,`c`:"
                                  "9007199254740992,`d`:-12345678901234567890}");

    HZ_ASSERT_TRUE(json_is_real(json_object_get(hz_flow_json(flow), "a")));
    HZ_ASSERT_TRUE(json_is_real(json_object_get(hz_flow_json(flow), "b")));
    HZ_ASSERT_TRUE(json_is_integer(json_object_get(hz_flow_json(flow), "c")));
    HZ_ASSERT_DBL_EQ(json_real_value(json_object_get(hz_flow_json(flow), "d")), -12345678901234567890.0);
    hz_flow_free(&flow);
    check_findings("{`a`:1e999}", "flow.json:1:6: the number is too large (expected JSON text in UTF-8)\n");
    check_findings(
            "{`a`:\n -1111111111e4000}", "flow.json:2:2: the number is too large (expected JSON text in UTF-8)\n");
}

HZ_TEST(parse, lone_surrogates_become_replacement_characters)
{
    struct hz_flow *flow = parsed("{`nodes`:{},`a`:`x\\ud800y\\udc00\\ud83d\\ude00z`}");

    HZ_ASSERT_STR_EQ(
            json_string_value(json_object_get(hz_flow_json(flow), "a")), "x\xef\xbf\xbdy\xef\xbf\xbd\xf0\x9f\x98\x80z");
    hz_flow_free(&flow);
}

HZ_TEST(parse, bad_utf8_is_found_outside_of_strings_too)
{
    static const char *const bad[] = {
            "\xc0\x80", "\xed\xa0\x80", "\xf5\x80\x80\x80", "\xe0\x9f\xbf", "\xf0\x8f\xbf\xbf", "\x80", "\xe2\x82"};

    for (size_t i = 0; i < HZ_COUNT_OF(bad); i++) {
        char text[64], *findings;
        size_t errors;

        snprintf(text, sizeof(text), "{\"a\":\"%s\"}", bad[i]);
        findings = findings_of(text, strlen(text), &errors);
        HZ_ASSERT_STR_HAS(findings, "is not UTF-8");
        free(findings);
        snprintf(text, sizeof(text), "{%s}", bad[i]);
        findings = findings_of(text, strlen(text), &errors);
        HZ_ASSERT_STR_HAS(findings, "is not UTF-8");
        free(findings);
    }
}

HZ_TEST(parse, nul_in_names_is_refused_and_in_values_kept)
{
    struct hz_flow *flow = parsed("{`nodes`:{},`a`:`x\\u0000y`}");

    HZ_ASSERT_EQ(json_string_length(json_object_get(hz_flow_json(flow), "a")), 3);
    hz_flow_free(&flow);
    check_findings("{`nodes`:{},`info`:{`uid`:`a\\u0000b`}}",
            "flow.json: info.uid: holds a NUL character (expected text without NUL)\n");
}

HZ_TEST(parse, names_are_bounded)
{
    char *text = must_alloc(5000), *findings;
    size_t errors;
    int n = snprintf(
            text, 5000, "{\"nodes\":{\"a\":{\"type\":\"x\",\"name\":\"%02000d\"},\"%02000d\":{\"type\":\"x\"}}}", 7, 8);

    findings = findings_of(text, (size_t)n, &errors);
    HZ_ASSERT_EQ(errors, 2);
    HZ_ASSERT_STR_HAS(findings, "node \"a\", name: is no name:");
    HZ_ASSERT_STR_HAS(findings, "an id of at most 1024 bytes");
    free(findings);
    free(text);
}

HZ_TEST(parse, control_characters_do_not_reach_the_terminal)
{
    struct hz_flow_finding finding = {HZ_FLOW_ERROR, "a\x1b[31mb", "p\nq", "m\r", "", 0, 0};
    char *text = hz_flow_finding_text(&finding, "f\x07");

    HZ_ASSERT_STR_EQ(text, "f?: node \"a?[31mb\", p?q: m?");
    free(text);
}

HZ_TEST(parse, findings_are_bounded_but_all_errors_counted)
{
    struct hz_flow_report report = {0};

    for (unsigned i = 0; i < HZ_FLOW_MAX_FINDINGS + 50; i++)
        hz_flow_report_add(&report, HZ_FLOW_ERROR, "n", "p", "m", "e");
    HZ_ASSERT_EQ(report.count, HZ_FLOW_MAX_FINDINGS);
    HZ_ASSERT_EQ(report.errors, HZ_FLOW_MAX_FINDINGS + 50);
    hz_flow_report_fini(&report);
    HZ_ASSERT_EQ(report.count, 0);
}
