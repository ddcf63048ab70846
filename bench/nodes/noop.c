/* noop.c - the trivial node: passes its payload on. For bench/node.c only. */
#include <horizon/node.h>

static int noop_run(hz_call *call)
{
    return hz_emit(call, "response", hz_input(call));
}

HZ_NODE(.type = "bench_noop", .title = "No-op", .group = "Bench", .desc = "Passes its payload on", .version = "1.0.0",
        .flags = HZ_NODE_CONCURRENT, .inputs = HZ_NAMES("input"), .outputs = HZ_NAMES("response"), .run = noop_run)
