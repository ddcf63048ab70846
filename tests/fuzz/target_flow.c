/*
 * target_flow.c - what a client sends as flow.json: parser, compiler (strict and not), plan check and program, and the properties that need
 * no JavaScript.
 *
 * An input may be refused or compile; the report of a refusal must be printable. The mutations know what means something to one of the
 * parsers; every other one is the driver's.
 */
#include "core/flow/flow.h"
#include "fuzz.h"
#include "worker/expression.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *input; /* of the mutation under way */
static size_t input_len, input_most;
static uint64_t state;
static json_t *catalog;
static hz_value *empty;

static size_t below(size_t bound)
{
    return fuzz_below(&state, bound);
}

/* ---- mutations ---- */
static void replace(size_t at, size_t old_len, const char *text, size_t len)
{
    if (at + old_len > input_len || input_len - old_len + len > input_most)
        return;
    memmove(input + at + len, input + at + old_len, input_len - at - old_len);
    memcpy(input + at, text, len);
    input_len += len - old_len;
}

static void change_byte(void)
{
    if (input_len > 0)
        input[below(input_len)] = (char)below(256);
}

static void remove_range(void)
{
    size_t at = below(input_len), len = 1 + below(below(2) ? 4 : 400);

    replace(at, HZ_MIN(len, input_len - at), "", 0);
}

static void repeat_range(void)
{
    char copy[512];
    size_t at = below(input_len), len = HZ_MIN(1 + below(sizeof(copy) - 1), input_len - at);

    memcpy(copy, input + at, len);
    replace(below(input_len + 1), 0, copy, len);
}

/* Words that mean something to one of the parsers. */
static const char *const words[] = {"{{", "}}", "{{input.data.x}}", "{{f(1)}}", "{{(", "{{a?.b ?? 1}}", "null",
            "true", "-1", "1e999", "12345678901234567890", "\"\"", "[]", "{}", "[[[[[[[[[[", "{\"a\":", "\\u0000",
            "\\ud800", "\xff", "\xc3", "\"type\":\"options\",", "\"evaluation\":{\"all\":true},",
            "\"evaluation\":{\"active\":false},", "workflow_init", "conditional", "\"value\":", "nodes",
            "\"meta\":{\"timeout\":1e9},",
            "\"meta\":{\"logs\":{\"start\":{\"type\":\"info\",\"value\":\"{{input}}\"}}},", "input.data", "\n", "\t",
            "{{`${1}`}}", "{{'\\", "{{!!!!!!!!!!!!!!!!!!!!!!!!}}", "{{((((((((((((((((((((((((((}}",
            "{{1+1+1+1+1+1+1+1+1}}", "{\"value\": {{1}}}"};

static void insert_word(void)
{
    const char *word = words[below(HZ_COUNT_OF(words))];

    replace(below(input_len + 1), 0, word, strlen(word));
}

/* The text ends within a word. */
static void cut_in_word(void)
{
    const char *word = words[below(HZ_COUNT_OF(words))];
    size_t at = below(input_len + 1), len = HZ_MIN(1 + below(strlen(word)), input_most - at);

    memcpy(input + at, word, len);
    input_len = at + len;
}

/* Puts some other JSON value behind a colon. */
static void change_value(void)
{
    static const char *const values[] = {"null", "0", "\"\"", "[]", "{}", "false", "1.5", "\"{{input.data}}\"", "[{}]",
            "{\"value\":7}", "-0", "[[]]"};
    size_t at = below(input_len), end;
    const char *value = values[below(HZ_COUNT_OF(values))];

    while (at < input_len && input[at] != ':')
        at++;
    if (at == input_len)
        return;
    for (end = ++at; end < input_len && !strchr(",\n}]", input[end]); end++)
        ;
    replace(at, end - at, value, strlen(value));
}

static void swap_bytes(void)
{
    size_t a = below(input_len), b = below(input_len);

    if (input_len > 0) {
        char kept = input[a];

        input[a] = input[b];
        input[b] = kept;
    }
}

/* Puts an expression or a piece of one into a property's text: the file stays JSON. */
static void insert_expression(void)
{
    static const char *const pieces[] = {"{{input.data.x}}", "{{input.data.total.y}}", "{{", "}}",
            "{{Inicio.data?.a ?? 1}}", "{{1 + 2 * -3}}", " ", "{{!input}}", "{{typeof Nadie}}",
            "{{input.data['a'][0]}}", "{{f(input)}}", "{{ }}", "{{a b}}", "{{(1}}", "{{x => x}}", "{{/[(/}}", "{", "}",
            "{{'a' + 1 < 2 === true ? [] : {}}}", "{{input.data.n && 1 || 0}}", "{{env.A}}", "{{\"a\"}}",
            "{{undefined}}", "{{-0}}", "{{1/0}}", "{\"k\": \"{{input}}\"}", "Ã±", "{{CondiciÃ³n.data}}"};
    static const char mark[] = "\"value\": \"";
    const char *piece = pieces[below(HZ_COUNT_OF(pieces))];
    size_t from = below(input_len);
    const char *found = memmem(input + from, input_len - from, mark, sizeof(mark) - 1);
    size_t at;
    char escaped[128];
    size_t len = 0;

    if (!found)
        return;
    at = (size_t)(found - input) + sizeof(mark) - 1;
    for (size_t steps = below(12); steps > 0 && at + 1 < input_len && input[at] != '"' && input[at] != '\\'; steps--)
        at++;
    for (const char *c = piece; *c; c++) {
        if (*c == '"')
            escaped[len++] = '\\';
        escaped[len++] = *c;
    }
    replace(at, 0, escaped, len);
}

static void mutate_gently(void)
{
    for (size_t count = 1 + below(6); count > 0; count--)
        if (below(3) == 0)
            change_value();
        else
            insert_expression();
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned int seed)
{
    static void (*const moves[])(void) = {change_byte, remove_range, repeat_range, insert_word, change_value, change_value, insert_word,
            swap_bytes, mutate_gently, mutate_gently, cut_in_word};

    state = (uint64_t)seed * 0x9e3779b97f4a7c15ull + 1;
    input = (char *)data;
    input_len = size;
    input_most = most;
    if (below(4) == 0)
        return LLVMFuzzerMutate(data, size, most);
    moves[below(HZ_COUNT_OF(moves))]();
    return input_len;
}

/* ---- one input ---- */
static bool no_node(void *arg, uint32_t index, const hz_value **ret_data, const hz_value **ret_meta)
{
    (void)arg;
    *ret_data = *ret_meta = NULL;
    return index % 2 == 0;
}

/* Runs what does not need JavaScript. */
static void evaluate(const struct hz_plan *plan)
{
    struct hz_scope scope = {.input_node = "", .input_name = "", .input_data = empty, .node = no_node, .env = empty};
    struct hz_program *program;

    if (hz_program_new(plan, &program) != 0) {
        FUZZ_FAIL("a checked plan makes no program");
    }
    for (uint32_t i = 0; i < plan->node_count; i++) {
        uint32_t count = hz_plan_node(plan, i)->prop_count;
        const hz_value **values = calloc(count + 1u, sizeof(void *));

        HZ_ASSERT(values != NULL && hz_program_params(program, i, &scope, values) >= 0);
        for (uint32_t k = 0; k < count; k++)
            hz_value_unref(values[k]);
        free(values);
    }
    hz_program_free(&program);
}

static void compile(const char *text, size_t len, bool strict)
{
    struct hz_flow_report report = {0};
    struct hz_flow *flow = NULL;
    struct hz_plan *plan = NULL;
    int code = hz_flow_parse(text, len, &report, &flow);

    if (code == 0)
        code = hz_flow_compile(flow, catalog, strict, &report, &plan);
    FUZZ_CHECK((code == 0) == (plan != NULL) && (code == 0 || report.errors > 0));
    if (plan) {
        FUZZ_CHECK(hz_plan_check(plan, plan->size) == 0);
        evaluate(plan);
    }
    for (size_t i = 0; i < report.count; i++) {
        char *line = hz_flow_finding_text(&report.findings[i], "flow.json");

        FUZZ_CHECK(line != NULL && strlen(line) < 4096);
        free(line);
    }
    free(plan);
    hz_flow_free(&flow);
    hz_flow_report_fini(&report);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!catalog) {
        json_error_t error;

        HZ_ASSERT(hz_value_init() == 0);
        catalog = json_load_file(fuzz_source_path("tests/fixtures/catalog.json"), 0, &error);
        HZ_ASSERT(catalog != NULL);
        empty = hz_value_object();
    }
    compile((const char *)data, size, size % 2 == 0); /* half of the inputs strictly */
    return 0;
}
