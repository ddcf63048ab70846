/* test_store_history.c - what belongs to executions and what happened: migration, payloads, checkpoints, crashes, logs, samples, bounds. */
#include "core/store.h"
#include "shm/err.h"
#include "shm/log.h"
#include "tests/harness.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct hz_store_execution row_of(const struct hz_uuid *id, enum hz_exec_state state)
{
    struct hz_store_execution row;
    memset(&row, 0, sizeof row);
    row.id = *id;
    row.state = state;
    snprintf(row.workflow_id, sizeof row.workflow_id, "hello");
    snprintf(row.version, sizeof row.version, "0.0.1");
    snprintf(row.trigger, sizeof row.trigger, "api");
    row.created_wall_ms = hz_base_wall_ms();
    if (state >= HZ_EXEC_SUCCESS)
        row.ended_wall_ms = row.created_wall_ms;
    return row;
}

static bool all_settled(void *arg)
{
    (void)arg;
    return hz_store_pending() == 0;
}

static char *text_of(size_t len)
{
    char *text = malloc(len + 1);
    HZ_ASSERT_NOT_NULL(text);
    for (size_t i = 0; i < len; i++)
        text[i] = (char)('a' + i * i % 23);
    text[len] = 0;
    return text;
}

/* One number of a file nobody else has open. */
static int64_t number_in(const char *path, const char *sql)
{
    sqlite3 *db;
    sqlite3_stmt *s;
    HZ_ASSERT_EQ(sqlite3_open(path, &db), SQLITE_OK);
    HZ_ASSERT_EQ(sqlite3_prepare_v2(db, sql, -1, &s, NULL), SQLITE_OK);
    int64_t number = sqlite3_step(s) == SQLITE_ROW ? sqlite3_column_int64(s, 0) : -1;
    sqlite3_finalize(s);
    sqlite3_close(db);
    return number;
}

static void change(const char *path, const char *sql)
{
    sqlite3 *db;
    HZ_ASSERT_EQ(sqlite3_open(path, &db), SQLITE_OK);
    HZ_ASSERT_EQ(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    HZ_ASSERT_EQ(sqlite3_close(db), SQLITE_OK);
}

HZ_SETUP(store_history)
{
    hz_test_remove_tree("db");
    HZ_ASSERT_EQ(mkdir("db", 0700), 0);
    HZ_ASSERT_OK(hz_store_open("db", 100000));
}

HZ_TEARDOWN(store_history)
{
    hz_store_close();
}

/* As the first version made it. */
static const char version_1[] =
        "CREATE TABLE workflows (id TEXT NOT NULL, version TEXT NOT NULL, text TEXT NOT NULL, hash INTEGER NOT NULL, author TEXT NOT NULL,"
        " updated_ms INTEGER NOT NULL, sequence INTEGER PRIMARY KEY AUTOINCREMENT, UNIQUE (id, version));"
        "CREATE TABLE executions (sequence INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, activation BLOB, workflow_id TEXT NOT NULL,"
        " version TEXT NOT NULL, cause TEXT NOT NULL, state INTEGER NOT NULL, attempt INTEGER NOT NULL, is_activation INTEGER NOT NULL,"
        " created_ms INTEGER NOT NULL, started_ms INTEGER NOT NULL, ended_ms INTEGER NOT NULL, worker_id TEXT NOT NULL,"
        " error TEXT, error_node TEXT, error_code TEXT, node_runs INTEGER NOT NULL, cpu_ns INTEGER NOT NULL, peak_bytes INTEGER NOT NULL);"
        "CREATE INDEX executions_open ON executions (state) WHERE state < 4;"
        "CREATE INDEX executions_workflow ON executions (workflow_id, created_ms);"
        "CREATE TABLE payloads (sequence INTEGER PRIMARY KEY, input TEXT, result TEXT);"
        "INSERT INTO workflows VALUES ('w', '0.0.1', '{}', 5, 'file', 1, 1);"
        "INSERT INTO executions VALUES (1, x'00112233445566778899aabbccddeeff', NULL, 'w', '0.0.1', 'api', 4, 0, 0, 10, 11, 12, 'x', NULL, NULL,"
        " NULL, 3, 4, 5);"
        "INSERT INTO executions VALUES (2, x'10112233445566778899aabbccddeeff', NULL, 'w', '0.0.1', 'api', 2, 0, 0, 10, 11, 0, 'x', NULL, NULL,"
        " NULL, 0, 0, 0);"
        "INSERT INTO payloads VALUES (1, '{\"a\":1}', '[2]'), (2, '{\"b\":1}', NULL);"
        "PRAGMA user_version = 1;";

HZ_TEST(store_history, a_file_of_version_1_keeps_its_rows_and_a_copy_of_itself)
{
    hz_store_close();
    hz_test_remove_tree("db");
    HZ_ASSERT_EQ(mkdir("db", 0700), 0);
    change("db/horizon.db", version_1);
    HZ_ASSERT_OK(hz_store_open("db", 1000));
    struct hz_uuid id;
    struct hz_store_execution back, *rows;
    size_t count;
    HZ_ASSERT_TRUE(hz_uuid_parse("00112233-4455-6677-8899-aabbccddeeff", 36, &id));
    HZ_ASSERT_OK(hz_store_get(&id, &back));
    HZ_ASSERT_STR_EQ(back.input, "{\"a\":1}");
    HZ_ASSERT_STR_EQ(back.result, "[2]");
    HZ_ASSERT_EQ(back.node_runs, 3);
    hz_store_execution_fini(&back);
    HZ_ASSERT_OK(hz_store_unfinished(&rows, &count));
    HZ_ASSERT_EQ(count, 1);
    HZ_ASSERT_STR_EQ(rows[0].input, "{\"b\":1}");
    hz_store_execution_fini(&rows[0]);
    free(rows);
    hz_store_close();
    HZ_ASSERT_EQ(number_in("db/horizon.db", "PRAGMA user_version"), 3);
    HZ_ASSERT_EQ(number_in("db/horizon.db", "PRAGMA auto_vacuum"), 2);
    HZ_ASSERT_EQ(number_in("db/horizon.db.before-2", "PRAGMA user_version"), 1);
    HZ_ASSERT_EQ(number_in("db/horizon.db.before-2", "SELECT COUNT(*) FROM executions"), 2);
}

HZ_TEST(store_history, a_newer_schema_is_refused_and_stays_untouched)
{
    hz_store_close();
    change("db/horizon.db", "PRAGMA user_version = 77");
    HZ_ASSERT_EQ(hz_store_open("db", 1000), HZ_EVERSION);
    HZ_ASSERT_NOT_NULL(strstr(hz_err_last(), "schema version 77, this program knows up to 3"));
    HZ_ASSERT_EQ(number_in("db/horizon.db", "PRAGMA user_version"), 77);
}

HZ_TEST(store_history, large_payloads_are_compressed_and_read_back)
{
    struct hz_uuid id = hz_uuid_new();
    struct hz_store_execution row = row_of(&id, HZ_EXEC_SUCCESS), back;
    char *input = text_of(300000), *result = text_of(4096);
    row.input = strdup(input);
    row.result = strdup(result);
    HZ_ASSERT_OK(hz_store_put(&row, false, NULL, NULL));
    HZ_ASSERT_OK(hz_store_get(&id, &back));
    HZ_ASSERT_STR_EQ(back.input, input);
    HZ_ASSERT_STR_EQ(back.result, result);
    hz_store_execution_fini(&back);
    free(input);
    free(result);
    hz_store_close();
    HZ_ASSERT_EQ(number_in("db/horizon.db", "SELECT typeof(input) = 'blob' AND length(input) < 50000 AND typeof(result) = 'text' FROM payloads"), 1);
}

HZ_TEST(store_history, a_damaged_payload_is_an_error_and_never_another_text)
{
    struct hz_uuid ids[2] = {hz_uuid_new(), hz_uuid_new()};
    struct hz_store_execution back;
    for (int i = 0; i < 2; i++) {
        struct hz_store_execution row = row_of(&ids[i], HZ_EXEC_SUCCESS);
        row.result = i ? text_of(100000) : strdup("[1]");
        HZ_ASSERT_OK(hz_store_put(&row, false, NULL, NULL));
    }
    hz_store_close();
    change("db/horizon.db", "UPDATE payloads SET result = CASE typeof(result) WHEN 'text' THEN '[2]' ELSE"
                            " CAST(substr(result, 1, 60) || x'55' || substr(result, 62) AS BLOB) END");
    HZ_ASSERT_OK(hz_store_open("db", 1000));
    for (int i = 0; i < 2; i++) {
        HZ_ASSERT_EQ(hz_store_get(&ids[i], &back), HZ_EFORMAT);
        HZ_ASSERT_NOT_NULL(strstr(hz_err_last(), "damaged"));
    }
    HZ_ASSERT_EQ(hz_store_check("db/horizon.db", NULL, NULL), HZ_EFORMAT);
}

HZ_TEST(store_history, a_damaged_input_does_not_keep_the_others_from_recovery)
{
    struct hz_store_execution *rows;
    size_t count;
    for (int i = 0; i < 3; i++) {
        struct hz_uuid id = hz_uuid_new();
        struct hz_store_execution row = row_of(&id, HZ_EXEC_QUEUED);
        row.input = strdup("[1]");
        HZ_ASSERT_OK(hz_store_put(&row, true, NULL, NULL));
    }
    hz_store_close();
    change("db/horizon.db", "UPDATE payloads SET input = '[2]' WHERE sequence = 2");
    HZ_ASSERT_OK(hz_store_open("db", 1000));
    HZ_ASSERT_OK(hz_store_unfinished(&rows, &count));
    HZ_ASSERT_EQ(count, 3);
    for (size_t i = 0; i < count; i++) {
        HZ_ASSERT_EQ(rows[i].damaged, i == 1);
        HZ_ASSERT_EQ(rows[i].input == NULL, i == 1);
        hz_store_execution_fini(&rows[i]);
    }
    free(rows);
}

static _Atomic int answers;
static void answered(int result, void *arg)
{
    (void)arg;
    atomic_fetch_add(&answers, result == 0);
}

static void put_checkpoint(const struct hz_uuid *id, uint32_t ordinal, bool base, size_t len)
{
    HZ_ASSERT_OK(hz_store_checkpoint_put(id, ordinal, base, text_of(len), len, true, answered, NULL));
}

HZ_TEST(store_history, checkpoints_are_added_replaced_by_a_base_and_gone_with_the_end)
{
    struct hz_uuid id = hz_uuid_new();
    struct hz_store_execution row = row_of(&id, HZ_EXEC_RUNNING);
    struct hz_store_checkpoint *list;
    size_t count;
    HZ_ASSERT_OK(hz_store_put(&row, true, NULL, NULL));
    answers = 0;
    put_checkpoint(&id, 0, false, 10);
    put_checkpoint(&id, 1, false, 9000);
    HZ_ASSERT_OK(hz_store_checkpoints(&id, &list, &count));
    HZ_ASSERT_EQ(count, 2);
    HZ_ASSERT_EQ(list[1].ordinal, 1);
    HZ_ASSERT_EQ(list[1].len, 9000);
    char *expected = text_of(9000);
    HZ_ASSERT_EQ(memcmp(list[1].data, expected, 9000), 0);
    free(expected);
    hz_store_checkpoints_free(&list, count);
    put_checkpoint(&id, 2, true, 5);
    HZ_ASSERT_OK(hz_store_checkpoints(&id, &list, &count));
    HZ_ASSERT_EQ(count, 1);
    HZ_ASSERT_EQ(list[0].ordinal, 2);
    hz_store_checkpoints_free(&list, count);
    HZ_ASSERT_EQ(answers, 3);
    row = row_of(&id, HZ_EXEC_SUCCESS);
    HZ_ASSERT_OK(hz_store_put(&row, false, NULL, NULL));
    put_checkpoint(&id, 3, false, 5); /* too late */
    HZ_ASSERT_OK(hz_store_checkpoints(&id, &list, &count));
    HZ_ASSERT_EQ(count, 0);
    void *runs;
    size_t len;
    HZ_ASSERT_EQ(hz_store_node_runs(&id, &runs, &len), HZ_ENOTFOUND);
    HZ_ASSERT_OK(hz_store_node_runs_put(&id, text_of(70), 70));
    HZ_ASSERT_OK(hz_store_node_runs(&id, &runs, &len));
    HZ_ASSERT_EQ(len, 70);
    free(runs);
}

HZ_TEST(store_history, keys_find_their_execution_and_dead_letters_are_listed)
{
    struct hz_uuid id = hz_uuid_new();
    struct hz_store_execution row = row_of(&id, HZ_EXEC_QUEUED), back, *rows;
    size_t count;
    row.idempotency_key = strdup("order-1");
    row.dedup_key = strdup("customer-7");
    row.priority = -3;
    row.due_wall_ms = 12345;
    HZ_ASSERT_OK(hz_store_put(&row, true, NULL, NULL));
    HZ_ASSERT_OK(hz_store_by_dedup_key("hello", "customer-7", &back));
    HZ_ASSERT_EQ(back.priority, -3);
    HZ_ASSERT_EQ(back.due_wall_ms, 12345);
    hz_store_execution_fini(&back);
    HZ_ASSERT_EQ(hz_store_by_dedup_key("other", "customer-7", &back), HZ_ENOTFOUND);
    row = row_of(&id, HZ_EXEC_FAILED);
    row.dead = true;
    HZ_ASSERT_OK(hz_store_put(&row, false, NULL, NULL));
    HZ_ASSERT_EQ(hz_store_by_dedup_key("hello", "customer-7", &back), HZ_ENOTFOUND);
    HZ_ASSERT_OK(hz_store_by_idempotency_key("hello", "order-1", &back));
    HZ_ASSERT_TRUE(hz_uuid_equal(&back.id, &id));
    HZ_ASSERT_TRUE(back.dead);
    hz_store_execution_fini(&back);
    HZ_ASSERT_OK(hz_store_list(&(struct hz_store_filter){.dead = true, .limit = 10}, &rows, &count));
    HZ_ASSERT_EQ(count, 1);
    hz_store_execution_fini(&rows[0]);
    free(rows);
    HZ_ASSERT_OK(hz_store_dead_clear(&id));
    HZ_ASSERT_EQ(hz_store_dead_clear(&id), HZ_ENOTFOUND);
}

HZ_TEST(store_history, counters_leave_nothing_but_a_count_and_drop_the_open_row)
{
    struct hz_store_execution back;
    struct hz_uuid id = hz_uuid_new();
    for (int i = 0; i < 10; i++) {
        id = hz_uuid_new();
        struct hz_store_execution row = row_of(&id, HZ_EXEC_QUEUED);
        row.history = HZ_HISTORY_COUNTERS;
        if (i % 2) /* accepted durably before */
            HZ_ASSERT_OK(hz_store_put(&row, true, answered, NULL));
        struct hz_store_execution end = row_of(&id, i < 4 ? HZ_EXEC_FAILED : HZ_EXEC_SUCCESS);
        end.history = HZ_HISTORY_COUNTERS;
        end.stored = i % 2;
        HZ_ASSERT_OK(hz_store_put(&end, false, NULL, NULL));
    }
    HZ_ASSERT_EQ(hz_store_get(&id, &back), HZ_ENOTFOUND);
    hz_store_close();
    HZ_ASSERT_EQ(number_in("db/horizon.db", "SELECT COUNT(*) FROM executions"), 0);
    HZ_ASSERT_EQ(number_in("db/horizon.db", "SELECT SUM(count) FROM counters WHERE state = 4"), 6);
    HZ_ASSERT_EQ(number_in("db/horizon.db", "SELECT SUM(count) FROM counters WHERE state = 5"), 4);
}

HZ_TEST(store_history, a_crash_knows_how_often_the_same_was_seen_before)
{
    struct hz_uuid id;
    for (int i = 0; i < 3; i++) {
        id = hz_uuid_new();
        struct hz_store_crash crash = {.id = id, .at_wall_ms = 100 + i, .workflow_id = "w", .kind = "crash", .node = strdup("n"),
                .signature = strdup("n main"), .report = strdup("{\"x\":1}")};
        HZ_ASSERT_OK(hz_store_crash_put(&crash));
    }
    struct hz_store_crash back, *list;
    size_t count;
    HZ_ASSERT_OK(hz_store_crash_get(&id, &back));
    HZ_ASSERT_EQ(back.seen_before, 2);
    HZ_ASSERT_STR_EQ(back.report, "{\"x\":1}");
    hz_store_crash_fini(&back);
    HZ_ASSERT_OK(hz_store_crash_list("w", 0, 2, &list, &count));
    HZ_ASSERT_EQ(count, 2);
    HZ_ASSERT_EQ(list[0].at_wall_ms, 102);
    HZ_ASSERT_NULL(list[0].report);
    for (size_t i = 0; i < count; i++)
        hz_store_crash_fini(&list[i]);
    free(list);
}

HZ_TEST(store_history, log_lines_are_found_by_level_worker_and_text)
{
    int64_t now = hz_base_wall_ms();
    for (int i = 0; i < 20; i++) {
        char text[32];
        int len = snprintf(text, sizeof text, "Line %d", i);
        HZ_ASSERT_OK(hz_store_log_put(now + i, i % 2 ? HZ_LOG_ERROR : HZ_LOG_INFO, "w", i < 10 ? "a" : "b", NULL, text, (size_t)len));
    }
    struct hz_store_log_filter filter = {.worker_id = "b", .level_min = HZ_LOG_WARN, .limit = 100};
    json_t *list = hz_store_logs(&filter);
    HZ_ASSERT_EQ(json_array_size(list), 5);
    HZ_ASSERT_STR_EQ(json_string_value(json_object_get(json_array_get(list, 0), "text")), "Line 19");
    json_decref(list);
    filter = (struct hz_store_log_filter){.contains = "line 1", .limit = 100, .from_ms = now, .to_ms = now + 15};
    list = hz_store_logs(&filter);
    HZ_ASSERT_EQ(json_array_size(list), 6); /* 1, 10 to 14 */
    json_decref(list);
}

HZ_TEST(store_history, samples_are_thinned_to_minutes_by_mean_greatest_and_sum)
{
    int64_t minute = (hz_base_wall_ms() / 1000 - 300) / 60 * 60;
    for (int i = 0; i < 60; i++) {
        struct hz_store_metric sample = {.cpu_percent = i, .memory_bytes = i == 30 ? 1000 : 5, .executions = 2};
        HZ_ASSERT_OK(hz_store_metric_put("worker", minute + i, &sample));
    }
    json_t *fine = hz_store_metrics("worker", minute, minute + 60, 0);
    HZ_ASSERT_EQ(json_integer_value(json_object_get(fine, "step")), 1);
    HZ_ASSERT_EQ(json_array_size(json_object_get(fine, "samples")), 60);
    json_decref(fine);
    json_t *coarse = NULL;
    for (int i = 0; i < 100; i++) {
        coarse = hz_store_metrics("worker", minute, minute + 60, 60);
        if (json_array_size(json_object_get(coarse, "samples")) == 1)
            break;
        json_decref(coarse);
        coarse = NULL;
        usleep(50000);
    }
    HZ_ASSERT_NOT_NULL(coarse);
    const json_t *one = json_array_get(json_object_get(coarse, "samples"), 0);
    HZ_ASSERT_TRUE(json_real_value(json_object_get(one, "cpuPercent")) == 29.5);
    HZ_ASSERT_TRUE(json_real_value(json_object_get(one, "memoryBytes")) == 1000);
    HZ_ASSERT_TRUE(json_real_value(json_object_get(one, "executions")) == 120);
    json_decref(coarse);
}

HZ_TEST(store_history, one_alert_is_open_for_a_rule_and_subject)
{
    struct hz_store_alert alert = {.rule = "memory", .subject = "w", .level = 2, .raised_ms = 5, .text = "80 %"}, *list;
    size_t count;
    HZ_ASSERT_OK(hz_store_alert_put(&alert));
    alert.level = 3;
    HZ_ASSERT_OK(hz_store_alert_put(&alert));
    HZ_ASSERT_OK(hz_store_alert_list(true, 10, &list, &count));
    HZ_ASSERT_EQ(count, 1);
    HZ_ASSERT_EQ(list[0].level, 3);
    free(list);
    alert.cleared_ms = hz_base_wall_ms();
    HZ_ASSERT_OK(hz_store_alert_put(&alert));
    alert.cleared_ms = 0;
    HZ_ASSERT_OK(hz_store_alert_put(&alert));
    HZ_ASSERT_OK(hz_store_alert_list(false, 10, &list, &count));
    HZ_ASSERT_EQ(count, 2);
    free(list);
}

HZ_TEST(store_history, secrets_are_replaced_in_one_go)
{
    void *sealed;
    size_t len;
    HZ_ASSERT_OK(hz_store_secret_put("a", "12\0003", 4));
    HZ_ASSERT_OK(hz_store_secret_get("a", &sealed, &len));
    HZ_ASSERT_EQ(len, 4);
    HZ_ASSERT_EQ(memcmp(sealed, "12\0003", 4), 0);
    free(sealed);
    static const char *const names[] = {"b", "c"};
    const void *const blobs[] = {"x", "yy"};
    const size_t lens[] = {1, 2};
    HZ_ASSERT_OK(hz_store_secret_replace(names, blobs, lens, 2));
    HZ_ASSERT_EQ(hz_store_secret_get("a", &sealed, &len), HZ_ENOTFOUND);
    json_t *list = hz_store_secret_list();
    HZ_ASSERT_EQ(json_array_size(list), 2);
    json_decref(list);
    HZ_ASSERT_OK(hz_store_secret_delete("b"));
    HZ_ASSERT_EQ(hz_store_secret_delete("b"), HZ_ENOTFOUND);
}

static int64_t size_of(const char *path)
{
    struct stat info;
    return stat(path, &info) ? 0 : (int64_t)info.st_size;
}

HZ_TEST(store_history, the_file_stays_below_its_bound_under_endless_load)
{
    enum { BOUND = 64 << 20, ROWS = 30000, PAYLOAD = 4000 }; /* twice the bound is written */
    hz_store_close();
    const struct hz_store_options options = {.history = 100000000, .max_bytes = BOUND};
    HZ_ASSERT_OK(hz_store_open_with("db", &options));
    struct hz_uuid open = hz_uuid_new();
    struct hz_store_execution row = row_of(&open, HZ_EXEC_RUNNING), back;
    HZ_ASSERT_OK(hz_store_put(&row, false, NULL, NULL));
    int64_t largest = 0;
    for (int i = 0; i < ROWS; i++) {
        struct hz_uuid id = hz_uuid_new();
        row = row_of(&id, HZ_EXEC_SUCCESS);
        row.result = text_of(PAYLOAD);
        HZ_ASSERT_OK(hz_store_put(&row, false, NULL, NULL));
        if (i % 500 == 0) {
            HZ_ASSERT_TRUE(hz_test_wait(all_settled, NULL, 30000));
            largest = HZ_MAX(largest, size_of("db/horizon.db") + size_of("db/horizon.db-wal"));
        }
    }
    HZ_ASSERT_TRUE(hz_test_wait(all_settled, NULL, 30000));
    HZ_ASSERT_LE(largest, BOUND);
    HZ_ASSERT_GE(largest, BOUND / 3);
    HZ_ASSERT_OK(hz_store_get(&open, &back)); /* what is not over is never forgotten */
    hz_store_execution_fini(&back);
}

static void put_rows(int count, enum hz_exec_state state, size_t payload)
{
    for (int i = 0; i < count; i++) {
        struct hz_uuid id = hz_uuid_new();
        struct hz_store_execution row = row_of(&id, state);
        row.result = payload ? text_of(payload) : NULL;
        HZ_ASSERT_OK(hz_store_put(&row, false, NULL, NULL));
        if (i % 500 == 0)
            HZ_ASSERT_TRUE(hz_test_wait(all_settled, NULL, 30000));
    }
    HZ_ASSERT_TRUE(hz_test_wait(all_settled, NULL, 30000));
}

HZ_TEST(store_history, open_rows_in_front_do_not_stop_the_number_and_the_size_from_being_kept)
{
    enum { OPEN = 2500, KEPT = 1000, BOUND = 16 << 20 }; /* more are open than one look sees */
    static const struct hz_store_options bounds[] = {{.history = KEPT}, {.history = 100000000, .max_bytes = BOUND}};
    for (size_t i = 0; i < HZ_COUNT_OF(bounds); i++) {
        hz_store_close();
        hz_test_remove_tree("db");
        HZ_ASSERT_EQ(mkdir("db", 0700), 0);
        HZ_ASSERT_OK(hz_store_open_with("db", &bounds[i]));
        put_rows(OPEN, HZ_EXEC_RUNNING, 0);
        put_rows(6000, HZ_EXEC_SUCCESS, i == 0 ? 0 : 4000);
        hz_store_close();
        HZ_ASSERT_EQ(number_in("db/horizon.db", "SELECT COUNT(*) FROM executions WHERE state < 4"), OPEN);
        int64_t over = number_in("db/horizon.db", "SELECT COUNT(*) FROM executions WHERE state >= 4");
        HZ_ASSERT_GE(over, 500);
        HZ_ASSERT_LE(over, i == 0 ? KEPT + 2 * 1024 : 6000); /* a look each 1,024 rows */
        HZ_ASSERT_LE(size_of("db/horizon.db"), BOUND);
    }
}

HZ_TEST(store_history, crash_reports_keep_to_their_share_and_push_nothing_else_out)
{
    enum { BOUND = 16 << 20, REPORTS = 1500, LENGTH = 8000 };
    hz_store_close();
    const struct hz_store_options options = {.history = 100000000, .max_bytes = BOUND};
    HZ_ASSERT_OK(hz_store_open_with("db", &options));
    put_rows(10, HZ_EXEC_SUCCESS, 100);
    struct hz_uuid last = {{0}};
    for (int i = 0; i < REPORTS; i++) {
        last = hz_uuid_new();
        struct hz_store_crash crash = {.id = last, .at_wall_ms = hz_base_wall_ms(), .workflow_id = "w", .kind = "crash",
                .signature = strdup("n main"), .report = text_of(LENGTH)};
        HZ_ASSERT_OK(hz_store_crash_put(&crash));
        if (i % 4 == 0)
            put_rows(8, HZ_EXEC_CRASHED, 0); /* a look each 1,024 of both */
    }
    struct hz_store_crash back;
    HZ_ASSERT_OK(hz_store_crash_get(&last, &back));
    hz_store_crash_fini(&back);
    hz_store_close();
    HZ_ASSERT_EQ(number_in("db/horizon.db", "SELECT COUNT(*) FROM executions"), 10 + 2 * REPORTS);
    HZ_ASSERT_GE(number_in("db/horizon.db", "SELECT COUNT(*) FROM crashes"), 100);
    HZ_ASSERT_LE(number_in("db/horizon.db", "SELECT SUM(length(report)) FROM crashes"), BOUND / 8 + 1024 * LENGTH);
    HZ_ASSERT_LE(size_of("db/horizon.db"), BOUND);
}

static size_t crashes_kept(void)
{
    struct hz_store_crash *list;
    size_t count;
    HZ_ASSERT_OK(hz_store_crash_list("w", 0, 1000, &list, &count));
    for (size_t i = 0; i < count; i++)
        hz_store_crash_fini(&list[i]);
    free(list);
    return count;
}

static bool fewer_crashes(void *arg)
{
    return crashes_kept() < *(size_t *)arg;
}

HZ_TEST(store_history, the_newest_crash_reports_stay_however_large_they_are)
{
    size_t put = 130;
    hz_store_close();
    const struct hz_store_options options = {.history = 100000000, .max_bytes = 16 << 20};
    HZ_ASSERT_OK(hz_store_open_with("db", &options));
    for (size_t i = 0; i < put; i++) {
        struct hz_store_crash crash = {.id = hz_uuid_new(), .at_wall_ms = hz_base_wall_ms(), .workflow_id = "w", .kind = "crash",
                .signature = strdup("n main"), .report = text_of(30000)};
        HZ_ASSERT_OK(hz_store_crash_put(&crash));
    }
    HZ_ASSERT_TRUE(hz_test_wait(fewer_crashes, &put, 10000)); /* 100 are more than their share */
    HZ_ASSERT_GE(crashes_kept(), 100);
}

HZ_TEST(store_history, space_is_given_back_when_history_ages)
{
    for (int i = 0; i < 5000; i++) {
        struct hz_uuid id = hz_uuid_new();
        struct hz_store_execution row = row_of(&id, HZ_EXEC_SUCCESS);
        row.created_wall_ms -= INT64_C(40) * 86400000;
        row.result = text_of(4000);
        HZ_ASSERT_OK(hz_store_put(&row, false, NULL, NULL));
    }
    HZ_ASSERT_TRUE(hz_test_wait(all_settled, NULL, 30000));
    hz_store_close();
    int64_t before = size_of("db/horizon.db");
    HZ_ASSERT_GE(before, 20 << 20);
    const struct hz_store_options options = {.history = 100000000, .history_days = 30};
    HZ_ASSERT_OK(hz_store_open_with("db", &options));
    for (int i = 0; i < 100; i++) {
        json_t *stats = hz_store_stats();
        json_int_t left = json_integer_value(json_object_get(json_object_get(stats, "rows"), "executions"));
        json_int_t unused = json_integer_value(json_object_get(stats, "freeBytes"));
        json_decref(stats);
        if (left == 0 && unused < 4 << 20)
            break;
        usleep(100000);
    }
    hz_store_close();
    HZ_ASSERT_LE(size_of("db/horizon.db"), 4 << 20);
}

HZ_TEST(store_history, a_backup_under_load_is_whole_and_never_replaces_a_file)
{
    for (int i = 0; i < 3000; i++) {
        struct hz_uuid id = hz_uuid_new();
        struct hz_store_execution row = row_of(&id, HZ_EXEC_SUCCESS);
        row.result = text_of(6000);
        HZ_ASSERT_OK(hz_store_put(&row, i % 50 == 0, answered, NULL));
        if (i == 1500)
            HZ_ASSERT_OK(hz_store_backup("db/copy.db"));
    }
    HZ_ASSERT_EQ(hz_store_backup("db/copy.db"), HZ_EEXISTS);
    HZ_ASSERT_OK(hz_store_check("db/copy.db", NULL, NULL));
    struct stat info;
    HZ_ASSERT_EQ(stat("db/copy.db", &info), 0);
    HZ_ASSERT_EQ(info.st_mode & 0777, 0600);
    HZ_ASSERT_LE(number_in("db/copy.db", "SELECT COUNT(*) FROM executions"), 1501);
    hz_store_close();
    HZ_ASSERT_OK(hz_store_restore("db", "db/copy.db"));
    HZ_ASSERT_LE(number_in("db/horizon.db", "SELECT COUNT(*) FROM executions"), 1501);
    HZ_ASSERT_EQ(number_in("db/horizon.db.before-restore", "SELECT COUNT(*) FROM executions"), 3000);
}

HZ_TEST(store_history, a_corrupted_page_refuses_the_start_with_a_sentence)
{
    for (int i = 0; i < 2000; i++) {
        struct hz_uuid id = hz_uuid_new();
        struct hz_store_execution row = row_of(&id, HZ_EXEC_SUCCESS);
        HZ_ASSERT_OK(hz_store_put(&row, false, NULL, NULL));
    }
    hz_store_close();
    int64_t page = number_in("db/horizon.db", "SELECT rootpage FROM sqlite_schema WHERE name = 'executions'");
    FILE *file = fopen("db/horizon.db", "r+");
    HZ_ASSERT_NOT_NULL(file);
    HZ_ASSERT_EQ(fseek(file, (long)(page - 1) * 4096, SEEK_SET), 0);
    for (int i = 0; i < 4096; i++)
        HZ_ASSERT_NE(fputc(0xa5, file), EOF);
    HZ_ASSERT_EQ(fclose(file), 0);
    HZ_ASSERT_EQ(hz_store_open("db", 1000), HZ_EFORMAT);
    HZ_ASSERT_NOT_NULL(strstr(hz_err_last(), "horizon.db is damaged"));
    HZ_ASSERT_NOT_NULL(strstr(hz_err_last(), "horizon db restore"));
}
