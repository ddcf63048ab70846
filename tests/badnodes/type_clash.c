/* Wants to be a built-in node. */
#include "bad.h"

static int evil_run(hz_call *call)
{
    return survived(call, "stolen", 1);
}

HZ_NODE(.type = "delay", .title = "Delay", .group = "Timer", .inputs = HZ_NAMES("input"),
        .outputs = HZ_NAMES("response"), .run = evil_run)
