/*
 * executions.c - live executions: made, indexed, finished exactly once.
 *
 * Synchronisation
 *   index      buckets with striped locks; a shard enters and removes its own, any thread looks up. `state`, `attempt`, times and
 *              worker id are written by the owner under the stripe's lock and read by others under it; the owner reads them freely.
 *              What a reader copies else (id, workflow, input) never changes between entry and removal.
 *   admitted, input_bytes  atomic counts, relaxed: bounds, not an order.
 *   the rest   the desk's shard only.
 * Told after COMMIT: at durability execution and checkpoint whoever waits for the end hears it when the row is in the store, through
 * the desk, which ends only after the last such answer (desk->commits).
 * Final exactly once: hz_execution_finish() is the only place that writes a final state, asserts that there was none, and frees the
 * object; the store's update is conditional on top of it, for rows that a former manager left.
 */
#include "executions.h"

#include "history.h"

#include "core/flow/plan.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

HZ_KEEPS_WHAT_IS_ALLOCATED /* a row is taken by the store */

#define STRIPES 64u
#define BUCKETS 65536u /* of the index; a multiple of STRIPES */
#define LATE_MS 100u
#define REFUSED_MS 1000u

static struct {
    pthread_mutex_t *stripes;
    struct hz_execution **buckets;
    _Atomic uint32_t admitted;
    _Atomic uint64_t input_bytes;
    uint32_t most;
    uint64_t secret[3]; /* drawn before the shards run, read-only afterwards */
} executions;

struct late_row {
    struct cds_list_head node;
    struct hz_store_execution row;
};

int hz_executions_init(const struct hz_config *config)
{
    executions.most = config->max_executions;
    hz_base_random(executions.secret, sizeof executions.secret);
    executions.secret[1] |= 1;
    executions.secret[2] |= 1;
    atomic_store(&executions.admitted, 0);
    atomic_store(&executions.input_bytes, 0);
    executions.buckets = calloc(BUCKETS, sizeof(struct hz_execution *));
    executions.stripes = calloc(STRIPES, sizeof(pthread_mutex_t));
    if (!executions.buckets || !executions.stripes) {
        hz_executions_fini();
        return hz_err_set(HZ_ENOMEM, "executions");
    }
    for (unsigned i = 0; i < STRIPES; i++)
        pthread_mutex_init(&executions.stripes[i], NULL);
    return 0;
}

void hz_executions_fini(void)
{
    for (unsigned i = 0; executions.stripes && i < STRIPES; i++)
        pthread_mutex_destroy(&executions.stripes[i]);
    free(executions.stripes);
    free(executions.buckets);
    executions.stripes = NULL;
    executions.buckets = NULL;
}

uint32_t hz_executions_admitted(void)
{
    return atomic_load_explicit(&executions.admitted, memory_order_relaxed);
}

uint64_t hz_executions_input_bytes(void)
{
    return atomic_load_explicit(&executions.input_bytes, memory_order_relaxed);
}

void hz_execution_set_input(struct hz_execution *e, char *input, size_t len)
{
    HZ_ASSERT(!e->input);
    e->input = input;
    e->input_len = len;
    atomic_fetch_add_explicit(&executions.input_bytes, len, memory_order_relaxed);
}

/* ---- index ---- */

/* Workers choose the ids and numbers of what they begin by themselves: with a hash they can compute, one of them put 60,000 into one
 * bucket, and its neighbours waited 20 ms instead of 0.1. Two multiplications by secret odd numbers. */
uint64_t hz_executions_hash(uint64_t key)
{
    uint64_t hash = key ^ executions.secret[0];
    hash = (hash ^ hash >> 32) * executions.secret[1];
    hash = (hash ^ hash >> 29) * executions.secret[2];
    return hash ^ hash >> 32;
}

static unsigned bucket_of(const struct hz_uuid *id)
{
    uint64_t words[2];
    memcpy(words, id->bytes, sizeof words);
    return (unsigned)(hz_executions_hash(words[0] ^ hz_executions_hash(words[1])) % BUCKETS);
}

static pthread_mutex_t *stripe_of(const struct hz_uuid *id)
{
    return &executions.stripes[bucket_of(id) % STRIPES];
}

/* Under the stripe's lock. */
static struct hz_execution **find(const struct hz_uuid *id)
{
    struct hz_execution **link = &executions.buckets[bucket_of(id)];
    while (*link && !hz_uuid_equal(&(*link)->id, id))
        link = &(*link)->index_next;
    return link;
}

static bool enter(struct hz_execution *e)
{
    pthread_mutex_t *lock = stripe_of(&e->id);
    pthread_mutex_lock(lock);
    struct hz_execution **link = find(&e->id);
    bool free_place = *link == NULL;
    if (free_place)
        *link = e;
    pthread_mutex_unlock(lock);
    return free_place;
}

static void leave(struct hz_execution *e)
{
    pthread_mutex_t *lock = stripe_of(&e->id);
    pthread_mutex_lock(lock);
    struct hz_execution **link = find(&e->id);
    if (*link == e)
        *link = e->index_next;
    pthread_mutex_unlock(lock);
}

struct hz_shard *hz_execution_shard(const struct hz_uuid *id)
{
    pthread_mutex_t *lock = stripe_of(id);
    pthread_mutex_lock(lock);
    struct hz_execution *e = *find(id);
    struct hz_shard *shard = e ? e->desk->shard : NULL;
    pthread_mutex_unlock(lock);
    return shard;
}

struct hz_execution *hz_execution_here(struct hz_desk *desk, const struct hz_uuid *id)
{
    pthread_mutex_t *lock = stripe_of(id);
    pthread_mutex_lock(lock);
    struct hz_execution *e = *find(id);
    bool ours = e && e->desk == desk;
    pthread_mutex_unlock(lock);
    return ours ? e : NULL; /* its own shard alone frees it */
}

bool hz_execution_live_row(const struct hz_uuid *id, struct hz_store_execution *ret_row)
{
    pthread_mutex_t *lock = stripe_of(id);
    pthread_mutex_lock(lock);
    struct hz_execution *e = *find(id);
    bool found = e && hz_execution_row(e, ret_row);
    pthread_mutex_unlock(lock);
    return found;
}

struct found {
    int64_t created_ms;
    struct hz_uuid id;
};

static int newest_first(const void *a, const void *b)
{
    const struct found *x = a, *y = b;
    return x->created_ms < y->created_ms ? 1 : x->created_ms > y->created_ms ? -1 : memcmp(&x->id, &y->id, sizeof x->id);
}

int hz_executions_list_live(const char *workflow_id, enum hz_exec_state state, int64_t before_ms, const struct hz_uuid *before,
        size_t limit, struct hz_store_execution **ret_rows, size_t *ret_count)
{
    const struct found last = {before_ms, before ? *before : (struct hz_uuid){{0}}};
    struct found *found = NULL;
    size_t count = 0, capacity = 0, rows = 0;
    bool ok = true;
    for (unsigned bucket = 0; bucket < BUCKETS && ok; bucket++) {
        pthread_mutex_t *lock = &executions.stripes[bucket % STRIPES];
        pthread_mutex_lock(lock);
        for (const struct hz_execution *e = executions.buckets[bucket]; e && ok; e = e->index_next) {
            const struct found here = {e->created_ms, e->id};
            if (e->is_activation || e->state != state || (before && newest_first(&here, &last) <= 0) || (workflow_id && strcmp(e->workflow->id, workflow_id) != 0))
                continue;
            if (count == capacity) {
                capacity = capacity ? 2 * capacity : 256;
                struct found *grown = realloc(found, capacity * sizeof *found);
                ok = grown != NULL;
                if (!ok)
                    break;
                found = grown;
            }
            found[count++] = here;
        }
        pthread_mutex_unlock(lock);
    }
    if (count)
        qsort(found, count, sizeof *found, newest_first);
    struct hz_store_execution *list = ok ? calloc(HZ_MAX((size_t)1, HZ_MIN(count, limit)), sizeof *list) : NULL;
    for (size_t i = 0; list && i < count && rows < limit; i++)
        rows += hz_execution_live_row(&found[i].id, &list[rows]); /* one that ended meanwhile is left out */
    free(found);
    if (!list)
        return hz_err_set(HZ_ENOMEM, "listing executions");
    *ret_rows = list;
    *ret_count = rows;
    return 0;
}

/* Set before the shards run, read by all of them afterwards. */
static hz_execution_news_fn *news_fn;
static hz_execution_progress_fn *progress_fn;

void hz_scheduler_on_news(hz_execution_news_fn *news, hz_execution_progress_fn *progress)
{
    news_fn = news;
    progress_fn = progress;
}

static void tell_news(const struct hz_execution *e, enum hz_exec_state state, const char *error)
{
    if (news_fn)
        news_fn(&(struct hz_execution_news){.id = &e->id, .workflow_id = e->workflow->id, .version = e->workflow->version, .trigger = e->trigger,
                .worker_id = e->worker_id, .error = error, .state = state, .attempt = e->attempt, .is_activation = e->is_activation,
                .created_ms = e->created_ms, .started_ms = e->started_ms});
}

void hz_execution_tell_progress(const struct hz_execution *e, const struct hz_worker *w, const char *json, size_t len)
{
    if (progress_fn)
        progress_fn(e ? &e->id : NULL, &w->info, json, len);
}

void hz_execution_set_state(struct hz_execution *e, enum hz_exec_state state)
{
    pthread_mutex_t *lock = stripe_of(&e->id);
    pthread_mutex_lock(lock);
    e->state = state;
    if (state == HZ_EXEC_RUNNING) {
        e->started_ms = hz_base_wall_ms();
        if (e->worker)
            memcpy(e->worker_id, e->worker->info.id_text, sizeof e->worker_id);
    } else if (state == HZ_EXEC_QUEUED && e->started_ms) {
        e->attempt++; /* it was running: this is another try */
        e->started_ms = 0;
        e->worker_id[0] = 0;
    }
    pthread_mutex_unlock(lock);
    if (state == HZ_EXEC_RUNNING)
        tell_news(e, state, NULL);
}

void hz_execution_put_back(struct hz_execution *e, const struct hz_execution_place *place)
{
    pthread_mutex_t *lock = stripe_of(&e->id);
    pthread_mutex_lock(lock);
    e->state = place->state;
    e->attempt = place->attempt;
    e->started_ms = place->started_ms;
    memcpy(e->worker_id, place->worker_id, sizeof e->worker_id);
    pthread_mutex_unlock(lock);
}

/* ---- numbers ---- */

static struct hz_execution **number_bucket(struct hz_desk *desk, uint64_t number, const struct hz_worker *worker)
{
    uint64_t hash = hz_executions_hash(number);
    if (number & HZ_NUMBER_WORKER)
        hash ^= (uint64_t)(uintptr_t)worker * UINT64_C(0xc2b2ae3d27d4eb4f) >> 24;
    return &desk->numbers[hash & (desk->number_buckets - 1)];
}

struct hz_execution *hz_execution_by_number(struct hz_desk *desk, uint64_t number, const struct hz_worker *worker)
{
    if (!desk->numbers)
        return NULL;
    for (struct hz_execution *e = *number_bucket(desk, number, worker); e; e = e->number_next)
        if (e->number == number && e->worker == worker)
            return e; /* that it is this worker's own is part of the key */
    return NULL;
}

struct hz_execution *hz_execution_by_ticket(struct hz_desk *desk, uint64_t ticket)
{
    HZ_ASSERT(ticket & HZ_NUMBER_TICKET);
    struct hz_execution *e = desk->numbers ? *number_bucket(desk, ticket, NULL) : NULL;
    while (e && e->number != ticket)
        e = e->number_next;
    return e;
}

/* The worker is part of the key of a worker's own number, which never changes hands; other numbers hash without it. */
static bool grow_numbers(struct hz_desk *desk)
{
    if (desk->numbers && desk->number_count < desk->number_buckets)
        return true;
    size_t old_count = desk->numbers ? desk->number_buckets : 0, count = old_count ? 2 * old_count : 1024;
    struct hz_execution **old = desk->numbers, **fresh = calloc(count, sizeof(struct hz_execution *));
    if (!fresh)
        return old != NULL; /* longer chains */
    desk->numbers = fresh;
    desk->number_buckets = count;
    for (size_t i = 0; i < old_count; i++) {
        for (struct hz_execution *e = old[i], *next; e; e = next) {
            next = e->number_next;
            struct hz_execution **bucket = number_bucket(desk, e->number, e->worker);
            e->number_next = *bucket;
            *bucket = e;
        }
    }
    free(old);
    return true;
}

static uint64_t fresh_number(struct hz_desk *desk)
{
    return ((uint64_t)(hz_shard_index(desk->shard) & 0xff) << 48) + ++desk->next_number;
}

static void leave_numbers(struct hz_execution *e)
{
    struct hz_execution **link = number_bucket(e->desk, e->number, e->worker);
    while (*link && *link != e)
        link = &(*link)->number_next;
    if (*link) {
        *link = e->number_next;
        e->desk->number_count--;
    }
}

void hz_execution_renumber(struct hz_execution *e)
{
    HZ_ASSERT(!e->worker && !(e->number & (HZ_NUMBER_WORKER | HZ_NUMBER_TICKET)));
    leave_numbers(e);
    e->number = fresh_number(e->desk);
    struct hz_execution **bucket = number_bucket(e->desk, e->number, NULL);
    e->number_next = *bucket;
    *bucket = e;
    e->desk->number_count++;
}

/* ---- birth and end ---- */

/* RFC 9562 version 4. The manager never forks without exec, so no two processes draw from one pool. */
static struct hz_uuid fresh_id(struct hz_desk *desk)
{
    if (desk->ids_left == 0) {
        hz_base_random(desk->ids, sizeof desk->ids);
        desk->ids_left = HZ_COUNT_OF(desk->ids);
    }
    struct hz_uuid id = desk->ids[--desk->ids_left];
    id.bytes[6] = (uint8_t)((id.bytes[6] & 0x0f) | 0x40);
    id.bytes[8] = (uint8_t)((id.bytes[8] & 0x3f) | 0x80);
    return id;
}

int hz_execution_new(struct hz_desk *desk, struct hz_workflow *workflow, const struct hz_uuid *id, uint64_t number, struct hz_worker *worker,
        bool forced, struct hz_execution **ret_execution)
{
    HZ_ASSERT_SHARD(desk->shard);
    /* What a worker begins by itself has a bound of its own there: two of them must not use up everybody's. */
    uint32_t counts = (number & HZ_NUMBER_WORKER) == 0;
    if (atomic_fetch_add_explicit(&executions.admitted, counts, memory_order_relaxed) >= executions.most && !forced) {
        atomic_fetch_sub_explicit(&executions.admitted, counts, memory_order_relaxed);
        return hz_err_set(HZ_EBUSY, "%u executions are admitted and not finished", executions.most);
    }
    struct hz_execution *e = grow_numbers(desk) ? calloc(1, sizeof *e) : NULL;
    if (!e) {
        atomic_fetch_sub_explicit(&executions.admitted, counts, memory_order_relaxed);
        return hz_err_set(HZ_ENOMEM, "execution");
    }
    e->magic = HZ_EXECUTION_MAGIC;
    e->desk = desk;
    e->id = id ? *id : fresh_id(desk);
    e->number = number ? number : fresh_number(desk);
    e->state = HZ_EXEC_QUEUED;
    e->attempt = 1;
    e->created_ms = hz_base_wall_ms();
    e->worker = worker;
    e->workflow = workflow;
    if (!enter(e)) {
        atomic_fetch_sub_explicit(&executions.admitted, counts, memory_order_relaxed);
        free(e);
        return hz_err_set(HZ_EEXISTS, "an execution of that id");
    }
    struct hz_execution **bucket = number_bucket(desk, e->number, worker);
    e->number_next = *bucket;
    *bucket = e;
    desk->number_count++;
    cds_list_add_tail(&e->node, &desk->idle);
    *ret_execution = e;
    return 0;
}

void hz_execution_drop(struct hz_execution *e)
{
    HZ_CHECK_OBJ(e, HZ_EXECUTION_MAGIC);
    hz_timer_cancel(hz_shard_timers(e->desk->shard), &e->timer);
    hz_timer_cancel(hz_shard_timers(e->desk->shard), &e->later);
    leave(e);
    leave_numbers(e);
    hz_dispatch_detach(e);
    hz_admit_leave(e);
    cds_list_del(&e->node);
    if ((e->number & HZ_NUMBER_WORKER) == 0)
        atomic_fetch_sub_explicit(&executions.admitted, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&executions.input_bytes, e->input ? e->input_len : 0, memory_order_relaxed);
    hz_workflow_unref(&e->workflow);
    free(e->input);
    free(e->checkpoint);
    free(e->node_runs);
    e->magic = 0;
    free(e);
}

static char *copy_text(const char *text, size_t len, bool *ok)
{
    if (!text || len == 0)
        return NULL;
    char *copy = malloc(len + 1);
    if (!copy) {
        *ok = false;
        return NULL;
    }
    memcpy(copy, text, len);
    copy[len] = 0;
    return copy;
}

bool hz_execution_row(const struct hz_execution *e, struct hz_store_execution *ret_row)
{
    bool ok = hz_execution_row_bare(e, ret_row);
    ret_row->input = copy_text(e->input, e->input_len, &ok);
    if (!ok)
        hz_store_execution_fini(ret_row);
    return ok;
}

bool hz_execution_row_bare(const struct hz_execution *e, struct hz_store_execution *ret_row)
{
    memset(ret_row, 0, sizeof *ret_row);
    ret_row->id = e->id;
    ret_row->activation = e->activation;
    memcpy(ret_row->workflow_id, e->workflow->id, sizeof ret_row->workflow_id);
    memcpy(ret_row->version, e->workflow->version, sizeof ret_row->version);
    memcpy(ret_row->trigger, e->trigger, sizeof ret_row->trigger);
    ret_row->state = e->state;
    ret_row->attempt = e->attempt;
    ret_row->is_activation = e->is_activation;
    ret_row->created_wall_ms = e->created_ms;
    ret_row->started_wall_ms = e->started_ms;
    memcpy(ret_row->worker_id, e->worker_id, sizeof ret_row->worker_id);
    ret_row->history = e->is_activation || (e->key && e->workflow->history == HZ_HISTORY_SAMPLE) ? HZ_HISTORY_ALL : e->workflow->history;
    ret_row->stored = e->stored;
    ret_row->priority = e->item.priority;
    ret_row->due_wall_ms = e->due_ms;
    ret_row->deadline_wall_ms = e->deadline_ms;
    bool ok = true;
    if (e->key && !e->stored) /* its first row keeps it */
        ret_row->idempotency_key = copy_text(e->key, strlen(e->key), &ok);
    return ok;
}

static void on_late(struct hz_timer *timer)
{
    hz_execution_store_late(HZ_CONTAINER_OF(timer, struct hz_desk, late_timer), false);
}

void hz_execution_store_late(struct hz_desk *desk, bool last)
{
    struct late_row *late, *next;
    cds_list_for_each_entry_safe(late, next, &desk->late_rows, node) {
        int err = hz_store_put(&late->row, false, NULL, NULL);
        if (err && !last) {
            hz_timer_after(hz_shard_timers(desk->shard), &desk->late_timer, LATE_MS, on_late);
            return;
        }
        cds_list_del(&late->node);
        if (err) {
            HZ_LOG(ERROR, "the row of an execution was lost: %s", hz_err_last());
            hz_store_execution_fini(&late->row);
        }
        free(late);
    }
}

void hz_execution_store(struct hz_desk *desk, struct hz_store_execution *row)
{
    bool first = cds_list_empty(&desk->late_rows);
    int err = first ? hz_store_put(row, false, NULL, NULL) : HZ_EBUSY;
    if (!err)
        return;
    struct late_row *late = malloc(sizeof *late);
    if (!late) {
        HZ_LOG(ERROR, "the row of an execution was lost: out of memory");
        hz_store_execution_fini(row);
        return;
    }
    late->row = *row;
    cds_list_add_tail(&late->node, &desk->late_rows);
    if (first)
        hz_timer_after(hz_shard_timers(desk->shard), &desk->late_timer, LATE_MS, on_late);
}

bool hz_execution_store_full(struct hz_desk *desk)
{
    return !cds_list_empty(&desk->late_rows);
}

/* The end of an execution somebody waits for, on its way through the store. */
struct ending {
    struct hz_mail mail;
    struct cds_list_head node; /* desk->refused */
    struct hz_desk *desk;
    struct hz_shard *shard;
    struct hz_submitter caller;
    struct hz_store_execution row;
    int result;
    bool durable;
};

static void on_ended(int result, void *arg);
static bool copy_row(const struct hz_store_execution *row, struct hz_store_execution *ret_copy);

/* On disk; or the manager ends, when no connection is left on which somebody could hear of it, and the row goes last. */
static void settle_end(struct ending *ending)
{
    ending->desk->commits--;
    hz_submitter_finished(&ending->caller, &ending->row);
    if (ending->result)
        hz_execution_store(ending->desk, &ending->row);
    else
        hz_store_execution_fini(&ending->row);
    free(ending);
}

static void on_refused(struct hz_timer *timer)
{
    struct hz_desk *desk = HZ_CONTAINER_OF(timer, struct hz_desk, refused_timer);
    struct ending *ending, *next;
    cds_list_for_each_entry_safe(ending, next, &desk->refused, node) {
        struct hz_store_execution row;
        if (!copy_row(&ending->row, &row))
            break;
        cds_list_del(&ending->node);
        if (hz_store_put(&row, ending->durable, on_ended, ending) == 0)
            continue;
        hz_store_execution_fini(&row);
        cds_list_add(&ending->node, &desk->refused);
        break;
    }
    if (!cds_list_empty(&desk->refused))
        hz_timer_after(hz_shard_timers(desk->shard), timer, REFUSED_MS, on_refused);
}

/* Nobody hears of an end that the disk did not take: tried again until it does. */
static void refuse_end(struct ending *ending)
{
    bool first = cds_list_empty(&ending->desk->refused);
    cds_list_add_tail(&ending->node, &ending->desk->refused);
    if (first)
        hz_timer_after(hz_shard_timers(ending->desk->shard), &ending->desk->refused_timer, REFUSED_MS, on_refused);
}

static void run_told(struct hz_mail *mail)
{
    struct ending *ending = HZ_CONTAINER_OF(mail, struct ending, mail);
    struct hz_desk *desk = ending->desk;
    if (ending->result && !desk->ending) {
        refuse_end(ending);
        return;
    }
    settle_end(ending);
}

void hz_execution_end_refused(struct hz_desk *desk)
{
    struct ending *ending, *next;
    hz_timer_cancel(hz_shard_timers(desk->shard), &desk->refused_timer);
    cds_list_for_each_entry_safe(ending, next, &desk->refused, node) {
        cds_list_del(&ending->node);
        ending->result = HZ_ECLOSED;
        settle_end(ending);
    }
}

/* On the store's thread. */
static void on_ended(int result, void *arg)
{
    struct ending *ending = arg;
    ending->result = result;
    ending->mail.run = run_told;
    hz_shard_post(ending->shard, &ending->mail);
}

static bool copy_row(const struct hz_store_execution *row, struct hz_store_execution *ret_copy)
{
    bool ok = true;
    *ret_copy = *row;
    ret_copy->idempotency_key = ret_copy->dedup_key = NULL; /* the row in the store has them */
    ret_copy->input = copy_text(row->input, row->input ? strlen(row->input) : 0, &ok);
    ret_copy->result = copy_text(row->result, row->result ? strlen(row->result) : 0, &ok);
    ret_copy->error = copy_text(row->error, row->error ? strlen(row->error) : 0, &ok);
    ret_copy->error_node = copy_text(row->error_node, row->error_node ? strlen(row->error_node) : 0, &ok);
    ret_copy->error_code = copy_text(row->error_code, row->error_code ? strlen(row->error_code) : 0, &ok);
    return ok;
}

/* The final row goes to the store; who waits is told when it is there, so that nobody hears of an end that a crash undoes. */
static void store_end(struct hz_execution *e, struct hz_store_execution *row)
{
    bool durable = e->workflow->durability == HZ_DURABILITY_CHECKPOINT;
    if (e->workflow->durability == HZ_DURABILITY_NONE || !e->caller.finished || !e->stored) {
        hz_submitter_finished(&e->caller, row);
        hz_execution_store(e->desk, row);
        return;
    }
    struct ending *ending = calloc(1, sizeof *ending);
    if (!ending || !copy_row(row, &ending->row)) {
        if (ending)
            hz_store_execution_fini(&ending->row);
        free(ending);
        hz_submitter_finished(&e->caller, row);
        hz_execution_store(e->desk, row);
        return;
    }
    ending->desk = e->desk;
    ending->shard = e->desk->shard;
    ending->caller = e->caller;
    free(row->input); /* the store has it */
    row->input = NULL;
    ending->durable = durable;
    e->desk->commits++;
    if (hz_execution_store_full(e->desk) || hz_store_put(row, durable, on_ended, ending)) {
        hz_store_execution_fini(row);
        refuse_end(ending);
    }
}

void hz_execution_finish(struct hz_execution *e, const struct hz_outcome *outcome)
{
    HZ_CHECK_OBJ(e, HZ_EXECUTION_MAGIC);
    HZ_ASSERT(e->state < HZ_EXEC_SUCCESS && outcome->state >= HZ_EXEC_SUCCESS);
    if (hz_retry_take(e, outcome->state))
        return;
    if (!e->is_activation)
        hz_figures_count(e->desk, e->workflow, outcome->state);
    struct hz_store_execution row;
    bool ok = hz_execution_row(e, &row);
    if (!ok) /* the end must be known even when its payload cannot be */
        (void)hz_execution_row_bare(e, &row);
    row.state = outcome->state;
    row.ended_wall_ms = hz_base_wall_ms();
    row.error = copy_text(outcome->error, outcome->error_len, &ok);
    row.error_node = copy_text(outcome->node, outcome->node ? strlen(outcome->node) : 0, &ok);
    row.error_code = copy_text(outcome->code, outcome->code_len, &ok);
    row.result = copy_text(outcome->result, outcome->result_len, &ok);
    row.node_runs = outcome->node_runs;
    row.cpu_ns = outcome->cpu_ns;
    row.peak_bytes = outcome->peak_bytes;
    row.dead = e->workflow->retry.given && !e->is_activation && outcome->state != HZ_EXEC_SUCCESS && outcome->state != HZ_EXEC_CANCELLED;
    row.bytes_in = e->bytes_in;
    row.bytes_out = e->bytes_out + outcome->result_len;
    hz_history_ended(e->worker, outcome, e->begun_ns ? hz_base_now_ns() - e->begun_ns : 0, row.bytes_in, row.bytes_out);
    if (!ok)
        HZ_LOG(ERROR, "out of memory: the row of an execution is kept without its payload");
    hz_execution_set_state(e, outcome->state);
    tell_news(e, outcome->state, row.error);
    if (e->wait_accept) { /* it failed before anybody could be told that it was accepted */
        hz_submitter_accepted(&e->caller, &e->id, NULL, row.error ? row.error : "failed", 0);
        hz_execution_store(e->desk, &row);
    } else {
        store_end(e, &row); /* handed over before the live row goes: a reader finds one or the other */
    }
    if (e->node_runs && hz_store_node_runs_put(&e->id, e->node_runs, strlen(e->node_runs)) == 0)
        e->node_runs = NULL;
    hz_execution_drop(e);
}

void hz_execution_fail(struct hz_execution *e, enum hz_exec_state state, const char *error)
{
    struct hz_outcome outcome = {.state = state, .error = error, .error_len = strlen(error)};
    if (e->http.shard)
        hz_http_ended(e, state, state == HZ_EXEC_INTERRUPTED || state == HZ_EXEC_CRASHED);
    hz_execution_finish(e, &outcome);
}

/* ---- callbacks ---- */

struct callback {
    struct hz_mail mail;
    struct hz_submitter caller;
    struct hz_uuid id;
    bool has_worker;
    struct hz_worker_info worker;
    char *error;
    uint32_t retry_after_s;
    struct hz_store_execution row;
};

static void run_accepted(struct hz_mail *mail)
{
    struct callback *c = HZ_CONTAINER_OF(mail, struct callback, mail);
    c->caller.accepted(c->caller.arg, &c->id, c->has_worker ? &c->worker : NULL, c->error, c->retry_after_s);
    free(c->error);
    free(c);
}

static void run_finished(struct hz_mail *mail)
{
    struct callback *c = HZ_CONTAINER_OF(mail, struct callback, mail);
    c->caller.finished(c->caller.arg, &c->row);
    hz_store_execution_fini(&c->row);
    free(c);
}

void hz_submitter_accepted(const struct hz_submitter *caller, const struct hz_uuid *id, const struct hz_worker_info *worker, const char *error,
        uint32_t retry_after_s)
{
    if (!caller->accepted)
        return;
    if (caller->from == hz_shard_self()) {
        caller->accepted(caller->arg, id, worker, error, retry_after_s);
        return;
    }
    struct callback *c = calloc(1, sizeof *c);
    HZ_ASSERT(c != NULL); /* whoever waits would wait for ever */
    c->mail.run = run_accepted;
    c->caller = *caller;
    if (id)
        c->id = *id;
    c->has_worker = worker != NULL;
    if (worker)
        c->worker = *worker;
    c->error = error ? strdup(error) : NULL;
    c->retry_after_s = retry_after_s;
    hz_shard_post(caller->from, &c->mail);
}

void hz_submitter_finished(const struct hz_submitter *caller, const struct hz_store_execution *row)
{
    if (!caller->finished)
        return;
    if (caller->from == hz_shard_self()) {
        caller->finished(caller->arg, row);
        return;
    }
    struct callback *c = calloc(1, sizeof *c);
    HZ_ASSERT(c != NULL);
    c->mail.run = run_finished;
    c->caller = *caller;
    (void)copy_row(row, &c->row);
    hz_shard_post(caller->from, &c->mail);
}
