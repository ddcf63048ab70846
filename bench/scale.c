/* scale.c - a thousand idle workers: what they weigh, what they cost, and how long the dashboard's JSON takes. */
#include "manager.h"

#include "core/api/json.h"
#include "core/registry.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define WORKERS 1000u

struct result {
    double idle_percent, pss_mib, dashboard_ms, start_s;
};

static double total_cpu_s(const struct hz_worker_info *infos, size_t count)
{
    double sum = hz_bench_cpu_s(getpid());
    for (size_t i = 0; i < count; i++)
        sum += hz_bench_cpu_s(infos[i].pid);
    return sum;
}

static bool drive(const struct hz_config *config, void *arg)
{
    struct result *result = arg;
    char *text = hz_bench_chain("manual_trigger", 5, "{\"isolation\":\"resident\",\"threads\":1}", NULL, NULL);
    struct hz_workflow *workflow = hz_bench_workflow("idle", text);
    (void)config;
    free(text);
    if (!workflow)
        return false;
    uint64_t begun = hz_base_now_ns();
    for (unsigned i = 0; i < WORKERS; i++) {
        struct hz_uuid worker;
        if (hz_bench_worker_start(workflow, &worker) == 0)
            return false;
    }
    result->start_s = (double)(hz_base_now_ns() - begun) / 1e9;
    struct hz_worker_info *infos;
    size_t count;
    if (hz_registry_list(NULL, &infos, &count) || count != WORKERS)
        return hz_bench_skip("%zu workers are listed", count);
    sleep(1);
    double cpu = total_cpu_s(infos, count), pss = 0, ms[21];
    sleep(4);
    result->idle_percent = (total_cpu_s(infos, count) - cpu) / 4 * 100;
    for (unsigned i = 0; i < 20; i++)
        pss += hz_bench_pss_mib(infos[(size_t)i * (WORKERS / 20)].pid);
    result->pss_mib = pss / 20;
    for (size_t i = 0; i < HZ_COUNT_OF(ms); i++) {
        size_t len;
        begun = hz_base_now_ns();
        char *json = hz_api_dashboard_json(&len);
        ms[i] = (double)(hz_base_now_ns() - begun) / 1e6;
        if (!json || len < (size_t)WORKERS * 50)
            return hz_bench_skip("the dashboard is too short");
        free(json);
    }
    result->dashboard_ms = hz_bench_median(ms, HZ_COUNT_OF(ms));
    free(infos);
    hz_workflow_unref(&workflow);
    return true;
}

static bool run(struct result **ret_result)
{
    struct hz_bench_manager options = {.spares = 2, .drive = drive};
    *ret_result = hz_bench_shared(sizeof **ret_result);
    return hz_bench_manager_run(&options, *ret_result);
}

static bool idle_1000(struct hz_bench_pair *ret_pair)
{
    struct result *result;
    bool good = run(&result);
    ret_pair->ours = result->idle_percent;
    return good;
}

static bool pss_1000(struct hz_bench_pair *ret_pair)
{
    struct result *result;
    bool good = run(&result);
    ret_pair->ours = result->pss_mib;
    return good;
}

static bool dashboard_1000(struct hz_bench_pair *ret_pair)
{
    struct result *result;
    bool good = run(&result);
    ret_pair->ours = result->dashboard_ms;
    return good;
}

int main(int argc, char **argv)
{
    static const struct hz_bench_row rows[] = {
            {"dashboard_1000", "ms", false, 1.0, HZ_BENCH_OURS, "none", dashboard_1000, 0, false},
            {"idle_1000", "% of a CPU", false, 1.0, HZ_BENCH_OURS, "none", idle_1000, 0, false},
            {"pss_1000", "MiB", false, 1.0, HZ_BENCH_OURS, "none", pss_1000, 0, false},
    };
    return hz_bench_main(argc, argv, rows, HZ_COUNT_OF(rows));
}
