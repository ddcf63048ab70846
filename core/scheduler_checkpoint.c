/*
 * scheduler_checkpoint.c - the states that workers hand over between two node runs: kept in the store, answered once they are on disk,
 * sent again to the next worker when one is lost. On the desk's shard.
 *
 * The bytes are a worker's claim and stay opaque here: bounded, one at a time for each execution, of the execution of that worker only.
 * Whoever unpacks them (another worker) checks them. A commit that fails is tried again each second: the execution waits meanwhile, and
 * its deadline or a cancellation ends it as always.
 */
#include "executions.h"

#include "secrets.h"

#include <stdlib.h>
#include <string.h>

#define AGAIN_DISK_MS 1000u
#define AGAIN_ROOM_MS 10u

struct keeping { /* one commit under way */
    struct hz_mail mail;
    struct hz_desk *desk;
    struct hz_shard *shard;
    struct hz_uuid id;
    uint32_t attempt;
    uint64_t sequence;
    int result;
};

static void on_again(struct hz_timer *timer);

static void again(struct hz_execution *e, unsigned wait_ms)
{
    hz_timer_after(hz_shard_timers(e->desk->shard), &e->later, wait_ms, on_again);
}

static void answer(struct hz_execution *e)
{
    struct hz_msg_checkpointed message = {.execution = e->number, .sequence = e->checkpoint_sequence};
    struct hz_part part = {&message, sizeof message};
    if (!e->worker)
        return;
    int err = hz_worker_send(e->worker, HZ_MSG_CHECKPOINTED, &part, 1);
    if (err == HZ_EBUSY)
        again(e, AGAIN_ROOM_MS);
}

static void run_kept(struct hz_mail *mail)
{
    struct keeping *k = HZ_CONTAINER_OF(mail, struct keeping, mail);
    struct hz_execution *e = hz_execution_here(k->desk, &k->id);
    k->desk->commits--;
    /* It may be over, or run elsewhere by now. */
    if (e && e->attempt == k->attempt && e->checkpoint_sequence == k->sequence && e->checkpoint_state == HZ_CHECKPOINT_WRITING) {
        if (k->result) {
            e->checkpoint_state = HZ_CHECKPOINT_WAITING;
            again(e, AGAIN_DISK_MS);
        } else {
            e->checkpoint_state = HZ_CHECKPOINT_KEPT;
            answer(e);
        }
    }
    free(k);
}

/* On the store's thread. */
static void on_kept(int result, void *arg)
{
    struct keeping *k = arg;
    k->result = result;
    k->mail.run = run_kept;
    hz_shard_post(k->shard, &k->mail);
}

/* A flow that is given secrets may have them in its values, and needs those back unchanged: sealed, never in clear on the disk. */
static bool is_sealed(const struct hz_execution *e)
{
    return e->workflow->secrets && e->workflow->secrets[0];
}

static void *copy_for_store(const struct hz_execution *e, size_t *len)
{
    if (is_sealed(e)) {
        void *sealed = hz_secrets_box(&e->id, e->checkpoint, e->checkpoint_len, len);
        if (!sealed)
            HZ_LOG(ERROR, "a checkpoint of workflow %s waits: it cannot be sealed: %s", e->workflow->id, hz_err_last());
        return sealed;
    }
    void *copy = malloc(*len ? *len : 1);
    if (copy)
        memcpy(copy, e->checkpoint, *len);
    return copy;
}

static void keep(struct hz_execution *e)
{
    struct keeping *k = calloc(1, sizeof *k);
    size_t len = e->checkpoint_len;
    void *copy = k ? copy_for_store(e, &len) : NULL;
    e->checkpoint_state = HZ_CHECKPOINT_WAITING;
    if (copy) {
        *k = (struct keeping){.desk = e->desk, .shard = e->desk->shard, .id = e->id, .attempt = e->attempt, .sequence = e->checkpoint_sequence};
        if (hz_store_checkpoint_put(&e->id, ++e->checkpoint_ordinal, true, copy, len, true, on_kept, k) == 0) {
            e->desk->commits++;
            e->checkpoint_state = HZ_CHECKPOINT_WRITING;
            return;
        }
    }
    free(copy);
    free(k);
    again(e, AGAIN_DISK_MS);
}

static void on_again(struct hz_timer *timer)
{
    struct hz_execution *e = HZ_CONTAINER_OF(timer, struct hz_execution, later);
    HZ_CHECK_OBJ(e, HZ_EXECUTION_MAGIC);
    if (e->desk->ending)
        return;
    if (e->checkpoint_state == HZ_CHECKPOINT_WAITING)
        keep(e);
    else if (e->checkpoint_state == HZ_CHECKPOINT_KEPT)
        answer(e);
}

void hz_checkpoint_put_back(struct hz_execution *e, bool to_answer)
{
    if (e->checkpoint_state == HZ_CHECKPOINT_WRITING)
        e->checkpoint_state = HZ_CHECKPOINT_WAITING;
    if (e->checkpoint_state == HZ_CHECKPOINT_WAITING || (e->checkpoint_state == HZ_CHECKPOINT_KEPT && to_answer))
        again(e, AGAIN_ROOM_MS);
}

void hz_checkpoint_take(struct hz_worker *w, const struct hz_msg *msg)
{
    const struct hz_msg_checkpoint *m = msg->body;
    struct hz_desk *desk = hz_desk_here();
    struct hz_execution *e = desk ? hz_execution_by_number(desk, m->execution, w) : NULL;
    if (!e || e->workflow->durability != HZ_DURABILITY_CHECKPOINT) {
        hz_worker_poison(w, "a checkpoint of an execution that it does not have, or that keeps none");
        return;
    }
    if (m->sequence != e->checkpoint_sequence + 1 || e->checkpoint_state == HZ_CHECKPOINT_WRITING ||
            e->checkpoint_state == HZ_CHECKPOINT_WAITING || msg->str[0].len > HZ_CHECKPOINT_MAX) {
        hz_worker_poison(w, "a checkpoint out of turn, or too large");
        return;
    }
    char *state = malloc(msg->str[0].len ? msg->str[0].len : 1);
    if (!state) {
        hz_worker_poison(w, "out of memory for its checkpoints"); /* its executions go on from what is kept */
        return;
    }
    memcpy(state, msg->str[0].data, msg->str[0].len);
    free(e->checkpoint);
    e->checkpoint = state;
    e->checkpoint_len = msg->str[0].len;
    e->checkpoint_sequence++;
    keep(e);
}

void hz_checkpoint_attach(struct hz_execution *e)
{
    hz_timer_cancel(hz_shard_timers(e->desk->shard), &e->later);
    e->checkpoint_sequence = 0;
    e->checkpoint_state = HZ_CHECKPOINT_NONE;
}

/* In the store an empty one takes its place. */
void hz_checkpoint_forget(struct hz_execution *e)
{
    if (!e->checkpoint)
        return;
    free(e->checkpoint);
    e->checkpoint = NULL;
    e->checkpoint_len = 0;
    void *empty = calloc(1, 1);
    if (!empty || hz_store_checkpoint_put(&e->id, ++e->checkpoint_ordinal, true, empty, 1, false, NULL, NULL)) {
        HZ_LOG(WARN, "the checkpoint of an execution that begins anew could not be taken away: %s", hz_err_last());
        free(empty);
    }
}

void hz_checkpoint_load(struct hz_execution *e)
{
    struct hz_store_checkpoint *list = NULL;
    size_t count = 0;
    if (hz_store_checkpoints(&e->id, &list, &count)) {
        HZ_LOG(ERROR, "a checkpoint cannot be read, its execution begins anew: %s", hz_err_last());
        return;
    }
    if (count > 0) {
        struct hz_store_checkpoint *last = &list[count - 1];
        e->checkpoint_ordinal = last->ordinal;
        if (last->len > 1 && is_sealed(e)) {
            e->checkpoint = hz_secrets_unbox(&e->id, last->data, last->len, &e->checkpoint_len);
            if (!e->checkpoint)
                HZ_LOG(ERROR, "workflow %s: %s; its execution begins anew", e->workflow->id, hz_err_last());
        } else if (last->len > 1) {
            e->checkpoint = last->data;
            e->checkpoint_len = last->len;
            last->data = NULL;
        }
    }
    hz_store_checkpoints_free(&list, count);
}
