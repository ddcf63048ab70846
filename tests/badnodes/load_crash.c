/* Writes to address 0 while it is loaded. */
#include "bad.h"

__attribute__((constructor)) static void load(void)
{
    volatile int *volatile nowhere = NULL;
    *nowhere = 1;
}

BAD_NODE("load_crash", pass_on)
