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
