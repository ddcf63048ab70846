/*
 * ask.h - questions of nodes to the manager, matched by request id. Each lane thread keeps its own; the id carries the
 * lane, so that the main thread knows whom an answer is for.
 */
#ifndef HZ_WORKER_ASK_H
#define HZ_WORKER_ASK_H

#include "call.h"
#include "shm/msg.h"

#define HZ_ASK_TIMEOUT_MS 30000u
#define HZ_ROUTE_MAX 256u

/* The thread that runs the call. HZ_OK: the answer will come to fn; or a HZ_ERR_* code. */
int hz_ask_start(struct hz_call *call, const char *route, const hz_value *data, hz_answer_fn *fn, void *arg);
/* Main thread: a RESPONSE record. Unknown ids are ignored. */
void hz_ask_response(struct hz_worker *worker, const struct hz_msg *msg);
/* The worker ends: every open question of the thread is answered with `Worker stopped`. Owner. */
void hz_ask_stop(struct hz_thread *thread);

#endif
