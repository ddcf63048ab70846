/*
 * sdnotify.h - what the service manager hears of us (systemd's protocol: datagrams of KEY=VALUE lines to NOTIFY_SOCKET): that we are ready, read
 * something anew, stop, and that we are alive. Without NOTIFY_SOCKET nothing is sent.
 *
 * Alive is what each shard's loop says: a ping goes out when all have answered since the last one, so a loop that hangs is noticed.
 */
#ifndef HZ_CORE_SDNOTIFY_H
#define HZ_CORE_SDNOTIFY_H

#include "shm/base.h"

/* Reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID. Main thread, before the shards run. */
void hz_sdnotify_init(void);
bool hz_sdnotify_wanted(void); /* somebody listens */
/* Main thread, when the shards run: READY=1 and, if asked for, a ping each third of the time. status: a line for people. */
void hz_sdnotify_ready(const char *status);
/* Something is read anew, or another image takes our place: until hz_sdnotify_ready(). Any thread. */
void hz_sdnotify_reloading(void);
/* The end has begun. Main thread; no ping after it. */
void hz_sdnotify_stopping(void);
void hz_sdnotify_fini(void); /* when no shard runs any more */

#endif
