/*
 * spares.c - a few workers of the common kind, forked and warm before anybody asks: base zygote, one thread, default segment, the
 * compute-only sandbox. Each is used once. They are not listed, counted or logged until they get a flow. On their shard.
 */
#include "worker.h"

#include "lines.h"

#include "core/flow/plan.h"

#define RETRY_FIRST_MS 250u
#define RETRY_MOST_MS 30000u
#define REFILL_MS 5u

static bool fits(const struct hz_workflow *workflow)
{
    return workflow->zygote == HZ_ZYGOTE_BASE && workflow->threads <= 1 && workflow->segment_bytes == 0 && workflow->limits.open_files <= 256 &&
            workflow->plan->untrusted_plugins == 0 && workflow->caps == 0 && workflow->uid == 0;
}

static unsigned warm_count(const struct hz_yard *yard)
{
    unsigned n = 0;
    struct cds_list_head *node;
    cds_list_for_each(node, &yard->spares)
        n++;
    return n;
}

static void on_retry(struct hz_timer *timer)
{
    hz_spares_fill(HZ_CONTAINER_OF(timer, struct hz_yard, spare_timer));
}

void hz_spares_fill(struct hz_yard *yard)
{
    if (yard->config->spawn == HZ_SPAWN_EXEC || (yard->spare_failures > 0 && hz_timer_armed(&yard->spare_timer)))
        return; /* by exec a spare would cost as much as what it saves, and nobody preloaded anything */
    while (!yard->ending && !yard->resting && warm_count(yard) + yard->spares_coming < yard->config->spares) {
        char error[512];
        struct hz_worker_options options = {.purpose = HZ_PURPOSE_SPARE};
        if (!hz_worker_new(yard, &options, error, sizeof error)) {
            HZ_LOG(WARN, "spare worker: %s", error);
            yard->spare_failures++;
            uint32_t wait = HZ_MIN(RETRY_MOST_MS, RETRY_FIRST_MS << HZ_MIN(yard->spare_failures, 8u));
            hz_timer_after(hz_shard_timers(yard->shard), &yard->spare_timer, wait, on_retry);
            return;
        }
        yard->spares_coming++;
    }
}

void hz_spares_warm(struct hz_worker *w)
{
    w->warm = true;
    w->yard->spares_coming--;
    w->yard->spare_failures = 0;
    if (w->yard->ending || w->stopping) {
        hz_worker_kill(w, HZ_INTENT_DISCARD, 0);
        return;
    }
    cds_list_add_tail(&w->spare_node, &w->yard->spares);
}

/* A spare is dead. The next one is made with patience when it died by itself: what kills one may kill all. */
void hz_spares_lost(struct hz_worker *w)
{
    struct hz_yard *yard = w->yard;
    if (!w->warm)
        yard->spares_coming--;
    else if (w->spare_node.next)
        cds_list_del(&w->spare_node);
    w->spare_node.next = NULL;
    if (yard->ending || w->intent == HZ_INTENT_DISCARD)
        return;
    yard->spare_failures++;
    HZ_LOG(WARN, "a spare worker (process %d) died", w->info.pid);
    uint32_t wait = HZ_MIN(RETRY_MOST_MS, RETRY_FIRST_MS << HZ_MIN(yard->spare_failures, 8u));
    hz_timer_after(hz_shard_timers(yard->shard), &yard->spare_timer, wait, on_retry);
}

struct hz_worker *hz_spares_take(struct hz_yard *yard, const struct hz_worker_options *options)
{
    if (cds_list_empty(&yard->spares) || !fits(options->workflow) || yard->ending)
        return NULL;
    struct hz_worker *w = cds_list_first_entry(&yard->spares, struct hz_worker, spare_node);
    cds_list_del(&w->spare_node);
    w->spare_node.next = NULL;
    /* Its successor is made when the one taken has ended, or a little later: not while it starts. */
    if (!hz_timer_armed(&yard->spare_timer))
        hz_timer_after(hz_shard_timers(yard->shard), &yard->spare_timer, REFILL_MS, on_retry);
    return w;
}

static void on_first(struct hz_timer *timer)
{
    hz_spares_fill(HZ_CONTAINER_OF(timer, struct hz_yard, spare_timer));
}

void hz_spares_begin(struct hz_yard *yard)
{
    CDS_INIT_LIST_HEAD(&yard->spares);
    /* The first ones come when the shard's loop runs: the main thread, which starts the zygote, waits for the shards until then. */
    hz_timer_after(hz_shard_timers(yard->shard), &yard->spare_timer, 0, on_first);
}
