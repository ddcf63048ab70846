/* test_worker.c - what a worker answers, listens to and says of itself; triggers, HTTP, questions; a worker on a thread. */
#include <math.h>

#include "nodes.h"

static struct rig rig;

HZ_SUITE_INIT(worker)
{
    nodes_load();
}

HZ_SETUP(worker)
{
    atomic_store(&nodes_closed, 0);
    atomic_store(&nodes_hooks, 0);
}

static json_t *ask(const char *route, const char *data, bool *ret_ok, const char **ret_message)
{
    rig_request(&rig, 77, route, data);
    const struct hz_msg *msg = rig_wait(&rig, HZ_MSG_ANSWER);
    const struct hz_msg_answer *answer = msg->body;
    HZ_ASSERT_EQ(answer->request, 77);
    *ret_ok = answer->success != 0;
    *ret_message = rig_text(msg, 0);
    return msg->str[1].len ? json_loadb(msg->str[1].data, msg->str[1].len, 0, NULL) : NULL;
}

HZ_TEST(worker, answers_the_four_routes_and_refuses_others)
{
    bool ok;
    const char *message;
    rig_run(&rig, 1, HZ_WORKER_RESIDENT, rig_flow(INIT "," N("n", "t_pass"), "i.init>n.input"));
    rig_execute(&rig, "1");
    (void)rig_finished(&rig);

    json_t *data = ask("nodes:list", "", &ok, &message);
    HZ_ASSERT_TRUE(ok);
    HZ_ASSERT_TRUE(json_is_true(json_object_get(data, "success")));
    const json_t *node = json_object_get(json_object_get(data, "nodes"), "console_output");
    HZ_ASSERT_STR_EQ(json_string_value(json_object_get(json_object_get(node, "info"), "name")), "Console");
    HZ_ASSERT_NULL(json_object_get(node, "file"));
    json_decref(data);

    data = ask("nodes:get", "{\"type\":\"delay\"}", &ok, &message);
    HZ_ASSERT_TRUE(ok);
    HZ_ASSERT_STR_EQ(json_string_value(json_object_get(json_object_get(data, "node"), "type")), "delay");
    json_decref(data);
    HZ_ASSERT_NULL(ask("nodes:get", "{}", &ok, &message));
    HZ_ASSERT_FALSE(ok);
    HZ_ASSERT_STR_EQ(message, "Tipo de nodo requerido");
    HZ_ASSERT_NULL(ask("nodes:get", "{\"type\":\"nada\"}", &ok, &message));
    HZ_ASSERT_STR_EQ(message, "Tipo de nodo no encontrado");

    data = ask("system:health", "", &ok, &message);
    HZ_ASSERT_TRUE(ok);
    HZ_ASSERT_STR_EQ(json_string_value(json_object_get(data, "status")), "OK");
    const json_t *heap = json_object_get(json_object_get(data, "memoryUsage"), "heapTotal");
    HZ_ASSERT_TRUE(json_is_integer(heap));
    if (!(HZ_TEST_ASAN || HZ_TEST_TSAN)) /* their allocator does not tell */
        HZ_ASSERT_GT(json_integer_value(heap), 0);
    HZ_ASSERT_TRUE(json_real_value(json_object_get(data, "uptime")) >= 0);
    json_decref(data);

    data = ask("worker:status", "", &ok, &message);
    HZ_ASSERT_TRUE(ok);
    HZ_ASSERT_STR_EQ(json_string_value(json_object_get(data, "workflowId")), "test");
    HZ_ASSERT_STR_EQ(json_string_value(json_object_get(data, "status")), "running");
    HZ_ASSERT_EQ(json_integer_value(json_object_get(data, "port")), 3001);
    HZ_ASSERT_EQ(json_integer_value(json_object_get(json_object_get(data, "executions"), "finished")), 1);
    HZ_ASSERT_EQ(json_integer_value(json_object_get(data, "nodes")), 2);
    json_decref(data);

    HZ_ASSERT_NULL(ask("what:ever", "", &ok, &message));
    HZ_ASSERT_FALSE(ok);
    HZ_ASSERT_STR_EQ(message, "Ruta no encontrada: what:ever");
    rig_close(&rig);
}

HZ_TEST(worker, a_broken_plan_is_fatal_with_a_reason)
{
    rig_start_thread(&rig, 1);
    struct hz_plan *plan = rig_plan(rig_flow(INIT, ""));
    plan->version = 99;
    rig_assign(&rig, HZ_WORKER_RESIDENT, plan);
    free(plan);
    HZ_ASSERT_GT(rig_wait(&rig, HZ_MSG_FATAL)->str[0].len, 0);
    HZ_ASSERT_EQ(rig_join(&rig), 1);
    HZ_ASSERT_STR_HAS(rig_lines(&rig), "Error inicializando worker ");
    rig_close(&rig);
}

HZ_TEST(worker, a_listening_worker_starts_its_trigger_by_itself)
{
    rig_run(&rig, 2, HZ_WORKER_RESIDENT | HZ_WORKER_LISTENS | HZ_WORKER_DEVELOPMENT,
            rig_flow(INIT "," NP("t", "t_trigger", "\"fires\":{\"value\":3}") "," N("n", "t_note"), "i.init>t.input t.event>n.input"));
    const struct hz_msg *listen = rig_wait(&rig, HZ_MSG_LISTEN);
    const struct hz_msg_listen *head = listen->body;
    HZ_ASSERT_EQ(head->node, 1);
    HZ_ASSERT_EQ(head->timeout_ms, 5000);
    HZ_ASSERT_STR_EQ(rig_text(listen, 0), "POST");
    HZ_ASSERT_STR_EQ(rig_text(listen, 1), "hook/:id");
    HZ_ASSERT_STR_HAS(rig_lines(&rig), "WEBHOOK: post /f_test/api/v1/hook/:id\n");
    for (int i = 0; i < 4; i++) { /* the first run and three events */
        const struct hz_msg_finished *end = rig_finished(&rig);
        HZ_ASSERT_EQ(end->state, HZ_EXEC_SUCCESS);
        HZ_ASSERT_NE(end->execution & HZ_OWN_NUMBER, 0);
    }
    HZ_ASSERT_EQ(rig_count(&rig, HZ_MSG_STARTED), 4);
    HZ_ASSERT_STR_EQ(rig_console(&rig), "\"n:{}\" \"n:{}\" \"n:{}\"");
    size_t started = 0, ready = 0, finished = 0;
    for (size_t i = 0; i < rig.count; i++) {
        if (rig.messages[i].type == HZ_MSG_READY)
            ready = i;
        if (rig.messages[i].type == HZ_MSG_STARTED && started == 0)
            started = i;
        if (rig.messages[i].type == HZ_MSG_FINISHED && finished == 0)
            finished = i;
    }
    HZ_ASSERT_LT(started, ready);
    HZ_ASSERT_LT(ready, finished);
    rig_shutdown(&rig);
    HZ_ASSERT_EQ(rig_join(&rig), 0);
    HZ_ASSERT_EQ(atomic_load(&nodes_closed), 1);
    rig_close(&rig);
}

#define META "{\"headers\":{\"host\":\"x\"},\"params\":{\"id\":\"7\"},\"query\":{},\"method\":\"POST\",\"endpoint\":\"/hook/7\",\"time\":1}"

static void start_hook(const char *more_nodes, const char *more_wires)
{
    char nodes[1024], wires[512];
    snprintf(nodes, sizeof(nodes), "%s,%s,%s", INIT, N("t", "t_trigger"), more_nodes);
    snprintf(wires, sizeof(wires), "i.init>t.input %s", more_wires);
    rig_run(&rig, 1, HZ_WORKER_RESIDENT | HZ_WORKER_LISTENS, rig_flow(nodes, wires));
    (void)rig_finished(&rig);
}

HZ_TEST(worker, an_http_request_is_answered_once_with_body_and_headers)
{
    start_hook(N("r", "t_reply"), "t.event>r.input");
    uint64_t number = rig_http(&rig, 1, META, "application/json; charset=utf-8", "{\"a\":[1]}");
    const struct hz_msg *msg = rig_wait(&rig, HZ_MSG_HTTP_ANSWER);
    const struct hz_msg_http_answer *answer = msg->body;
    HZ_ASSERT_EQ(answer->execution, number);
    HZ_ASSERT_EQ(answer->status, 201);
    HZ_ASSERT_STR_EQ(rig_text(msg, 0), "application/json");
    HZ_ASSERT_STR_EQ(rig_text(msg, 1), "X-Test: yes\n");
    HZ_ASSERT_STR_EQ(rig_text(msg, 2), "{\"a\":[1]}");
    HZ_ASSERT_EQ(rig_finished(&rig)->state, HZ_EXEC_SUCCESS);
    (void)rig_http(&rig, 1, META, "text/plain", "hola");
    HZ_ASSERT_STR_EQ(rig_text(rig_wait(&rig, HZ_MSG_HTTP_ANSWER), 2), "\"hola\"");
    (void)rig_http(&rig, 1, META, "", "");
    HZ_ASSERT_STR_EQ(rig_text(rig_wait(&rig, HZ_MSG_HTTP_ANSWER), 2), META);
    rig_close(&rig);
}

HZ_TEST(worker, a_body_that_is_no_json_is_a_bad_request)
{
    start_hook(N("r", "t_reply"), "t.event>r.input");
    (void)rig_http(&rig, 1, META, "application/json", "{\"a\":");
    const struct hz_msg_http_answer *answer = rig_wait(&rig, HZ_MSG_HTTP_ANSWER)->body;
    HZ_ASSERT_EQ(answer->status, 400);
    HZ_ASSERT_EQ(rig_finished(&rig)->state, HZ_EXEC_FAILED);
    rig_close(&rig);
}

HZ_TEST(worker, a_failure_behind_an_open_request_answers_500)
{
    start_hook(N("f", "t_fail"), "t.event>f.input");
    (void)rig_http(&rig, 1, META, "", "");
    const struct hz_msg *msg = rig_wait(&rig, HZ_MSG_HTTP_ANSWER);
    HZ_ASSERT_EQ(((const struct hz_msg_http_answer *)msg->body)->status, 500);
    HZ_ASSERT_STR_EQ(rig_text(msg, 2), "Error en respuesta ");
    HZ_ASSERT_EQ(rig_finished(&rig)->state, HZ_EXEC_FAILED);
    rig_close(&rig);
}

HZ_TEST(worker, a_request_that_is_gone_cannot_be_answered)
{
    start_hook(NP("w", "t_after", "\"ms\":{\"value\":50}") "," N("r", "t_reply"), "t.event>w.input w.out>r.input");
    uint64_t number = rig_http(&rig, 1, META, "", "");
    struct hz_msg_http_gone gone = {.execution = number};
    struct hz_part part = {&gone, sizeof(gone)};
    rig_send(&rig, HZ_MSG_HTTP_GONE, &part, 1);
    const struct hz_msg *end = rig_wait(&rig, HZ_MSG_FINISHED);
    HZ_ASSERT_EQ(((const struct hz_msg_finished *)end->body)->state, HZ_EXEC_SUCCESS);
    HZ_ASSERT_STR_EQ(rig_text(end, 2), ""); /* the result of a request is its answer */
    HZ_ASSERT_EQ(rig_count(&rig, HZ_MSG_HTTP_ANSWER), 0);
    rig_close(&rig);
}

HZ_TEST(worker, counters_are_published_when_it_goes_idle)
{
    rig_run(&rig, 1, HZ_WORKER_RESIDENT, rig_flow(INIT "," N("n", "t_pass") "," N("f", "t_fail"), "i.init>n.input i.init>f.input"));
    for (int i = 0; i < 5; i++)
        rig_execute(&rig, "1");
    for (int i = 0; i < 5; i++)
        (void)rig_finished(&rig);
    usleep(50000);
    struct hz_stats stats;
    HZ_ASSERT_TRUE(hz_stats_read(rig.segment.lanes[0].stats, &stats));
    HZ_ASSERT_EQ(stats.v[HZ_STAT_executions_started], 5);
    HZ_ASSERT_EQ(stats.v[HZ_STAT_executions_finished], 5);
    HZ_ASSERT_EQ(stats.v[HZ_STAT_executions_failed], 5);
    HZ_ASSERT_EQ(stats.v[HZ_STAT_node_runs], 15);
    HZ_ASSERT_EQ(stats.v[HZ_STAT_node_errors], 5);
    HZ_ASSERT_EQ(stats.v[HZ_STAT_emissions], 10);
    HZ_ASSERT_EQ(atomic_load(&rig.segment.lanes[0].crash->phase), HZ_PHASE_IDLE);
    HZ_ASSERT_GT(atomic_load(&rig.segment.lanes[0].crash->heartbeat), 0);
    struct hz_event events[64];
    size_t n = hz_recorder_read(rig.segment.lanes[0].recorder, events, 64);
    HZ_ASSERT_GT(n, 10);
    HZ_ASSERT_EQ(events[n - 1].kind, HZ_EVENT_END);
    rig_close(&rig);
}
