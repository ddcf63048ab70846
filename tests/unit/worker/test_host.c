/* test_host.c - the table for nodes: what it refuses, what it keeps. In a worker on a thread. */
#include <math.h>

#include "nodes.h"

static struct rig rig;

HZ_SUITE_INIT(host)
{
    nodes_load();
}

HZ_SETUP(host)
{
    atomic_store(&nodes_continued, 0);
    atomic_store(&nodes_hooks, 0);
}

HZ_TEST(host, every_member_of_the_table_is_set)
{
    const struct hz_host *host = nodes_host;
    HZ_ASSERT_EQ(host->size, sizeof(struct hz_host));
    HZ_ASSERT_EQ(host->major, HZ_ABI_MAJOR);
    for (size_t at = offsetof(struct hz_host, param); at < sizeof(*host); at += sizeof(void *)) {
        void *member;
        memcpy(&member, (const char *)host + at, sizeof(member));
        HZ_ASSERT_NOT_NULL(member);
    }
}

HZ_TEST(host, misuse_of_the_table_is_refused)
{
    rig_run(&rig, 1, HZ_WORKER_RESIDENT, rig_flow(INIT "," N("m", "t_misuse"), ""));
    rig_execute_at(&rig, 1, "{}", 0);
    HZ_ASSERT_EQ(rig_finished(&rig)->state, HZ_EXEC_SUCCESS);
    HZ_ASSERT_EQ(atomic_load(&nodes_misuse), 0);
    rig_close(&rig);
}

HZ_TEST(host, the_nearest_emission_of_a_type_is_found_upstream)
{
    rig_run(&rig, 1, HZ_WORKER_RESIDENT | HZ_WORKER_LISTENS,
            rig_flow(INIT "," N("t", "t_trigger") "," N("p", "t_pass") "," N("r", "t_reply"), "i.init>t.input t.event>p.input p.out>r.input"));
    (void)rig_finished(&rig);
    (void)rig_http(&rig, 1, "{\"params\":{}}", "text/plain", "x");
    HZ_ASSERT_STR_EQ(rig_text(rig_wait(&rig, HZ_MSG_HTTP_ANSWER), 2), "\"x\"");
    rig_close(&rig);
}

HZ_TEST(host, state_is_kept_per_node_and_execution)
{
    rig_run(&rig, 2, HZ_WORKER_RESIDENT,
            rig_flow(INIT "," NP("f", "t_flaky", "\"ok\":{\"value\":0}") "," NP("g", "t_flaky", "\"ok\":{\"value\":0}") "," N("n", "t_note"),
                    "i.init>f.input i.init>f.again i.init>g.input f.out>n.input g.out>n.input"));
    for (int i = 0; i < 10; i++) {
        rig_execute(&rig, "");
        HZ_ASSERT_EQ(rig_finished(&rig)->state, HZ_EXEC_SUCCESS);
    }
    size_t ones = 0, twos = 0;
    for (size_t i = 0; i < rig.count; i++) {
        const char *text = rig.messages[i].type == HZ_MSG_LINE ? rig_text(&rig.messages[i].msg, 0) : "";
        ones += strcmp(text, "\"n:1\"") == 0;
        twos += strcmp(text, "\"n:2\"") == 0;
    }
    HZ_ASSERT_EQ(ones, 20);
    HZ_ASSERT_EQ(twos, 10);
    rig_close(&rig);
}

HZ_TEST(host, lines_of_nodes_carry_their_name_and_level)
{
    rig_run(&rig, 1, HZ_WORKER_RESIDENT, rig_flow(INIT "," N("tell", "t_tell"), "i.init>tell.input"));
    rig_execute(&rig, "{}");
    (void)rig_finished(&rig);
    HZ_ASSERT_STR_HAS(rig_lines(&rig), "tell: information\n");
    HZ_ASSERT_STR_HAS(rig_lines(&rig), "tell: warning\n");
    const struct hz_msg *tell = rig_wait(&rig, HZ_MSG_TELL);
    HZ_ASSERT_STR_EQ(rig_text(tell, 0), "worker:progress");
    HZ_ASSERT_STR_EQ(rig_text(tell, 1), "{\"data\":{}}");
    rig_close(&rig);
}
