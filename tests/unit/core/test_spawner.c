/* test_spawner.c - zygotes: honest, dead, mute, lying; spares; the children of all of them. */
#include "fake_worker.h"

#include "core/children.h"
#include "core/spawner.h"
#include "manager_world.h"

static struct world_answer one;

HZ_SUITE_INIT(spawner)
{
    urcu_memb_register_thread();
}

HZ_SUITE_CLEANUP(spawner)
{
    urcu_memb_unregister_thread();
}

HZ_TEARDOWN(spawner)
{
    world_teardown();
}

/* A world whose zygotes are this program, in this mode. */
static void up(const char *mode, uint32_t spares)
{
    world_prepare(NULL);
    world_config.spawn = HZ_SPAWN_ZYGOTE;
    world_config.spares = spares;
    free(world_config.nodes_path);
    world_config.nodes_path = strdup(mode);
    world_up();
}

static void run(const char *id, enum hz_exec_state state)
{
    world_submit(&one, world_flow(id, false, ""), "1", 0);
    HZ_ASSERT_TRUE(world_until(world_flag, &one.ended, 30000));
    HZ_ASSERT_EQ(one.row.state, state);
}

static bool one_child(void *arg)
{
    return world_children() == *(int *)arg;
}

HZ_TEST(spawner, one_zygote_makes_many_workers)
{
    up("honest", 0);
    uint64_t before = hz_spawner_zygote_starts();
    for (int i = 0; i < 40; i++) {
        run("ok", HZ_EXEC_SUCCESS);
        world_forget(&one);
    }
    HZ_ASSERT_EQ(hz_spawner_zygote_starts() - before, 1);
    int expected = 1;
    HZ_ASSERT_TRUE(world_until(one_child, &expected, 5000)); /* the zygote itself */
    world_down();
}

HZ_TEST(spawner, a_dead_zygote_is_replaced_and_what_it_lost_is_asked_again)
{
    up("honest", 0);
    run("ok", HZ_EXEC_SUCCESS);
    world_forget(&one);
    int expected = 1; /* the zygote, once the worker that answered is gone too */
    HZ_ASSERT_TRUE(world_until(one_child, &expected, 5000));
    HZ_ASSERT_EQ(world_signal_children(SIGKILL), 1);
    run("ok", HZ_EXEC_SUCCESS);
    world_forget(&one);
    world_down();
}

HZ_TEST(spawner, a_zygote_that_dies_of_every_request_fails_the_execution_in_the_end)
{
    up("dies", 0);
    run("ok", HZ_EXEC_FAILED);
    HZ_ASSERT_STR_HAS(one.row.error, "the zygote died before it answered");
    world_forget(&one);
    world_down();
}

HZ_TEST(spawner, a_zygote_that_never_lives_is_given_up)
{
    up("unborn", 0);
    run("ok", HZ_EXEC_FAILED);
    HZ_ASSERT_STR_HAS(one.row.error, "does not start");
    world_forget(&one);
    world_down();
}

HZ_TEST(spawner, a_zygote_of_another_version_is_refused)
{
    up("foreign", 0);
    run("ok", HZ_EXEC_FAILED);
    HZ_ASSERT_STR_HAS(one.row.error, "answered what it was not asked");
    world_forget(&one);
    world_down();
}

HZ_TEST(spawner, a_pid_that_is_no_child_of_ours_is_left_alone)
{
    up("lies", 0);
    run("ok", HZ_EXEC_FAILED);
    world_forget(&one);
    world_down();
    up("lies-init", 0);
    run("ok", HZ_EXEC_FAILED);
    HZ_ASSERT_STR_HAS(one.row.error, "no child of ours");
    world_forget(&one);
    world_down();
}

HZ_TEST(spawner, a_process_nobody_named_is_found_and_ended)
{
    up("orphans", 0);
    uint64_t before = hz_children_strangers();
    world_submit(&one, world_flow("ok", false, ""), "1", 0); /* it may even have done its work before it was ended */
    HZ_ASSERT_TRUE(world_until(world_flag, &one.ended, 30000));
    world_forget(&one);
    int none = 0;
    HZ_ASSERT_TRUE(world_until(one_child, &none, 5000));
    HZ_ASSERT_GT(hz_children_strangers(), before);
    world_down();
}

static bool deep_spares(void *arg)
{
    (void)arg;
    return world_segments() == 4; /* two shards, two each */
}

HZ_TEST(spawner, spares_are_kept_used_once_and_not_listed)
{
    up("honest", 2);
    HZ_ASSERT_TRUE(world_until(deep_spares, NULL, 10000));
    struct hz_worker_info *infos;
    size_t count;
    HZ_ASSERT_OK(hz_registry_list(NULL, &infos, &count));
    HZ_ASSERT_EQ(count, 0);
    free(infos);
    run("ok", HZ_EXEC_SUCCESS);
    world_forget(&one);
    HZ_ASSERT_TRUE(world_until(deep_spares, NULL, 10000));
    world_down();
}
