/* logs.h - the last lines of each worker, also of the last 256 buried ones. Any thread. hz_logs_tail() is in supervisor.h. */
#ifndef HZ_CORE_LOGS_H
#define HZ_CORE_LOGS_H

#include "supervisor.h"

#define HZ_LOGS_LINES 10000u             /* kept a worker */
#define HZ_LOGS_BYTES ((size_t)1 << 20)  /* kept a worker */
#define HZ_LOGS_BURIED 256u              /* dead workers whose lines are kept */

/* Keeps one line of a worker; cut after 16 KiB, control characters become blanks. A line that finds no memory is counted as dropped. */
void hz_logs_add(const struct hz_uuid *worker, int64_t wall_ms, const char *text, size_t len);
/* It is dead: its lines stay until 256 younger ones have died. */
void hz_logs_bury(const struct hz_uuid *worker);
/* It never had a flow: nothing is kept. */
void hz_logs_forget(const struct hz_uuid *worker);
/* A line a worker said: kept, shown to the listeners, and printed when nobody listens (horizon serve). */
void hz_logs_say(const struct hz_worker_info *info, int64_t wall_ms, int level, bool console, const char *text, size_t len);
void hz_logs_fini(void);
uint64_t hz_logs_dropped(void);

#endif
