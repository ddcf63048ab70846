/* test_expression.c - expressions and templates as nodes see them: both engines agree, results are JavaScript's, the
 * rules for text, JSON and failures are those of flows. */
#include "expression_fixture.h"
#include "shm/err.h"
#include <math.h>
#include <pthread.h>

static struct hz_js *js;

HZ_SUITE_INIT(expression)
{
    HZ_ASSERT_OK(hz_value_init());
    HZ_ASSERT_OK(hz_js_new(false, 1000, &js));
}

HZ_SUITE_CLEANUP(expression)
{
    hz_js_free(&js);
}

/* Both engines, told apart by nothing but the switch. `native`: what the compiler must have made of it. */
static void check_agree(const char *expression, bool native, const char *wanted)
{
    struct bed bed;
    const char *error = NULL;
    char *by_machine, *by_script;
    const hz_value *value;

    bed_open_expr(&bed, expression, js);
    if ((hz_plan_expr(bed.plan, 0)->kind == HZ_EXPR_NATIVE) != native)
        HZ_FAIL("`%s` is %snative", expression, native ? "not " : "");
    value = hz_program_expr(bed.program, 0, &bed.scope, false, &error);
    by_machine = shown(value, error);
    value = hz_program_expr(bed.program, 0, &bed.scope, true, &error);
    by_script = shown(value, error);
    if (strcmp(by_machine, by_script) != 0)
        HZ_FAIL("`%s`: machine `%s`, script `%s`", expression, by_machine, by_script);
    if (wanted && strcmp(by_machine, wanted) != 0)
        HZ_FAIL("`%s`: `%s`, wanted `%s`", expression, by_machine, wanted);
    HZ_ASSERT_TRUE(true);
    free(by_machine);
    free(by_script);
    bed_close(&bed);
}

struct expected {
    const char *expression, *result;
};

HZ_TEST(expression, values_are_those_of_javascript)
{
    static const struct expected cases[] = {{"input.data.user.name", "\"Ana\""}, {"input.idNode", "\"s\""},
            {"input.inputName", "\"input\""}, {"input.data.n + 1", "6"}, {"input.data.missing", "undefined"},
            {"input.data.nul", "null"}, {"input.data.arr[1]", "\"2\""}, {"input.data.arr[9]", "undefined"},
            {"input.data.arr[-1]", "undefined"}, {"input.data.arr['0']", "1"}, {"input.data.arr['00']", "undefined"},
            {"input.data.arr[1.5]", "undefined"}, {"input.data.arr.length", "5"}, {"input.data.s.length", "7"},
            {"input.data.s[1]", "\"\xc3\xa9\""}, {"input.data.s['0']", "\"h\""}, {"input.data.s[99]", "undefined"},
            {"input.data.obj[0]", "\"zero\""}, {"input.data.obj.length", "3"}, {"input.data.obj.a.b.c", "7"},
            {"input.data[input.data.k]", "5"}, {"Pedido.data.total", "120"}, {"Pedido.meta.key", "\"m\""},
            {"Pedido.other", "undefined"}, {"env.HOME", "\"/casa\""}, {"env.NADA", "undefined"}, {"env.N * 2", "14"},
            {"input.data.total", "undefined"}, {"1 / 0", "Infinity"}, {"-1 / 0", "-Infinity"}, {"0 / 0", "NaN"},
            {"7 % 3", "1"}, {"-7 % 3", "-1"}, {"7 % -3", "1"}, {"5.5 % 2", "1.5"}, {"0.1 + 0.2", "0.30000000000000004"},
            {"1e21 + 1", "1e+21"}, {"'a' + 1", "\"a1\""}, {"1 + '2'", "\"12\""}, {"'3' * '4'", "12"}, {"'3' - 1", "2"},
            {"true + 1", "2"}, {"null + 1", "1"}, {"undefined + 1", "NaN"}, {"'a' - 1", "NaN"},
            {"'' + null", "\"null\""}, {"'' + undefined", "\"undefined\""}, {"'' + true", "\"true\""},
            {"'' + 1.5", "\"1.5\""}, {"'' + input.data.arr", "\"1,2,3,4,[object Object],\""},
            {"'' + input.data.user", "\"[object Object]\""}, {"input.data.empty + 1", "\"1\""},
            {"input.data.single * 2", "10"}, {"+input.data.num", "12"}, {"+input.data.sp", "12"},
            {"+input.data.hex", "31"}, {"+input.data.e", "0"}, {"+input.data.word", "NaN"}, {"-input.data.num", "-12"},
            {"+input.data.nul", "0"}, {"+input.data.user", "NaN"}, {"+input.data.nested", "NaN"},
            {"typeof input.data.n", "\"number\""}, {"typeof input.data.s", "\"string\""},
            {"typeof input.data.nul", "\"object\""}, {"typeof input.data.arr", "\"object\""},
            {"typeof input.data.zz", "\"undefined\""}, {"typeof true", "\"boolean\""}, {"typeof Otro", "\"undefined\""},
            {"typeof Pedido", "\"object\""}, {"typeof input", "\"object\""}, {"!input.data.z", "true"},
            {"!input.data.e", "true"}, {"!input.data.empty", "false"}, {"!!input.data.user", "true"},
            {"!(0 / 0)", "true"}, {"1 < 2", "true"}, {"'10' < '9'", "true"}, {"'10' < 9", "false"},
            {"null >= 0", "true"}, {"undefined >= 0", "false"}, {"undefined < 1", "false"}, {"'a' < 1", "false"},
            {"'a' >= 1", "false"}, {"'\\uffff' < '\\ud83d\\ude00'", "false"}, {"'a' < 'ab'", "true"},
            {"'Z' < 'a'", "true"}, {"input.data.single > 4", "true"}, {"1 == '1'", "true"}, {"1 === '1'", "false"},
            {"null == undefined", "true"}, {"null === undefined", "false"}, {"null == 0", "false"}, {"'' == 0", "true"},
            {"'0' == false", "true"}, {"true == 1", "true"}, {"true == '1'", "true"},
            {"input.data.single == 5", "true"}, {"input.data.single == '5'", "true"},
            {"input.data.user == '[object Object]'", "true"}, {"0 / 0 == 0 / 0", "false"}, {"0 === -0", "true"},
            {"input.data.user === input.data.user", "true"}, {"input.data.user == input.data.arr", "false"},
            {"input === input", "true"}, {"Pedido.data === Pedido.data", "true"}, {"Pedido === input", "false"},
            {"Pedido == Pedido", "true"}, {"1 != '1'", "false"}, {"1 !== '1'", "true"},
            {"input.data.e || 'd'", "\"d\""}, {"input.data.z ?? 'd'", "0"}, {"input.data.nul ?? 'd'", "\"d\""},
            {"input.data.zz ?? input.data.nul ?? 3", "3"}, {"input.data.n && input.data.s.length", "7"},
            {"0 && 1 || 2", "2"}, {"1 || 0 && 0", "1"}, {"input.data.t ? 'si' : 'no'", "\"si\""},
            {"input.data.e ? 1 : input.data.z ? 2 : 3", "3"}, {"input.data.zz?.a.b.c", "undefined"},
            {"input.data.nul?.a", "undefined"}, {"input.data.user?.name", "\"Ana\""},
            {"input.data.zz?.[0].x", "undefined"}, {"input.data.arr?.[3].k", "\"v\""},
            {"input.data.user?.['name']", "\"Ana\""}, {"(input.data.zz?.a)?.b", "undefined"},
            {"input.data.big", "1e+21"}, {"input.data.small", "1e-7"}, {"input.data.int + 0", "9007199254740991"},
            {"input.data.int + 2", "9007199254740992"}, {"input.data._id + input.data.$x", "\"u1\""},
            {"input.data['user']['age'] > 18", "true"}, {"(1 + 2) * 3 - -4", "13"}, {"2 + 3 + '5' + 2 + 3", "\"5523\""},
            {"'5' + 3 - 2", "51"}, {"'b' + 'a' + +'a' + 'a'", "\"baNaNa\""}, {"input.data.arr[2][1]", "4"},
            {"input.data.list[input.data.i - 1].id", "2"}, {"input.data.q", "\"a\\\"b\\\\c\\nd\""},
            {"input.data.arr[input.data.nul]", "undefined"}, {"input.data.obj[input.data.z]", "\"zero\""},
            {"input.data.obj[input.data.f]", "undefined"}, {"input.data.nested + ''", "\"x\""},
            {"input.data.n[0]", "undefined"}, {"input.data.t.x", "undefined"}, {"true && null", "null"},
            {"undefined", "undefined"}, {"NaN", "NaN"}, {"'\\x41\\u00e9\\n'", "\"A\xc3\xa9\\n\""}, {"''", "\"\""}};

    for (size_t i = 0; i < HZ_COUNT_OF(cases); i++)
        check_agree(cases[i].expression, true, cases[i].result);
}

HZ_TEST(expression, the_helper_length_agrees_with_its_script)
{
    static const struct expected cases[] = {{"_length(input.data.s)", "7"}, {"_length('')", "0"},
            {"_length(input.data.arr)", "5"}, {"_length(input.data.user)", "2"}, {"_length(3.5)", "3.5"},
            {"_length(true)", "0"}, {"_length(input)", "3"}, {"_length(Pedido)", "2"}, {"_length(env) + 1", "3"},
            {"_length(input.data.empty)", "0"}, {"_length(input.data.zz.y)", NULL}, {"_length(Otro)", NULL}};
    struct bed bed;
    const char *error = NULL;

    for (size_t i = 0; i < HZ_COUNT_OF(cases); i++)
        check_agree(cases[i].expression, true, cases[i].result);
    bed_open_expr(&bed, "1 + _length(input.data.zz)", js);
    HZ_ASSERT_NULL(hz_program_expr(bed.program, 0, &bed.scope, true, &error));
    HZ_ASSERT_NULL(hz_program_expr(bed.program, 0, &bed.scope, false, &error));
    HZ_ASSERT_STR_EQ(error, "TypeError: undefined is not an object (evaluating '_length(input.data.zz)')");
    bed_close(&bed);
}

HZ_TEST(expression, whole_objects_and_arrays_come_through)
{
    check_agree("input.data.user", true, "{\"name\":\"Ana\",\"age\":30}");
    check_agree("input.data.arr", true, "[1,\"2\",[3,4],{\"k\":\"v\"},null]");
    check_agree("Pedido.data.items", true, "[{\"p\":1.5},{\"p\":2}]");
    check_agree("env", true, "{\"HOME\":\"/casa\",\"N\":\"7\"}");
    check_agree("Pedido", true,
            "{\"data\":{\"total\":120,\"pais\":\"ES\",\"items\":[{\"p\":1.5},{\"p\":2}],\"vacio\":null},\"meta\":{"
            "\"key\":\"m\"}}");
    check_agree("input", true, NULL);
    check_agree("input.data", true, NULL);
}

HZ_TEST(expression, errors_are_worded_as_javascriptcore_words_them)
{
    static const struct expected cases[] = {
            {"input.data.zz.y", "!TypeError: undefined is not an object (evaluating 'input.data.zz.y')"},
            {"input.data.nul.y.z + 1", "!TypeError: null is not an object (evaluating 'input.data.nul.y')"},
            {"(input.data.nul).y", "!TypeError: null is not an object (evaluating '(input.data.nul).y')"},
            {"input.data.zz[\"k\"]", "!TypeError: undefined is not an object (evaluating 'input.data.zz[\"k\"]')"},
            {"input.data.zz[input.data.n]",
                    "!TypeError: undefined is not an object (evaluating 'input.data.zz[input.data.n]')"},
            {"1 + input.data.zz.y * 2", "!TypeError: undefined is not an object (evaluating 'input.data.zz.y')"},
            {"input . data . zz . y", "!TypeError: undefined is not an object (evaluating 'input . data . zz . y')"},
            {"(input.data.zz ?? null)[0]",
                    "!TypeError: null is not an object (evaluating '(input.data.zz ?? null)[0]')"},
            {"undefined.x", "!TypeError: undefined is not an object (evaluating 'undefined.x')"},
            {"\"abc\".x.y", "!TypeError: undefined is not an object (evaluating '\"abc\".x.y')"},
            {"env.NADA.length", "!TypeError: undefined is not an object (evaluating 'env.NADA.length')"},
            {"Pedido.zz.y.z", "!TypeError: undefined is not an object (evaluating 'Pedido.zz.y')"},
            {"input.data.t && input.data.zz.y",
                    "!TypeError: undefined is not an object (evaluating 'input.data.zz.y')"},
            {"Otro.data", "!ReferenceError: Can't find variable: Otro"},
            {"1 + Otro", "!ReferenceError: Can't find variable: Otro"},
            {"Otro?.data", "!ReferenceError: Can't find variable: Otro"},
            {"typeof Otro.data", "!ReferenceError: Can't find variable: Otro"},
            {"input.data.ts + ''", "!TypeError: No default value"},
            {"input.data.ts * 1", "!TypeError: No default value"},
            {"input.data.ts == 'a'", "!TypeError: No default value"},
            {"(input.data.zz?.a).b", "!TypeError: undefined is not an object (evaluating '(input.data.zz?.a).b')"}};

    for (size_t i = 0; i < HZ_COUNT_OF(cases); i++)
        check_agree(cases[i].expression, true, cases[i].result);
}

HZ_TEST(expression, scripts_see_input_env_and_the_nodes_that_have_run)
{
    static const struct expected cases[] = {{"input.data.list.map(x => x.id * 10)", "[10,20]"},
            {"`hola ${input.data.user.name}`", "\"hola Ana\""},
            {"Pedido.data.items.reduce((a, x) => a + x.p, 0)", "3.5"}, {"Math.max(1, input.data.n)", "5"},
            {"_length([...input.data.s])", "6"}, {"Object.keys(env).length", "2"},
            {"[1, 2].concat(Pedido.data.total)", "[1,2,120]"}, {"({a: input.data.n})", "{\"a\":5}"},
            {"Otro.data.x()", "!ReferenceError: Can't find variable: Otro"},
            {"typeof (0 || Otro)", "!ReferenceError: Can't find variable: Otro"},
            {"Nadie.data.f()", "!ReferenceError: Can't find variable: Nadie"}, {"((x) => x)(undefined)", "undefined"},
            {"input.data.s.toUpperCase().length", "7"},
            {"JSON.stringify(input.data.user)", "\"{\\\"name\\\":\\\"Ana\\\",\\\"age\\\":30}\""},
            {"new Map([[1, 2]]).get(1)", "2"}, {"2 ** 10", "1024"}, {"input.data?.user?.name?.at(0)", "\"A\""}};

    for (size_t i = 0; i < HZ_COUNT_OF(cases); i++)
        check_agree(cases[i].expression, false, cases[i].result);
}

HZ_TEST(expression, members_that_only_prototypes_have_are_javascripts_business)
{
    check_agree("typeof input.data.arr.values", true, "\"function\"");
    check_agree("typeof input.data.s.link", true, "\"function\"");
    check_agree("typeof input.data.n.toFixed", true, "\"function\"");
    check_agree("input.data.user.values", true, "undefined");
    check_agree("input.data.user[input.data.word + 'toString']", true, "undefined");
    check_agree("typeof input.data.user['to' + 'String']", true, "\"function\"");
    check_agree("input.data.s[5]", true, NULL); /* half of a pair */
}

HZ_TEST(expression, a_nul_is_refused_by_both_engines)
{
    static const char expression[] = "input.data.n + 'a\0b'";
    json_t *property = json_pack("{s:o,s:{s:b}}", "value", json_stringn(expression, sizeof(expression) - 1), "evaluation", "all", 1);
    struct bed bed;
    const char *error = NULL;

    bed_open(&bed, property, js);
    HZ_ASSERT_NULL(hz_program_expr(bed.program, 0, &bed.scope, false, &error));
    HZ_ASSERT_STR_EQ(error, "SyntaxError: the expression holds bytes that are not text");
    HZ_ASSERT_NULL(hz_program_expr(bed.program, 0, &bed.scope, true, &error));
    json_decref(property);
    bed_close(&bed);
}

HZ_TEST(expression, without_javascript_plain_expressions_still_run)
{
    struct bed bed;
    const char *error = NULL;
    const hz_value *value;
    char *text;

    bed_open_expr(&bed, "input.data.n * 2", NULL);
    value = hz_program_expr(bed.program, 0, &bed.scope, false, &error);
    text = shown(value, error);
    HZ_ASSERT_STR_EQ(text, "10");
    free(text);
    bed_close(&bed);
    bed_open_expr(&bed, "f(1)", NULL);
    value = hz_program_expr(bed.program, 0, &bed.scope, false, &error);
    HZ_ASSERT_NULL(value);
    HZ_ASSERT_STR_HAS(error, "needs JavaScript");
    bed_close(&bed);
}

/* ---- templates ---- */

/* The value of the property in this bed, as text; failures are counted in the bed. */
static char *params_of(struct bed *bed)
{
    const hz_value *values[2] = {NULL, NULL};
    uint32_t at = hz_plan_find_prop(bed->plan, NODE_TEST, "mapping", strlen("mapping"));
    int failed = hz_program_params(bed->program, NODE_TEST, &bed->scope, values);

    HZ_ASSERT_EQ(hz_plan_node(bed->plan, NODE_TEST)->prop_count, 2);
    HZ_ASSERT_GE(failed, 0);
    HZ_ASSERT_EQ(failed, bed->failures);
    hz_value_unref(values[1 - at]);
    return shown(values[at], "?");
}

static void check_template(const char *property_ticks, const char *wanted)
{
    struct bed bed;
    char *ticks = must_copy(property_ticks), *text;
    json_error_t error;
    json_t *property;

    for (char *p = ticks; *p; p++)
        if (*p == '`')
            *p = '"';
    property = json_loads(ticks, 0, &error);
    if (!property)
        HZ_FAIL("%s: %s", ticks, error.text);
    bed_open(&bed, property, js);
    text = params_of(&bed);
    if (strcmp(text, wanted) != 0)
        HZ_FAIL("%s gives `%s`, wanted `%s` (%s)", ticks, text, wanted, bed.reason);
    HZ_ASSERT_TRUE(true);
    free(text);
    free(ticks);
    json_decref(property);
    bed_close(&bed);
}

HZ_TEST(expression, one_expression_alone_keeps_objects_arrays_and_null)
{
    check_template("{`value`:`{{input.data.user}}`}", "{\"name\":\"Ana\",\"age\":30}");
    check_template("{`value`:`{{input.data.empty}}`}", "[]");
    check_template("{`value`:`{{input.data.nul}}`}", "null");
    check_template("{`value`:`{{input.data.list.map(x => x.id)}}`}", "[1,2]");
}

HZ_TEST(expression, text_of_a_value_is_parsed_if_it_parses)
{
    check_template("{`value`:`{{input.data.num}}`}", "12");
    check_template("{`value`:`{{input.data.json}}`}", "{\"x\":[1,2]}");
    check_template("{`value`:`{{input.data.t}}`}", "true");
    check_template("{`value`:`{{'tr' + 'ue'}}`}", "true");
    check_template("{`value`:`{{input.data.word}}`}", "\"abc\"");
    check_template("{`value`:`{{input.data.hex}}`}", "\"0x1F\"");
    check_template("{`value`:`{{input.data.sp}}`}", "12");
    check_template("{`value`:`{{input.data.missing}}`}", "\"\"");
    check_template("{`value`:`{{input.data.big}}`}", "1e+21");
    check_template("{`value`:`{{1 / 0}}`}", "\"Infinity\"");
    check_template("{`value`:`{{0 / 0}}`}", "\"NaN\"");
    check_template("{`value`:`{{0 * -1}}`}", "0");
    check_template("{`value`:`{{input.data.n}}{{input.data.n}}`}", "55");
    check_template("{`value`:`{{input.data.n}} kg`}", "\"5 kg\"");
    check_template("{`value`:`[{{input.data.n}},{{input.data.i}}]`}", "[5,2]");
    check_template("{`value`:`[{{input.data.n}},`}", "\"[5,\"");
    check_template("{`value`:`nul{{'l'}}`}", "null");
    check_template("{`value`:`{{'{'}}`}", "\"{\"");
    check_template("{`value`:`{{'\\\\u00a012'}}`}", "\"\xc2\xa0"
                                                    "12\"");
}

HZ_TEST(expression, text_in_place_follows_the_kind_of_value)
{
    check_template("{`value`:`a {{input.data.user}} b`}", "\"a {\\\"name\\\":\\\"Ana\\\",\\\"age\\\":30} b\"");
    check_template("{`value`:`a {{input.data.arr}} b`}", "\"a [1,\\\"2\\\",[3,4],{\\\"k\\\":\\\"v\\\"},null] b\"");
    check_template("{`value`:`a {{input.data.nul}} b`}", "\"a null b\"");
    check_template("{`value`:`a {{input.data.missing}} b`}", "\"a  b\"");
    check_template("{`value`:`a {{input.data.f}} {{input.data.neg}} {{input.data.small}} {{input.data.s}}`}",
            "\"a false -3.5 1e-7 h\xc3\xa9llo\xf0\x9f\x98\x80\"");
    check_template("{`value`:`x{{env}}`}", "\"x{\\\"HOME\\\":\\\"/casa\\\",\\\"N\\\":\\\"7\\\"}\"");
}

HZ_TEST(expression, json_text_escapes_inside_its_strings_only)
{
    check_template("{`value`:`{\\`a\\`: \\`<{{input.data.q}}>\\`}`}", "{\"a\":\"<a\\\"b\\\\c\\nd>\"}");
    check_template("{`value`:`{\\`a\\`: \\`{{input.data.user}}\\`}`}",
            "{\"a\":\"{\\\"name\\\":\\\"Ana\\\",\\\"age\\\":30}\"}");
    check_template("{`value`:`{\\`a\\`: {{input.data.user}}, \\`b\\`: {{input.data.n + 1}}}`}",
            "{\"a\":{\"name\":\"Ana\",\"age\":30},\"b\":6}");
    check_template("{`value`:`{\\`a\\`: {{input.data.json}}}`}", "{\"a\":{\"x\":[1,2]}}");
    check_template("{`value`:`{\\`a\\`: {{input.data.num}}}`}", "{\"a\":12}");
    check_template("{`value`:`{\\`{{input.data.q}}\\`: 1}`}", "{\"a\\\"b\\\\c\\nd\":1}");
    check_template("{`value`:`<{{input.data.q}}>`}", "\"<a\\\"b\\\\c\\nd>\"");
    check_template("{`value`:`{\\`a\\`: {{input.data.word}}}`}", "\"{\\\"a\\\": abc}\"");
    check_template("{`value`:`{\\`a\\`: {{input.data.missing}}}`}", "\"{\\\"a\\\": }\"");
    check_template("{`value`:`{\\`a\\`: {{1 / 0}}}`}", "\"{\\\"a\\\": Infinity}\"");
    check_template("{`value`:`{\\`a\\`: {{0 * -1}}, \\`b\\`: {{input.data.t}}, \\`c\\`: {{input.data.nul}}}`}",
            "{\"a\":0,\"b\":true,\"c\":null}");
    check_template(
            "{`value`:`{ {{'\\`z\\`: 1,'}} \\`a\\`: \\`{{input.data.q}}\\`}`}", "{\"z\":1,\"a\":\"a\\\"b\\\\c\\nd\"}");
    check_template("{`value`:`{\\`a\\`: 1, \\`a\\`: {{input.data.n}}}`}", "{\"a\":5}");
    check_template("{`value`:`{\\`a\\`: {{input.data.word}}, \\`a\\`: 1}`}", "\"{\\\"a\\\": abc, \\\"a\\\": 1}\"");
    check_template("{`value`:`{\\`a\\`: {{input.data.obj}}, \\`b\\`: \\`{{input.data.s}} \\\\u0041\\`}`}",
            "{\"a\":{\"0\":\"zero\",\"a\":{\"b\":{\"c\":7}},\"length\":3},\"b\":\"h\xc3\xa9llo\xf0\x9f\x98\x80 A\"}");
}

HZ_TEST(expression, only_the_key_value_is_parsed)
{
    check_template("{`value`:{`x`:`{{input.data.num}}`,`value`:`{{input.data.num}}`,`z`:`{{input.data.n}}`,`o`:`{{"
                   "input.data.user}}`}}",
            "{\"x\":\"12\",\"value\":12,\"z\":\"5\",\"o\":{\"name\":\"Ana\",\"age\":30}}");
    check_template("{`value`:[`{{input.data.num}}`,{`value`:`{{input.data.t}}`}]}", "[\"12\",{\"value\":true}]");
}

HZ_TEST(expression, evaluation_flags_are_obeyed_in_nested_properties)
{
    check_template("{`value`:[{`name`:{`value`:`c_{{index}}`,`evaluation`:{`active`:false}},"
                   "`condition`:{`value`:`input.data.n > "
                   "4`,`evaluation`:{`all`:true}},`value`:{`value`:`{{input.data.n}}`}}]}",
            "[{\"name\":{\"value\":\"c_{{index}}\",\"evaluation\":{\"active\":false}},\"condition\":{\"value\":true,"
            "\"evaluation\":"
            "{\"all\":true}},\"value\":{\"value\":5}}]");
}

HZ_TEST(expression, falsy_results_are_results)
{
    check_template("{`value`:`{{input.data.z}}`}", "0");
    check_template("{`value`:`{{input.data.f}}`}", "false");
    check_template("{`value`:`{{input.data.e}}`}", "\"\"");
    check_template("{`value`:false}", "false");
    check_template("{`value`:0}", "0");
    check_template("{`value`:``}", "\"\"");
    check_template("{`value`:null}", "null");
}

HZ_TEST(expression, failure_makes_the_whole_string_undefined)
{
    struct bed bed;
    json_t *property = json_pack("{s:s}", "value", "a {{input.data.n}} {{input.data.zz.y}} {{Otro.data}}");
    char *text;

    bed_open(&bed, property, js);
    text = params_of(&bed);
    HZ_ASSERT_STR_EQ(text, "undefined");
    HZ_ASSERT_EQ(bed.failures, 1);
    HZ_ASSERT_STR_EQ(bed.failed, "input.data.zz.y");
    HZ_ASSERT_STR_EQ(bed.reason, "TypeError: undefined is not an object (evaluating 'input.data.zz.y')");
    free(text);
    json_decref(property);
    bed_close(&bed);
}

HZ_TEST(expression, failed_members_are_absent_and_failed_elements_null)
{
    struct bed bed;
    json_t *property =
            json_pack("{s:{s:s,s:[s,s],s:i}}", "value", "a", "{{Otro.data}}", "b", "{{1}}", "{{Otro.x}}", "c", 3);
    char *text;

    bed_open(&bed, property, js);
    text = params_of(&bed);
    HZ_ASSERT_STR_EQ(text, "{\"b\":[\"1\",null],\"c\":3}");
    HZ_ASSERT_EQ(bed.failures, 2);
    free(text);
    json_decref(property);
    bed_close(&bed);
}

HZ_TEST(expression, script_failures_name_their_reason)
{
    struct bed bed;
    json_t *property = json_pack("{s:s}", "value", "{{_keys(input.data.zz)}}");
    char *text;

    bed_open(&bed, property, js);
    text = params_of(&bed);
    HZ_ASSERT_STR_EQ(text, "undefined");
    HZ_ASSERT_STR_HAS(bed.reason, "TypeError");
    free(text);
    json_decref(property);
    bed_close(&bed);
}

HZ_TEST(expression, endless_scripts_end_with_the_time_limit)
{
    struct hz_js *impatient;
    struct bed bed;
    json_t *property = json_pack("{s:s}", "value", "{{(() => { for (;;); })()}}");
    char *text;

    HZ_ASSERT_OK(hz_js_new(false, 50, &impatient));
    bed_open(&bed, property, impatient);
    text = params_of(&bed);
    HZ_ASSERT_STR_EQ(text, "undefined");
    HZ_ASSERT_STR_HAS(bed.reason, "time limit of 50 ms");
    free(text);
    json_decref(property);
    bed_close(&bed);
    hz_js_free(&impatient);
}

HZ_TEST(expression, constants_are_shared_not_copied)
{
    struct bed bed;
    json_t *property = json_pack("{s:s}", "value", "{\"a\": [1]}");
    const hz_value *first[2], *second[2];

    bed_open(&bed, property, js);
    HZ_ASSERT_EQ(hz_program_params(bed.program, NODE_TEST, &bed.scope, first), 0);
    HZ_ASSERT_EQ(hz_program_params(bed.program, NODE_TEST, &bed.scope, second), 0);
    HZ_ASSERT_TRUE(first[0] == second[0] && first[1] == second[1]);
    for (unsigned i = 0; i < 2; i++) {
        hz_value_unref(first[i]);
        hz_value_unref(second[i]);
    }
    json_decref(property);
    bed_close(&bed);
}

HZ_TEST(expression, log_texts_are_plain_text)
{
    struct hz_flow_report report = {0};
    struct hz_flow *flow;
    struct hz_plan *plan;
    struct hz_program *program;
    struct bed bed;
    struct hz_buffer text = {0};
    json_t *none = json_pack("{s:s}", "value", "");
    json_t *catalog = json_object();
    const char *json = "{\"nodes\":{\"S\":{\"type\":\"workflow_init\",\"meta\":{\"logs\":{\"start\":{\"type\":\"info\","
                       "\"value\":\"n={{input.data.n}} "
                       "{{input.data.user}}\"},\"exec\":{\"type\":\"warn\",\"value\":\"{{input.data.zz.y}}\"}}}}}}";

    bed_open(&bed, none, js);
    HZ_ASSERT_OK(hz_flow_parse(json, strlen(json), &report, &flow));
    HZ_ASSERT_OK(hz_flow_compile(flow, catalog, false, &report, &plan));
    HZ_ASSERT_OK(hz_program_new(plan, &program));
    hz_buffer_add(&text, ">", 1);
    HZ_ASSERT_EQ(hz_program_text(program, hz_plan_node(plan, 0)->log_start.tree, &bed.scope, &text), 0);
    HZ_ASSERT_STR_EQ(text.data, ">n=5 {\"name\":\"Ana\",\"age\":30}");
    HZ_ASSERT_EQ(hz_program_text(program, hz_plan_node(plan, 0)->log_exec.tree, &bed.scope, &text), 1);
    HZ_ASSERT_STR_EQ(text.data, ">n=5 {\"name\":\"Ana\",\"age\":30}");
    hz_buffer_fini(&text);
    hz_program_free(&program);
    free(plan);
    hz_flow_free(&flow);
    hz_flow_report_fini(&report);
    json_decref(catalog);
    json_decref(none);
    bed_close(&bed);
}

HZ_TEST(expression, wrapping_the_message_in_every_turn_ends_in_text_not_in_a_crash)
{
    struct bed bed;
    json_t *property = json_pack("{s:s}", "value", "{\"a\": {{input.data}}}");
    const hz_value *values[2];
    unsigned turns = 0;

    bed_open(&bed, property, js);
    do {
        HZ_ASSERT_EQ(hz_program_params(bed.program, NODE_TEST, &bed.scope, values) < 0, false);
        hz_value_unref(bed.input);
        hz_value_unref(values[1]);
        bed.input = values[0];
        bed.scope.input_data = bed.input;
    } while (hz_value_type(bed.input) == HZ_OBJECT && ++turns < 5000);
    HZ_ASSERT_GT(turns, 400);
    HZ_ASSERT_LT(turns, 1000);
    json_decref(property);
    bed_close(&bed);
}

struct many {
    struct bed *bed;
    bool good;
};

static void *evaluate_many(void *arg)
{
    struct many *many = arg;

    many->good = true;
    for (unsigned i = 0; i < 2000; i++) {
        struct hz_scope scope = many->bed->scope;
        const hz_value *values[2];

        if (hz_program_params(many->bed->program, NODE_TEST, &scope, values) != 0 ||
                hz_value_type(values[0]) != HZ_OBJECT)
            many->good = false;
        hz_value_unref(values[0]);
        hz_value_unref(values[1]);
    }
    return NULL;
}

HZ_TEST(expression, threads_share_a_program)
{
    struct bed bed;
    json_t *property = json_pack(
            "{s:s}", "value", "{\"a\": {{input.data.n + 1}}, \"b\": \"{{input.data.q}} {{Pedido.data.pais}}\"}");
    struct many many[3];
    pthread_t threads[3];

    bed_open(&bed, property, NULL);
    for (unsigned i = 0; i < 3; i++) {
        many[i].bed = &bed;
        HZ_ASSERT_EQ(pthread_create(&threads[i], NULL, evaluate_many, &many[i]), 0);
    }
    for (unsigned i = 0; i < 3; i++) {
        HZ_ASSERT_EQ(pthread_join(threads[i], NULL), 0);
        HZ_ASSERT_TRUE(many[i].good);
    }
    json_decref(property);
    bed_close(&bed);
}
