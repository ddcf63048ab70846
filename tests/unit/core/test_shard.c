/* test_shard.c - shards: mail in order, wake-ups, turn functions, the end in two rounds; the timers of a shard. */
#include "core/shard.h"
#include "shm/err.h"
#include "tests/harness.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <urcu/urcu-memb.h>

static _Atomic int begun, ended, wrong_thread;

static int begin(struct hz_shard *shard, void *arg)
{
    (void)arg;
    if (hz_shard_self() != shard || hz_shard_get(shard, HZ_SHARD_HTTP) != NULL)
        wrong_thread++;
    hz_shard_set(shard, HZ_SHARD_HTTP, shard);
    begun++;
    return 0;
}

static void end(struct hz_shard *shard, void *arg)
{
    (void)arg;
    if (hz_shard_self() != shard || hz_shard_get(shard, HZ_SHARD_HTTP) != shard)
        wrong_thread++;
    hz_shard_set(shard, HZ_SHARD_HTTP, NULL);
    ended++;
}

HZ_SUITE_INIT(shard)
{
    urcu_memb_register_thread();
}

HZ_SUITE_CLEANUP(shard)
{
    urcu_memb_unregister_thread();
}

HZ_SETUP(shard)
{
    begun = ended = wrong_thread = 0;
    HZ_ASSERT_OK(hz_shard_init(3));
}

HZ_TEARDOWN(shard)
{
    hz_shard_fini();
}

HZ_TEST(shard, begins_and_ends_each_on_its_own_thread)
{
    HZ_ASSERT_EQ(hz_shard_index(hz_shard_main()), UINT32_MAX);
    HZ_ASSERT_TRUE(hz_shard_self() == hz_shard_main());
    HZ_ASSERT_OK(hz_shard_start(begin, NULL));
    HZ_ASSERT_EQ(begun, 3);
    hz_shard_stop(end, NULL);
    HZ_ASSERT_EQ(ended, 3);
    HZ_ASSERT_EQ(wrong_thread, 0);
}

static int refuse(struct hz_shard *shard, void *arg)
{
    (void)arg;
    return hz_shard_index(shard) == 1 ? hz_err_set(HZ_EREFUSED, "not this one") : 0;
}

HZ_TEST(shard, start_answers_the_first_error_with_its_text)
{
    HZ_ASSERT_EQ(hz_shard_start(refuse, NULL), HZ_EREFUSED);
    HZ_ASSERT_STR_HAS(hz_err_last(), "not this one");
    hz_shard_stop(NULL, NULL);
}

struct note {
    struct hz_mail mail;
    unsigned sender;
    uint32_t number;
};
#define SENDERS 4u
#define NOTES 20000u
static uint32_t next_number[SENDERS];
static _Atomic uint32_t taken, disorder;

static void take(struct hz_mail *mail)
{
    struct note *note = HZ_CONTAINER_OF(mail, struct note, mail);
    if (hz_shard_self() != hz_shard_at(0) || note->number != next_number[note->sender]++)
        disorder++;
    free(note);
    taken++;
}

static void *send_notes(void *arg)
{
    urcu_memb_register_thread();
    for (uint32_t i = 0; i < NOTES; i++) {
        struct note *note = malloc(sizeof *note);
        if (!note)
            abort();
        *note = (struct note){.mail = {.run = take}, .sender = (unsigned)(uintptr_t)arg, .number = i};
        hz_shard_post(hz_shard_at(0), &note->mail);
    }
    urcu_memb_unregister_thread();
    return NULL;
}

static bool all_taken(void *arg)
{
    (void)arg;
    return taken == SENDERS * NOTES;
}

HZ_TEST(shard, runs_every_mail_once_in_the_order_of_its_sender)
{
    taken = disorder = 0;
    for (unsigned i = 0; i < SENDERS; i++)
        next_number[i] = 0;
    HZ_ASSERT_OK(hz_shard_start(begin, NULL));
    pthread_t senders[SENDERS];
    for (unsigned i = 0; i < SENDERS; i++)
        HZ_ASSERT_EQ(pthread_create(&senders[i], NULL, send_notes, (void *)(uintptr_t)i), 0);
    for (unsigned i = 0; i < SENDERS; i++)
        pthread_join(senders[i], NULL);
    HZ_ASSERT_TRUE(hz_test_wait(all_taken, NULL, 20000));
    hz_shard_stop(end, NULL);
    HZ_ASSERT_EQ(disorder, 0);
}

/* Mail that is sent on and on between shards, also while they end: every piece is run, none is lost or leaked. */
struct ball {
    struct hz_mail mail;
    uint32_t left;
};
static _Atomic uint32_t balls_done;

static void pass(struct hz_mail *mail)
{
    struct ball *ball = HZ_CONTAINER_OF(mail, struct ball, mail);
    if (ball->left-- == 0 || hz_shard_self() == hz_shard_main()) {
        free(ball);
        balls_done++;
        return;
    }
    hz_shard_post(hz_shard_at((hz_shard_index(hz_shard_self()) + 1) % hz_shard_count()), &ball->mail);
}

HZ_TEST(shard, mail_under_way_at_the_end_is_still_run)
{
    balls_done = 0;
    HZ_ASSERT_OK(hz_shard_start(begin, NULL));
    for (unsigned i = 0; i < 100; i++) {
        struct ball *ball = calloc(1, sizeof *ball);
        HZ_ASSERT_NOT_NULL(ball);
        ball->mail.run = pass;
        ball->left = 3;
        hz_shard_post(hz_shard_at(i % 3), &ball->mail);
    }
    hz_shard_stop(end, NULL);
    hz_shard_fini();
    HZ_ASSERT_EQ(balls_done, 100);
}

struct pair {
    struct hz_mail first, second;
    bool ran, found;
};

static void run_second(struct hz_mail *mail)
{
    HZ_CONTAINER_OF(mail, struct pair, second)->ran = true;
}

static void run_first(struct hz_mail *mail)
{
    struct pair *pair = HZ_CONTAINER_OF(mail, struct pair, first);
    hz_shard_run_mail(hz_shard_self());
    pair->found = pair->ran;
}

HZ_TEST(shard, a_mail_that_waits_for_others_runs_those_that_came_with_it)
{
    struct pair pair = {.first.run = run_first, .second.run = run_second};
    hz_shard_post(hz_shard_main(), &pair.first);
    hz_shard_post(hz_shard_main(), &pair.second);
    hz_shard_run_mail(hz_shard_main());
    HZ_ASSERT_TRUE(pair.found);
}

static unsigned turns, wanted;
static bool turn(void *arg)
{
    (void)arg;
    return ++turns < wanted;
}

HZ_TEST(shard, asks_a_turn_function_again_while_it_has_work)
{
    turns = 0;
    wanted = 50;
    uv_loop_t *loop = hz_shard_loop(hz_shard_main());
    HZ_ASSERT_OK(hz_shard_add_turn(hz_shard_main(), turn, NULL));
    for (int i = 0; i < 60 && turns < wanted; i++)
        uv_run(loop, UV_RUN_ONCE); /* would block if work in hand did not keep it awake */
    HZ_ASSERT_EQ(turns, 50);
}

static unsigned fired[4];
static struct hz_timer clocks[4];
static void on_clock(struct hz_timer *timer)
{
    fired[timer - clocks]++;
}
static void on_clock_again(struct hz_timer *timer)
{
    if (++fired[timer - clocks] < 3)
        hz_timer_after(hz_shard_timers(hz_shard_main()), timer, 1, on_clock_again);
}

/* Until fn says so, at most five seconds; then a few turns more, so that what must not come could have come. */
static void run_until(bool (*fn)(void))
{
    uint64_t until = hz_base_now_ns() + UINT64_C(5000000000);
    while (!fn() && hz_base_now_ns() < until)
        uv_run(hz_shard_loop(hz_shard_main()), UV_RUN_NOWAIT);
    until = hz_base_now_ns() + UINT64_C(10000000);
    while (hz_base_now_ns() < until)
        uv_run(hz_shard_loop(hz_shard_main()), UV_RUN_NOWAIT);
}

static bool clocks_fired(void)
{
    return fired[0] > 0 && fired[3] > 2;
}

HZ_TEARDOWN(timer)
{
    hz_shard_fini();
}

HZ_TEST(timer, fires_once_when_due_moves_and_cancels)
{
    HZ_ASSERT_OK(hz_shard_init(1));
    struct hz_timers *timers = hz_shard_timers(hz_shard_main());
    for (unsigned i = 0; i < 4; i++)
        fired[i] = 0;
    hz_timer_after(timers, &clocks[0], 5, on_clock);
    hz_timer_after(timers, &clocks[1], 1, on_clock);
    hz_timer_after(timers, &clocks[1], 100000, on_clock); /* moved */
    hz_timer_after(timers, &clocks[2], 1, on_clock);
    hz_timer_cancel(timers, &clocks[2]);
    hz_timer_after(timers, &clocks[3], 1, on_clock_again);
    HZ_ASSERT_TRUE(hz_timer_armed(&clocks[1]));
    HZ_ASSERT_FALSE(hz_timer_armed(&clocks[2]));
    run_until(clocks_fired);
    HZ_ASSERT_EQ(fired[0], 1);
    HZ_ASSERT_EQ(fired[1], 0);
    HZ_ASSERT_EQ(fired[2], 0);
    HZ_ASSERT_EQ(fired[3], 3);
    hz_timer_cancel(timers, &clocks[1]);
    HZ_ASSERT_EQ(timers->count, 0);
    hz_shard_fini();
}

static struct hz_timer many[2000];
static uint64_t last_due;
static unsigned out_of_order, many_fired;
static void on_many(struct hz_timer *timer)
{
    if (timer->due_ns < last_due)
        out_of_order++;
    last_due = timer->due_ns;
    many_fired++;
}

static size_t many_armed;
static bool many_done(void)
{
    return many_fired == many_armed;
}

HZ_TEST(timer, keeps_the_order_of_many_under_cancellation)
{
    HZ_ASSERT_OK(hz_shard_init(1));
    struct hz_timers *timers = hz_shard_timers(hz_shard_main());
    uint64_t now = hz_base_now_ns();
    uint32_t seed = 1;
    last_due = 0;
    for (unsigned i = 0; i < 2000; i++) {
        seed = seed * 1664525u + 1013904223u;
        hz_timer_at(timers, &many[i], now + (seed >> 8) % 20000000u, on_many);
        if (i % 3 == 0)
            hz_timer_cancel(timers, &many[(seed >> 4) % (i + 1)]);
    }
    many_armed = timers->count;
    run_until(many_done);
    HZ_ASSERT_EQ(many_fired, many_armed);
    HZ_ASSERT_EQ(out_of_order, 0);
    hz_shard_fini();
}
