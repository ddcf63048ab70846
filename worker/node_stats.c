/*
 * node_stats.c - counts by node, in an array of the execution that is made with its first run. Without memory for it the
 * execution is billed as a whole all the same. Worker, the thread that owns the execution.
 */
#include "node_stats.h"
#include "call.h"
#include "report.h"
#include "worker.h"

#include <stdlib.h>

uint64_t hz_node_stats_begin(struct hz_execution *execution)
{
    if (__builtin_expect(!execution->worker->node_stats || execution->finished, 1))
        return 0;
    if (!execution->node_stats)
        execution->node_stats = calloc(execution->worker->site_count, sizeof(*execution->node_stats));
    return hz_base_now_ns();
}

void hz_node_stats_add(struct hz_call *call, uint64_t since_ns, int64_t bytes_before, bool first)
{
    struct hz_execution *execution = call->execution;
    if (__builtin_expect(!execution->node_stats || execution->finished, 1))
        return;
    struct hz_msg_node_run *run = &execution->node_stats[call->site->index];
    int64_t held = call->owner->memory.bytes - bytes_before;
    run->runs += first;
    run->time_ns += hz_base_now_ns() - since_ns;
    if (held > 0)
        run->peak_bytes = HZ_MAX(run->peak_bytes, (uint64_t)held);
}

void hz_node_stats_error(struct hz_call *call)
{
    if (call->execution->node_stats && !call->execution->finished)
        call->execution->node_stats[call->site->index].errors++;
}

void hz_node_stats_report(struct hz_execution *execution)
{
    struct hz_msg_node_run *runs = execution->node_stats;
    size_t count = 0;
    if (!runs)
        return;
    for (uint32_t i = 0; i < execution->worker->site_count; i++)
        if (runs[i].runs > 0) {
            runs[count] = runs[i];
            runs[count++].node = i;
        }
    struct hz_msg_node_runs head = {.execution = execution->number, .runs_len = count * sizeof(*runs)};
    struct hz_part parts[] = {{&head, sizeof(head)}, {runs, head.runs_len}};
    (void)hz_report_send(execution->thread, HZ_MSG_NODE_RUNS, parts, HZ_COUNT_OF(parts), 0);
    free(runs);
    execution->node_stats = NULL;
}
