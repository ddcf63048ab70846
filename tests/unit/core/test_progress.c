/* test_progress.c - idle, busy, waiting, blocked, stuck: case by case. */
#include "core/progress.h"
#include "tests/harness.h"

#include <string.h>

#define SECOND UINT64_C(1000000000)
#define AFTER  (5 * SECOND)

static struct hz_progress_state state;
static struct hz_progress_look look;

static void at(uint64_t seconds)
{
    look.now_ns = (100 + seconds) * SECOND;
    look.cpu_ns = 0;
}

HZ_SETUP(progress)
{
    memset(&state, 0, sizeof state);
    memset(&look, 0, sizeof look);
}

static void inside(uint32_t node, uint64_t since_s)
{
    look.places[0] = (struct hz_progress_place){.node = node, .inside = true, .execution = 7, .entered_ns = (100 + since_s) * SECOND};
    look.count = 1;
}

HZ_TEST(progress, nothing_in_hand_is_idle_for_ever)
{
    for (uint64_t t = 0; t < 100; t += 30) {
        at(t);
        (void)hz_progress_judge(&state, &look, AFTER);
        HZ_ASSERT_EQ(state.progress, HZ_PROGRESS_IDLE);
    }
}

HZ_TEST(progress, work_that_moves_is_busy_and_work_that_waits_outside_is_waiting)
{
    look.work = true;
    for (uint64_t t = 0; t < 20; t++) {
        at(t);
        look.moved++;
        (void)hz_progress_judge(&state, &look, AFTER);
        HZ_ASSERT_EQ(state.progress, HZ_PROGRESS_BUSY);
    }
    for (uint64_t t = 20; t < 60; t++) { /* a timer of 40 s: nothing is wrong */
        at(t);
        (void)hz_progress_judge(&state, &look, AFTER);
        HZ_ASSERT_EQ(state.progress, HZ_PROGRESS_WAITING);
    }
}

HZ_TEST(progress, a_thread_that_stays_inside_one_call_is_blocked_with_its_node)
{
    look.work = true;
    inside(3, 0);
    at(0);
    (void)hz_progress_judge(&state, &look, AFTER);
    HZ_ASSERT_EQ(state.progress, HZ_PROGRESS_BUSY);
    at(4);
    look.moved++; /* another thread goes on: this one is blocked all the same */
    (void)hz_progress_judge(&state, &look, AFTER);
    HZ_ASSERT_EQ(state.progress, HZ_PROGRESS_BUSY);
    at(6);
    look.moved++;
    HZ_ASSERT_TRUE(hz_progress_judge(&state, &look, AFTER));
    HZ_ASSERT_EQ(state.progress, HZ_PROGRESS_BLOCKED);
    HZ_ASSERT_EQ(state.node, 3);
    HZ_ASSERT_EQ(state.execution, 7);
    char text[256];
    hz_progress_say(&state, "Malo", false, look.now_ns, text, sizeof text);
    HZ_ASSERT_STR_EQ(text, "inside node \"Malo\" for 6 s, waiting");
}

HZ_TEST(progress, a_loop_is_told_from_a_deadlock_by_its_cpu_time)
{
    char text[256];
    look.work = true;
    inside(3, 0);
    at(10);
    look.cpu_ns = 1 * SECOND;
    (void)hz_progress_judge(&state, &look, AFTER);
    at(11);
    look.cpu_ns = 2 * SECOND;
    (void)hz_progress_judge(&state, &look, AFTER);
    HZ_ASSERT_TRUE(state.computing);
    at(12);
    look.cpu_ns = 2 * SECOND;
    (void)hz_progress_judge(&state, &look, AFTER);
    HZ_ASSERT_FALSE(state.computing);
    hz_progress_say(&state, "", false, look.now_ns, text, sizeof text);
    HZ_ASSERT_STR_EQ(text, "inside node number 3 for 12 s, waiting");
}

HZ_TEST(progress, work_that_could_go_on_and_does_not_is_stuck)
{
    look.work = look.runnable = true;
    at(0);
    (void)hz_progress_judge(&state, &look, AFTER);
    HZ_ASSERT_EQ(state.progress, HZ_PROGRESS_BUSY);
    at(6);
    (void)hz_progress_judge(&state, &look, AFTER);
    HZ_ASSERT_EQ(state.progress, HZ_PROGRESS_STUCK);
    HZ_ASSERT_EQ(state.node, HZ_NO_NODE);
    inside(2, 1);
    at(7);
    (void)hz_progress_judge(&state, &look, AFTER);
    HZ_ASSERT_EQ(state.progress, HZ_PROGRESS_STUCK);
    HZ_ASSERT_EQ(state.node, 2);
    look.moved = 99;
    look.count = 0;
    at(8);
    (void)hz_progress_judge(&state, &look, AFTER);
    HZ_ASSERT_EQ(state.progress, HZ_PROGRESS_BUSY);
}

HZ_TEST(progress, after_a_long_rest_new_work_is_not_stuck_at_once)
{
    at(0);
    (void)hz_progress_judge(&state, &look, AFTER);
    at(30);
    (void)hz_progress_judge(&state, &look, AFTER);
    look.work = look.runnable = true;
    at(31);
    (void)hz_progress_judge(&state, &look, AFTER);
    HZ_ASSERT_EQ(state.progress, HZ_PROGRESS_BUSY);
}

HZ_TEST(progress, a_stopped_process_is_stuck_whatever_it_had_in_hand)
{
    char text[256];
    look.stopped = true;
    at(0);
    HZ_ASSERT_TRUE(hz_progress_judge(&state, &look, AFTER));
    HZ_ASSERT_EQ(state.progress, HZ_PROGRESS_STUCK);
    hz_progress_say(&state, "", true, look.now_ns, text, sizeof text);
    HZ_ASSERT_STR_HAS(text, "stopped by a signal");
    look.stopped = false;
    at(1);
    HZ_ASSERT_TRUE(hz_progress_judge(&state, &look, AFTER));
    HZ_ASSERT_EQ(state.progress, HZ_PROGRESS_IDLE);
}

HZ_TEST(progress, an_impossible_time_in_a_cell_accuses_nobody)
{
    look.work = true;
    inside(3, 1000000); /* entered in the future */
    at(0);
    (void)hz_progress_judge(&state, &look, AFTER);
    at(1);
    look.moved++;
    (void)hz_progress_judge(&state, &look, AFTER);
    HZ_ASSERT_EQ(state.progress, HZ_PROGRESS_BUSY);
    HZ_ASSERT_EQ(state.node, HZ_NO_NODE);
}
