/* test_scheduler.c - executions: accepted means committed, run, ended once; what becomes of them when a worker is lost. */
#include "fake_worker.h"

#include "manager_world.h"

#include <sys/resource.h>

static struct world_answer one, two;

HZ_SUITE_INIT(scheduler)
{
    urcu_memb_register_thread();
}

HZ_SUITE_CLEANUP(scheduler)
{
    urcu_memb_unregister_thread();
}

HZ_SETUP(scheduler)
{
    world_prepare(NULL);
}

HZ_TEARDOWN(scheduler)
{
    world_teardown();
}

static void end_of(struct world_answer *a)
{
    HZ_ASSERT_TRUE(world_until(world_flag, &a->ended, 40000));
}

static void run(struct world_answer *a, const char *mode, const char *settings, const char *data)
{
    world_submit(a, world_flow(mode, false, settings), data, 0);
    end_of(a);
}

static void stored(const struct hz_uuid *id, enum hz_exec_state state)
{
    struct hz_store_execution row;
    HZ_ASSERT_OK(hz_store_get(id, &row));
    HZ_ASSERT_EQ(row.state, state);
    hz_store_execution_fini(&row);
}

#define RESIDENT "\"isolation\":\"resident\",\"threads\":2"

HZ_TEST(scheduler, an_isolated_execution_is_accepted_after_its_commit_and_ends_with_its_result)
{
    world_up();
    world_submit(&one, world_flow("ok", false, ""), "{\"n\":1}", 0);
    HZ_ASSERT_TRUE(world_until(world_flag, &one.done, 20000));
    HZ_ASSERT_TRUE(one.accepted);
    struct hz_store_execution row;
    HZ_ASSERT_OK(hz_store_get(&one.id, &row)); /* on disk by now */
    HZ_ASSERT_STR_EQ(row.input, "{\"n\":1}");
    hz_store_execution_fini(&row);
    end_of(&one);
    HZ_ASSERT_EQ(one.row.state, HZ_EXEC_SUCCESS);
    HZ_ASSERT_STR_EQ(one.row.result, "{\"n\":1}");
    HZ_ASSERT_STR_EQ(one.row.trigger, "manual");
    HZ_ASSERT_EQ(one.row.node_runs, 3);
    HZ_ASSERT_EQ(one.row.attempt, 1);
    HZ_ASSERT_EQ(one.calls, 2);
    stored(&one.id, HZ_EXEC_SUCCESS);
    world_forget(&one);
    run(&one, "fail", "", "{}");
    HZ_ASSERT_EQ(one.row.state, HZ_EXEC_FAILED);
    HZ_ASSERT_STR_EQ(one.row.error, "no puedo");
    world_forget(&one);
    world_down();
}

HZ_TEST(scheduler, large_inputs_and_results_pass_whole)
{
    size_t len = 3 << 20;
    char *data = malloc(len + 1);
    HZ_ASSERT_NOT_NULL(data);
    memset(data, 'x', len);
    data[0] = data[len - 1] = '"';
    data[len] = 0;
    world_up();
    run(&one, "ok", "", data);
    HZ_ASSERT_EQ(one.row.state, HZ_EXEC_SUCCESS);
    HZ_ASSERT_STR_EQ(one.row.result, data);
    world_forget(&one);
    free(data);
    world_down();
}

HZ_TEST(scheduler, a_resident_worker_serves_all_executions_of_its_flow)
{
    static struct world_answer many[3000];
    world_up();
    struct hz_workflow *flow = world_flow("ok", false, RESIDENT ",\"durability\":\"none\"");
    for (size_t i = 0; i < HZ_COUNT_OF(many); i++)
        world_submit(&many[i], hz_workflow_ref(flow), "5", 0);
    char first[HZ_UUID_TEXT] = "";
    for (size_t i = 0; i < HZ_COUNT_OF(many); i++) {
        end_of(&many[i]);
        HZ_ASSERT_EQ(many[i].row.state, HZ_EXEC_SUCCESS);
        HZ_ASSERT_EQ(many[i].calls, 2);
        if (!first[0])
            memcpy(first, many[i].row.worker_id, sizeof first);
        HZ_ASSERT_STR_EQ(many[i].row.worker_id, first);
        world_forget(&many[i]);
    }
    struct hz_worker_info *infos;
    size_t count;
    HZ_ASSERT_OK(hz_registry_list("ok", &infos, &count));
    HZ_ASSERT_EQ(count, 1);
    free(infos);
    hz_workflow_unref(&flow);
    world_down();
}

HZ_TEST(scheduler, beyond_the_bound_new_executions_are_refused_as_busy)
{
    world_config.max_executions = 3;
    world_up();
    static struct world_answer held[4];
    struct hz_workflow *flow = world_flow("stuck-polite", false, RESIDENT);
    for (int i = 0; i < 4; i++) {
        world_submit(&held[i], hz_workflow_ref(flow), "{}", 0);
        HZ_ASSERT_TRUE(world_until(world_flag, &held[i].done, 20000));
    }
    HZ_ASSERT_TRUE(held[2].accepted);
    HZ_ASSERT_FALSE(held[3].accepted);
    HZ_ASSERT_GT(held[3].retry_after_s, 0);
    HZ_ASSERT_EQ(hz_scheduler_admitted(), 3);
    for (int i = 0; i < 3; i++)
        hz_scheduler_cancel(&held[i].id, "enough", NULL, NULL);
    for (int i = 0; i < 3; i++) {
        end_of(&held[i]);
        HZ_ASSERT_EQ(held[i].row.state, HZ_EXEC_CANCELLED);
        HZ_ASSERT_STR_EQ(held[i].row.error, "enough");
        world_forget(&held[i]);
    }
    hz_workflow_unref(&flow);
    world_down();
}

HZ_TEST(scheduler, a_live_execution_is_seen_running_by_any_thread)
{
    world_up();
    world_submit(&one, world_flow("stuck-polite", false, ""), "[1]", 0);
    HZ_ASSERT_TRUE(world_until(world_flag, &one.done, 20000));
    struct hz_store_execution row;
    for (int i = 0; i < 2000; i++) {
        HZ_ASSERT_OK(hz_scheduler_get(&one.id, &row));
        enum hz_exec_state state = row.state;
        hz_store_execution_fini(&row);
        if (state == HZ_EXEC_RUNNING)
            break;
        usleep(1000);
    }
    HZ_ASSERT_OK(hz_scheduler_get(&one.id, &row));
    HZ_ASSERT_EQ(row.state, HZ_EXEC_RUNNING);
    HZ_ASSERT_STR_EQ(row.input, "[1]");
    HZ_ASSERT_NE(row.worker_id[0], 0);
    hz_store_execution_fini(&row);
    hz_scheduler_cancel(&one.id, "ana", NULL, NULL);
    end_of(&one);
    world_forget(&one);
    world_down();
}

HZ_TEST(scheduler, a_deadline_ends_what_a_polite_worker_holds_and_kills_what_does_not_listen)
{
    world_up();
    world_submit(&one, world_flow("stuck-polite", false, ""), "{}", 200);
    end_of(&one);
    HZ_ASSERT_EQ(one.row.state, HZ_EXEC_TIMED_OUT);
    world_forget(&one);
    world_submit(&one, world_flow("stuck", false, ""), "{}", 100);
    end_of(&one);
    HZ_ASSERT_EQ(one.row.state, HZ_EXEC_TIMED_OUT);
    HZ_ASSERT_STR_HAS(one.row.error, "deadline");
    HZ_ASSERT_STR_HAS(one.row.error, "node \"Inicio\" was running");
    stored(&one.id, HZ_EXEC_TIMED_OUT);
    world_forget(&one);
    world_down();
}

HZ_TEST(scheduler, a_cancelled_execution_that_does_not_listen_is_ended_by_killing_its_worker)
{
    world_up();
    world_submit(&one, world_flow("stuck", false, ""), "{}", 0);
    HZ_ASSERT_TRUE(world_until(world_flag, &one.done, 20000));
    (void)world_until(world_nothing, NULL, 100);
    hz_scheduler_cancel(&one.id, "Detenido por ana", NULL, NULL);
    end_of(&one);
    HZ_ASSERT_EQ(one.row.state, HZ_EXEC_CANCELLED);
    HZ_ASSERT_STR_HAS(one.row.error, "Detenido por ana");
    world_forget(&one);
    world_down();
}

HZ_TEST(scheduler, stopping_its_worker_cancels_an_execution_in_the_users_name)
{
    world_up();
    world_submit(&one, world_flow("stuck", false, ""), "{}", 0);
    HZ_ASSERT_TRUE(world_until(world_flag, &one.done, 20000));
    (void)world_until(world_nothing, NULL, 200);
    struct hz_worker_info *infos;
    size_t count;
    HZ_ASSERT_OK(hz_registry_list(NULL, &infos, &count));
    HZ_ASSERT_EQ(count, 1);
    memset(&two, 0, sizeof two);
    hz_supervisor_stop(&infos[0].id, "ana", world_on_stopped, &two);
    free(infos);
    end_of(&one);
    HZ_ASSERT_EQ(one.row.state, HZ_EXEC_CANCELLED);
    HZ_ASSERT_STR_EQ(one.row.error, "Detenido por ana");
    HZ_ASSERT_TRUE(world_until(world_flag, &two.done, 20000));
    world_forget(&one);
    world_down();
}

HZ_TEST(scheduler, the_execution_in_the_faulting_thread_is_crashed_the_others_are_interrupted)
{
    static struct world_answer many[5];
    world_up();
    struct hz_workflow *flow = world_flow("crash-second", false, RESIDENT);
    char id[HZ_UUID_TEXT];
    unsigned crashed = 0, interrupted = 0;
    for (size_t i = 0; i < HZ_COUNT_OF(many); i++)
        world_submit(&many[i], hz_workflow_ref(flow), "{}", 0);
    hz_workflow_unref(&flow);
    for (size_t i = 0; i < HZ_COUNT_OF(many); i++) {
        end_of(&many[i]);
        if (many[i].row.state == HZ_EXEC_CRASHED) {
            crashed++;
            hz_uuid_format(&many[i].id, id);
            HZ_ASSERT_STR_HAS(many[i].row.error, "crash with SIGSEGV");
            HZ_ASSERT_STR_HAS(many[i].row.error, "node \"Inicio\" was running");
            HZ_ASSERT_STR_HAS(many[i].row.error, id);
            HZ_ASSERT_STR_EQ(many[i].row.error_node, "Inicio");
            HZ_ASSERT_STR_EQ(many[i].row.error_code, "SIGSEGV");
            HZ_ASSERT_TRUE(world_logged(id));
        } else if (many[i].row.state == HZ_EXEC_INTERRUPTED) {
            interrupted++;
            HZ_ASSERT_STR_HAS(many[i].row.error, "its worker was lost");
        }
        stored(&many[i].id, many[i].row.state);
        world_forget(&many[i]);
    }
    /* One crash a life of the worker: those in hand then were interrupted, those in the queue met the next worker. */
    HZ_ASSERT_GE(crashed, 1);
    HZ_ASSERT_EQ(crashed + interrupted, HZ_COUNT_OF(many));
    world_down();
}

HZ_TEST(scheduler, kill_minus_nine_names_the_node_and_a_node_that_leaves_is_accused)
{
    world_up();
    world_submit(&one, world_flow("stuck", false, ""), "{}", 0);
    HZ_ASSERT_TRUE(world_until(world_flag, &one.done, 20000));
    struct hz_worker_info *infos = NULL;
    size_t count = 0;
    for (int i = 0; i < 3000; i++) {
        HZ_ASSERT_OK(hz_registry_list(NULL, &infos, &count));
        if (count == 1 && infos[0].status == HZ_WORKER_RUNNING)
            break;
        free(infos);
        infos = NULL;
        (void)world_until(world_nothing, NULL, 2);
    }
    HZ_ASSERT_NOT_NULL(infos);
    (void)world_until(world_nothing, NULL, 100);
    kill(infos[0].pid, SIGKILL);
    free(infos);
    end_of(&one);
    HZ_ASSERT_EQ(one.row.state, HZ_EXEC_CRASHED);
    HZ_ASSERT_STR_HAS(one.row.error, "killed from outside with SIGKILL");
    HZ_ASSERT_STR_HAS(one.row.error, "node \"Inicio\"");
    world_forget(&one);
    run(&one, "leave", "", "{}");
    HZ_ASSERT_EQ(one.row.state, HZ_EXEC_CRASHED);
    HZ_ASSERT_STR_HAS(one.row.error, "ended the process with code 3");
    world_forget(&one);
    world_down();
}

HZ_TEST(scheduler, what_was_interrupted_is_run_again_when_the_workflow_says_so)
{
    world_up();
    run(&one, "again", "\"onInterrupt\":\"restart\"", "7");
    HZ_ASSERT_EQ(one.row.state, HZ_EXEC_SUCCESS);
    HZ_ASSERT_EQ(one.row.attempt, 3);
    HZ_ASSERT_STR_EQ(one.row.result, "7");
    HZ_ASSERT_EQ(one.calls, 2);
    world_forget(&one);
    run(&one, "again", "", "7");
    HZ_ASSERT_EQ(one.row.state, HZ_EXEC_INTERRUPTED);
    HZ_ASSERT_EQ(one.row.attempt, 1);
    world_forget(&one);
    world_down();
}

HZ_TEST(scheduler, a_restart_runs_the_same_execution_again)
{
    world_up();
    world_submit(&one, world_flow("stuck", false, ""), "{}", 0);
    HZ_ASSERT_TRUE(world_until(world_flag, &one.done, 20000));
    (void)world_until(world_nothing, NULL, 150);
    struct hz_worker_info *infos;
    size_t count;
    HZ_ASSERT_OK(hz_registry_list(NULL, &infos, &count));
    HZ_ASSERT_EQ(count, 1);
    memset(&two, 0, sizeof two);
    hz_supervisor_restart(&infos[0].id, "ana", world_on_started, &two);
    free(infos);
    HZ_ASSERT_TRUE(world_until(world_flag, &two.done, 20000));
    HZ_ASSERT_STR_EQ(two.error, "");
    struct hz_store_execution row;
    HZ_ASSERT_OK(hz_scheduler_get(&one.id, &row));
    HZ_ASSERT_EQ(row.state, HZ_EXEC_RUNNING);
    HZ_ASSERT_EQ(row.attempt, 2);
    HZ_ASSERT_STR_EQ(row.worker_id, two.info.id_text);
    hz_store_execution_fini(&row);
    HZ_ASSERT_FALSE(one.ended);
    hz_scheduler_cancel(&one.id, "ana", NULL, NULL);
    end_of(&one);
    world_forget(&one);
    world_down();
}

HZ_TEST(scheduler, an_end_seen_before_its_beginning_waits_for_it)
{
    world_up();
    run(&one, "steal", RESIDENT, "{}");
    HZ_ASSERT_EQ(one.row.state, HZ_EXEC_SUCCESS);
    world_forget(&one);
    struct hz_store_execution *rows;
    size_t count;
    unsigned own = 0;
    HZ_ASSERT_OK(hz_store_list(&(struct hz_store_filter){.workflow_id = "steal", .limit = 100}, &rows, &count));
    for (size_t i = 0; i < count; i++) {
        if (strcmp(rows[i].trigger, "trigger") == 0) {
            own++;
            HZ_ASSERT_EQ(rows[i].state, HZ_EXEC_SUCCESS);
            struct hz_store_execution whole;
            HZ_ASSERT_OK(hz_store_get(&rows[i].id, &whole));
            HZ_ASSERT_STR_EQ(whole.result, "7");
            hz_store_execution_fini(&whole);
        }
        hz_store_execution_fini(&rows[i]);
    }
    free(rows);
    HZ_ASSERT_EQ(own, 1);
    world_down();
}

HZ_TEST(scheduler, lies_about_executions_poison_the_worker_alone)
{
    static const char *const lies[] = {"lies-number", "lies-state", "lies-id"};
    world_up();
    for (size_t i = 0; i < HZ_COUNT_OF(lies); i++) {
        run(&one, lies[i], "", "{}");
        HZ_ASSERT_EQ(one.row.state, HZ_EXEC_INTERRUPTED);
        HZ_ASSERT_STR_HAS(one.row.error, "broke a rule of the shared memory");
        world_forget(&one);
    }
    run(&one, "ok", "", "{}");
    HZ_ASSERT_EQ(one.row.state, HZ_EXEC_SUCCESS);
    world_forget(&one);
    world_down();
}

static bool waits_for_a_retry(void *arg)
{
    const struct world_answer *a = arg;
    struct hz_store_execution row;
    HZ_ASSERT_OK(hz_scheduler_get(&a->id, &row));
    bool waits = row.state == HZ_EXEC_QUEUED && row.attempt == 2;
    hz_store_execution_fini(&row);
    return waits;
}

HZ_TEST(scheduler, one_that_waits_for_its_next_attempt_leaves_its_place_to_others)
{
    static const char *const isolations[] = {"isolated", "resident"};
    for (size_t i = 0; i < HZ_COUNT_OF(isolations); i++) {
        char settings[200];
        snprintf(settings, sizeof settings,
                "\"isolation\":\"%s\",\"concurrency\":1,\"retry\":{\"times\":1,\"delay\":20000,\"jitter\":0}", isolations[i]);
        world_up();
        struct hz_workflow *flow = world_flow("picky", false, settings);
        world_submit(&one, hz_workflow_ref(flow), "\"bad\"", 0);
        HZ_ASSERT_TRUE(world_until(world_flag, &one.done, 20000));
        HZ_ASSERT_TRUE(world_until(waits_for_a_retry, &one, 10000));
        world_submit(&two, flow, "1", 0);
        HZ_ASSERT_TRUE(world_until(world_flag, &two.ended, 10000));
        HZ_ASSERT_EQ(two.row.state, HZ_EXEC_SUCCESS);
        HZ_ASSERT_FALSE(one.ended);
        world_forget(&two);
        hz_scheduler_cancel(&one.id, "ana", NULL, NULL);
        end_of(&one);
        HZ_ASSERT_EQ(one.row.state, HZ_EXEC_CANCELLED);
        world_forget(&one);
        world_down();
        world_prepare(NULL);
    }
}

/* ---- a disk that takes nothing for a while ---- */

static struct rlimit disk_limit;

/* Each write beyond the first bytes of a file fails; workers run already, their segments are made. */
static void fill_disk(void)
{
    HZ_ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &disk_limit), 0);
    (void)signal(SIGXFSZ, SIG_IGN);
    struct rlimit small = disk_limit;
    small.rlim_cur = 100;
    HZ_ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
}

static void clear_disk(void)
{
    HZ_ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &disk_limit), 0);
}

static bool stuck_in_node(void *arg)
{
    const struct world_answer *a = arg;
    struct hz_store_execution row;
    HZ_ASSERT_OK(hz_scheduler_get(&a->id, &row));
    bool runs = row.state == HZ_EXEC_RUNNING && row.worker_id[0];
    hz_store_execution_fini(&row);
    return runs;
}

HZ_TEST(scheduler, an_end_that_the_disk_refused_is_told_when_it_took_it)
{
    world_up();
    world_submit(&one, world_flow("stuck-polite", false, RESIDENT), "{}", 0);
    HZ_ASSERT_TRUE(world_until(world_flag, &one.done, 20000));
    HZ_ASSERT_TRUE(world_until(stuck_in_node, &one, 20000));
    (void)world_until(world_nothing, NULL, 100);
    fill_disk();
    hz_scheduler_cancel(&one.id, "ana", NULL, NULL);
    bool told = world_until(world_flag, &one.ended, 1500), degraded = hz_store_degraded();
    clear_disk();
    HZ_ASSERT_FALSE(told);
    HZ_ASSERT_TRUE(degraded);
    end_of(&one);
    HZ_ASSERT_EQ(one.row.state, HZ_EXEC_CANCELLED);
    HZ_ASSERT_EQ(one.calls, 2);
    stored(&one.id, HZ_EXEC_CANCELLED);
    world_forget(&one);
    world_down();
}

/* ---- activations and webhooks ---- */

/* What came back, brought to the main shard by mail: the callbacks run on the shard that called. */
static struct reply {
    bool done;
    uint32_t status;
    char body[64], type[64], headers[128];
    unsigned calls;
    int found;
} reply;

struct reply_mail {
    struct hz_mail mail;
    struct reply reply;
};

static void run_reply(struct hz_mail *mail)
{
    struct reply_mail *m = HZ_CONTAINER_OF(mail, struct reply_mail, mail);
    unsigned calls = reply.calls + m->reply.calls;
    reply = m->reply;
    reply.calls = calls;
    free(m);
}

static void tell_main(const struct reply *r)
{
    struct reply_mail *m = malloc(sizeof *m);
    if (!m)
        abort();
    *m = (struct reply_mail){.mail = {.run = run_reply}, .reply = *r};
    m->reply.done = true;
    hz_shard_post(hz_shard_main(), &m->mail);
}

static void on_reply(void *arg, const struct hz_http_reply *r)
{
    (void)arg;
    struct reply got = {.status = r->status, .calls = 1, .found = 1};
    snprintf(got.body, sizeof got.body, "%.*s", (int)r->body_len, r->body);
    snprintf(got.type, sizeof got.type, "%.*s", (int)r->type_len, r->type);
    snprintf(got.headers, sizeof got.headers, "%.*s", (int)r->headers_len, r->headers);
    tell_main(&got);
}

struct post {
    struct hz_mail mail;
    const char *body, *path;
    bool leave;
    uint32_t port;
};

/* HTTP calls come from worker shards. */
static void run_post(struct hz_mail *mail)
{
    struct post *p = HZ_CONTAINER_OF(mail, struct post, mail);
    struct hz_http_call call = {.meta = "{\"method\":\"POST\"}", .meta_len = 17, .type = "text/plain", .type_len = 10, .body = p->body,
            .body_len = strlen(p->body)};
    uint64_t ticket;
    int found = hz_webhooks_match(p->port, "POST", p->path, &call.match);
    if (found == 1) {
        free(call.match.params);
        hz_scheduler_http(&call, on_reply, NULL, &ticket);
        if (p->leave) {
            hz_scheduler_http_gone(ticket);
            tell_main(&(struct reply){.found = found});
        }
    } else {
        tell_main(&(struct reply){.status = 404, .found = found});
    }
    free(p);
}

static void send_post(uint32_t shard, uint32_t port, const char *path, const char *body, bool leave)
{
    struct post *p = malloc(sizeof *p);
    HZ_ASSERT_NOT_NULL(p);
    memset(&reply, 0, sizeof reply);
    *p = (struct post){.mail = {.run = run_post}, .body = body, .path = path, .port = port, .leave = leave};
    hz_shard_post(hz_shard_at(shard), &p->mail);
    HZ_ASSERT_TRUE(world_until(world_flag, &reply.done, 20000));
}

static uint32_t post(uint32_t shard, uint32_t port, const char *path, const char *body)
{
    send_post(shard, port, path, body, false);
    return reply.status;
}

static void activate(struct world_answer *a, const char *mode)
{
    struct hz_submit submit = {.workflow = world_flow(mode, true, ""), .data = "", .trigger = "manual", .wants_port = true};
    memset(a, 0, sizeof *a);
    hz_scheduler_submit(&submit, world_on_accepted, world_on_finished, a);
    HZ_ASSERT_TRUE(world_until(world_flag, &a->done, 20000));
}

HZ_TEST(scheduler, an_activation_is_running_from_ready_on_and_cancelled_when_it_is_stopped)
{
    world_up();
    activate(&one, "hook");
    HZ_ASSERT_TRUE(one.accepted);
    HZ_ASSERT_TRUE(one.has_info);
    HZ_ASSERT_EQ(one.info.port, world_port);
    end_of(&one); /* ready */
    HZ_ASSERT_EQ(one.row.state, HZ_EXEC_RUNNING);
    HZ_ASSERT_EQ(one.row.is_activation, 1);
    HZ_ASSERT_STR_EQ(one.row.worker_id, one.info.id_text);
    memset(&two, 0, sizeof two);
    hz_supervisor_stop(&one.info.id, "ana", world_on_stopped, &two);
    HZ_ASSERT_TRUE(world_until(world_flag, &two.done, 20000));
    struct hz_store_execution row;
    HZ_ASSERT_OK(hz_store_get(&one.id, &row));
    HZ_ASSERT_EQ(row.state, HZ_EXEC_CANCELLED);
    HZ_ASSERT_STR_EQ(row.error, "Detenido por ana");
    hz_store_execution_fini(&row);
    world_forget(&one);
    world_down();
}

HZ_TEST(scheduler, an_activation_whose_worker_does_not_start_fails_with_the_reason)
{
    world_up();
    activate(&one, "exit7");
    end_of(&one);
    HZ_ASSERT_EQ(one.row.state, HZ_EXEC_FAILED);
    HZ_ASSERT_STR_HAS(one.row.error, "code 7");
    world_forget(&one);
    world_down();
}

HZ_TEST(scheduler, a_webhook_is_answered_from_every_shard_on_every_path)
{
    world_config.development = true;
    world_up();
    activate(&one, "hook");
    end_of(&one);
    static const char *const paths[] = {"/v1/saludo/x", "/f_u1/api/v1/saludo/x"};
    for (uint32_t shard = 0; shard < 2; shard++) {
        for (size_t i = 0; i < HZ_COUNT_OF(paths); i++) {
            HZ_ASSERT_EQ(post(shard, 0, paths[i], "hi"), 201);
            HZ_ASSERT_STR_EQ(reply.body, "hola");
            HZ_ASSERT_STR_EQ(reply.type, "text/plain");
            HZ_ASSERT_STR_EQ(reply.headers, "X-Good: 1\n"); /* the bad ones are left out */
            HZ_ASSERT_EQ(post(shard, one.info.port, paths[i], "hi"), 201);
        }
        HZ_ASSERT_EQ(post(shard, 0, "/v1/saludo/x", "fail"), 500);
        HZ_ASSERT_STR_EQ(reply.body, "Error en respuesta ");
        HZ_ASSERT_EQ(post(shard, 0, "/v1/saludo/x", "slow"), 506);
        HZ_ASSERT_STR_EQ(reply.body, "Excedido el tiempo de respuesta");
        HZ_ASSERT_EQ(post(shard, 0, "/v1/nada", "hi"), 404);
        HZ_ASSERT_EQ(reply.calls, 0);
    }
    HZ_ASSERT_TRUE(world_logged("Solicitud Timed Out"));
    HZ_ASSERT_TRUE(world_logged("[console] gone"));
    world_forget(&one);
    world_down();
}

HZ_TEST(scheduler, webhooks_and_submissions_are_busy_while_rows_wait_for_room_in_the_store)
{
    char body[2001];
    memset(body, 'x', sizeof body - 1);
    body[sizeof body - 1] = 0;
    world_pending_bytes = 20000;
    world_config.clusters = 1; /* each shard has rows of its own */
    world_up();
    world_pending_bytes = 0;
    activate(&one, "hook");
    end_of(&one);
    HZ_ASSERT_EQ(post(0, 0, "/v1/saludo/x", body), 201);
    fill_disk();
    uint32_t status = 201, accepted = 0;
    for (; status == 201 && accepted < 2000; accepted++)
        status = post(0, 0, "/v1/saludo/x", body);
    world_submit(&two, world_flow("ok", false, RESIDENT ",\"durability\":\"none\""), "1", 0);
    bool answered = world_until(world_flag, &two.done, 20000);
    clear_disk();
    HZ_ASSERT_EQ(status, 503);
    HZ_ASSERT_STR_EQ(reply.body, "Service Unavailable");
    HZ_ASSERT_TRUE(answered);
    HZ_ASSERT_FALSE(two.accepted);
    HZ_ASSERT_GT(two.retry_after_s, 0);
    HZ_ASSERT_STR_HAS(two.error, "no room for further rows");
    for (int i = 0; i < 100 && status != 201; i++) {
        (void)world_until(world_nothing, NULL, 100);
        status = post(0, 0, "/v1/saludo/x", body);
    }
    HZ_ASSERT_EQ(status, 201);
    world_forget(&one);
    world_down();
}

HZ_TEST(scheduler, a_client_that_left_is_not_answered_and_a_lost_worker_is_503)
{
    world_up();
    activate(&one, "hook");
    end_of(&one);
    send_post(0, 0, "/v1/saludo/x", "hi", true);
    (void)world_until(world_nothing, NULL, 200);
    HZ_ASSERT_EQ(reply.found, 1);
    HZ_ASSERT_EQ(reply.calls, 0);
    HZ_ASSERT_EQ(post(1, 0, "/v1/saludo/x", "crash"), 503);
    HZ_ASSERT_EQ(post(0, 0, "/v1/saludo/x", "hi"), 404); /* no route while it rests */
    world_forget(&one);
    world_down();
}

HZ_TEST(scheduler, a_webhook_that_cannot_be_poisons_the_worker)
{
    world_up();
    activate(&one, "hook-bad");
    end_of(&one);
    HZ_ASSERT_TRUE(world_logged("a webhook that cannot be"));
    world_forget(&one);
    world_down();
}

/* ---- what a former manager left ---- */

HZ_TEST(scheduler, open_rows_of_a_former_manager_become_interrupted)
{
    world_up();
    struct hz_store_execution row;
    memset(&row, 0, sizeof row);
    struct hz_uuid id = row.id = hz_uuid_new();
    snprintf(row.workflow_id, sizeof row.workflow_id, "unknown");
    snprintf(row.version, sizeof row.version, "1.0.0");
    row.state = HZ_EXEC_QUEUED;
    row.attempt = 1;
    row.created_wall_ms = 1;
    HZ_ASSERT_OK(hz_store_put(&row, true, NULL, NULL));
    HZ_ASSERT_OK(hz_store_get(&id, &row)); /* waits until it is in */
    hz_store_execution_fini(&row);
    rename("data", "kept");
    (void)!mkdir("data", 0700);
    world_down();
    rename("kept", "data");
    world_prepare(NULL);
    world_up();
    for (int i = 0; i < 200; i++) {
        HZ_ASSERT_OK(hz_store_get(&id, &row));
        enum hz_exec_state state = row.state;
        hz_store_execution_fini(&row);
        if (state == HZ_EXEC_INTERRUPTED)
            break;
        usleep(5000);
    }
    stored(&id, HZ_EXEC_INTERRUPTED);
    world_down();
}
