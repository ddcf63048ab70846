/*
 * msg.h - the records on the rings, as fixed layouts. After the struct come its byte strings in the order of their
 * `*_len` members, without padding or terminator. The manager copies a record out, then decodes it with hz_msg_open().
 */
#ifndef HZ_SHM_MSG_H
#define HZ_SHM_MSG_H

#include "base.h"

enum hz_msg_type {
#define HZ_MSG_X(NAME, name, id, direction, meaning) HZ_MSG_##NAME = (id),
#include "msg_table.h"
#undef HZ_MSG_X
    HZ_MSG_FRAGMENT = 255 /* a piece of a larger message: struct hz_msg_fragment, then bytes */
};

#define HZ_MSG_MAX (UINT64_C(64) << 20) /* max_message */
#define HZ_CHECKPOINT_MAX (UINT64_C(16) << 20) /* packed state of one execution */
#define HZ_NO_NODE UINT32_MAX

/* how a worker lives */
enum { HZ_WORKER_RESIDENT = 1, HZ_WORKER_DEVELOPMENT = 2, HZ_WORKER_TRACKING = 4, HZ_WORKER_LISTENS = 8,
    HZ_WORKER_CHECKPOINTS = 16, /* what finished is on disk before effects that build on it */
    HZ_WORKER_NODE_STATS = 32 /* NODE_RUNS goes before FINISHED */ };
/* bits of hz_msg_execute.reserved */
enum { HZ_EXECUTE_NO_RESULT = 1 /* nobody reads the result: leave it out of FINISHED */ };
/* states of an execution, also on disk: never renumber */
enum hz_exec_state { HZ_EXEC_QUEUED = 1, HZ_EXEC_RUNNING, HZ_EXEC_WAITING, HZ_EXEC_SUCCESS, HZ_EXEC_FAILED, HZ_EXEC_CANCELLED,
    HZ_EXEC_TIMED_OUT, HZ_EXEC_CRASHED, HZ_EXEC_INTERRUPTED };

struct hz_msg_fragment { uint64_t total; uint32_t type, sequence; };

struct hz_msg_assign { struct hz_uuid worker_id; uint32_t flags, port, server_port, worker_id_len, workflow_id_len, env_len; int64_t start_wall_ms; };
    /* strings: worker id text, workflow id, env: pairs "NAME\0value\0" */
struct hz_msg_plan { uint64_t plan_len, paths_len; };     /* strings: the plan (struct hz_plan of core/flow/plan.h); granted paths (core/policy.h) */
struct hz_msg_execute { uint64_t execution; struct hz_uuid id; uint64_t deadline_ns; /* monotonic, 0 none */
    uint32_t node; /* HZ_NO_NODE: the start node */ uint32_t attempt, data_len, reserved; }; /* reserved: HZ_EXECUTE_* */
    /* string: input data as JSON text ("" = {}) */
struct hz_msg_http_request { uint64_t execution; struct hz_uuid id; uint64_t deadline_ns; uint32_t node, flags;
    uint32_t meta_len, type_len; uint64_t body_len; };
    /* strings: JSON {headers, params, query, method, endpoint, time, body? (form fields), files?}; content type; raw body
     * (not for forms: those are in the JSON) */
struct hz_msg_cancel { uint64_t execution; uint32_t state; /* CANCELLED or TIMED_OUT */ uint32_t reason_len; };
struct hz_msg_request { uint64_t request; uint32_t route_len, reserved; uint64_t data_len; };
struct hz_msg_response { uint64_t request; uint32_t success, message_len; uint64_t data_len; }; /* message, data (JSON) */
struct hz_msg_shutdown { uint32_t reserved, pad; };
struct hz_msg_http_gone { uint64_t execution; };
struct hz_msg_checkpointed { uint64_t execution, sequence; };
struct hz_msg_resume { uint64_t execution; struct hz_uuid id; uint64_t deadline_ns; uint32_t attempt, flags; /* HZ_EXECUTE_* */ uint64_t state_len; };
    /* string: the state of a former HZ_MSG_CHECKPOINT */

struct hz_msg_warm { uint32_t pid, pad; };
struct hz_msg_ready { uint32_t pid, nodes; };
struct hz_msg_ask { uint64_t request, execution; uint32_t node, route_len; uint64_t data_len; };
struct hz_msg_answer { uint64_t request; uint32_t success, message_len; uint64_t data_len; };
struct hz_msg_fatal { uint32_t message_len, pad; };
struct hz_msg_started { uint64_t execution; /* with bit 63 set: numbered by the worker */ struct hz_uuid id; uint32_t node, pad; };
struct hz_msg_finished { uint64_t execution; uint32_t state; /* enum hz_exec_state, a final one */ uint32_t node; /* of the error */
    uint64_t node_runs, emissions, cpu_ns, peak_bytes; uint32_t error_len, code_len; uint64_t result_len; };
    /* strings: error text, error code, result: last emission that reached an open end, as JSON ("" none) */
struct hz_msg_checkpoint { uint64_t execution, sequence; /* counts up within the worker's execution */ uint64_t state_len; };
    /* string: the state (worker/checkpoint.h), at most HZ_CHECKPOINT_MAX bytes */
struct hz_msg_node_runs { uint64_t execution, runs_len; };
    /* string: an array of struct hz_msg_node_run, one for each node that ran */
struct hz_msg_node_run { uint32_t node, pad; uint64_t runs, errors, time_ns, peak_bytes; };
struct hz_msg_http_answer { uint64_t execution; uint32_t status, type_len, headers_len, pad; uint64_t body_len; };
    /* strings: content type, headers "Name: value\n"..., body */
struct hz_msg_listen { uint32_t node, timeout_ms, method_len, endpoint_len; };
struct hz_msg_line { int64_t wall_ms; uint64_t execution; uint32_t level, node; uint32_t console, text_len; };
struct hz_msg_log { int64_t wall_ms; uint64_t execution; uint32_t level, node; uint32_t text_len, pad; };
struct hz_msg_tell { int64_t wall_ms; uint64_t execution; uint32_t node, route_len; uint64_t data_len; };
struct hz_msg_hop { int64_t wall_ms; uint64_t execution, duration_ns, accumulated_ns, memory_bytes; uint32_t from, output, to, pad; };

/* A decoded record: `body` points at the fixed struct (8-aligned), strings follow in order; all lie within the copied bytes. */
#define HZ_MSG_STRINGS 3
struct hz_msg {
    uint32_t type;
    const void *body;
    struct { const char *data; size_t len; } str[HZ_MSG_STRINGS];
};

const char *hz_msg_name(uint32_t type);     /* "FINISHED", "?" */
char hz_msg_direction(uint32_t type);       /* 'C' 'R' 'M', 0 unknown */
size_t hz_msg_body_bytes(uint32_t type);    /* size of the fixed struct, 0 unknown */
/* Checks type, direction and that the lengths add up to exactly `len`; 0 or HZ_EFORMAT. `data` must be private memory. */
HZ_MUST_CHECK int hz_msg_open(struct hz_msg *ret_msg, char direction, uint32_t type, const void *data, size_t len);

#endif
