/*
 * scheduler_retry.c - an execution that failed and may be tried again as its flow says: the same row goes back to queued, one attempt
 * later, and waits. No final state is written in between. On the desk's shard.
 */
#include "executions.h"

#include <stdlib.h>

uint32_t hz_retry_wait_ms(const struct hz_retry *retry, uint32_t attempt, uint32_t random)
{
    uint64_t wait = (uint64_t)retry->delay_ms << HZ_MIN(attempt - 1, 31u);
    wait = HZ_MIN(wait, (uint64_t)retry->max_ms);
    uint64_t spread = wait * retry->jitter / 100;
    return (uint32_t)(wait - spread * random / UINT32_MAX);
}

static void on_later(struct hz_timer *timer)
{
    struct hz_execution *e = HZ_CONTAINER_OF(timer, struct hz_execution, later);
    HZ_CHECK_OBJ(e, HZ_EXECUTION_MAGIC);
    if (!e->desk->ending && !e->desk->yard->ending)
        hz_admit_go(e); /* else its row stays queued for the next manager */
}

bool hz_retry_take(struct hz_execution *e, enum hz_exec_state state)
{
    const struct hz_retry *retry = &e->workflow->retry;
    if (!retry->given || e->attempt > retry->times || (state != HZ_EXEC_FAILED && state != HZ_EXEC_CRASHED))
        return false;
    if (!e->replayable || e->is_activation || e->wanted || e->wait_accept || e->desk->ending || e->desk->yard->ending)
        return false;
    struct hz_store_execution row;
    uint32_t random;
    hz_base_random(&random, sizeof random);
    uint32_t wait_ms = hz_retry_wait_ms(retry, e->attempt, random);
    hz_dispatch_detach(e);
    e->service = NULL;
    hz_checkpoint_forget(e);
    hz_checkpoint_attach(e);
    hz_execution_renumber(e); /* the worker may not have forgotten the old number yet */
    if (!e->started_ms)
        e->started_ms = hz_base_wall_ms(); /* it never began; it is another attempt all the same */
    hz_execution_set_state(e, HZ_EXEC_QUEUED);
    if (e->item.place == HZ_ITEM_TAKEN) { /* others have its place meanwhile; its turn comes again */
        struct hz_queue_lane *lane = e->item.lane;
        hz_queues_leave(&e->desk->queues, &e->item, hz_base_now_ns());
        hz_queues_hold(&e->desk->queues, lane, &e->item);
        hz_admit_again_soon(e->desk);
    }
    if (e->stored && hz_execution_row_bare(e, &row)) {
        row.due_wall_ms = hz_base_wall_ms() + wait_ms;
        if (e->claimed)
            row.state = HZ_EXEC_RUNNING;
        hz_execution_store(e->desk, &row);
    }
    hz_timer_after(hz_shard_timers(e->desk->shard), &e->later, wait_ms, on_later);
    return true;
}
