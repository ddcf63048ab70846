/*
 * node_stats.h - for flows with `nodeStats`: what each node of an execution did. Worker, the thread that owns the execution.
 */
#ifndef HZ_WORKER_NODE_STATS_H
#define HZ_WORKER_NODE_STATS_H

#include "executor.h"

struct hz_call;

/* Before a part of a node's work: the time now, 0 when nobody asks. One branch then. */
uint64_t hz_node_stats_begin(struct hz_execution *execution);
/* After it. bytes_before: the thread's memory at the beginning; first: a run begins with it. Time that a node waits in between is in no
 * part; a blocking node's is from its way to a blocking thread to its return. */
void hz_node_stats_add(struct hz_call *call, uint64_t since_ns, int64_t bytes_before, bool first);
void hz_node_stats_error(struct hz_call *call);
/* NODE_RUNS with the nodes that ran; frees the figures. The execution is over, FINISHED follows. */
void hz_node_stats_report(struct hz_execution *execution);

#endif
