/*
 * harness.h - what every test program includes: tests that register themselves, assertions that print both values, and
 * the few helpers a test of real processes needs. main() comes with the library (hz_tests); a program is one suite or
 * several, run as `test_ring [FILTER...]` (substring of "suite.name"), `--list` prints the names.
 *
 *     HZ_TEST(ring, reserve_refuses_what_never_fits)
 *     {
 *         HZ_ASSERT_EQ(hz_ring_reserve(&ring, ring.max_record + 1, &rec), HZ_RING_TOO_BIG);
 *     }
 *
 * Each program starts in a fresh temporary directory of its own, removed at the end (HZ_KEEP=1 keeps it).
 */
#ifndef HZ_TESTS_HARNESS_H
#define HZ_TESTS_HARNESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* ## Tests. Run in the order written; a failed assertion ends its test, the next one still runs. */
typedef void hz_test_fn(void);
struct hz_test_case {
    const char *suite, *name;
    hz_test_fn *run;
    struct hz_test_case *next;
};
void hz_test_register(struct hz_test_case *test);
enum hz_test_hook { HZ_HOOK_SUITE_INIT, HZ_HOOK_SUITE_CLEANUP, HZ_HOOK_SETUP, HZ_HOOK_TEARDOWN, HZ_HOOK_COUNT };
void hz_test_register_hook(const char *suite, enum hz_test_hook hook, hz_test_fn *run);

#define HZ_TEST(suite_, name_)                                                                                         \
    static void hz_test_##suite_##_##name_(void);                                                                      \
    __attribute__((constructor)) static void hz_reg_##suite_##_##name_(void)                                           \
    {                                                                                                                  \
        static struct hz_test_case test = {#suite_, #name_, hz_test_##suite_##_##name_, NULL};                         \
        hz_test_register(&test);                                                                                       \
    }                                                                                                                  \
    static void hz_test_##suite_##_##name_(void)

#define HZ_TEST_HOOK_(suite_, hook_)                                                                                   \
    static void hz_hook_##suite_##_##hook_(void);                                                                      \
    __attribute__((constructor)) static void hz_reg_##suite_##_##hook_(void)                                           \
    {                                                                                                                  \
        hz_test_register_hook(#suite_, hook_, hz_hook_##suite_##_##hook_);                                             \
    }                                                                                                                  \
    static void hz_hook_##suite_##_##hook_(void)
/* HZ_SUITE_INIT(ring) { ... }: once before the suite's first test; HZ_SETUP(ring) { ... }: before each of its tests.
 * An assertion may fail in HZ_SETUP and HZ_TEARDOWN; in the other two it ends the program. */
#define HZ_SUITE_INIT(suite_) HZ_TEST_HOOK_(suite_, HZ_HOOK_SUITE_INIT)
#define HZ_SUITE_CLEANUP(suite_) HZ_TEST_HOOK_(suite_, HZ_HOOK_SUITE_CLEANUP)
#define HZ_SETUP(suite_) HZ_TEST_HOOK_(suite_, HZ_HOOK_SETUP)
#define HZ_TEARDOWN(suite_) HZ_TEST_HOOK_(suite_, HZ_HOOK_TEARDOWN)

/* Leaves this test (call it in the test function itself). The reason is printed and script/test counts it as left out. */
#define HZ_SKIP(reason)                                                                                                \
    do {                                                                                                               \
        hz_test_left_out(reason);                                                                                      \
        return;                                                                                                        \
    } while (0)
void hz_test_left_out(const char *reason);

/* True in a build with that sanitizer: for bounds that depend on speed or address space, never to weaken a check. */
#if defined(__SANITIZE_ADDRESS__)
#define HZ_TEST_ASAN 1
#else
#define HZ_TEST_ASAN 0
#endif
#if defined(__SANITIZE_THREAD__)
#define HZ_TEST_TSAN 1
#else
#define HZ_TEST_TSAN 0
#endif

/* ## Assertions. On failure both values and file:line are printed and the test ends; outside the test's own thread or
 * process the program ends with status 1 (a jump out of a foreign stack is not possible). */
struct hz_assert_at {
    const char *file, *func, *left, *right;
    int line;
};
void hz_assert_true_(struct hz_assert_at at, bool ok, bool wanted);
void hz_assert_int_(struct hz_assert_at at, const char *op, bool ok, long long left, long long right);
void hz_assert_dbl_(struct hz_assert_at at, double left, double right, double tolerance);
void hz_assert_str_(struct hz_assert_at at, const char *left, const char *right);
void hz_assert_has_(struct hz_assert_at at, const char *text, const char *part, bool wanted);
void hz_assert_mem_(struct hz_assert_at at, const void *left, const void *right, size_t len);
void hz_assert_ok_(struct hz_assert_at at, long long code);
void hz_assert_fail_(struct hz_assert_at at, const char *format, ...) __attribute__((noreturn, format(printf, 2, 3)));

#define HZ_AT_(left_, right_) ((struct hz_assert_at){__FILE__, __func__, left_, right_, __LINE__})
#define HZ_INTEGER_(value_)                                                                                            \
    _Static_assert(!__builtin_types_compatible_p(__typeof__(value_), double) &&                                        \
                           !__builtin_types_compatible_p(__typeof__(value_), float),                                   \
            "use HZ_ASSERT_DBL_EQ for floating point")
/* A failed assertion does not return: said here, as compilers and analysers do not see into harness.c. */
#define HZ_HOLDS_(expr)                                                                                                \
    do {                                                                                                               \
        if (!(expr))                                                                                                   \
            __builtin_trap();                                                                                          \
    } while (0)
#define HZ_ASSERT_BOOL_(at, expr, wanted)                                                                              \
    do {                                                                                                               \
        bool hz_got_ = (expr);                                                                                         \
        hz_assert_true_(at, hz_got_, wanted);                                                                          \
        HZ_HOLDS_(hz_got_ == (wanted));                                                                                \
    } while (0)
#define HZ_ASSERT_OP_(a, op, b)                                                                                        \
    do {                                                                                                               \
        HZ_INTEGER_(a);                                                                                                \
        HZ_INTEGER_(b);                                                                                                \
        long long hz_left_ = (long long)(a), hz_right_ = (long long)(b);                                               \
        hz_assert_int_(HZ_AT_(#a, #b), #op, hz_left_ op hz_right_, hz_left_, hz_right_);                               \
        HZ_HOLDS_(hz_left_ op hz_right_);                                                                              \
    } while (0)
/* Integers, enums, booleans, pointers; compared as 64-bit signed. */
#define HZ_ASSERT_EQ(a, b) HZ_ASSERT_OP_(a, ==, b)
#define HZ_ASSERT_NE(a, b) HZ_ASSERT_OP_(a, !=, b)
#define HZ_ASSERT_LT(a, b) HZ_ASSERT_OP_(a, <, b)
#define HZ_ASSERT_LE(a, b) HZ_ASSERT_OP_(a, <=, b)
#define HZ_ASSERT_GT(a, b) HZ_ASSERT_OP_(a, >, b)
#define HZ_ASSERT_GE(a, b) HZ_ASSERT_OP_(a, >=, b)
#define HZ_ASSERT_TRUE(a) HZ_ASSERT_BOOL_(HZ_AT_(#a, "true"), (a), true)
#define HZ_ASSERT_FALSE(a) HZ_ASSERT_BOOL_(HZ_AT_(#a, "false"), (a), false)
#define HZ_ASSERT_NULL(a) HZ_ASSERT_BOOL_(HZ_AT_(#a, "NULL"), (a) == NULL, true)
#define HZ_ASSERT_NOT_NULL(a) HZ_ASSERT_BOOL_(HZ_AT_(#a, "not NULL"), (a) != NULL, true)
#define HZ_ASSERT_DBL_EQ(a, b) hz_assert_dbl_(HZ_AT_(#a, #b), (a), (b), 0.0) /* bit for bit but NaN equals NaN, 0 == -0 */
#define HZ_ASSERT_NEAR(a, b, tolerance) hz_assert_dbl_(HZ_AT_(#a, #b), (a), (b), (tolerance))
#define HZ_ASSERT_STR_EQ(a, b) hz_assert_str_(HZ_AT_(#a, #b), (a), (b)) /* NULL equals only NULL */
#define HZ_ASSERT_STR_HAS(text, part) hz_assert_has_(HZ_AT_(#text, #part), (text), (part), true)
#define HZ_ASSERT_STR_HAS_NOT(text, part) hz_assert_has_(HZ_AT_(#text, #part), (text), (part), false)
#define HZ_ASSERT_MEM_EQ(a, b, len) hz_assert_mem_(HZ_AT_(#a, #b), (a), (b), (len))
/* A call that returns 0 or more on success; on failure the thread's error text is printed too. */
#define HZ_ASSERT_OK(call) hz_assert_ok_(HZ_AT_(#call, "success"), (long long)(call))
#define HZ_FAIL(...) hz_assert_fail_(HZ_AT_("", ""), __VA_ARGS__)

/* ## Places. Static strings, valid until the program ends. */
const char *hz_test_dir(void);        /* this program's temporary directory, also its working directory */
const char *hz_test_source_dir(void); /* root of the source tree */
const char *hz_test_build_dir(void);  /* root of the build tree: bin/horizon, lib/horizon/nodes */
/* Path from printf arguments, for use as an argument; a ring of eight buffers of 4096 bytes per thread. */
const char *hz_test_path(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Writes or reads a whole file; a failure fails the test. The text read is NUL-terminated, caller frees. */
void hz_test_write_file(const char *path, const void *data, size_t len);
char *hz_test_read_file(const char *path, size_t *ret_len);
/* Removes a tree (links are removed, not followed). */
void hz_test_remove_tree(const char *path);
/* A TCP port of 127.0.0.1 that was free a moment ago. */
uint16_t hz_test_free_port(void);
/* Waits until `ready` returns true, asking each 2 ms; false when the deadline passes first. */
bool hz_test_wait(bool (*ready)(void *arg), void *arg, int timeout_ms);
uint64_t hz_test_now_ms(void);
/* Number of open descriptors of this process. */
int hz_test_open_fds(void);

/* ## Child processes: own process group, killed when the test program dies or the deadline passes. */
struct hz_child {
    pid_t pid;
    int pidfd, out_fd, err_fd; /* -1 once closed */
    char *out, *err;           /* NUL-terminated, grows while hz_child_wait runs */
    size_t out_len, err_len;
    int exit_code; /* -1 if a signal ended it or it has not ended */
    int signal;    /* 0 unless a signal ended it */
    bool timed_out, ended;
    uint64_t started_ms, took_ms;
};
/* Starts argv[0] (looked up in PATH) with stdin_text on stdin (NULL: /dev/null). Failure to start fails the test. */
void hz_child_start(struct hz_child *child, const char *const argv[], const char *stdin_text);
/* Collects output until the end or the deadline (then the group is killed and timed_out set). Returns exit_code. */
int hz_child_wait(struct hz_child *child, int timeout_ms);
/* Collects output until stdout or stderr holds `part`; false at the end of the child or the deadline (it goes on). */
bool hz_child_wait_text(struct hz_child *child, const char *part, int timeout_ms);
void hz_child_kill(struct hz_child *child, int signal_number);
/* Kills what still runs and frees everything. */
void hz_child_fini(struct hz_child *child);
/* start and wait in one: returns exit_code; the caller calls hz_child_fini. */
int hz_child_run(struct hz_child *child, const char *const argv[], const char *stdin_text, int timeout_ms);
#define HZ_ARGV(...) ((const char *const[]){__VA_ARGS__, NULL})

#endif
