/*
 * expression_fixture.h - what the tests of expressions share: a flow with one property under test, compiled for real,
 * and a scope with an input, one node that has run (Pedido), one that has not (Otro), and an environment.
 */
#ifndef HZ_TESTS_EXPRESSION_FIXTURE_H
#define HZ_TESTS_EXPRESSION_FIXTURE_H

#include "core/flow/flow.h"
#include "tests/harness.h"
#include "tests/unit/memory.h"
#include "worker/expression.h"
#include "worker/js.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define UNUSED __attribute__((unused))

/* The leak checker dies reading the thread-local storage of the engine's threads; it is told to leave that out. */
const char *__lsan_default_options(void);
__attribute__((used, visibility("default"))) const char *__lsan_default_options(void)
{
    return "use_tls=0";
}

/* So it does not see who holds the order of keys that each thread keeps; freed when a thread ends, the first never
 * does. */
const char *__lsan_default_suppressions(void);
__attribute__((used, visibility("default"))) const char *__lsan_default_suppressions(void)
{
    return "leak:order_find\nleak:hz_value_sort_keys\n";
}

enum { NODE_START, NODE_PEDIDO, NODE_OTRO, NODE_TEST };

struct bed {
    struct hz_plan *plan;
    struct hz_program *program;
    struct hz_scope scope;
    const hz_value *input, *env, *pedido, *meta;
    struct hz_js *js;
    unsigned failures;
    char failed[256], reason[512]; /* of the last failed evaluation */
};

UNUSED static bool bed_node(void *arg, uint32_t index, const hz_value **ret_data, const hz_value **ret_meta)
{
    struct bed *bed = arg;

    if (index != NODE_PEDIDO)
        return false;
    *ret_data = bed->pedido;
    *ret_meta = bed->meta;
    return true;
}

UNUSED static struct hz_js *bed_js(void *arg)
{
    return ((struct bed *)arg)->js;
}

UNUSED static void bed_failed(void *arg, const char *expression, size_t len, const char *reason)
{
    struct bed *bed = arg;

    bed->failures++;
    snprintf(bed->failed, sizeof(bed->failed), "%.*s", (int)len, expression);
    snprintf(bed->reason, sizeof(bed->reason), "%s", reason);
}

UNUSED static hz_value *value_of(const char *json)
{
    const char *error = "";
    hz_value *value = hz_value_parse(json, strlen(json), &error);

    if (!value)
        HZ_FAIL("`%s`: %s", json, error);
    return value;
}

/* The same with backticks instead of quotes. */
UNUSED static hz_value *value_of_ticks(const char *json)
{
    char *copy = must_copy(json);
    hz_value *value;

    for (char *p = copy; *p; p++)
        if (*p == '`')
            *p = '"';
    value = value_of(copy);
    free(copy);
    return value;
}

/* Flow: start, Pedido, Otro, and node `T` of type data_transformer whose property `mapping` is `property`. */
UNUSED static struct hz_plan *plan_of(const json_t *property)
{
    struct hz_flow_report report = {0};
    struct hz_flow *flow = NULL;
    struct hz_plan *plan = NULL;
    json_error_t error;
    json_t *catalog = json_load_file(hz_test_path("%s/tests/fixtures/catalog.json", hz_test_source_dir()), 0, &error);
    json_t *root = json_pack("{s:{s:{s:s},s:{s:s,s:s},s:{s:s,s:s},s:{s:s,s:{s:O}}}}", "nodes", "s", "type",
            "workflow_init", "p", "type", "delay", "name", "Pedido", "o", "type", "delay", "name", "Otro", "t", "type",
            "data_transformer", "properties", "mapping", property);
    char *text = json_dumps(root, 0);
    int code = hz_flow_parse(text, strlen(text), &report, &flow);

    if (code == 0)
        code = hz_flow_compile(flow, catalog, false, &report, &plan);
    if (code != 0)
        HZ_FAIL("%s: %s", text, report.count > 0 ? report.findings[0].message : "?");
    hz_flow_report_fini(&report);
    hz_flow_free(&flow);
    json_decref(catalog);
    json_decref(root);
    free(text);
    return plan;
}

#define BED_INPUT                                                                                                      \
    "{`n`:5,`s`:`h\xc3\xa9llo\xf0\x9f\x98\x80`,`e`:``,`z`:0,`neg`:-3.5,`t`:true,`f`:false,`nul`:null,`arr`:[1,`2`,[3," \
    "4],{`k`:`v`},"                                                                                                    \
    "null],`empty`:[],`obj`:{`a`:{`b`:{`c`:7}},`0`:`zero`,`length`:3},`num`:`12`,`sp`:` 12 "                           \
    "`,`hex`:`0x1F`,`big`:1e21,`small`:1e-7,"                                                                          \
    "`word`:`abc`,`user`:{`name`:`Ana`,`age`:30},`k`:`n`,`i`:2,`single`:[5],`nested`:[[[`x`]]],`ts`:{`toString`:1},"   \
    "`q`:`a\\`b\\\\c\\nd`,`json`:`{\\`x\\`:[1,2]}`,`tiny`:0.1,`int`:9007199254740991,`_id`:`u`,`$x`:1,`list`:[{`id`:"  \
    "1},{`id`:2}]}"

UNUSED static void bed_open(struct bed *bed, const json_t *property, struct hz_js *js)
{
    *bed = (struct bed){.plan = plan_of(property), .js = js};
    HZ_ASSERT_OK(hz_program_new(bed->plan, &bed->program));
    bed->input = value_of_ticks(BED_INPUT);
    bed->env = value_of_ticks("{`HOME`:`/casa`,`N`:`7`}");
    bed->pedido = value_of_ticks("{`total`:120,`pais`:`ES`,`items`:[{`p`:1.5},{`p`:2}],`vacio`:null}");
    bed->meta = value_of_ticks("{`key`:`m`}");
    bed->scope = (struct hz_scope){.input_node = "s",
            .input_name = "input",
            .input_data = bed->input,
            .node = bed_node,
            .arg = bed,
            .env = bed->env,
            .js = bed_js,
            .failed = bed_failed};
}

UNUSED static void bed_close(struct bed *bed)
{
    hz_program_free(&bed->program);
    free(bed->plan);
    hz_value_unref(bed->input);
    hz_value_unref(bed->env);
    hz_value_unref(bed->pedido);
    hz_value_unref(bed->meta);
}

/* One expression as the whole value. */
UNUSED static void bed_open_expr(struct bed *bed, const char *expression, struct hz_js *js)
{
    json_t *property = json_pack("{s:s,s:{s:b}}", "value", expression, "evaluation", "all", 1);

    HZ_ASSERT_NOT_NULL(property);
    bed_open(bed, property, js);
    json_decref(property);
    HZ_ASSERT_EQ(bed->plan->expr_count, 1);
}

/* JSON of a value, `undefined`, or `!` and the reason. Caller frees. */
UNUSED static char *shown(const hz_value *value, const char *error)
{
    struct hz_buffer text = {0};

    if (!value) {
        hz_buffer_add(&text, "!", 1);
        hz_buffer_add(&text, error ? error : "?", strlen(error ? error : "?"));
    } else if (hz_value_type(value) == HZ_UNDEFINED) {
        hz_buffer_add(&text, "undefined", strlen("undefined"));
    } else if (hz_value_type(value) == HZ_NUMBER) {
        hz_value_print_text(&text, value); /* NaN and Infinity by name */
    } else {
        hz_value_print(&text, value);
    }
    HZ_ASSERT_FALSE(text.failed);
    hz_value_unref(value);
    return text.data;
}

#endif
