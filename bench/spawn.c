/* spawn.c - how long a worker takes from request to ready, and what an idle one weighs. */
#include "fork.h"
#include "manager.h"

#include "core/registry.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define STARTS 60u

struct result {
    double start_ns, pss_mib;
    bool cold;
};

static bool drive(const struct hz_config *config, void *arg)
{
    struct result *result = arg;
    double ns[STARTS];
    char *text = hz_bench_chain("manual_trigger", 5, result->cold ? "{\"isolation\":\"resident\",\"threads\":1,\"segmentBytes\":262145}"
                                                                   : "{\"isolation\":\"resident\",\"threads\":1}", NULL, NULL);
    struct hz_workflow *workflow = hz_bench_workflow("start", text);
    (void)config;
    free(text);
    if (!workflow)
        return false;
    usleep(300000); /* spares are made */
    for (unsigned i = 0; i < STARTS; i++) {
        struct hz_uuid worker;
        ns[i] = hz_bench_worker_start(workflow, &worker);
        if (ns[i] == 0)
            return false;
        if (i == 0) {
            struct hz_worker_info info;
            usleep(200000);
            result->pss_mib = hz_registry_get(&worker, &info) ? hz_bench_pss_mib(info.pid) : 0;
        }
        if (!hz_bench_worker_stop(&worker))
            return hz_bench_skip("a worker did not stop by itself");
        usleep(20000); /* the next spare is ready */
    }
    result->start_ns = hz_bench_median(ns, STARTS);
    hz_workflow_unref(&workflow);
    return true;
}

static bool run(bool cold, struct result **ret_result)
{
    struct hz_bench_manager options = {.spares = cold ? 0 : 2, .drive = drive};
    *ret_result = hz_bench_shared(sizeof **ret_result);
    (*ret_result)->cold = cold;
    return hz_bench_manager_run(&options, *ret_result);
}

static bool worker_start(struct hz_bench_pair *ret_pair)
{
    struct result *result;
    ret_pair->reference = hz_bench_fork_ns(200) / 1e6;
    bool good = run(false, &result);
    ret_pair->ours = result->start_ns / 1e6;
    return good && ret_pair->reference > 0;
}

static bool worker_start_cold(struct hz_bench_pair *ret_pair)
{
    struct result *result;
    ret_pair->reference = hz_bench_cold_fork_ns(200) / 1e6;
    bool good = run(true, &result);
    ret_pair->ours = result->start_ns / 1e6;
    return good && ret_pair->reference > 0;
}

static bool worker_pss(struct hz_bench_pair *ret_pair)
{
    struct result *result;
    bool good = run(false, &result);
    ret_pair->ours = result->pss_mib;
    return good && result->pss_mib > 0;
}

int main(int argc, char **argv)
{
    static const struct hz_bench_row rows[] = {
            {"worker_start", "ms", false, 1.0, HZ_BENCH_RATIO, "bare fork + exit + wait of the zygote's child", worker_start, 0, false},
            {"worker_start_cold", "ms", false, 1.3, HZ_BENCH_RATIO, "fork with segment, handlers and sandbox", worker_start_cold, 0, false},
            {"worker_pss", "MiB", false, 1.0, HZ_BENCH_OURS, "none", worker_pss, 0, false},
    };
    return hz_bench_main(argc, argv, rows, HZ_COUNT_OF(rows));
}
