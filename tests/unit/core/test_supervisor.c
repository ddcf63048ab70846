/* test_supervisor.c - workers as processes: start, every way to fail, stop in time, restart, requests, lines; nothing left behind. */
#include "fake_worker.h"

#include "manager_world.h"

static struct world_answer one, two;

HZ_SUITE_INIT(supervisor)
{
    urcu_memb_register_thread();
}

HZ_SUITE_CLEANUP(supervisor)
{
    urcu_memb_unregister_thread();
}

HZ_SETUP(supervisor)
{
    world_prepare(NULL);
}

HZ_TEARDOWN(supervisor)
{
    world_teardown();
}

static void start(struct world_answer *a, const char *mode, bool port)
{
    world_start(a, world_flow(mode, false, ""), port);
    HZ_ASSERT_TRUE(world_until(world_flag, &a->done, 30000));
}

static void stop(struct world_answer *a)
{
    struct hz_uuid id = a->info.id;
    a->done = false;
    hz_supervisor_stop(&id, "ana", world_on_stopped, a);
    HZ_ASSERT_TRUE(world_until(world_flag, &a->done, 20000));
}

static bool gone(void *arg)
{
    struct hz_worker_info info;
    return !hz_registry_get(arg, &info);
}

HZ_TEST(supervisor, starts_a_worker_with_a_port_lists_it_and_stops_it)
{
    world_up();
    start(&one, "ok", true);
    HZ_ASSERT_STR_EQ(one.error, "");
    HZ_ASSERT_EQ(one.info.port, world_port);
    HZ_ASSERT_EQ(one.info.status, HZ_WORKER_RUNNING);
    HZ_ASSERT_GT(one.info.pid, 0);
    HZ_ASSERT_STR_EQ(one.info.workflow_id, "ok");
    HZ_ASSERT_EQ(world_segments(), 1);
    struct hz_worker_info got;
    HZ_ASSERT_TRUE(hz_registry_get(&one.info.id, &got));
    char line[256];
    snprintf(line, sizeof line, "Worker %s creado para workflow ok en puerto %u", got.id_text, world_port);
    HZ_ASSERT_TRUE(world_logged(line));
    snprintf(line, sizeof line, "Worker %s iniciado exitosamente", got.id_text);
    HZ_ASSERT_TRUE(world_logged(line));
    start(&two, "ok", true);
    HZ_ASSERT_EQ(two.info.port, world_port + 1);
    stop(&one);
    HZ_ASSERT_EQ(one.how, HZ_STOP_FLAG);
    HZ_ASSERT_FALSE(hz_registry_get(&one.info.id, &got));
    snprintf(line, sizeof line, "Worker %s terminó con código 0", one.info.id_text);
    HZ_ASSERT_TRUE(world_logged(line));
    start(&one, "ok", true); /* the lowest free port again */
    HZ_ASSERT_EQ(one.info.port, world_port);
    world_down();
}

HZ_TEST(supervisor, an_early_exit_fails_at_once_with_its_code)
{
    world_up();
    uint64_t begun = hz_test_now_ms();
    start(&one, "exit7", true);
    HZ_ASSERT_LT(hz_test_now_ms() - begun, 5000);
    char text[128];
    snprintf(text, sizeof text, "Worker %s terminó con código 7", one.info.id_text);
    HZ_ASSERT_STR_EQ(one.error, text);
    HZ_ASSERT_EQ(hz_ports_taken(), 0);
    HZ_ASSERT_EQ(world_segments(), 0);
    world_down();
}

HZ_TEST(supervisor, a_worker_that_is_never_ready_is_killed_after_the_time_out)
{
    world_config.start_timeout_ms = 300;
    world_up();
    start(&one, "silent", true);
    char text[128];
    snprintf(text, sizeof text, "Timeout al iniciar worker %s", one.info.id_text);
    HZ_ASSERT_STR_EQ(one.error, text);
    HZ_ASSERT_EQ(hz_ports_taken(), 0);
    HZ_ASSERT_EQ(world_children(), 0);
    world_down();
}

HZ_TEST(supervisor, no_port_left_is_the_contracts_text)
{
    world_config.worker_port_end = world_port;
    world_up();
    start(&one, "ok", true);
    start(&two, "ok", true);
    HZ_ASSERT_STR_EQ(two.error, "No hay puertos disponibles para el worker");
    HZ_ASSERT_EQ(world_segments(), 1);
    start(&two, "ok", false); /* one without a port can be made */
    HZ_ASSERT_STR_EQ(two.error, "");
    HZ_ASSERT_EQ(two.info.port, 0);
    world_down();
}

HZ_TEST(supervisor, a_fatal_worker_says_why)
{
    world_up();
    start(&one, "fatal", false);
    HZ_ASSERT_STR_HAS(one.error, "terminó con código 1");
    HZ_ASSERT_TRUE(world_logged(": nadie"));
    world_down();
}

HZ_TEST(supervisor, one_that_cannot_be_executed_fails_and_leaves_nothing)
{
    free(world_config.worker_path);
    world_config.worker_path = strdup("/nonexistent/horizon-worker");
    world_up();
    start(&one, "ok", true);
    HZ_ASSERT_STR_HAS(one.error, "/nonexistent/horizon-worker");
    HZ_ASSERT_EQ(hz_ports_taken(), 0);
    world_down();
}

HZ_TEST(supervisor, a_stubborn_worker_is_killed_after_the_grace_and_a_second_stop_joins)
{
    world_up();
    start(&one, "stubborn", true);
    two = one;
    one.done = two.done = false;
    one.calls = two.calls = 0;
    uint64_t begun = hz_test_now_ms();
    hz_supervisor_stop(&one.info.id, "ana", world_on_stopped, &one);
    hz_supervisor_stop(&two.info.id, "eva", world_on_stopped, &two);
    HZ_ASSERT_TRUE(world_until(world_flag, &one.done, 20000));
    HZ_ASSERT_TRUE(world_until(world_flag, &two.done, 20000));
    uint64_t took = hz_test_now_ms() - begun;
    HZ_ASSERT_EQ(one.how, HZ_STOP_KILL);
    HZ_ASSERT_EQ(two.how, HZ_STOP_KILL);
    HZ_ASSERT_STR_EQ(hz_stop_how_name(one.how), "kill");
    HZ_ASSERT_GE(took, 390);
    HZ_ASSERT_EQ(one.calls, 1);
    HZ_ASSERT_EQ(two.calls, 1);
    HZ_ASSERT_EQ(hz_ports_taken(), 0);
    world_down();
}

HZ_TEST(supervisor, stopping_a_stranger_finds_nobody)
{
    world_up();
    memset(&one, 0, sizeof one);
    one.info.id = hz_uuid_new();
    stop(&one);
    HZ_ASSERT_EQ(one.how, HZ_STOP_NOT_FOUND);
    world_down();
}

HZ_TEST(supervisor, a_restart_gives_another_worker_on_the_same_port)
{
    world_up();
    start(&one, "ok", true);
    struct hz_uuid old = one.info.id;
    one.done = false;
    hz_supervisor_restart(&old, "ana", world_on_started, &one);
    HZ_ASSERT_TRUE(world_until(world_flag, &one.done, 20000));
    HZ_ASSERT_STR_EQ(one.error, "");
    HZ_ASSERT_FALSE(hz_uuid_equal(&old, &one.info.id));
    HZ_ASSERT_EQ(one.info.port, world_port);
    HZ_ASSERT_EQ(one.info.restarts, 1);
    one.done = false;
    hz_supervisor_restart(&old, "ana", world_on_started, &one);
    HZ_ASSERT_TRUE(world_until(world_flag, &one.done, 20000));
    HZ_ASSERT_STR_EQ(one.error, "Worker no encontrado");
    world_down();
}

static struct {
    bool done;
    char data[256], error[256];
} answer;

static void on_answer(void *arg, const char *data, size_t len, const char *error)
{
    (void)arg;
    snprintf(answer.data, sizeof answer.data, "%.*s", (int)len, data);
    snprintf(answer.error, sizeof answer.error, "%s", error ? error : "");
    answer.done = true;
}

static void ask(const struct hz_uuid *id, const char *route, const char *data)
{
    answer.done = false;
    hz_supervisor_request(id, route, data, strlen(data), on_answer, NULL);
}

HZ_TEST(supervisor, requests_end_with_the_answer_the_refusal_the_time_out_or_the_death)
{
    world_up();
    start(&one, "ok", false);
    ask(&one.info.id, "echo", "{\"a\":1}");
    HZ_ASSERT_TRUE(world_until(world_flag, &answer.done, 20000));
    HZ_ASSERT_STR_EQ(answer.data, "{\"a\":1}");
    HZ_ASSERT_STR_EQ(answer.error, "");
    ask(&one.info.id, "other", "");
    HZ_ASSERT_TRUE(world_until(world_flag, &answer.done, 20000));
    HZ_ASSERT_STR_EQ(answer.error, "no");
    ask(&one.info.id, "silent", "");
    HZ_ASSERT_TRUE(world_until(world_flag, &answer.done, 20000));
    HZ_ASSERT_STR_EQ(answer.error, "Timeout en la solicitud al worker");
    ask(&one.info.id, "silent", "");
    (void)world_until(world_nothing, NULL, 30);
    kill(one.info.pid, SIGKILL);
    HZ_ASSERT_TRUE(world_until(world_flag, &answer.done, 20000));
    HZ_ASSERT_STR_EQ(answer.error, "Worker stopped");
    char text[128];
    struct hz_uuid stranger = hz_uuid_new();
    char id[HZ_UUID_TEXT];
    hz_uuid_format(&stranger, id);
    snprintf(text, sizeof text, "Worker %s no está disponible", id);
    ask(&stranger, "echo", "");
    HZ_ASSERT_TRUE(world_until(world_flag, &answer.done, 20000));
    HZ_ASSERT_STR_EQ(answer.error, text);
    world_down();
}

/* A question, brought to the main shard: it is asked on the worker's. */
static struct asked {
    bool done;
    hz_ask_done_fn *finish;
    void *ctx;
    char route[64], data[64];
} asked;

struct asked_mail {
    struct hz_mail mail;
    struct asked asked;
};

static void run_asked(struct hz_mail *mail)
{
    struct asked_mail *m = HZ_CONTAINER_OF(mail, struct asked_mail, mail);
    asked = m->asked;
    free(m);
}

static void on_ask(const struct hz_worker_info *worker, const char *route, const char *data, size_t len, hz_ask_done_fn *done, void *ctx)
{
    (void)worker;
    struct asked_mail *m = calloc(1, sizeof *m);
    if (!m)
        abort();
    m->mail.run = run_asked;
    m->asked = (struct asked){.done = true, .finish = done, .ctx = ctx};
    snprintf(m->asked.route, sizeof m->asked.route, "%s", route);
    snprintf(m->asked.data, sizeof m->asked.data, "%.*s", (int)len, data);
    hz_shard_post(hz_shard_main(), &m->mail);
}

static bool logged_answer(void *arg)
{
    return world_logged(arg);
}

HZ_TEST(supervisor, questions_of_a_worker_are_answered_from_any_thread)
{
    hz_scheduler_on_ask(on_ask);
    world_up();
    asked.done = false;
    start(&one, "ask", false);
    HZ_ASSERT_TRUE(world_until(world_flag, &asked.done, 20000));
    HZ_ASSERT_STR_EQ(asked.route, "nodes:list");
    HZ_ASSERT_STR_EQ(asked.data, "{\"a\":1}");
    asked.finish(asked.ctx, true, "{\"success\":true}", 16, NULL); /* this is the main thread */
    HZ_ASSERT_TRUE(world_until(logged_answer, (void *)(uintptr_t)"[console] 42 1  {\"success\":true}", 20000));
    asked.done = false;
    start(&two, "ask", false);
    HZ_ASSERT_TRUE(world_until(world_flag, &asked.done, 20000));
    stop(&two);
    asked.finish(asked.ctx, true, "{}", 2, NULL); /* nobody there any more */
    world_down();
    hz_scheduler_on_ask(NULL);
    world_prepare(NULL);
    world_up();
    start(&one, "ask", false);
    HZ_ASSERT_TRUE(world_until(logged_answer, (void *)(uintptr_t)"[console] 42 0 Ruta no encontrada: nodes:list", 20000));
    world_down();
}

HZ_TEST(supervisor, what_a_worker_tells_becomes_lines)
{
    world_up();
    start(&one, "tells", false);
    HZ_ASSERT_TRUE(world_until(logged_answer, (void *)(uintptr_t)"cuidado", 20000));
    HZ_ASSERT_TRUE(world_until(logged_answer, (void *)(uintptr_t)"[console] {\"n\":1}", 20000));
    char **lines;
    size_t count;
    HZ_ASSERT_OK(hz_logs_tail(&one.info.id, 100, 0, &lines, &count, NULL));
    bool found = false;
    for (size_t i = 0; i < count; i++) {
        found |= strstr(lines[i], "] [console] {\"n\":1}") != NULL;
        free(lines[i]);
    }
    free(lines);
    HZ_ASSERT_TRUE(found);
    world_down();
}

/* ---- the restart policy ---- */

static struct {
    unsigned crashed, restarted, parked, stopped, created;
} events;

static void on_event(void *arg, enum hz_worker_event event, const struct hz_worker_info *info, const char *detail)
{
    (void)arg;
    (void)info;
    (void)detail;
    unsigned *count = event == HZ_EVENT_WORKER_CRASHED     ? &events.crashed
                      : event == HZ_EVENT_WORKER_RESTARTED ? &events.restarted
                      : event == HZ_EVENT_WORKER_PARKED    ? &events.parked
                      : event == HZ_EVENT_WORKER_STOPPED   ? &events.stopped
                      : event == HZ_EVENT_WORKER_CREATED   ? &events.created
                                                           : NULL;
    if (count)
        __atomic_fetch_add(count, 1, __ATOMIC_RELAXED);
}

static bool restarted_once(void *arg)
{
    (void)arg;
    return __atomic_load_n(&events.restarted, __ATOMIC_RELAXED) >= 1;
}

HZ_TEST(supervisor, a_resident_worker_that_is_killed_comes_back_after_a_second_and_can_be_stopped_meanwhile)
{
    memset(&events, 0, sizeof events);
    HZ_ASSERT_OK(hz_supervisor_listen(on_event, NULL));
    world_up();
    start(&one, "ok", true);
    uint64_t begun = hz_test_now_ms();
    kill(one.info.pid, SIGKILL);
    HZ_ASSERT_TRUE(world_until(gone, &one.info.id, 20000));
    HZ_ASSERT_EQ(hz_ports_taken(), 0);
    HZ_ASSERT_TRUE(world_until(restarted_once, NULL, 20000));
    HZ_ASSERT_GE(hz_test_now_ms() - begun, 950);
    HZ_ASSERT_TRUE(world_logged("killed from outside with SIGKILL"));
    struct hz_worker_info *infos;
    size_t count;
    HZ_ASSERT_OK(hz_registry_list(NULL, &infos, &count));
    HZ_ASSERT_EQ(count, 1);
    HZ_ASSERT_EQ(infos[0].port, world_port);
    HZ_ASSERT_EQ(infos[0].restarts, 1);
    one.info = infos[0];
    kill(infos[0].pid, SIGKILL);
    free(infos);
    HZ_ASSERT_TRUE(world_until(gone, &one.info.id, 20000));
    stop(&one); /* between two workers: ends the waiting */
    HZ_ASSERT_EQ(one.how, HZ_STOP_FLAG);
    (void)world_until(world_nothing, NULL, 2300);
    HZ_ASSERT_OK(hz_registry_list(NULL, &infos, &count));
    HZ_ASSERT_EQ(count, 0);
    free(infos);
    HZ_ASSERT_EQ(events.crashed, 2);
    HZ_ASSERT_EQ(events.stopped, 2);
    HZ_ASSERT_EQ(events.created, 2);
    world_down();
}

HZ_TEST(supervisor, the_policy_doubles_up_to_a_minute_forgives_and_parks_after_five)
{
    struct hz_config config = {.restart_after_ms = 1000};
    struct hz_yard yard = {.config = &config};
    struct hz_service service;
    const uint64_t s = UINT64_C(1000000000);
    memset(&service, 0, sizeof service);
    service.yard = &yard;
    HZ_ASSERT_EQ(hz_service_note_end(&service, 100 * s), 1000);
    HZ_ASSERT_EQ(hz_service_note_end(&service, 101 * s), 2000);
    HZ_ASSERT_EQ(hz_service_note_end(&service, 103 * s), 4000);
    HZ_ASSERT_EQ(hz_service_note_end(&service, 107 * s), 8000);
    HZ_ASSERT_EQ(hz_service_note_end(&service, 115 * s), UINT32_MAX);
    hz_service_release(&service);
    HZ_ASSERT_EQ(hz_service_note_end(&service, 116 * s), 1000);
    HZ_ASSERT_EQ(hz_service_note_end(&service, 300 * s), 1000); /* it had held out */
    uint64_t now = 1000 * s;
    uint32_t longest = 0;
    for (int i = 0; i < 20; i++) { /* one each 40 s: never five within a minute */
        uint32_t wait = hz_service_note_end(&service, now);
        HZ_ASSERT_NE(wait, UINT32_MAX);
        longest = HZ_MAX(longest, wait);
        now += 40 * s;
    }
    HZ_ASSERT_EQ(longest, 60000);
}

HZ_TEST(supervisor, ends_of_long_ago_do_not_make_a_service_go_along_over_a_restart_of_the_manager)
{
    struct hz_config config = {.restart_after_ms = 1000};
    struct hz_yard yard = {.config = &config};
    struct hz_service service;
    const uint64_t s = UINT64_C(1000000000);
    memset(&service, 0, sizeof service);
    service.yard = &yard;
    HZ_ASSERT_FALSE(hz_service_goes_along(&service, 100 * s));
    HZ_ASSERT_EQ(hz_service_note_end(&service, 100 * s), 1000);
    HZ_ASSERT_TRUE(hz_service_goes_along(&service, 160 * s));
    HZ_ASSERT_FALSE(hz_service_goes_along(&service, 162 * s));
    service.parked = true;
    HZ_ASSERT_TRUE(hz_service_goes_along(&service, 1000 * s));
}

/* ---- orphans, figures, many ---- */

static bool no_children_but_one(void *arg)
{
    (void)arg;
    return world_children() == 0;
}

HZ_TEST(supervisor, children_of_a_dead_worker_are_found_and_ended)
{
    world_up();
    world_submit(&one, world_flow("orphan", false, ""), "{}", 0);
    HZ_ASSERT_TRUE(world_until(world_flag, &one.ended, 20000));
    HZ_ASSERT_EQ(one.row.state, HZ_EXEC_CRASHED);
    HZ_ASSERT_TRUE(world_until(no_children_but_one, NULL, 20000));
    HZ_ASSERT_TRUE(world_logged("a worker's child that outlived it"));
    world_forget(&one);
    world_down();
}

static bool has_figures(void *arg)
{
    struct hz_worker_info info;
    return hz_registry_get(arg, &info) && info.has_stats && info.stats.v[HZ_STAT_node_runs] == 7 && info.rss_bytes > 100000;
}

HZ_TEST(supervisor, figures_are_the_workers_but_memory_is_the_kernels)
{
    world_up();
    start(&one, "stats", false);
    HZ_ASSERT_TRUE(world_until(has_figures, &one.info.id, 20000));
    world_down();
}

#define MANY WORLD_PORTS
HZ_TEST(supervisor, many_starts_at_once_get_different_ports_and_stop_in_parallel)
{
    static struct world_answer many[MANY];
    bool seen[MANY] = {false};
    world_up();
    for (unsigned i = 0; i < MANY; i++)
        world_start(&many[i], world_flow(i % 2 ? "ok" : "stubborn", false, ""), true);
    for (unsigned i = 0; i < MANY; i++) {
        HZ_ASSERT_TRUE(world_until(world_flag, &many[i].done, 60000));
        HZ_ASSERT_STR_EQ(many[i].error, "");
        HZ_ASSERT_FALSE(seen[many[i].info.port - world_port]);
        seen[many[i].info.port - world_port] = true;
    }
    uint64_t begun = hz_test_now_ms();
    world_down(); /* ten of them use up their grace of 400 ms, together */
    HZ_ASSERT_LT(hz_test_now_ms() - begun, 3500);
}
