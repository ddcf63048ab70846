/* test_history.c - samples and lines of the past: seconds without a sample, pages of lines, shares of the file, budgets
 * of a worker. */
#include "core/history.h"
#include "core/logs.h"
#include "shm/err.h"
#include "shm/log.h"
#include "tests/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <urcu/urcu-memb.h>

HZ_SUITE_INIT(history)
{
    urcu_memb_register_thread();
}

HZ_SUITE_CLEANUP(history)
{
    urcu_memb_unregister_thread();
}

HZ_SETUP(history)
{
    hz_test_remove_tree("history");
    HZ_ASSERT_EQ(mkdir("history", 0700), 0);
    HZ_ASSERT_OK(hz_store_open("history", 100000));
}

HZ_TEARDOWN(history)
{
    hz_store_close();
}

static bool all_settled(void *arg)
{
    (void)arg;
    return hz_store_pending() == 0;
}

static double number_at(const json_t *answer, size_t i, const char *key)
{
    return json_number_value(json_object_get(json_array_get(json_object_get(answer, "samples"), i), key));
}

static void put_sample(int64_t at_s, double cpu, double executions)
{
    struct hz_store_metric sample = {.cpu_percent = cpu, .memory_bytes = 7, .executions = executions};
    HZ_ASSERT_OK(hz_store_metric_put("worker", at_s, &sample));
}

HZ_TEST(history, a_second_without_a_sample_is_like_the_one_before_it)
{
    int64_t at = hz_base_wall_ms() / 1000 - 200;
    put_sample(at, 50, 3);
    put_sample(at + 1, 10, 0);
    put_sample(at + 5, 20, 4);
    put_sample(at + 5 + HZ_STORE_METRIC_HOLE + 1, 30, 1); /* too long a hole: nobody was there */
    json_t *answer = hz_store_metrics("worker", at, at + 100, 1);
    HZ_ASSERT_EQ(json_array_size(json_object_get(answer, "samples")), 7);
    static const double cpus[] = {50, 10, 10, 10, 10, 20, 30}, executions[] = {3, 0, 0, 0, 0, 4, 1};
    for (size_t i = 0; i < HZ_COUNT_OF(cpus); i++) {
        HZ_ASSERT_TRUE(number_at(answer, i, "cpuPercent") == cpus[i]);
        HZ_ASSERT_TRUE(number_at(answer, i, "executions") == executions[i]);
        HZ_ASSERT_TRUE(number_at(answer, i, "memoryBytes") == 7);
        HZ_ASSERT_EQ((int64_t)number_at(answer, i, "at"), i == 6 ? at + 5 + HZ_STORE_METRIC_HOLE + 1 : at + (int64_t)i);
    }
    json_decref(answer);
}

HZ_TEST(history, a_minute_weighs_its_samples_by_the_seconds_they_stand_for)
{
    int64_t minute = (hz_base_wall_ms() / 1000 - 300) / 60 * 60;
    put_sample(minute, 90, 5);      /* 1 s */
    put_sample(minute + 1, 0, 0);   /* 29 s */
    put_sample(minute + 30, 20, 1); /* 30 s, to the end */
    json_t *answer = NULL;
    for (int i = 0; i < 100; i++) {
        answer = hz_store_metrics("worker", minute, minute + 60, 60);
        if (json_array_size(json_object_get(answer, "samples")) == 1)
            break;
        json_decref(answer);
        answer = NULL;
        usleep(50000);
    }
    HZ_ASSERT_NOT_NULL(answer);
    HZ_ASSERT_TRUE(number_at(answer, 0, "cpuPercent") == (90.0 + 20.0 * 30) / 60);
    HZ_ASSERT_TRUE(number_at(answer, 0, "executions") == 6);
    json_decref(answer);
    HZ_ASSERT_TRUE(hz_store_metric_known("worker"));
    HZ_ASSERT_FALSE(hz_store_metric_known("other"));
}

HZ_TEST(history, pages_of_lines_have_each_line_once)
{
    int64_t now = hz_base_wall_ms();
    for (int i = 0; i < 25; i++) { /* many in the same millisecond */
        char text[32];
        int len = snprintf(text, sizeof text, "line %02d", i);
        HZ_ASSERT_OK(hz_store_log_put(now + i / 10, HZ_LOG_INFO, "w", "a", NULL, text, (size_t)len));
    }
    struct hz_store_log_filter filter = {.limit = 4};
    int next = 24;
    for (;;) {
        json_t *page = hz_store_logs(&filter);
        size_t i, count = json_array_size(page);
        const json_t *line = NULL;
        json_array_foreach(page, i, line)
        {
            char text[32];
            snprintf(text, sizeof text, "line %02d", next--);
            HZ_ASSERT_STR_EQ(json_string_value(json_object_get(line, "text")), text);
        }
        if (count) {
            filter.before_ms = json_integer_value(json_object_get(json_array_get(page, count - 1), "at"));
            filter.before_sequence = json_integer_value(json_object_get(json_array_get(page, count - 1), "sequence"));
        }
        json_decref(page);
        if (count < filter.limit)
            break;
    }
    HZ_ASSERT_EQ(next, -1);
}

static int64_t size_of(const char *path)
{
    struct stat info;
    return stat(path, &info) ? 0 : (int64_t)info.st_size;
}

static json_int_t rows_of(const char *table)
{
    json_t *stats = hz_store_stats();
    json_int_t rows = json_integer_value(json_object_get(json_object_get(stats, "rows"), table));
    json_decref(stats);
    return rows;
}

/* More than the bound in lines and samples; the executions that were there first are there afterwards. */
HZ_TEST(history, floods_of_lines_and_samples_push_out_neither_the_bound_nor_the_executions)
{
    enum { BOUND = 64 << 20, EXECUTIONS = 1000, LINES = 60000, TEXT = 1000, SAMPLES = 60000 };
    static char text[TEXT];
    memset(text, 'x', sizeof text);
    hz_store_close();
    const struct hz_store_options options = {.history = 100000000, .max_bytes = BOUND};
    HZ_ASSERT_OK(hz_store_open_with("history", &options));
    for (int i = 0; i < EXECUTIONS; i++) {
        struct hz_store_execution row = {
                .id = hz_uuid_new(), .state = HZ_EXEC_SUCCESS, .attempt = 1, .created_wall_ms = 1, .ended_wall_ms = 2};
        snprintf(row.workflow_id, sizeof row.workflow_id, "w");
        HZ_ASSERT_OK(hz_store_put(&row, false, NULL, NULL));
    }
    int64_t largest = 0, now = hz_base_wall_ms();
    struct hz_store_metric sample = {.cpu_percent = 1, .memory_bytes = 2, .latency_p99_us = 3};
    for (int i = 0; i < LINES; i++) {
        char subject[64];
        snprintf(subject, sizeof subject, "00000000-0000-4000-8000-%012d", i % 1000);
        HZ_ASSERT_OK(hz_store_log_put(now + i, HZ_LOG_INFO, "w", "a", NULL, text, sizeof text));
        if (i < SAMPLES)
            HZ_ASSERT_OK(hz_store_metric_put(subject, now / 1000 + i / 1000, &sample));
        if (i % 2000 == 0) {
            HZ_ASSERT_TRUE(hz_test_wait(all_settled, NULL, 30000));
            largest = HZ_MAX(largest, size_of("history/horizon.db") + size_of("history/horizon.db-wal"));
        }
    }
    HZ_ASSERT_TRUE(hz_test_wait(all_settled, NULL, 30000));
    HZ_ASSERT_LE(largest, BOUND);
    HZ_ASSERT_EQ(rows_of("executions"), EXECUTIONS);
    HZ_ASSERT_LE(rows_of("logs"), 20000); /* a quarter of the bound */
    HZ_ASSERT_GE(rows_of("logs"), 5000);
    HZ_ASSERT_LE(rows_of("metrics"), 60000);
    HZ_ASSERT_GE(rows_of("metrics"), 20000);
    struct hz_store_log_filter filter = {.limit = 1};
    json_t *newest = hz_store_logs(&filter); /* the oldest went, not the newest */
    HZ_ASSERT_EQ(json_integer_value(json_object_get(json_array_get(newest, 0), "at")), now + LINES - 1);
    json_decref(newest);
}

HZ_TEST(history, latencies_are_told_to_a_quarter)
{
    struct hz_history_latency latency;
    memset(&latency, 0, sizeof latency);
    HZ_ASSERT_TRUE(hz_history_latency_at(&latency, 0.5) == 0);
    for (int i = 0; i < 98; i++)
        hz_history_latency_add(&latency, 100);
    hz_history_latency_add(&latency, 0);
    hz_history_latency_add(&latency, 50000);
    double half = hz_history_latency_at(&latency, 0.5), most = hz_history_latency_at(&latency, 1);
    HZ_ASSERT_TRUE(half >= 100 && half <= 125);
    HZ_ASSERT_TRUE(most >= 50000 && most <= 62500);
    hz_history_latency_add(&latency, UINT64_MAX); /* nothing lands outside the table */
}

static unsigned heard, warnings, errors;
static void hear(const struct hz_worker_info *info, int64_t wall_ms, int level, const struct hz_uuid *execution,
        const char *text, size_t len)
{
    (void)info;
    (void)wall_ms;
    (void)execution;
    (void)text;
    (void)len;
    heard++;
    warnings += level == HZ_LOG_WARN;
    errors += level == HZ_LOG_ERROR;
}

static void ignore(
        void *arg, const struct hz_worker_info *info, int level, bool console, const char *text, size_t len)
{
    (void)arg;
    (void)info;
    (void)level;
    (void)console;
    (void)text;
    (void)len;
}

HZ_TEST(history, a_worker_has_a_budget_of_lines_a_second_and_is_told_off_once)
{
    struct hz_worker_info info = {.id = hz_uuid_new(), .id_text = "w", .workflow_id = "f"};
    HZ_ASSERT_OK(hz_registry_init());
    hz_logs_set_history(hear);
    heard = warnings = errors = 0;
    HZ_ASSERT_OK(hz_supervisor_listen_lines(ignore, NULL)); /* else they are printed */
    uint64_t began_ns = hz_base_now_ns();
    for (int i = 0; i < 5000; i++)
        hz_logs_say(&info, 1, HZ_LOG_INFO, false, NULL, "a line", 6);
    uint64_t seconds =
            (hz_base_now_ns() - began_ns) / 1000000000u + 2; /* it may have gone over the change of a second */
    HZ_ASSERT_GE(heard, HZ_LOGS_SECOND_LINES);
    HZ_ASSERT_LE(heard, seconds * HZ_LOGS_SECOND_LINES + 1);
    HZ_ASSERT_EQ(warnings, 1);
    hz_logs_note(&info, 1, HZ_LOG_ERROR, NULL, "it died", 7); /* ours is not the worker's to spend */
    HZ_ASSERT_EQ(errors, 1);
    hz_logs_fini();
    hz_registry_fini();
}
