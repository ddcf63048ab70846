/*
 * executions.h - executions that are not over yet: object, index by id for every thread, numbers for the rings, and the one way to
 * a final state. An execution belongs to one shard's desk; only the index is read from elsewhere.
 */
#ifndef HZ_CORE_EXECUTIONS_H
#define HZ_CORE_EXECUTIONS_H

#include "queues.h"
#include "scheduler.h"
#include "services.h"
#include "worker.h"

#define HZ_NUMBER_WORKER (UINT64_C(1) << 63) /* numbered by the worker */
#define HZ_NUMBER_TICKET (UINT64_C(1) << 62) /* a webhook's: the ticket of hz_scheduler_http() */

struct hz_desk { /* the scheduler's share of one shard */
    struct hz_shard *shard;
    struct hz_yard *yard;
    const struct hz_config *config;
    struct hz_execution **numbers; /* hash by number (and worker, for the worker's own) */
    size_t number_buckets, number_count;
    uint64_t next_number, next_ticket;
    struct hz_queues queues;      /* whose turn it is */
    struct cds_list_head singles; /* executions whose turn it was and that wait for a worker of their own */
    struct cds_list_head idle;    /* live ones in no other list: waiting for their turn, their time, a commit */
    unsigned single_live, single_starting, single_waiting; /* waiting: in `singles`, or on the way there */
    struct hz_mail round_mail;
    bool round_posted, in_round, round_again;
    struct hz_timer round_timer;  /* of a rate, or after a disk that could not write */
    uint64_t pause_ns;            /* until then nothing is taken from the queues */
    struct hz_execution **keys;   /* hash of the live ones with a key */
    uint64_t ends, ends_since_ns; /* for Retry-After: how fast executions end */
    uint32_t ends_per_s;
    struct hz_uuid ids[64]; /* drawn in one go: a system call for each execution would be 4 % of a webhook */
    unsigned ids_left;
    unsigned commits; /* on their way to the store with a callback to us */
    struct hz_ticket **tickets;
    size_t ticket_count;
    struct cds_list_head late_rows; /* rows the store had no room for */
    struct hz_timer late_timer;
    struct cds_list_head refused; /* ends that somebody waits for and the disk did not take */
    struct hz_timer refused_timer;
    struct hz_tally *tallies; /* how executions ended, by workflow; NULL until the first does */
    bool tallied;             /* there is something in it */
    bool ending, resting; /* resting: before a restart of the manager nothing begins */
};
struct hz_desk *hz_desk_here(void); /* NULL on the main thread and after its end */

struct hz_submitter { /* callbacks of hz_scheduler_submit(), on the shard that called */
    struct hz_shard *from;
    hz_accepted_fn *accepted;
    hz_finished_fn *finished;
    void *arg;
};

enum hz_stuck { HZ_STUCK_NO, HZ_STUCK_TOLD }; /* told to end before its end */
enum hz_checkpoint_state { HZ_CHECKPOINT_NONE, HZ_CHECKPOINT_WAITING, /* for the disk, or memory */ HZ_CHECKPOINT_WRITING, HZ_CHECKPOINT_KEPT };
struct hz_execution {
    uint32_t magic;
#define HZ_EXECUTION_MAGIC 0xe8ec0de5u
    struct hz_execution *index_next, *number_next;
    struct cds_list_head node; /* in exactly one list: desk->idle, desk->singles, service->queue, worker->executions */
    struct hz_desk *desk;
    struct hz_uuid id, activation;
    uint64_t number;
    struct hz_workflow *workflow;
    enum hz_exec_state state; /* this and the next four: written under the index's lock, read there by other threads */
    uint32_t attempt;
    int64_t created_ms, started_ms;
    char worker_id[HZ_UUID_TEXT];
    char trigger[32];
    char *input;
    size_t input_len;
    bool is_activation, wants_port, stored, replayable, committing, wait_accept;
    bool claimed;   /* the store knows it as running: after a crash of the manager it may have begun */
    bool in_singles; /* counted in desk->single_waiting */
    struct hz_queue_item item;
    int64_t due_ms, deadline_ms; /* wall; 0: at once, none */
    uint32_t timeout_ms;
    char *key;      /* dedupKey, NULL none */
    struct hz_execution *key_next;
    struct hz_twin *twins; /* others with its key that wait for its commit */
    struct hz_submitter caller;
    struct hz_worker *worker;
    struct hz_service *service;
    uint64_t deadline_ns; /* 0 none */
    uint64_t begun_ns;    /* monotonic: when its worker got it */
    struct hz_timer timer;
    enum hz_stuck stuck;
    enum hz_exec_state wanted; /* the state it gets if its worker must be killed for it */
    char reason[256];
    unsigned spawn_tries;
    /* The last state its worker handed over; it is kept while it runs elsewhere. sequence: of the present worker's. */
    char *checkpoint;
    size_t checkpoint_len;
    char *node_runs; /* JSON text for the store, written after its row; NULL none */
    uint64_t checkpoint_sequence;
    uint32_t checkpoint_ordinal; /* in the store, of all its workers */
    enum hz_checkpoint_state checkpoint_state;
    struct hz_timer later; /* between two attempts; or a checkpoint that is to be written or answered once more */
    uint64_t bytes_in, bytes_out; /* its input or request; its questions and the answer to its request (the result comes on top) */
    struct { /* a webhook's request; shard NULL: none */
        struct hz_shard *shard;
        uint64_t ticket;
        bool answered;
    } http;
};

int hz_executions_init(const struct hz_config *config);
void hz_executions_fini(void);
/* Hash of an execution's number (or of a piece of its id) that no worker can compute. Any thread. */
uint64_t hz_executions_hash(uint64_t key);
/* How many are admitted and not finished, all shards; without those that workers began by themselves. */
uint32_t hz_executions_admitted(void);

/* Makes one, admits it (bounded by max_executions unless `forced`), enters it into the index. workflow: taken on success. id NULL: a new one;
 * number 0: the desk's next. HZ_EBUSY: bound; HZ_EEXISTS: that id lives already. */
HZ_MUST_CHECK int hz_execution_new(struct hz_desk *desk, struct hz_workflow *workflow, const struct hz_uuid *id, uint64_t number,
        struct hz_worker *worker, bool forced, struct hz_execution **ret_execution);
/* Takes it out of everything and frees it; no row, no callback. */
void hz_execution_drop(struct hz_execution *e);
/* A new number, while no worker has it. */
void hz_execution_renumber(struct hz_execution *e);
void hz_execution_set_state(struct hz_execution *e, enum hz_exec_state state);
struct hz_execution *hz_execution_by_number(struct hz_desk *desk, uint64_t number, const struct hz_worker *worker);
/* A webhook's, by its ticket, whatever worker has it. */
struct hz_execution *hz_execution_by_ticket(struct hz_desk *desk, uint64_t ticket);
/* On the desk's shard; NULL: not here. */
struct hz_execution *hz_execution_here(struct hz_desk *desk, const struct hz_uuid *id);
/* Shard of a live one, any thread; NULL: none. */
struct hz_shard *hz_execution_shard(const struct hz_uuid *id);
bool hz_execution_live_row(const struct hz_uuid *id, struct hz_store_execution *ret_row); /* any thread; caller calls fini */
/* Live ones, newest first, without input: of a workflow (NULL: all) in a state, behind the one made at before_ms with the id before (NULL: all), `limit` at most. Any
 * thread; caller frees rows and their strings. O(live) with short locks. HZ_ENOMEM. */
HZ_MUST_CHECK int hz_executions_list_live(const char *workflow_id, enum hz_exec_state state, int64_t before_ms, const struct hz_uuid *before,
        size_t limit, struct hz_store_execution **ret_rows, size_t *ret_count);
/* Bytes of input that live executions hold. */
uint64_t hz_executions_input_bytes(void);
void hz_execution_set_input(struct hz_execution *e, char *input, size_t len); /* takes it */

struct hz_outcome {
    enum hz_exec_state state;
    const char *error, *node, *code; /* NULL none */
    size_t error_len, code_len;      /* with error and code; node is NUL-terminated */
    const char *result;
    size_t result_len;
    uint64_t node_runs, cpu_ns, peak_bytes;
};
/* scheduler_ask.c: tells what its flow reports, if anybody listens. */
void hz_execution_tell_progress(const struct hz_execution *e, const struct hz_worker *w, const char *json, size_t len);
/* The only way to a final state: row to the store, out of the tables, freed; whoever waits hears it after COMMIT. Once per execution.
 * One that failed and may be tried again by its flow's `retry` goes back to queued instead. */
void hz_execution_finish(struct hz_execution *e, const struct hz_outcome *outcome);
void hz_execution_fail(struct hz_execution *e, enum hz_exec_state state, const char *error);
/* Row of its present state; strings are malloc'ed. False: no memory. */
bool hz_execution_row(const struct hz_execution *e, struct hz_store_execution *ret_row);
/* The same without the input: for a row that is in the store already. */
bool hz_execution_row_bare(const struct hz_execution *e, struct hz_store_execution *ret_row);
/* Hands a row over; one the store has no room for is tried again until it has. Takes the strings. */
void hz_execution_store(struct hz_desk *desk, struct hz_store_execution *row);
void hz_execution_store_late(struct hz_desk *desk, bool last);
bool hz_execution_store_full(struct hz_desk *desk); /* rows wait for room: nothing new may begin that adds one */
void hz_execution_end_refused(struct hz_desk *desk);      /* the manager ends: no further attempt */
/* Callbacks, across shards if need be. */
void hz_submitter_accepted(const struct hz_submitter *caller, const struct hz_uuid *id, const struct hz_worker_info *worker, const char *error,
        uint32_t retry_after_s);
void hz_submitter_finished(const struct hz_submitter *caller, const struct hz_store_execution *row);

/* What others read of it, put back at once by a restart of the manager. */
struct hz_execution_place {
    enum hz_exec_state state;
    uint32_t attempt;
    int64_t started_ms;
    char worker_id[HZ_UUID_TEXT];
};
void hz_execution_put_back(struct hz_execution *e, const struct hz_execution_place *place);
/* ---- scheduler_carry.c ---- */
/* Before a restart of the manager. leave: what waits is in the store, as not begun; nothing else changes. carry:
 * workers, services, and the executions that workers have; ids: of those. adopt: an error ends the process. */
HZ_MUST_CHECK int hz_desk_leave(struct hz_desk *desk);
void hz_desk_stay(struct hz_desk *desk); /* it was called off: undoes what leave wrote */
void hz_desk_carry(struct hz_desk *desk, struct hz_carry_out *out, struct hz_carry_out *ids);
HZ_MUST_CHECK int hz_desk_adopt(struct hz_desk *desk, struct hz_carry_in *in);
/* ---- scheduler_rest.c ---- */
void hz_desk_close(struct hz_desk *desk); /* no connection of a worker's port is taken any more */
void hz_desk_rest(struct hz_desk *desk);  /* nothing begins any more */
bool hz_desk_calm(struct hz_desk *desk);  /* no webhook waits for an answer */
bool hz_desk_quiet(struct hz_desk *desk); /* nobody waits for an answer, all that lives can be carried */
void hz_desk_hurry(struct hz_desk *desk); /* time is up: who waits is told, what cannot be carried is ended */
void hz_desk_wake(struct hz_desk *desk);  /* it was called off */
/* ---- scheduler_dispatch.c ---- */
void hz_dispatch_put_back(struct hz_execution *e, struct hz_worker *w); /* as it was in the image before */
void hz_dispatch_due(struct hz_execution *e, uint64_t due_ns);          /* its deadline, or the end of its grace */
void hz_dispatch(struct hz_execution *e);          /* its row is where it must be, its turn has come: find it a worker */
void hz_dispatch_singles(struct hz_desk *desk);    /* room for more workers of their own? */
void hz_dispatch_pool(struct hz_service *service); /* sends what its worker has room for, starts one if there is none */
void hz_dispatch_deadline(struct hz_execution *e);
void hz_dispatch_cancel(struct hz_execution *e, const char *reason);
void hz_dispatch_overrun(struct hz_execution *e, uint32_t limit_ms); /* one of its nodes does not return */
bool hz_dispatch_again(struct hz_execution *e);    /* back to queued with attempt + 1, and on; false: it cannot be run again */
void hz_dispatch_attach(struct hz_execution *e, struct hz_worker *w); /* it runs there now */
void hz_dispatch_detach(struct hz_execution *e);   /* from its worker */
/* ---- scheduler_admit.c ---- */
int hz_admit_begin(struct hz_desk *desk);
void hz_admit_end(struct hz_desk *desk);
/* May it come in? 0, or HZ_EBUSY with *ret_retry_after_s. */
HZ_MUST_CHECK int hz_admit_check(struct hz_desk *desk, const struct hz_workflow *workflow, size_t input_len, uint32_t *ret_retry_after_s);
/* Enters it into its workflow's lane; taken at once if it is its turn now. HZ_ENOMEM. */
HZ_MUST_CHECK int hz_admit_enter(struct hz_execution *e, uint32_t priority, bool at_once);
void hz_admit_go(struct hz_execution *e);    /* its row is where it must be: on to its worker, its lane, or its time */
void hz_admit_leave(struct hz_execution *e); /* out of lane, keys, counts; others may have its place */
void hz_admit_round(struct hz_desk *desk);   /* takes whoever's turn it is */
void hz_admit_again_soon(struct hz_desk *desk); /* the same by mail: for places where others' lists are being walked */
struct hz_execution *hz_admit_find_key(struct hz_desk *desk, const char *workflow_id, const char *key);
int hz_admit_set_key(struct hz_execution *e, const char *key);
/* Into its lane as one whose turn it was: e->item.priority and .since_ns are set. */
HZ_MUST_CHECK int hz_admit_put_back(struct hz_execution *e);
void hz_admit_claimed(struct hz_execution *e, int result); /* the answer to hz_commit_claim() */
/* ---- scheduler.c ---- */
/* Has the store know it as running before it begins; hz_admit_claimed() hears the answer. */
HZ_MUST_CHECK int hz_commit_claim(struct hz_execution *e);
/* ---- scheduler_checkpoint.c ---- */
void hz_checkpoint_take(struct hz_worker *w, const struct hz_msg *msg);
void hz_checkpoint_attach(struct hz_execution *e); /* its next worker counts from the beginning */
void hz_checkpoint_forget(struct hz_execution *e);
/* answer: the worker has not heard yet that it is kept. */
void hz_checkpoint_put_back(struct hz_execution *e, bool answer);
void hz_checkpoint_load(struct hz_execution *e); /* from the store */
/* ---- scheduler_retry.c ---- */
/* It ends in this state: is it tried again? Then it waits in the queue; the caller leaves it alone. */
bool hz_retry_take(struct hz_execution *e, enum hz_exec_state state);
/* ms until the attempt after `attempt` (from 1): delay doubling up to max, less up to jitter percent by `random` (0..UINT32_MAX). */
uint32_t hz_retry_wait_ms(const struct hz_retry *retry, uint32_t attempt, uint32_t random);
/* ---- activations.c ---- */
void hz_activation_start(struct hz_execution *e);
void hz_activation_ready(struct hz_service *service, struct hz_worker *w);
void hz_activation_over(struct hz_service *service, const struct hz_death *death, const char *user);
/* ---- scheduler_worker.c ---- */
const struct hz_worker_sink *hz_scheduler_sink(void);
void hz_service_over(struct hz_service *service, const char *reason, enum hz_exec_state state);
/* ---- scheduler_http.c ---- */
void hz_http_answer(struct hz_worker *w, const struct hz_msg *msg);
/* The manager cannot wait for the flow's answer: 504 with this JSON. */
void hz_http_restarting(struct hz_execution *e, const char *text);
void hz_http_ended(struct hz_execution *e, enum hz_exec_state state, bool lost); /* no answer will come from the flow */
void hz_scheduler_http_end(struct hz_desk *desk);
/* ---- scheduler_ask.c ---- */
void hz_ask_take(struct hz_worker *w, const struct hz_msg *msg);
void hz_tell_take(struct hz_worker *w, const struct hz_msg *msg);
/* ---- scheduler_figures.c ---- */
void hz_figures_count(struct hz_desk *desk, const struct hz_workflow *workflow, enum hz_exec_state state); /* one ended; some nanoseconds */
/* ---- scheduler_recover.c ---- */
void hz_recover(struct hz_desk *desk);

#endif
