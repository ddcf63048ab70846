/* Tries to put a value into itself. */
#include "bad.h"

static int cyclic_value_run(hz_call *call)
{
    hz_value *a = hz_array(call), *b = hz_array(call);
    hz_push(a, b);
    hz_push(b, a);
    hz_push(a, a);
    return hz_emit(call, "response", a);
}

BAD_NODE("cyclic_value", cyclic_value_run)
