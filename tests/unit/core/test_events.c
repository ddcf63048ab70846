/* test_events.c - the hub of events on a real main shard and a real store: numbers, what is kept, deltas, replay, progress. */
#include "core/api/events.h"
#include "core/shard.h"
#include "core/store.h"
#include "core/store_records.h"
#include "shm/err.h"
#include "tests/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <urcu/urcu-memb.h>

static struct {
    unsigned batches;
    uint64_t from, to;
    char json[65536], lines[65536];
} told;

static void on_batch(const struct hz_events_batch *batch)
{
    told.batches++;
    told.from = batch->from;
    told.to = batch->to;
    snprintf(told.json, sizeof told.json, "%.*s", (int)batch->json_len, batch->json);
    snprintf(told.lines, sizeof told.lines, "%.*s", (int)batch->lines_len, batch->lines);
}

HZ_SETUP(events)
{
    memset(&told, 0, sizeof told);
    hz_test_remove_tree("data");
    HZ_ASSERT_OK(mkdir("data", 0700));
    HZ_ASSERT_OK(hz_store_open("data", 100));
    urcu_memb_register_thread();
    HZ_ASSERT_OK(hz_shard_init(1));
    HZ_ASSERT_OK(hz_events_init());
    hz_events_listen(on_batch);
    hz_events_begin();
}

HZ_TEARDOWN(events)
{
    hz_events_end();
    hz_events_fini();
    hz_shard_fini();
    urcu_memb_unregister_thread();
    hz_store_close();
}

/* The main shard's loop for so long. */
static void turn(uint32_t ms)
{
    uint64_t until = hz_base_now_ns() + ms * UINT64_C(1000000);
    while (hz_base_now_ns() < until) {
        uv_run(hz_shard_loop(hz_shard_main()), UV_RUN_NOWAIT);
        usleep(500);
    }
}

static json_t *parsed(const char *text)
{
    json_t *value = json_loads(text, 0, NULL);
    HZ_ASSERT_NOT_NULL(value);
    return value;
}

HZ_TEST(events, a_tick_tells_all_of_it_at_once_in_order)
{
    uint64_t before = hz_events_last();
    hz_events_followers(1);
    hz_events_note("message", "w1", "11111111-1111-4111-8111-111111111111", "{\"message\":\"uno\"}");
    hz_events_note("alert", NULL, NULL, "{\"rule\":\"disk\"}");
    HZ_ASSERT_EQ(told.batches, 0); /* not before the tick */
    HZ_ASSERT_EQ(hz_events_last(), before); /* as far as it was told */
    turn(2 * HZ_EVENTS_TICK_MS);
    HZ_ASSERT_EQ(told.batches, 1);
    HZ_ASSERT_EQ(told.from, before + 1);
    HZ_ASSERT_EQ(told.to, before + 2);
    json_t *delta = parsed(told.json), *list = json_object_get(delta, "events");
    HZ_ASSERT_EQ(json_array_size(list), 2);
    HZ_ASSERT_STR_EQ(json_string_value(json_object_get(json_array_get(list, 0), "workflowId")), "w1");
    HZ_ASSERT_STR_EQ(json_string_value(json_object_get(json_array_get(list, 1), "rule")), "disk");
    HZ_ASSERT_TRUE(json_object_get(json_array_get(list, 1), "workflowId") == NULL);
    json_decref(delta);
    HZ_ASSERT_STR_HAS(told.lines, "event: message\ndata: {");
    HZ_ASSERT_STR_HAS(told.lines, "event: alert\ndata: {");
    hz_events_followers(-1);
}

HZ_TEST(events, nobody_follows_so_nothing_is_told_and_what_matters_is_kept)
{
    hz_events_note("alert", "w1", NULL, "{\"rule\":\"parked\"}");
    turn(3 * HZ_EVENTS_TICK_MS);
    HZ_ASSERT_EQ(told.batches, 0);
    hz_events_end();
    hz_events_fini(); /* writes what waits */
    json_t *list = NULL;
    for (int i = 0; i < 200; i++) { /* the writer is a thread */
        json_decref(list);
        list = hz_store_events("alert", NULL, 0, 0, 10);
        if (json_array_size(list) > 0)
            break;
        usleep(10000);
    }
    HZ_ASSERT_EQ(json_array_size(list), 1);
    HZ_ASSERT_STR_EQ(json_string_value(json_object_get(json_array_get(list, 0), "workflowId")), "w1");
    json_decref(list);
}

HZ_TEST(events, who_comes_back_gets_what_he_missed_or_hears_that_it_is_gone)
{
    struct hz_events_batch batch;
    char text[32];
    hz_events_followers(1);
    hz_events_note("message", "a", NULL, NULL);
    turn(2 * HZ_EVENTS_TICK_MS);
    uint64_t seen = hz_events_last();
    HZ_ASSERT_EQ(seen, told.to);
    for (int i = 0; i < 3; i++) {
        snprintf(text, sizeof text, "{\"n\":%d}", i);
        hz_events_note("message", "b", NULL, text);
    }
    turn(2 * HZ_EVENTS_TICK_MS);
    HZ_ASSERT_TRUE(hz_events_replay(seen, 1u << 20, &batch));
    HZ_ASSERT_EQ(batch.from, seen + 1);
    HZ_ASSERT_EQ(batch.to, seen + 3);
    hz_events_replay_free(&batch);
    HZ_ASSERT_TRUE(hz_events_replay(hz_events_last(), 1u << 20, &batch)); /* nothing missed */
    json_t *delta = parsed(batch.json);
    HZ_ASSERT_EQ(json_array_size(json_object_get(delta, "events")), 0);
    json_decref(delta);
    hz_events_replay_free(&batch);
    HZ_ASSERT_FALSE(hz_events_replay(7, 1u << 20, &batch)); /* of long ago */
    hz_events_replay_free(&batch);
    HZ_ASSERT_FALSE(hz_events_replay(hz_events_last() + 1000, 1u << 20, &batch)); /* of no time */
    hz_events_replay_free(&batch);
    for (unsigned i = 0; i < HZ_EVENTS_REPLAY + 10; i++)
        hz_events_note("message", "c", NULL, NULL);
    turn(2 * HZ_EVENTS_TICK_MS);
    HZ_ASSERT_FALSE(hz_events_replay(seen, 1u << 20, &batch)); /* the ring has turned */
    hz_events_replay_free(&batch);
    hz_events_followers(-1);
}

HZ_TEST(events, progress_is_told_at_most_each_quarter_of_a_second_and_the_last_always)
{
    static const char one[] = "22222222-2222-4222-8222-222222222222";
    struct hz_worker_info worker = {.id_text = "33333333-3333-4333-8333-333333333333"};
    char said[96];
    unsigned count = 0;
    hz_events_followers(1);
    uint64_t before = hz_events_last();
    for (int i = 1; i <= 60; i++) {
        int len = snprintf(said, sizeof said, "{\"percentage\":%d,\"stepName\":\"s\",\"other\":1}", i);
        hz_events_progress(one, &worker, said, (size_t)len);
        turn(10);
    }
    hz_events_progress(one, &worker, "no object", 9); /* changes nothing */
    char *latest = hz_events_latest_progress(one);
    json_t *report = parsed(latest);
    HZ_ASSERT_EQ(json_integer_value(json_object_get(report, "percentage")), 60);
    HZ_ASSERT_EQ(json_object_size(report), 6);
    HZ_ASSERT_TRUE(json_is_null(json_object_get(report, "message")));
    json_decref(report);
    free(latest);
    turn(3 * HZ_EVENTS_TICK_MS);
    struct hz_events_batch batch;
    HZ_ASSERT_TRUE(hz_events_replay(before, 1u << 20, &batch));
    json_t *delta = parsed(batch.json), *list = json_object_get(delta, "events");
    count = (unsigned)json_array_size(list);
    HZ_ASSERT_TRUE(count >= 2);
    HZ_ASSERT_EQ(json_integer_value(json_object_get(json_array_get(list, count - 1), "percentage")), 60);
    for (unsigned i = 1; i < count; i++)
        HZ_ASSERT_TRUE(json_integer_value(json_object_get(json_array_get(list, i), "percentage")) >
                       json_integer_value(json_object_get(json_array_get(list, i - 1), "percentage")));
    json_decref(delta);
    hz_events_replay_free(&batch);
    HZ_ASSERT_TRUE(hz_events_latest_progress("44444444-4444-4444-8444-444444444444") == NULL);
    hz_events_followers(-1);
}
