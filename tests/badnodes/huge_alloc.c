/* Asks for more memory than there is. */
#include "bad.h"

static int huge_alloc_run(hz_call *call)
{
    volatile size_t size = (size_t)1 << 46;
    void *memory = hz_alloc(call, size);
    return memory ? survived(call, "allocated", 1) : HZ_ERR_NOMEM;
}

BAD_NODE("huge_alloc", huge_alloc_run)
