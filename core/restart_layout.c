/* restart_layout.c - what an image of the manager says of itself before it is let in by another: one sentence, compared
 * as a whole. */
#include "restart.h"

#include "shm/segment.h"

#include <stdio.h>

#ifdef HZ_TEST_NEWER_LAYOUT /* a build for one test, which must be refused */
#define LAYOUT (HZ_LAYOUT_VERSION + 1)
#else
#define LAYOUT HZ_LAYOUT_VERSION
#endif

void hz_restart_layout(char *ret_text, size_t size)
{
    snprintf(ret_text, size, "layout %u state %u", LAYOUT, HZ_CARRY_VERSION);
}
