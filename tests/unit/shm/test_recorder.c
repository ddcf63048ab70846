/* test_recorder.c - the flight recorder: last events in order, nothing torn, claims of a dead worker bounded. */
#include "shm/recorder.h"
#include "tests/harness.h"

#include <pthread.h>
#include <string.h>

static struct hz_recorder_shared rec;
static struct hz_event events[HZ_RECORDER_EVENTS];

HZ_SETUP(recorder)
{
    memset(&rec, 0, sizeof(rec));
}

HZ_TEST(recorder, new_recorder_has_no_events)
{
    HZ_ASSERT_EQ(hz_recorder_read(&rec, events, HZ_RECORDER_EVENTS), 0);
}

HZ_TEST(recorder, event_comes_back_with_every_field)
{
    hz_recorder_add(&rec, HZ_EVENT_ERROR, 123, UINT64_MAX, UINT32_MAX, UINT16_MAX, 77);
    HZ_ASSERT_EQ(hz_recorder_read(&rec, events, 10), 1);
    HZ_ASSERT_EQ(events[0].time_ns, 123);
    HZ_ASSERT_EQ(events[0].execution, UINT64_MAX);
    HZ_ASSERT_EQ(events[0].node, UINT32_MAX);
    HZ_ASSERT_EQ(events[0].kind, HZ_EVENT_ERROR);
    HZ_ASSERT_EQ(events[0].detail, UINT16_MAX);
    HZ_ASSERT_EQ(events[0].argument, 77);
}

HZ_TEST(recorder, time_zero_takes_the_clock)
{
    uint64_t before = hz_base_now_ns();
    hz_recorder_add(&rec, HZ_EVENT_ENTER, 0, 1, 1, 0, 0);
    HZ_ASSERT_EQ(hz_recorder_read(&rec, events, 1), 1);
    HZ_ASSERT_GE(events[0].time_ns, before);
}

HZ_TEST(recorder, last_events_come_oldest_first)
{
    for (uint64_t i = 0; i < 10; i++)
        hz_recorder_add(&rec, HZ_EVENT_ENTER, i + 1, i, 0, 0, 0);
    HZ_ASSERT_EQ(hz_recorder_read(&rec, events, 3), 3);
    HZ_ASSERT_EQ(events[0].execution, 7);
    HZ_ASSERT_EQ(events[2].execution, 9);
}

HZ_TEST(recorder, full_recorder_gives_all_but_the_slot_that_is_next)
{
    for (uint64_t i = 0; i < 3 * HZ_RECORDER_EVENTS + 5; i++)
        hz_recorder_add(&rec, HZ_EVENT_LEAVE, 1, i, 0, 0, 0);
    HZ_ASSERT_EQ(hz_recorder_read(&rec, events, HZ_RECORDER_EVENTS), HZ_RECORDER_EVENTS - 1);
    HZ_ASSERT_EQ(events[0].execution, 2 * HZ_RECORDER_EVENTS + 6);
    HZ_ASSERT_EQ(events[HZ_RECORDER_EVENTS - 2].execution, 3 * HZ_RECORDER_EVENTS + 4);
}

HZ_TEST(recorder, event_of_impossible_kind_is_left_out)
{
    hz_recorder_add(&rec, HZ_EVENT_BEGIN, 1, 1, 0, 0, 0);
    hz_recorder_add(&rec, HZ_EVENT_END, 2, 2, 0, 0, 0);
    rec.events[0].kind = 999;
    HZ_ASSERT_EQ(hz_recorder_read(&rec, events, 10), 1);
    HZ_ASSERT_EQ(events[0].execution, 2);
}

HZ_TEST(recorder, false_count_cannot_make_a_reader_leave_the_array)
{
    static const uint64_t counts[] = {UINT64_MAX, UINT64_MAX - 3, UINT64_C(1) << 63, HZ_RECORDER_EVENTS + 1};
    for (size_t i = 0; i < HZ_COUNT_OF(counts); i++) {
        atomic_store(&rec.count, counts[i]);
        HZ_ASSERT_LE(hz_recorder_read(&rec, events, HZ_RECORDER_EVENTS), HZ_RECORDER_EVENTS);
    }
}

HZ_TEST(recorder, kinds_have_names)
{
    HZ_ASSERT_STR_EQ(hz_event_kind_name(HZ_EVENT_ENTER), "enter");
    HZ_ASSERT_STR_EQ(hz_event_kind_name(HZ_EVENT_END), "end");
    HZ_ASSERT_STR_EQ(hz_event_kind_name(1000), "?");
}

#define ADDED 300000u
static _Atomic bool done;

static void *add_many(void *arg)
{
    (void)arg;
    for (uint32_t i = 1; i <= ADDED; i++)
        hz_recorder_add(&rec, HZ_EVENT_ENTER, i, i, i, (uint16_t)i, i);
    atomic_store(&done, true);
    return NULL;
}

HZ_TEST(recorder, reader_of_a_living_lane_sees_whole_events_in_order)
{
    pthread_t thread;
    HZ_ASSERT_EQ(pthread_create(&thread, NULL, add_many, NULL), 0);
    bool last_look = false;
    do {
        last_look = atomic_load(&done);
        size_t count = hz_recorder_read(&rec, events, HZ_RECORDER_EVENTS);
        for (size_t i = 0; i < count; i++) {
            HZ_ASSERT_EQ(events[i].execution, events[i].time_ns);
            HZ_ASSERT_EQ(events[i].node, events[i].time_ns);
            HZ_ASSERT_EQ(events[i].detail, (uint16_t)events[i].time_ns);
            HZ_ASSERT_EQ(events[i].argument, events[i].time_ns);
            if (i > 0)
                HZ_ASSERT_EQ(events[i].time_ns, events[i - 1].time_ns + 1);
        }
    } while (!last_look);
    HZ_ASSERT_EQ(pthread_join(thread, NULL), 0);
    HZ_ASSERT_EQ(events[HZ_RECORDER_EVENTS - 2].execution, ADDED);
}
