/* test_api_json.c - the printer, and the objects of the contract printed with it. */
#include "core/api/json.h"
#include "tests/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct hz_json json;

HZ_SETUP(api_json)
{
    memset(&json, 0, sizeof json);
}

HZ_TEARDOWN(api_json)
{
    hz_json_fini(&json);
}

HZ_TEST(api_json, members_and_elements_are_separated)
{
    hz_json_open(&json, '{');
    HZ_JSON_KEY(&json, "a");
    hz_json_open(&json, '[');
    hz_json_uint(&json, 0);
    hz_json_int(&json, -12);
    hz_json_uint(&json, UINT64_MAX);
    hz_json_open(&json, '{');
    hz_json_close(&json, '}');
    hz_json_null(&json);
    hz_json_close(&json, ']');
    HZ_JSON_KEY(&json, "b");
    hz_json_bool(&json, true);
    HZ_JSON_KEY(&json, "c");
    hz_json_raw(&json, "[1]", 3);
    hz_json_close(&json, '}');
    HZ_ASSERT_STR_EQ(json.data, "{\"a\":[0,-12,18446744073709551615,{},null],\"b\":true,\"c\":[1]}");
}

HZ_TEST(api_json, texts_are_escaped_and_repaired)
{
    hz_json_string(&json, "a\"\\\n\x01\x7f\0z", 8);
    HZ_ASSERT_STR_EQ(json.data, "\"a\\\"\\\\\\n\\u0001\x7f\\u0000z\"");
    hz_json_fini(&json);
    hz_json_text(&json, "\xc3\xb1 \xff \xe2\x82 \xed\xa0\x80");
    HZ_ASSERT_STR_EQ(
            json.data, "\"\xc3\xb1 \xef\xbf\xbd \xef\xbf\xbd\xef\xbf\xbd \xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
}

HZ_TEST(api_json, a_string_of_bytes_is_always_text)
{
    json_t *text = hz_json_string_of("a\xff\"b", 4);
    HZ_ASSERT_STR_EQ(json_string_value(text), "a\xef\xbf\xbd\"b");
    json_decref(text);
}

static void number(double value, const char *wanted)
{
    hz_json_fini(&json);
    hz_json_double(&json, value);
    HZ_ASSERT_STR_EQ(json.data, wanted);
}

HZ_TEST(api_json, doubles_are_the_shortest_text_that_reads_back)
{
    number(0, "0");
    number(1024, "1024");
    number(0.1, "0.1");
    number(1365333.3333333333, "1365333.3333333333");
    number(-2.5, "-2.5");
    number(0.0 / 1e300 + 1e21, "1e+21");
}

static void date(int64_t ms)
{
    char wanted[HZ_ISO_TEXT], quoted[HZ_ISO_TEXT + 2];
    hz_json_fini(&json);
    hz_json_iso(&json, ms);
    hz_base_iso(ms, wanted);
    snprintf(quoted, sizeof quoted, "\"%s\"", wanted);
    HZ_ASSERT_STR_EQ(json.data, quoted);
}

HZ_TEST(api_json, dates_are_those_of_the_library)
{
    static const int64_t days[] = {0, 1, 58, 59, 60, 365, 789, 11016, 11017, 11322, 19782, 20514, 47540, 47541};
    for (size_t i = 0; i < sizeof days / sizeof *days; i++) {
        date(days[i] * 86400000);
        date(days[i] * 86400000 + 86399999);
    }
    date(INT64_C(1752229230456));
}

/* ---- workers ---- */
static struct hz_worker_info worker(unsigned n, const char *workflow, int64_t start)
{
    struct hz_worker_info info;
    memset(&info, 0, sizeof info);
    snprintf(info.id_text, sizeof info.id_text, "%08x-0000-4000-8000-000000000000", n);
    snprintf(info.workflow_id, sizeof info.workflow_id, "%s", workflow);
    info.sequence = n;
    info.port = 3000 + n;
    info.pid = (int32_t)(100 + n);
    info.status = HZ_WORKER_RUNNING;
    info.start_wall_ms = info.activity_wall_ms = start;
    return info;
}

static json_t *parsed(void)
{
    HZ_ASSERT_FALSE(json.failed);
    json_t *root = json_loadb(json.data, json.len, 0, NULL);
    HZ_ASSERT_NOT_NULL(root);
    return root;
}

HZ_TEST(api_json, a_worker_without_stats_leaves_out_what_is_not_known)
{
    struct hz_worker_info info = worker(1, "hola", 0);
    hz_json_worker(&json, &info, HZ_WORKER_OBJECT);
    HZ_ASSERT_STR_HAS(json.data,
            "{\"id\":\"00000001-0000-4000-8000-000000000000\",\"workflowId\":\"hola\",\"processId\":101,\"port\":3001,"
            "\"status\":\"running\",\"startTime\":\"1970-01-01T00:00:00.000Z\",\"lastActivity\":\"1970-01-01T00:00:00."
            "000Z\"");
    HZ_ASSERT_STR_HAS_NOT(json.data, "memoryUsage");
    HZ_ASSERT_STR_HAS_NOT(json.data, "cpuUsage");
    HZ_ASSERT_STR_HAS_NOT(json.data, "executionId");
    HZ_ASSERT_STR_HAS_NOT(json.data, "version\"");
}

HZ_TEST(api_json, memory_is_a_number_in_the_list_and_an_object_elsewhere)
{
    struct hz_worker_info info = worker(1, "hola", 0);
    info.has_stats = true;
    info.rss_bytes = 5000;
    info.stats.v[HZ_STAT_heap_used_bytes] = 10;
    info.stats.v[HZ_STAT_heap_total_bytes] = 20;
    info.stats.v[HZ_STAT_cpu_user_us] = 7;
    snprintf(info.version, sizeof info.version, "1.2.3");
    snprintf(info.execution_text, sizeof info.execution_text, "e");
    hz_json_worker(&json, &info, HZ_WORKER_LISTED);
    HZ_ASSERT_STR_HAS(json.data,
            "\"memoryUsage\":5000,\"memory\":{\"rss\":5000,\"heapUsed\":10,\"heapTotal\":20,\"external\":0},"
            "\"cpuUsage\":{\"user\":7,\"system\":0}");
    HZ_ASSERT_STR_HAS(json.data, "\"executionId\":\"e\",\"version\":\"1.2.3\"");
    hz_json_fini(&json);
    hz_json_worker(&json, &info, HZ_WORKER_OBJECT);
    HZ_ASSERT_STR_HAS(json.data, "\"memoryUsage\":{\"rss\":5000,\"heapUsed\":10,\"heapTotal\":20,\"external\":0}");
    HZ_ASSERT_STR_HAS_NOT(json.data, "\"memory\":");
}

HZ_TEST(api_json, a_list_ends_with_next)
{
    struct hz_worker_info infos[2] = {worker(1, "a", 0), worker(2, "b", 0)};
    hz_json_workers(&json, infos, 2);
    json_t *root = parsed();
    HZ_ASSERT_EQ(json_array_size(json_object_get(root, "workers")), 2);
    HZ_ASSERT_TRUE(json_is_null(json_object_get(root, "next")));
    json_decref(root);
}

HZ_TEST(api_json, an_empty_dashboard_has_all_its_keys)
{
    hz_json_dashboard(&json, NULL, 0, 0);
    HZ_ASSERT_STR_EQ(json.data,
            "{\"overview\":{\"totalActive\":0,\"running\":0,\"errors\":0,\"starting\":0},"
            "\"recentActivity\":{\"workersStartedToday\":0,\"recentWorkers\":[]},"
            "\"performance\":{\"totalMemoryUsage\":0,\"averageMemoryPerWorker\":0,\"highMemoryWorkers\":[]},"
            "\"workflows\":{\"distribution\":{}}}");
}

HZ_TEST(api_json, the_dashboard_counts_groups_and_sorts)
{
    enum { COUNT = 30 };
    const int64_t day = 86400000, now = 100 * day;
    static struct hz_worker_info infos[COUNT];
    for (unsigned i = 0; i < COUNT; i++) {
        infos[i] = worker(i, i % 3 == 0 ? "tres" : "otro",
                now - day + (int64_t)(i / 2)); /* the first two: exactly a day, not less */
        infos[i].has_stats = i % 2 == 0;
        infos[i].rss_bytes = i == 4 ? 104857601 : 104857600;
        infos[i].status = i == 0   ? HZ_WORKER_STARTING
                          : i == 1 ? HZ_WORKER_ERROR
                          : i == 2 ? HZ_WORKER_STOPPING
                                   : HZ_WORKER_RUNNING;
    }
    hz_json_dashboard(&json, infos, COUNT, now);
    json_t *root = parsed();
    const json_t *overview = json_object_get(root, "overview"), *recent = json_object_get(root, "recentActivity");
    const json_t *performance = json_object_get(root, "performance");
    HZ_ASSERT_EQ(json_integer_value(json_object_get(overview, "totalActive")), COUNT);
    HZ_ASSERT_EQ(json_integer_value(json_object_get(overview, "running")), COUNT - 3);
    HZ_ASSERT_EQ(json_integer_value(json_object_get(overview, "errors")), 1);
    HZ_ASSERT_EQ(json_integer_value(json_object_get(overview, "starting")), 1);
    HZ_ASSERT_EQ(json_integer_value(json_object_get(recent, "workersStartedToday")), COUNT - 2);
    const json_t *newest = json_object_get(recent, "recentWorkers");
    HZ_ASSERT_EQ(json_array_size(newest), 10);
    for (unsigned i = 0; i < 10; i++)
        HZ_ASSERT_STR_EQ(
                json_string_value(json_object_get(json_array_get(newest, i), "id")), infos[COUNT - 1 - i].id_text);
    HZ_ASSERT_EQ(json_integer_value(json_object_get(performance, "totalMemoryUsage")), 15 * INT64_C(104857600) + 1);
    HZ_ASSERT_DBL_EQ(
            json_number_value(json_object_get(performance, "averageMemoryPerWorker")), (15.0 * 104857600 + 1) / COUNT);
    HZ_ASSERT_EQ(json_array_size(json_object_get(performance, "highMemoryWorkers")), 1);
    const json_t *spread = json_object_get(json_object_get(root, "workflows"), "distribution");
    HZ_ASSERT_EQ(json_object_size(spread), 2);
    HZ_ASSERT_EQ(json_integer_value(json_object_get(json_object_get(spread, "tres"), "count")), 10);
    const json_t *others = json_object_get(json_object_get(spread, "otro"), "workers");
    HZ_ASSERT_EQ(json_array_size(others), 20);
    HZ_ASSERT_STR_EQ(json_string_value(json_object_get(json_array_get(others, 0), "id")), infos[1].id_text);
    HZ_ASSERT_STR_EQ(json_string_value(json_object_get(json_array_get(others, 19), "id")), infos[29].id_text);
    json_decref(root);
}

HZ_TEST(api_json, a_value_nobody_had_memory_for_fails_the_text)
{
    struct hz_json text = {0};
    hz_json_open(&text, '{');
    HZ_JSON_KEY(&text, "envs");
    hz_json_value(&text, NULL);
    hz_json_close(&text, '}');
    HZ_ASSERT_TRUE(text.failed);
    hz_json_fini(&text);
}
