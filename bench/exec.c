/* exec.c - executions of five nodes: in a resident worker, and each in a fresh one. */
#include "fork.h"
#include "manager.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define PACED 60u
#define IN_FLIGHT 16u /* isolated ones at once, ours and the floor's */

struct result {
    bool resident;
    bool paced; /* one at a time, the next after the spares are warm again */
    uint32_t total, in_flight;
    double seconds, median_s;
};

static bool drive(const struct hz_config *config, void *arg)
{
    struct result *result = arg;
    char *text = hz_bench_chain("manual_trigger", 5, result->resident ? "{\"isolation\":\"resident\",\"threads\":1,\"durability\":\"none\"}"
                                                                       : "{\"isolation\":\"isolated\",\"durability\":\"none\"}", NULL, NULL);
    struct hz_workflow *workflow = hz_bench_workflow("five", text);
    (void)config;
    free(text);
    if (!workflow)
        return false;
    usleep(300000);
    if (hz_bench_executions(workflow, result->total / 10 + 1, result->in_flight) == 0)
        return false;
    if (result->paced) {
        double seconds[PACED];
        bool good = true;
        for (unsigned i = 0; i < PACED && good; i++) {
            usleep(20000);
            seconds[i] = hz_bench_executions(workflow, 1, 1);
            good = seconds[i] > 0;
        }
        result->median_s = good ? hz_bench_median(seconds, PACED) : 0;
        hz_workflow_unref(&workflow);
        return good;
    }
    result->seconds = hz_bench_executions(workflow, result->total, result->in_flight);
    hz_workflow_unref(&workflow);
    return result->seconds > 0;
}

static double rate(bool resident, uint32_t total, uint32_t in_flight, uint32_t spares)
{
    struct hz_bench_manager options = {.spares = spares, .drive = drive};
    struct result *result = hz_bench_shared(sizeof *result);
    result->resident = resident;
    result->total = total;
    result->in_flight = in_flight;
    return hz_bench_manager_run(&options, result) ? total / result->seconds : 0;
}

static bool exec_resident(struct hz_bench_pair *ret_pair)
{
    ret_pair->ours = rate(true, 300000, 512, 0);
    return ret_pair->ours > 0;
}

/* One after the other without a pause: each waits for the birth of the worker it uses. */
static bool exec_isolated(struct hz_bench_pair *ret_pair)
{
    ret_pair->reference = hz_bench_fork_ns(200) / 1e6;
    double per_second = rate(false, 300, 1, 2);
    ret_pair->ours = per_second > 0 ? 1e3 / per_second : 0;
    return per_second > 0 && ret_pair->reference > 0;
}

/* Now and then one, as worker_start: each finds a warm spare. */
static bool exec_isolated_spare(struct hz_bench_pair *ret_pair)
{
    struct hz_bench_manager options = {.spares = 2, .drive = drive};
    struct result *result = hz_bench_shared(sizeof *result);
    result->paced = true;
    result->total = result->in_flight = 1;
    ret_pair->reference = hz_bench_fork_ns(200) / 1e6;
    bool good = hz_bench_manager_run(&options, result);
    ret_pair->ours = result->median_s * 1e3;
    return good && result->median_s > 0 && ret_pair->reference > 0;
}

static bool exec_isolated_rate(struct hz_bench_pair *ret_pair)
{
    ret_pair->reference = hz_bench_cold_fork_rate(1500, IN_FLIGHT);
    ret_pair->ours = rate(false, 1500, IN_FLIGHT, 2);
    return ret_pair->ours > 0 && ret_pair->reference > 0;
}

int main(int argc, char **argv)
{
    static const struct hz_bench_row rows[] = {
            {"exec_resident", "executions/s", true, 200000, HZ_BENCH_OURS, "none", exec_resident, 0, false},
            {"exec_isolated", "ms", false, 1.5, HZ_BENCH_RATIO, "bare fork + exit + wait of the zygote's child", exec_isolated, 0, false},
            {"exec_isolated_spare", "ms", false, 1.5, HZ_BENCH_RATIO, "bare fork + exit + wait of the zygote's child", exec_isolated_spare, 0, false},
            {"exec_isolated_rate", "executions/s", true, 0.8, HZ_BENCH_RATIO, "fork with segment, handlers and sandbox, 16 at once", exec_isolated_rate, 0, false},
    };
    return hz_bench_main(argc, argv, rows, HZ_COUNT_OF(rows));
}
