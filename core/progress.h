/*
 * progress.h - does a living worker get on? From looks at its crash cells and at our own books: idle, busy, waiting, blocked, stuck.
 * Pure functions; what the cells say is the worker's claim, that it is stopped is the kernel's word. Nothing is decided by it but what
 * is shown: liveness is the kernel's business (pidfd), and no execution is ever run twice because of a state here.
 */
#ifndef HZ_CORE_PROGRESS_H
#define HZ_CORE_PROGRESS_H

#include "shm/shm.h"

/* Also in the segment's header, for observers: never renumber. */
enum hz_progress {
    HZ_PROGRESS_IDLE,    /* nothing in hand */
    HZ_PROGRESS_BUSY,    /* work in hand, and it moves */
    HZ_PROGRESS_WAITING, /* all work in hand waits for something outside: a timer, an answer */
    HZ_PROGRESS_BLOCKED, /* a thread has been inside one node call for long */
    HZ_PROGRESS_STUCK    /* there is work that could go on, and nothing moves; or the process is stopped */
};
const char *hz_progress_name(enum hz_progress progress); /* "idle" ...; "?" beyond */

#define HZ_PROGRESS_PLACES (HZ_MAX_LANES + HZ_CRASH_POOL)
struct hz_progress_place { /* a thread with an execution in hand */
    uint32_t node;
    bool inside; /* the node's code or its expressions run; else the host's between two of them */
    uint64_t execution, entered_ns;
};
struct hz_progress_look {
    uint64_t now_ns, moved; /* moved: a sum that changes when anything moves */
    uint64_t cpu_ns;        /* of the process, the kernel's word; 0 unknown */
    unsigned count;
    struct hz_progress_place places[HZ_PROGRESS_PLACES];
    bool work;     /* in hand by our books */
    bool runnable; /* commands unread, or executions queued in front of a thread */
    bool stopped;  /* by a signal */
};
struct hz_progress_state { /* zeroed: nothing known yet */
    enum hz_progress progress;
    uint32_t node;               /* HZ_NO_NODE: none to name */
    uint64_t execution;          /* number; 0 none */
    uint64_t since_ns;           /* when this state, or the call that blocks, began */
    bool computing;              /* blocked or stuck: it uses CPU time, so it is no deadlock */
    /* of the look before */
    uint64_t moved, moved_ns, cpu_ns, look_ns;
};
/* Fills the look's places and its sum from the cells. Cost: one cache line a thread. */
void hz_progress_look(const struct hz_segment *segment, struct hz_progress_look *look);
/* The next state. after_ns: "for long". True if it differs from the one before in state or node. */
bool hz_progress_judge(struct hz_progress_state *state, const struct hz_progress_look *look, uint64_t after_ns);
/* One sentence for people: `inside node "X" for 12 s, computing`; "" when there is nothing to say. */
void hz_progress_say(const struct hz_progress_state *state, const char *node_name, bool stopped, uint64_t now_ns, char *text, size_t size);

#endif
