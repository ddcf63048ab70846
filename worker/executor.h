/*
 * executor.h - one execution: its work list, its open calls, its end. All of it runs on the thread that owns the
 * execution, except where stated.
 *
 * The work list is a stack of deliveries. What a run emits is pushed in the order of emission and turned round when the
 * run is over: so the first emission's whole downstream runs before the second one's, as if each were a call, without
 * recursion.
 */
#ifndef HZ_WORKER_EXECUTOR_H
#define HZ_WORKER_EXECUTOR_H

#include "expression.h"
#include "thread.h"

struct hz_worker;
struct hz_call;
struct hz_join;

#define HZ_OWN_NUMBER (UINT64_C(1) << 63) /* numbered by the worker: a trigger fired */
#define HZ_NO_EDGE UINT32_MAX
#define HZ_NO_OWNER UINT32_MAX

/* What bounds one execution. */
struct hz_limits {
    uint64_t steps;    /* node runs */
    uint32_t queued;   /* messages in the work list */
    uint64_t bytes;    /* of values */
};

struct hz_trigger {
    uint32_t magic;
#define HZ_TRIGGER_MAGIC 0x54726967u
    uint32_t node;
    struct hz_worker *worker;
    bool opened;
};

/* A node of the plan in this worker: made once when the plan is loaded, read by all threads. `busy` and the waiting list
 * are under `lock` and used for exclusive sites only. */
struct hz_site {
    const struct hz_plan_node *plan;
    const struct hz_node_desc *desc; /* NULL: no such type */
    uint32_t index;
    bool exclusive; /* a singleton that is not concurrent: one call at a time */
    bool blocking, trigger, logs;
    bool pure;    /* its outputs follow from the state of the execution: it may be run again instead of being kept */
    hz_str id, name, type;
    const hz_value **constant; /* parameters if they never change; NULL: evaluate */
    void *self;
    struct hz_trigger handle;
    pthread_mutex_t lock;
    bool busy;
    struct hz_execution *wait_first, *wait_last;
};

/* One message on its way to a node. Holds a reference on data and branch. */
struct hz_delivery {
    const hz_value *data;
    struct hz_branch *branch;
    uint64_t accumulated_ns; /* of the branch; counted when tracking is on */
    uint32_t node, origin;   /* origin HZ_NO_NODE: the start */
    uint32_t edge;           /* of the plan; HZ_NO_EDGE: none */
    uint16_t attempt;        /* retries so far */
    uint16_t event;          /* call event() instead of run() */
    uint32_t ordinal;        /* of this run of the node within the execution, from 1; 0: the node is pure */
    uint32_t change;         /* execution->changes when it was sent */
    int64_t since_ms;        /* wall clock: it waited already before a crash, from then on; 0: it did not */
};

struct hz_node_state {
    uint32_t node; /* plus 1; 0: free */
    const hz_value *value;
    struct hz_join *join;
};

struct hz_execution {
    uint32_t magic;
#define HZ_EXECUTION_MAGIC 0x45786563u
    uint64_t number;
    struct hz_uuid id;
    char id_text[HZ_UUID_TEXT];
    bool pinned;   /* to the main thread */
    bool is_first; /* of a worker that listens: READY comes when it waits or is over */
    bool begun, parked, failed, ready, finished;
    bool wants_result; /* the last open end's payload goes into FINISHED */
    bool has_daemon;   /* a trigger's call stays open in it: it lives as long as the worker */
    uint64_t deadline_ns; /* 0: none */
    uint64_t begun_ns;
    struct hz_worker *worker;
    struct hz_thread *thread; /* owner; valid once begun */

    /* Another thread's business. refs: whoever drops the last one frees. cancel: 0, or the final state somebody wants
     * (stored after cancel_reason with release by the main thread, loaded with acquire by the owner). owner: index of the
     * owning thread, HZ_NO_OWNER before it begins; begin stores owner, then loads cancel; cancel stores cancel, then loads
     * owner (all sequentially consistent): one of the two sees the other. http: enum below, changed by compare-and-swap. */
    _Atomic uint32_t refs, cancel, owner, http;
    char *cancel_reason;
    struct hz_mail cancel_mail, done_mail, grant_mail, saved_mail;

    /* how it begins */
    uint32_t start_node;
    bool start_event;
    const hz_value *start_data; /* ready made, or NULL: parse the bytes */
    char *bytes;                /* malloc'ed copy of data, or meta, type, body */
    size_t data_len, meta_len, type_len, body_len;
    bool is_request;

    struct hz_delivery *work;
    uint32_t work_count, work_capacity;
    uint32_t open; /* calls it waits for */
    struct hz_call *calls;
    struct hz_node_state *states;
    uint32_t state_count, state_capacity;
    struct hz_alarm deadline;
    struct hz_delivery parked_at;

    uint64_t order, node_runs, emissions, cpu_ns;
    uint64_t slice_ns;  /* when the slice began; 0: not in one */
    int64_t bytes_base; /* of the thread then */
    int64_t bytes_used, bytes_peak;
    /* Checkpoints (checkpoint.c). changes counts what the last checkpoint does not determine; what was sent at a count of
     * at most `saved` follows from what is on disk. */
    uint32_t changes, saved, sending;
    uint64_t checkpoint_sequence;
    uint64_t acknowledged; /* main thread: the last one that is on disk */
    bool gated;        /* an effect waits for the disk: nothing of the work list runs */
    bool in_flight;    /* a checkpoint is under way */
    bool long_wait;    /* a call waits for a second or more, and no checkpoint says so */
    bool is_resume;    /* bytes are a packed state */
    uint32_t attempt;  /* of the whole execution, from 1 */
    uint32_t *ordinals; /* per node, last one given; NULL: none yet */
    struct hz_msg_node_run *node_stats; /* per node, what it did; NULL: nobody asks, or none yet */
    const hz_value *result;
    uint32_t error_node, final_state;
    uint32_t abort; /* a final state decided from within, between two node runs */
    char *error;
    size_t error_len;
    const char *error_code; /* static */

    struct hz_execution *next_ready, *next_queued, *next_parked;
    struct hz_execution *table_next, *all_prev, *all_next; /* main thread */
};
enum { HZ_HTTP_NONE, HZ_HTTP_OPEN, HZ_HTTP_ANSWERED, HZ_HTTP_GONE };

/* Main thread. Refs 1 (the table's). NULL: out of memory. */
struct hz_execution *hz_execution_new(struct hz_worker *worker, uint64_t number, const struct hz_uuid *id);
void hz_execution_unref(struct hz_execution *execution);
const char *hz_execution_id_text(struct hz_execution *execution);

/* Owner. Makes the first delivery; the execution may end right here (bad JSON, cancelled meanwhile). */
void hz_executor_begin(struct hz_thread *thread, struct hz_execution *execution);
/* Runs what is in hand for at most `runs` node runs; true if there is more to do at once. Afterwards the execution may be
 * gone: do not touch it when the answer is false. */
bool hz_executor_slice(struct hz_execution *execution, uint32_t runs);
/* Puts an execution with work on its thread's list, once. */
void hz_executor_make_ready(struct hz_execution *execution);
/* Owner: ends it now with a final state. */
void hz_executor_end(struct hz_execution *execution, uint32_t state);
/* Owner: the execution fails with this text charged to `node` (HZ_NO_NODE: to none); the first one counts. */
void hz_executor_fail(struct hz_execution *execution, uint32_t node, const char *code, const char *text, size_t len);
/* Main thread: asks for the end. reason is copied. */
void hz_executor_cancel(struct hz_execution *execution, uint32_t state, const char *reason, size_t len);

/* The next ordinal of a node's runs; 0: out of memory. Owner. */
uint32_t hz_executor_ordinal(struct hz_execution *execution, uint32_t node);

/* The call's side (host functions). All on the thread that runs the call. */
int hz_executor_emit(struct hz_call *call, const char *output, const hz_value *data, const hz_value *meta);
int hz_executor_emit_error(struct hz_call *call, const char *text, size_t len);
int hz_executor_join(struct hz_call *call);
const hz_value *hz_executor_state_get(struct hz_call *call);
int hz_executor_state_set(struct hz_call *call, const hz_value *value);
/* Owner: continues a deferred call; does nothing if it is over. */
void hz_executor_continue(struct hz_call *call, hz_continue_fn *fn, void *arg);
/* The same with the answer of a question. */
void hz_executor_answer(struct hz_call *call, hz_answer_fn *fn, void *arg, bool ok, const hz_value *data, hz_str message);
/* Owner: hz_done() from outside the call's own code. */
void hz_executor_close_done(struct hz_call *call);
/* Evaluates the parameters of a node that never change, once per worker. */
HZ_MUST_CHECK int hz_executor_constants(struct hz_worker *worker, struct hz_thread *thread, struct hz_site *site);

#endif
