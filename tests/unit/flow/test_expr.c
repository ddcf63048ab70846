/* test_expr.c - the native expression parser: which text it takes, what code it makes, what it leaves to JavaScript. */
#include "core/flow/expr.h"
#include "core/flow/limits.h"
#include "flow_fixture.h"

static int64_t resolve(void *arg, const char *name, size_t len)
{
    (void)arg;
    if (len == 6 && memcmp(name, "Pedido", 6) == 0)
        return 3;
    if (len == 5 && memcmp(name, "A\xc3\xb1o_", 5) == 0)
        return 4;
    if (len == 5 && memcmp(name, "Doble", 5) == 0)
        return HZ_EXPR_FOREIGN;
    return hz_expr_global(name, len) ? HZ_EXPR_FOREIGN : HZ_EXPR_UNKNOWN;
}

static void put(FILE *out, const struct hz_expr_code *code, const struct hz_expr_step *step)
{
    static const char *const names[] = {[HZ_OP_INPUT] = "input",
            [HZ_OP_NODE] = "node",
            [HZ_OP_ENV] = "env",
            [HZ_OP_MEMBER] = ".",
            [HZ_OP_MEMBER_OPT] = "?.",
            [HZ_OP_INDEX] = "[]",
            [HZ_OP_NUMBER] = "",
            [HZ_OP_TEXT] = "text",
            [HZ_OP_TRUE] = "true",
            [HZ_OP_FALSE] = "false",
            [HZ_OP_NULL] = "null",
            [HZ_OP_UNDEFINED] = "undefined",
            [HZ_OP_NOT] = "!",
            [HZ_OP_NEGATE] = "neg",
            [HZ_OP_PLUS] = "pos",
            [HZ_OP_TYPEOF] = "typeof",
            [HZ_OP_LENGTH] = "length",
            [HZ_OP_ADD] = "+",
            [HZ_OP_SUB] = "-",
            [HZ_OP_MUL] = "*",
            [HZ_OP_DIV] = "/",
            [HZ_OP_MOD] = "%",
            [HZ_OP_LT] = "<",
            [HZ_OP_LE] = "<=",
            [HZ_OP_GT] = ">",
            [HZ_OP_GE] = ">=",
            [HZ_OP_EQ] = "==",
            [HZ_OP_NE] = "!=",
            [HZ_OP_SEQ] = "===",
            [HZ_OP_SNE] = "!==",
            [HZ_OP_JUMP] = "jump",
            [HZ_OP_JUMP_FALSE] = "false?",
            [HZ_OP_AND] = "&&",
            [HZ_OP_OR] = "||",
            [HZ_OP_COALESCE] = "??",
            [HZ_OP_JUMP_NULLISH] = "nullish?",
            [HZ_OP_END] = "end"};

    fputs(names[step->op], out);
    if (step->op == HZ_OP_NUMBER)
        fprintf(out, "%.17g", step->number);
    if (step->op == HZ_OP_MEMBER || step->op == HZ_OP_MEMBER_OPT || step->op == HZ_OP_TEXT)
        fprintf(out, "%s%s", step->op == HZ_OP_TEXT ? ":" : "", code->texts + step->a);
    if (step->op == HZ_OP_NODE || (step->op >= HZ_OP_JUMP && step->op < HZ_OP_END))
        fprintf(out, "%u", step->a);
    if (step->op != HZ_OP_END)
        fputc(' ', out);
}

/* The code as words, or `script`, or `broken: reason @offset`. */
static void check(const char *text, const char *wanted)
{
    struct hz_expr_code code;
    const char *reason;
    size_t at = 0, len = 0;
    enum hz_expr_verdict verdict = hz_expr_parse(text, strlen(text), resolve, NULL, &code, &reason, &at);
    char *words = NULL;
    FILE *out = must_open(&words, &len);

    if (verdict == HZ_EXPR_IS_SCRIPT)
        fputs("script", out);
    else if (verdict == HZ_EXPR_IS_BROKEN)
        fprintf(out, "broken: %s @%zu", reason, at);
    else
        for (uint32_t i = 0; i < code.count; i++)
            put(out, &code, &code.steps[i]);
    fclose(out);
    if (strcmp(words, wanted) != 0)
        HZ_FAIL("`%s` gives `%s`, wanted `%s`", text, words, wanted);
    HZ_ASSERT_TRUE(true);
    free(words);
    hz_expr_code_fini(&code);
}

HZ_TEST(expr, paths_are_native)
{
    check("input", "input end");
    check("input.data.user.name", "input .data .user .name end");
    check(" input . data ", "input .data end");
    check("Pedido.data.pais", "node3 .data .pais end");
    check("A\xc3\xb1o_.data", "node4 .data end");
    check("env.HOME", "env .HOME end");
    check("input.data['a b']", "input .data .a b end");
    check("input.data[0].x", "input .data 0 [] .x end");
    check("input.data[input.data.i + 1]", "input .data input .data .i 1 + [] end");
    check("input.data.default.new", "input .data .default .new end");
    check("(input.data).x", "input .data .x end");
}

HZ_TEST(expr, literals_are_native)
{
    check("1", "1 end");
    check("1.5e3", "1500 end");
    check(".5", "0.5 end");
    check("5.", "5 end");
    check("0", "0 end");
    check("0.25", "0.25 end");
    check("1E-2", "0.01 end");
    check("'a\\'b'", "text:a'b end");
    check("\"a\\n\\x41\\u00e9\\ud83d\\ude00\"", "text:a\nA\xc3\xa9\xf0\x9f\x98\x80 end");
    check("'\\q\\\"\\/'", "text:q\"/ end");
    check("true", "true end");
    check("null", "null end");
    check("undefined", "undefined end");
    check("Infinity", "inf end");
    check("''", "text: end");
}

HZ_TEST(expr, operators_bind_as_in_javascript)
{
    check("1 + 2 * 3", "1 2 3 * + end");
    check("(1 + 2) * 3", "1 2 + 3 * end");
    check("1 - 2 - 3", "1 2 - 3 - end");
    check("1 + 2 < 3 * 4", "1 2 + 3 4 * < end");
    check("1 < 2 === true", "1 2 < true === end");
    check("-1 - -2", "1 neg 2 neg - end");
    check("!input.data.a", "input .data .a ! end");
    check("!!1", "1 ! ! end");
    check("typeof input.data === 'object'", "input .data typeof text:object === end");
    check("typeof Pedido", "node3 typeof end");
    check("+'3' + 1", "text:3 pos 1 + end");
    check("1 != 2", "1 2 != end");
    check("1 !== 2", "1 2 !== end");
    check("1 >= 2", "1 2 >= end");
    check("1 == 2 == 3", "1 2 == 3 == end");
    check("7 % 4 / 2", "7 4 % 2 / end");
}

HZ_TEST(expr, short_circuits_jump_forward)
{
    check("1 && 2", "1 &&3 2 end");
    check("1 && 2 || 3", "1 &&3 2 ||5 3 end");
    check("1 || 2 && 3", "1 ||5 2 &&5 3 end");
    check("1 ?? 2", "1 ??3 2 end");
    check("1 ?? 2 ?? 3", "1 ??3 2 ??5 3 end");
    check("(1 || 2) ?? 3", "1 ||3 2 ??5 3 end");
    check("1 ? 2 : 3", "1 false?4 2 jump5 3 end");
    check("1 ? 2 : 3 ? 4 : 5", "1 false?4 2 jump9 3 false?8 4 jump9 5 end");
    check("1 ? 2 ? 3 : 4 : 5", "1 false?8 2 false?6 3 jump7 4 jump9 5 end");
}

HZ_TEST(expr, the_helper_length_is_native)
{
    check("_length(input.data.s)", "input .data .s length end");
    check("_length( [1] )", "script");
    check("_length(_length('a') + 1) > 2", "text:a length 1 + length 2 > end");
    check("_length()", "script");
    check("_length(1, 2)", "script");
    check("_length", "script");
    check("_length(1", "broken: a parenthesis that is never closed @9");
    check("_keys(input)", "script");
}

HZ_TEST(expr, optional_chains_leave_the_whole_path)
{
    check("input.data?.a", "input .data ?.a end");
    check("input.data?.a.b", "input .data nullish?5 .a .b end");
    check("input?.data?.a.b", "input nullish?6 .data nullish?6 .a .b end");
    check("(input.data?.a.b).c", "input .data nullish?5 .a .b .c end");
    check("input.data?.[0]", "input .data nullish?5 0 [] end");
    check("input.data?.5:1", "input .data false?5 0.5 jump6 1 end");
}

HZ_TEST(expr, everything_else_is_left_to_javascript)
{
    static const char *const scripts[] = {"f(1)", "input.data.map(x => x)", "x => 1", "() => 1", "`a${1}`", "/a/",
            "[1]", "{a:1}", "new Date()", "this", "1, 2", "a = 1", "a += 1", "a++", "++a", "--a", "2 ** 3", "1 & 2",
            "1 | 2", "1 ^ 2", "~1", "1 << 2", "1 >> 2", "1 >>> 2", "'a' in input", "input instanceof Object", "void 0",
            "delete input.a", "0x10", "010", "09", "1_000", "10n", "0b1", "'\\01'", "'\\ud800'", "'\\u{41}'",
            "input.data.toString", "input.constructor", "input['__proto__']", "a ?? b || c", "1 || 2 ?? 3", "1 // x",
            "1 /* x */ + 2", "Math.PI", "Foo.bar", "Doble.data", "a.#b", "\\u0061", "class {}", "function () {}",
            "async () => 1", "await x", "input.data`x`", "1 2", "input.data input", "1.e", "3in []", "a <!-- b",
            "input.data.f?.(1)", "a &&= 1", "a ||= 1", "a ?\?= 1", "...a", "@", "#", "1 + ,", "()", "(1, 2)", "yield",
            "super.x", "!= 1"};

    for (size_t i = 0; i < HZ_COUNT_OF(scripts); i++)
        check(scripts[i], "script");
}

HZ_TEST(expr, what_no_parser_accepts_is_broken)
{
    check("", "broken: the expression is empty @0");
    check("   ", "broken: the expression is empty @0");
    check("input.data +", "broken: the expression ends where a value is expected @12");
    check("input.", "broken: the expression ends where a member's name is expected @6");
    check("(1", "broken: a parenthesis that is never closed @2");
    check("input.data[0", "broken: a bracket that is never closed @12");
    check("1 ? 2", "broken: a conditional `?` without its `:` @5");
    check("'abc", "broken: a string without its closing quote @4");
    check("!", "broken: the expression ends where a value is expected @1");
    check("typeof", "broken: the expression ends where a value is expected @6");
    check("1 ? 2 :", "broken: the expression ends where a value is expected @7");
}

HZ_TEST(expr, unknown_names_are_pointed_out_only_in_plain_expressions)
{
    struct hz_expr_code code;
    const char *reason;
    size_t at;

    HZ_ASSERT_EQ(hz_expr_parse("1 + Pedid.data", 14, resolve, NULL, &code, &reason, &at), HZ_EXPR_IS_SCRIPT);
    HZ_ASSERT_EQ(code.unknown_from, 4);
    HZ_ASSERT_EQ(code.unknown_to, 9);
    hz_expr_code_fini(&code);
    HZ_ASSERT_EQ(hz_expr_parse("Pedid.data.map(x)", 17, resolve, NULL, &code, &reason, &at), HZ_EXPR_IS_SCRIPT);
    HZ_ASSERT_EQ(code.unknown_from, code.unknown_to);
    hz_expr_code_fini(&code);
    HZ_ASSERT_EQ(hz_expr_parse("Math.PI", 7, resolve, NULL, &code, &reason, &at), HZ_EXPR_IS_SCRIPT);
    HZ_ASSERT_EQ(code.unknown_from, code.unknown_to);
    hz_expr_code_fini(&code);
}

HZ_TEST(expr, ranges_quote_the_path_up_to_the_member)
{
    struct hz_expr_code code;
    const char *text = "1 + (input.data.n).y.z", *reason;
    size_t at;

    HZ_ASSERT_EQ(hz_expr_parse(text, strlen(text), NULL, NULL, &code, &reason, &at), HZ_EXPR_IS_NATIVE);
    HZ_ASSERT_EQ(code.steps[4].op, HZ_OP_MEMBER); /* .y */
    HZ_ASSERT_EQ(code.steps[4].from, 4);
    HZ_ASSERT_EQ(code.steps[4].to, 20);
    hz_expr_code_fini(&code);
}

HZ_TEST(expr, bounds_send_to_javascript_instead_of_recursing)
{
    size_t len = 200000;
    char *text = must_alloc(len + 1);
    struct hz_expr_code code;
    const char *reason;
    size_t at;

    memset(text, '(', len);
    HZ_ASSERT_EQ(hz_expr_parse(text, 60000, resolve, NULL, &code, &reason, &at), HZ_EXPR_IS_SCRIPT);
    hz_expr_code_fini(&code);
    memset(text, '!', len);
    HZ_ASSERT_EQ(hz_expr_parse(text, 60000, resolve, NULL, &code, &reason, &at), HZ_EXPR_IS_SCRIPT);
    hz_expr_code_fini(&code);
    for (size_t i = 0; i + 1 < len; i += 2)
        text[i] = '1', text[i + 1] = '+';
    HZ_ASSERT_EQ(hz_expr_parse(text, 59999, resolve, NULL, &code, &reason, &at), HZ_EXPR_IS_SCRIPT);
    HZ_ASSERT_LE(code.count, HZ_FLOW_MAX_EXPR_OPS + 1);
    hz_expr_code_fini(&code);
    HZ_ASSERT_EQ(hz_expr_parse(text, 999, resolve, NULL, &code, &reason, &at), HZ_EXPR_IS_NATIVE);
    HZ_ASSERT_EQ(code.max_stack, 2);
    hz_expr_code_fini(&code);
    free(text);
}

HZ_TEST(expr, stack_depth_is_counted)
{
    static const struct {
        const char *text;
        uint32_t depth;
    } cases[] = {{"1", 1}, {"1+2", 2}, {"1+2*3", 3}, {"(1+2)*(3+4)", 3}, {"1 ? 2 : 3", 1}, {"1 + (2 ? 3 + 4 : 5)", 3},
            {"1 && 2 && 3", 1}};

    for (size_t i = 0; i < HZ_COUNT_OF(cases); i++) {
        struct hz_expr_code code;
        const char *reason;
        size_t at;

        HZ_ASSERT_EQ(hz_expr_parse(cases[i].text, strlen(cases[i].text), resolve, NULL, &code, &reason, &at),
                HZ_EXPR_IS_NATIVE);
        HZ_ASSERT_EQ(code.max_stack, cases[i].depth);
        HZ_ASSERT_EQ(code.depth, 1);
        hz_expr_code_fini(&code);
    }
}

/* ---- the scan of scripts ---- */
struct names {
    char text[256];
};

static void collect(void *arg, const char *name, size_t len)
{
    struct names *names = arg;

    strncat(names->text, name, HZ_MIN(len, sizeof(names->text) - strlen(names->text) - 2));
    must_append(names->text, sizeof(names->text), " ");
}

HZ_TEST(expr, scan_lists_every_identifier)
{
    struct names names = {""};
    const char text[] = "Uno.data.map(x => `${Dos.y}` + 'Tres' + 1e5 + 0x1F + a1 + $b_)";
    size_t at;

    HZ_ASSERT_NULL(hz_expr_scan(text, strlen(text), collect, &names, &at));
    HZ_ASSERT_STR_EQ(names.text, "Uno data map x $ Dos y Tres a1 $b_ ");
}

HZ_TEST(expr, scan_finds_open_brackets_and_quotes)
{
    static const struct {
        const char *text, *reason;
        size_t at;
    } cases[] = {{"f(1", "a bracket that is never closed", 1}, {"f(1]", "a closing bracket without its opening one", 3},
            {"f)", "a closing bracket without its opening one", 1}, {"f('a)", "a string without its closing quote", 2},
            {"`a${1}", "a template string without its closing backtick", 5},
            {"f(1) /* x", "a comment that is never closed", 5},
            {"[1, {a: 2]", "a closing bracket without its opening one", 9}};

    for (size_t i = 0; i < HZ_COUNT_OF(cases); i++) {
        size_t at = 0;

        HZ_ASSERT_STR_EQ(hz_expr_scan(cases[i].text, strlen(cases[i].text), NULL, NULL, &at), cases[i].reason);
        HZ_ASSERT_EQ(at, cases[i].at);
    }
}

HZ_TEST(expr, scan_accepts_what_only_looks_unbalanced)
{
    static const char *const good[] = {"')'", "\"(\"", "`)`", "`a${f(`b${1}`)}c}`", "/[)\\/]/.test(x)",
            "x / 2 + ')'.length / 3", "a / b / c", "f(/'/)", "[/\"/, 1]", "x => /}/", "1 // )", "f(/* ) */)", "'\\')'",
            "{a: {b: [1]}}", "typeof /)/", "`${'}'}`", "\"\\\\\""};

    for (size_t i = 0; i < HZ_COUNT_OF(good); i++) {
        size_t at = 0;
        const char *reason = hz_expr_scan(good[i], strlen(good[i]), NULL, NULL, &at);

        if (reason)
            HZ_FAIL("`%s`: %s", good[i], reason);
        HZ_ASSERT_NULL(reason);
    }
}

HZ_TEST(expr, identifiers_are_letters_of_any_script_but_no_symbols)
{
    HZ_ASSERT_EQ(hz_expr_identifier("a1-b", 4), 2);
    HZ_ASSERT_EQ(hz_expr_identifier("1a", 2), 0);
    HZ_ASSERT_EQ(hz_expr_identifier("$_x ", 4), 3);
    HZ_ASSERT_EQ(hz_expr_identifier("Condici\xc3\xb3n.", 11), 10);
    HZ_ASSERT_EQ(hz_expr_identifier("\xe2\x82\xac", 3), 0);     /* euro sign */
    HZ_ASSERT_EQ(hz_expr_identifier("a\xe2\x80\xa8", 4), 1);    /* line separator */
    HZ_ASSERT_EQ(hz_expr_identifier("\xf0\x9f\x98\x80", 4), 0); /* emoji */
    HZ_ASSERT_EQ(hz_expr_identifier("\xe6\x97\xa5", 3), 3);
    HZ_ASSERT_EQ(hz_expr_identifier("\xff", 1), 0);
    HZ_ASSERT_EQ(hz_expr_identifier("", 0), 0);
}
