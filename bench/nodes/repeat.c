/* repeat.c - sends its payload `times` times around the loop drawn from `response` back to `input`, then once on `finish`. */
#include <horizon/node.h>

static int repeat_run(hz_call *call)
{
    const hz_value *state = hz_state_get(call);
    double done = state ? hz_as_num(state) : 0;
    if (done >= hz_param_num(call, "times", 1))
        return hz_emit(call, "finish", hz_input(call));
    int err = hz_state_set(call, hz_num(call, done + 1));
    return err ? err : hz_emit(call, "response", hz_input(call));
}

HZ_NODE(.type = "bench_repeat", .title = "Repeat", .group = "Bench", .desc = "Sends its payload round a loop", .version = "1.0.0",
        .flags = HZ_NODE_CONCURRENT, .inputs = HZ_NAMES("input"), .outputs = HZ_NAMES("response", "finish"),
        .properties = HZ_PROPERTIES({"times", "number", "Times", "1", NULL, NULL}), .run = repeat_run)
