/*
 * worker.h - one worker: an operating-system process that runs the executions of one flow. The folder's front door.
 *
 * The main thread (thread 0) owns the command ring, the libuv loop, the table of executions and lane 0, and runs
 * executions like every other lane thread.
 */
#ifndef HZ_WORKER_WORKER_H
#define HZ_WORKER_WORKER_H

#include "executor.h"
#include "pool.h"
#include "sandbox.h"
#include "shm/shm.h"
#include <uv.h>

#define HZ_RESULT_MAX ((size_t)1 << 20)  /* a larger result is left out of FINISHED */
#define HZ_EXPRESSION_LIMIT_MS 1000u
#define HZ_MAX_STEPS UINT64_C(100000000)
#define HZ_MAX_QUEUED 1000000u
#define HZ_MAX_WAITING_EVENTS 65536u     /* fired triggers whose execution has not begun */

struct hz_worker_type { /* the nodes of one type, for hz_upstream() */
    hz_str type;
    uint32_t first, count; /* in type_nodes */
};

struct hz_listened { /* a webhook's method and endpoint, so that nobody takes it twice */
    struct hz_listened *next;
    uint32_t node;
    char key[];
};

struct hz_worker {
    uint32_t magic;
#define HZ_WORKER_MAGIC 0x576f726bu
    struct hz_spawn_request request;
    char *paths; /* granted by the policy, as struct hz_sandbox_options has them; freed when the sandbox stands */
    size_t paths_len;
    struct hz_sandbox_options sandbox; /* as entered; caps 0 in tests */
    struct hz_segment segment;
    struct hz_doorbell bell;
    int manager_fd, statm_fd;
    uint64_t page_bytes;
    struct hz_stream_in commands;
    bool in_process; /* a test runs it on a thread of its own: come back instead of ending the process */

    uv_loop_t loop;
    uv_poll_t bell_poll;
    uv_timer_t alarm;
    uv_async_t wake;   /* by our own threads and the signal handler */
    uint32_t handles;  /* watches and timers of nodes: the loop must be looked at */
    bool rung, loop_made;
    uint64_t looked_ns, kernel_ns; /* last look at the loop, last question for the kernel's figures */
    bool kernel_stale;

    bool assigned, loaded, resident, development, tracking, listens, ready, failed, checkpoints;
    bool node_stats; /* NODE_RUNS before FINISHED */
    uint32_t port, assign_flags;
    char id_text[HZ_UUID_TEXT];
    char *workflow_id;
    int64_t start_wall_ms;
    const hz_value *env;
    struct hz_plan *plan;
    struct hz_program *program;
    struct hz_site *sites;
    uint32_t site_count;
    struct hz_worker_type *types;
    uint32_t type_count, *type_nodes;
    struct hz_listened *listened;
    struct hz_limits limits;

    struct hz_thread *threads[HZ_MAX_LANES];
    uint32_t thread_count;
    struct hz_pool pool;
    _Atomic bool ending, threads_stop;
    _Atomic uint32_t waiting_events, lanes_gone;
    int exit_code;

    /* executions: by number, and in a list; main thread */
    struct hz_execution **table;
    uint32_t table_size, execution_count;
    struct hz_execution *all, *free_executions;
    uint32_t free_execution_count;
    uint64_t own_numbers;
};

/* The worker of this process; NULL outside one. */
struct hz_worker *hz_worker_self(void);

/* Binds an attached segment and the two doorbells, makes loop and threads' structs (no thread runs yet). The worker owns
 * the descriptors. 0 or a negative code. */
HZ_MUST_CHECK int hz_worker_init(struct hz_worker *ret_worker, const struct hz_spawn_request *request,
        const struct hz_segment *segment, int worker_fd, int manager_fd);
/* Runs until the end; returns the exit code. Real workers call _exit() with it. */
int hz_worker_run(struct hz_worker *worker);
void hz_worker_fini(struct hz_worker *worker);
/* Asks for the end with this exit code; main thread. */
void hz_worker_end(struct hz_worker *worker, int exit_code);
/* Says READY, once. Main thread. */
void hz_worker_ready(struct hz_worker *worker);
/* The worker cannot go on: FATAL, the line of the contract, exit code 1. */
void hz_worker_fatal(struct hz_worker *worker, const char *format, ...) HZ_PRINTF(2, 3);
/* From a signal handler: SIGTERM or SIGINT. */
void hz_worker_on_signal(int signal_number);

/* Main thread: the table of executions. */
HZ_MUST_CHECK int hz_worker_add_execution(struct hz_worker *worker, struct hz_execution *execution);
struct hz_execution *hz_worker_find_execution(struct hz_worker *worker, uint64_t number);
void hz_worker_execution_done(struct hz_execution *execution);

/* command.c: one record of the command ring. */
void hz_command_run(struct hz_worker *worker, const struct hz_msg *msg);
/* Waits for ASSIGN and PLAN before anything else is set up (a worker that starts cold); 0, or a negative code. */
HZ_MUST_CHECK int hz_command_await_plan(struct hz_worker *worker);
/* Loads the plan that hz_command_await_plan() took, and says READY or FATAL. */
void hz_command_load(struct hz_worker *worker);
/* assembly.c: the sites of a plan that has been checked; types, parameters, log lines; 0 or a code with hz_err_last(). */
HZ_MUST_CHECK int hz_assembly_load(struct hz_worker *worker);
void hz_assembly_unload(struct hz_worker *worker);
/* request.c: a request's meta JSON, content type and body to the input of its webhook; NULL: *ret_error. */
const hz_value *hz_request_input(const char *meta, size_t meta_len, const char *type, size_t type_len, const char *body,
        size_t body_len, const char **ret_error);
/* answer.c: a question of the manager (REQUEST). */
void hz_answer_request(struct hz_worker *worker, const struct hz_msg *msg);

static inline void hz_worker_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

#endif
