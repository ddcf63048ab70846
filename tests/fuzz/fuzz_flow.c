/*
 * fuzz_flow.c - seeded mutations of the sample flows through parser, compiler, plan check and program, in this process.
 *
 *     fuzz_flow [COUNT [SEED]]     default 10,000 and a fixed seed; both are printed, so that a failure can be repeated
 *
 * An input may be refused or compile; a signal, an assertion or more than a second for one input fails the program and
 * leaves the input in fuzz_flow.json in the working directory.
 */
#include "core/flow/flow.h"
#include "shm/base.h"
#include "worker/expression.h"
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_COUNT   10000u
#define DEFAULT_SEED    20261123u
#define INPUT_MAX       (1u << 20)
#define SECONDS_FOR_ONE 1u

static const char *const names[] = {
        "conditional", "delay", "error", "hello", "iteration", "large", "parallelism", "webhook"};
static char *samples[HZ_COUNT_OF(names)];
static size_t sample_lens[HZ_COUNT_OF(names)];
static char input[INPUT_MAX + 64];
static size_t input_len;
static uint64_t state;
static unsigned long seed;

/* xorshift64* (Vigna 2016): the same numbers on every machine. */
static uint64_t draw(void)
{
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return state * 2685821657736338717ull;
}

static size_t below(size_t bound)
{
    return bound == 0 ? 0 : (size_t)(draw() % bound);
}

/* Only what a handler may do: keep the input, say which one it was, end. */
static void failed(int signal_number)
{
    static const char text[] = "fuzz_flow: input kept in fuzz_flow.json\n";
    int fd = open("fuzz_flow.json", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ssize_t ignored = 0;

    if (fd >= 0)
        ignored += write(fd, input, input_len);
    ignored += write(STDERR_FILENO, text, sizeof(text) - 1);
    (void)ignored;
    signal(signal_number, SIG_DFL);
    raise(signal_number == SIGALRM ? SIGABRT : signal_number);
}

/* ---- mutations ---- */
static void replace(size_t at, size_t old_len, const char *text, size_t len)
{
    if (at + old_len > input_len || input_len - old_len + len > INPUT_MAX)
        return;
    memmove(input + at + len, input + at + old_len, input_len - at - old_len);
    memcpy(input + at, text, len);
    input_len += len - old_len;
}

static void change_byte(void)
{
    if (input_len > 0)
        input[below(input_len)] = (char)draw();
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
static void insert_word(void)
{
    static const char *const words[] = {"{{", "}}", "{{input.data.x}}", "{{f(1)}}", "{{(", "{{a?.b ?? 1}}", "null",
            "true", "-1", "1e999", "12345678901234567890", "\"\"", "[]", "{}", "[[[[[[[[[[", "{\"a\":", "\\u0000",
            "\\ud800", "\xff", "\xc3", "\"type\":\"options\",", "\"evaluation\":{\"all\":true},",
            "\"evaluation\":{\"active\":false},", "workflow_init", "conditional", "\"value\":", "nodes",
            "\"meta\":{\"timeout\":1e9},",
            "\"meta\":{\"logs\":{\"start\":{\"type\":\"info\",\"value\":\"{{input}}\"}}},", "input.data", "\n", "\t",
            "{{`${1}`}}", "{{'\\", "{{!!!!!!!!!!!!!!!!!!!!!!!!}}", "{{((((((((((((((((((((((((((}}",
            "{{1+1+1+1+1+1+1+1+1}}", "{\"value\": {{1}}}"};
    const char *word = words[below(HZ_COUNT_OF(words))];

    replace(below(input_len + 1), 0, word, strlen(word));
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

static void insert_other(void)
{
    size_t other = below(HZ_COUNT_OF(names)), at = below(sample_lens[other]),
           len = HZ_MIN(1 + below(2000), sample_lens[other] - at);

    replace(below(input_len + 1), 0, samples[other] + at, len);
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

static void mutate(void)
{
    static void (*const moves[])(void) = {change_byte, remove_range, repeat_range, insert_word, change_value,
            change_value, insert_word, insert_other, swap_bytes};
    size_t sample = below(HZ_COUNT_OF(names)), count = 1 + below(below(3) ? 3 : 20);

    memcpy(input, samples[sample], sample_lens[sample]);
    input_len = sample_lens[sample];
    if (below(2) == 0) {
        mutate_gently();
        return;
    }
    while (count-- > 0)
        moves[below(HZ_COUNT_OF(moves))]();
}

/* ---- one input ---- */
static bool no_node(void *arg, uint32_t index, const hz_value **ret_data, const hz_value **ret_meta)
{
    (void)arg;
    *ret_data = *ret_meta = NULL;
    return index % 2 == 0;
}

/* Runs what does not need JavaScript. */
static void evaluate(const struct hz_plan *plan, const hz_value *empty)
{
    struct hz_scope scope = {.input_node = "", .input_name = "", .input_data = empty, .node = no_node, .env = empty};
    struct hz_program *program;

    if (hz_program_new(plan, &program) != 0) {
        fprintf(stderr, "fuzz_flow: a checked plan makes no program\n");
        abort();
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

/* True if it compiled. */
static bool try_input(const json_t *catalog, const hz_value *empty, bool strict)
{
    struct hz_flow_report report = {0};
    struct hz_flow *flow = NULL;
    struct hz_plan *plan = NULL;
    bool good = false;
    int code;

    alarm(SECONDS_FOR_ONE);
    code = hz_flow_parse(input, input_len, &report, &flow);
    if (code == 0)
        code = hz_flow_compile(flow, catalog, strict, &report, &plan);
    HZ_ASSERT((code == 0) == (plan != NULL) && (code == 0 || report.errors > 0));
    if (plan) {
        HZ_ASSERT(hz_plan_check(plan, plan->size) == 0);
        evaluate(plan, empty);
        good = true;
    }
    for (size_t i = 0; i < report.count; i++) {
        char *text = hz_flow_finding_text(&report.findings[i], "flow.json");

        HZ_ASSERT(text != NULL && strlen(text) < 4096);
        free(text);
    }
    alarm(0);
    free(plan);
    hz_flow_free(&flow);
    hz_flow_report_fini(&report);
    return good;
}

static char *read_file(const char *path, size_t *ret_len)
{
    FILE *file = fopen(path, "rb");
    char *text = malloc(INPUT_MAX);

    if (!file || !text) {
        fprintf(stderr, "fuzz_flow: cannot read %s\n", path);
        exit(2);
    }
    *ret_len = fread(text, 1, INPUT_MAX, file);
    fclose(file);
    return text;
}

static json_t *load_samples(void)
{
    const char *root = getenv("HZ_SOURCE_DIR");
    char path[4096];
    json_error_t error;
    json_t *catalog;

    if (!root) {
        fprintf(stderr, "fuzz_flow: HZ_SOURCE_DIR names the source tree\n");
        exit(2);
    }
    for (size_t i = 0; i < HZ_COUNT_OF(names); i++) {
        snprintf(path, sizeof(path), "%s/tests/flows/%s/flow.json", root, names[i]);
        samples[i] = read_file(path, &sample_lens[i]);
    }
    snprintf(path, sizeof(path), "%s/tests/fixtures/catalog.json", root);
    catalog = json_load_file(path, 0, &error);
    if (!catalog) {
        fprintf(stderr, "fuzz_flow: %s: %s\n", path, error.text);
        exit(2);
    }
    return catalog;
}

int main(int argc, char **argv)
{
    unsigned long count = argc > 1 ? strtoul(argv[1], NULL, 10) : DEFAULT_COUNT, compiled = 0;
    json_t *catalog;
    hz_value *empty;
    uint64_t started;

    seed = argc > 2 ? strtoul(argv[2], NULL, 10) : DEFAULT_SEED;
    printf("fuzz_flow: %lu inputs, seed %lu\n", count, seed);
    fflush(stdout);
    if (hz_value_init() != 0)
        return 2;
    catalog = load_samples();
    empty = hz_value_object();
    signal(SIGALRM, failed);
    signal(SIGABRT, failed);
    signal(SIGSEGV, failed);
    signal(SIGBUS, failed);
    signal(SIGFPE, failed);
    started = hz_base_now_ns();
    for (unsigned long i = 0; i < count; i++) {
        state = (seed + 1) * 0x9e3779b97f4a7c15ull + i; /* each input from its own number: one can be repeated alone */
        draw();
        mutate();
        compiled += try_input(catalog, empty, i % 2 == 0);
    }
    printf("fuzz_flow: %lu compiled, %lu refused, %.1f us each\n", compiled, count - compiled,
            (double)(hz_base_now_ns() - started) / 1e3 / (double)HZ_MAX(count, 1ul));
    hz_value_unref(empty);
    json_decref(catalog);
    for (size_t i = 0; i < HZ_COUNT_OF(names); i++)
        free(samples[i]);
    return 0;
}
