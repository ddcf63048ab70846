/*
 * shard.c - threads of the manager with a loop, a mailbox and turn functions. The main thread is a shard without workers.
 *
 * Synchronisation
 *   mailbox   liburcu wait-free queue: any thread enqueues, only the owner takes out (by splice). An enqueue that finds the
 *             queue empty wakes the loop: the exchange of the tail in enqueue and in splice are totally ordered, so of the
 *             mails between two splices exactly the first one finds it empty and sends the wake-up that the later splice
 *             answers. A mail's contents are visible to the receiver by the queue's own ordering.
 *             Mail of a shard to itself wakes nobody: the thread is awake, and notes in `own_mail` (its alone) that it has to
 *             splice before it polls. Mail of others behind it needs no wake-up either, as that splice takes all.
 *   slots, turns, timers   the owner's thread only.
 *   begun, ended           counted under `lock`; the main thread waits on `changed`.
 */
#include "shard.h"

#include "edges.h"

#include "shm/err.h"
#include "shm/log.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <urcu/urcu-memb.h>

HZ_KEEPS_WHAT_IS_ALLOCATED /* mail is owned by the queue of the shard it is posted to */

#define TURNS 8

struct hz_shard {
    uint32_t magic;
#define HZ_SHARD_MAGIC 0x5a4d5a4du
    uint32_t index;
    uv_loop_t loop;
    uv_async_t wake;
    uv_prepare_t prepare;
    uv_idle_t idle;
    struct hz_timers timers;
    struct {
        hz_shard_turn_fn *fn;
        void *arg;
    } turns[TURNS];
    unsigned turn_count;
    bool hurried, quit, own_mail;
    void *slots[HZ_SHARD_SLOTS];
    pthread_t thread;
    struct cds_wfcq_head batch_head; /* taken from the queue and not yet run */
    struct cds_wfcq_tail batch_tail;
    _Alignas(HZ_CACHE_LINE) struct cds_wfcq_head head;
    _Alignas(HZ_CACHE_LINE) struct cds_wfcq_tail tail;
};

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct hz_shard *shards; /* count + 1: the last is the main one */
    uint32_t count, running, begun, ended;
    int error;
    char error_text[512];
    int (*begin)(struct hz_shard *shard, void *arg);
    void (*end)(struct hz_shard *shard, void *arg);
    void *begin_arg, *end_arg;
} all = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static _Thread_local struct hz_shard *self;

void hz_shard_run_mail(struct hz_shard *shard)
{
    /* The batch is the shard's, not this call's: a mail that waits for others runs them here, those that came with it first. */
    if (__cds_wfcq_splice_blocking(&shard->batch_head, &shard->batch_tail, &shard->head, &shard->tail) != CDS_WFCQ_RET_SRC_EMPTY)
        HZ_EDGE_IN(&shard->head);
    for (struct cds_wfcq_node *node; (node = __cds_wfcq_dequeue_blocking(&shard->batch_head, &shard->batch_tail)) != NULL;) {
        struct hz_mail *mail = HZ_CONTAINER_OF(node, struct hz_mail, node);
        mail->run(mail);
    }
}

static void on_wake(uv_async_t *wake)
{
    hz_shard_run_mail(wake->data);
}

static void on_idle(uv_idle_t *idle)
{
    (void)idle; /* that it exists keeps the loop from sleeping */
}

/* Before the loop polls: work in hand keeps it from sleeping there. */
static void on_prepare(uv_prepare_t *prepare)
{
    struct hz_shard *shard = prepare->data;
    bool more = false;
    if (shard->own_mail) {
        shard->own_mail = false;
        hz_shard_run_mail(shard);
    }
    for (unsigned i = 0; i < shard->turn_count; i++)
        more |= shard->turns[i].fn(shard->turns[i].arg);
    more |= shard->own_mail; /* once more round, without sleep */
    if (more == shard->hurried)
        return;
    shard->hurried = more;
    if (more)
        uv_idle_start(&shard->idle, on_idle);
    else
        uv_idle_stop(&shard->idle);
}

static int init_shard(struct hz_shard *shard, uint32_t index)
{
    shard->magic = HZ_SHARD_MAGIC;
    shard->index = index;
    cds_wfcq_init(&shard->head, &shard->tail);
    cds_wfcq_init(&shard->batch_head, &shard->batch_tail);
    int code = uv_loop_init(&shard->loop);
    if (code)
        return hz_err_set(code, "shard %u: cannot make a loop", index);
    code = uv_async_init(&shard->loop, &shard->wake, on_wake);
    if (code)
        return hz_err_set(code, "shard %u: cannot make a mailbox", index);
    uv_prepare_init(&shard->loop, &shard->prepare);
    uv_idle_init(&shard->loop, &shard->idle);
    shard->wake.data = shard->prepare.data = shard->idle.data = shard;
    uv_prepare_start(&shard->prepare, on_prepare);
    uv_unref((uv_handle_t *)&shard->prepare);
    return hz_timers_init(&shard->timers, &shard->loop);
}

int hz_shard_init(uint32_t count)
{
    HZ_ASSERT(all.shards == NULL && count >= 1);
    all.shards = aligned_alloc(HZ_CACHE_LINE, (count + 1) * sizeof *all.shards);
    if (!all.shards)
        return hz_err_set(HZ_ENOMEM, "shards");
    memset(all.shards, 0, (count + 1) * sizeof *all.shards);
    all.count = count;
    all.running = all.begun = all.ended = 0;
    all.error = 0;
    for (uint32_t i = 0; i <= count; i++) {
        int err = init_shard(&all.shards[i], i < count ? i : UINT32_MAX);
        if (err)
            return err;
    }
    self = &all.shards[count];
    return 0;
}

static void *shard_main(void *arg)
{
    struct hz_shard *shard = arg;
    self = shard;
    urcu_memb_register_thread();
    int err = all.begin ? all.begin(shard, all.begin_arg) : 0;
    pthread_mutex_lock(&all.lock);
    all.begun++;
    if (err && !all.error) {
        all.error = err;
        strncpy(all.error_text, hz_err_last(), sizeof all.error_text - 1);
    }
    pthread_cond_broadcast(&all.changed);
    pthread_mutex_unlock(&all.lock);
    while (!shard->quit)
        uv_run(&shard->loop, UV_RUN_DEFAULT);
    urcu_memb_unregister_thread();
    self = NULL;
    return NULL;
}

int hz_shard_start(int (*begin)(struct hz_shard *shard, void *arg), void *arg)
{
    HZ_ASSERT(self == hz_shard_main());
    all.begin = begin;
    all.begin_arg = arg;
    int err = 0;
    for (uint32_t i = 0; i < all.count && !err; i++) {
        int code = pthread_create(&all.shards[i].thread, NULL, shard_main, &all.shards[i]);
        if (code)
            err = hz_err_set(-code, "cannot start the thread of shard %u", i);
        else
            all.running++;
    }
    pthread_mutex_lock(&all.lock);
    while (all.begun < all.running)
        pthread_cond_wait(&all.changed, &all.lock);
    if (!err && all.error)
        err = hz_err_set(all.error, "%s", all.error_text);
    pthread_mutex_unlock(&all.lock);
    return err;
}

void hz_shard_run_main(void)
{
    struct hz_shard *shard = hz_shard_main();
    HZ_ASSERT(self == shard);
    while (!shard->quit)
        uv_run(&shard->loop, UV_RUN_DEFAULT);
}

void hz_shard_stop_main(void)
{
    struct hz_shard *shard = hz_shard_main();
    HZ_ASSERT(self == shard);
    shard->quit = true;
    uv_stop(&shard->loop);
}

static void run_end(struct hz_mail *mail)
{
    free(mail);
    if (all.end)
        all.end(self, all.end_arg);
    pthread_mutex_lock(&all.lock);
    all.ended++;
    pthread_cond_broadcast(&all.changed);
    pthread_mutex_unlock(&all.lock);
}

static void run_quit(struct hz_mail *mail)
{
    free(mail);
    self->quit = true;
    uv_stop(&self->loop);
}

static void tell_all(void (*run)(struct hz_mail *mail))
{
    for (uint32_t i = 0; i < all.running; i++) {
        struct hz_mail *mail = calloc(1, sizeof *mail);
        HZ_ASSERT(mail != NULL);
        mail->run = run;
        hz_shard_post(&all.shards[i], mail);
    }
}

/* Two rounds: what one shard's `end` sends to another finds it still taking mail. */
void hz_shard_stop(void (*end)(struct hz_shard *shard, void *arg), void *arg)
{
    all.end = end;
    all.end_arg = arg;
    tell_all(run_end);
    pthread_mutex_lock(&all.lock);
    while (all.ended < all.running)
        pthread_cond_wait(&all.changed, &all.lock);
    pthread_mutex_unlock(&all.lock);
    tell_all(run_quit);
    for (uint32_t i = 0; i < all.running; i++)
        pthread_join(all.shards[i].thread, NULL);
    all.running = 0;
}

static void close_loop(struct hz_shard *shard)
{
    hz_timers_close(&shard->timers);
    uv_close((uv_handle_t *)&shard->wake, NULL);
    uv_close((uv_handle_t *)&shard->prepare, NULL);
    uv_close((uv_handle_t *)&shard->idle, NULL);
    for (int i = 0; i < 16 && uv_loop_alive(&shard->loop); i++)
        uv_run(&shard->loop, UV_RUN_NOWAIT);
    hz_timers_fini(&shard->timers);
    if (uv_loop_close(&shard->loop))
        HZ_LOG(DEBUG, "shard %u: handles were left open at the end", shard->index);
}

void hz_shard_fini(void)
{
    if (!all.shards)
        return;
    /* Late mail: its runners find their slot empty, free it and return. Several rounds, as one may answer another. */
    for (int round = 0; round < 4; round++) {
        for (uint32_t i = 0; i <= all.count; i++) {
            self = &all.shards[i];
            hz_shard_run_mail(self);
        }
    }
    for (uint32_t i = 0; i <= all.count; i++)
        close_loop(&all.shards[i]);
    self = NULL;
    free(all.shards);
    all.shards = NULL;
    all.count = 0;
}

uint32_t hz_shard_count(void)
{
    return all.count;
}

struct hz_shard *hz_shard_at(uint32_t index)
{
    HZ_ASSERT(index < all.count);
    return &all.shards[index];
}

struct hz_shard *hz_shard_main(void)
{
    HZ_ASSERT(all.shards != NULL);
    return &all.shards[all.count];
}

struct hz_shard *hz_shard_self(void)
{
    return self;
}

uint32_t hz_shard_index(const struct hz_shard *shard)
{
    HZ_CHECK_OBJ(shard, HZ_SHARD_MAGIC);
    return shard->index;
}

uv_loop_t *hz_shard_loop(struct hz_shard *shard)
{
    HZ_CHECK_OBJ(shard, HZ_SHARD_MAGIC);
    return &shard->loop;
}

struct hz_timers *hz_shard_timers(struct hz_shard *shard)
{
    HZ_ASSERT_SHARD(shard);
    return &shard->timers;
}

void hz_shard_post(struct hz_shard *to, struct hz_mail *mail)
{
    HZ_CHECK_OBJ(to, HZ_SHARD_MAGIC);
    cds_wfcq_node_init(&mail->node);
    HZ_EDGE_OUT(&to->head); /* enqueue before splice */
    bool first = !cds_wfcq_enqueue(&to->head, &to->tail, &mail->node);
    if (to == self)
        to->own_mail = true; /* the loop's next prepare takes it */
    else if (first)
        uv_async_send(&to->wake);
}

int hz_shard_add_turn(struct hz_shard *shard, hz_shard_turn_fn *fn, void *arg)
{
    HZ_ASSERT_SHARD(shard);
    if (shard->turn_count == TURNS)
        return hz_err_set(HZ_ELIMIT, "more than %d turn functions on a shard", TURNS);
    shard->turns[shard->turn_count].fn = fn;
    shard->turns[shard->turn_count++].arg = arg;
    return 0;
}

void *hz_shard_get(struct hz_shard *shard, int slot)
{
    HZ_ASSERT_SHARD(shard);
    HZ_ASSERT(slot >= 0 && slot < HZ_SHARD_SLOTS);
    return shard->slots[slot];
}

void hz_shard_set(struct hz_shard *shard, int slot, void *value)
{
    HZ_ASSERT_SHARD(shard);
    HZ_ASSERT(slot >= 0 && slot < HZ_SHARD_SLOTS);
    shard->slots[slot] = value;
}
