/* test_link.c - the manager's end of a worker's segment: bounded visits, poison, sleep, nothing left behind. */
#include "core/link.h"
#include "tests/harness.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct hz_link link_;
static struct hz_segment worker;
static int far[HZ_LINK_FDS]; /* segment, the worker's bell, the manager's */
static struct hz_stream_out results, metrics;
static struct hz_stream_in commands;
static uint32_t lanes = 1;

static void seen_name(const char *name, void *arg)
{
    (void)name;
    ++*(int *)arg;
}

static int names(void)
{
    int n = 0;
    HZ_ASSERT_GE(hz_segment_list("0f0f0f0f", seen_name, &n), 0);
    return n;
}

HZ_SUITE_INIT(link)
{
    HZ_ASSERT_OK(hz_guard_install());
}

static void open_link(size_t backlog)
{
    struct hz_uuid id = hz_uuid_new();
    struct hz_geometry geometry = hz_segment_geometry(lanes);
    HZ_ASSERT_OK(hz_link_open(&link_, "0f0f0f0f", &id, &geometry, backlog, far));
    HZ_ASSERT_OK(hz_segment_attach(&worker, far[0], &geometry));
    hz_stream_out_init(&results, &worker.lanes[0].results, &worker.header->manager_sleep, far[2], 0);
    hz_stream_out_init(&metrics, &worker.lanes[0].metrics, &worker.header->manager_sleep, far[2], 0);
    HZ_ASSERT_OK(hz_stream_in_init(&commands, &worker.commands, 'C', false));
}

static void close_all(void)
{
    hz_stream_in_fini(&commands);
    hz_stream_out_fini(&results);
    hz_stream_out_fini(&metrics);
    hz_segment_detach(&worker);
    for (unsigned i = 0; i < HZ_LINK_FDS; i++)
        close(far[i]);
    hz_link_close(&link_);
}

HZ_SETUP(link)
{
    open_link(1 << 20);
}

HZ_TEARDOWN(link)
{
    close_all();
}

static void say_ready(void)
{
    struct hz_msg_ready ready = {1, 2};
    struct hz_part part = {&ready, sizeof ready};
    HZ_ASSERT_OK(hz_stream_send(&results, HZ_MSG_READY, &part, 1, true));
}

static void say_log(void)
{
    struct hz_msg_log log = {.text_len = 3};
    struct hz_part parts[] = {{&log, sizeof log}, {"abc", 3}};
    HZ_ASSERT_OK(hz_stream_try(&metrics, HZ_MSG_LOG, parts, 2, true));
}

static unsigned taken[256], by_lane[4];
static void take(void *arg, const struct hz_msg *msg, bool lossy)
{
    (void)arg;
    taken[msg->type]++;
    if (msg->type == HZ_MSG_READY)
        by_lane[((const struct hz_msg_ready *)msg->body)->nodes % 4]++;
    HZ_ASSERT_EQ(lossy, msg->type == HZ_MSG_LOG);
}

HZ_TEST(link, closing_leaves_no_name_descriptor_or_guard)
{
    close_all();
    int before = hz_test_open_fds();
    for (int i = 0; i < 50; i++) {
        open_link(0);
        HZ_ASSERT_EQ(names(), 1);
        close_all();
    }
    HZ_ASSERT_EQ(names(), 0);
    HZ_ASSERT_EQ(hz_test_open_fds(), before);
    hz_link_close(&link_); /* again: nothing */
    open_link(0);
}

HZ_TEST(link, a_visit_takes_at_most_64_records_and_leaves_the_rest)
{
    memset(taken, 0, sizeof taken);
    for (int i = 0; i < 100; i++)
        say_ready();
    HZ_ASSERT_TRUE(hz_link_has_data(&link_));
    HZ_ASSERT_EQ(hz_link_visit(&link_, take, NULL), HZ_LINK_RECORDS);
    HZ_ASSERT_EQ(hz_link_visit(&link_, take, NULL), 36);
    HZ_ASSERT_EQ(hz_link_visit(&link_, take, NULL), 0);
    HZ_ASSERT_EQ(taken[HZ_MSG_READY], 100);
    HZ_ASSERT_FALSE(hz_link_has_data(&link_));
}

HZ_TEST(link, a_flood_of_metrics_leaves_room_for_results)
{
    memset(taken, 0, sizeof taken);
    for (int i = 0; i < 500; i++)
        say_log();
    for (int i = 0; i < 10; i++)
        say_ready();
    (void)hz_link_visit(&link_, take, NULL);
    HZ_ASSERT_EQ(taken[HZ_MSG_READY], 10);
    HZ_ASSERT_LE(taken[HZ_MSG_LOG], HZ_LINK_RECORDS / 2);
}

static unsigned price;
static void take_dear(void *arg, const struct hz_msg *msg, bool lossy)
{
    take(arg, msg, lossy);
    hz_link_charge(&link_, price);
}

HZ_TEST(link, a_record_that_was_much_work_leaves_less_of_its_visit)
{
    memset(taken, 0, sizeof taken);
    for (int i = 0; i < 10; i++)
        say_ready();
    price = 15;
    HZ_ASSERT_EQ(hz_link_visit(&link_, take_dear, NULL), 4); /* 4 x 16 */
    HZ_ASSERT_EQ(hz_link_visit(&link_, take_dear, NULL), 4);
    HZ_ASSERT_EQ(hz_link_visit(&link_, take_dear, NULL), 2);
    HZ_ASSERT_EQ(taken[HZ_MSG_READY], 10);
    HZ_ASSERT_EQ(link_.records, 10);
}

HZ_TEST(link, a_record_dearer_than_a_visit_is_paid_by_the_next_ones)
{
    memset(taken, 0, sizeof taken);
    for (int i = 0; i < 2; i++)
        say_ready();
    price = 3 * HZ_LINK_RECORDS - 1;
    HZ_ASSERT_EQ(hz_link_visit(&link_, take_dear, NULL), 1);
    HZ_ASSERT_EQ(hz_link_visit(&link_, take_dear, NULL), 0);
    HZ_ASSERT_TRUE(hz_link_has_data(&link_)); /* so the loop comes back */
    HZ_ASSERT_EQ(hz_link_visit(&link_, take_dear, NULL), 0);
    HZ_ASSERT_EQ(hz_link_visit(&link_, take_dear, NULL), 1);
}

HZ_TEST(link, commands_wait_within_the_bound_and_go_when_there_is_room)
{
    char data[4000];
    struct hz_msg_request request = {.request = 1, .data_len = sizeof data};
    struct hz_part parts[] = {{&request, sizeof request}, {"", 0}, {data, sizeof data}};
    memset(data, 'd', sizeof data);
    unsigned sent = 0;
    int err;
    while ((err = hz_link_send(&link_, HZ_MSG_REQUEST, parts, 3)) == 0)
        sent++;
    HZ_ASSERT_EQ(err, HZ_EBUSY);
    HZ_ASSERT_TRUE(hz_link_blocked(&link_));
    HZ_ASSERT_GT(sent, (1 << 20) / 4100);
    HZ_ASSERT_LT(sent, 2 * (1 << 20) / 4000);
    unsigned got = 0;
    for (int i = 0; i < 1000 && got < sent; i++) {
        struct hz_msg msg;
        (void)hz_link_flush(&link_);
        hz_stream_in_begin(&commands, 0, 0);
        while (hz_stream_in_next(&commands, &msg) == HZ_RING_OK)
            got++;
        hz_stream_in_end(&commands);
    }
    HZ_ASSERT_EQ(got, sent);
    HZ_ASSERT_TRUE(hz_link_flush(&link_));
    HZ_ASSERT_FALSE(hz_link_blocked(&link_));
}

HZ_TEST(link, an_impossible_tail_poisons_for_good)
{
    memset(taken, 0, sizeof taken);
    atomic_store(&worker.lanes[0].results.shared->tail, UINT64_MAX - 6);
    HZ_ASSERT_EQ(hz_link_visit(&link_, take, NULL), 0);
    HZ_ASSERT_TRUE(link_.poisoned);
    HZ_ASSERT_NE(link_.poison_reason[0], 0);
    atomic_store(&worker.lanes[0].results.shared->tail, 0);
    HZ_ASSERT_EQ(hz_link_visit(&link_, take, NULL), 0);
    struct hz_msg_shutdown message = {0, 0};
    struct hz_part part = {&message, sizeof message};
    HZ_ASSERT_EQ(hz_link_send(&link_, HZ_MSG_SHUTDOWN, &part, 1), HZ_EPOISON);
}

HZ_TEST(link, a_record_of_the_wrong_ring_poisons)
{
    struct hz_msg_ready ready = {1, 2};
    struct hz_part part = {&ready, sizeof ready};
    HZ_ASSERT_OK(hz_stream_try(&metrics, HZ_MSG_READY, &part, 1, true)); /* a result in the metrics ring */
    (void)hz_link_visit(&link_, take, NULL);
    HZ_ASSERT_TRUE(link_.poisoned);
}

HZ_TEST(link, an_impossible_head_of_the_command_ring_poisons_the_sender)
{
    struct hz_msg_cancel cancel = {.execution = 1};
    struct hz_part part = {&cancel, sizeof cancel};
    atomic_store(&worker.commands.shared->head, UINT64_MAX - 7);
    int err = 0;
    for (int i = 0; i < 5000 && !link_.poisoned; i++)
        err = hz_link_send(&link_, HZ_MSG_CANCEL, &part, 1);
    HZ_ASSERT_TRUE(link_.poisoned);
    HZ_ASSERT_EQ(err, HZ_EPOISON);
}

HZ_TEST(link, a_segment_made_shorter_is_survived_and_poisons)
{
    for (int i = 0; i < 20; i++)
        say_ready();
    HZ_ASSERT_EQ(ftruncate(far[0], 0), 0);
    memset(taken, 0, sizeof taken);
    (void)hz_link_visit(&link_, take, NULL);
    HZ_ASSERT_TRUE(link_.poisoned);
    HZ_ASSERT_EQ(taken[HZ_MSG_READY], 0);
    HZ_ASSERT_STR_HAS(link_.poison_reason, "shorter");
    (void)hz_link_flush(&link_);
    HZ_ASSERT_FALSE(hz_link_sleep(&link_)); /* nobody would ever ring */
}

HZ_TEST(link, sleeps_only_when_nothing_came_and_is_rung)
{
    say_ready();
    HZ_ASSERT_FALSE(hz_link_sleep(&link_));
    (void)hz_link_visit(&link_, take, NULL);
    HZ_ASSERT_TRUE(hz_link_sleep(&link_));
    uint64_t sink;
    HZ_ASSERT_EQ(read(link_.manager_bell, &sink, sizeof sink), -1);
    say_ready();
    struct hz_doorbell bell = link_.bell;
    HZ_ASSERT_EQ(hz_doorbell_wait(&bell, 1000), 1);
    hz_link_awake(&link_);
    HZ_ASSERT_EQ(read(link_.manager_bell, &sink, sizeof sink), -1);
}

/* What the other end does to its own open files, which it inherits, changes nothing for ours. */
HZ_TEST(link, no_flag_or_byte_of_the_other_end_makes_us_wait)
{
    char junk[8192] = {0};
    struct hz_ringer ringer;
    hz_ringer_attach(&ringer, &worker.header->worker_sleep, link_.worker_bell);
    while (write(far[2], junk, sizeof junk) > 0) {
    }
    for (unsigned i = 1; i < HZ_LINK_FDS; i++)
        HZ_ASSERT_EQ(fcntl(far[i], F_SETFL, 0), 0);
    alarm(20); /* ends the test program if one of these waits */
    for (unsigned i = 0; i < 100000; i++) {
        (void)hz_link_sleep(&link_);
        atomic_store_explicit(&worker.header->worker_sleep.epoch, 2 * i + 1, memory_order_relaxed);
        hz_ringer_ring(&ringer); /* nobody reads: the pipe is full soon */
        hz_link_awake(&link_);   /* full at first, then empty */
    }
    alarm(0);
}

HZ_TEST(link, every_lane_has_its_turn)
{
    close_all();
    lanes = 4;
    open_link(0);
    struct hz_stream_out out[4];
    struct hz_msg_ready ready = {0, 0};
    struct hz_part part = {&ready, sizeof ready};
    memset(by_lane, 0, sizeof by_lane);
    for (uint32_t i = 0; i < 4; i++) {
        ready.nodes = i;
        hz_stream_out_init(&out[i], &worker.lanes[i].results, &worker.header->manager_sleep, far[2], 0);
        for (int k = 0; k < 100; k++)
            HZ_ASSERT_OK(hz_stream_send(&out[i], HZ_MSG_READY, &part, 1, true));
    }
    for (int i = 0; i < 4; i++)
        HZ_ASSERT_EQ(hz_link_visit(&link_, take, NULL), HZ_LINK_RECORDS);
    for (uint32_t i = 0; i < 4; i++) /* each began once */
        HZ_ASSERT_EQ(by_lane[i], 64);
    lanes = 1;
}
