/* restart_layout.c - what an image of the manager says of itself before it is let in by another: one sentence, compared
 * as a whole. */
#include "restart.h"

#include "store_db.h"

#include "shm/segment.h"

#include <signal.h>
#include <stdio.h>

#ifdef HZ_TEST_NEWER_LAYOUT /* a build for one test, which must be refused */
#define LAYOUT (HZ_LAYOUT_VERSION + 1)
#else
#define LAYOUT HZ_LAYOUT_VERSION
#endif

void hz_restart_layout(char *ret_text, size_t size)
{
    snprintf(ret_text, size, "layout %u state %u schema %u", LAYOUT, HZ_CARRY_VERSION, HZ_STORE_SCHEMA);
}

bool hz_restart_fits(const char *said)
{
    unsigned layout, state, schema;
    int end = 0;
    return sscanf(said, "layout %u state %u schema %u%n", &layout, &state, &schema, &end) == 3 && said[end] == 0 &&
           layout == LAYOUT && state == HZ_CARRY_VERSION && schema >= HZ_STORE_SCHEMA;
}

void hz_restart_hold_signals(bool hold)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    pthread_sigmask(hold ? SIG_BLOCK : SIG_UNBLOCK, &set, NULL);
}
