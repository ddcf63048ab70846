/*
 * worker_poll.c - when to look at which link. A link with work in hand is hot: looked at once per loop turn, its doorbell awake, so
 * its worker rings for nothing. After a short spin without anything the hot links announce sleep, look once more, and leave the
 * rest to the loop. On the workers' shard.
 *
 * The spin follows its luck: found something, twice as long next time (at most SPIN_MOST pauses); found nothing, half. Measured when
 * the doorbell was designed: a spinning peer answers in 0.2 us, a sleeping one in 50 us; 200 pauses are a few microseconds.
 */
#include "worker.h"

#include "store.h"

#include <ck_pr.h>
#include <stdlib.h>

#define SPIN_MOST 200u
#define SPIN_LEAST 8u
#define EAGER_NS 250000u /* a spare answers in 100 us, and waking this CPU would cost 50 more */
#define EAGER_LINKS 2u  /* with more in hand the CPU is better left to them */
#define BLOCKED_MOST_MS 16u
#define HELD_ROWS 100000u /* waiting to be written: about 50 MB without payloads */
#define HELD_MS 5u
/* Of what one worker says, while there are others: 25,000 lines or 10 MB a second, after a tenth of a second of as much as it likes.
 * A line costs its shard 4 to 6 us, so a flood takes a tenth of the thread that the others need, too. */
#define LINE_NS 40000u
#define BYTE_NS 100u
#define SAID_NS UINT64_C(100000000)

static void make_hot(struct hz_worker *w)
{
    if (w->hot || w->held || w->buried || w->link.poisoned)
        return;
    w->hot = true;
    cds_list_add_tail(&w->hot_node, &w->yard->hot);
}

static void make_cold(struct hz_worker *w)
{
    if (!w->hot)
        return;
    w->hot = false;
    cds_list_del(&w->hot_node);
}

static void on_bell(uv_poll_t *poll, int status, int events)
{
    struct hz_worker *w = poll->data;
    (void)status;
    HZ_CHECK_OBJ(w, HZ_WORKER_MAGIC);
    /* Nobody holds the other end: the process ended, of which the reaper will hear, or it does not want to ring any more. It would
     * be "readable" for ever. */
    if ((events & UV_DISCONNECT) != 0)
        uv_poll_stop(poll);
    hz_link_awake(&w->link);
    make_hot(w);
}

static void free_handle(uv_handle_t *handle)
{
    free(handle);
}

void hz_worker_poll_expect(struct hz_worker *w)
{
    if (w->buried || !w->bell_poll)
        return;
    if (!w->hot)
        hz_doorbell_awake(&w->link.bell, false); /* it need not ring: we look */
    make_hot(w);
    w->yard->eager_ns = hz_base_now_ns() + EAGER_NS;
}

int hz_worker_poll_attach(struct hz_worker *w)
{
    uv_poll_t *poll = calloc(1, sizeof *poll);
    if (!poll || uv_poll_init(hz_shard_loop(w->yard->shard), poll, w->link.manager_bell)) {
        free(poll);
        return hz_err_set(HZ_ENOMEM, "worker %s: cannot watch its doorbell", w->info.id_text);
    }
    w->bell_poll = poll;
    poll->data = w;
    uv_poll_start(poll, UV_READABLE | UV_DISCONNECT, on_bell);
    if (!hz_link_sleep(&w->link))
        make_hot(w);
    return 0;
}

void hz_worker_poll_detach(struct hz_worker *w)
{
    make_cold(w);
    if (w->held)
        cds_list_del(&w->hot_node);
    w->held = false;
    if (w->dirty)
        cds_list_del(&w->dirty_node);
    if (w->blocked)
        cds_list_del(&w->blocked_node);
    w->dirty = w->blocked = false;
    if (!w->bell_poll)
        return;
    uv_poll_stop(w->bell_poll);
    uv_close((uv_handle_t *)w->bell_poll, free_handle);
    w->bell_poll = NULL;
}

void hz_worker_poll_drain(struct hz_worker *w)
{
    /* No record takes less than 16 bytes: more than this was not in its rings, somebody else is still writing them. */
    size_t most = w->link.segment.total_bytes / 16;
    for (size_t taken = 0, n = 1; n > 0 && taken < most && !w->link.poisoned; taken += n) {
        w->link.debt = 0;
        n = hz_link_visit(&w->link, hz_worker_on_message, w);
    }
}

/* ---- commands that wait for room ---- */

static void on_blocked(struct hz_timer *timer);

static void watch_blocked(struct hz_yard *yard)
{
    if (!cds_list_empty(&yard->blocked) && !hz_timer_armed(&yard->blocked_timer))
        hz_timer_after(hz_shard_timers(yard->shard), &yard->blocked_timer, yard->blocked_ms, on_blocked);
}

static void flush(struct hz_worker *w)
{
    uint64_t before = w->link.segment.commands.index;
    bool all = hz_link_flush(&w->link);
    if (w->link.poisoned) {
        hz_worker_poison(w, w->link.poison_reason);
        return;
    }
    if (w->link.segment.commands.index != before)
        w->yard->blocked_ms = 1;
    if (all && w->blocked) {
        w->blocked = false;
        cds_list_del(&w->blocked_node);
    } else if (!all && !w->blocked) {
        w->blocked = true;
        cds_list_add_tail(&w->blocked_node, &w->yard->blocked);
        w->yard->blocked_ms = 1;
    }
}

/* A worker does not ring when it made room: we look, each millisecond first, then less often while nothing moves. */
static void on_blocked(struct hz_timer *timer)
{
    struct hz_yard *yard = HZ_CONTAINER_OF(timer, struct hz_yard, blocked_timer);
    struct hz_worker *w, *next;
    yard->blocked_ms = HZ_MIN(yard->blocked_ms * 2, BLOCKED_MOST_MS);
    cds_list_for_each_entry_safe(w, next, &yard->blocked, blocked_node)
        flush(w);
    watch_blocked(yard);
}

void hz_worker_poll_flush(struct hz_yard *yard)
{
    while (!cds_list_empty(&yard->dirty)) {
        struct hz_worker *w = cds_list_first_entry(&yard->dirty, struct hz_worker, dirty_node);
        cds_list_del(&w->dirty_node);
        w->dirty = false;
        flush(w);
    }
    watch_blocked(yard);
}

/* ---- workers that wait for the store, or say too much ---- */

static void on_held(struct hz_timer *timer)
{
    struct hz_yard *yard = HZ_CONTAINER_OF(timer, struct hz_yard, held_timer);
    struct hz_worker *w, *next;
    bool behind = hz_store_pending() > HELD_ROWS / 2;
    uint64_t now = hz_base_now_ns();
    cds_list_for_each_entry_safe(w, next, &yard->held, hot_node) {
        if (behind || w->said_ns > now + SAID_NS / 2)
            continue;
        w->held = false;
        cds_list_del(&w->hot_node);
        make_hot(w);
    }
    if (!cds_list_empty(&yard->held))
        hz_timer_after(hz_shard_timers(yard->shard), timer, HELD_MS, on_held);
}

static void hold(struct hz_worker *w)
{
    struct hz_yard *yard = w->yard;
    if (w->held || w->buried || w->reaped || !w->bell_poll)
        return;
    make_cold(w); /* its doorbell stays awake: it need not ring */
    w->held = true;
    cds_list_add_tail(&w->hot_node, &yard->held);
    if (!hz_timer_armed(&yard->held_timer))
        hz_timer_after(hz_shard_timers(yard->shard), &yard->held_timer, HELD_MS, on_held);
}

void hz_worker_poll_behind(struct hz_worker *w)
{
    if (hz_store_pending() > HELD_ROWS)
        hold(w);
}

void hz_worker_poll_said(struct hz_worker *w, size_t bytes)
{
    uint64_t now = hz_base_now_ns();
    w->said_ns = HZ_MAX(w->said_ns, now) + LINE_NS + bytes * BYTE_NS; /* when it has all been paid for */
    if (w->said_ns > now + SAID_NS && w->yard->workers.next != w->yard->workers.prev)
        hold(w);
}

/* ---- the turn ---- */

/* One look at each hot link; how many records were taken. Nobody is freed here: burials come from the pidfd's poll. */
static unsigned visit_hot(struct hz_yard *yard)
{
    unsigned taken = 0;
    struct hz_worker *w, *next;
    cds_list_for_each_entry_safe(w, next, &yard->hot, hot_node) {
        unsigned n = hz_link_visit(&w->link, hz_worker_on_message, w);
        taken += n;
        if (w->link.poisoned) {
            make_cold(w);
            hz_worker_poison(w, w->link.poison_reason);
        } else if (n > 0 && w->blocked) {
            flush(w); /* it reads, too */
        }
    }
    return taken;
}

static bool any_data(struct hz_yard *yard)
{
    struct hz_worker *w;
    cds_list_for_each_entry(w, &yard->hot, hot_node)
        if (hz_link_has_data(&w->link))
            return true;
    return false;
}

static bool spin(struct hz_yard *yard)
{
    for (unsigned i = 0; i < yard->spin; i++) {
        ck_pr_stall();
        if (any_data(yard)) {
            yard->spin = HZ_MIN(SPIN_MOST, yard->spin * 2);
            return true;
        }
    }
    yard->spin = HZ_MAX(SPIN_LEAST, yard->spin / 2);
    return false;
}

static bool eager(struct hz_yard *yard)
{
    unsigned count = 0;
    struct cds_list_head *node;
    if (yard->eager_ns == 0)
        return false;
    cds_list_for_each(node, &yard->hot)
        count++;
    if (count <= EAGER_LINKS && hz_base_now_ns() < yard->eager_ns)
        return true;
    yard->eager_ns = 0;
    return false;
}

static bool turn(void *arg)
{
    struct hz_yard *yard = hz_shard_get(arg, HZ_SHARD_SUPERVISOR);
    if (!yard)
        return false; /* ended; the loop goes on a little */
    hz_worker_poll_flush(yard);
    if (cds_list_empty(&yard->hot))
        return false;
    unsigned taken = visit_hot(yard);
    hz_worker_poll_flush(yard);
    if (taken > 0 || spin(yard) || eager(yard))
        return true;
    struct hz_worker *w, *next;
    cds_list_for_each_entry_safe(w, next, &yard->hot, hot_node)
        if (hz_link_sleep(&w->link))
            make_cold(w);
    return !cds_list_empty(&yard->hot);
}

int hz_worker_poll_begin(struct hz_yard *yard)
{
    CDS_INIT_LIST_HEAD(&yard->hot);
    CDS_INIT_LIST_HEAD(&yard->dirty);
    CDS_INIT_LIST_HEAD(&yard->blocked);
    CDS_INIT_LIST_HEAD(&yard->held);
    yard->spin = SPIN_MOST;
    yard->blocked_ms = 1;
    return hz_shard_add_turn(yard->shard, turn, yard->shard);
}

void hz_worker_poll_end(struct hz_yard *yard)
{
    hz_timer_cancel(hz_shard_timers(yard->shard), &yard->blocked_timer);
    hz_timer_cancel(hz_shard_timers(yard->shard), &yard->held_timer);
}
