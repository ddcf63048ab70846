/* Aborts while it is loaded. */
#include "bad.h"

__attribute__((constructor)) static void load(void)
{
    abort();
}

BAD_NODE("load_abort", pass_on)
