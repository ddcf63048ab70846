/*
 * counter - two kinds of memory. `run` counts the runs of this node within one execution (state kept by the host,
 * survives checkpoints), `total` those of all executions in this worker (memory of the node, begins at 0 in every
 * worker).
 *
 * `total` is an atomic because the node declares HZ_NODE_CONCURRENT: relaxed increments are enough for a count.
 */
#include <horizon/node.h>
#include <stdatomic.h>

struct counter {
    _Atomic uint64_t total;
};

static int counter_run(hz_call *call)
{
    struct counter *counter = hz_self(call);
    double run = hz_state_get(call) ? hz_as_num(hz_state_get(call)) + 1 : 1;
    int r = hz_state_set(call, hz_num(call, run));
    if (r != HZ_OK)
        return r;
    uint64_t total = atomic_fetch_add_explicit(&counter->total, 1, memory_order_relaxed) + 1;
    hz_value *data = hz_object(call);
    if (!data || hz_set(data, "run", hz_num(call, run)) != HZ_OK)
        return HZ_ERR_NOMEM;
    if (hz_set(data, "total", hz_int(call, (int64_t)total)) != HZ_OK)
        return HZ_ERR_NOMEM;
    return hz_emit(call, run < hz_param_num(call, "until", 3) ? "again" : "done", data);
}

HZ_NODE(.type = "counter", .title = "Counter", .group = "Examples", .desc = "Counts its runs", .icon = "\U000F0199",
        .color = "#16A085", .version = "1.0.0", .author = "Horizon", .license = "Apache-2.0",
        .flags = HZ_NODE_SINGLETON | HZ_NODE_CONCURRENT, .self_size = sizeof(struct counter),
        .inputs = HZ_NAMES("input"), .outputs = HZ_NAMES("again", "done"), .run = counter_run,
        .properties = HZ_PROPERTIES({.key = "until", .type = "number", .name = "Until", .value = "3"}))
