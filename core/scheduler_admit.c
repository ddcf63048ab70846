/*
 * scheduler_admit.c - between "accepted" and "its turn has come": bounds, lanes, delayed start, keys, and the claim that tells the store
 * of an execution that waited before a worker hears of it. On the desk's shard.
 *
 * What the store knows: an execution whose turn comes at once is committed as running when it is accepted. One that has to wait is
 * committed as queued, and as running ("claimed") before it is sent, if its workflow does not want it run twice. So an open row that says
 * queued or waiting has surely not begun, and is run after a crash of the manager whatever onInterrupt says.
 */
#include "executions.h"

#include "core/flow/plan.h"

#include <stdlib.h>
#include <string.h>

#define SINGLES_ALIVE 1280u      /* all shards together; one workflow gets four fifths, see queues.c */
#define SINGLES_WAITING 16u      /* taken from the queues and not begun: more would wait outside of the queues' order */
#define KEYS 4096u               /* buckets of the live keys */
#define DUE_MOST_MS 60000        /* the clock of the wall is looked at again after this: somebody may set it */
#define RETRY_MOST_S 60u
#define PAUSE_NS UINT64_C(1000000000)

int hz_admit_begin(struct hz_desk *desk)
{
    uint32_t shards = hz_shard_count();
    uint32_t most = HZ_MAX(1u, desk->config->concurrency / shards), singles = HZ_MAX(16u, SINGLES_ALIVE / shards);
    desk->keys = calloc(KEYS, sizeof(struct hz_execution *));
    if (!desk->keys)
        return hz_err_set(HZ_ENOMEM, "scheduler");
    desk->ends_since_ns = hz_base_now_ns();
    return hz_queues_init(&desk->queues, most, HZ_MIN(most, singles));
}

void hz_admit_end(struct hz_desk *desk)
{
    hz_timer_cancel(hz_shard_timers(desk->shard), &desk->round_timer);
    hz_queues_fini(&desk->queues);
    free(desk->keys);
}

/* ---- keys ---- */

static struct hz_execution **key_bucket(struct hz_desk *desk, const char *workflow_id, const char *key)
{
    uint64_t hash = UINT64_C(14695981039346656037); /* FNV-1a */
    for (const char *c = workflow_id; *c; c++)
        hash = (hash ^ (unsigned char)*c) * UINT64_C(1099511628211);
    for (const char *c = key; *c; c++)
        hash = (hash ^ (unsigned char)*c) * UINT64_C(1099511628211);
    return &desk->keys[(hash ^ hash >> 32) % KEYS];
}

struct hz_execution *hz_admit_find_key(struct hz_desk *desk, const char *workflow_id, const char *key)
{
    struct hz_execution *e = *key_bucket(desk, workflow_id, key);
    while (e && (strcmp(e->key, key) != 0 || strcmp(e->workflow->id, workflow_id) != 0))
        e = e->key_next;
    return e;
}

int hz_admit_set_key(struct hz_execution *e, const char *key)
{
    e->key = strdup(key);
    if (!e->key)
        return hz_err_set(HZ_ENOMEM, "execution");
    struct hz_execution **bucket = key_bucket(e->desk, e->workflow->id, key);
    e->key_next = *bucket;
    *bucket = e;
    return 0;
}

static void forget_key(struct hz_execution *e)
{
    struct hz_execution **link = key_bucket(e->desk, e->workflow->id, e->key);
    while (*link != e)
        link = &(*link)->key_next;
    *link = e->key_next;
    free(e->key);
    e->key = NULL;
}

/* ---- bounds ---- */

/* In so many seconds the queue in front of it should be done, from how fast executions ended lately. */
static uint32_t retry_after(const struct hz_desk *desk, const struct hz_queue_lane *lane)
{
    uint64_t s = lane->limits.rate_ns ? lane->waiting * lane->limits.rate_ns / 1000000000u : 0;
    s = HZ_MAX(s, (uint64_t)desk->queues.waiting / HZ_MAX(1u, desk->ends_per_s));
    return (uint32_t)HZ_MAX((uint64_t)1, HZ_MIN(s, (uint64_t)RETRY_MOST_S));
}

static void count_end(struct hz_desk *desk, uint64_t now_ns)
{
    desk->ends++;
    uint64_t elapsed = now_ns - desk->ends_since_ns;
    if (elapsed < 1000000000u)
        return;
    desk->ends_per_s = (uint32_t)((desk->ends_per_s + desk->ends * 1000000000u / elapsed) / 2);
    desk->ends = 0;
    desk->ends_since_ns = now_ns;
}

int hz_admit_check(struct hz_desk *desk, const struct hz_workflow *workflow, size_t input_len, uint32_t *ret_retry_after_s)
{
    struct hz_queue_lane *lane = hz_queues_lane(&desk->queues, workflow->id, &workflow->queueing);
    *ret_retry_after_s = 1;
    if (!lane)
        return hz_err_set(HZ_ENOMEM, "execution");
    *ret_retry_after_s = retry_after(desk, lane);
    uint32_t behind = lane->waiting + lane->held, most = desk->config->max_executions, admitted = hz_executions_admitted();
    if (lane->limits.queue && behind >= lane->limits.queue)
        return hz_err_set(HZ_EBUSY, "%u executions of workflow %s wait already (properties.horizon.queue)", behind, workflow->id);
    /* Four times what is left for all: a flood of one workflow leaves room for the others. */
    if (admitted >= most || behind > 4 * (uint64_t)(most - admitted))
        return hz_err_set(HZ_EBUSY, "%u executions of %u are admitted and not finished, %u of them of workflow %s in its queue", admitted, most,
                behind, workflow->id);
    if (hz_executions_input_bytes() + input_len > desk->config->input_bytes)
        return hz_err_set(HZ_EBUSY, "the executions that are admitted hold all of %u bytes of input", desk->config->input_bytes);
    return 0;
}

/* ---- lanes ---- */

static unsigned open_kinds(const struct hz_desk *desk)
{
    return 1u << HZ_QUEUE_POOL | (desk->single_waiting < SINGLES_WAITING ? 1u << HZ_QUEUE_SINGLE : 0u);
}

static void taken(struct hz_execution *e)
{
    if (!e->workflow->resident) {
        e->in_singles = true;
        e->desk->single_waiting++;
    }
}

int hz_admit_enter(struct hz_execution *e, uint32_t priority, bool at_once)
{
    struct hz_desk *desk = e->desk;
    uint64_t now = hz_base_now_ns();
    struct hz_queue_lane *lane = hz_queues_lane(&desk->queues, e->workflow->id, &e->workflow->queueing);
    if (!lane)
        return hz_err_set(HZ_ENOMEM, "execution");
    if (!priority)
        priority = lane->limits.priority ? lane->limits.priority : HZ_PRIORITY_DEFAULT;
    e->item.priority = (uint8_t)HZ_MIN(priority, HZ_PRIORITY_MOST);
    e->item.kind = e->workflow->resident ? HZ_QUEUE_POOL : HZ_QUEUE_SINGLE;
    e->item.since_ns = (int64_t)now;
    hz_queues_hold(&desk->queues, lane, &e->item);
    if (at_once && now >= desk->pause_ns && (open_kinds(desk) & 1u << e->item.kind) && hz_queues_free(&desk->queues, &e->item, now)) {
        hz_queues_take(&desk->queues, &e->item, now);
        e->claimed = true;
        taken(e);
    }
    return 0;
}

int hz_admit_put_back(struct hz_execution *e)
{
    struct hz_desk *desk = e->desk;
    struct hz_queue_lane *lane = hz_queues_lane(&desk->queues, e->workflow->id, &e->workflow->queueing);
    if (!lane)
        return hz_err_set(HZ_ENOMEM, "execution");
    if (e->item.priority < 1)
        return hz_err_set(HZ_EFORMAT, "an execution without priority");
    e->item.kind = e->workflow->resident ? HZ_QUEUE_POOL : HZ_QUEUE_SINGLE;
    hz_queues_hold(&desk->queues, lane, &e->item);
    uint64_t due_ns = lane->rate_due_ns; /* it was on time when it started */
    hz_queues_take(&desk->queues, &e->item, hz_base_now_ns());
    lane->rate_due_ns = due_ns;
    return 0;
}

static void on_due(struct hz_timer *timer);
static void wait_due(struct hz_execution *e, int64_t ms)
{
    hz_timer_after(hz_shard_timers(e->desk->shard), &e->timer, (uint32_t)HZ_MIN(ms, (int64_t)DUE_MOST_MS), on_due);
}

static void enqueue(struct hz_execution *e)
{
    uint64_t now = hz_base_now_ns();
    hz_queues_push(&e->desk->queues, &e->item, now);
}

static void on_due(struct hz_timer *timer)
{
    struct hz_execution *e = HZ_CONTAINER_OF(timer, struct hz_execution, timer);
    HZ_CHECK_OBJ(e, HZ_EXECUTION_MAGIC);
    int64_t left = e->due_ms - hz_base_wall_ms();
    if (left > 0) {
        wait_due(e, left);
        return;
    }
    hz_execution_set_state(e, HZ_EXEC_QUEUED);
    e->item.since_ns = (int64_t)hz_base_now_ns();
    if (e->deadline_ns)
        hz_dispatch_deadline(e);
    enqueue(e);
    hz_admit_again_soon(e->desk); /* others are due in the same moment: the most urgent of them first */
}

void hz_admit_go(struct hz_execution *e)
{
    if (e->item.place == HZ_ITEM_TAKEN || e->item.place == HZ_ITEM_OUT) {
        hz_dispatch(e);
        return;
    }
    int64_t left = e->due_ms ? e->due_ms - hz_base_wall_ms() : 0;
    if (left > 0) {
        wait_due(e, left);
        return;
    }
    if (e->state == HZ_EXEC_WAITING)
        hz_execution_set_state(e, HZ_EXEC_QUEUED);
    enqueue(e);
    hz_admit_again_soon(e->desk);
}

void hz_admit_leave(struct hz_execution *e)
{
    struct hz_desk *desk = e->desk;
    if (e->key)
        forget_key(e);
    if (e->in_singles) {
        e->in_singles = false;
        desk->single_waiting--;
    }
    if (e->item.place == HZ_ITEM_OUT)
        return;
    uint64_t now = hz_base_now_ns();
    count_end(desk, now);
    hz_queues_leave(&desk->queues, &e->item, now);
    if (desk->queues.waiting)
        hz_admit_again_soon(desk);
}

/* ---- rounds ---- */

static void run_round(struct hz_mail *mail)
{
    struct hz_desk *desk = HZ_CONTAINER_OF(mail, struct hz_desk, round_mail);
    desk->round_posted = false;
    hz_admit_round(desk);
}

void hz_admit_again_soon(struct hz_desk *desk)
{
    if (desk->round_posted || desk->ending)
        return;
    desk->round_posted = true;
    desk->round_mail.run = run_round;
    hz_shard_post(desk->shard, &desk->round_mail);
}

static void on_round(struct hz_timer *timer)
{
    hz_admit_round(HZ_CONTAINER_OF(timer, struct hz_desk, round_timer));
}

static void round_at(struct hz_desk *desk, uint64_t due_ns)
{
    if (!hz_timer_armed(&desk->round_timer) || desk->round_timer.due_ns > due_ns)
        hz_timer_at(hz_shard_timers(desk->shard), &desk->round_timer, due_ns, on_round);
}

/* The store could not take the claim: back to its place, and a second without taking anything. */
static void unclaim(struct hz_execution *e)
{
    struct hz_desk *desk = e->desk;
    HZ_LOG(WARN, "an execution cannot begin yet: %s", hz_err_last());
    if (e->in_singles) {
        e->in_singles = false;
        desk->single_waiting--;
    }
    uint64_t now = hz_base_now_ns();
    hz_queues_push(&desk->queues, &e->item, now);
    desk->pause_ns = now + PAUSE_NS;
    round_at(desk, desk->pause_ns);
}

void hz_admit_claimed(struct hz_execution *e, int result)
{
    if (result) {
        unclaim(e);
        return;
    }
    e->claimed = true;
    hz_dispatch(e);
}

void hz_admit_round(struct hz_desk *desk)
{
    if (desk->in_round) {
        desk->round_again = true;
        return;
    }
    desk->in_round = true;
    do {
        desk->round_again = false;
        for (;;) {
            uint64_t now = hz_base_now_ns();
            struct hz_queue_item *item = desk->ending || desk->resting || desk->yard->ending || now < desk->pause_ns
                                                 ? NULL
                                                 : hz_queues_next(&desk->queues, open_kinds(desk), now);
            if (!item)
                break;
            struct hz_execution *e = HZ_CONTAINER_OF(item, struct hz_execution, item);
            HZ_CHECK_OBJ(e, HZ_EXECUTION_MAGIC);
            hz_queues_take(&desk->queues, item, now);
            taken(e);
            if (!e->stored || e->claimed || e->workflow->on_interrupt != HZ_INTERRUPT_FAIL)
                hz_dispatch(e);
            else if (hz_commit_claim(e))
                unclaim(e);
        }
    } while (desk->round_again);
    desk->in_round = false;
    uint64_t wake = desk->ending ? 0 : hz_queues_wake(&desk->queues);
    if (wake)
        round_at(desk, wake);
}
