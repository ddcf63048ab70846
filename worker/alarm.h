/*
 * alarm.h - the timers of one thread: a binary heap of intrusive entries. Only the thread that owns the heap touches it.
 */
#ifndef HZ_WORKER_ALARM_H
#define HZ_WORKER_ALARM_H

#include "shm/base.h"

struct hz_thread;
struct hz_alarm {
    uint64_t due_ns; /* monotonic */
    size_t at;       /* position in the heap plus 1; 0: not set */
    void (*fire)(struct hz_thread *thread, struct hz_alarm *alarm);
};
struct hz_alarms {
    struct hz_alarm **heap;
    size_t count, capacity;
};

/* Sets an alarm that is not set. 0 or HZ_ENOMEM. O(log n). */
HZ_MUST_CHECK int hz_alarm_set(struct hz_alarms *alarms, struct hz_alarm *alarm, uint64_t due_ns);
/* Takes it out; nothing happens if it is not set. */
void hz_alarm_stop(struct hz_alarms *alarms, struct hz_alarm *alarm);
/* When the first one is due; UINT64_MAX if there is none. */
static inline uint64_t hz_alarm_next(const struct hz_alarms *alarms)
{
    return alarms->count ? alarms->heap[0]->due_ns : UINT64_MAX;
}
/* Fires all that are due at now_ns, earliest first; how many. An alarm that sets itself again for later is fine. */
size_t hz_alarm_run(struct hz_alarms *alarms, struct hz_thread *thread, uint64_t now_ns);
void hz_alarm_fini(struct hz_alarms *alarms);

#endif
