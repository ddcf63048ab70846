/* test_err.c - codes, names, sentences, and the text of a thread that grows on its way up; log lines. */
#include "shm/err.h"
#include "shm/log.h"
#include "tests/harness.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

HZ_TEST(err, codes_of_ours_have_name_and_sentence)
{
    HZ_ASSERT_STR_EQ(hz_err_name(HZ_EBUSY), "HZ_EBUSY");
    HZ_ASSERT_STR_EQ(hz_err_text(HZ_ECLOSED), "the other side has gone");
}

HZ_TEST(err, codes_of_the_system_have_name_and_sentence)
{
    HZ_ASSERT_STR_EQ(hz_err_name(-ENOENT), "ENOENT");
    HZ_ASSERT_STR_EQ(hz_err_text(-ENOSPC), "No space left on device");
}

HZ_TEST(err, unknown_codes_are_said_to_be_unknown)
{
    HZ_ASSERT_STR_EQ(hz_err_name(-99999), "?");
    HZ_ASSERT_STR_EQ(hz_err_text(77), "unknown error");
    HZ_ASSERT_STR_EQ(hz_err_name(0), "OK");
}

HZ_TEST(err, no_two_codes_are_equal)
{
    static const int codes[] = {
#define HZ_ERR_X(name, value, text) (value),
#include "shm/err_table.h"
#undef HZ_ERR_X
    };
    for (size_t i = 0; i < HZ_COUNT_OF(codes); i++)
        for (size_t k = i + 1; k < HZ_COUNT_OF(codes); k++)
            HZ_ASSERT_NE(codes[i], codes[k]);
}

HZ_TEST(err, set_returns_the_code_and_appends_its_sentence)
{
    HZ_ASSERT_EQ(hz_err_set(-ENOENT, "cannot open %s", "x.txt"), -ENOENT);
    HZ_ASSERT_STR_EQ(hz_err_last(), "cannot open x.txt: No such file or directory");
}

HZ_TEST(err, prefix_goes_in_front_of_the_text)
{
    hz_err_set(HZ_EFORMAT, "line 3");
    HZ_ASSERT_EQ(hz_err_prefix(HZ_EFORMAT, "flow %s", "a"), HZ_EFORMAT);
    HZ_ASSERT_STR_EQ(hz_err_last(), "flow a: line 3: not in the expected format");
}

HZ_TEST(err, text_may_be_an_argument_of_the_next)
{
    hz_err_set(HZ_EBUSY, "a");
    hz_err_set(HZ_ECLOSED, "%s / b", hz_err_last());
    HZ_ASSERT_STR_EQ(hz_err_last(), "a: busy: a queue bound was reached / b: the other side has gone");
}

HZ_TEST(err, long_text_is_cut_at_1023_bytes_between_characters)
{
    char text[3000];
    for (size_t offset = 0; offset < 4; offset++) {
        memset(text, 'x', offset);
        for (size_t i = offset; i + 3 <= sizeof(text) - 1; i += 3)
            memcpy(text + i, "\xe2\x82\xac", 3); /* euro sign */
        text[sizeof(text) - 1] = '\0';
        text[2000] = '\0';
        hz_err_set(HZ_EBUSY, "%s", text);
        size_t len = strlen(hz_err_last());
        HZ_ASSERT_LE(len, 1023);
        HZ_ASSERT_GE(len, 1020);
        HZ_ASSERT_EQ((len - offset) % 3, 0);
    }
}

static void *other_thread(void *arg)
{
    *(bool *)arg = hz_err_last()[0] == '\0';
    hz_err_set(HZ_EBUSY, "mine");
    return NULL;
}

HZ_TEST(err, each_thread_has_its_own_text)
{
    hz_err_set(HZ_ECLOSED, "ours");
    bool empty = false;
    pthread_t thread;
    HZ_ASSERT_EQ(pthread_create(&thread, NULL, other_thread, &empty), 0);
    HZ_ASSERT_EQ(pthread_join(thread, NULL), 0);
    HZ_ASSERT_TRUE(empty);
    HZ_ASSERT_STR_HAS(hz_err_last(), "ours");
}

static char logged[5000];
static enum hz_log_level logged_level;
static int logged_count;

static void keep(enum hz_log_level level, const char *text, size_t len, void *arg)
{
    HZ_ASSERT_EQ(strlen(text), len);
    snprintf(logged, sizeof(logged), "%s%s", (const char *)arg, text);
    logged_level = level;
    logged_count++;
}

HZ_TEST(log, line_goes_to_the_sink_with_its_level)
{
    static char prefix[] = "> ";
    hz_log_set_sink(keep, prefix);
    logged_count = 0;
    HZ_LOG(WARN, "worker %u: closed after %d records", 3u, 12);
    HZ_ASSERT_EQ(logged_count, 1);
    HZ_ASSERT_STR_EQ(logged, "> worker 3: closed after 12 records");
    HZ_ASSERT_EQ(logged_level, HZ_LOG_WARN);
    hz_log_set_sink(NULL, NULL);
}

HZ_TEST(log, lines_below_the_lowest_level_are_dropped)
{
    static char prefix[] = "";
    hz_log_set_sink(keep, prefix);
    logged_count = 0;
    hz_log_set_level(HZ_LOG_WARN);
    HZ_LOG(INFO, "not this");
    HZ_LOG(ERROR, "but this");
    hz_log_set_level(HZ_LOG_INFO);
    HZ_ASSERT_EQ(logged_count, 1);
    HZ_ASSERT_STR_EQ(logged, "but this");
    hz_log_set_sink(NULL, NULL);
}

HZ_TEST(log, line_feeds_and_escapes_of_strangers_do_not_make_lines)
{
    static char prefix[] = "";
    hz_log_set_sink(keep, prefix);
    HZ_LOG(INFO, "name %s", "a\nb\x1b[31mc\r");
    HZ_ASSERT_STR_EQ(logged, "name a b [31mc ");
    hz_log_set_sink(NULL, NULL);
}

HZ_TEST(log, long_line_is_cut_and_says_so)
{
    static char prefix[] = "", text[9000];
    memset(text, 'y', sizeof(text) - 1);
    hz_log_set_sink(keep, prefix);
    HZ_LOG(INFO, "%s", text);
    HZ_ASSERT_EQ(strlen(logged), 4095);
    HZ_ASSERT_STR_HAS(logged, "yy [cut]");
    hz_log_set_sink(NULL, NULL);
}

#define LOG_THREADS 4
#define LOG_LINES   2000
static _Atomic int counted;

static void count(enum hz_log_level level, const char *text, size_t len, void *arg)
{
    (void)level, (void)text, (void)len;
    *(_Atomic int *)arg += 1;
}

static void *log_many(void *arg)
{
    for (int i = 0; i < LOG_LINES; i++) {
        HZ_LOG(INFO, "line %d", i);
        if (arg != NULL && i % 10 == 0)
            hz_log_set_sink(count, &counted);
    }
    return NULL;
}

HZ_TEST(log, lines_of_several_threads_all_arrive_while_the_sink_is_set_again)
{
    hz_log_set_sink(count, &counted);
    pthread_t threads[LOG_THREADS];
    for (int i = 0; i < LOG_THREADS; i++)
        HZ_ASSERT_EQ(pthread_create(&threads[i], NULL, log_many, i == 0 ? &threads : NULL), 0);
    for (int i = 0; i < LOG_THREADS; i++)
        HZ_ASSERT_EQ(pthread_join(threads[i], NULL), 0);
    hz_log_set_sink(NULL, NULL);
    HZ_ASSERT_EQ(counted, LOG_THREADS * LOG_LINES);
}
