/* Emits a list in a list in a list, a million deep: whoever walks it by recursion dies. */
#include "bad.h"

static int deep_value_run(hz_call *call)
{
    hz_value *value = hz_array(call);
    for (int i = 0; i < 1000000; i++) {
        hz_value *outer = hz_array(call);
        if (!outer || hz_push(outer, value) != HZ_OK)
            return HZ_ERR_NOMEM;
        value = outer;
    }
    return hz_emit(call, "response", value);
}

BAD_NODE("deep_value", deep_value_run)
