/* Emits a pointer that is no value. */
#include "bad.h"

static int wild_value_run(hz_call *call)
{
    volatile uintptr_t wild = 0x4141414141414140u;
    return hz_emit(call, "response", (const hz_value *)wild);
}

BAD_NODE("wild_value", wild_value_run)
