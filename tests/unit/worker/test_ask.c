/* test_ask.c - questions of nodes to the manager: matched answers, failures, the worker's end. In a worker on a thread. */
#include <math.h>

#include "nodes.h"

static struct rig rig;

HZ_SUITE_INIT(ask)
{
    nodes_load();
}

HZ_TEST(ask, a_question_gets_its_answer)
{
    rig_run(&rig, 2, HZ_WORKER_RESIDENT, rig_flow(INIT "," NP("a", "t_ask", "\"route\":{\"value\":\"nodes:list\"}"), "i.init>a.input"));
    rig_execute(&rig, "{\"x\":1}");
    const struct hz_msg *msg = rig_wait(&rig, HZ_MSG_ASK);
    const struct hz_msg_ask *asked = msg->body;
    HZ_ASSERT_EQ(asked->execution, 1);
    HZ_ASSERT_EQ(asked->node, 1);
    HZ_ASSERT_STR_EQ(rig_text(msg, 0), "nodes:list");
    HZ_ASSERT_STR_EQ(rig_text(msg, 1), "{\"data\":{\"x\":1}}");
    rig_respond(&rig, asked->request + 1000, true, "", "{}"); /* an id nobody knows */
    rig_respond(&rig, asked->request, true, "", "{\"success\":true}");
    HZ_ASSERT_STR_EQ(rig_text(rig_wait(&rig, HZ_MSG_FINISHED), 2), "{\"ok\":true,\"message\":\"\",\"data\":{\"success\":true}}");
    rig_execute(&rig, "");
    asked = rig_wait(&rig, HZ_MSG_ASK)->body;
    rig_respond(&rig, asked->request, false, "Ruta no encontrada: x", "");
    HZ_ASSERT_STR_EQ(rig_text(rig_wait(&rig, HZ_MSG_FINISHED), 2), "{\"ok\":false,\"message\":\"Ruta no encontrada: x\"}");
    rig_execute(&rig, "");
    asked = rig_wait(&rig, HZ_MSG_ASK)->body;
    rig_respond(&rig, asked->request, false, "", "");
    HZ_ASSERT_STR_EQ(rig_text(rig_wait(&rig, HZ_MSG_FINISHED), 2), "{\"ok\":false,\"message\":\"Request failed\"}");
    rig_close(&rig);
}

HZ_TEST(ask, questions_in_flight_are_answered_when_the_worker_stops)
{
    rig_run(&rig, 1, HZ_WORKER_RESIDENT, rig_flow(INIT "," N("a", "t_ask") "," N("c", "console_output"), "i.init>a.input a.out>c.input"));
    rig_execute(&rig, "");
    (void)rig_wait(&rig, HZ_MSG_ASK);
    rig_shutdown(&rig);
    HZ_ASSERT_EQ(rig_join(&rig), 0);
    rig_close(&rig);
}

HZ_TEST(ask, thousands_of_questions_meet_their_answers)
{
    rig_run(&rig, 4, HZ_WORKER_RESIDENT, rig_flow(INIT "," N("a", "t_ask"), "i.init>a.input"));
    const int count = 2000;
    char data[32];
    for (int i = 1; i <= count; i++) {
        snprintf(data, sizeof(data), "%d", i);
        rig_execute(&rig, data);
    }
    for (int i = 0; i < count; i++) {
        const struct hz_msg *msg = rig_wait(&rig, HZ_MSG_ASK);
        const struct hz_msg_ask *asked = msg->body;
        char expected[64];
        snprintf(expected, sizeof(expected), "{\"data\":%llu}", (unsigned long long)asked->execution);
        HZ_ASSERT_STR_EQ(rig_text(msg, 1), expected);
        rig_respond(&rig, asked->request, true, "", expected);
    }
    for (int i = 0; i < count; i++) {
        const struct hz_msg *msg = rig_wait(&rig, HZ_MSG_FINISHED);
        char expected[96];
        snprintf(expected, sizeof(expected), "{\"ok\":true,\"message\":\"\",\"data\":{\"data\":%llu}}",
                (unsigned long long)((const struct hz_msg_finished *)msg->body)->execution);
        HZ_ASSERT_STR_EQ(rig_text(msg, 2), expected);
    }
    rig_close(&rig);
}

HZ_TEST(ask, a_cancelled_execution_forgets_its_question)
{
    rig_run(&rig, 1, HZ_WORKER_RESIDENT, rig_flow(INIT "," N("a", "t_ask"), "i.init>a.input"));
    uint64_t number = rig_execute(&rig, "");
    const struct hz_msg_ask *asked = rig_wait(&rig, HZ_MSG_ASK)->body;
    uint64_t request = asked->request;
    rig_cancel(&rig, number, "enough");
    HZ_ASSERT_EQ(rig_finished(&rig)->state, HZ_EXEC_CANCELLED);
    rig_respond(&rig, request, true, "", "{}");
    rig_execute(&rig, "");
    (void)rig_wait(&rig, HZ_MSG_ASK);
    rig_close(&rig);
}
