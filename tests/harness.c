/*
 * harness.c - registration, assertions and main() of every test program, on top of CUnit: each HZ_TEST becomes a CUnit
 * test of its suite, a failed assertion a fatal CUnit one. Processes and files are in harness_os.c.
 */
#include "harness.h"

#include <CUnit/Basic.h>
#include <math.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_SUITES 64

void hz_test_enter_dir_(void);
void hz_test_leave_dir_(void);
const char *hz_err_last(void) __attribute__((weak)); /* there when the program links hz_shm's err.c */

struct suite {
    const char *name;
    hz_test_fn *hooks[HZ_HOOK_COUNT];
};

static struct hz_test_case *first_test, **last_test = &first_test;
static struct suite suites[MAX_SUITES];
static size_t suite_count;
static struct suite *current_suite;
static pthread_t test_thread;
static pid_t test_process;
static size_t left_out_count;
static atomic_size_t assert_count; /* relaxed: a total for the summary, any thread adds */

static struct suite *suite_get(const char *name)
{
    for (size_t i = 0; i < suite_count; i++)
        if (strcmp(suites[i].name, name) == 0)
            return &suites[i];
    if (suite_count == MAX_SUITES) {
        fprintf(stderr, "harness: more than %d suites in one program\n", MAX_SUITES);
        abort();
    }
    suites[suite_count].name = name;
    return &suites[suite_count++];
}

void hz_test_register(struct hz_test_case *test)
{
    (void)suite_get(test->suite);
    *last_test = test;
    last_test = &test->next;
}

void hz_test_register_hook(const char *suite, enum hz_test_hook hook, hz_test_fn *run)
{
    suite_get(suite)->hooks[hook] = run;
}

void hz_test_left_out(const char *reason)
{
    CU_pSuite suite = CU_get_current_suite();
    CU_pTest test = CU_get_current_test();
    left_out_count++;
    printf("left out: %s.%s: %s\n", suite != NULL ? suite->pName : "", test != NULL ? test->pName : "", reason);
}

static void count_assert(void)
{
    atomic_fetch_add_explicit(&assert_count, 1, memory_order_relaxed);
}

_Noreturn static void fail(struct hz_assert_at at, const char *text)
{
    fprintf(stderr, "\n%s:%d: %s: %s\n", at.file, at.line, at.func, text);
    if (getpid() != test_process)
        _exit(1);
    if (!pthread_equal(pthread_self(), test_thread) || CU_get_current_test() == NULL) {
        fflush(NULL);
        _exit(1);
    }
    CU_assertImplementation(CU_FALSE, (unsigned)at.line, text, at.file, at.func, CU_TRUE); /* jumps to the next test */
    abort();
}

void hz_assert_fail_(struct hz_assert_at at, const char *format, ...)
{
    char text[4096];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    fail(at, text);
}

void hz_assert_true_(struct hz_assert_at at, bool ok, bool wanted)
{
    count_assert();
    if (ok != wanted)
        hz_assert_fail_(at, "`%s` is not %s", at.left, at.right);
}

void hz_assert_int_(struct hz_assert_at at, const char *op, bool ok, long long left, long long right)
{
    count_assert();
    if (!ok)
        hz_assert_fail_(at, "`%s` %s `%s`: left is %lld (0x%llx), right is %lld (0x%llx)", at.left, op, at.right, left,
                (unsigned long long)left, right, (unsigned long long)right);
}

void hz_assert_dbl_(struct hz_assert_at at, double left, double right, double tolerance)
{
    count_assert();
    if (isnan(left) && isnan(right))
        return;
    if (!(left >= right - tolerance && left <= right + tolerance))
        hz_assert_fail_(at, "`%s` == `%s`: left is %.17g, right is %.17g (tolerance %g)", at.left, at.right, left, right,
                tolerance);
}

static const char *shown(const char *text)
{
    return text != NULL ? text : "(NULL)";
}

void hz_assert_str_(struct hz_assert_at at, const char *left, const char *right)
{
    count_assert();
    if (left == right || (left != NULL && right != NULL && strcmp(left, right) == 0))
        return;
    hz_assert_fail_(at, "`%s` == `%s`:\n  left  is \"%.1800s\"\n  right is \"%.1800s\"", at.left, at.right, shown(left),
            shown(right));
}

void hz_assert_has_(struct hz_assert_at at, const char *text, const char *part, bool wanted)
{
    count_assert();
    if (text != NULL && part != NULL && (strstr(text, part) != NULL) == wanted)
        return;
    hz_assert_fail_(at, "`%s` %s \"%.800s\"; it is:\n  \"%.2800s\"", at.left, wanted ? "does not hold" : "holds",
            shown(part), shown(text));
}

void hz_assert_mem_(struct hz_assert_at at, const void *left, const void *right, size_t len)
{
    count_assert();
    const unsigned char *a = left, *b = right;
    for (size_t i = 0; i < len; i++)
        if (a[i] != b[i])
            hz_assert_fail_(at, "`%s` == `%s` (%zu bytes): byte %zu is 0x%02x, wanted 0x%02x", at.left, at.right, len, i,
                    (unsigned)a[i], (unsigned)b[i]);
}

void hz_assert_ok_(struct hz_assert_at at, long long code)
{
    count_assert();
    if (code < 0)
        hz_assert_fail_(at, "`%s` returned %lld%s%s", at.left, code, hz_err_last != NULL ? ": " : "",
                hz_err_last != NULL ? hz_err_last() : "");
}

/* CUnit calls these without an argument; the suite running is the only one. */
static void run_hook(enum hz_test_hook hook)
{
    if (current_suite->hooks[hook] != NULL)
        current_suite->hooks[hook]();
}

static void before_test(void)
{
    run_hook(HZ_HOOK_SETUP);
}

static void after_test(void)
{
    run_hook(HZ_HOOK_TEARDOWN);
}

static void suite_starts(const CU_pSuite suite)
{
    current_suite = suite_get(suite->pName);
    printf("\nSuite: %s\n", suite->pName);
}

static int suite_init(void)
{
    run_hook(HZ_HOOK_SUITE_INIT);
    return 0;
}

static int suite_cleanup(void)
{
    run_hook(HZ_HOOK_SUITE_CLEANUP);
    return 0;
}

static void test_starts(const CU_pTest test, const CU_pSuite suite)
{
    (void)suite;
    printf("  %s ... ", test->pName);
}

static void test_ends(const CU_pTest test, const CU_pSuite suite, const CU_pFailureRecord failure)
{
    (void)test;
    (void)suite;
    printf("%s\n", failure == NULL ? "passed" : "FAILED");
}

static bool selected(const struct hz_test_case *test, int argc, char **argv)
{
    char full[512];
    (void)snprintf(full, sizeof(full), "%s.%s", test->suite, test->name);
    for (int i = 1; i < argc; i++)
        if (strstr(full, argv[i]) != NULL)
            return true;
    return argc < 2;
}

static int run_all(int argc, char **argv)
{
    unsigned added = 0;
    if (CU_initialize_registry() != CUE_SUCCESS)
        return 2;
    for (size_t i = 0; i < suite_count; i++) {
        CU_pSuite suite = NULL;
        for (const struct hz_test_case *test = first_test; test != NULL; test = test->next) {
            if (strcmp(test->suite, suites[i].name) != 0 || !selected(test, argc, argv))
                continue;
            if (suite == NULL)
                suite = CU_add_suite_with_setup_and_teardown(
                        suites[i].name, suite_init, suite_cleanup, before_test, after_test);
            if (suite == NULL || CU_add_test(suite, test->name, test->run) == NULL) {
                fprintf(stderr, "harness: cannot add %s.%s: %s\n", test->suite, test->name, CU_get_error_msg());
                return 2;
            }
            added++;
        }
    }
    if (added == 0) {
        fprintf(stderr, "harness: no test matches\n");
        return 2;
    }
    CU_set_suite_start_handler(suite_starts);
    CU_set_test_start_handler(test_starts);
    CU_set_test_complete_handler(test_ends);
    CU_run_all_tests();
    printf("\nFailures:\n");
    CU_print_run_results(stdout);
    unsigned failures = CU_get_number_of_failures() + CU_get_number_of_suites_failed();
    printf("\n\n%u tests, %u failed, %zu left out, %zu assertions checked\n", CU_get_number_of_tests_run(),
            CU_get_number_of_tests_failed(), left_out_count, atomic_load(&assert_count));
    if (CU_get_number_of_tests_run() != added)
        failures++;
    CU_cleanup_registry();
    return failures == 0 ? 0 : 1;
}

__attribute__((weak)) int main(int argc, char **argv)
{
    (void)setvbuf(stdout, NULL, _IONBF, 0); /* a hanging test shows its name */
    if (argc == 2 && strcmp(argv[1], "--list") == 0) {
        for (const struct hz_test_case *test = first_test; test != NULL; test = test->next)
            printf("%s.%s\n", test->suite, test->name);
        return 0;
    }
    test_thread = pthread_self();
    test_process = getpid();
    hz_test_enter_dir_();
    int status = run_all(argc, argv);
    hz_test_leave_dir_();
    return status;
}
