/*
 * test_reports.c - how often progress is told, and that the last report of each execution is. The face that hears it is the test.
 */
#include "core/api/events.h"
#include "core/api/news.h"
#include "core/api/reports.h"
#include "core/flow/json_text.h"
#include "tests/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static unsigned told;
static char last[8192];
static struct hz_worker_info worker;

static void hear(const char *name, const char *json, size_t len, struct hz_sio_socket *except)
{
    (void)except;
    if (strcmp(name, "executions:progress") != 0 || len >= sizeof last)
        return;
    told++;
    memcpy(last, json, len);
    last[len] = 0;
}

static const struct hz_news_face face = {.all = hear};

static void begin(void)
{
    hz_news_serve(&face);
    HZ_ASSERT_EQ(hz_events_init(), 0);
    told = 0;
}

static void report(unsigned execution, unsigned percentage)
{
    char id[HZ_UUID_TEXT], json[64];
    snprintf(id, sizeof id, "00000000-0000-4000-8000-%012u", execution);
    int len = snprintf(json, sizeof json, "{\"percentage\":%u}", percentage);
    hz_events_progress(id, &worker, json, (size_t)len);
}

/* More than a quarter of a second: longer is as good. */
static void let_it_be_due(void)
{
    const struct timespec wait = {.tv_nsec = 260000000};
    nanosleep(&wait, NULL);
}

HZ_TEST(reports, of_one_execution_the_first_and_the_last_are_told)
{
    begin();
    for (unsigned i = 0; i <= 50; i++)
        report(1, i);
    HZ_ASSERT_TRUE(told < 50); /* one, unless the machine stood still */
    let_it_be_due();
    hz_reports_tick();
    HZ_ASSERT_NOT_NULL(strstr(last, "\"percentage\":50"));
    unsigned before = told;
    let_it_be_due();
    hz_reports_tick();
    HZ_ASSERT_EQ(told, before);
    hz_events_fini();
}

HZ_TEST(reports, however_many_executions_report_a_tick_tells_so_many_and_each_has_its_turn)
{
    enum { EXECUTIONS = 1000 };
    begin();
    for (unsigned round = 1; round <= 3; round++)
        for (unsigned i = 0; i < EXECUTIONS; i++)
            report(i, round);
    HZ_ASSERT_TRUE(told <= HZ_REPORTS_TICK);
    for (unsigned i = 0; i < EXECUTIONS / HZ_REPORTS_TICK + 2; i++) {
        unsigned before = told;
        hz_reports_tick();
        HZ_ASSERT_TRUE(told - before <= HZ_REPORTS_TICK);
    }
    let_it_be_due(); /* those that were told an earlier round */
    for (unsigned i = 0; i < EXECUTIONS / HZ_REPORTS_TICK + 2; i++)
        hz_reports_tick();
    HZ_ASSERT_TRUE(told >= EXECUTIONS);
    unsigned before = told;
    let_it_be_due();
    hz_reports_tick();
    HZ_ASSERT_EQ(told, before); /* nobody waits */
    hz_events_fini();
}

HZ_TEST(reports, those_who_reported_last_are_known_and_memory_is_bounded)
{
    begin();
    for (unsigned i = 0; i < 3 * HZ_REPORTS_KEPT; i++) {
        report(i, 7);
        if (i % HZ_REPORTS_TICK == HZ_REPORTS_TICK - 1)
            hz_reports_tick();
    }
    char *first = hz_events_latest_progress("00000000-0000-4000-8000-000000000000");
    char id[HZ_UUID_TEXT];
    snprintf(id, sizeof id, "00000000-0000-4000-8000-%012u", 3 * HZ_REPORTS_KEPT - 1);
    char *newest = hz_events_latest_progress(id);
    HZ_ASSERT_NULL(first);
    HZ_ASSERT_NOT_NULL(newest);
    free(newest);
    hz_events_fini();
}

HZ_TEST(reports, what_a_flow_says_at_length_is_cut)
{
    size_t len = 100000;
    char *json = malloc(len + 64), *at = json;
    HZ_ASSERT_NOT_NULL(json);
    begin();
    at += sprintf(at, "{\"message\":\"");
    memset(at, 'x', len);
    at += len;
    at += sprintf(at, "\",\"stepName\":[1,2],\"percentage\":5}");
    hz_events_progress("00000000-0000-4000-8000-000000000001", &worker, json, (size_t)(at - json));
    HZ_ASSERT_EQ(told, 1);
    json_t *said = hz_json_text_read(last, strlen(last));
    HZ_ASSERT_EQ(json_string_length(json_object_get(said, "message")), 1023);
    HZ_ASSERT_EQ(json_array_size(json_object_get(said, "stepName")), 2);
    HZ_ASSERT_TRUE(json_is_null(json_object_get(said, "nodeId")));
    json_decref(said);
    free(json);
    hz_events_fini();
}
