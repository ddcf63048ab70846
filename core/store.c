/*
 * store.c - the queue to the one writer thread, group commit, open and close. What is written is in store_write.c, reads are in
 * store_read.c, what is forgotten in store_retention.c.
 *
 * Synchronisation
 *   queue      wait-free (liburcu wfcqueue): any thread enqueues, only the writer dequeues; the node's contents are visible
 *              to the writer by the queue's own ordering.
 *   handed     entries ever handed over: atomic, added before the enqueue, so that `handed - settled` never runs negative.
 *   bytes      of what is handed over and not settled: atomic counter, a bound only.
 *   settled    entries committed or refused: only the writer stores it (release, under `lock`), after COMMIT; a reader that sees
 *              settled >= its own snapshot of handed therefore reads the rows from the database.
 *   oldest_ns  when the oldest entry the writer holds was handed over: only the writer stores it, a gauge.
 *   sleeping   the writer sets it under `lock` before it waits; a producer looks at it behind a full fence after its enqueue and
 *              signals. The writer looks at the queue once more between the two, so no wake-up is lost.
 */
#include "store_db.h"

#include "edges.h"
#include "shm/log.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PENDING_ENTRIES 1000000u
#define PENDING_BYTES (UINT64_C(256) << 20)
#define BATCH_ENTRIES 2000u

static struct {
    struct cds_wfcq_head head;
    struct cds_wfcq_tail tail;
    _Atomic uint64_t handed, settled, bytes, oldest_ns;
    atomic_bool sleeping, stopping, degraded;
    pthread_mutex_t lock;
    pthread_cond_t wake, settled_more;
    pthread_t writer;
    struct hz_store_connection connection; /* the writer's */
    struct hz_store_retention retention;   /* the writer's */
    bool anew;                             /* the writer's: a sync failed, see begin_log_anew() */
    struct hz_store_options options;
    char *path;
    bool open;
} store;

struct hz_store_entry *hz_store_entry_new(enum hz_store_kind kind, size_t bytes)
{
    struct hz_store_entry *e = calloc(1, sizeof *e);
    if (!e) {
        (void)hz_err_set(HZ_ENOMEM, "store");
        return NULL;
    }
    e->kind = kind;
    e->bytes = sizeof *e + bytes;
    return e;
}

void hz_store_entry_free(struct hz_store_entry *e)
{
    switch (e->kind) {
    case HZ_STORE_ROW:
    case HZ_STORE_FORGET:
    case HZ_STORE_COUNT:
        hz_store_execution_fini(&e->row);
        break;
    case HZ_STORE_CHECKPOINT:
    case HZ_STORE_NODE_RUNS:
        free(e->piece.data);
        break;
    case HZ_STORE_CRASH:
        hz_store_crash_fini(&e->crash);
        break;
    case HZ_STORE_LOG:
        free(e->log.text);
        break;
    case HZ_STORE_ALERT:
        free(e->alert);
        break;
    case HZ_STORE_METRIC:
    case HZ_STORE_CALL:
        break;
    }
    free(e);
}

/* ---- the writer ---- */

/* Settles a chain of entries: callbacks, then memory, then the count that readers wait for. */
static void settle(struct hz_store_entry *first, int result)
{
    uint64_t n = 0, bytes = 0;
    for (struct hz_store_entry *e = first, *next; e; e = next) {
        next = e->next;
        if (!result && e->result && !e->done)
            HZ_LOG(ERROR, "store: one entry could not be written and is left out: %s", hz_err_text(e->result));
        if (e->done)
            e->done(result ? result : e->result, e->arg);
        bytes += e->bytes;
        hz_store_entry_free(e);
        n++;
    }
    atomic_fetch_sub_explicit(&store.bytes, bytes, memory_order_relaxed);
    pthread_mutex_lock(&store.lock);
    atomic_fetch_add_explicit(&store.settled, n, memory_order_release);
    pthread_cond_broadcast(&store.settled_more);
    pthread_mutex_unlock(&store.lock);
}

static struct hz_store_entry **take(struct hz_store_entry **link, unsigned most)
{
    for (unsigned n = 0; n < most; n++) {
        struct cds_wfcq_node *node = __cds_wfcq_dequeue_blocking(&store.head, &store.tail);
        if (!node)
            break;
        HZ_EDGE_IN(&store.head);
        struct hz_store_entry *e = HZ_CONTAINER_OF(node, struct hz_store_entry, node);
        e->next = NULL;
        *link = e;
        link = &e->next;
    }
    return link;
}

/* Cuts the first BATCH_ENTRIES off a chain; *ret_rest: what follows. */
static bool cut(struct hz_store_entry *first, struct hz_store_entry **ret_rest)
{
    bool full = false;
    struct hz_store_entry *e = first;
    for (unsigned n = 1; e; n++, e = e->next) {
        full |= e->durable;
        if (n == BATCH_ENTRIES)
            break;
    }
    *ret_rest = e ? e->next : NULL;
    if (e)
        e->next = NULL;
    return full;
}

/* Behind every statement that failed. */
static void note_failed_sync(void)
{
    store.anew |= sqlite3_extended_errcode(store.connection.db) == SQLITE_IOERR_FSYNC;
}

static int write_batch(struct hz_store_entry *first, bool full)
{
    int err = hz_store_begin(&store.connection, full);
    uint64_t n = 0;
    for (struct hz_store_entry *e = first; e && !err; e = e->next, n++)
        err = hz_store_write(&store.connection, e);
    if (!err)
        err = hz_store_counters_flush(&store.connection);
    if (!err)
        err = hz_store_retain(&store.retention, &store.connection, n);
    if (!err)
        err = hz_store_commit(&store.connection);
    if (err) {
        note_failed_sync();
        hz_store_rollback(&store.connection);
        store.retention.counted = false;
    }
    hz_store_counters_flushed(err == 0);
    return err;
}

/* Those who wait for an answer hear the failure; the others stay for the next attempt. Returns what stays. */
static struct hz_store_entry *refuse_waiting(struct hz_store_entry *first, int err)
{
    struct hz_store_entry *keep = NULL, **keep_link = &keep, *refused = NULL, **refused_link = &refused;
    for (struct hz_store_entry *e = first, *next; e; e = next) {
        next = e->next;
        e->next = NULL;
        if (e->done) {
            *refused_link = e;
            refused_link = &e->next;
        } else {
            *keep_link = e;
            keep_link = &e->next;
        }
    }
    if (refused)
        settle(refused, err);
    return keep;
}

static void sleep_until_work(bool retry)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 1;
    pthread_mutex_lock(&store.lock);
    atomic_store(&store.sleeping, true);
    atomic_thread_fence(memory_order_seq_cst);
    if (!atomic_load(&store.stopping) && (retry || cds_wfcq_empty(&store.head, &store.tail)))
        pthread_cond_timedwait(&store.wake, &store.lock, &until);
    atomic_store(&store.sleeping, false);
    pthread_mutex_unlock(&store.lock);
}

/* After a failed fsync the kernel may have dropped pages of the log it once accepted: what the log still reads as goes into the
 * file, and the log begins anew, before anything is promised on top of it. */
static int begin_log_anew(void)
{
    int64_t busy = 0; /* a reader, a backup say, that is still in the log */
    int err = store.anew ? hz_store_number(store.connection.db, "PRAGMA wal_checkpoint(TRUNCATE)", &busy) : 0;
    if (!err && busy)
        err = hz_err_set(HZ_EBUSY, "store: the log cannot begin anew, a reader is in it");
    store.anew = store.anew && err;
    return err;
}

static void recovered(void)
{
    if (atomic_exchange(&store.degraded, false))
        HZ_LOG(INFO, "store: writing again");
}

/* While nobody may hand anything over, nothing would ever find that the disk takes writes again: writes a word of the file's
 * first page, as the next promise would be. */
static void probe(void)
{
    char same_version[40];
    snprintf(same_version, sizeof same_version, "PRAGMA user_version=%d", HZ_STORE_SCHEMA);
    int err = begin_log_anew();
    if (!err)
        err = hz_store_begin(&store.connection, true);
    if (!err)
        err = hz_store_exec(store.connection.db, same_version, "writing to the disk");
    if (!err)
        err = hz_store_commit(&store.connection);
    if (err) {
        note_failed_sync();
        hz_store_rollback(&store.connection);
    } else
        recovered();
}

/* Nothing to write: what the clock asks for (ageing, thinning, giving space back), then sleep. */
static void idle(void)
{
    if (atomic_load(&store.degraded)) {
        sleep_until_work(true);
        probe();
        return;
    }
    bool due = hz_store_retention_due(&store.retention) || hz_store_counters_waiting();
    if (due && write_batch(NULL, false))
        sleep_until_work(true); /* no row suffers: said by the first row that does */
    else if (!due && !hz_store_vacuum(&store.connection)) {
        note_failed_sync();
        sleep_until_work(false);
    }
}

static void *writer_main(void *arg)
{
    (void)arg;
    struct hz_store_entry *chain = NULL; /* what could not be written yet, oldest first */
    unsigned last_tries = 0;
    for (;;) {
        if (!chain)
            (void)take(&chain, BATCH_ENTRIES);
        atomic_store_explicit(&store.oldest_ns, chain ? chain->at_ns : 0, memory_order_relaxed);
        if (!chain) {
            if (atomic_load(&store.stopping) && cds_wfcq_empty(&store.head, &store.tail)) {
                if (hz_store_counters_waiting() && write_batch(NULL, false))
                    HZ_LOG(WARN, "store: the last counts were lost: %s", hz_err_last());
                break;
            }
            idle();
            continue;
        }
        struct hz_store_entry *batch = chain;
        bool full = cut(batch, &chain);
        int err = begin_log_anew();
        if (!err)
            err = write_batch(batch, full);
        if (!err) {
            recovered();
            settle(batch, 0);
            continue;
        }
        if (!atomic_exchange(&store.degraded, true))
            HZ_LOG(ERROR, "%s; executions that need the disk are refused until it is written again", hz_err_last());
        /* The whole chain with what waits in the queue: nobody waits for an answer longer than for this attempt. */
        struct hz_store_entry **link = &batch;
        while (*link)
            link = &(*link)->next;
        *link = chain;
        while (*link)
            link = &(*link)->next;
        (void)take(link, PENDING_ENTRIES);
        chain = refuse_waiting(batch, err);
        if (atomic_load(&store.stopping) && ++last_tries > 3) {
            HZ_LOG(ERROR, "store: gave up writing the last rows at the end");
            settle(chain, err);
            chain = NULL;
            continue;
        }
        sleep_until_work(true);
    }
    return NULL;
}

/* ---- open and close ---- */

int hz_store_open(const char *data_dir, uint32_t history)
{
    const struct hz_store_options options = {.history = history};
    return hz_store_open_with(data_dir, &options);
}

int hz_store_open_with(const char *data_dir, const struct hz_store_options *options)
{
    HZ_ASSERT(!store.open);
    memset(&store, 0, sizeof store);
    cds_wfcq_init(&store.head, &store.tail);
    store.options = *options;
    if (!store.options.pending_bytes)
        store.options.pending_bytes = PENDING_BYTES;
    if (asprintf(&store.path, "%s/horizon.db", data_dir) < 0)
        return hz_err_set(HZ_ENOMEM, "opening the store");
    int err = hz_store_connect(store.path, HZ_STORE_WRITER, &store.connection);
    if (!err)
        err = hz_store_schema(store.path, &store.connection);
    if (!err) {
        pthread_mutex_init(&store.lock, NULL);
        pthread_cond_init(&store.wake, NULL);
        pthread_cond_init(&store.settled_more, NULL);
        int code = pthread_create(&store.writer, NULL, writer_main, NULL);
        if (code)
            err = hz_err_set(-code, "store: cannot start the writer thread");
    }
    if (err) {
        hz_store_disconnect(&store.connection);
        free(store.path);
        return err;
    }
    store.open = true;
    hz_store_readers_open();
    return 0;
}

void hz_store_close(void)
{
    if (!store.open)
        return;
    pthread_mutex_lock(&store.lock);
    atomic_store(&store.stopping, true);
    pthread_cond_signal(&store.wake);
    pthread_mutex_unlock(&store.lock);
    pthread_join(store.writer, NULL);
    hz_store_readers_close();
    hz_store_disconnect(&store.connection);
    hz_store_counters_drop();
    free(store.path);
    pthread_mutex_destroy(&store.lock);
    pthread_cond_destroy(&store.wake);
    pthread_cond_destroy(&store.settled_more);
    store.open = false;
}

const char *hz_store_path(void)
{
    HZ_ASSERT(store.open);
    return store.path;
}

const struct hz_store_options *hz_store_bounds(void)
{
    return &store.options;
}

/* ---- handing over ---- */

int hz_store_hand_over(struct hz_store_entry *e, bool lossy)
{
    HZ_ASSERT(store.open);
    uint64_t entries = lossy ? PENDING_ENTRIES / 2 : PENDING_ENTRIES;
    uint64_t bytes = lossy ? store.options.pending_bytes / 2 : store.options.pending_bytes;
    if (hz_store_pending() >= entries || atomic_load_explicit(&store.bytes, memory_order_relaxed) >= bytes)
        return hz_err_set(HZ_EBUSY, "store: %" PRIu64 " rows wait to be written", hz_store_pending());
    e->at_ns = hz_base_now_ns();
    cds_wfcq_node_init(&e->node);
    atomic_fetch_add_explicit(&store.bytes, e->bytes, memory_order_relaxed);
    atomic_fetch_add(&store.handed, 1);
    HZ_EDGE_OUT(&store.head);
    cds_wfcq_enqueue(&store.head, &store.tail, &e->node);
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_load_explicit(&store.sleeping, memory_order_relaxed)) {
        pthread_mutex_lock(&store.lock);
        pthread_cond_signal(&store.wake);
        pthread_mutex_unlock(&store.lock);
    }
    return 0;
}

struct waiter {
    pthread_mutex_t lock;
    pthread_cond_t done;
    bool over;
    int result;
};

static void on_called(int result, void *arg)
{
    struct waiter *waiter = arg;
    pthread_mutex_lock(&waiter->lock);
    waiter->result = result;
    waiter->over = true;
    pthread_cond_signal(&waiter->done);
    pthread_mutex_unlock(&waiter->lock); /* the waiter's memory may go from here on */
}

int hz_store_call(hz_store_call_fn *run, void *arg)
{
    struct waiter waiter = {.lock = PTHREAD_MUTEX_INITIALIZER, .done = PTHREAD_COND_INITIALIZER};
    struct hz_store_entry *e = hz_store_entry_new(HZ_STORE_CALL, 0);
    if (!e)
        return HZ_ENOMEM;
    e->durable = true;
    e->done = on_called;
    e->arg = &waiter;
    e->call.run = run;
    e->call.arg = arg;
    int err = hz_store_hand_over(e, false);
    if (err) {
        hz_store_entry_free(e);
        return err;
    }
    pthread_mutex_lock(&waiter.lock);
    while (!waiter.over)
        pthread_cond_wait(&waiter.done, &waiter.lock);
    pthread_mutex_unlock(&waiter.lock);
    pthread_mutex_destroy(&waiter.lock);
    pthread_cond_destroy(&waiter.done);
    if (waiter.result)
        (void)hz_err_set(waiter.result, "store");
    return waiter.result;
}

static int nothing(struct hz_store_connection *connection, void *arg)
{
    (void)connection;
    (void)arg;
    return 0;
}

int hz_store_flush(void)
{
    return hz_store_call(nothing, NULL);
}

uint64_t hz_store_pending(void)
{
    uint64_t settled = atomic_load(&store.settled);
    return atomic_load(&store.handed) - settled;
}

uint64_t hz_store_lag_ms(void)
{
    uint64_t oldest = atomic_load_explicit(&store.oldest_ns, memory_order_relaxed), now = hz_base_now_ns();
    return oldest && now > oldest ? (now - oldest) / 1000000u : 0;
}

bool hz_store_degraded(void)
{
    return atomic_load(&store.degraded);
}

void hz_store_wait_settled(uint32_t ms)
{
    uint64_t target = atomic_load(&store.handed);
    if (atomic_load_explicit(&store.settled, memory_order_acquire) >= target || hz_store_degraded())
        return;
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += (time_t)((until.tv_nsec + ms * 1000000L) / 1000000000L);
    until.tv_nsec = (until.tv_nsec + ms * 1000000L) % 1000000000L;
    pthread_mutex_lock(&store.lock);
    while (atomic_load(&store.settled) < target && !hz_store_degraded())
        if (pthread_cond_timedwait(&store.settled_more, &store.lock, &until))
            break;
    pthread_mutex_unlock(&store.lock);
}
