/* Emits bytes that are no text. */
#include "bad.h"

static int bad_utf8_run(hz_call *call)
{
    static const char bytes[] = "a\xff\xfe\xc3(\xed\xa0\x80\0b";
    hz_value *data = hz_object(call);
    if (!data || hz_set(data, "text", hz_string(call, bytes, sizeof bytes - 1)) != HZ_OK)
        return HZ_ERR_NOMEM;
    hz_set(data,
            "k\xff"
            "ey",
            hz_bool(call, true));
    return hz_emit(call, "response", data);
}

BAD_NODE("bad_utf8", bad_utf8_run)
