/* Changes a value after it was emitted. */
#include "bad.h"

static int changes_emitted_run(hz_call *call)
{
    hz_value *data = hz_object(call);
    if (!data || hz_set(data, "first", hz_int(call, 1)) != HZ_OK)
        return HZ_ERR_NOMEM;
    int r = hz_emit(call, "response", data);
    hz_set(data, "second", hz_int(call, 2));
    return r;
}

BAD_NODE("changes_emitted", changes_emitted_run)
