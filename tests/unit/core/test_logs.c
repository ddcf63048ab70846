/* test_logs.c - the last lines of workers: bounded, oldest first, kept for a while after the burial; the lines people grep for. */
#include "core/lines.h"
#include "core/logs.h"
#include "shm/err.h"
#include "shm/log.h"
#include "tests/harness.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <urcu/urcu-memb.h>

static struct hz_uuid worker;

HZ_SUITE_INIT(logs)
{
    urcu_memb_register_thread();
}

HZ_SUITE_CLEANUP(logs)
{
    urcu_memb_unregister_thread();
}

HZ_SETUP(logs)
{
    HZ_ASSERT_OK(hz_registry_init());
    worker = hz_uuid_new();
}

HZ_TEARDOWN(logs)
{
    hz_logs_fini();
    hz_registry_fini();
}

static void add(const char *text)
{
    hz_logs_add(&worker, INT64_C(1752229230456), text, strlen(text));
}

static size_t tail(size_t lines, uint64_t after, char ***ret, uint64_t *ret_last)
{
    size_t count;
    HZ_ASSERT_OK(hz_logs_tail(&worker, lines, after, ret, &count, ret_last));
    return count;
}

static void drop(char **lines, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(lines[i]);
    free(lines);
}

HZ_TEST(logs, gives_the_last_lines_oldest_first_with_their_time)
{
    char **lines;
    uint64_t last;
    for (int i = 0; i < 5; i++)
        add((char[]){(char)('a' + i), 0});
    size_t count = tail(2, 0, &lines, &last);
    HZ_ASSERT_EQ(count, 2);
    HZ_ASSERT_STR_EQ(lines[0], "[2025-07-11T10:20:30.456Z] d");
    HZ_ASSERT_STR_EQ(lines[1], "[2025-07-11T10:20:30.456Z] e");
    HZ_ASSERT_EQ(last, 5);
    drop(lines, count);
    add("f");
    count = tail(100, last, &lines, &last);
    HZ_ASSERT_EQ(count, 1);
    HZ_ASSERT_STR_HAS(lines[0], "] f");
    HZ_ASSERT_EQ(last, 6);
    drop(lines, count);
    count = tail(100, 6, &lines, NULL);
    HZ_ASSERT_EQ(count, 0);
    drop(lines, count);
}

HZ_TEST(logs, is_bounded_in_lines_and_in_bytes)
{
    char **lines;
    uint64_t last;
    for (unsigned i = 0; i < HZ_LOGS_LINES + 500; i++)
        add("x");
    size_t count = tail(SIZE_MAX, 0, &lines, &last);
    HZ_ASSERT_LE(count, HZ_LOGS_LINES);
    HZ_ASSERT_GT(count, HZ_LOGS_LINES / 2);
    HZ_ASSERT_EQ(last, HZ_LOGS_LINES + 500);
    drop(lines, count);
    char *large = malloc(100000);
    HZ_ASSERT_NOT_NULL(large);
    memset(large, 'y', 100000);
    for (int i = 0; i < 200; i++)
        hz_logs_add(&worker, 1, large, 100000);
    free(large);
    count = tail(SIZE_MAX, 0, &lines, &last);
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++)
        bytes += strlen(lines[i]);
    HZ_ASSERT_LE(bytes, HZ_LOGS_BYTES + (64 << 10));
    HZ_ASSERT_GT(count, 10);
    drop(lines, count);
}

HZ_TEST(logs, makes_what_a_worker_says_printable_and_keeps_colours)
{
    char **lines;
    add("a\nb\033[2Jc\033[31;1mred\033[0m\ttab\x7f");
    size_t count = tail(1, 0, &lines, NULL);
    HZ_ASSERT_STR_EQ(lines[0] + 27, "a b [2Jc\033[31;1mred\033[0m\ttab ");
    drop(lines, count);
}

HZ_TEST(logs, knows_a_silent_worker_and_refuses_a_stranger)
{
    char **lines;
    size_t count;
    HZ_ASSERT_EQ(hz_logs_tail(&worker, 10, 0, &lines, &count, NULL), HZ_ENOTFOUND);
    struct hz_worker_info info;
    memset(&info, 0, sizeof info);
    info.id = worker;
    HZ_ASSERT_OK(hz_registry_put(&info));
    count = tail(10, 0, &lines, NULL);
    HZ_ASSERT_EQ(count, 0);
    drop(lines, count);
}

HZ_TEST(logs, keeps_the_last_256_buried)
{
    char **lines;
    size_t count;
    struct hz_uuid first = worker;
    add("hello");
    hz_logs_bury(&worker);
    for (unsigned i = 0; i < HZ_LOGS_BURIED - 1; i++) {
        worker = hz_uuid_new();
        add("later");
        hz_logs_bury(&worker);
    }
    HZ_ASSERT_OK(hz_logs_tail(&first, 10, 0, &lines, &count, NULL));
    HZ_ASSERT_EQ(count, 1);
    drop(lines, count);
    worker = hz_uuid_new();
    hz_logs_bury(&worker);
    HZ_ASSERT_EQ(hz_logs_tail(&first, 10, 0, &lines, &count, NULL), HZ_ENOTFOUND);
}

static char heard[256];
static int heard_level;
static bool heard_console;
static void hear(void *arg, const struct hz_worker_info *info, int level, bool console, const char *text, size_t len)
{
    (void)arg;
    (void)info;
    heard_level = level;
    heard_console = console;
    snprintf(heard, sizeof heard, "%.*s", (int)len, text);
}

HZ_TEST(logs, marks_console_lines_once_for_listener_and_log)
{
    struct hz_worker_info info;
    char **lines;
    memset(&info, 0, sizeof info);
    info.id = worker;
    HZ_ASSERT_OK(hz_supervisor_listen_lines(hear, NULL));
    hz_logs_say(&info, 1, HZ_LOG_INFO, true, NULL, "{\"a\":1}", 7);
    HZ_ASSERT_STR_EQ(heard, "[console] {\"a\":1}");
    HZ_ASSERT_TRUE(heard_console);
    hz_logs_say(&info, 1, HZ_LOG_WARN, true, NULL, "[console] 2", 11);
    HZ_ASSERT_STR_EQ(heard, "[console] 2");
    hz_logs_say(&info, 1, HZ_LOG_ERROR, false, NULL, "oh", 2);
    HZ_ASSERT_STR_EQ(heard, "oh");
    HZ_ASSERT_EQ(heard_level, HZ_LOG_ERROR);
    size_t count = tail(10, 0, &lines, NULL);
    HZ_ASSERT_EQ(count, 3);
    HZ_ASSERT_STR_HAS(lines[0], "[console] {\"a\":1}");
    drop(lines, count);
}

/* Runs fn with descriptor `fd` pointing at a file; returns what was written. */
static char *capture(int fd, void (*fn)(void))
{
    const char *path = hz_test_path("%s/captured", hz_test_dir());
    int saved = dup(fd), file = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    HZ_ASSERT_GE(file, 0);
    dup2(file, fd);
    fn();
    dup2(saved, fd);
    close(saved);
    close(file);
    return hz_test_read_file(path, NULL);
}

static void print_out(void)
{
    char large[5000];
    memset(large, 'z', sizeof large - 1);
    large[sizeof large - 1] = 0;
    hz_lines_print(false, "Worker %s terminó con código %d", "abc", 0);
    hz_lines_print(false, "%s", large);
}

static void print_quiet(void)
{
    hz_lines_quiet(true);
    hz_lines_print(false, "Worker quiet");
    hz_lines_quiet(false);
}

HZ_TEST(lines, are_plain_on_standard_output_and_in_the_log_when_quiet)
{
    char *out = capture(STDOUT_FILENO, print_out);
    static const char first[] = "Worker abc terminó con código 0\nzzz";
    HZ_ASSERT_EQ(strncmp(out, first, strlen(first)), 0);
    HZ_ASSERT_EQ(strlen(out), strlen(first) - 3 + 5000);
    free(out);
    out = capture(STDOUT_FILENO, print_quiet);
    HZ_ASSERT_STR_EQ(out, "");
    free(out);
    out = capture(STDERR_FILENO, print_quiet);
    HZ_ASSERT_STR_HAS(out, "info Worker quiet\n");
    free(out);
}
