/* Ends the process that loads it, as if all were well. */
#include "bad.h"

__attribute__((constructor)) static void load(void)
{
    exit(0);
}

BAD_NODE("load_exit", pass_on)
