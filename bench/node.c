/*
 * node.c - what one run of a trivial node costs in the worker, in a chain of 5 and of 5,000 nodes: an execution that goes round
 * the chain so often that its beginning and end do not count.
 */
#include "manager.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RUNS_WANTED 2000000u

struct result {
    double ns_5, ns_5000;
    bool long_too;
};

/* repeat -> noop x (count - 1) -> back to repeat, `times` times. */
static char *loop_flow(uint32_t count, uint32_t times)
{
    char *text = NULL;
    size_t len;
    FILE *f = open_memstream(&text, &len);
    if (!f)
        return NULL;
    fprintf(f, "{\"info\":{\"uid\":\"loop\",\"name\":\"loop\"},\"properties\":{\"basic\":{\"router\":\"\"},\"horizon\":{\"isolation\":\"resident\","
               "\"durability\":\"none\",\"threads\":1}},\"version\":\"0.0.1\",\"nodes\":{\"i\":{\"type\":\"workflow_init\",\"properties\":{}},"
               "\"n0\":{\"type\":\"bench_repeat\",\"properties\":{\"times\":{\"value\":%u}}}", times);
    for (uint32_t i = 1; i < count; i++)
        fprintf(f, ",\"n%u\":{\"type\":\"bench_noop\",\"properties\":{}}", i);
    fprintf(f, "},\"connections\":[{\"idNodeOrigin\":\"i\",\"connectorOriginName\":\"init\",\"idNodeDestiny\":\"n0\",\"connectorDestinyName\":\"input\"}");
    for (uint32_t i = 0; i < count; i++)
        fprintf(f, ",{\"idNodeOrigin\":\"n%u\",\"connectorOriginName\":\"response\",\"idNodeDestiny\":\"n%u\",\"connectorDestinyName\":\"input\"}", i,
                (i + 1) % count);
    fprintf(f, "]}");
    fclose(f);
    return text;
}

static double measure(const char *id, uint32_t count)
{
    uint32_t times = RUNS_WANTED / count;
    char *text = loop_flow(count, times);
    struct hz_workflow *workflow = hz_bench_workflow(id, text);
    free(text);
    if (!workflow || hz_bench_executions(workflow, 1, 1) == 0) /* the first one starts the worker */
        return 0;
    double seconds = hz_bench_executions(workflow, 1, 1);
    hz_workflow_unref(&workflow);
    return seconds * 1e9 / ((double)times * count);
}

static bool drive(const struct hz_config *config, void *arg)
{
    struct result *result = arg;
    (void)config;
    result->ns_5 = measure("loop5", 5);
    if (result->long_too)
        result->ns_5000 = measure("loop5000", 5000);
    return result->ns_5 > 0 && (!result->long_too || result->ns_5000 > 0);
}

static bool run(struct result *result)
{
    char nodes[4096];
    ssize_t n = readlink("/proc/self/exe", nodes, sizeof nodes - 64);
    if (n <= 0)
        return hz_bench_skip("no /proc");
    nodes[n] = 0;
    char *bin = strrchr(nodes, '/');
    snprintf(bin, 64, "/../lib/horizon/bench-nodes");
    struct hz_bench_manager options = {.spares = 0, .nodes = nodes, .drive = drive};
    return hz_bench_manager_run(&options, result);
}

static bool node_run(struct hz_bench_pair *ret_pair)
{
    struct result *result = hz_bench_shared(sizeof *result);
    bool good = run(result);
    ret_pair->ours = result->ns_5;
    return good;
}

static bool node_run_5000(struct hz_bench_pair *ret_pair)
{
    struct result *result = hz_bench_shared(sizeof *result);
    result->long_too = true;
    bool good = run(result);
    ret_pair->ours = result->ns_5000;
    ret_pair->reference = result->ns_5;
    return good;
}

int main(int argc, char **argv)
{
    static const struct hz_bench_row rows[] = {
            {"node_run", "ns", false, 250, HZ_BENCH_OURS, "none", node_run, 0, false},
            {"node_run_5000", "ns", false, 1.5, HZ_BENCH_RATIO, "node_run", node_run_5000, 0, false},
    };
    return hz_bench_main(argc, argv, rows, HZ_COUNT_OF(rows));
}
