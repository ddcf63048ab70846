/* test_expression_random.c - the two engines against each other on expressions nobody wrote by hand, and values built
 * from skeletons against values parsed from text. Seeded: the same inputs on every machine. */
#include "expression_fixture.h"
#include "worker/expr_program.h"

#define PER_FLOW 400u
#define FLOWS    6u

static struct hz_js *js;
static uint64_t state;

HZ_SUITE_INIT(expression_random)
{
    HZ_ASSERT_OK(hz_value_init());
    HZ_ASSERT_OK(hz_js_new(false, 1000, &js));
}

HZ_SUITE_CLEANUP(expression_random)
{
    hz_js_free(&js);
}

/* xorshift64* (Vigna 2016). */
static size_t below(size_t bound)
{
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return (size_t)((state * 2685821657736338717ull) >> 33) % bound;
}

static const char *pick(const char *const *list, size_t count)
{
    return list[below(count)];
}
#define PICK(...) pick((const char *const[]){__VA_ARGS__}, sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

static void atom(FILE *out)
{
    fputs(PICK("1", "0", "-2", "3.5", "1e3", ".25", "''", "'a'", "'12'", "' 7 '", "\"0x10\"",
                  "'\xc3\xb1\xf0\x9f\x98\x80'", "true", "false", "null", "undefined", "NaN", "Infinity", "input.data.n",
                  "input.data.s", "input.data.e", "input.data.z", "input.data.neg", "input.data.t", "input.data.nul",
                  "input.data.arr", "input.data.empty", "input.data.obj", "input.data.num", "input.data.user",
                  "input.data.zz", "input.data.nested", "input.data.single", "input.data.big", "input.data.small",
                  "input.data.tiny", "input.data.int", "Pedido.data", "Pedido.data.total", "Pedido.data.vacio",
                  "Pedido.meta", "env", "env.N", "env.NADA", "input", "input.idNode", "Otro", "input.data.ts",
                  "input.data.word"),
            out);
}

static void expression(FILE *out, unsigned depth);

static void grouped(FILE *out, unsigned depth)
{
    fputc('(', out);
    expression(out, depth);
    fputc(')', out);
}

static void expression(FILE *out, unsigned depth)
{
    size_t kind = depth == 0 ? 0 : below(12);

    if (kind <= 1) {
        atom(out);
    } else if (kind <= 5) {
        grouped(out, depth - 1);
        fputs(PICK(" + ", " - ", " * ", " / ", " % ", " < ", " <= ", " > ",
                      " >= ", " == ", " != ", " === ", " !== ", " && ", " || ", " ?\? "),
                out);
        grouped(out, depth - 1);
    } else if (kind == 6) {
        expression(out, 0);
        fputs(PICK(" + ", " * ", " < ", " === ", " && ", " - "), out);
        expression(out, 0);
        fputs(PICK(" + ", " * ", " < ", " === ", " && ", " - "), out);
        expression(out, 0);
    } else if (kind == 7) {
        fputs(PICK("!", "-", "+", "typeof ", "!!"), out);
        grouped(out, depth - 1);
    } else if (kind == 8) {
        grouped(out, depth - 1);
        fputs(" ? ", out);
        expression(out, depth - 1);
        fputs(" : ", out);
        expression(out, depth - 1);
    } else if (kind == 9) {
        grouped(out, depth - 1);
        fputs(PICK(".length", ".name", "?.name", "?.a.b", "[0]", "['0']", "?.[1]", ".data", "?.a?.b", ".k.k",
                      "['length']"),
                out);
    } else if (kind == 10) {
        grouped(out, depth - 1);
        fputs(PICK("[", "?.["), out);
        expression(out, depth - 1);
        fputc(']', out);
    } else {
        fputs("_length(", out);
        expression(out, depth - 1);
        fputc(')', out);
    }
}

static char *random_expression(void)
{
    char *text = NULL;
    size_t len;
    FILE *out = must_open(&text, &len);

    expression(out, 1 + (unsigned)below(3));
    fclose(out);
    return text;
}

/* Failures of the helper are worded apart on purpose. */
static bool same(const char *a, const char *b)
{
    return strcmp(a, b) == 0 || (*a == '!' && *b == '!' && strstr(a, "_length(") && strstr(b, "keys(x)"));
}

HZ_TEST(expression_random, both_engines_agree_on_random_expressions)
{
    unsigned native = 0, thrown = 0;

    state = 20261123;
    for (unsigned f = 0; f < FLOWS; f++) {
        json_t *list = json_array(), *property = json_pack("{s:o}", "value", list);
        struct bed bed;

        for (unsigned i = 0; i < PER_FLOW; i++) {
            char *text = random_expression();

            json_array_append_new(list, json_pack("{s:s,s:{s:b}}", "value", text, "evaluation", "all", 1));
            free(text);
        }
        bed_open(&bed, property, js);
        HZ_ASSERT_EQ(bed.plan->expr_count, PER_FLOW);
        for (unsigned i = 0; i < PER_FLOW; i++) {
            const struct hz_plan_expr *expr = hz_plan_expr(bed.plan, i);
            const char *error = NULL;
            const hz_value *value = hz_program_expr(bed.program, i, &bed.scope, false, &error);
            char *by_machine = shown(value, error), *by_script;

            value = hz_program_expr(bed.program, i, &bed.scope, true, &error);
            by_script = shown(value, error);
            if (!same(by_machine, by_script))
                HZ_FAIL("`%s`: machine `%s`, script `%s`", hz_plan_chars(bed.plan, expr->text), by_machine, by_script);
            native += expr->kind == HZ_EXPR_NATIVE;
            thrown += *by_machine == '!';
            free(by_machine);
            free(by_script);
        }
        json_decref(property);
        bed_close(&bed);
    }
    HZ_ASSERT_GT(native, FLOWS * PER_FLOW * 9 / 10);
    HZ_ASSERT_GT(thrown, 20);
    HZ_ASSERT_LT(thrown, FLOWS * PER_FLOW / 2);
}

/* ---- skeletons ---- */
static void random_template(FILE *out, unsigned depth)
{
    size_t count = 1 + below(3);
    bool object = below(3) > 0;

    fputs(object ? "{" : "[", out);
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            fputc(',', out);
        if (object)
            fprintf(out, "%s\"%s\":", PICK("", " "), PICK("a", "b", "10", "2", "c", "\\u00f1", "a"));
        switch (below(depth > 0 ? 6 : 5)) {
        case 0:
            fputs(PICK("1", "\"x\"", "null", "{}", "[1,2]", "-0.5e3", "\"\\\"q\\u0041\""), out);
            break;
        case 1:
        case 2:
            fputs("{{", out);
            atom(out);
            fputs("}}", out);
            break;
        case 3:
        case 4:
            fputs(PICK("\"", "\"x ", "\"\\n"), out);
            fputs("{{", out);
            atom(out);
            fputs(PICK("}}\"", "}} y\"", "}}{{input.data.q}}\""), out);
            break;
        default:
            random_template(out, depth - 1);
        }
    }
    fputs(object ? "}" : "]", out);
}

HZ_TEST(expression_random, skeletons_build_what_text_would_parse_to)
{
    unsigned with_skeleton = 0, objects = 0;

    state = 7;
    for (unsigned round = 0; round < 1500; round++) {
        char *text = NULL, *built, *parsed;
        size_t len;
        FILE *out = must_open(&text, &len);
        const hz_value *values[2];
        json_t *property;
        struct bed bed;

        random_template(out, 2);
        fclose(out);
        property = json_pack("{s:s}", "value", text);
        bed_open(&bed, property, js);
        HZ_ASSERT_GE(hz_program_params(bed.program, NODE_TEST, &bed.scope, values), 0);
        hz_value_unref(values[1]);
        built = shown(values[0], "?");
        for (uint32_t i = 0; i < bed.plan->tree_count; i++) {
            with_skeleton += bed.program->skeletons[i] != NULL;
            hz_skeleton_free(bed.program->skeletons[i]);
            bed.program->skeletons[i] = NULL;
        }
        HZ_ASSERT_GE(hz_program_params(bed.program, NODE_TEST, &bed.scope, values), 0);
        hz_value_unref(values[1]);
        parsed = shown(values[0], "?");
        if (strcmp(built, parsed) != 0)
            HZ_FAIL("`%s`: built `%s`, parsed `%s`", text, built, parsed);
        objects += *built == '{' || *built == '[';
        free(built);
        free(parsed);
        free(text);
        json_decref(property);
        bed_close(&bed);
    }
    HZ_ASSERT_GT(with_skeleton, 500);
    HZ_ASSERT_GT(objects, 200);
}
