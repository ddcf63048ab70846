/*
 * checkpoint.c - when an execution's state goes to disk, and what waits for it. Worker, the thread that owns the execution;
 * hz_checkpoint_saved() on the main thread. The rule and its reason: checkpoint.h.
 *
 * One checkpoint of an execution is under way at a time. While it is, calls that wait may come back and send messages; these
 * carry a later count of changes and need the next checkpoint. Timers, answers and the end of the execution go their way.
 */
#include "call.h"
#include "checkpoint.h"
#include "executor_run.h"
#include "report.h"
#include "worker.h"

#include <stdio.h>
#include <string.h>

static void cannot(struct hz_execution *execution, int err)
{
    static const char big[] = "the state of the execution is too large for a checkpoint", memory[] = "out of memory";
    const char *text = err == HZ_ETOOBIG ? big : memory;
    hz_executor_fail(execution, HZ_NO_NODE, err == HZ_ETOOBIG ? "LIMIT" : "NOMEM", text, strlen(text));
    execution->abort = HZ_EXEC_FAILED;
}

static void send_state(struct hz_execution *execution)
{
    struct hz_buffer state = {0};
    int err = hz_checkpoint_pack(execution, &state);
    if (err == 0) {
        struct hz_msg_checkpoint message = {.execution = execution->number, .sequence = ++execution->checkpoint_sequence,
                .state_len = state.len};
        struct hz_part parts[] = {{&message, sizeof(message)}, {state.data, state.len}};
        execution->sending = execution->changes;
        execution->in_flight = true;
        err = hz_report_send(execution->thread, HZ_MSG_CHECKPOINT, parts, HZ_COUNT_OF(parts), execution->deadline_ns);
        hz_buffer_fini(&state);
        if (err == HZ_ETIMEOUT || err == HZ_ECLOSED)
            err = 0; /* the deadline, or the end of the worker, decides */
    }
    if (err != 0)
        cannot(execution, err);
}

bool hz_checkpoint_passes(struct hz_execution *execution, const struct hz_delivery *next)
{
    if (execution->worker->sites[next->node].pure || next->change <= execution->saved)
        return true;
    execution->gated = true;
    if (!execution->in_flight)
        send_state(execution);
    return false;
}

void hz_checkpoint_idle(struct hz_execution *execution)
{
    if (!execution->long_wait || execution->in_flight)
        return;
    execution->long_wait = false;
    send_state(execution);
}

static void run_saved(struct hz_thread *thread, struct hz_mail *mail)
{
    (void)thread;
    struct hz_execution *execution = HZ_CONTAINER_OF(mail, struct hz_execution, saved_mail);
    if (!execution->finished) {
        execution->in_flight = false;
        execution->saved = execution->sending;
        if (execution->gated) {
            execution->gated = false;
            hz_executor_make_ready(execution);
        }
    }
    hz_execution_unref(execution);
}

void hz_checkpoint_saved(struct hz_execution *execution, uint64_t sequence)
{
    uint32_t owner = atomic_load(&execution->owner);
    /* The manager is trusted; a second answer to the same checkpoint would use the letter twice. */
    if (owner == HZ_NO_OWNER || sequence != execution->acknowledged + 1)
        return;
    execution->acknowledged = sequence;
    (void)atomic_fetch_add_explicit(&execution->refs, 1, memory_order_relaxed);
    execution->saved_mail.run = run_saved;
    hz_thread_post(execution->worker->threads[owner], &execution->saved_mail);
}
