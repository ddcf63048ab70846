/*
 * attribution.h - why did it die, and who is accused: from what the kernel says, what we had sent before, and what the worker left
 * in its crash cells. Pure functions over private copies; whatever the worker left is its claim.
 */
#ifndef HZ_CORE_ATTRIBUTION_H
#define HZ_CORE_ATTRIBUTION_H

#include "shm/shm.h"

struct hz_plan;

/* What we sent and why; noted before it is sent. */
enum hz_intent {
    HZ_INTENT_NONE,
    HZ_INTENT_STOP,          /* somebody asked */
    HZ_INTENT_RESTART,       /* somebody asked; another one follows */
    HZ_INTENT_SERVER_END,    /* the manager ends */
    HZ_INTENT_START_TIMEOUT, /* not ready in time */
    HZ_INTENT_DEADLINE,      /* an execution's deadline passed and its node did not return */
    HZ_INTENT_CANCEL,        /* an execution was cancelled and its node did not return */
    HZ_INTENT_OVERRUN,       /* a node took longer than its own limit and did not return */
    HZ_INTENT_POISON,        /* broke a rule of the shared memory */
    HZ_INTENT_LINGER,        /* its work was done, it did not end */
    HZ_INTENT_DISCARD,       /* a spare nobody needs */
    HZ_INTENT_LIMIT          /* its workflow's limit was reached */
};

/* What kind of death it was. */
enum hz_death_kind {
    HZ_DEATH_ENDED,    /* by itself */
    HZ_DEATH_STOPPED,  /* as somebody asked, or with the manager */
    HZ_DEATH_CRASH,    /* a fault, an abort, a forbidden call */
    HZ_DEATH_EXIT,     /* a node ended the process */
    HZ_DEATH_MEMORY,   /* out of memory: our limit, or the kernel's */
    HZ_DEATH_LIMIT,    /* another limit */
    HZ_DEATH_TIMEOUT,  /* a deadline passed and its node did not return, or it was not ready in time */
    HZ_DEATH_KILLED,   /* by a person or a program outside */
    HZ_DEATH_POISON    /* broke a rule of the shared memory */
};
const char *hz_death_kind_name(enum hz_death_kind kind); /* "crash", "out of memory" ... */

struct hz_cell_copy { /* a crash cell, copied once */
    uint32_t phase, node, stage, syscall_nr;
    uint64_t execution, entered_ns;
    int32_t signal, code;
    uint64_t address, pc, sp, module_offset;
    char module[129], text[257]; /* printable, NUL-terminated */
};

struct hz_crash_frame {
    uint64_t address, base; /* base: of its module; 0 unknown */
    char module[41];        /* printable, "" unknown */
};

struct hz_evidence {
    int wait_code, wait_status; /* of waitid: CLD_EXITED, CLD_KILLED, CLD_DUMPED */
    enum hz_intent intent;
    bool killed;        /* we sent SIGKILL (not only a shutdown message) */
    bool may_exit;      /* exit code 0 or 1 is its normal end now */
    uint32_t lanes;
    uint32_t places;    /* blocking threads that are inside a node: cells[lanes ...], of lane 0 */
    uint64_t intent_execution; /* whose deadline it is; 0 none */
    struct hz_cell_copy cells[HZ_MAX_LANES + HZ_CRASH_POOL];
    enum { HZ_ASKED_NOT, HZ_ASKED_COMPUTES, HZ_ASKED_WAITS, HZ_ASKED_STOPPED } asked; /* what it did in the moment before it was killed */
    const char *kernel_oom; /* its own control group says that the kernel killed it for want of memory: where, how much, whose; NULL */
    uint64_t rss_bytes; /* as last sampled; 0 unknown */
    bool oom_rose;      /* the kernel killed something for want of memory just now; nobody says that it was this one */
    bool out_of_memory; /* with HZ_INTENT_LIMIT: the limit is the one of memory */
    const char *limit;  /* with HZ_INTENT_LIMIT: which, how much, whose */
    const struct hz_plan *plan; /* names of the nodes; NULL: none yet */
    const char *poison;         /* reason, with HZ_INTENT_POISON */
};

struct hz_death {
    enum hz_intent intent;
    uint64_t intent_execution; /* whose deadline or cancellation it is; 0 none (the judge leaves it 0) */
    bool expected;        /* asked for, or its normal end */
    bool crashed;         /* a node is accused */
    enum hz_death_kind kind;
    bool likely;          /* the kind is only likely */
    int signal;           /* 0: it exited */
    int exit_code;        /* as in `terminó con código`: exit code, or 128 + signal */
    uint32_t lane, node;  /* of the accused; HZ_NO_NODE if none */
    uint64_t execution;   /* the accused one's number; 0 none */
    char node_name[128];
    char text[640];       /* one line: what happened, where */
    char report[HZ_UUID_TEXT]; /* id of its crash report; "" none */
};

void hz_attribution_copy(struct hz_cell_copy *ret_copy, const struct hz_crash_cell *cell);
/* The blocking threads that are inside a node, as cells behind those of the lanes. */
void hz_attribution_places(struct hz_evidence *evidence, const struct hz_crash_cell *first);
/* The frames of a cell, the faulting one first, at most max: by the unwinder, else by frame pointer. How many. */
uint32_t hz_attribution_frames(const struct hz_crash_cell *cell, struct hz_crash_frame *ret_frames, uint32_t max);
void hz_attribution_judge(const struct hz_evidence *evidence, struct hz_death *ret_death);
/* "SIGSEGV" for 11; "signal 42" otherwise, in buf. */
const char *hz_attribution_signal(int number, char buf[24]);
const char *hz_intent_text(enum hz_intent intent);

#endif
