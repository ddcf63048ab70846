/*
 * herald.h - who is told what happens next: workers that come, go and are replaced (everybody but who asked for it), and the executions of
 * `workflows:execute` (who started them, alone). Fed by the supervisor's and the scheduler's events.
 */
#ifndef HZ_CORE_API_HERALD_H
#define HZ_CORE_API_HERALD_H

#include "shm/base.h"
#include <stdbool.h>

struct hz_sio_socket;
struct hz_worker_info;

/* Registers with supervisor and scheduler. Main thread, before the shards run. */
HZ_MUST_CHECK int hz_herald_init(void);
void hz_herald_fini(void); /* no shard runs */

/* This worker is about to be stopped or, if so, restarted by somebody: he is left out of what the others hear. origin NULL: nobody is.
 * Any shard. Forgotten when it has happened, the oldest of 4,096 before that. */
void hz_herald_author(const char *worker_id, struct hz_sio_socket *origin, bool restart);

/* The restart that was noted with this origin does not come about: the note is taken back, and the others hear of the worker's end if it was
 * kept from them for a new worker's sake. */
void hz_herald_restart_failed(const char *worker_id, struct hz_sio_socket *origin);

/* An execution that a page has started: `workflows:worker-ready`, `-error` and `-completed` go to origin, its record gets status and
 * duration. Any shard; when its id is known, before or after its worker is ready. */
struct hz_heralded {
    char execution_id[HZ_UUID_TEXT], workflow_id[128], version[32];
    bool record; /* the record's status follows the end (no version was asked for) */
};
void hz_herald_execution(const struct hz_heralded *watched, struct hz_sio_socket *origin);

/* Calls fn(arg, true) on this shard when the worker is ready, (arg, false) when it is gone before that. At once if it is ready. */
typedef void hz_herald_ready_fn(void *arg, bool ready);
void hz_herald_ready(const struct hz_uuid *worker, hz_herald_ready_fn *fn, void *arg);

#endif
