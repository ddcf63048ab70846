/*
 * supervisor.h - start, watch, stop, restart and bury workers. A worker lives on one shard; every call may come from any
 * shard and answers by a callback on the calling shard.
 */
#ifndef HZ_CORE_SUPERVISOR_H
#define HZ_CORE_SUPERVISOR_H

#include "registry.h"
#include "workflows.h"

struct hz_config;
struct hz_shard;

struct hz_start_options {
    struct hz_workflow *workflow;  /* taken reference */
    struct hz_uuid execution;      /* activation or execution it serves; nil: none */
    bool wants_port;               /* owns a port of the range */
    const char *worker_id_text;    /* NULL: a new uuid */
};
/* error: NULL on success, else the exact text of contract 3.3 (`No hay puertos disponibles para el worker`, `Timeout al iniciar
 * worker <id>`, `Worker <id> terminó con código <code>`, ...). info: valid during the call. */
typedef void hz_worker_started_fn(void *arg, const struct hz_worker_info *info, const char *error);
enum hz_stop_how { HZ_STOP_FLAG, HZ_STOP_GRACE, HZ_STOP_KILL, HZ_STOP_NOT_FOUND };
const char *hz_stop_how_name(enum hz_stop_how how); /* "flag" "grace" "kill" */
typedef void hz_worker_stopped_fn(void *arg, enum hz_stop_how how);
/* data: JSON text of the answer's data member ("" none); error: NULL on success. */
typedef void hz_worker_answer_fn(void *arg, const char *data, size_t len, const char *error);

HZ_MUST_CHECK int hz_supervisor_init(const struct hz_config *config);       /* main thread, before the shards run */
HZ_MUST_CHECK int hz_supervisor_begin(struct hz_shard *shard);             /* on each shard's thread */
void hz_supervisor_end(struct hz_shard *shard);
void hz_supervisor_fini(void);

/* The port really bound by the server, for the workers' information; before the shards run. Default: config->server_port. */
void hz_supervisor_set_server_port(uint32_t port);
uint32_t hz_supervisor_server_port(void);

void hz_supervisor_start(const struct hz_start_options *options, hz_worker_started_fn *fn, void *arg);
/* user: who asked, for `Detenido por <user>`; a second stop joins the first. */
void hz_supervisor_stop(const struct hz_uuid *id, const char *user, hz_worker_stopped_fn *fn, void *arg);
/* Stop, then start with the same workflow version and execution; fn gets the new worker. */
void hz_supervisor_restart(const struct hz_uuid *id, const char *user, hz_worker_started_fn *fn, void *arg);
/* workers:send-message; errors of contract 1.3. */
void hz_supervisor_request(const struct hz_uuid *id, const char *route, const char *data, size_t len, hz_worker_answer_fn *fn, void *arg);
/* All workers in parallel; fn on the calling shard when the last is gone. Prints `Deteniendo todos los workers...`. */
void hz_supervisor_stop_all(void (*fn)(void *arg), void *arg);
/* On a shard: its workers are being stopped because the server ends. */
bool hz_supervisor_ends_here(void);

/* Last lines of a worker's log, `[ISO] text`, oldest first: malloc'ed array of malloc'ed strings. HZ_ENOTFOUND for an unknown
 * worker (the logs of the last 256 buried workers are kept). after: only lines with a sequence above it; *ret_last the newest. */
HZ_MUST_CHECK int hz_logs_tail(const struct hz_uuid *id, size_t lines, uint64_t after, char ***ret_lines, size_t *ret_count, uint64_t *ret_last);

/* Events for whoever shows them; called on the worker's shard, must not block. */
enum hz_worker_event { HZ_EVENT_WORKER_CREATED, HZ_EVENT_WORKER_READY, HZ_EVENT_WORKER_CHANGED, HZ_EVENT_WORKER_ERROR,
    HZ_EVENT_WORKER_CRASHED, HZ_EVENT_WORKER_RESTARTED, HZ_EVENT_WORKER_STOPPED, HZ_EVENT_WORKER_PARKED,
    HZ_EVENT_WORKER_STUCK, HZ_EVENT_WORKER_LIMIT };
typedef void hz_worker_event_fn(void *arg, enum hz_worker_event event, const struct hz_worker_info *info, const char *detail);
int hz_supervisor_listen(hz_worker_event_fn *fn, void *arg); /* before the shards run */
/* Every line of every worker (horizon run): console lines carry console = true and the text `[console] <json>`. */
typedef void hz_worker_line_fn(void *arg, const struct hz_worker_info *info, int level, bool console, const char *text, size_t len);
int hz_supervisor_listen_lines(hz_worker_line_fn *fn, void *arg);
/* Connections accepted on a worker's port, on that worker's shard: fn owns fd. Set before the shards run. */
typedef void hz_accept_fn(struct hz_shard *shard, int fd, const void *addr, unsigned addr_len, uint32_t port, const struct hz_uuid *worker);
/* The worker has given up its port: its connections must not keep it. The same shard, before the end is told to anybody. */
typedef void hz_port_free_fn(struct hz_shard *shard, uint32_t port);
void hz_supervisor_on_accept(hz_accept_fn *fn, hz_port_free_fn *free_fn);

#endif
