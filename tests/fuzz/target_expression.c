/*
 * target_expression.c - the fast path of expressions against JavaScriptCore: whatever the compiler takes for the fast path must give, in
 * one scope, the value that the engine gives, or fail with the same words.
 *
 * An input is a list of lines, each an expression; the mutations are those of a grammar, on whole lines and on what stands in brackets. A
 * line that the compiler leaves to the engine is not run: it would be compared with itself. What was compared once in this process is
 * run by the fast path alone, so that `counted` (printed at the end) has no expression twice; only those that evaluate on both sides are
 * counted.
 */
#include "core/flow/flow.h"
#include "fuzz.h"
#include "worker/expression.h"
#include "worker/js.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINES_MOST  16u
#define LINE_MOST   400u
#define SEEN_BITS   28u   /* 32 MiB: at 10 million expressions one in 27 new ones is taken for an old one, and not counted */
#define JS_CALLS    20000u /* then a new context: what it keeps of old scripts goes */

enum { NODE_PEDIDO = 1, NODE_TEST = 3 };

static struct {
    json_t *catalog;
    struct hz_js *js;
    unsigned js_calls;
    const hz_value *input, *env, *pedido, *meta;
    uint8_t *seen;
    unsigned long lines, fast, compared, counted;
} bed;

/* The leak checker dies reading the thread-local storage of the engine's threads, and does not see who holds the order of keys that
 * each thread keeps. */
const char *__lsan_default_options(void);
__attribute__((used, visibility("default"))) const char *__lsan_default_options(void)
{
    return "use_tls=0:print_suppressions=0";
}

const char *__lsan_default_suppressions(void);
__attribute__((used, visibility("default"))) const char *__lsan_default_suppressions(void)
{
    return "leak:order_find\nleak:hz_value_sort_keys\n";
}

/* ---- grammar ---- */

static uint64_t state;

static size_t below(size_t bound)
{
    return fuzz_below(&state, bound);
}

struct text { /* bounded; what does not fit is cut, and refused by the compiler */
    char at[LINE_MOST];
    size_t len;
};

static void add(struct text *to, const char *text, size_t len)
{
    len = HZ_MIN(len, sizeof to->at - to->len);
    memcpy(to->at + to->len, text, len);
    to->len += len;
}

static void pick(struct text *to, const char *const *list, size_t count)
{
    const char *text = list[below(count)];
    add(to, text, strlen(text));
}
#define PICK(to, ...) pick(to, (const char *const[]){__VA_ARGS__}, sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

static void number(struct text *to)
{
    char text[40];
    switch (below(4)) {
    case 0:
        snprintf(text, sizeof text, "%zu", below(400));
        break;
    case 1:
        snprintf(text, sizeof text, "%zu.%zu", below(30), below(1000));
        break;
    case 2:
        snprintf(text, sizeof text, "%zue%s%zu", below(1000), below(2) ? "-" : "", below(330));
        break;
    default: {
        static const char *const edges[] = {"0", "-0", "1e21", "1e-7", "4294967295", "4294967296", "2147483648", "9007199254740993",
                "1.7976931348623157e308", "5e-324", ".5", "5.", "0.1", "123456789012345680000"};
        snprintf(text, sizeof text, "%s", edges[below(HZ_COUNT_OF(edges))]);
    }
    }
    add(to, text, strlen(text));
}

static void quoted(struct text *to)
{
    const char *quote = below(2) ? "'" : "\"";
    add(to, quote, 1);
    for (size_t pieces = below(4); pieces > 0; pieces--)
        PICK(to, "a", "b", "Z", "0", "1", "12", "-", ".", "e", "1e3", " ", "\\n", "\\t", "\\u00e9", "\\x41", "\\\\", "\\'", "\\\"", "\xc3\xb1",
                "\xf0\x9f\x98\x80", "\\ud83d\\ude00", "\\uffff", "Infinity", "0x1F", "NaN", "true", "length", "\\u2028", "\\0", "\xe2\x80\x83",
                "name", "idNode");
    add(to, quote, 1);
}

static void atom(struct text *to)
{
    size_t kind = below(8);
    if (kind == 0)
        number(to);
    else if (kind == 1)
        quoted(to);
    else if (kind == 2)
        PICK(to, "true", "false", "null", "undefined", "NaN", "Infinity", "''", "input", "env", "Pedido", "input.data");
    else
        PICK(to, "input.data.n", "input.data.s", "input.data.e", "input.data.z", "input.data.neg", "input.data.t", "input.data.f",
                "input.data.nul", "input.data.arr", "input.data.empty", "input.data.obj", "input.data.obj.a.b", "input.data.num",
                "input.data.sp", "input.data.hex", "input.data.user", "input.data.user.name", "input.data.zz", "input.data.nested",
                "input.data.single", "input.data.big", "input.data.small", "input.data.tiny", "input.data.int", "input.data.word",
                "input.data.k", "input.data.i", "input.data.list", "input.data.q", "input.data.json", "input.data._id", "input.data.$x",
                "input.data['arr'][2]", "input.data.long", "input.data.pair", "input.data.half", "input.data.nodot", "input.data.exp",
                "Pedido.data", "Pedido.data.total", "Pedido.data.items", "Pedido.data.vacio", "Pedido.meta", "Pedido.meta.key", "env.N",
                "env.NADA", "env.HOME", "input.idNode", "input.inputName", "Otro", "input.data.ts", "input.data.own");
}

static void expression(struct text *to, unsigned depth);

static void grouped(struct text *to, unsigned depth)
{
    if (depth == 0) {
        atom(to);
        return;
    }
    add(to, "(", 1);
    expression(to, depth - 1);
    add(to, ")", 1);
}

static void binary(struct text *to)
{
    PICK(to, " + ", " - ", " * ", " / ", " % ", " < ", " <= ", " > ", " >= ", " == ", " != ", " === ", " !== ", " && ", " || ", " ?\? ", "+",
            " +", "<", "==", "%");
}

static void expression(struct text *to, unsigned depth)
{
    size_t kind = depth == 0 ? 0 : below(14);
    if (kind <= 1) {
        atom(to);
    } else if (kind <= 5) {
        grouped(to, depth - 1);
        binary(to);
        grouped(to, depth - 1);
    } else if (kind <= 7) {
        atom(to);
        for (size_t count = 1 + below(4); count > 0; count--) {
            binary(to);
            atom(to);
        }
    } else if (kind == 8) {
        PICK(to, "!", "-", "+", "typeof ", "!!", "- ", "+ -");
        grouped(to, depth - 1);
    } else if (kind == 9) {
        grouped(to, depth - 1);
        add(to, " ? ", 3);
        expression(to, depth - 1);
        add(to, " : ", 3);
        expression(to, depth - 1);
    } else if (kind <= 11) {
        grouped(to, depth - 1);
        PICK(to, ".length", ".name", "?.name", "?.a.b", "[0]", "['0']", "?.[1]", ".data", "?.a?.b", ".k.k", "['length']", "[-1]", "[1.5]", "['00']",
                "[4294967294]", "[4294967295]", "['4294967295']", "[1e21]", "['-0']", "['1.0']", "['name']", "?.['k']", ".toString", ".p",
                ".__proto__", "[' 1']", "['+1']");
    } else if (kind == 12) {
        grouped(to, depth - 1);
        PICK(to, "[", "?.[");
        expression(to, depth - 1);
        add(to, "]", 1);
    } else {
        add(to, "_length(", 8);
        expression(to, depth - 1);
        add(to, ")", 1);
    }
}

/* ---- mutations: on a list of lines ---- */

struct span {
    size_t at, len;
};

/* The lines; at most LINES_MOST. */
static size_t split(const uint8_t *data, size_t size, struct span *ret_lines)
{
    size_t count = 0;
    for (size_t at = 0; at < size && count < LINES_MOST;) {
        const uint8_t *end = memchr(data + at, '\n', size - at);
        size_t len = end ? (size_t)(end - (data + at)) : size - at;
        ret_lines[count++] = (struct span){at, len};
        at += len + 1;
    }
    return count;
}

static size_t replace(uint8_t *data, size_t size, size_t most, struct span old, const char *text, size_t len)
{
    if (size - old.len + len > most)
        return size;
    memmove(data + old.at + len, data + old.at + old.len, size - old.at - old.len);
    memcpy(data + old.at, text, len);
    return size - old.len + len;
}

/* A bracketed part of a line, inside its brackets; the whole line if there is none. */
static struct span inner(const uint8_t *data, struct span line)
{
    size_t opens[64], count = 0;
    for (size_t i = line.at; i < line.at + line.len; i++)
        if ((data[i] == '(' || data[i] == '[') && count < HZ_COUNT_OF(opens))
            opens[count++] = i;
    if (count == 0)
        return line;
    size_t open = opens[below(count)];
    uint8_t up = data[open], down = up == '(' ? ')' : ']';
    int depth = 0;
    for (size_t i = open; i < line.at + line.len; i++) {
        depth += data[i] == up ? 1 : data[i] == down ? -1 : 0;
        if (depth == 0)
            return (struct span){open + 1, i - open - 1};
    }
    return line;
}

static size_t fill(uint8_t *data, size_t most)
{
    size_t size = 0;
    for (unsigned i = 0; i < LINES_MOST; i++) {
        struct text text = {.len = 0};
        expression(&text, 1 + (unsigned)below(3));
        if (size + text.len + 1 > most)
            break;
        memcpy(data + size, text.at, text.len);
        size += text.len;
        data[size++] = '\n';
    }
    return size;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned int seed)
{
    struct span lines[LINES_MOST];
    struct text text = {.len = 0};
    state = (uint64_t)seed * 0x9e3779b97f4a7c15ull + 1;
    size_t count = split(data, size, lines);
    if (count == 0 || below(8) == 0)
        return fill(data, most);
    if (below(16) == 0)
        return LLVMFuzzerMutate(data, size, most);
    /* From the last line to the first: what is before stays where it is. */
    for (size_t i = count; i-- > 0;) {
        struct span line = lines[i], part;
        text.len = 0;
        switch (below(6)) {
        case 0: /* as it was */
            continue;
        case 1:
            expression(&text, 1 + (unsigned)below(3));
            part = line;
            break;
        case 2: /* what stands in brackets */
            expression(&text, (unsigned)below(2));
            part = inner(data, line);
            break;
        case 3: /* around it */
            PICK(&text, "(", "!(", "-(", "typeof (", "+(", "_length(", "(");
            add(&text, (const char *)data + line.at, line.len);
            add(&text, ")", 1);
            binary(&text);
            atom(&text);
            part = line;
            break;
        case 4: { /* what another has in brackets */
            struct span other = inner(data, lines[below(i + 1)]);
            add(&text, (const char *)data + other.at, other.len);
            part = inner(data, line);
            break;
        }
        default:
            binary(&text);
            grouped(&text, (unsigned)below(2));
            part = (struct span){line.at + line.len, 0};
        }
        size = replace(data, size, most, part, text.at, text.len);
    }
    return size;
}

/* ---- the two sides ---- */

static bool bed_node(void *arg, uint32_t index, const hz_value **ret_data, const hz_value **ret_meta)
{
    (void)arg;
    *ret_data = bed.pedido;
    *ret_meta = bed.meta;
    return index == NODE_PEDIDO;
}

static struct hz_js *bed_js(void *arg)
{
    (void)arg;
    return bed.js;
}

static void bed_failed(void *arg, const char *expression, size_t len, const char *reason)
{
    (void)arg, (void)expression, (void)len, (void)reason;
}

static const hz_value *value_of(const char *json)
{
    const char *error = "";
    char *copy = strdup(json);
    HZ_ASSERT(copy != NULL);
    for (char *p = copy; *p; p++)
        if (*p == '`')
            *p = '"';
    const hz_value *value = hz_value_parse(copy, strlen(copy), &error);
    if (!value)
        FUZZ_FAIL("%s: %s", copy, error);
    free(copy);
    return value;
}

static void summary(void)
{
    printf("expressions: %lu lines, %lu for the fast path, %lu compared, counted %lu\n", bed.lines, bed.fast, bed.compared, bed.counted);
    fflush(stdout);
}

static void prepare(void)
{
    json_error_t error;
    HZ_ASSERT(hz_value_init() == 0);
    bed.catalog = json_load_file(fuzz_source_path("tests/fixtures/catalog.json"), 0, &error);
    bed.seen = calloc(1, (size_t)1 << (SEEN_BITS - 3));
    HZ_ASSERT(bed.catalog != NULL && bed.seen != NULL);
    bed.input = value_of("{`n`:5,`s`:`h\xc3\xa9llo\xf0\x9f\x98\x80`,`e`:``,`z`:0,`neg`:-3.5,`t`:true,`f`:false,`nul`:null,`arr`:[1,`2`,[3,4],"
                         "{`k`:`v`},null],`empty`:[],`obj`:{`a`:{`b`:{`c`:7}},`0`:`zero`,`length`:3},`num`:`12`,`sp`:` 12 `,`hex`:`0x1F`,"
                         "`big`:1e21,`small`:1e-7,`word`:`abc`,`user`:{`name`:`Ana`,`age`:30},`k`:`n`,`i`:2,`single`:[5],"
                         "`nested`:[[[`x`]]],`ts`:{`toString`:1},`own`:{`valueOf`:2,`a`:1},`q`:`a\\`b\\\\c\\nd`,`json`:`{\\`x\\`:[1,2]}`,"
                         "`tiny`:0.1,`int`:9007199254740991,`_id`:`u`,`$x`:1,`list`:[{`id`:1},{`id`:2}],`long`:`123456789012345678901234567890`,"
                         "`pair`:`\\ud83d\\ude00x`,`half`:`\\u2028\\u00a0 7`,`nodot`:`5.`,`exp`:`1e3`}");
    bed.env = value_of("{`HOME`:`/casa`,`N`:`7`}");
    bed.pedido = value_of("{`total`:120,`pais`:`ES`,`items`:[{`p`:1.5},{`p`:2}],`vacio`:null}");
    bed.meta = value_of("{`key`:`m`}");
    atexit(summary);
}

/* JSON of a value, `undefined`, or `!` and the reason. Takes the value; caller frees. */
static char *shown(const hz_value *value, const char *error)
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
    HZ_ASSERT(!text.failed);
    hz_value_unref(value);
    return text.data;
}

static bool seen_before(const char *text, size_t len)
{
    uint64_t hash = 14695981039346656037ull;
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ (uint8_t)text[i]) * 1099511628211ull;
    hash = (hash ^ hash >> 32) * 0x9e3779b97f4a7c15ull >> (64 - SEEN_BITS);
    uint8_t bit = (uint8_t)(1u << (hash & 7));
    bool seen = (bed.seen[hash >> 3] & bit) != 0;
    bed.seen[hash >> 3] |= bit;
    return seen;
}

/* Failures of the helper are worded apart on purpose. Where both sides of an operator fail, the engine may meet the right one first: it leaves
 * a unary plus on the left to the operator (`+a % b.c` converts `a` after `b.c`), which the language does not. */
static bool same(const char *a, const char *b, bool plus)
{
    if (strcmp(a, b) == 0)
        return true;
    if (*a != '!' || *b != '!')
        return false;
    return (strstr(a, "_length(") && strstr(b, "keys(x)")) || (plus && strstr(a, "No default value"));
}

static void compare(const struct hz_plan *plan, struct hz_program *program, const struct hz_scope *scope, uint32_t i)
{
    const struct hz_plan_expr *expr = hz_plan_expr(plan, i);
    const char *error = NULL, *text = hz_plan_chars(plan, expr->text);
    bed.lines++;
    if (expr->kind != HZ_EXPR_NATIVE)
        return;
    bed.fast++;
    const hz_value *value = hz_program_expr(program, i, scope, false, &error);
    bool works = value != NULL;
    char *by_machine = shown(value, error);
    if (!seen_before(text, expr->text.len)) {
        value = hz_program_expr(program, i, scope, true, &error);
        works = works && value != NULL;
        char *by_script = shown(value, error);
        if (!same(by_machine, by_script, memchr(text, '+', expr->text.len) != NULL))
            FUZZ_FAIL("`%.*s`: fast path `%s`, JavaScriptCore `%s`", (int)expr->text.len, text, by_machine, by_script);
        free(by_script);
        bed.compared++;
        bed.counted += works;
        bed.js_calls++;
    }
    free(by_machine);
}

/* Flow: start, Pedido (has run), Otro (has not), and a node whose property `mapping` is the list. */
static struct hz_plan *plan_of(const json_t *property)
{
    struct hz_flow_report report = {0};
    struct hz_flow *flow = NULL;
    struct hz_plan *plan = NULL;
    json_t *root = json_pack("{s:{s:{s:s},s:{s:s,s:s},s:{s:s,s:s},s:{s:s,s:{s:O}}}}", "nodes", "s", "type", "workflow_init", "p", "type",
            "delay", "name", "Pedido", "o", "type", "delay", "name", "Otro", "t", "type", "data_transformer", "properties", "mapping", property);
    char *text = json_dumps(root, 0);
    HZ_ASSERT(text != NULL);
    if (hz_flow_parse(text, strlen(text), &report, &flow) == 0)
        (void)!hz_flow_compile(flow, bed.catalog, false, &report, &plan);
    hz_flow_report_fini(&report);
    hz_flow_free(&flow);
    json_decref(root);
    free(text);
    return plan;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span lines[LINES_MOST];
    struct hz_program *program = NULL;
    if (!bed.catalog)
        prepare();
    if (!bed.js || bed.js_calls > JS_CALLS) {
        hz_js_free(&bed.js);
        HZ_ASSERT(hz_js_new(false, 1000, &bed.js) == 0);
        bed.js_calls = 0;
    }
    json_t *list = json_array(), *property = json_pack("{s:o}", "value", list);
    size_t count = split(data, size, lines);
    for (size_t i = 0; i < count; i++) {
        json_t *text = lines[i].len <= LINE_MOST ? json_stringn((const char *)data + lines[i].at, lines[i].len) : NULL;
        if (text)
            json_array_append_new(list, json_pack("{s:o,s:{s:b}}", "value", text, "evaluation", "all", 1));
    }
    struct hz_plan *plan = json_array_size(list) > 0 ? plan_of(property) : NULL;
    if (plan && hz_program_new(plan, &program) == 0) {
        struct hz_scope scope = {.input_node = "s", .input_name = "input", .input_data = bed.input, .node = bed_node, .env = bed.env,
                .js = bed_js, .failed = bed_failed};
        for (uint32_t i = 0; i < plan->expr_count; i++)
            compare(plan, program, &scope, i);
        hz_program_free(&program);
    }
    free(plan);
    json_decref(property);
    return 0;
}
