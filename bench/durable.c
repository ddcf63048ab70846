/* durable.c - what durability costs: executions committed before they are accepted, steps that are on disk before the next one, and
 * jobs that wait in a queue which survives. One at a time against the disk's fdatasync, many at once against bare SQLite. */
#include "bare.h"
#include "manager.h"

#include <stdlib.h>

#define MANY 20000u
#define AT_ONCE 10000u
#define ONE_BY_ONE 200u

#define EXECUTION "{\"isolation\":\"resident\",\"threads\":1,\"durability\":\"execution\"}"
#define CHECKPOINT "{\"isolation\":\"resident\",\"threads\":1,\"durability\":\"checkpoint\"}"
#define QUEUED "{\"isolation\":\"resident\",\"threads\":1,\"durability\":\"execution\",\"concurrency\":64,\"queue\":20000}"

struct job {
    const char *type, *settings; /* of the four nodes behind the first one; of the flow */
    bool acknowledge;            /* the time until it is accepted, not until it is over */
    unsigned updates;            /* of a row in the reference */
    double ours, reference;
};

static struct hz_workflow *flow_of(const struct job *job)
{
    char *text = hz_bench_chain(job->type, 4, job->settings, NULL, NULL);
    struct hz_workflow *workflow = hz_bench_workflow("durable", text);
    free(text);
    return workflow;
}

static bool drive_many(const struct hz_config *config, void *arg)
{
    struct job *job = arg;
    struct hz_workflow *workflow = flow_of(job);
    if (!workflow)
        return false;
    double seconds = hz_bench_executions(workflow, MANY / 10, AT_ONCE) > 0 ? hz_bench_executions(workflow, MANY, AT_ONCE) : 0;
    hz_workflow_unref(&workflow);
    job->ours = seconds > 0 ? MANY / seconds : 0;
    job->reference = hz_bench_bare_rate(config->data_dir, MANY, job->updates);
    return job->ours > 0 && job->reference > 0;
}

static bool drive_single(const struct hz_config *config, void *arg)
{
    struct job *job = arg;
    struct hz_workflow *workflow = flow_of(job);
    double ms[ONE_BY_ONE];
    if (!workflow)
        return false;
    bool good = hz_bench_executions(workflow, 20, 1) > 0;
    for (unsigned i = 0; i < ONE_BY_ONE && good; i++) {
        ms[i] = 1e3 * (job->acknowledge ? hz_bench_acknowledged(workflow) : hz_bench_executions(workflow, 1, 1));
        good = ms[i] > 0;
    }
    hz_workflow_unref(&workflow);
    job->ours = good ? hz_bench_median(ms, ONE_BY_ONE) : 0;
    job->reference = hz_bench_sync_ms(config->data_dir);
    return good && job->reference > 0;
}

static bool measure(const struct job *what, bool (*drive)(const struct hz_config *, void *), struct hz_bench_pair *ret_pair)
{
    struct hz_bench_manager options = {.nodes = HZ_BENCH_NODES "/../bench-nodes", .drive = drive};
    struct job *job = hz_bench_shared(sizeof *job);
    *job = *what; /* its texts are the program's: the same in the child */
    bool good = hz_bench_manager_run(&options, job);
    *ret_pair = (struct hz_bench_pair){job->ours, job->reference};
    return good;
}

static bool execute_ack(struct hz_bench_pair *ret_pair)
{
    return measure(&(struct job){.type = "bench_noop", .settings = EXECUTION, .acknowledge = true}, drive_single, ret_pair);
}

static bool durable_one(struct hz_bench_pair *ret_pair)
{
    return measure(&(struct job){.type = "bench_noop", .settings = EXECUTION}, drive_single, ret_pair);
}

static bool durable_exec(struct hz_bench_pair *ret_pair)
{
    return measure(&(struct job){.type = "bench_noop", .settings = EXECUTION, .updates = 1}, drive_many, ret_pair);
}

static bool queue_jobs(struct hz_bench_pair *ret_pair)
{
    return measure(&(struct job){.type = "bench_noop", .settings = QUEUED, .updates = 2}, drive_many, ret_pair);
}

static bool checkpoint_3(struct hz_bench_pair *ret_pair)
{
    return measure(&(struct job){.type = "bench_noop", .settings = CHECKPOINT}, drive_single, ret_pair);
}

static bool checkpoint_many(struct hz_bench_pair *ret_pair)
{
    return measure(&(struct job){.type = "bench_noop", .settings = CHECKPOINT, .updates = 4}, drive_many, ret_pair);
}

int main(int argc, char **argv)
{
    static const struct hz_bench_row rows[] = {
            {.name = "execute_ack", .unit = "ms", .reach = 2, .reference = "fdatasync of the same disk", .run = execute_ack, .runs = 3},
            {.name = "durable_one", .unit = "ms", .reach = 3, .reference = "fdatasync of the same disk", .run = durable_one, .runs = 3},
            {.name = "durable_exec", .unit = "executions/s", .higher_is_better = true, .reach = 0.6,
                    .reference = "SQLite, the same two writes of a row each, 100 a commit", .run = durable_exec, .runs = 3},
            {.name = "queue_jobs", .unit = "executions/s", .higher_is_better = true, .reach = 0.6,
                    .reference = "SQLite, three writes of a row each (put, take, done), 100 a commit", .run = queue_jobs, .runs = 3},
            {.name = "checkpoint_3", .unit = "ms", .reach = 4, .reference = "fdatasync of the same disk", .run = checkpoint_3, .runs = 3},
            {.name = "checkpoint_many", .unit = "executions/s", .higher_is_better = true, .reach = 20000, .reach_of = HZ_BENCH_OURS,
                    .reference = "SQLite, five writes of a row each, 100 a commit", .run = checkpoint_many, .runs = 3},
    };
    return hz_bench_main(argc, argv, rows, HZ_COUNT_OF(rows));
}
