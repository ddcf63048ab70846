/*
 * delay - waits, then passes its payload on. Holds no thread meanwhile; any number of waits overlap.
 */
#include "text.h"

/* Longer waits end here: a century in milliseconds, far below what a timer can count. */
#define LONGEST_MS 3155760000000.0

static int pass_on(hz_call *call, void *arg)
{
    (void)arg;
    return hz_emit(call, "response", hz_input(call));
}

static int delay_run(hz_call *call)
{
    double ms = value_number(hz_param(call, "delay"), 0) * 1000;
    if (!(ms > 0)) /* also NaN */
        return pass_on(call, NULL);
    if (ms > LONGEST_MS)
        ms = LONGEST_MS;
    uint64_t whole = (uint64_t)ms;
    if ((double)whole < ms)
        whole++;
    int r = hz_after(call, whole, pass_on, NULL);
    return r == HZ_OK ? HZ_DEFER : r;
}

HZ_NODE(.type = "delay", .title = "Delay", .group = "Timer", .icon = "\U000F051B", .color = "#8E44AD",
        .desc = "Espera los segundos indicados y deja pasar los datos", .version = HZ_VERSION, .author = "Horizon",
        .license = "Apache-2.0", .flags = HZ_NODE_CONCURRENT | HZ_NODE_PURE, .inputs = HZ_NAMES("input"),
        .outputs = HZ_NAMES("response"), .run = delay_run,
        .properties = HZ_PROPERTIES({"delay", "number", "Segundos", "3", NULL,
                "{\"min\":0,\"step\":0.1,\"description\":\"Tiempo de espera en segundos; admite fracciones\"}"}))
