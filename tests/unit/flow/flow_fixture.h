/*
 * flow_fixture.h - what the tests of the flow library share: JSON with backticks instead of quotes, the catalogue of
 * tests/fixtures, a flow text around a few nodes, findings as one text.
 */
#ifndef HZ_TESTS_FLOW_FIXTURE_H
#define HZ_TESTS_FLOW_FIXTURE_H

#include "core/flow/flow.h"
#include "tests/harness.h"
#include "tests/unit/memory.h"
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define UNUSED __attribute__((unused))

/* The text with every backtick as a double quote; caller frees. */
UNUSED static char *quoted(const char *text)
{
    char *copy = must_copy(text);

    for (char *p = copy; *p; p++)
        if (*p == '`')
            *p = '"';
    return copy;
}

UNUSED static json_t *catalog(void)
{
    json_error_t error;
    json_t *loaded = json_load_file(hz_test_path("%s/tests/fixtures/catalog.json", hz_test_source_dir()), 0, &error);

    if (!loaded)
        HZ_FAIL("catalogue of the fixtures: line %d: %s", error.line, error.text);
    return loaded;
}

/* One compilation from beginning to end. */
struct outcome {
    struct hz_flow_report report;
    struct hz_flow *flow;
    struct hz_plan *plan;
    int parsed, compiled; /* codes; compiled is 1 if it was not tried */
    char *text;           /* all findings, one a line */
};

UNUSED static void outcome_free(struct outcome *outcome)
{
    hz_flow_report_fini(&outcome->report);
    hz_flow_free(&outcome->flow);
    free(outcome->plan);
    free(outcome->text);
    *outcome = (struct outcome){0};
}

UNUSED static void outcome_text(struct outcome *outcome)
{
    size_t len;
    FILE *out = must_open(&outcome->text, &len);

    for (size_t i = 0; i < outcome->report.count; i++) {
        char *line = hz_flow_finding_text(&outcome->report.findings[i], "flow.json");

        HZ_ASSERT_NOT_NULL(line);
        fprintf(out, "%s\n", line);
        free(line);
    }
    fclose(out);
}

UNUSED static struct outcome compile_bytes(const char *text, size_t len, bool strict)
{
    struct outcome outcome = {.compiled = 1};
    json_t *types = catalog();

    outcome.parsed = hz_flow_parse(text, len, &outcome.report, &outcome.flow);
    if (outcome.parsed == 0)
        outcome.compiled = hz_flow_compile(outcome.flow, types, strict, &outcome.report, &outcome.plan);
    json_decref(types);
    outcome_text(&outcome);
    return outcome;
}

/* Text with backticks. */
UNUSED static struct outcome compile_text(const char *text, bool strict)
{
    char *json = quoted(text);
    struct outcome outcome = compile_bytes(json, strlen(json), strict);

    free(json);
    return outcome;
}

/* A flow of a start node `S` and the nodes given as members (`,`A`:{...}`), with backticks. */
UNUSED static struct outcome compile_nodes(const char *nodes, const char *connections, bool strict)
{
    char *text = NULL;
    struct outcome outcome;

    HZ_ASSERT_TRUE(
            asprintf(&text, "{`nodes`:{`S`:{`type`:`workflow_init`}%s},`connections`:[%s]}", nodes, connections) > 0);
    outcome = compile_text(text, strict);
    free(text);
    return outcome;
}

UNUSED static const char *plan_text(const struct hz_plan *plan, struct hz_plan_text text)
{
    return hz_plan_chars(plan, text);
}

/* The tree of a property. */
UNUSED static const struct hz_plan_tree *prop_tree(const struct hz_plan *plan, uint32_t node, const char *key)
{
    uint32_t at = hz_plan_find_prop(plan, node, key, strlen(key));

    HZ_ASSERT_NE(at, UINT32_MAX);
    return hz_plan_tree(plan, hz_plan_prop(plan, hz_plan_node(plan, node)->first_prop + at)->tree);
}

/* The JSON of a constant property. */
UNUSED static const char *prop_const(const struct hz_plan *plan, uint32_t node, const char *key)
{
    const struct hz_plan_tree *tree = prop_tree(plan, node, key);

    HZ_ASSERT_EQ(tree->kind, HZ_TREE_CONST);
    return (const char *)plan + tree->a;
}

/* Asserts that something compiled; prints the findings otherwise. */
#define ASSERT_COMPILED(outcome)                                                                                       \
    do {                                                                                                               \
        if ((outcome).parsed != 0 || (outcome).compiled != 0)                                                          \
            HZ_FAIL("does not compile: %s", (outcome).text);                                                           \
    } while (0)

#endif
