/* teller - tells its progress `count` times, each `pause` milliseconds: percentages from 0 up, the last one 100. A test's node. */
#include <horizon/node.h>
#include <time.h>

static int teller_run(hz_call *call)
{
    int count = (int)hz_param_num(call, "count", 100), pause = (int)hz_param_num(call, "pause", 10);
    for (int i = 1; i <= count; i++) {
        int err = hz_tell_progress(call, "step", i == count ? 100 : 100.0 * i / (count + 1), i == count ? "done" : NULL);
        if (err != HZ_OK)
            return hz_fail(call, "report %d was not taken: %d", i, err);
        if (i < count)
            (void)nanosleep(&(struct timespec){.tv_nsec = pause * 1000000L}, NULL);
    }
    return hz_emit(call, "response", hz_object(call));
}

HZ_NODE(.type = "teller", .title = "Teller", .group = "Test", .flags = HZ_NODE_CONCURRENT, .inputs = HZ_NAMES("input"),
        .outputs = HZ_NAMES("response"), .run = teller_run,
        .properties = HZ_PROPERTIES({.key = "count", .type = "number", .name = "Count", .value = "100"},
                {.key = "pause", .type = "number", .name = "Pause", .value = "10"}))
