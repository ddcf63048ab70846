/*
 * manager_world.h - the manager's rooms without its door: shards, store, supervisor, scheduler in this test program, the test itself on
 * the main shard. world_up() ... world_down() leaves nothing behind, which each test checks.
 */
#ifndef HZ_TESTS_MANAGER_WORLD_H
#define HZ_TESTS_MANAGER_WORLD_H

#include "core/config.h"
#include "core/executions.h"
#include "core/lines.h"
#include "core/ports.h"
#include "core/scheduler.h"
#include "core/shard.h"
#include "core/store.h"
#include "core/supervisor.h"
#include "core/workflow.h"
#include "shm/err.h"
#include "shm/guard.h"
#include "shm/log.h"
#include "tests/harness.h"

#include <dirent.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <urcu/urcu-memb.h>

#define WORLD_PORTS 20u

static struct hz_config world_config;
static uint32_t world_port; /* the first of WORLD_PORTS that are this program's */
static int world_lock = -1, world_fds;
static bool world_is_up;
static uint64_t world_pending_bytes; /* of the store; 0: its own bound */
static void (*world_before_start)(void); /* listeners are registered here; NULL none */
static char world_log[65536]; /* everything logged while the world is up */
static size_t world_log_len;
static pthread_mutex_t world_log_lock = PTHREAD_MUTEX_INITIALIZER;

static void world_sink(enum hz_log_level level, const char *text, size_t len, void *arg)
{
    (void)arg;
    (void)level;
    pthread_mutex_lock(&world_log_lock);
    if (world_log_len + len + 2 < sizeof world_log) {
        memcpy(world_log + world_log_len, text, len);
        world_log_len += len;
        world_log[world_log_len++] = '\n';
        world_log[world_log_len] = 0;
    }
    pthread_mutex_unlock(&world_log_lock);
}

HZ_UNUSED static bool world_logged(const char *part)
{
    pthread_mutex_lock(&world_log_lock);
    bool found = strstr(world_log, part) != NULL;
    pthread_mutex_unlock(&world_log_lock);
    return found;
}

/* Runs the main shard's loop until cond says so. */
static bool world_until(bool (*cond)(void *arg), void *arg, uint32_t ms)
{
    uint64_t until = hz_base_now_ns() + ms * UINT64_C(1000000);
    while (!cond(arg)) {
        if (hz_base_now_ns() > until)
            return false;
        uv_run(hz_shard_loop(hz_shard_main()), UV_RUN_NOWAIT);
        usleep(200);
    }
    return true;
}

static bool world_flag(void *arg)
{
    return *(bool *)arg;
}

HZ_UNUSED static bool world_nothing(void *arg)
{
    (void)arg;
    return false;
}

static int world_begin(struct hz_shard *shard, void *arg)
{
    (void)arg;
    int err = hz_supervisor_begin(shard);
    return err ? err : hz_scheduler_begin(shard);
}

static void world_end(struct hz_shard *shard, void *arg)
{
    (void)arg;
    hz_scheduler_end(shard);
    hz_supervisor_end(shard);
}

static void world_count_name(const char *name, void *arg)
{
    (void)name;
    ++*(int *)arg;
}

static int world_segments(void)
{
    int count = 0;
    (void)!hz_segment_list(world_config.instance, world_count_name, &count);
    return count;
}

/* Children of this process, living or dead; each gets the signal unless it is 0. */
static int world_signal_children(int signal_number)
{
    DIR *proc = opendir("/proc");
    int count = 0;
    HZ_ASSERT_NOT_NULL(proc);
    for (struct dirent *entry; (entry = readdir(proc)) != NULL;) {
        char path[300], line[512];
        snprintf(path, sizeof path, "/proc/%s/stat", entry->d_name);
        FILE *file = entry->d_name[0] >= '1' && entry->d_name[0] <= '9' ? fopen(path, "re") : NULL;
        size_t len = file ? fread(line, 1, sizeof line - 1, file) : 0;
        if (file)
            fclose(file);
        line[len] = 0;
        const char *end = strrchr(line, ')');
        char state;
        int parent;
        if (end && sscanf(end + 1, " %c %d", &state, &parent) == 2 && parent == getpid()) {
            count++;
            if (signal_number != 0)
                (void)kill((pid_t)strtol(entry->d_name, NULL, 10), signal_number);
        }
    }
    closedir(proc);
    return count;
}

static int world_children(void)
{
    return world_signal_children(0);
}

/* Tests run side by side: a block of ports is owned by who binds its name, as long as it lives. */
static void world_take_ports(void)
{
    static const uint32_t first = 32000, last = 32740; /* between those of e2e and the ephemeral ones */
    for (uint32_t port = first; world_port == 0 && port <= last; port += WORLD_PORTS) {
        struct sockaddr_un name = {.sun_family = AF_UNIX};
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        HZ_ASSERT_GE(fd, 0);
        int len = snprintf(name.sun_path + 1, sizeof name.sun_path - 1, "hz-test-ports-%u", port);
        if (bind(fd, (struct sockaddr *)&name, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)len)) == 0)
            world_port = port; /* the descriptor stays open */
        else
            close(fd);
    }
    HZ_ASSERT_GT(world_port, 0);
}

/* Before world_up(): what differs from the defaults for tests. worker_path NULL: this program itself (fake_worker.h). */
static void world_prepare(const char *worker_path)
{
    char self[4096];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    HZ_ASSERT_GT(n, 0);
    self[n] = 0;
    setenv("HORIZON_WORKER", worker_path ? worker_path : self, 1);
    setenv("HORIZON_BUILTIN_NODES", worker_path ? hz_test_path("%s/lib/horizon/nodes", hz_test_build_dir()) : hz_test_dir(), 1);
    setenv("HORIZON_SPAWN", worker_path ? "zygote" : "exec", 1);
    HZ_ASSERT_OK(hz_config_load(&world_config));
    world_config.clusters = 2;
    world_config.spares = 0;
    if (world_port == 0)
        world_take_ports();
    world_config.worker_port_start = world_port;
    world_config.worker_port_end = world_port + WORLD_PORTS - 1;
    world_config.stop_grace_ms = 400;
    world_config.start_timeout_ms = HZ_TEST_ASAN || HZ_TEST_TSAN ? 20000 : 8000;
    world_config.request_timeout_ms = 300;
}

static void world_up(void)
{
    static bool guarded;
    if (!guarded) {
        HZ_ASSERT_OK(hz_guard_install());
        HZ_ASSERT_OK(hz_shard_init(1)); /* libuv's pipe for signals is made once and stays */
        hz_shard_fini();
    }
    guarded = true;
    (void)signal(SIGPIPE, SIG_IGN); /* as the manager does: a bell's sleeper may be dead */
    world_log_len = 0;
    world_log[0] = 0;
    hz_log_set_sink(world_sink, NULL);
    hz_lines_quiet(true);
    HZ_ASSERT_OK(hz_config_open_data(&world_config, "data", &world_lock));
    HZ_ASSERT_OK(hz_store_open_with(
            world_config.data_dir, &(struct hz_store_options){.history = 100000, .pending_bytes = world_pending_bytes}));
    HZ_ASSERT_OK(hz_workflows_init(&world_config));
    world_fds = hz_test_open_fds();
    HZ_ASSERT_OK(hz_shard_init(world_config.clusters));
    HZ_ASSERT_OK(hz_registry_init());
    HZ_ASSERT_OK(hz_supervisor_init(&world_config));
    HZ_ASSERT_OK(hz_scheduler_init(&world_config));
    if (world_before_start)
        world_before_start();
    HZ_ASSERT_OK(hz_shard_start(world_begin, NULL));
    world_is_up = true;
}

static void world_stopped(void *arg)
{
    *(bool *)arg = true;
}

/* Takes everything down, whatever state it is in. */
static uint32_t world_ports_left, world_admitted_left;
static void world_close(void)
{
    bool stopped = false;
    hz_supervisor_stop_all(world_stopped, &stopped);
    bool all = world_until(world_flag, &stopped, 20000);
    world_is_up = false;
    world_ports_left = hz_ports_taken();
    hz_shard_stop(world_end, NULL);
    world_admitted_left = hz_executions_admitted();
    hz_scheduler_fini();
    hz_supervisor_fini();
    hz_registry_fini();
    hz_shard_fini();
    int fds = hz_test_open_fds();
    hz_workflows_fini();
    hz_store_close();
    close(world_lock);
    hz_test_remove_tree("data");
    hz_log_set_sink(NULL, NULL);
    HZ_ASSERT_TRUE(all);
    HZ_ASSERT_EQ(fds, world_fds);
}

/* Everything down; nothing may be left: no segment, child, port, execution, descriptor. */
static void world_down(void)
{
    world_close();
    HZ_ASSERT_EQ(world_segments(), 0);
    HZ_ASSERT_EQ(world_children(), 0);
    HZ_ASSERT_EQ(world_ports_left, 0);
    HZ_ASSERT_EQ(world_admitted_left, 0);
    hz_config_fini(&world_config);
}

/* For HZ_TEARDOWN: a failed test leaves its world behind. */
static void world_teardown(void)
{
    if (world_is_up) {
        fprintf(stderr, "%s", world_log);
        world_close();
    }
    hz_config_fini(&world_config);
}

static const char world_catalog[] =
        "{\"workflow_init\":{\"type\":\"workflow_init\",\"info\":{\"name\":\"I\",\"desc\":\"\",\"icon\":\"\",\"group\":\"g\",\"color\":\"#000000\","
        "\"connectors\":{\"inputs\":[],\"outputs\":[\"init\"]}},\"properties\":{},\"flags\":0,\"caps\":0,\"file\":\"i.so\",\"trusted\":true},"
        "\"hook\":{\"type\":\"hook\",\"info\":{\"name\":\"H\",\"desc\":\"\",\"icon\":\"\",\"group\":\"g\",\"color\":\"#000000\","
        "\"connectors\":{\"inputs\":[\"input\"],\"outputs\":[\"response\"]},\"isTrigger\":true},\"properties\":{},\"flags\":%u,\"caps\":0,"
        "\"file\":\"h.so\",\"trusted\":true}}";

/* A workflow for a fake worker: two nodes, `Inicio` and, with a trigger, `Gancho`. settings: members of properties.horizon. */
HZ_UNUSED static struct hz_workflow *world_flow(const char *id, bool trigger, const char *settings)
{
    char text[2048], catalog_text[2048];
    snprintf(text, sizeof text,
            "{\"info\":{\"uid\":\"u1\",\"name\":\"%s\"},\"version\":\"1.0.0\",\"properties\":{\"basic\":{\"router\":\"/v1/\"},\"horizon\":{%s}},"
            "\"environment\":[],\"secrets\":[],\"nodes\":{\"a\":{\"type\":\"workflow_init\",\"info\":{\"name\":\"Inicio\"},\"properties\":{}}%s},"
            "\"connections\":[]}",
            id, settings, trigger ? ",\"b\":{\"type\":\"hook\",\"info\":{\"name\":\"Gancho\"},\"properties\":{}}" : "");
    snprintf(catalog_text, sizeof catalog_text, world_catalog, 1u); /* HZ_NODE_TRIGGER */
    json_t *catalog = json_loads(catalog_text, 0, NULL);
    HZ_ASSERT_NOT_NULL(catalog);
    struct hz_flow_report report = {0};
    struct hz_flow *flow = NULL;
    struct hz_plan *plan = NULL;
    struct hz_workflow *workflow = NULL;
    HZ_ASSERT_OK(hz_flow_parse(text, strlen(text), &report, &flow));
    HZ_ASSERT_OK(hz_flow_compile(flow, catalog, false, &report, &plan));
    HZ_ASSERT_OK(hz_workflow_new(id, "1.0.0", hz_flow_json(flow), plan, &world_config, &workflow));
    hz_flow_report_fini(&report);
    hz_flow_free(&flow);
    json_decref(catalog);
    HZ_ASSERT_EQ(workflow->plan->trigger_count > 0, trigger);
    return workflow;
}

/* ---- answers ---- */

struct world_answer {
    bool done, accepted, ended;
    char error[512];
    struct hz_worker_info info;
    bool has_info;
    uint32_t retry_after_s;
    enum hz_stop_how how;
    struct hz_uuid id;
    struct hz_store_execution row; /* strings copied */
    unsigned calls;
};

HZ_UNUSED static void world_on_started(void *arg, const struct hz_worker_info *info, const char *error)
{
    struct world_answer *a = arg;
    a->calls++;
    if (info)
        a->info = *info;
    a->has_info = info != NULL;
    snprintf(a->error, sizeof a->error, "%s", error ? error : "");
    a->done = true;
}

HZ_UNUSED static void world_on_stopped(void *arg, enum hz_stop_how how)
{
    struct world_answer *a = arg;
    a->calls++;
    a->how = how;
    a->done = true;
}

static void world_on_accepted(void *arg, const struct hz_uuid *id, const struct hz_worker_info *worker, const char *error, uint32_t retry_after_s)
{
    struct world_answer *a = arg;
    a->calls++;
    a->accepted = error == NULL;
    if (id)
        a->id = *id;
    a->has_info = worker != NULL;
    if (worker)
        a->info = *worker;
    a->retry_after_s = retry_after_s;
    snprintf(a->error, sizeof a->error, "%s", error ? error : "");
    a->done = true;
}

static char *world_copy(const char *text)
{
    return text ? strdup(text) : NULL;
}

static void world_on_finished(void *arg, const struct hz_store_execution *row)
{
    struct world_answer *a = arg;
    hz_store_execution_fini(&a->row);
    a->row = *row;
    a->row.input = world_copy(row->input);
    a->row.result = world_copy(row->result);
    a->row.error = world_copy(row->error);
    a->row.error_node = world_copy(row->error_node);
    a->row.error_code = world_copy(row->error_code);
    a->ended = true;
    a->calls++;
}

HZ_UNUSED static void world_submit(struct world_answer *a, struct hz_workflow *workflow, const char *data, uint32_t timeout_ms)
{
    struct hz_submit submit = {.workflow = workflow, .data = data, .data_len = strlen(data), .trigger = "manual", .timeout_ms = timeout_ms};
    memset(a, 0, sizeof *a);
    hz_scheduler_submit(&submit, world_on_accepted, world_on_finished, a);
}

HZ_UNUSED static void world_start(struct world_answer *a, struct hz_workflow *workflow, bool port)
{
    memset(a, 0, sizeof *a);
    hz_supervisor_start(&(struct hz_start_options){.workflow = workflow, .wants_port = port}, world_on_started, a);
}

HZ_UNUSED static void world_forget(struct world_answer *a)
{
    hz_store_execution_fini(&a->row);
}

#endif
