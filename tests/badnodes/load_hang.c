/* Never ends being loaded. */
#include "bad.h"

__attribute__((constructor)) static void load(void)
{
    volatile bool for_ever = true;
    while (for_ever)
        usleep(1000);
}

BAD_NODE("load_hang", pass_on)
