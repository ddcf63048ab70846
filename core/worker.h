/*
 * worker.h - one worker process seen from its shard: object, state machine, burial. Only the rooms of the supervisor and the
 * scheduler include it; everybody else has supervisor.h and registry.h. Everything here runs on the worker's own shard.
 *
 * Life: spawning -> (spare: warm -> given a flow) -> starting -> running -> stopping -> buried. One function, bury(), is the end of every
 * path: it frees segment, port, descriptors, pending requests, table entries, and tells those who wait, in this order.
 */
#ifndef HZ_CORE_WORKER_H
#define HZ_CORE_WORKER_H

#include "attribution.h"
#include "carry.h"
#include "config.h"
#include "link.h"
#include "registry.h"
#include "shard.h"
#include "supervisor.h"
#include "workflows.h"

#include <sys/resource.h>
#include <urcu/list.h>

struct hz_worker;
struct hz_execution;
struct hz_service;
struct hz_webhook_route;
struct hz_early;

enum hz_worker_purpose { HZ_PURPOSE_SPARE, HZ_PURPOSE_SINGLE, HZ_PURPOSE_RESIDENT };

/* What the scheduler wants to hear; set once, before the shards run. Always on the worker's shard. */
struct hz_worker_sink {
    void (*ready)(struct hz_worker *w);
    /* STARTED FINISHED CHECKPOINT HTTP_ANSWER LISTEN ASK TELL, while the worker has a flow. */
    void (*message)(struct hz_worker *w, const struct hz_msg *msg);
    void (*closing)(struct hz_worker *w); /* takes nothing new from now on */
    /* By its own account a lane has been in one node for longer than the node's limit. */
    void (*overrun)(struct hz_worker *w, uint64_t number, uint32_t limit_ms);
    /* Id of the execution with this number on this worker, for reports; false: it has none. */
    bool (*name)(struct hz_worker *w, uint64_t number, char ret_id[HZ_UUID_TEXT]);
    /* Input of the execution with this number on this worker, valid during the report; NULL: none kept. */
    const char *(*input)(struct hz_worker *w, uint64_t number, size_t *ret_len, bool *ret_error_flow);
    /* It is dead and everything it held is free; spawn_lost: it never was, because its zygote died. */
    void (*lost)(struct hz_worker *w, const struct hz_death *death, bool spawn_lost);
};
void hz_worker_set_sink(const struct hz_worker_sink *sink);

#define HZ_WORKER_BUCKETS 1024u
struct hz_yard { /* what the workers of one shard share */
    struct hz_shard *shard;
    const struct hz_config *config;
    struct cds_list_head workers; /* all, creation order */
    struct hz_worker *buckets[HZ_WORKER_BUCKETS];
    unsigned count;
    /* polling */
    struct cds_list_head hot, dirty, blocked, held;
    unsigned spin, blocked_ms;
    uint64_t eager_ns; /* a worker just got its first work: until then the loop does not sleep */
    struct hz_timer blocked_timer, held_timer;
    bool closed, resting; /* before a restart of the manager: no connection is taken; no worker is started */
    /* spares */
    struct cds_list_head spares; /* warm ones */
    unsigned spares_coming, spare_failures;
    struct hz_timer spare_timer;
    bool ending; /* nothing new is started */
    /* sampler */
    struct hz_timer sample_timer;
    uint64_t sample_turn;
    /* services (services.h) */
    struct cds_list_head services;
    /* set while the waiters of a buried worker are told: who replaces it, or why nobody does */
    struct hz_worker *successor;
    char successor_error[512];
};
struct hz_yard *hz_yard_here(void); /* of the calling shard; NULL on the main thread and after its end */

struct hz_worker_waiter {
    struct hz_worker_waiter *next;
    hz_worker_started_fn *started;
    hz_worker_stopped_fn *stopped;
    void *arg;
};
struct hz_worker_request {
    struct hz_worker_request *next;
    uint64_t number;
    hz_worker_answer_fn *fn;
    void *arg;
    struct hz_timer timer;
    struct hz_worker *worker;
};

struct hz_worker {
    uint32_t magic;
#define HZ_WORKER_MAGIC 0x3077e4eau
    struct hz_yard *yard;
    struct hz_worker *bucket_next;
    struct cds_list_head all_node, hot_node, dirty_node, blocked_node, spare_node;
    struct hz_worker_info info; /* the registry has a copy */
    enum hz_worker_purpose purpose;
    struct hz_workflow *workflow; /* NULL: a spare */
    struct hz_uuid execution;     /* activation or execution it serves */
    struct hz_link link;
    /* process */
    int far_fds[HZ_LINK_FDS];     /* the worker's ends, until its process has them; -1 */
    struct hz_secret_set *secrets; /* its flow's, for masking what it says; NULL none */
    uint32_t uid;                 /* user of its own (uids.h); 0 none */
    int pidfd;                    /* -1 */
    int carry_fd;                 /* its segment, during a restart of the manager; -1 */
    bool spawning, kill_when_known, reaped;
    uv_poll_t *exit_poll, *bell_poll, *port_poll;
    int port_fd;
    /* state */
    bool warm, ready, early_ready, stopping, killed, draining, may_exit, hot, held, dirty, blocked, buried;
    enum hz_intent intent;
    uint64_t intent_execution; /* number of the one whose deadline or cancellation it is */
    char user[64], fatal[512], replaces[HZ_UUID_TEXT];
    uint64_t created_ns, stop_ns, said_ns;
    struct hz_timer start_timer, stop_timer, linger_timer;
    struct hz_worker_waiter *waiters;
    struct hz_worker_request *requests;
    uint64_t next_request;
    /* scheduler */
    struct cds_list_head executions;
    struct hz_service *service;
    struct hz_webhook_route *routes;
    unsigned route_count, asks_open, own_count; /* own: executions it numbered itself */
    uint64_t answers_dropped;
    bool counted_starting;
    struct hz_early **early; /* ends of executions whose beginning is still in another lane's ring: a table, NULL none yet */
    size_t early_bytes;
    unsigned early_count;
    /* sampler */
    int statm_fd;
    uint64_t overrun_ns; /* sampler: since when a lane has been in a node for too long, as seen last time; 0 none */
    uint32_t overrun_node;
    uint64_t last_activity_ns;
    bool dirty_info; /* counters changed since the registry's copy */
    char *progress, *metrics; /* latest, JSON text */
    struct rusage usage;      /* of the whole life, from the reaping */
    struct hz_progress_state progress_state;
    bool stopped;             /* by a signal, as the kernel told us */
    uint64_t ask_ns, ask_cpu_ns;
    unsigned asked, ask_looks; /* asked: of struct hz_evidence */
    struct hz_timer ask_timer;   /* it was asked where it is: killed when this is due */
    /* limits */
    struct hz_timer limit_timer;
    uint64_t flow_ns;         /* when it got its flow */
    unsigned limit_warned;    /* bit by kind */
    bool limit_memory;
    struct hz_past *history;     /* history.c: what its samples are made of; NULL none yet */
    char limit_text[320];     /* which limit it reached */
    bool grouped;             /* it has a control group (cgroup.h) */
};

struct hz_worker_options {
    enum hz_worker_purpose purpose;
    struct hz_workflow *workflow; /* taken reference, also on failure; NULL: a spare */
    struct hz_uuid execution;
    bool wants_port, listens;     /* listens: runs its start node by itself */
    const char *id_text, *replaces; /* NULL: a new uuid; of the worker before this one, NULL none */
    struct hz_service *service;
    uint32_t restarts;
};
/* Makes a worker and asks for its process; its flow and what is sent to it wait in the command ring. NULL: error has the text for the client. */
struct hz_worker *hz_worker_new(struct hz_yard *yard, const struct hz_worker_options *options, char *error, size_t error_size);
/* A warm spare gets its flow. As hz_worker_new(). */
struct hz_worker *hz_worker_from_spare(struct hz_worker *spare, const struct hz_worker_options *options, char *error, size_t error_size);
struct hz_worker *hz_worker_find(struct hz_yard *yard, const struct hz_uuid *id);

/* Tells fn when it is ready, or why it is not: at once if that is known. 0 or HZ_ENOMEM. */
HZ_MUST_CHECK int hz_worker_wait_ready(struct hz_worker *w, hz_worker_started_fn *fn, void *arg);
/* Asks it to end; a second call joins. fn may be NULL. */
void hz_worker_stop(struct hz_worker *w, enum hz_intent intent, const char *user, hz_worker_stopped_fn *fn, void *arg);
/* SIGKILL now, with the reason noted first. */
void hz_worker_kill(struct hz_worker *w, enum hz_intent intent, uint64_t execution);
/* It broke a rule: logged, killed. */
void hz_worker_poison(struct hz_worker *w, const char *reason);
/* Its single execution is over: it may end by itself within two seconds. */
void hz_worker_done(struct hz_worker *w);

/* One command; rung for at the end of the loop's turn. Errors of hz_stream_send(); HZ_ECLOSED once buried. */
HZ_MUST_CHECK int hz_worker_send(struct hz_worker *w, uint32_t type, const struct hz_part *parts, size_t count);
/* Publishes the registry's copy. */
void hz_worker_publish(struct hz_worker *w);
/* A question to the worker (supervisor's request); errors of the contract come through fn. */
void hz_worker_ask(struct hz_worker *w, const char *route, const char *data, size_t len, hz_worker_answer_fn *fn, void *arg);

/* ---- between the supervisor's own files ---- */
extern struct hz_worker_sink hz_worker_sink;      /* worker_end.c */
void hz_worker_enter(struct hz_worker *w);        /* into the shard's tables, and out of them */
void hz_worker_leave(struct hz_worker *w);
void hz_worker_await_ready(struct hz_worker *w); /* for so long */
uint64_t hz_worker_sequence(void);               /* of the next one to be created */
void hz_worker_set_sequence(uint64_t next);      /* before the shards run */
/* worker_carry.c: to the next image of the manager. quiet: nobody waits for it, and it can be carried or need not be.
 * service: a number of the caller's. adopt: an error ends the process. */
bool hz_worker_can_carry(const struct hz_worker *w);
bool hz_worker_quiet(const struct hz_worker *w);
void hz_worker_carry(const struct hz_worker *w, uint64_t service, struct hz_carry_out *out);
HZ_MUST_CHECK int hz_worker_adopt(
        struct hz_yard *yard, struct hz_carry_in *in, uint64_t *ret_service, struct hz_worker **ret_worker);
void hz_worker_set_status(struct hz_worker *w, enum hz_worker_status status);
void hz_worker_close_far(struct hz_worker *w);    /* far_fds */
void hz_worker_release(struct hz_worker *w);      /* descriptors, timers, segment, port */
void hz_worker_tell_waiters(struct hz_worker *w, const char *error, bool stopped, enum hz_stop_how how);
void hz_worker_stillborn(struct hz_worker *w, const char *error, bool spawn_lost); /* there never was a process */
/* worker_message.c: a line of its own; number: of the execution, 0 none */
void hz_worker_say(struct hz_worker *w, int64_t wall_ms, int level, bool console, uint64_t number, const char *text,
        size_t len);
void hz_worker_on_message(void *worker, const struct hz_msg *msg, bool lossy); /* hz_link_fn */
void hz_worker_on_ready(struct hz_worker *w);
void hz_worker_answer(struct hz_worker *w, const struct hz_msg *msg);
void hz_worker_fail_requests(struct hz_worker *w, const char *error);
void hz_worker_exited(struct hz_worker *w, int code, int status);        /* reaper.c */
int hz_reaper_attach(struct hz_worker *w, int32_t pid);                        /* pidfd, check, poll; 0 or the error */
void hz_reaper_detach(struct hz_worker *w);
void hz_reaper_kill(struct hz_worker *w);
bool hz_reaper_ask(struct hz_worker *w);               /* where are you? (SIGRTMIN); false: it cannot be asked */
int hz_worker_poll_attach(struct hz_worker *w);   /* worker_poll.c: doorbell into the loop */
void hz_worker_poll_expect(struct hz_worker *w);  /* its first work is on its way: look without sleeping, a quarter of a millisecond at most */
/* It ended something that it had begun by itself: is the store so far behind that it has to wait? Then its rings stay as they are until
 * the store has caught up; they fill, and it waits as for any full ring. */
void hz_worker_poll_behind(struct hz_worker *w);
/* It said a line of so many bytes: more than its share, while there are others on the shard, and it waits in the same way. No line is
 * lost. */
void hz_worker_poll_said(struct hz_worker *w, size_t bytes);
void hz_worker_poll_flush(struct hz_yard *yard); /* what was sent is in the rings, or waits for room */
void hz_worker_poll_detach(struct hz_worker *w);
void hz_worker_poll_drain(struct hz_worker *w);   /* everything a dead worker left */
int hz_worker_poll_begin(struct hz_yard *yard);
void hz_worker_poll_end(struct hz_yard *yard);
int hz_worker_port_attach(struct hz_worker *w);   /* worker_port.c */
HZ_MUST_CHECK int hz_worker_port_adopt(struct hz_worker *w, int fd); /* w->info.port is its number */
void hz_worker_port_rest(struct hz_worker *w, bool rest);            /* connections wait in the kernel */
void hz_worker_port_detach(struct hz_worker *w);
HZ_MUST_CHECK int hz_worker_assign(struct hz_worker *w, bool listens); /* worker_assign.c: ASSIGN and PLAN */
struct hz_geometry hz_worker_geometry(const struct hz_workflow *workflow);
void hz_spares_fill(struct hz_yard *yard);        /* spares.c */
void hz_spares_warm(struct hz_worker *w);
void hz_spares_lost(struct hz_worker *w);
struct hz_worker *hz_spares_take(struct hz_yard *yard, const struct hz_worker_options *options); /* NULL: none fits */
void hz_spares_begin(struct hz_yard *yard);
void hz_sampler_begin(struct hz_yard *yard);      /* sampler.c */
void hz_sampler_end(struct hz_yard *yard);
void hz_sampler_detach(struct hz_worker *w);
void hz_sampler_wake(struct hz_yard *yard);       /* a worker became busy or was made */
bool hz_sampler_busy(const struct hz_worker *w);  /* work in hand, by our books or by its cells */
uint64_t hz_sampler_resident(struct hz_worker *w); /* bytes, the kernel's word; 0 unknown */
uint64_t hz_sampler_cpu_ns(const struct hz_worker *w); /* of the process, the kernel's word; 0 unknown */
bool hz_sampler_read(struct hz_worker *w);        /* now; true if a figure changed */
void hz_sampler_stopped(int32_t pid, bool stopped); /* any thread: the kernel says that this child stands still, or goes on */
struct hz_shard *hz_supervisor_shard_of(const struct hz_uuid *id); /* supervisor.c: NULL unknown */
struct hz_shard *hz_supervisor_pick_shard(void);
void hz_supervisor_emit(enum hz_worker_event event, const struct hz_worker_info *info, const char *detail);

#endif
