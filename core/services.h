/*
 * services.h - what keeps a resident worker alive: its restart policy, and for a flow without trigger the queue of executions in front
 * of it. A service lives on one shard, has at most one worker, and outlives it. On its shard.
 *
 * Restart policy: after an end nobody asked for the next worker comes after 1 s, then 2, 4 ... 60 s; five such ends within 60 s and it
 * is parked (parked.h): nothing more is tried until a person releases it. properties.horizon.restart `never` ends it after the
 * first, `always` starts it anew also after it ended in order.
 */
#ifndef HZ_CORE_SERVICES_H
#define HZ_CORE_SERVICES_H

#include "worker.h"

enum hz_service_kind {
    HZ_SERVICE_PLAIN,      /* made by `horizon start`: no row of its own */
    HZ_SERVICE_ACTIVATION, /* a flow with triggers, with its row */
    HZ_SERVICE_POOL        /* a flow without trigger: executions are dispatched into it */
};
#define HZ_SERVICE_ENDS 5u

struct hz_service {
    uint32_t magic;
#define HZ_SERVICE_MAGIC 0x5e4b1ceu
    struct cds_list_head node; /* yard->services */
    struct hz_yard *yard;
    enum hz_service_kind kind;
    struct hz_workflow *workflow;
    struct hz_execution *activation; /* kind ACTIVATION: its row */
    bool wants_port;
    const char *id_text;             /* of the first worker, NULL none */
    struct hz_worker *worker;        /* NULL: between two */
    struct hz_uuid last_worker;
    char last_text[HZ_UUID_TEXT];
    uint32_t restarts;
    uint64_t ends_ns[HZ_SERVICE_ENDS]; /* of the last ends nobody asked for */
    uint32_t end_count, backoff_ms;
    bool parked;
    char reason[256];                /* why it is parked */
    struct hz_timer timer;
    uint64_t carried;                /* its number, while the desk is carried */
    struct cds_list_head queue;      /* kind POOL: executions that wait for room */
    uint32_t queued, in_flight;
};

/* Where the pool of a workflow lives: the same shard for all its versions. */
struct hz_shard *hz_service_home(const struct hz_workflow *workflow);
/* Takes the reference of workflow, also on failure (NULL). */
struct hz_service *hz_service_new(struct hz_yard *yard, enum hz_service_kind kind, struct hz_workflow *workflow, bool wants_port);
/* Starts its worker; NULL: error says why. */
struct hz_worker *hz_service_start(struct hz_service *service, char *error, size_t error_size);
/* The pool of this workflow version on this shard, NULL: none yet. */
struct hz_service *hz_service_find_pool(struct hz_yard *yard, const struct hz_workflow *workflow);
/* The one whose worker was `id` last and that is between two workers. */
struct hz_service *hz_service_find_resting(struct hz_yard *yard, const struct hz_uuid *id);
/* Its worker is gone. Decides about the next one: now (somebody asked for a restart), later (the timer is armed), none and parked, or
 * none because it is over: then the caller tells everybody and frees it. */
enum hz_service_next { HZ_SERVICE_NOW, HZ_SERVICE_LATER, HZ_SERVICE_PARKED, HZ_SERVICE_OVER };
enum hz_service_next hz_service_lost(struct hz_service *service, const struct hz_death *death);
/* Pure policy, for the test: notes an end at now_ns; returns ms to wait, or UINT32_MAX: parked. */
uint32_t hz_service_note_end(struct hz_service *service, uint64_t now_ns);
/* Has it anything that a restart of the manager must not lose? Ends that are a minute old say nothing any more. */
bool hz_service_goes_along(const struct hz_service *service, uint64_t now_ns);
/* The next worker comes then (monotonic). */
void hz_service_wait(struct hz_service *service, uint64_t due_ns);
/* Between two workers: somebody stopped it for good. */
void hz_service_end(struct hz_service *service, const char *user);
/* Parked: forgets why. */
void hz_service_release(struct hz_service *service);
/* No worker, no queue any more. */
void hz_service_free(struct hz_service **service);

#endif
