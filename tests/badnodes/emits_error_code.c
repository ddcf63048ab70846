/* Returns a code that means nothing. */
#include "bad.h"

static int emits_error_code_run(hz_call *call)
{
    (void)call;
    return -12345;
}

BAD_NODE("emits_error_code", emits_error_code_run)
