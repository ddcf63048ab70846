/* test_executor.c - executions: order, data of a branch, errors, retries, waiting, limits, ends. In a worker on a thread. */
#include <math.h>

#include "nodes.h"

static struct rig rig;

HZ_SUITE_INIT(executor)
{
    nodes_load();
}

HZ_SETUP(executor)
{
    atomic_store(&nodes_hooks, 0);
    atomic_store(&nodes_continued, 0);
    atomic_store(&nodes_most, 0);
    atomic_store(&nodes_inside, 0);
}

static void start(const char *nodes, const char *wires)
{
    rig_run(&rig, 1, HZ_WORKER_RESIDENT, rig_flow(nodes, wires));
}

/* Runs once and returns the final record. */
static const struct hz_msg *once(const char *data)
{
    rig_execute(&rig, data);
    return rig_wait(&rig, HZ_MSG_FINISHED);
}

static const struct hz_msg_finished *body(const struct hz_msg *msg)
{
    return msg->body;
}

HZ_TEST(executor, runs_the_hello_flow_and_reports_its_result)
{
    start(INIT "," N("c", "console_output"), "i.init>c.input");
    const struct hz_msg *end = once("{\"x\":[1,2]}");
    HZ_ASSERT_EQ(body(end)->state, HZ_EXEC_SUCCESS);
    HZ_ASSERT_EQ(body(end)->node_runs, 2);
    HZ_ASSERT_EQ(body(end)->emissions, 1);
    HZ_ASSERT_STR_EQ(rig_text(end, 2), "{\"data\":{\"x\":[1,2]}}");
    HZ_ASSERT_STR_EQ(rig_console(&rig), "{\"data\":{\"x\":[1,2]}}");
    rig_close(&rig);
}

HZ_TEST(executor, says_the_lines_of_a_start)
{
    start(INIT "," N("u", "no_such_type"), "i.init>u.input");
    char id[HZ_UUID_TEXT], line[256];
    hz_uuid_format(&rig.id, id);
    const char *lines = rig_lines(&rig);
    snprintf(line, sizeof(line), "Inicializando worker %s para workflow test\n", id);
    HZ_ASSERT_STR_HAS(lines, line);
    HZ_ASSERT_STR_HAS(lines, "No existe el nodo no_such_type\n");
    HZ_ASSERT_STR_HAS(lines, "[port: 3001, flow: test, isDev: false]\n");
    HZ_ASSERT_STR_HAS(lines, "✓\033[0m COLOR\n");
    HZ_ASSERT_STR_HAS(lines, "⚠\033[0m MISSING\n");
    rig_shutdown(&rig);
    HZ_ASSERT_EQ(rig_join(&rig), 0);
    snprintf(line, sizeof(line), "Worker %s recibió mensaje de shutdown, terminando...\n", id);
    HZ_ASSERT_STR_HAS(rig_lines(&rig), line);
    rig_close(&rig);
}

HZ_TEST(executor, runs_depth_first_in_file_order)
{
    start(INIT "," N("f", "t_fork") "," N("x", "t_note") "," N("y", "t_note") "," N("z", "t_note"),
            "i.init>f.input f.a>x.input f.a>y.input f.b>z.input x.out>z.input");
    (void)once("");
    HZ_ASSERT_STR_EQ(rig_console(&rig), "\"x:1\" \"z:1\" \"y:1\" \"z:2\" \"x:3\" \"z:3\" \"y:3\"");
    rig_close(&rig);
}

HZ_TEST(executor, siblings_see_their_own_branch_only)
{
    start(INIT "," N("f", "t_fork") "," NP("m", "data_transformer", "\"mapping\":{\"value\":\"{\\\"f\\\":{{f.data}}}\"}") ","
            N("n", "t_note"), "i.init>f.input f.a>m.input f.b>m.input m.output>n.input");
    const struct hz_msg *end = once("");
    HZ_ASSERT_EQ(body(end)->node_runs, 8);
    const char *console = rig_console(&rig);
    HZ_ASSERT_STR_HAS(console, "\"n:{\\\"f\\\":1}");
    HZ_ASSERT_STR_HAS(console, "\"n:{\\\"f\\\":2}");
    HZ_ASSERT_STR_HAS(console, "\"n:{\\\"f\\\":3}");
    rig_close(&rig);
}

HZ_TEST(executor, a_loop_of_a_million_turns_is_flat)
{
    start(INIT "," NP("n", "t_count", "\"from\":{\"value\":1000000}"), "i.init>n.input n.again>n.input");
    const struct hz_msg *end = once("");
    HZ_ASSERT_EQ(body(end)->state, HZ_EXEC_SUCCESS);
    HZ_ASSERT_EQ(body(end)->node_runs, 1000002);
    HZ_ASSERT_LT(body(end)->peak_bytes, 65536);
    HZ_ASSERT_STR_EQ(rig_text(end, 2), "0");
    rig_close(&rig);
}

HZ_TEST(executor, a_fan_out_of_ten_thousand_loses_nothing)
{
    start(INIT "," NP("f", "t_flood", "\"count\":{\"value\":10000}") "," N("p", "t_pass") "," N("q", "t_pass"),
            "i.init>f.input f.out>p.input p.out>q.input");
    const struct hz_msg *end = once("");
    HZ_ASSERT_EQ(body(end)->node_runs, 20002);
    HZ_ASSERT_EQ(body(end)->emissions, 20001);
    HZ_ASSERT_STR_EQ(rig_text(end, 2), "9999");
    rig_close(&rig);
}

HZ_TEST(executor, an_error_without_a_connection_fails_the_execution_and_names_the_node)
{
    start(INIT "," NP("bad", "t_fail", "\"text\":{\"value\":\"no luck\"}") "," N("n", "t_note"),
            "i.init>bad.input i.init>n.input");
    const struct hz_msg *end = once("");
    HZ_ASSERT_EQ(body(end)->state, HZ_EXEC_FAILED);
    HZ_ASSERT_EQ(body(end)->node, 1);
    HZ_ASSERT_STR_EQ(rig_text(end, 0), "no luck");
    HZ_ASSERT_STR_EQ(rig_text(end, 1), "NODE");
    HZ_ASSERT_STR_HAS(rig_console(&rig), "n:"); /* the other branch ran on */
    HZ_ASSERT_STR_HAS(rig_lines(&rig), "bad: no luck\n");
    rig_close(&rig);
}

HZ_TEST(executor, a_connected_error_goes_on_and_is_no_failure)
{
    start(INIT "," NP("bad", "t_fail", "\"code\":{\"value\":-5}") "," N("n", "t_note"), "i.init>bad.input bad.error>n.input");
    const struct hz_msg *end = once("");
    HZ_ASSERT_EQ(body(end)->state, HZ_EXEC_SUCCESS);
    HZ_ASSERT_STR_EQ(rig_console(&rig), "\"n:{\\\"error\\\":\\\"closed\\\"}\"");
    rig_close(&rig);
}

HZ_TEST(executor, an_unknown_type_is_an_error_of_that_node)
{
    start(INIT "," N("u", "nada") "," N("n", "t_note"), "i.init>u.input u.error>n.input");
    HZ_ASSERT_EQ(body(once(""))->state, HZ_EXEC_SUCCESS);
    HZ_ASSERT_STR_HAS(rig_console(&rig), "No existe el nodo nada");
    rig_close(&rig);
    start(INIT "," N("u", "nada"), "i.init>u.input");
    const struct hz_msg *end = once("");
    HZ_ASSERT_EQ(body(end)->state, HZ_EXEC_FAILED);
    HZ_ASSERT_STR_EQ(rig_text(end, 0), "No existe el nodo nada");
    HZ_ASSERT_STR_EQ(rig_text(end, 1), "UNKNOWN_NODE");
    rig_close(&rig);
}

HZ_TEST(executor, emitting_nothing_ends_the_run_with_out_of_memory)
{
    start(INIT "," N("z", "t_null"), "i.init>z.input");
    const struct hz_msg *end = once("");
    HZ_ASSERT_EQ(body(end)->state, HZ_EXEC_FAILED);
    HZ_ASSERT_STR_EQ(rig_text(end, 0), "out of memory");
    HZ_ASSERT_STR_EQ(rig_text(end, 1), "NOMEM");
    rig_close(&rig);
}

HZ_TEST(executor, a_failed_expression_is_logged_with_node_and_reason)
{
    start(INIT "," NP("m", "data_transformer", "\"mapping\":{\"value\":\"{\\\"a\\\":{{later.data.x}}}\"}") "," N("later", "t_pass"), "i.init>m.input");
    const struct hz_msg *end = once("");
    HZ_ASSERT_EQ(body(end)->state, HZ_EXEC_FAILED);
    const char *lines = rig_lines(&rig);
    HZ_ASSERT_STR_HAS(lines, "m \033[41m Error Property \033[0m");
    HZ_ASSERT_STR_HAS(lines, "later.data.x");
    HZ_ASSERT_STR_HAS(lines, "ReferenceError");
    rig_close(&rig);
}

HZ_TEST(executor, retries_take_back_what_the_failed_attempt_emitted)
{
    start(INIT "," NM("f", "t_flaky", "\"ok\":{\"value\":3}", "\"retries\":5,\"retryDelay\":1") "," N("n", "t_note"),
            "i.init>f.input f.out>n.input");
    const struct hz_msg *end = once("");
    HZ_ASSERT_EQ(body(end)->state, HZ_EXEC_SUCCESS);
    HZ_ASSERT_EQ(body(end)->node_runs, 5); /* init, three attempts, note */
    HZ_ASSERT_STR_EQ(rig_console(&rig), "\"n:3\"");
    HZ_ASSERT_STR_HAS(rig_lines(&rig), "f: attempt 1 of 6 failed, again in 1 ms");
    HZ_ASSERT_STR_HAS(rig_lines(&rig), "f: attempt 2 of 6 failed, again in 2 ms");
    rig_close(&rig);
}

HZ_TEST(executor, retries_end_with_the_error)
{
    start(INIT "," NM("f", "t_flaky", "\"ok\":{\"value\":9}", "\"retries\":2,\"retryDelay\":0"), "i.init>f.input");
    const struct hz_msg *end = once("");
    HZ_ASSERT_EQ(body(end)->state, HZ_EXEC_FAILED);
    HZ_ASSERT_STR_EQ(rig_text(end, 0), "run 3");
    rig_close(&rig);
}

HZ_TEST(executor, deferred_runs_overlap_and_are_awaited)
{
    start(INIT "," NP("a", "t_after", "\"ms\":{\"value\":300}") "," NP("b", "t_after", "\"ms\":{\"value\":100}") "," N("n", "t_note"),
            "i.init>a.input i.init>b.input i.init>n.input a.out>n.input b.out>n.input");
    uint64_t begun = hz_test_now_ms();
    const struct hz_msg *end = once("1");
    uint64_t took = hz_test_now_ms() - begun;
    HZ_ASSERT_EQ(body(end)->state, HZ_EXEC_SUCCESS);
    HZ_ASSERT_EQ(body(end)->node_runs, 6);
    HZ_ASSERT_GE(took, 290);
    HZ_ASSERT_EQ(atomic_load(&nodes_continued), 2);
    rig_close(&rig);
}

HZ_TEST(executor, a_resume_from_another_thread_may_overtake_the_return)
{
    start(INIT "," N("r", "t_resume") "," N("n", "t_note"), "i.init>r.input r.out>n.input");
    for (int i = 0; i < 200; i++)
        rig_execute(&rig, "1");
    for (int i = 0; i < 200; i++)
        HZ_ASSERT_EQ(rig_finished(&rig)->state, HZ_EXEC_SUCCESS);
    nodes_join();
    rig_close(&rig);
}

HZ_TEST(executor, a_join_waits_for_all_origins_and_sees_their_data)
{
    start(INIT "," NP("a", "t_after", "\"ms\":{\"value\":20}") "," N("b", "t_pass") "," N("p", "parallelism") ","
            NP("m", "data_transformer", "\"mapping\":{\"value\":\"{\\\"a\\\":{{a.data.data}},\\\"b\\\":{{b.data.data}}}\"}"),
            "i.init>a.input i.init>b.input a.out>p.input b.out>p.input p.response>m.input");
    const struct hz_msg *end = once("7");
    HZ_ASSERT_EQ(body(end)->state, HZ_EXEC_SUCCESS);
    HZ_ASSERT_EQ(body(end)->node_runs, 6);
    HZ_ASSERT_STR_EQ(rig_text(end, 2), "{\"a\":7,\"b\":7}");
    rig_close(&rig);
}

HZ_TEST(executor, an_exclusive_node_lets_one_in_at_a_time)
{
    start(INIT "," N("s", "t_alone") "," N("n", "t_note"), "i.init>s.input s.out>n.input");
    for (int i = 0; i < 20; i++)
        rig_execute(&rig, "1");
    for (int i = 0; i < 20; i++)
        HZ_ASSERT_EQ(rig_finished(&rig)->state, HZ_EXEC_SUCCESS);
    HZ_ASSERT_EQ(atomic_load(&nodes_most), 1);
    rig_close(&rig);
}

HZ_TEST(executor, cancel_runs_the_hook_and_ends_the_execution)
{
    start(INIT "," N("w", "t_never"), "i.init>w.input");
    uint64_t number = rig_execute(&rig, "1");
    usleep(20000);
    rig_cancel(&rig, number, "because");
    const struct hz_msg *end = rig_wait(&rig, HZ_MSG_FINISHED);
    HZ_ASSERT_EQ(body(end)->state, HZ_EXEC_CANCELLED);
    HZ_ASSERT_STR_EQ(rig_text(end, 0), "because");
    HZ_ASSERT_STR_EQ(rig_text(end, 1), "CANCELLED");
    rig_close(&rig);
    HZ_ASSERT_EQ(atomic_load(&nodes_hooks), 1);
}

HZ_TEST(executor, cancel_ends_an_endless_loop_between_two_runs)
{
    start(INIT "," N("p", "t_pass") "," N("q", "t_pass"), "i.init>p.input p.out>q.input q.out>p.input");
    uint64_t number = rig_execute(&rig, "1");
    usleep(30000);
    rig_cancel(&rig, number, "stop");
    HZ_ASSERT_EQ(rig_finished(&rig)->state, HZ_EXEC_CANCELLED);
    rig_close(&rig);
}

HZ_TEST(executor, the_deadline_ends_runners_and_waiters)
{
    start(INIT "," N("p", "t_pass"), "i.init>p.input p.out>p.input");
    rig_execute_at(&rig, HZ_NO_NODE, "1", hz_base_now_ns() + 50000000u);
    const struct hz_msg *end = rig_wait(&rig, HZ_MSG_FINISHED);
    HZ_ASSERT_EQ(body(end)->state, HZ_EXEC_TIMED_OUT);
    HZ_ASSERT_STR_EQ(rig_text(end, 1), "TIMED_OUT");
    rig_close(&rig);
    start(INIT "," N("w", "t_never"), "i.init>w.input");
    rig_execute_at(&rig, HZ_NO_NODE, "1", hz_base_now_ns() + 50000000u);
    HZ_ASSERT_EQ(rig_finished(&rig)->state, HZ_EXEC_TIMED_OUT);
    rig_close(&rig);
    HZ_ASSERT_EQ(atomic_load(&nodes_hooks), 1);
}

HZ_TEST(executor, a_nodes_own_time_limit_makes_an_error_of_a_wait)
{
    start(INIT "," NM("w", "t_never", "", "\"timeout\":20") "," N("n", "t_note"), "i.init>w.input w.error>n.input");
    HZ_ASSERT_EQ(body(once("1"))->state, HZ_EXEC_SUCCESS);
    HZ_ASSERT_STR_HAS(rig_console(&rig), "the node took longer than 20 ms");
    rig_close(&rig);
    HZ_ASSERT_EQ(atomic_load(&nodes_hooks), 1);
}

HZ_TEST(executor, bounds_end_a_runaway_with_a_clear_error)
{
    memset(&rig, 0, sizeof(rig));
    start(INIT "," NP("f", "t_flood", "\"count\":{\"value\":2000000}") "," N("p", "t_pass"), "i.init>f.input f.out>p.input");
    const struct hz_msg *end = once("");
    HZ_ASSERT_EQ(body(end)->state, HZ_EXEC_FAILED);
    HZ_ASSERT_STR_EQ(rig_text(end, 0), "limit of 1000000 queued messages reached");
    HZ_ASSERT_STR_EQ(rig_text(end, 1), "LIMIT");
    rig_close(&rig);
    start(INIT "," N("g", "t_grow"), "i.init>g.input g.out>g.input");
    end = once("");
    HZ_ASSERT_EQ(body(end)->state, HZ_EXEC_FAILED);
    HZ_ASSERT_TRUE(strcmp(rig_text(end, 1), "LIMIT") == 0 || strcmp(rig_text(end, 1), "NOMEM") == 0);
    rig_close(&rig);
}

HZ_TEST(executor, blocking_nodes_run_beside_their_execution)
{
    start(INIT "," NP("b", "t_block", "\"ms\":{\"value\":50}") "," N("n", "t_note") "," N("m", "t_note"),
            "i.init>b.input i.init>n.input b.out>m.input");
    HZ_ASSERT_EQ(body(once("1"))->state, HZ_EXEC_SUCCESS);
    HZ_ASSERT_STR_EQ(rig_console(&rig), "\"n:{\\\"data\\\":1}\" \"blocked\" \"m:{\\\"data\\\":1}\"");
    rig_close(&rig);
}

HZ_TEST(executor, a_blocking_node_that_is_given_up_is_left_alone)
{
    start(INIT "," NM("b", "t_block", "\"ms\":{\"value\":300}", "\"timeout\":20") "," N("n", "t_note"),
            "i.init>b.input b.error>n.input");
    uint64_t begun = hz_test_now_ms();
    HZ_ASSERT_EQ(body(once("1"))->state, HZ_EXEC_SUCCESS);
    HZ_ASSERT_LT(hz_test_now_ms() - begun, 250);
    HZ_ASSERT_STR_HAS(rig_console(&rig), "the node took longer than 20 ms");
    rig_close(&rig);
}

HZ_TEST(executor, bad_input_is_refused_and_the_worker_goes_on)
{
    start(INIT "," N("n", "t_note"), "i.init>n.input");
    const struct hz_msg *end = once("{\"a\":");
    HZ_ASSERT_EQ(body(end)->state, HZ_EXEC_FAILED);
    HZ_ASSERT_STR_EQ(rig_text(end, 1), "INPUT");
    HZ_ASSERT_EQ(body(once("{}"))->state, HZ_EXEC_SUCCESS);
    rig_close(&rig);
}

HZ_TEST(executor, log_templates_of_a_node_are_written_before_and_after_it)
{
    start(INIT "," NM("n", "t_note", "", "\"logs\":{\"start\":{\"type\":\"warn\",\"value\":\"in {{input.data.data}}\"},"
                                         "\"exec\":{\"type\":\"info\",\"value\":\"out\"}}"), "i.init>n.input");
    HZ_ASSERT_EQ(body(once("5"))->state, HZ_EXEC_SUCCESS);
    rig_poll(&rig);
    HZ_ASSERT_STR_HAS(rig_lines(&rig), "in 5\n");
    HZ_ASSERT_STR_HAS(rig_lines(&rig), "out\n");
    rig_close(&rig);
}

HZ_TEST(executor, tracking_reports_every_hop)
{
    rig_run(&rig, 1, HZ_WORKER_RESIDENT | HZ_WORKER_TRACKING, rig_flow(INIT "," N("n", "t_note"), "i.init>n.input"));
    (void)once("1");
    const struct hz_msg_hop *first = rig_wait(&rig, HZ_MSG_HOP)->body, *second = rig_wait(&rig, HZ_MSG_HOP)->body;
    HZ_ASSERT_EQ(first->from, 0);
    HZ_ASSERT_EQ(first->to, 1);
    HZ_ASSERT_EQ(second->from, 1);
    HZ_ASSERT_EQ(second->to, HZ_NO_NODE);
    HZ_ASSERT_GE(second->accumulated_ns, first->accumulated_ns);
    rig_close(&rig);
}

HZ_TEST(executor, an_isolated_worker_ends_with_the_state_as_exit_code)
{
    rig_run(&rig, 1, 0, rig_flow(INIT "," N("n", "t_note"), "i.init>n.input"));
    (void)once("1");
    HZ_ASSERT_EQ(rig_join(&rig), 0);
    rig_close(&rig);
    rig_run(&rig, 1, 0, rig_flow(INIT "," N("n", "t_fail"), "i.init>n.input"));
    (void)once("1");
    HZ_ASSERT_EQ(rig_join(&rig), 1);
    rig_close(&rig);
}
