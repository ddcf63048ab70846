/* test_queues.c - whose turn it is: fairness between workflows, priorities that grow, limits of number and rate. Times are made up. */
#include "tests/harness.h"

#include "core/queues.h"

#include <stdlib.h>
#include <string.h>

#define MS UINT64_C(1000000)
#define S  (1000 * MS)
#define BOTH 3u

static struct hz_queues queues;
static struct hz_queue_item items[20000];
static size_t used;
static uint64_t now;
static const struct hz_queueing no_limits;

HZ_SETUP(queues)
{
    memset(items, 0, sizeof items);
    used = 0;
    now = 1000 * S;
    HZ_ASSERT_OK(hz_queues_init(&queues, 100000, 100000));
}

HZ_TEARDOWN(queues)
{
    for (size_t i = 0; i < used; i++)
        hz_queues_leave(&queues, &items[i], now);
    hz_queues_fini(&queues);
}

static struct hz_queue_item *add(const char *workflow, const struct hz_queueing *limits, uint8_t priority, enum hz_queue_kind kind)
{
    struct hz_queue_item *item = &items[used++];
    struct hz_queue_lane *lane = hz_queues_lane(&queues, workflow, limits);
    HZ_ASSERT_NOT_NULL(lane);
    item->priority = priority;
    item->kind = kind;
    item->since_ns = (int64_t)now;
    hz_queues_hold(&queues, lane, item);
    hz_queues_push(&queues, item, now);
    return item;
}

static struct hz_queue_item *take(void)
{
    struct hz_queue_item *item = hz_queues_next(&queues, BOTH, now);
    if (item)
        hz_queues_take(&queues, item, now);
    return item;
}

static bool is_of(const struct hz_queue_item *item, const char *workflow)
{
    return item && strcmp(item->lane->workflow_id, workflow) == 0;
}

HZ_TEST(queues, a_flood_of_one_workflow_does_not_delay_another)
{
    for (int i = 0; i < 10000; i++)
        add("flood", &no_limits, 5, HZ_QUEUE_SINGLE);
    for (int i = 0; i < 100; i++)
        HZ_ASSERT_TRUE(is_of(take(), "flood"));
    now += 3600 * S; /* however long the flood waits */
    HZ_ASSERT_NOT_NULL(take());
    add("quiet", &no_limits, 5, HZ_QUEUE_SINGLE);
    add("quiet", &no_limits, 5, HZ_QUEUE_SINGLE);
    int turns[2] = {0};
    for (int i = 0; i < 4; i++)
        turns[is_of(take(), "quiet")]++;
    HZ_ASSERT_EQ(turns[1], 2);
}

HZ_TEST(queues, lanes_take_turns_by_their_share)
{
    const struct hz_queueing triple = {.share = 3};
    for (int i = 0; i < 1000; i++) {
        add("a", &triple, 5, HZ_QUEUE_SINGLE);
        add("b", &no_limits, 5, HZ_QUEUE_POOL);
        add("c", &no_limits, 5, HZ_QUEUE_SINGLE);
    }
    int of_a = 0, of_b = 0;
    for (int i = 0; i < 500; i++) {
        struct hz_queue_item *item = take();
        of_a += is_of(item, "a");
        of_b += is_of(item, "b");
    }
    HZ_ASSERT_EQ(of_a, 300);
    HZ_ASSERT_EQ(of_b, 100);
}

HZ_TEST(queues, the_urgent_go_first_and_equals_in_order)
{
    struct hz_queue_item *low = add("a", &no_limits, 1, HZ_QUEUE_SINGLE), *first = add("a", &no_limits, 5, HZ_QUEUE_SINGLE),
                         *second = add("a", &no_limits, 5, HZ_QUEUE_SINGLE), *other = add("b", &no_limits, 7, HZ_QUEUE_SINGLE),
                         *high = add("a", &no_limits, 9, HZ_QUEUE_SINGLE);
    HZ_ASSERT_TRUE(take() == high);
    HZ_ASSERT_TRUE(take() == other);
    HZ_ASSERT_TRUE(take() == first);
    HZ_ASSERT_TRUE(take() == second);
    HZ_ASSERT_TRUE(take() == low);
    HZ_ASSERT_NULL(take());
}

HZ_TEST(queues, what_waits_grows_more_urgent_so_that_nothing_starves)
{
    struct hz_queue_item *old = add("patient", &no_limits, 1, HZ_QUEUE_SINGLE), *mine = add("urgent", &no_limits, 1, HZ_QUEUE_SINGLE);
    uint64_t begin = now;
    bool had_mine = false;
    for (int i = 0; i < 1000; i++) { /* ten new urgent ones a second, served ten a second */
        struct hz_queue_item *item = add("urgent", &no_limits, 9, HZ_QUEUE_SINGLE);
        struct hz_queue_item *served = take();
        had_mine |= served == mine;
        if (served == old)
            break;
        hz_queues_leave(&queues, served, now);
        (void)item;
        now += 100 * MS;
    }
    HZ_ASSERT_EQ(old->place, HZ_ITEM_TAKEN);
    HZ_ASSERT_GE(now - begin, 79 * S);
    HZ_ASSERT_LE(now - begin, 83 * S);
    for (int i = 0; i < 100 && !had_mine; i++) {
        now += 100 * MS;
        add("urgent", &no_limits, 9, HZ_QUEUE_SINGLE);
        had_mine = take() == mine;
    }
    HZ_ASSERT_TRUE(had_mine); /* within its own lane, too */
}

HZ_TEST(queues, a_workflow_runs_no_more_at_once_than_it_wants)
{
    const struct hz_queueing two = {.concurrency = 2};
    struct hz_queue_item *first = add("a", &two, 5, HZ_QUEUE_SINGLE);
    for (int i = 0; i < 9; i++)
        add("a", &two, 5, HZ_QUEUE_SINGLE);
    add("b", &no_limits, 1, HZ_QUEUE_SINGLE);
    HZ_ASSERT_TRUE(is_of(take(), "a"));
    HZ_ASSERT_TRUE(is_of(take(), "a"));
    HZ_ASSERT_TRUE(is_of(take(), "b")); /* its limit holds up nobody else */
    HZ_ASSERT_NULL(take());
    hz_queues_leave(&queues, first, now);
    HZ_ASSERT_TRUE(is_of(take(), "a"));
    HZ_ASSERT_NULL(take());
}

HZ_TEST(queues, all_together_stay_below_the_global_limit_and_one_leaves_room_for_others)
{
    hz_queues_fini(&queues);
    HZ_ASSERT_OK(hz_queues_init(&queues, 100, 100));
    for (int i = 0; i < 300; i++)
        add("a", &no_limits, 5, HZ_QUEUE_SINGLE);
    size_t of_a = 0;
    while (take())
        of_a++;
    HZ_ASSERT_GE(of_a, 80);
    HZ_ASSERT_LT(of_a, 90);
    for (int i = 0; i < 300; i++)
        add("b", &no_limits, 5, HZ_QUEUE_POOL);
    size_t of_b = 0;
    while (take())
        of_b++;
    HZ_ASSERT_GT(of_b, 5);
    HZ_ASSERT_LE(of_a + of_b, 100);
    for (int i = 0; i < 60; i++) { /* every lane gets the last slots, but never more than there are */
        char name[8];
        snprintf(name, sizeof name, "c%d", i);
        add(name, &no_limits, 5, HZ_QUEUE_SINGLE);
        (void)take();
    }
    HZ_ASSERT_EQ(queues.taken, 100);
}

HZ_TEST(queues, starts_keep_to_the_rate_and_bursts_to_theirs)
{
    const struct hz_queueing slow = {.rate_ns = S / 10}, burst = {.rate_ns = S / 10, .burst = 5};
    for (int i = 0; i < 100; i++) {
        add("slow", &slow, 5, HZ_QUEUE_SINGLE);
        add("burst", &burst, 5, HZ_QUEUE_SINGLE);
    }
    int of_slow = 0, of_burst = 0;
    for (uint64_t end = now + 2 * S; now < end; now += 10 * MS)
        for (struct hz_queue_item *item; (item = take()) != NULL;) {
            of_slow += is_of(item, "slow");
            of_burst += is_of(item, "burst");
        }
    HZ_ASSERT_EQ(of_slow, 20);
    HZ_ASSERT_EQ(of_burst, 24);
    uint64_t wake = hz_queues_wake(&queues);
    HZ_ASSERT_GE(wake, now);
    HZ_ASSERT_LE(wake, now + S / 10);
    now = wake;
    HZ_ASSERT_NOT_NULL(take());
}

HZ_TEST(queues, a_kind_that_has_no_room_is_passed_over)
{
    struct hz_queue_item *single = add("a", &no_limits, 9, HZ_QUEUE_SINGLE), *pool = add("b", &no_limits, 1, HZ_QUEUE_POOL);
    HZ_ASSERT_TRUE(hz_queues_next(&queues, 1u << HZ_QUEUE_POOL, now) == pool);
    HZ_ASSERT_TRUE(hz_queues_next(&queues, BOTH, now) == single);
}

HZ_TEST(queues, one_that_comes_back_has_its_old_place)
{
    struct hz_queue_item *first = add("a", &no_limits, 5, HZ_QUEUE_SINGLE);
    now += MS;
    struct hz_queue_item *second = add("a", &no_limits, 5, HZ_QUEUE_SINGLE);
    HZ_ASSERT_TRUE(take() == first);
    hz_queues_push(&queues, first, now);
    HZ_ASSERT_TRUE(take() == first);
    HZ_ASSERT_TRUE(take() == second);
}

HZ_TEST(queues, it_may_start_at_once_only_if_it_overtakes_nobody)
{
    const struct hz_queueing one = {.concurrency = 1};
    struct hz_queue_item *item = &items[used++], *next = &items[used++];
    item->priority = next->priority = 5;
    hz_queues_hold(&queues, hz_queues_lane(&queues, "a", &one), item);
    HZ_ASSERT_TRUE(hz_queues_free(&queues, item, now));
    hz_queues_take(&queues, item, now);
    hz_queues_hold(&queues, hz_queues_lane(&queues, "a", &one), next);
    HZ_ASSERT_FALSE(hz_queues_free(&queues, next, now));
    hz_queues_push(&queues, next, now);
    hz_queues_leave(&queues, item, now);
    struct hz_queue_item *late = &items[used++];
    late->priority = 9;
    hz_queues_hold(&queues, hz_queues_lane(&queues, "a", &one), late);
    HZ_ASSERT_FALSE(hz_queues_free(&queues, late, now)); /* `next` waits */
    HZ_ASSERT_TRUE(take() == next);
}

HZ_TEST(queues, lanes_that_nobody_uses_are_forgotten)
{
    for (int i = 0; i < 5000; i++) {
        char name[16];
        snprintf(name, sizeof name, "w%d", i);
        add(name, &no_limits, 5, HZ_QUEUE_SINGLE);
    }
    HZ_ASSERT_EQ(queues.lane_count, 5000);
    for (struct hz_queue_item *item; (item = take()) != NULL;)
        hz_queues_leave(&queues, item, now);
    now += 10 * S;
    add("x", &no_limits, 5, HZ_QUEUE_SINGLE);
    HZ_ASSERT_NOT_NULL(take());
    HZ_ASSERT_EQ(queues.lane_count, 1);
}
