/*
 * test_hostile.c - workers that write over their whole segment, cut it, flood it, never read it, and workers that die in all
 * ways at once: the manager goes on, the neighbours' results are right, nothing is left behind.
 */
#include "fake_worker.h"

#include "manager_world.h"

HZ_SUITE_INIT(hostile)
{
    urcu_memb_register_thread();
}

HZ_SUITE_CLEANUP(hostile)
{
    urcu_memb_unregister_thread();
}

HZ_SETUP(hostile)
{
    world_prepare(NULL);
}

HZ_TEARDOWN(hostile)
{
    world_teardown();
}

#define NEIGHBOURS 400
static struct world_answer attack, neighbours[NEIGHBOURS];

static bool neighbours_done(void *arg)
{
    (void)arg;
    for (int i = 0; i < NEIGHBOURS; i++)
        if (!neighbours[i].ended)
            return false;
    return true;
}

/* Executions of an honest resident worker beside the hostile one: each must end with its own result. */
static void run_neighbours(void)
{
    struct hz_workflow *flow = world_flow("ok-neighbour", false, "\"isolation\":\"resident\",\"durability\":\"none\"");
    for (int i = 0; i < NEIGHBOURS; i++) {
        char data[16];
        snprintf(data, sizeof data, "%d", i);
        world_submit(&neighbours[i], hz_workflow_ref(flow), data, 0);
    }
    hz_workflow_unref(&flow);
    HZ_ASSERT_TRUE(world_until(neighbours_done, NULL, 40000));
    for (int i = 0; i < NEIGHBOURS; i++) {
        char data[16];
        snprintf(data, sizeof data, "%d", i);
        HZ_ASSERT_EQ(neighbours[i].row.state, HZ_EXEC_SUCCESS);
        HZ_ASSERT_STR_EQ(neighbours[i].row.result, data);
        world_forget(&neighbours[i]);
    }
}

static void suffer(const char *mode)
{
    world_submit(&attack, world_flow(mode, false, ""), "{}", 0);
    HZ_ASSERT_TRUE(world_until(world_flag, &attack.done, 20000));
    run_neighbours();
    HZ_ASSERT_TRUE(world_until(world_flag, &attack.ended, 20000));
    HZ_ASSERT_EQ(attack.row.state, HZ_EXEC_INTERRUPTED);
    HZ_ASSERT_STR_HAS(attack.row.error, "broke a rule of the shared memory");
    HZ_ASSERT_EQ(attack.calls, 2);
    world_forget(&attack);
}

HZ_TEST(hostile, random_words_over_the_whole_segment)
{
    world_up();
    for (int i = 0; i < 4; i++)
        suffer("garbage");
    world_down();
}

HZ_TEST(hostile, plausible_records_that_change_while_they_are_read)
{
    world_up();
    for (int i = 0; i < 4; i++)
        suffer("plausible");
    world_down();
}

HZ_TEST(hostile, a_segment_cut_to_nothing)
{
    world_up();
    for (int i = 0; i < 4; i++)
        suffer("truncate");
    HZ_ASSERT_GT(hz_guard_faults(), 0);
    world_down();
}

HZ_TEST(hostile, a_flood_of_log_lines)
{
    struct world_answer flood;
    world_up();
    world_start(&flood, world_flow("flood", false, ""), false);
    HZ_ASSERT_TRUE(world_until(world_flag, &flood.done, 20000));
    HZ_ASSERT_STR_EQ(flood.error, "");
    run_neighbours();
    flood.done = false;
    hz_supervisor_stop(&flood.info.id, "ana", world_on_stopped, &flood);
    HZ_ASSERT_TRUE(world_until(world_flag, &flood.done, 20000));
    HZ_ASSERT_NE(flood.how, HZ_STOP_NOT_FOUND);
    world_down();
}

HZ_TEST(hostile, a_worker_that_never_reads_fills_its_queue_and_no_other)
{
    static struct world_answer deaf[40];
    size_t len = 256 << 10;
    char *data = malloc(len + 1);
    HZ_ASSERT_NOT_NULL(data);
    memset(data, '1', len);
    data[len] = 0;
    world_config.queue_bytes = 1 << 20;
    world_config.start_timeout_ms = 1500;
    world_up();
    struct hz_workflow *flow = world_flow("deaf", false, "\"isolation\":\"resident\",\"durability\":\"none\"");
    for (size_t i = 0; i < HZ_COUNT_OF(deaf); i++)
        world_submit(&deaf[i], hz_workflow_ref(flow), data, 0);
    hz_workflow_unref(&flow);
    run_neighbours();
    /* It is never ready: killed, tried again, and what waited for it hears why in the end. */
    for (size_t i = 0; i < HZ_COUNT_OF(deaf); i++)
        if (deaf[i].ended)
            HZ_ASSERT_NE(deaf[i].row.state, HZ_EXEC_SUCCESS);
    free(data);
    world_close();
    for (size_t i = 0; i < HZ_COUNT_OF(deaf); i++) /* told by mail the closing ran */
        world_forget(&deaf[i]);
}

static bool said(void *arg)
{
    (void)arg;
    return world_logged("said");
}

HZ_TEST(hostile, what_a_worker_begins_by_itself_takes_nobodys_place)
{
    struct world_answer worker, one;
    world_config.max_executions = 4;
    world_up();
    world_start(&worker, world_flow("begins", false, ""), false);
    HZ_ASSERT_TRUE(world_until(said, NULL, 20000));
    world_submit(&one, world_flow("ok-neighbour", false, ""), "1", 0);
    HZ_ASSERT_TRUE(world_until(world_flag, &one.ended, 20000));
    HZ_ASSERT_STR_EQ(one.error, "");
    HZ_ASSERT_EQ(one.row.state, HZ_EXEC_SUCCESS);
    world_forget(&one);
    world_down();
}

HZ_TEST(hostile, the_same_complaint_fifty_times_is_one_line)
{
    struct world_answer worker;
    world_up();
    world_start(&worker, world_flow("moans", false, ""), false);
    HZ_ASSERT_TRUE(world_until(said, NULL, 20000));
    const char *first = strstr(world_log, "Error en worker");
    HZ_ASSERT_NOT_NULL(first);
    HZ_ASSERT_NULL(strstr(first + 1, "Error en worker"));
    world_down();
}

/* ---- all at once ---- */

#define CHURN 240
static struct world_answer churn[CHURN];

static bool churn_done(void *arg)
{
    (void)arg;
    for (int i = 0; i < CHURN; i++)
        if (!churn[i].ended)
            return false;
    return true;
}

HZ_TEST(hostile, a_churn_of_short_lives_ends_each_execution_once)
{
    static const struct {
        const char *mode;
        enum hz_exec_state state;
    } kinds[] = {{"ok", HZ_EXEC_SUCCESS}, {"fail", HZ_EXEC_FAILED}, {"exit7", HZ_EXEC_FAILED}, {"crash", HZ_EXEC_CRASHED},
            {"leave", HZ_EXEC_CRASHED}, {"lies-number", HZ_EXEC_INTERRUPTED}, {"linger", HZ_EXEC_SUCCESS}, {"fatal", HZ_EXEC_FAILED}};
    world_up();
    for (int i = 0; i < CHURN; i++)
        world_submit(&churn[i], world_flow(kinds[(size_t)i % HZ_COUNT_OF(kinds)].mode, false, "\"durability\":\"none\""), "{}", 0);
    HZ_ASSERT_TRUE(world_until(churn_done, NULL, 50000));
    (void)world_until(world_nothing, NULL, 50);
    for (int i = 0; i < CHURN; i++) {
        HZ_ASSERT_EQ(churn[i].row.state, kinds[(size_t)i % HZ_COUNT_OF(kinds)].state);
        HZ_ASSERT_EQ(churn[i].calls, 2);
        world_forget(&churn[i]);
    }
    world_down();
}

HZ_TEST(hostile, kills_under_load_lose_no_execution_that_may_be_run_again)
{
    world_up();
    for (int i = 0; i < CHURN; i++) {
        char mode[32], data[16];
        snprintf(mode, sizeof mode, "ok-%d", i % 3);
        snprintf(data, sizeof data, "%d", i);
        world_submit(&churn[i], world_flow(mode, false, "\"durability\":\"none\",\"onInterrupt\":\"restart\""), data, 0);
        struct hz_worker_info *infos;
        size_t count;
        if (i % 6 != 0 || hz_registry_list(NULL, &infos, &count))
            continue;
        if (count > 0 && infos[count - 1].pid > 0)
            kill(infos[count - 1].pid, SIGKILL);
        free(infos);
        (void)world_until(world_nothing, NULL, 3);
    }
    HZ_ASSERT_TRUE(world_until(churn_done, NULL, 50000));
    unsigned again = 0;
    for (int i = 0; i < CHURN; i++) {
        char data[16];
        snprintf(data, sizeof data, "%d", i);
        HZ_ASSERT_EQ(churn[i].row.state, HZ_EXEC_SUCCESS);
        HZ_ASSERT_STR_EQ(churn[i].row.result, data);
        again += churn[i].row.attempt > 1;
        world_forget(&churn[i]);
    }
    printf("%u of %d were run again ", again, CHURN);
    world_down();
}
