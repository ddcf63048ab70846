/* logs.h - the last lines of each worker, also of the last 256 buried ones. Any thread. hz_logs_tail() is in supervisor.h. */
#ifndef HZ_CORE_LOGS_H
#define HZ_CORE_LOGS_H

#include "supervisor.h"

#define HZ_LOGS_LINES 10000u             /* kept a worker */
#define HZ_LOGS_BYTES ((size_t)1 << 20)  /* kept a worker */
#define HZ_LOGS_BURIED 256u              /* dead workers whose lines are kept */
#define HZ_LOGS_SECOND_LINES 100u        /* handed to the history, a worker and second */
#define HZ_LOGS_SECOND_BYTES 65536u

/* Keeps one line of a worker; cut after 16 KiB, control characters become blanks. A line that finds no memory is counted as dropped. */
void hz_logs_add(const struct hz_uuid *worker, int64_t wall_ms, const char *text, size_t len);
/* It is dead: its lines stay until 256 younger ones have died. */
void hz_logs_bury(const struct hz_uuid *worker);
/* It never had a flow: nothing is kept. */
void hz_logs_forget(const struct hz_uuid *worker);
/* A line of ours about a worker: kept, and handed to the store's history, whatever the worker says in that second. execution: whose,
 * NULL none. */
void hz_logs_note(const struct hz_worker_info *info, int64_t wall_ms, int level, const struct hz_uuid *execution,
        const char *text, size_t len);
/* A line a worker said: the same within its budget, shown to the listeners, and printed when nobody listens (horizon serve). */
void hz_logs_say(const struct hz_worker_info *info, int64_t wall_ms, int level, bool console,
        const struct hz_uuid *execution, const char *text, size_t len);
/* Where the history begins: a worker's line as it was kept. Set before the shards run; NULL: nowhere. Called on the worker's shard. */
typedef void hz_logs_history_fn(const struct hz_worker_info *info, int64_t wall_ms, int level,
        const struct hz_uuid *execution, const char *text, size_t len);
void hz_logs_set_history(hz_logs_history_fn *fn);
/* A living worker's newest lines (64 KiB) to the next image of the manager. */
struct hz_carry_out;
struct hz_carry_in;
void hz_logs_carry(const struct hz_uuid *worker, struct hz_carry_out *out);
void hz_logs_adopt(const struct hz_uuid *worker, struct hz_carry_in *in);
void hz_logs_fini(void);
uint64_t hz_logs_dropped(void);

#endif
