/*
 * scheduler.h - executions: accept, queue, choose or start a worker, deadline, end. Any shard may submit; callbacks come
 * back on the calling shard. The row goes to the store first where the durability asks for it (accepted means committed).
 */
#ifndef HZ_CORE_SCHEDULER_H
#define HZ_CORE_SCHEDULER_H

#include "registry.h"
#include "store.h"
#include "workflows.h"

struct hz_config;
struct hz_shard;
HZ_MUST_CHECK int hz_scheduler_init(const struct hz_config *config);
HZ_MUST_CHECK int hz_scheduler_begin(struct hz_shard *shard);
void hz_scheduler_end(struct hz_shard *shard);
void hz_scheduler_fini(void);

struct hz_submit {
    struct hz_workflow *workflow; /* taken reference */
    const char *data;             /* JSON text, copied; "" = {} */
    size_t data_len;
    const char *trigger;          /* "manual", "api" ... */
    bool wants_port;              /* activations and `workflows:execute` */
    uint32_t timeout_ms;          /* 0: the workflow's */
    uint32_t priority;            /* 1..9, 0: the workflow's */
    int64_t due_wall_ms;          /* not before; 0: at once */
    const char *key;              /* dedupKey, copied; NULL: none */
    void (*duplicate)(void *arg, const struct hz_store_execution *row); /* with key: instead of `accepted`, the one that is there */
};
#define HZ_SUBMIT_KEY 128         /* bytes of a key with its NUL */

/* accepted: error NULL and the id, or the reason (busy: retry_after_s > 0). For a flow with a trigger (activation) it comes when the
 * row is committed and the worker is chosen; worker: its info if one exists already, else NULL. */
typedef void hz_accepted_fn(void *arg, const struct hz_uuid *execution, const struct hz_worker_info *worker, const char *error, uint32_t retry_after_s);
/* finished: the final row (valid during the call); an activation: called when its worker is ready (row.state RUNNING) or failed. */
typedef void hz_finished_fn(void *arg, const struct hz_store_execution *row);
void hz_scheduler_submit(const struct hz_submit *submit, hz_accepted_fn *accepted, hz_finished_fn *finished, void *arg);
/* An execution's row, live or stored: what a client should see now. Any thread. HZ_ENOTFOUND. Caller calls hz_store_execution_fini(). */
HZ_MUST_CHECK int hz_scheduler_get(const struct hz_uuid *id, struct hz_store_execution *ret_row);
/* Open ones by state (newest first), see hz_executions_list_live(). Any thread. */
HZ_MUST_CHECK int hz_scheduler_list_live(const char *workflow_id, enum hz_exec_state state, int64_t before_ms, const struct hz_uuid *before,
        size_t limit, struct hz_store_execution **ret_rows, size_t *ret_count);
/* A row a former manager left open, back into the queue of its workflow's shard: with its time, deadline, priority, key. Any shard. Takes the
 * reference of workflow; input and the other strings are taken from the row. attempt: as which it runs. */
void hz_scheduler_adopt(struct hz_workflow *workflow, struct hz_store_execution *row, uint32_t attempt);
bool hz_scheduler_live(const struct hz_uuid *id, struct hz_store_execution *ret_row); /* only if it is not over */
/* What was left open by the manager before, by what became of it; complete before the first shard runs. Any thread. */
struct hz_recovery {
    uint32_t found, resumed, restarted, interrupted, activations; /* activations: started again, besides */
    uint64_t took_us;
    bool failed; /* the store could not be read */
};
const struct hz_recovery *hz_scheduler_recovery(void);
/* Drives a dead letter again as a new execution of the newest version with the same input. The letter is marked when the new one is
 * accepted: a crash in between leaves it where it is, to be driven once more, which finds the same execution: `duplicate` then.
 * HZ_ENOTFOUND: no dead letter; HZ_EFORMAT: flow; or an error of the store. */
HZ_MUST_CHECK int hz_scheduler_redrive(const struct hz_uuid *id, hz_accepted_fn *accepted, hz_finished_fn *duplicate, void *arg);
uint32_t hz_scheduler_admitted(void); /* executions admitted and not finished, all workflows */
/* What the calling shard's desk knows since the last call, a workflow each; at most 256 workflows' ends. Caller frees. HZ_ENOMEM. */
struct hz_figure {
    char workflow_id[128];
    uint32_t waiting;       /* accepted, due, and with no worker yet */
    int64_t oldest_ms;      /* how long the oldest of them has waited */
    uint32_t ended, failed; /* ended without those that were cancelled */
};
HZ_MUST_CHECK int hz_figures_take(struct hz_figure **ret_list, size_t *ret_count);
void hz_scheduler_cancel(const struct hz_uuid *execution, const char *reason, void (*fn)(void *arg, bool found), void *arg);

/* How executions get on, for whoever shows it: on the shard of the execution, must not block. News with state RUNNING come when it begins and at
 * each further attempt, then once a final one. Both before the shards run; NULL: nobody (then they cost a load). */
struct hz_execution_news {
    const struct hz_uuid *id;
    const char *workflow_id, *version, *trigger, *worker_id, *error; /* error: NULL none */
    enum hz_exec_state state;
    uint32_t attempt;
    bool is_activation;
    int64_t created_ms, started_ms;
};
typedef void hz_execution_news_fn(const struct hz_execution_news *news);
/* What a flow reports of itself. execution NULL: not of one in particular. json: as the worker sent it, not checked. */
typedef void hz_execution_progress_fn(const struct hz_uuid *execution, const struct hz_worker_info *worker, const char *json, size_t len);
void hz_scheduler_on_news(hz_execution_news_fn *news, hz_execution_progress_fn *progress);

/* ---- webhooks ---- */
struct hz_webhook_match {
    struct hz_uuid worker;
    uint32_t shard, node, timeout_ms;
    char *params; /* JSON object text of the path's parameters; caller frees */
};
/* Which worker answers `method` `path`? path: decoded once, without query (hz_http_path()); it is not decoded again. port 0: the server's own port (development /f_<uid>/api/..., production path); else that
 * worker's port. 1 found; 0 path unknown; -1 path known, method not (both answer 404 by contract). Any thread. */
int hz_webhooks_match(uint32_t port, const char *method, const char *path, struct hz_webhook_match *ret_match);

struct hz_http_reply {
    uint32_t status;
    const char *type; size_t type_len;
    const char *headers; size_t headers_len; /* "Name: value\n" lines, checked: no CR, no control characters */
    const char *body; size_t body_len;
    uint32_t retry_after_s; /* with 503 */
};
typedef void hz_http_reply_fn(void *arg, const struct hz_http_reply *reply); /* once, on the calling shard; valid during the call */
struct hz_http_call {
    struct hz_webhook_match match;
    const char *meta; size_t meta_len; /* JSON as in struct hz_msg_http_request */
    const char *type; size_t type_len;
    const char *body; size_t body_len;
};
/* Makes an execution of the request. Always calls fn once: the flow's answer, 503 (busy, worker gone), 506 after the webhook's timeout,
 * 500 `Error en respuesta ` when the execution ended in an error without an answer. *ret_ticket for hz_scheduler_http_gone(). */
void hz_scheduler_http(const struct hz_http_call *call, hz_http_reply_fn *fn, void *arg, uint64_t *ret_ticket);
/* The client left: fn is not called any more. Same shard as hz_scheduler_http(). */
void hz_scheduler_http_gone(uint64_t ticket);

/* Called by whoever serves the questions of workers (core/api/asks.c): route, data JSON; answer by calling done once, any shard. */
typedef void hz_ask_done_fn(void *ctx, bool success, const char *data, size_t len, const char *message);
typedef void hz_ask_fn(const struct hz_worker_info *worker, const char *route, const char *data, size_t len, hz_ask_done_fn *done, void *ctx);
void hz_scheduler_on_ask(hz_ask_fn *fn);

#endif
