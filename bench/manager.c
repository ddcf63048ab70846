/*
 * manager.c - see manager.h. The manager's zygotes follow the thread that started them, so the manager is a process of its own
 * whose main thread runs it; the driver posts work to shard 0, where the callbacks come back.
 */
#include "manager.h"

#include "core/manager.h"
#include "core/scheduler.h"
#include "core/shard.h"
#include "core/supervisor.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <signal.h>
#include <unistd.h>
#include <urcu/urcu-memb.h>

static struct {
    const struct hz_bench_manager *options;
    struct hz_config config;
    void *result;
    bool good;
} host;

static void *drive(void *arg)
{
    (void)arg;
    urcu_memb_register_thread();
    host.good = host.options->drive(&host.config, host.result);
    urcu_memb_unregister_thread();
    hz_manager_stop(host.good ? 0 : 1);
    return NULL;
}

static void started(void *arg)
{
    pthread_t thread;
    (void)arg;
    if (pthread_create(&thread, NULL, drive, NULL) || pthread_detach(thread))
        hz_manager_stop(1);
}

static int run_child(const struct hz_bench_manager *options, void *result, const char *dir)
{
    char number[16];
    int lock_fd;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    snprintf(number, sizeof number, "%u", options->spares);
    setenv("HORIZON_SPARES", number, 1);
    setenv("SERVER_CLUSTERS", "1", 0);
    setenv("HORIZON_ADMIN_PASSWORD", "a password for benchmarks", 0); /* none is drawn and shown */
    if (options->nodes)
        setenv("HORIZON_NODES", options->nodes, 1);
    host.options = options;
    host.result = result;
    hz_log_set_level(HZ_LOG_ERROR);
    if (hz_config_load(&host.config) || hz_config_open_data(&host.config, dir, &lock_fd)) {
        fprintf(stderr, "%s\n", hz_err_last());
        return 1;
    }
    host.config.server_port = 0;
    struct hz_manager_options run = {.http = options->http, .quiet = true, .started = started};
    return hz_manager_run(&host.config, &run);
}

bool hz_bench_manager_run(const struct hz_bench_manager *options, void *result)
{
    char dir[] = "/tmp/horizon-bench-XXXXXX";
    if (!mkdtemp(dir))
        return hz_bench_skip("no temporary directory");
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0)
        _exit(run_child(options, result, dir));
    int status = -1;
    bool waited = pid > 0 && waitpid(pid, &status, 0) == pid;
    pid_t remover = fork();
    if (remover == 0) {
        execlp("rm", "rm", "-rf", dir, (char *)NULL);
        _exit(127);
    }
    if (remover > 0)
        (void)waitpid(remover, NULL, 0);
    if (!waited || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return hz_bench_skip("the manager ended with status %d", status);
    return true;
}

char *hz_bench_chain(const char *type, uint32_t count, const char *settings, const char *first_type, const char *first_properties)
{
    char *text = NULL;
    size_t len = 0;
    FILE *f = open_memstream(&text, &len);
    if (!f)
        return NULL;
    fprintf(f, "{\"info\":{\"uid\":\"bench\",\"name\":\"bench\"},\"properties\":{\"basic\":{\"router\":\"\"},\"horizon\":%s},\"version\":\"0.0.1\",\"nodes\":{",
            settings ? settings : "{}");
    fprintf(f, "\"n0\":{\"type\":\"workflow_init\",\"name\":\"n0\",\"properties\":{}}");
    for (uint32_t i = 1; i < count; i++)
        fprintf(f, ",\"n%u\":{\"type\":\"%s\",\"name\":\"n%u\",\"properties\":%s}", i, i == 1 && first_type ? first_type : type, i,
                i == 1 && first_properties ? first_properties : "{}");
    fprintf(f, "},\"connections\":[");
    for (uint32_t i = 0; i + 1 < count; i++)
        fprintf(f, "%s{\"idNodeOrigin\":\"n%u\",\"connectorOriginName\":\"%s\",\"idNodeDestiny\":\"n%u\",\"connectorDestinyName\":\"input\"}",
                i ? "," : "", i, i == 0 ? "init" : strcmp(i == 1 && first_type ? first_type : type, "data_transformer") == 0 ? "output" : "response",
                i + 1);
    fprintf(f, "]}");
    fclose(f);
    return text;
}

struct hz_workflow *hz_bench_workflow(const char *id, const char *text)
{
    char version[32], *findings = NULL;
    struct hz_workflow *workflow = NULL;
    if (!text || hz_workflows_put(id, text, strlen(text), "bench", version, &findings) || hz_workflows_get(id, NULL, &workflow, &findings)) {
        (void)hz_bench_skip("flow %s: %s", id, findings ? findings : hz_err_last());
        free(findings);
        return NULL;
    }
    return workflow;
}

/* ---- executions ---- */

struct load {
    struct hz_mail mail;
    struct hz_workflow *workflow;
    uint32_t total, in_flight;
    uint32_t submitted, finished, failed; /* shard 0 only */
    uint64_t begun_ns, accepted_ns, ended_ns; /* accepted: the last one */
    pthread_mutex_t lock; /* `done` */
    pthread_cond_t more;
    bool done;
};

static void submit_more(struct load *load);

static void end_if_done(struct load *load)
{
    if (load->finished < load->total)
        return;
    pthread_mutex_lock(&load->lock);
    load->ended_ns = hz_base_now_ns();
    load->done = true;
    pthread_cond_signal(&load->more);
    pthread_mutex_unlock(&load->lock);
}

static void accepted(void *arg, const struct hz_uuid *execution, const struct hz_worker_info *worker, const char *error, uint32_t retry_after_s)
{
    struct load *load = arg;
    (void)execution;
    (void)worker;
    (void)retry_after_s;
    load->accepted_ns = hz_base_now_ns();
    if (!error)
        return;
    load->failed++;
    load->finished++;
    end_if_done(load);
}

static void finished(void *arg, const struct hz_store_execution *row)
{
    struct load *load = arg;
    load->finished++;
    load->failed += row->state != HZ_EXEC_SUCCESS;
    submit_more(load);
    end_if_done(load);
}

static void submit_more(struct load *load)
{
    while (load->submitted < load->total && load->submitted - load->finished < load->in_flight) {
        struct hz_submit submit = {.workflow = load->workflow, .data = "{}", .data_len = 2, .trigger = "bench"};
        load->submitted++;
        hz_workflow_ref(load->workflow);
        hz_scheduler_submit(&submit, accepted, finished, load);
    }
}

static void run_load(struct hz_mail *mail)
{
    struct load *load = HZ_CONTAINER_OF(mail, struct load, mail);
    load->begun_ns = hz_base_now_ns();
    submit_more(load);
}

static bool run_and_wait(struct load *load)
{
    load->mail.run = run_load;
    pthread_mutex_init(&load->lock, NULL);
    pthread_cond_init(&load->more, NULL);
    hz_shard_post(hz_shard_at(0), &load->mail);
    pthread_mutex_lock(&load->lock);
    while (!load->done)
        pthread_cond_wait(&load->more, &load->lock);
    pthread_mutex_unlock(&load->lock);
    return load->failed == 0 || hz_bench_skip("%u of %u executions did not end in success", load->failed, load->total);
}

double hz_bench_executions(struct hz_workflow *workflow, uint32_t total, uint32_t in_flight)
{
    struct load load = {.workflow = workflow, .total = total, .in_flight = in_flight};
    return run_and_wait(&load) ? (double)(load.ended_ns - load.begun_ns) / 1e9 : 0;
}

double hz_bench_acknowledged(struct hz_workflow *workflow)
{
    struct load load = {.workflow = workflow, .total = 1, .in_flight = 1};
    return run_and_wait(&load) ? (double)(load.accepted_ns - load.begun_ns) / 1e9 : 0;
}

/* ---- workers ---- */

struct start {
    struct hz_mail mail;
    struct hz_workflow *workflow;
    struct hz_uuid worker;
    bool stop, good;
    uint64_t begun_ns, ended_ns;
    pthread_mutex_t lock;
    pthread_cond_t more;
    bool done;
};

static void wake_start(struct start *start, bool good)
{
    pthread_mutex_lock(&start->lock);
    start->ended_ns = hz_base_now_ns();
    start->good = good;
    start->done = true;
    pthread_cond_signal(&start->more);
    pthread_mutex_unlock(&start->lock);
}

static void worker_started(void *arg, const struct hz_worker_info *info, const char *error)
{
    struct start *start = arg;
    if (info)
        start->worker = info->id;
    if (error)
        (void)hz_bench_skip("%s", error);
    wake_start(start, error == NULL);
}

static void worker_stopped(void *arg, enum hz_stop_how how)
{
    wake_start(arg, how == HZ_STOP_FLAG);
}

static void run_start(struct hz_mail *mail)
{
    struct start *start = HZ_CONTAINER_OF(mail, struct start, mail);
    start->begun_ns = hz_base_now_ns();
    if (start->stop) {
        hz_supervisor_stop(&start->worker, "bench", worker_stopped, start);
        return;
    }
    struct hz_start_options options = {.workflow = hz_workflow_ref(start->workflow)};
    hz_supervisor_start(&options, worker_started, start);
}

static void wait_start(struct start *start)
{
    start->mail.run = run_start;
    pthread_mutex_init(&start->lock, NULL);
    pthread_cond_init(&start->more, NULL);
    hz_shard_post(hz_shard_at(0), &start->mail);
    pthread_mutex_lock(&start->lock);
    while (!start->done)
        pthread_cond_wait(&start->more, &start->lock);
    pthread_mutex_unlock(&start->lock);
    pthread_mutex_destroy(&start->lock);
    pthread_cond_destroy(&start->more);
}

double hz_bench_worker_start(struct hz_workflow *workflow, struct hz_uuid *ret_worker)
{
    struct start start = {.workflow = workflow};
    wait_start(&start);
    *ret_worker = start.worker;
    return start.good ? (double)(start.ended_ns - start.begun_ns) : 0;
}

bool hz_bench_worker_stop(const struct hz_uuid *worker)
{
    struct start start = {.worker = *worker, .stop = true};
    wait_start(&start);
    return start.good;
}

/* ---- what the kernel says ---- */

double hz_bench_cpu_s(int pid)
{
    char path[64], text[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *f = fopen(path, "re");
    size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;
    if (f)
        fclose(f);
    text[n] = 0;
    char *p = strrchr(text, ')');
    unsigned long long user = 0, system = 0;
    if (!p || sscanf(p, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", &user, &system) != 2)
        return 0;
    return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}
