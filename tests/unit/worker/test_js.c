/* The JavaScript engine behind expressions: language, helper functions, limits, and what must be out of reach. */
#include "tests/harness.h"
#include "tests/unit/memory.h"
#include "worker/js.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define LIMIT_MS 300

/* The leak checker dies reading the thread-local storage of the engine's threads; it is told to leave that out. */
const char *__lsan_default_options(void);
__attribute__((used, visibility("default"))) const char *__lsan_default_options(void)
{
    return "use_tls=0";
}

static struct hz_js *js; /* most tests share one context, as evaluations of a worker do */

/* Evaluates with `input` (JSON text or NULL) and prints the result as JSON, "undefined", or "! error". */
static const char *eval_in(struct hz_js *in, const char *text, const char *input, char *ret, size_t size)
{
    const char *error = "";
    hz_value *data = hz_value_undefined();
    if (input) {
        data = hz_value_parse(input, strlen(input), &error);
        if (!data)
            HZ_FAIL("input %s: %s", input, error);
    }
    struct hz_js_binding binding = {"input", 5, data};
    const hz_value *value = hz_js_eval(in, text, strlen(text), &binding, 1, &error);
    hz_value_unref(data);
    if (!value) {
        (void)snprintf(ret, size, "! %s", error);
        return ret;
    }
    if (hz_value_type(value) == HZ_UNDEFINED)
        return "undefined";
    if (hz_value_type(value) == HZ_NUMBER && !isfinite(hz_value_num(value))) {
        char number[32];
        (void)hz_value_format_number(hz_value_num(value), number);
        (void)snprintf(ret, size, "%s", number);
        return ret;
    }
    struct hz_buffer buffer = {0};
    hz_value_print(&buffer, value);
    (void)snprintf(ret, size, "%s", buffer.data);
    hz_buffer_fini(&buffer);
    hz_value_unref(value);
    return ret;
}

static const char *eval(const char *text, const char *input)
{
    static char result[4096];
    if (!js)
        HZ_ASSERT_OK(hz_js_new(false, LIMIT_MS, &js));
    return eval_in(js, text, input, result, sizeof result);
}

struct row {
    const char *text, *result;
};

static void check_rows(const struct row *rows, size_t count, const char *input)
{
    for (size_t i = 0; i < count; i++) {
        const char *result = eval(rows[i].text, input);
        if (strcmp(result, rows[i].result) != 0)
            HZ_FAIL("%s is %s, expected %s", rows[i].text, result, rows[i].result);
    }
}
#define CHECK_ROWS(rows, input) check_rows(rows, sizeof(rows) / sizeof((rows)[0]), input)

static int thread_count(void)
{
    char line[128];
    int count = -1;
    FILE *file = fopen("/proc/self/status", "re");
    HZ_ASSERT_NOT_NULL(file);
    while (fgets(line, sizeof line, file)) {
        if (strncmp(line, "Threads:", 8) == 0)
            count = (int)strtol(line + 8, NULL, 10);
    }
    (void)fclose(file);
    return count;
}

/* Stays first: later tests make contexts in this process, and after that nothing may be forked that uses one. */
HZ_TEST(js, works_after_fork_when_only_preloaded_and_children_differ)
{
    HZ_ASSERT_OK(hz_value_init());
    int threads = thread_count(), channel[2];
    HZ_ASSERT_OK(hz_js_preload());
    HZ_ASSERT_OK(hz_js_preload());
    HZ_ASSERT_EQ(thread_count(), threads);
    if (!HZ_TEST_TSAN) /* which has a thread of its own */
        HZ_ASSERT_EQ(threads, 1);
    HZ_ASSERT_EQ(pipe(channel), 0);
    char said[3][64] = {{0}};
    for (int i = 0; i < 3; i++) {
        pid_t child = fork();
        HZ_ASSERT_GE(child, 0);
        if (child == 0) {
            struct hz_js *mine;
            char text[64];
            if (hz_js_new(false, 1000, &mine) < 0)
                _exit(2);
            (void)eval_in(
                    mine, "String(Math.random()) + _randomString(8) + [1, 2].map(x => x + 1)", NULL, text, sizeof text);
            _exit(write(channel[1], text, sizeof text) == sizeof text ? 0 : 3);
        }
        int status;
        HZ_ASSERT_EQ(waitpid(child, &status, 0), child);
        HZ_ASSERT_TRUE(WIFEXITED(status));
        HZ_ASSERT_EQ(WEXITSTATUS(status), 0);
        HZ_ASSERT_EQ(read(channel[0], said[i], sizeof said[i]), sizeof said[i]);
        HZ_ASSERT_STR_HAS(said[i], "2,3");
    }
    HZ_ASSERT_NE(strcmp(said[0], said[1]), 0);
    HZ_ASSERT_NE(strcmp(said[1], said[2]), 0);
    HZ_ASSERT_EQ(thread_count(), threads);
    (void)close(channel[0]);
    (void)close(channel[1]);
}

HZ_TEST(js, the_language_is_current)
{
    static const struct row rows[] = {{"input.data.list.map(x => x * 2)", "[2,4,6]"},
            {"`${input.data.name}!`", "\"Ana!\""}, {"input.data?.none?.deep", "undefined"},
            {"input.data.none ?? 'x'", "\"x\""}, {"[...input.data.list, ...[4]]", "[1,2,3,4]"},
            {"({...input.data, list: 0})", "{\"name\":\"Ana\",\"list\":0}"},
            {"(({name, list: [first, ...rest]}) => [name, first, rest])(input.data)", "[\"Ana\",1,[2,3]]"},
            {"new Map([['a', 1]]).get('a')", "1"}, {"[...new Set([1, 1, 2])]", "[1,2]"}, {"2 ** 10", "1024"},
            {"Object.fromEntries([['a', 1]])", "{\"a\":1}"}, {"[1, [2, [3]]].flat(Infinity)", "[1,2,3]"},
            {"'a-b-c'.replaceAll('-', '+')", "\"a+b+c\""}, {"[3, 1, 2].toSorted()", "[1,2,3]"},
            {"[1, 2, 3].at(-1)", "3"},
            {"Object.groupBy([1, 2, 3], x => x % 2 ? 'odd' : 'even')", "{\"odd\":[1,3],\"even\":[2]}"},
            {"/(?<y>\\d{4})/.exec('in 2025').groups.y", "\"2025\""},
            {"(() => { let s = 0; for (const x of [1, 2]) s += x; return s })()", "3"},
            {"class { #a = 1; static b = 2 }.b", "2"}, {"1_000n * 2n", "\"2000\""},
            {"structuredClone", "! ReferenceError: Can't find variable: structuredClone"},
            {"JSON.parse('{\"a\":[1]}').a", "[1]"}, {"input.data.list.length, 5", "5"}, {"{a: 1}", "{\"a\":1}"},
            {"{}", "{}"}, {"1 // one\n+ 1 // two", "2"}, {"function () { return 1 }()", "1"},
            {"input.data.list.reduce((a, b) => a + b, 0) / 3", "2"}};
    CHECK_ROWS(rows, "{\"data\":{\"name\":\"Ana\",\"list\":[1,2,3]}}");
}

HZ_TEST(js, values_cross_with_their_kind)
{
    static const struct row rows[] = {{"undefined", "undefined"}, {"null", "null"}, {"NaN", "NaN"},
            {"-1 / 0", "-Infinity"}, {"0.1 + 0.2", "0.30000000000000004"}, {"2 ** 53 + 2", "9007199254740994"},
            {"'\\u0000a'", "\"\\u0000a\""}, {"'\\ud83d'", "\"\xef\xbf\xbd\""},
            {"'\\ud83d\\ude00 \\u00e9'", "\"\xf0\x9f\x98\x80 \xc3\xa9\""}, {"() => 1", "undefined"},
            {"Symbol('a')", "undefined"}, {"class A {}", "undefined"}, {"new Map([[1, 2]])", "{}"},
            {"[undefined, () => 1, NaN]", "[null,null,null]"}, {"({a: undefined, b: 1})", "{\"b\":1}"},
            {"new Date(0)", "\"1970-01-01T00:00:00.000Z\""}, {"({toJSON: () => undefined})", "undefined"},
            {"['\\udc00']", "[\"\xef\xbf\xbd\"]"}, {"({b: 1, 2: 0, 1: 0})", "{\"1\":0,\"2\":0,\"b\":1}"},
            {"new Number(5)", "5"},
            {"(() => { const a = []; a.a = a; a.push(a); return a })()",
                    "! TypeError: JSON.stringify cannot serialize cyclic structures."}};
    CHECK_ROWS(rows, NULL);
    HZ_ASSERT_STR_EQ(
            eval("input.n === Infinity && input.m === -Infinity && input.t === 'x\\u0000' && input['\\u00e9'] === 0",
                    "{\"n\":1e400,\"m\":-1e400,\"t\":\"x\\u0000\",\"\xc3\xa9\":0}"),
            "true");
    HZ_ASSERT_STR_EQ(eval("input", "\"text\""), "\"text\"");
    HZ_ASSERT_STR_EQ(eval("input === undefined", NULL), "true");
    HZ_ASSERT_STR_EQ(eval("Object.keys(input)", "{\"b\":1,\"2\":0,\"__proto__\":{\"x\":1},\"1\":0}"),
            "[\"1\",\"2\",\"b\",\"__proto__\"]");
    HZ_ASSERT_STR_EQ(eval("[input.x, ({}).x]", "{\"__proto__\":{\"x\":1}}"), "[null,null]");
    hz_value *holder = hz_value_array();
    HZ_ASSERT_EQ(hz_value_push(holder, hz_value_number((double)NAN)), 0);
    struct hz_js_binding nan = {"input", 5, holder};
    const char *error = "";
    const hz_value *same = hz_js_eval(js, "Number.isNaN(input[0])", 22, &nan, 1, &error);
    HZ_ASSERT_TRUE(hz_value_truthy(same));
    hz_value_unref(holder);
}

HZ_TEST(js, names_are_bound_when_they_are_names)
{
    hz_value *one = hz_value_int(1), *two = hz_value_int(2);
    const struct hz_js_binding bindings[] = {{"node_A", 6, one}, {"a b", 3, one}, {"class", 5, one}, {"9x", 2, one},
            {"ma\xc3\xb1"
             "ana",
                    7, two},
            {"node_A", 6, two}, {"", 0, one}, {"x){", 3, one}, {"arguments", 9, one}, {"a-b", 3, one}};
    static const struct row rows[] = {{"node_A + ma\xc3\xb1"
                                       "ana",
                                              "3"},
            {"'class' + '9x' + 'a b' + node_A", "\"class9xa b1\""},
            {"'class' + '9x' + 'a b' + node_A ", "\"class9xa b1\""}, {"typeof input", "\"undefined\""},
            {"arguments.length", "0"}, {"this === undefined", "true"}, {"typeof x", "\"undefined\""}};
    for (int twice = 0; twice < 2; twice++) { /* the second time from the cache */
        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
            const char *error = "";
            const hz_value *value = hz_js_eval(
                    js, rows[i].text, strlen(rows[i].text), bindings, sizeof bindings / sizeof bindings[0], &error);
            if (!value)
                HZ_FAIL("%s: %s", rows[i].text, error);
            struct hz_buffer buffer = {0};
            hz_value_print(&buffer, value);
            HZ_ASSERT_STR_EQ(buffer.data, rows[i].result);
            hz_buffer_fini(&buffer);
            hz_value_unref(value);
        }
    }
    hz_value_unref(one);
    hz_value_unref(two);
}

HZ_TEST(js, one_text_with_other_names_is_another_function)
{
    hz_value *one = hz_value_int(1), *two = hz_value_int(2);
    struct hz_js_binding a = {"a", 1, one}, b = {"b", 1, two}, both[] = {b, a};
    const char *error, *text = "typeof a + typeof b";
    for (int round = 0; round < 3; round++) {
        const hz_value *value = hz_js_eval(js, text, strlen(text), &a, 1, &error);
        HZ_ASSERT_STR_EQ(hz_value_str(value).data, "numberundefined");
        hz_value_unref(value);
        value = hz_js_eval(js, text, strlen(text), &b, 1, &error);
        HZ_ASSERT_STR_EQ(hz_value_str(value).data, "undefinednumber");
        hz_value_unref(value);
        value = hz_js_eval(js, text, strlen(text), both, 2, &error);
        HZ_ASSERT_STR_EQ(hz_value_str(value).data, "numbernumber");
        hz_value_unref(value);
    }
    hz_value_unref(one);
    hz_value_unref(two);
}

HZ_TEST(js, helper_functions_follow_the_contract)
{
    static const struct row rows[] = {{"_keys(input)", "[\"a\",\"b\"]"}, {"_keys(input, ', ')", "\"a, b\""},
            {"_keysReplace(input, ' = $#', '#')", "[\"a = $1\",\"b = $2\"]"},
            {"_keysReplace(input, ':[0-9]', '\\\\[.*?\\\\]')", "[\"a:1\",\"b:2\"]"},
            {"_keysReplace(input)", "{\"a\":1,\"b\":\"x\"}"}, {"_values(input)", "[1,\"x\"]"},
            {"_values(input, '-')", "\"1-x\""}, {"_repeat('n#/#', 2, '#')", "[\"n1/#\",\"n2/#\"]"},
            {"_repeat(0, 3)", "[0,0,0]"}, {"_repeat('a', 2)", "[\"a\",\"a\"]"}, {"_length('abc')", "3"},
            {"_length(input)", "2"}, {"_length([1, 2, 3])", "3"}, {"_length(7)", "7"},
            {"_extract(input, ['b', 'z'])", "{\"b\":\"x\"}"}, {"_extractValues(input, ['b', 'a'])", "[\"x\",1]"},
            {"[..._repeat(0, 200)].every(() => { const n = _randomInt(3, 6); return n >= 3 && n < 6 && "
             "Number.isInteger(n) })",
                    "true"},
            {"new Set(_repeat(0, 300).map(() => _randomInt(0, 3))).size", "3"}, {"_randomInt('a', 2)", "0"},
            {"_randomInt()", "0"}, {"/^[12]\\.\\d\\d$/.test(_randomFloat(1, 2))", "true"},
            {"/^\\d\\.\\d{4}$/.test(_randomFloat(1, 2, 4))", "true"},
            {"/^[A-Za-z0-9]{12}$/.test(_randomString(12))", "true"},
            {"_randomString(12) !== _randomString(12)", "true"},
            {"/^\\d\\d\\/\\d\\d\\/\\d{4} \\d\\d:\\d\\d:\\d\\d$/.test(_now())", "true"},
            {"_now('YYYY') == new Date().getFullYear()", "true"},
            {"_now('[YYYY] D') === 'YYYY ' + new Date().getDate()", "true"}, {"btoa('se\\u00f1or')", "\"c2XDsW9y\""},
            {"btoa('')", "\"\""}, {"btoa('a')", "\"YQ==\""}, {"btoa('ab')", "\"YWI=\""}, {"atob('YWJj')", "\"abc\""},
            {"atob('YQ')", "\"a\""}, {"atob(' Y Q = = ')", "\"a\""}, {"atob('c2XDsW9y').length", "6"},
            {"atob('****')", "! TypeError: atob: the text is not base64"}, {"typeof _dayJs", "\"undefined\""},
            {"_length(null)", "! TypeError: null is not an object (evaluating 'keys(x)')"}};
    CHECK_ROWS(rows, "{\"a\":1,\"b\":\"x\"}");
}

HZ_TEST(js, nothing_impure_is_in_reach)
{
    static const char *const names[] = {"process", "require", "module", "console", "fetch", "XMLHttpRequest",
            "WebSocket", "setTimeout", "setInterval", "queueMicrotask", "print", "readFile", "load", "Promise",
            "Atomics", "SharedArrayBuffer", "WeakRef", "FinalizationRegistry", "WebAssembly", "Deno", "Bun", "global",
            "window", "self", "document", "imports", "$vm", "gc"};
    char text[128];
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        (void)snprintf(text, sizeof text, "typeof %s + typeof globalThis['%s']", names[i], names[i]);
        HZ_ASSERT_STR_EQ(eval(text, NULL), "\"undefinedundefined\"");
    }
    static const struct row rows[] = {{"eval('1')", "! EvalError: code from text is not allowed in expressions"},
            {"new Function('return 1')()", "! EvalError: code from text is not allowed in expressions"},
            {"(() => 1).constructor('return this')()", "! EvalError: code from text is not allowed in expressions"},
            {"(function* () {}).constructor('yield 1')", "! EvalError: code from text is not allowed in expressions"},
            {"import('/etc/passwd')", "! SyntaxError: import is not available in expressions"},
            {"(async () => 1)()", "! SyntaxError: asynchronous functions are not available in expressions"},
            {"(async function () { while (true) await 0 })()",
                    "! SyntaxError: asynchronous functions are not available in expressions"},
            {"({async *a() {}})", "! SyntaxError: asynchronous functions are not available in expressions"},
            {"(() => { class A { static async x() {} }; return 1 })()",
                    "! SyntaxError: asynchronous functions are not available in expressions"},
            {"[...async x => 1]", "! SyntaxError: asynchronous functions are not available in expressions"},
            {"'run async () => 1' + `async ${1}` + /async ()/.source", "\"run async () => 1async 1async ()\""},
            {"({async: 1}).async + ((async) => async)(1)", "2"},
            {"({import: 1}).import + ' import(x)'", "\"1 import(x)\""}};
    CHECK_ROWS(rows, NULL);
}

HZ_TEST(js, only_one_expression_is_accepted)
{
    static const char *const refused[] = {"1) ; (2", "1];[2", ") ; (", "", " ", "// nothing", "1; 2", "1;", "let a = 1",
            "return 1", "if (1) 2", "while (1);", "var x", "1 /*", "`", "'", "(", ")", "1 +", "...[1]", "throw 1",
            "a => { }; 1", "}) ; (function () { return 1", "1\n)})()\n((() => (1", "1 <!-- x\n); (1", "yield 1",
            "await 1", "new.target", "super.x", "import.meta", "010", "with (a) b", "delete input", "1)//", "1)/*",
            "\xff"};
    static const char *const accepted[] = {"1", "(1)", "[1]", "a, b", "x => { while (x) x--; return x }", "'); ('",
            "`)${']'}`", "/[)\\]]/.test(')')", "input.a ? 1 : 2"};
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        const char *reason = hz_js_check(js, refused[i], strlen(refused[i]));
        if (!reason)
            HZ_FAIL("accepted: %s", refused[i]);
        HZ_ASSERT_STR_HAS(reason, "SyntaxError: ");
        HZ_ASSERT_STR_HAS(eval(refused[i], "{}"), "! SyntaxError: ");
    }
    for (size_t i = 0; i < sizeof accepted / sizeof accepted[0]; i++)
        HZ_ASSERT_STR_EQ(hz_js_check(js, accepted[i], strlen(accepted[i])), NULL);
    HZ_ASSERT_STR_HAS(hz_js_check(js, "1\0+1", 4), "bytes that are not text");
}

HZ_TEST(js, errors_say_what_the_engine_says)
{
    static const struct row rows[] = {
            {"input.none.deep", "! TypeError: undefined is not an object (evaluating 'input.none.deep')"},
            {"nobody", "! ReferenceError: Can't find variable: nobody"}, {"(() => { throw 'text' })()", "! text"},
            {"(() => { throw { toString() { throw 1 } } })()", "! Error: an exception without text"},
            {"JSON.parse('{')", "! SyntaxError: JSON Parse error: Expected '}'"},
            {"(() => { throw new RangeError('r') })()", "! RangeError: r"},
            {"null.x", "! TypeError: null is not an object (evaluating 'null.x')"},
            {"(function f() { f() })()", "! RangeError: Maximum call stack size exceeded."}};
    CHECK_ROWS(rows, "{}");
    char long_error[4096] = "(() => { throw 'x' + '";
    for (int i = 0; i < 600; i++)
        must_append(long_error, sizeof long_error, "\xc3\xa9");
    must_append(long_error, sizeof long_error, "' })()");
    const char *error = eval(long_error, NULL);
    HZ_ASSERT_LE(strlen(error), 1025);
    HZ_ASSERT_GE(strlen(error), 1020);
    HZ_ASSERT_EQ(hz_value_length(hz_value_null()), 0);
}

HZ_TEST(js, an_endless_evaluation_is_ended)
{
    static const char *const endless[] = {"(() => { while (true); })()",
            "(() => { for (;;) try { for (;;); } catch { } finally { for (;;); } })()",
            "[...(function* () { for (;;) yield })()].length", "({toJSON() { for (;;); }})",
            "(() => { throw { toString() { for (;;); } } })()", "[1].map(function f(x) { for (;;) x++ })",
            "new Proxy({}, { ownKeys() { for (;;); } })"};
    for (size_t i = 0; i < sizeof endless / sizeof endless[0]; i++) {
        uint64_t start = hz_test_now_ms();
        HZ_ASSERT_STR_EQ(eval(endless[i], NULL), "! time limit of 300 ms exceeded");
        HZ_ASSERT_LT(hz_test_now_ms() - start, 20000);
        HZ_ASSERT_STR_EQ(eval("1 + 1", NULL), "2"); /* the context goes on */
    }
}

HZ_TEST(js, a_runaway_regular_expression_is_ended)
{
    HZ_ASSERT_STR_HAS(eval("/^(([a-z])+.)+[A-Z]([a-z])+$/.test('a'.repeat(4000))", NULL), "! ");
    HZ_ASSERT_STR_EQ(eval("/^a+$/.test('aaa')", NULL), "true");
}

HZ_TEST(js, nothing_leaks_from_one_evaluation_to_the_next)
{
    static const char *const attempts[] = {"globalThis.leak = 1", "Math.leak = 1", "Math.max = () => 0",
            "Array.prototype.leak = 1", "Object.prototype.leak = 1", "JSON.stringify = () => '0'", "_keys.leak = 1",
            "_keys = 1", "Math = 1", "undeclared = 1", "[].map.leak = 1", "Intl.leak = 1",
            "Object.getPrototypeOf([][Symbol.iterator]()).next = 1", "Object.getPrototypeOf(function* () {}).leak = 1",
            "Error.prototype.message = 'x'", "Object.prototype.toString = 1",
            "Reflect.setPrototypeOf(Array.prototype, null) ? 0 : null.x",
            "Object.defineProperty(String.prototype, 'leak', { value: 1 })", "delete Array.prototype.map",
            "globalThis.__proto__ = {}", "Object.getPrototypeOf(globalThis).leak = 1", "Symbol.prototype.leak = 1",
            "Object.getPrototypeOf(Int8Array).leak = 1", "Object.getPrototypeOf(''.matchAll(/x/g)).leak = 1",
            "(() => 1).constructor.leak = 1", "new Intl.NumberFormat('es').constructor.prototype.leak = 1",
            "globalThis.input = 1", "Date.now = () => 0"};
    for (size_t i = 0; i < sizeof attempts / sizeof attempts[0]; i++) {
        const char *result = eval(attempts[i], "{}");
        if (result[0] != '!')
            HZ_FAIL("%s gave %s", attempts[i], result);
        HZ_ASSERT_STR_EQ(
                eval("[typeof leak, [].leak, ({}).leak, ''.leak, Math.max(1, 2), typeof _keys, [1].map(x => x)]", NULL),
                "[\"undefined\",null,null,null,2,\"function\",[1]]");
    }
    HZ_ASSERT_STR_EQ(eval("input.list.push(4), input.list", "{\"list\":[1]}"), "[1,4]");
    HZ_ASSERT_STR_EQ(eval("/secret/.test('my secret')", NULL), "true");
    HZ_ASSERT_STR_EQ(
            eval("RegExp.lastMatch + RegExp.input + RegExp['$_'] + /x/.constructor.leftContext", NULL), "\"\"");
}

HZ_TEST(js, the_input_is_the_expressions_own_copy)
{
    const char *error = "";
    hz_value *data = hz_value_parse("{\"list\":[3,1,2]}", 16, &error);
    struct hz_js_binding binding = {"input", 5, data};
    for (int i = 0; i < 2; i++) {
        const hz_value *sorted = hz_js_eval(
                js, "(input.list.sort(), input.extra = 1, delete input.none, input.list)", 67, &binding, 1, &error);
        HZ_ASSERT_NOT_NULL(sorted);
        HZ_ASSERT_EQ(hz_value_length(sorted), 3);
        HZ_ASSERT_DBL_EQ(hz_value_num(hz_value_at(sorted, 0)), 1.0);
        hz_value_unref(sorted);
    }
    HZ_ASSERT_DBL_EQ(hz_value_num(hz_value_at(hz_value_get(data, "list", 4), 0)), 3.0);
    HZ_ASSERT_EQ(hz_value_length(data), 1);
    hz_value_unref(data);
}

HZ_TEST(js, data_may_be_named_like_what_objects_inherit)
{
    static const struct row rows[] = {{"Object.keys(input).reduce((a, k) => { a[k] = 1; return a }, {})",
                                              "{\"constructor\":1,\"toString\":1,\"valueOf\":1,\"hasOwnProperty\":1}"},
            {"({...input}).constructor", "\"c\""},
            {"(() => { const e = new Error('a'); e.message = 'b'; e.name = 'N'; return String(e) })()", "\"N: b\""},
            {"[String({}), ({}).constructor === Object, ({}).hasOwnProperty('a')]",
                    "[\"[object Object]\",true,false]"}};
    CHECK_ROWS(rows, "{\"constructor\":\"c\",\"toString\":1,\"valueOf\":2,\"hasOwnProperty\":3}");
}

HZ_TEST(js, values_too_deep_are_refused_both_ways)
{
    hz_value *deep = hz_value_int(1);
    for (int i = 0; i < HZ_VALUE_DEPTH + 1; i++) {
        hz_value *around = hz_value_array();
        HZ_ASSERT_EQ(hz_value_push(around, deep), 0);
        hz_value_unref(deep);
        deep = around;
    }
    struct hz_js_binding binding = {"input", 5, deep};
    const char *error = "";
    HZ_ASSERT_NULL(hz_js_eval(js, "input", 5, &binding, 1, &error));
    HZ_ASSERT_STR_EQ(error, "RangeError: a value is nested deeper than 512 levels");
    hz_value_unref(deep);
    HZ_ASSERT_STR_HAS(eval("(() => { let a = 1; for (let i = 0; i < 600; i++) a = [a]; return a })()", NULL),
            "! RangeError: result refused: nested deeper");
}

HZ_TEST(js, more_functions_than_are_kept_still_work)
{
    char text[64], expected[32];
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 1500; i++) {
            (void)snprintf(text, sizeof text, "%d + input", i);
            (void)snprintf(expected, sizeof expected, "%d", i + 1);
            HZ_ASSERT_STR_EQ(eval(text, "1"), expected);
        }
    }
}

struct runner {
    pthread_t thread;
    int index;
    char result[64];
};

static void *run_own_context(void *arg)
{
    struct runner *runner = arg;
    struct hz_js *mine;
    char text[64];
    if (hz_js_new(false, 2000, &mine) < 0)
        return NULL;
    for (int i = 0; i < 500; i++) {
        (void)snprintf(text, sizeof text, "[%d, input.map(x => x + %d)]", i, runner->index);
        (void)eval_in(mine, text, "[1,2]", runner->result, sizeof runner->result);
    }
    hz_js_free(&mine);
    return NULL;
}

HZ_TEST(js, threads_have_contexts_of_their_own_even_on_small_stacks)
{
    struct runner runners[2] = {{.index = 1}, {.index = 2}};
    pthread_attr_t small;
    HZ_ASSERT_EQ(pthread_attr_init(&small), 0);
    HZ_ASSERT_EQ(pthread_attr_setstacksize(&small, HZ_TEST_ASAN || HZ_TEST_TSAN ? 2u << 20 : 512u << 10), 0);
    for (int i = 0; i < 2; i++)
        HZ_ASSERT_EQ(pthread_create(&runners[i].thread, &small, run_own_context, &runners[i]), 0);
    for (int i = 0; i < 2; i++)
        HZ_ASSERT_EQ(pthread_join(runners[i].thread, NULL), 0);
    HZ_ASSERT_STR_EQ(runners[0].result, "[499,[2,3]]");
    HZ_ASSERT_STR_EQ(runners[1].result, "[499,[3,4]]");
    (void)pthread_attr_destroy(&small);
}

HZ_TEST(js, numbers_print_as_the_engine_prints_them)
{
    char text[96], expected[64], ours[32];
    uint64_t state = 88172645463325252u;
    for (int i = 0; i < 4000; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        double v = i < 2098 ? ldexp(1.0, i - 1074) : (double)(state >> 11) * 0x1p-53 * pow(10, i % 40 - 20);
        if (!isfinite(v))
            continue;
        hz_value *number = hz_value_number(v);
        struct hz_js_binding binding = {"n", 1, number};
        const char *error = "";
        const hz_value *printed = hz_js_eval(js, "String(n)", 9, &binding, 1, &error);
        (void)snprintf(expected, sizeof expected, "%s", hz_value_str(printed).data);
        (void)hz_value_format_number(v, ours);
        (void)snprintf(text, sizeof text, "%a: %s", v, ours);
        if (strcmp(ours, expected) != 0)
            HZ_FAIL("%s, the engine prints %s", text, expected);
        hz_value_unref(printed);
        hz_value_unref(number);
    }
}

HZ_SUITE_CLEANUP(js)
{
    hz_js_free(&js);
}

HZ_TEST(js, contexts_can_be_made_and_ended_again_and_again)
{
    hz_js_free(&js);
    HZ_ASSERT_NULL(js);
    hz_js_free(&js);
    for (int i = 0; i < 20; i++) {
        HZ_ASSERT_STR_EQ(eval("input * 2", "21"), "42");
        hz_js_free(&js);
    }
}
