/* recorder.h - flight recorder: an overwriting ring of a lane's last events, readable after a crash. One writer. */
#ifndef HZ_SHM_RECORDER_H
#define HZ_SHM_RECORDER_H

#include "base.h"
#include <stdatomic.h>

enum hz_event_kind {
    HZ_EVENT_NONE,
    HZ_EVENT_ENTER,
    HZ_EVENT_LEAVE,
    HZ_EVENT_REQUEST,
    HZ_EVENT_ERROR,
    HZ_EVENT_BEGIN,
    HZ_EVENT_END
};
#define HZ_RECORDER_EVENTS 1024u /* a power of two */

struct hz_event {
    uint64_t time_ns;   /* monotonic */
    uint64_t execution; /* the manager's number of the execution */
    uint32_t node;      /* index in the plan, UINT32_MAX: none */
    uint16_t kind;      /* enum hz_event_kind */
    uint16_t detail;    /* error: 1 = from the node, 2 = thrown; request: message type */
    uint64_t argument;  /* enter: message bytes if known; error: 0; request: request id */
};
_Static_assert(sizeof(struct hz_event) == 32, "recorder event");

struct hz_recorder_shared {
    _Alignas(HZ_CACHE_LINE) _Atomic uint64_t count; /* events ever written */
    char pad[HZ_CACHE_LINE - 8];
    struct hz_event events[HZ_RECORDER_EVENTS];
};

/* Writer only; 2 to 4 ns besides the clock. now_ns: 0 = take the clock. */
void hz_recorder_add(struct hz_recorder_shared *rec, enum hz_event_kind kind, uint64_t now_ns, uint64_t execution,
        uint32_t node, uint16_t detail, uint64_t argument);
/* Copies the last events, oldest first, at most max; returns how many. Every field is the worker's claim: an event
 * whose kind is out of range is left out. */
size_t hz_recorder_read(const struct hz_recorder_shared *rec, struct hz_event *ret_events, size_t max);
const char *hz_event_kind_name(unsigned kind);

#endif
