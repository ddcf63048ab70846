/* Makes memory that is both written and executed. */
#include "bad.h"
#include <sys/mman.h>

static int makes_code_run(hz_call *call)
{
    void *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return survived(call, "mmap", memory == MAP_FAILED ? -1 : 0);
}

BAD_NODE("makes_code", makes_code_run)
