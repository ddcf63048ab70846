/* test_pool.c - several lanes: nothing lost, whole executions stolen, order within each, blocking threads, full rings. */
#include <math.h>

#include "nodes.h"

static struct rig rig;

HZ_SUITE_INIT(pool)
{
    nodes_load();
}

HZ_SETUP(pool)
{
    atomic_store(&nodes_most, 0);
    atomic_store(&nodes_inside, 0);
}

static uint64_t stat_of(enum hz_stat which, bool each_positive)
{
    uint64_t total = 0;
    for (uint32_t i = 0; i < rig.segment.geometry.lanes; i++) {
        struct hz_stats stats;
        HZ_ASSERT_TRUE(hz_stats_read(rig.segment.lanes[i].stats, &stats));
        if (each_positive)
            HZ_ASSERT_GT(stats.v[which], 0);
        total += stats.v[which];
    }
    return total;
}

HZ_TEST(pool, a_thousand_uneven_executions_on_four_lanes_all_end_once)
{
    const int count = 1000;
    static uint8_t seen[1001];
    memset(seen, 0, sizeof(seen));
    rig_run(&rig, 4, HZ_WORKER_RESIDENT,
            rig_flow(INIT "," NP("m", "data_transformer", "\"mapping\":{\"value\":\"{{input.data.data}}\"}") "," N("n", "t_count"),
                    "i.init>m.input m.output>n.input n.again>n.input"));
    char data[32];
    for (int i = 1; i <= count; i++) {
        snprintf(data, sizeof(data), "%d", i % 7 == 0 ? 20000 : i % 50);
        rig_execute(&rig, data);
    }
    for (int i = 0; i < count; i++) {
        const struct hz_msg_finished *end = rig_finished(&rig);
        HZ_ASSERT_EQ(end->state, HZ_EXEC_SUCCESS);
        HZ_ASSERT_GE(end->execution, 1);
        HZ_ASSERT_LE(end->execution, count);
        HZ_ASSERT_EQ(seen[end->execution], 0);
        seen[end->execution] = 1;
        uint64_t turns = end->execution % 7 == 0 ? 20000 : end->execution % 50;
        HZ_ASSERT_EQ(end->node_runs, turns + 3);
    }
    rig_shutdown(&rig);
    HZ_ASSERT_EQ(rig_join(&rig), 0);
    HZ_ASSERT_EQ(stat_of(HZ_STAT_executions_finished, false), count);
    HZ_ASSERT_GT(stat_of(HZ_STAT_steals, false), 0);
    rig_close(&rig);
}

/* The records of one execution come on one lane and in the order of its runs. */
HZ_TEST(pool, an_execution_stays_on_its_lane_and_in_order)
{
    rig_run(&rig, 4, HZ_WORKER_RESIDENT,
            rig_flow(INIT "," NP("f", "t_flood", "\"count\":{\"value\":20}") "," NP("w", "t_after", "\"ms\":{\"value\":1}") "," N("n", "console_output"),
                    "i.init>f.input f.out>n.input n.response>w.input"));
    for (int i = 0; i < 100; i++)
        rig_execute(&rig, "1");
    for (int i = 0; i < 100; i++)
        HZ_ASSERT_EQ(rig_finished(&rig)->state, HZ_EXEC_SUCCESS);
    uint32_t lane_of[101], lines[101] = {0};
    for (size_t i = 0; i < 101; i++)
        lane_of[i] = UINT32_MAX;
    for (size_t i = 0; i < rig.count; i++) {
        struct rig_message *m = &rig.messages[i];
        uint64_t number = 0;
        if (m->type == HZ_MSG_LINE) {
            const struct hz_msg_line *line = m->msg.body;
            char text[16];
            number = line->execution;
            if (number == 0)
                continue; /* lines of the start */
            snprintf(text, sizeof(text), "%u", lines[number]++);
            HZ_ASSERT_STR_EQ(rig_text(&m->msg, 0), text);
        } else if (m->type == HZ_MSG_FINISHED) {
            number = ((const struct hz_msg_finished *)m->msg.body)->execution;
        }
        if (number == 0)
            continue;
        if (lane_of[number] == UINT32_MAX)
            lane_of[number] = m->lane;
        HZ_ASSERT_EQ(lane_of[number], m->lane);
    }
    rig_close(&rig);
}

HZ_TEST(pool, an_exclusive_node_is_exclusive_across_lanes)
{
    rig_run(&rig, 4, HZ_WORKER_RESIDENT, rig_flow(INIT "," N("s", "t_alone") "," N("p", "t_pass"), "i.init>s.input s.out>p.input"));
    for (int i = 0; i < 60; i++)
        rig_execute(&rig, "1");
    for (int i = 0; i < 60; i++)
        HZ_ASSERT_EQ(rig_finished(&rig)->state, HZ_EXEC_SUCCESS);
    HZ_ASSERT_EQ(atomic_load(&nodes_most), 1);
    rig_close(&rig);
}

HZ_TEST(pool, who_waits_for_an_exclusive_node_can_be_cancelled)
{
    rig_run(&rig, 2, HZ_WORKER_RESIDENT, rig_flow(INIT "," N("s", "t_alone") "," N("p", "t_pass"), "i.init>s.input s.out>p.input"));
    for (int i = 0; i < 40; i++)
        rig_execute(&rig, "1");
    for (uint64_t i = 1; i <= 40; i += 2)
        rig_cancel(&rig, i, "no");
    int cancelled = 0, well = 0;
    for (int i = 0; i < 40; i++) {
        uint32_t state = rig_finished(&rig)->state;
        cancelled += state == HZ_EXEC_CANCELLED;
        well += state == HZ_EXEC_SUCCESS;
    }
    HZ_ASSERT_EQ(cancelled + well, 40);
    HZ_ASSERT_GE(well, 20);
    rig_close(&rig);
}

HZ_TEST(pool, more_blocking_runs_than_threads_wait_their_turn)
{
    rig_run(&rig, 2, HZ_WORKER_RESIDENT, rig_flow(INIT "," NP("b", "t_block", "\"ms\":{\"value\":2}") "," N("p", "t_pass"), "i.init>b.input b.out>p.input"));
    for (int i = 0; i < 100; i++)
        rig_execute(&rig, "1");
    for (int i = 0; i < 100; i++)
        HZ_ASSERT_EQ(rig_finished(&rig)->state, HZ_EXEC_SUCCESS);
    rig_close(&rig);
}

HZ_TEST(pool, a_manager_that_does_not_read_loses_nothing)
{
    rig_run(&rig, 2, HZ_WORKER_RESIDENT,
            rig_flow(INIT "," NP("f", "t_flood", "\"count\":{\"value\":500}") "," N("n", "console_output"), "i.init>f.input f.out>n.input"));
    rig.deaf = true;
    for (int i = 0; i < 40; i++)
        rig_execute(&rig, "1");
    uint64_t fill = 0;
    for (int same = 0; same < 10;) { /* until nothing moves any more: ring and backlog are full, the lanes wait */
        uint64_t now = hz_ring_fill(rig.results[0].ring) + hz_ring_fill(rig.results[1].ring);
        same = now == fill && now > 0 ? same + 1 : 0;
        fill = now;
        usleep(HZ_TEST_TSAN ? 100000 : 20000);
    }
    rig.deaf = false;
    for (int i = 0; i < 40; i++)
        HZ_ASSERT_EQ(rig_finished(&rig)->state, HZ_EXEC_SUCCESS);
    HZ_ASSERT_EQ(rig_count(&rig, HZ_MSG_LINE), 40 * 500 + 1); /* and the start's warning of a missing name */
    rig_shutdown(&rig);
    HZ_ASSERT_EQ(rig_join(&rig), 0);
    HZ_ASSERT_GT(stat_of(HZ_STAT_result_ring_waits, false), 0);
    rig_close(&rig);
}

HZ_TEST(pool, lossy_records_are_dropped_and_counted)
{
    rig_run(&rig, 1, HZ_WORKER_RESIDENT,
            rig_flow(INIT "," NP("f", "t_flood", "\"count\":{\"value\":5000}") "," N("n", "t_tell"), "i.init>f.input f.out>n.input"));
    rig.deaf = true;
    rig_execute(&rig, "1");
    usleep(100000);
    rig.deaf = false;
    HZ_ASSERT_EQ(rig_finished(&rig)->state, HZ_EXEC_SUCCESS);
    rig_shutdown(&rig);
    HZ_ASSERT_EQ(rig_join(&rig), 0);
    uint64_t told = rig_count(&rig, HZ_MSG_TELL), dropped = stat_of(HZ_STAT_drops_progress, false);
    HZ_ASSERT_EQ(told + dropped, 5000);
    HZ_ASSERT_GT(dropped, 0);
    rig_close(&rig);
}
