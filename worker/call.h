/*
 * call.h - one run of a node: what it reads, what it builds, what it waits for. hz_call of the SDK.
 *
 * Life: made by the executor on the owner's thread; RUNNING while the node's code runs; DEFERRED while it waits; OVER when
 * it has been closed. The struct itself lives until its last reference is gone: one for being open, one for each letter or
 * hook under way that names it.
 */
#ifndef HZ_WORKER_CALL_H
#define HZ_WORKER_CALL_H

#include "executor.h"

#define HZ_CALL_FEW 12u      /* parameters, owned values: most nodes have fewer */
#define HZ_CHUNK_BYTES 4096u /* of an arena */

struct hz_chunk {
    struct hz_chunk *next;
    uint32_t used, size; /* of data */
    _Alignas(16) char data[];
};

/* What the host itself waits for on behalf of a call: a timer, an answer. Owner's thread. */
struct hz_wait {
    struct hz_wait *next;
    void (*drop)(struct hz_wait *wait); /* the call is over: forget it, free it */
};
struct hz_hook {
    struct hz_hook *next;
    hz_loop_fn *fn;
    void *arg;
};
struct hz_param_error {
    struct hz_param_error *next;
    uint32_t prop;
    hz_str reason;
};
/* An emission of a call on a blocking thread, kept until its owner sends it. */
struct hz_held {
    struct hz_held *next;
    const hz_value *data, *meta;
    size_t output_len;
    char output[];
};

enum hz_call_state { HZ_CALL_RUNNING = 1, HZ_CALL_DEFERRED, HZ_CALL_OVER };
/* `closed`: 0 open. Stored (release) by the owner when the call is cancelled, loaded (acquire) by hz_resume() of any
 * thread: HOOKED, the cancel hook ran or will run; STRANDED, no hook: the struct waits for the resume() to come. */
enum { HZ_CLOSED_HOOKED = 1, HZ_CLOSED_STRANDED, HZ_CLOSED_ORPHAN };

struct hz_call {
    uint32_t magic;
#define HZ_CALL_MAGIC 0x43616c6cu
    uint8_t state;      /* enum hz_call_state */
    bool event;         /* begun by event() */
    bool blocking;      /* run() is on a blocking thread: the owner keeps away from it */
    bool emitted;       /* emissions of an earlier part of the call have been handed over */
    bool errored;       /* an error went out, or is held back for a retry */
    bool no_memory;     /* NULL was emitted */
    bool done;          /* hz_done() */
    bool daemon;        /* a trigger's run() that stays: its execution does not wait for it */
    bool exclusive;     /* holds the site */
    bool counted;       /* in execution->open */
    bool trigger_open;
    bool retrying;         /* over for the node; its message waits to be delivered again */
    bool holds_execution;  /* a reference, given back with the struct */
    _Atomic uint32_t refs, closed;
    struct hz_execution *execution;
    struct hz_thread *owner;
    struct hz_site *site;
    struct hz_delivery at; /* holds its references */
    const hz_value **params;
    uint32_t param_count; /* owned ones to release; 0 for constants */
    uint32_t base;        /* of the work list: where this part's emissions begin */
    struct hz_param_error *param_errors;
    const hz_value *held_error; /* for a retry that may not come */
    uint64_t entered_ns;

    const hz_value **owned;
    uint32_t owned_count, owned_capacity;
    uint32_t container_count, container_capacity; /* capacity 0: the few ones, unsorted */
    uintptr_t *containers;                        /* pointer | 1 when it may not be changed any more */
    struct hz_chunk *chunks;
    uint64_t arena_bytes;

    struct hz_wait *waits;
    struct hz_hook *hooks;
    struct hz_held *held_first, *held_last;
    const hz_value *state_copy; /* blocking: state of the node as it was, or as the node set it */
    bool state_changed;
    int outcome; /* blocking */
    uint64_t part_ns;         /* blocking, with nodeStats: when it was handed over, and the memory in use then */
    int64_t part_bytes;
    uint64_t blocking_cpu_ns; /* what its thread used for it; written before the letter to the owner, read by it */
    struct hz_mail mail;
    struct hz_mail *early; /* blocking: continuations that came before it returned */
    struct hz_alarm timeout;
    struct hz_call *prev, *next; /* open calls of the execution; next: also the free list */

    const hz_value *few_params[HZ_CALL_FEW], *few_owned[HZ_CALL_FEW];
    uintptr_t few_containers[8];
};

/* Takes over the references of `at`. NULL: out of memory (`at` still the caller's). */
struct hz_call *hz_call_new(struct hz_thread *thread, struct hz_execution *execution, const struct hz_delivery *at);
/* Drops a reference; the last one frees what the call built. Any thread; what belongs to the owner's thread alone (branch,
 * parameters, message) was given up by hz_call_let_go() before. */
void hz_call_unref(struct hz_call *call);
/* Owner: releases message, branch and parameters. Idempotent. */
void hz_call_let_go(struct hz_call *call);

void *hz_call_alloc(struct hz_call *call, size_t size);
/* The call owns the new reference from now on; returns it, or NULL (released) without memory. NULL-safe. */
hz_value *hz_call_own(struct hz_call *call, hz_value *value);
/* The same for a container that the node may change. */
hz_value *hz_call_own_container(struct hz_call *call, hz_value *value);
/* May this call change the container? */
bool hz_call_may_change(const struct hz_call *call, const hz_value *value);
/* From now on nobody may change value and what it holds of the call's own. */
void hz_call_freeze(struct hz_call *call, const hz_value *value);

#endif
