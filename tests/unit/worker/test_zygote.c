/* test_zygote.c - real worker processes: from a zygote, by exec, from spares; their exit codes, their death with us. */
#include "rig.h"

#define HELLO                                                                                                          \
    rig_flow("\"i\":{\"type\":\"workflow_init\",\"name\":\"Inicio\",\"properties\":{}},"                                \
             "\"c\":{\"type\":\"console_output\",\"name\":\"Consola\",\"properties\":{}}",                             \
            "i.init>c.input")

static void run_hello(struct rig *rig)
{
    struct hz_plan *plan = rig_plan(HELLO);
    rig_assign(rig, 0, plan);
    free(plan);
    rig_execute(rig, "{\"a\":1}");
    (void)rig_wait(rig, HZ_MSG_READY);
    const struct hz_msg *msg = rig_wait(rig, HZ_MSG_FINISHED);
    const struct hz_msg_finished *finished = msg->body;
    HZ_ASSERT_EQ(finished->execution, 1);
    HZ_ASSERT_EQ(finished->state, HZ_EXEC_SUCCESS);
    HZ_ASSERT_EQ(finished->node_runs, 2);
    HZ_ASSERT_STR_EQ(rig_text(msg, 2), "{\"data\":{\"a\":1}}");
    HZ_ASSERT_STR_EQ(rig_console(rig), "{\"data\":{\"a\":1}}");
    int status = rig_reap(rig, 5000);
    HZ_ASSERT_TRUE(WIFEXITED(status));
    HZ_ASSERT_EQ(WEXITSTATUS(status), 0);
}

HZ_SUITE_INIT(zygote)
{
    rig_builtins();
}

HZ_TEST(zygote, an_isolated_worker_by_exec_runs_and_ends_with_zero)
{
    struct rig rig;
    rig_spawn(&rig, -1, 1, 0, 0);
    run_hello(&rig);
    rig_close(&rig);
}

HZ_TEST(zygote, an_isolated_worker_of_a_zygote_runs_and_ends_with_zero)
{
    if (HZ_TEST_TSAN)
        HZ_SKIP("the thread sanitizer cannot follow a raw clone");
    struct rig zygote = {0}, rig;
    int fd = rig_zygote(&zygote, "base");
    for (int i = 0; i < 3; i++) {
        rig_spawn(&rig, fd, 1, 0, 0);
        run_hello(&rig);
        rig_close(&rig);
    }
    rig_close_zygote(&zygote, fd);
}

HZ_TEST(zygote, a_spare_says_that_it_is_warm_and_nothing_else_until_it_gets_a_flow)
{
    if (HZ_TEST_TSAN)
        HZ_SKIP("the thread sanitizer cannot follow a raw clone");
    struct rig zygote = {0}, rig;
    int fd = rig_zygote(&zygote, "base");
    rig_spawn(&rig, fd, 1, HZ_SPAWN_SPARE, 0);
    const struct hz_msg_warm *warm = rig_wait(&rig, HZ_MSG_WARM)->body;
    HZ_ASSERT_EQ(warm->pid, rig.pid);
    usleep(20000);
    rig_poll(&rig);
    HZ_ASSERT_EQ(rig.count, 1);
    run_hello(&rig);
    rig_close(&rig);
    rig_close_zygote(&zygote, fd);
}

HZ_TEST(zygote, a_js_worker_evaluates_scripts_inside_the_sandbox)
{
    if (HZ_TEST_ASAN || HZ_TEST_TSAN)
        HZ_SKIP("the engine under sanitizers is tested by test_js");
    struct rig zygote = {0}, rig;
    int fd = rig_zygote(&zygote, "js");
    rig_spawn(&rig, fd, 2, 0, 0);
    struct hz_plan *plan = rig_plan(rig_flow(
            "\"i\":{\"type\":\"workflow_init\",\"name\":\"Inicio\",\"properties\":{}},"
            "\"m\":{\"type\":\"data_transformer\",\"name\":\"M\",\"properties\":{\"mapping\":{\"value\":\"{\\\"s\\\":{{[1,2,3].map(x => x * input.data.data).join('-').length}}}\"}}}",
            "i.init>m.input"));
    HZ_ASSERT_NE(plan->needs_script, 0);
    rig_assign(&rig, HZ_WORKER_RESIDENT, plan);
    free(plan);
    for (int i = 0; i < 20; i++)
        rig_execute(&rig, "7");
    for (int i = 0; i < 20; i++) {
        const struct hz_msg *end = rig_wait(&rig, HZ_MSG_FINISHED);
        HZ_ASSERT_STR_EQ(rig_text(end, 2), "{\"s\":7}");
    }
    rig_shutdown(&rig);
    int status = rig_reap(&rig, 5000);
    HZ_ASSERT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    rig_close(&rig);
    rig_close_zygote(&zygote, fd);
}

/* A third party's node is opened behind the sandbox, and the sandbox is sealed behind it. */
static void run_bad(const char *name, const char *expected, uint32_t state)
{
    const char *file = hz_test_path("%s/tests/badnodes/%s/%s.so", hz_test_build_dir(), name, name);
    const struct hz_loaded *loaded;
    struct rig rig;
    char nodes[512];
    HZ_ASSERT_OK(hz_loader_open(file, false, &loaded));
    snprintf(nodes, sizeof(nodes),
            "\"i\":{\"type\":\"workflow_init\",\"name\":\"Inicio\",\"properties\":{}},\"b\":{\"type\":\"%s\",\"name\":\"Malo\",\"properties\":{}},"
            "\"c\":{\"type\":\"console_output\",\"name\":\"C\",\"properties\":{}}", loaded->desc->type);
    struct hz_plan *plan = rig_plan(rig_flow(nodes, "i.init>b.input b.output>c.input b.response>c.input b.out>c.input"));
    HZ_ASSERT_EQ(plan->untrusted_plugins, 1);
    rig_spawn(&rig, -1, 1, 0, 0);
    rig_assign(&rig, 0, plan);
    free(plan);
    rig_execute(&rig, "{}");
    if (state != 0) {
        HZ_ASSERT_EQ(rig_finished(&rig)->state, state);
        HZ_ASSERT_STR_HAS(rig_console(&rig), expected);
    } else {
        HZ_ASSERT_NE(rig_reap(&rig, 10000), -1); /* by a signal or by exit(): the phase is the accusation */
        HZ_ASSERT_EQ(atomic_load(&rig.segment.lanes[0].crash->node), 1);
        HZ_ASSERT_EQ(atomic_load(&rig.segment.lanes[0].crash->phase), HZ_PHASE_NODE);
        HZ_ASSERT_EQ(atomic_load(&rig.segment.lanes[0].crash->execution), 1);
    }
    rig_close(&rig);
}

HZ_TEST(zygote, a_strangers_node_is_opened_and_contained)
{
    if (HZ_TEST_ASAN || HZ_TEST_TSAN)
        HZ_SKIP("the sanitizers need more calls than a node may make");
    if (access(hz_test_path("%s/tests/badnodes/forks/forks.so", hz_test_build_dir()), R_OK) != 0)
        HZ_SKIP("the broken nodes are not built");
    run_bad("forks", "{\"fork\":-1,\"errno\":1}", HZ_EXEC_SUCCESS);
    run_bad("makes_code", "{\"mmap\":-1,\"errno\":1}", HZ_EXEC_SUCCESS);
    run_bad("socket_denied", "{\"socket\":-1,\"errno\":1}", HZ_EXEC_SUCCESS);
    run_bad("null_write", "", 0);
    run_bad("run_exit", "", 0);
    run_bad("stack_overflow", "", 0);
}

static bool gone(void *arg)
{
    return kill(*(pid_t *)arg, 0) != 0 && errno == ESRCH;
}

/* The manager is a child of the test here; the workers are its children and die with it. */
HZ_TEST(zygote, workers_and_zygote_die_with_their_manager)
{
    if (HZ_TEST_TSAN)
        HZ_SKIP("the thread sanitizer cannot follow a raw clone");
    int report[2];
    pid_t pids[3];
    HZ_ASSERT_EQ(pipe(report), 0);
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    pid_t manager = fork();
    if (manager == 0) {
        struct rig zygote = {0}, rig[2];
        int fd = rig_zygote(&zygote, "base");
        rig_spawn(&rig[0], fd, 1, HZ_SPAWN_SPARE, 0);
        rig_spawn(&rig[1], fd, 4, HZ_SPAWN_SPARE, 0);
        (void)rig_wait(&rig[0], HZ_MSG_WARM);
        (void)rig_wait(&rig[1], HZ_MSG_WARM);
        const pid_t found[3] = {zygote.zygote, rig[0].pid, rig[1].pid};
        (void)hz_segment_unlink(rig[0].name);
        (void)hz_segment_unlink(rig[1].name);
        (void)!write(report[1], found, sizeof(found));
        pause();
        _exit(0);
    }
    HZ_ASSERT_EQ(read(report[0], pids, sizeof(pids)), (ssize_t)sizeof(pids));
    (void)kill(manager, SIGKILL);
    (void)waitpid(manager, NULL, 0);
    for (int i = 0; i < 3; i++)
        (void)waitpid(pids[i], NULL, 0); /* they come to us as to their subreaper */
    for (int i = 0; i < 3; i++)
        HZ_ASSERT_TRUE(hz_test_wait(gone, &pids[i], 1000));
    (void)prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0);
    close(report[0]);
    close(report[1]);
}

HZ_TEST(zygote, a_request_that_is_none_is_answered_with_an_error)
{
    if (HZ_TEST_TSAN)
        HZ_SKIP("the thread sanitizer cannot follow a raw clone");
    struct rig zygote = {0};
    int fd = rig_zygote(&zygote, "base");
    struct hz_spawn_reply reply;
    HZ_ASSERT_EQ(send(fd, "hello", 5, 0), 5);
    HZ_ASSERT_EQ(recv(fd, &reply, sizeof(reply), 0), (ssize_t)sizeof(reply));
    HZ_ASSERT_EQ(reply.pid, HZ_EFORMAT);
    struct hz_spawn_request request = {.magic = HZ_SPAWN_MAGIC, .version = 99};
    const int fds[3] = {0, 1, 2};
    rig_send_request(fd, &request, fds);
    HZ_ASSERT_EQ(recv(fd, &reply, sizeof(reply), 0), (ssize_t)sizeof(reply));
    HZ_ASSERT_EQ(reply.pid, HZ_EVERSION);
    rig_close_zygote(&zygote, fd);
}

HZ_TEST(zygote, sigterm_ends_a_worker_with_zero_and_a_line)
{
    struct rig rig;
    rig_spawn(&rig, -1, 1, 0, 0);
    struct hz_plan *plan = rig_plan(HELLO);
    rig_assign(&rig, HZ_WORKER_RESIDENT, plan);
    free(plan);
    (void)rig_wait(&rig, HZ_MSG_READY);
    (void)kill(rig.pid, SIGTERM);
    int status = rig_reap(&rig, 5000);
    HZ_ASSERT_TRUE(WIFEXITED(status));
    HZ_ASSERT_EQ(WEXITSTATUS(status), 0);
    HZ_ASSERT_STR_HAS(rig_lines(&rig), "recibió SIGTERM, terminando...");
    rig_close(&rig);
}
