/* executor_run.h - what the executor_*.c files share and nobody else includes. */
#ifndef HZ_WORKER_EXECUTOR_RUN_H
#define HZ_WORKER_EXECUTOR_RUN_H

#include "executor.h"

struct hz_join {
    struct hz_branch *merged;
    uint32_t arrived;
    bool over;
    bool seen[]; /* by position in the node's origins */
};
/* The node's place in the table of states, made if absent; NULL: out of memory. */
struct hz_node_state *hz_executor_make_state(struct hz_execution *execution, uint32_t node);

/* Runs one delivery whose references it takes over; entered: the exclusive site was granted already. */
void hz_executor_run(struct hz_execution *execution, const struct hz_delivery *delivery, bool entered);
/* Adds a delivery on top of the work list. 0 or HZ_ENOMEM. */
HZ_MUST_CHECK int hz_executor_push(struct hz_execution *execution, const struct hz_delivery *delivery);
/* Ends it, lets it wait (false: do not touch it any more), or says that it has work. */
bool hz_executor_settle(struct hz_execution *execution);
/* Around something that happens outside a slice (a continuation, a grant): the bill, then what comes next. After leave the
 * execution may be gone. */
void hz_executor_enter(struct hz_execution *execution);
void hz_executor_leave(struct hz_execution *execution);
/* Takes the execution out of the waiting list of the exclusive site it is parked at. */
void hz_executor_unpark(struct hz_execution *execution);
/* The execution ends: what its open calls wait for is forgotten, their cancel hooks run. */
void hz_executor_cancel_calls(struct hz_execution *execution);
/* The same without hooks: the worker has ended. */
void hz_executor_drop_calls(struct hz_execution *execution);
void hz_executor_drop_states(struct hz_execution *execution);
/* An error payload of a call: on its `error` output, or charged to the execution. */
int hz_executor_emit_failure(struct hz_call *call, const hz_value *data, const hz_value *meta);
/* Sends along the drawn connections of `output`. */
int hz_executor_send(struct hz_call *call, const char *output, size_t len, const hz_value *data, const hz_value *meta);
/* Parameters of the call; 0 or a negative HZ_ERR_* code. */
HZ_MUST_CHECK int hz_executor_params(struct hz_call *call);
/* The node's own log templates: start (before the run) or exec (after it). */
void hz_executor_log(struct hz_call *call, const struct hz_plan_log *log);
/* Text of a HZ_ERR_* code. Static. */
const char *hz_executor_code_text(int code);

/* A blocking call leaves for its thread, and comes back with call->outcome. */
void hz_executor_park_blocking(struct hz_call *call);
void hz_executor_blocking_done(struct hz_call *call);
void hz_executor_post_early(struct hz_call *call);
/* Emissions a blocking call kept: sent, or dropped. */
void hz_executor_send_held(struct hz_call *call);
void hz_executor_drop_held(struct hz_call *call);
/* Ends one deferred call of an execution that ends, or whose node took too long. */
void hz_executor_cancel_call(struct hz_call *call);
/* Releases an execution that nobody will hear of any more: the worker has ended. */
void hz_executor_discard(struct hz_execution *execution);
/* The cancel hooks of a call that is over, on the main loop. */
void hz_executor_post_hooks(struct hz_call *call);
/* Borrowed; NULL if the node has none in this execution. */
const hz_value *hz_executor_state_of(const struct hz_execution *execution, uint32_t node);

#endif
