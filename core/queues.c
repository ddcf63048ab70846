/*
 * queues.c - whose turn it is. Deficit round robin (Shreedhar, Varghese 1995; every execution costs one) between lanes of the same
 * level; a level is the priority of a lane's best item plus one for each HZ_QUEUE_AGEING_NS that the lane was passed over, at most 9.
 * So a lane of the lowest priority is in the highest level after 80 s, takes a turn there, and nothing starves; what waits because of
 * its own workflow's flood or limit does not rise above others. Within a lane the item's own waiting counts, exactly.
 *
 * A rate is a virtual schedule (GCRA, ITU-T I.371): each start moves the next one's due time by rate_ns; starts may be early by
 * (burst - 1) * rate_ns. No lane takes more than four fifths of a pool of slots as long as others could want them: it may hold
 * four times what is left free (dynamic threshold, Choudhury and Hahne 1998).
 */
#include "queues.h"

#include "shm/err.h"

#include <stdlib.h>
#include <string.h>

#define AGED_NS (HZ_QUEUE_AGEING_NS / 8) /* levels are looked at anew this often */
#define BUCKETS 64u                       /* at first */
#define GREED 4u

int hz_queues_init(struct hz_queues *queues, uint32_t most, uint32_t most_single)
{
    memset(queues, 0, sizeof *queues);
    queues->most = HZ_MAX(1u, most);
    queues->most_kind[HZ_QUEUE_SINGLE] = HZ_MAX(1u, most_single);
    queues->most_kind[HZ_QUEUE_POOL] = queues->most;
    CDS_INIT_LIST_HEAD(&queues->lanes);
    CDS_INIT_LIST_HEAD(&queues->limited);
    for (unsigned kind = 0; kind < HZ_QUEUE_KINDS; kind++)
        for (unsigned level = 0; level <= HZ_PRIORITY_MOST; level++)
            CDS_INIT_LIST_HEAD(&queues->ready[kind][level]);
    queues->bucket_count = BUCKETS;
    queues->buckets = calloc(BUCKETS, sizeof(struct hz_queue_lane *));
    return queues->buckets ? 0 : hz_err_set(HZ_ENOMEM, "queues");
}

/* ---- lanes ---- */

static size_t hash_of(const char *id)
{
    uint64_t hash = UINT64_C(14695981039346656037); /* FNV-1a */
    for (; *id; id++)
        hash = (hash ^ (unsigned char)*id) * UINT64_C(1099511628211);
    return (size_t)(hash ^ hash >> 32);
}

static void grow(struct hz_queues *queues)
{
    size_t count = 4 * queues->bucket_count;
    struct hz_queue_lane **fresh = calloc(count, sizeof(struct hz_queue_lane *));
    if (!fresh)
        return; /* longer chains */
    for (size_t i = 0; i < queues->bucket_count; i++) {
        for (struct hz_queue_lane *lane = queues->buckets[i], *next; lane; lane = next) {
            next = lane->hash_next;
            struct hz_queue_lane **bucket = &fresh[hash_of(lane->workflow_id) & (count - 1)];
            lane->hash_next = *bucket;
            *bucket = lane;
        }
    }
    free(queues->buckets);
    queues->buckets = fresh;
    queues->bucket_count = count;
}

static void free_lane(struct hz_queues *queues, struct hz_queue_lane *lane)
{
    struct hz_queue_lane **link = &queues->buckets[hash_of(lane->workflow_id) & (queues->bucket_count - 1)];
    while (*link != lane)
        link = &(*link)->hash_next;
    *link = lane->hash_next;
    cds_list_del(&lane->all_node);
    cds_list_del(&lane->ready_node);
    queues->lane_count--;
    free(lane);
}

void hz_queues_fini(struct hz_queues *queues)
{
    struct hz_queue_lane *lane, *next;
    if (!queues->buckets)
        return;
    cds_list_for_each_entry_safe(lane, next, &queues->lanes, all_node) {
        HZ_ASSERT(lane->waiting + lane->held + lane->taken == 0);
        free_lane(queues, lane);
    }
    free(queues->buckets);
    queues->buckets = NULL;
}

struct hz_queue_lane *hz_queues_lane(struct hz_queues *queues, const char *workflow_id, const struct hz_queueing *limits)
{
    struct hz_queue_lane **bucket = &queues->buckets[hash_of(workflow_id) & (queues->bucket_count - 1)], *lane = *bucket;
    while (lane && strcmp(lane->workflow_id, workflow_id) != 0)
        lane = lane->hash_next;
    if (!lane) {
        lane = calloc(1, sizeof *lane);
        if (!lane)
            return NULL;
        strncpy(lane->workflow_id, workflow_id, sizeof lane->workflow_id - 1);
        for (unsigned i = 0; i <= HZ_PRIORITY_MOST; i++)
            CDS_INIT_LIST_HEAD(&lane->items[i]);
        CDS_INIT_LIST_HEAD(&lane->ready_node);
        cds_list_add_tail(&lane->all_node, &queues->lanes);
        lane->hash_next = *bucket;
        *bucket = lane;
        if (++queues->lane_count > 2 * queues->bucket_count)
            grow(queues);
    }
    lane->limits = *limits;
    return lane;
}

/* ---- where a lane stands ---- */

static unsigned level_of(const struct hz_queue_lane *lane, const struct hz_queue_item *item, uint64_t now_ns)
{
    int64_t since = HZ_MAX(item->since_ns, (int64_t)lane->ready_ns), waited = (int64_t)now_ns - since;
    uint64_t older = waited > 0 ? (uint64_t)waited / HZ_QUEUE_AGEING_NS : 0;
    return older >= HZ_PRIORITY_MOST ? HZ_PRIORITY_MOST : HZ_MIN(HZ_PRIORITY_MOST, item->priority + (unsigned)older);
}

/* Within a lane the exact order: a class is worth HZ_QUEUE_AGEING_NS of waiting. Only the oldest of each class can be the best. */
static struct hz_queue_item *best(struct hz_queue_lane *lane)
{
    struct hz_queue_item *found = NULL;
    int64_t found_key = 0;
    for (unsigned priority = HZ_PRIORITY_MOST; priority > 0; priority--) {
        if (cds_list_empty(&lane->items[priority]))
            continue;
        struct hz_queue_item *item = cds_list_first_entry(&lane->items[priority], struct hz_queue_item, node);
        int64_t key = item->since_ns - (int64_t)(priority * HZ_QUEUE_AGEING_NS);
        if (!found || key < found_key) {
            found = item;
            found_key = key;
        }
    }
    return found;
}

static bool on_time(const struct hz_queue_lane *lane, uint64_t now_ns)
{
    uint64_t early = lane->limits.burst > 1 ? (lane->limits.burst - 1) * lane->limits.rate_ns : 0;
    return lane->limits.rate_ns == 0 || now_ns + early >= lane->rate_due_ns;
}

static bool below_limits(const struct hz_queues *queues, const struct hz_queue_lane *lane, unsigned kind)
{
    if (lane->limits.concurrency && lane->taken >= lane->limits.concurrency)
        return false;
    if (kind == HZ_QUEUE_POOL && lane->taken_kind[HZ_QUEUE_POOL] >= HZ_LANE_MOST)
        return false;
    uint32_t left = queues->most - HZ_MIN(queues->most, queues->taken);
    uint32_t left_kind = queues->most_kind[kind] - HZ_MIN(queues->most_kind[kind], queues->taken_kind[kind]);
    return left > 0 && left_kind > 0;
}

/* Has it more than its part of what all share? Then it waits as if the slots were gone. */
static bool greedy(const struct hz_queues *queues, const struct hz_queue_lane *lane, unsigned kind)
{
    uint64_t left = queues->most - HZ_MIN(queues->most, queues->taken);
    uint64_t left_kind = queues->most_kind[kind] - HZ_MIN(queues->most_kind[kind], queues->taken_kind[kind]);
    return lane->taken > GREED * left || lane->taken_kind[kind] > GREED * left_kind;
}

/* Puts it where it belongs: among the ready of its level, among those that wait for their rate, or nowhere. `behind`: its turn is over. */
static void place(struct hz_queues *queues, struct hz_queue_lane *lane, bool behind, uint64_t now_ns)
{
    struct hz_queue_item *item = lane->waiting ? best(lane) : NULL;
    int state = !item ? HZ_LANE_IDLE : !on_time(lane, now_ns) ? HZ_LANE_LIMITED : HZ_LANE_READY;
    if (state == HZ_LANE_READY && lane->limits.concurrency && lane->taken >= lane->limits.concurrency)
        state = HZ_LANE_IDLE; /* hz_queues_leave() looks again */
    if (state == HZ_LANE_READY && (lane->state != HZ_LANE_READY || behind))
        lane->ready_ns = now_ns;
    unsigned level = state == HZ_LANE_READY ? level_of(lane, item, now_ns) : 0;
    if (state == HZ_LANE_READY && lane->state == HZ_LANE_READY && !behind && lane->level == level && lane->kind == item->kind)
        return;
    cds_list_del(&lane->ready_node);
    CDS_INIT_LIST_HEAD(&lane->ready_node);
    if (state == HZ_LANE_READY) {
        if (lane->state != HZ_LANE_READY || behind) {
            lane->turn = ++queues->turns;
            lane->deficit = HZ_MAX(1u, lane->limits.share);
        }
        lane->level = (uint8_t)level;
        lane->kind = item->kind;
        cds_list_add_tail(&lane->ready_node, &queues->ready[lane->kind][level]);
    } else if (state == HZ_LANE_LIMITED) {
        cds_list_add_tail(&lane->ready_node, &queues->limited);
    }
    lane->state = (unsigned)state;
}

/* What waited has grown older; lanes that nobody used lately are forgotten. */
static void age(struct hz_queues *queues, uint64_t now_ns)
{
    struct hz_queue_lane *lane, *next;
    queues->aged_ns = now_ns;
    cds_list_for_each_entry_safe(lane, next, &queues->lanes, all_node) {
        if (lane->waiting)
            place(queues, lane, false, now_ns);
        else if (lane->held + lane->taken == 0 && on_time(lane, now_ns))
            free_lane(queues, lane);
    }
}

uint64_t hz_queues_wake(const struct hz_queues *queues)
{
    const struct hz_queue_lane *lane;
    uint64_t wake = 0;
    cds_list_for_each_entry(lane, &queues->limited, ready_node) {
        uint64_t early = lane->limits.burst > 1 ? (lane->limits.burst - 1) * lane->limits.rate_ns : 0;
        uint64_t due = lane->rate_due_ns > early ? lane->rate_due_ns - early : 1;
        if (wake == 0 || due < wake)
            wake = due;
    }
    return wake;
}

static void wake_limited(struct hz_queues *queues, uint64_t now_ns)
{
    struct hz_queue_lane *lane, *next;
    cds_list_for_each_entry_safe(lane, next, &queues->limited, ready_node)
        if (on_time(lane, now_ns))
            place(queues, lane, false, now_ns);
}

struct hz_queue_item *hz_queues_next(struct hz_queues *queues, unsigned kinds, uint64_t now_ns)
{
    if (queues->waiting == 0)
        return NULL;
    if (now_ns - queues->aged_ns >= AGED_NS)
        age(queues, now_ns);
    if (!cds_list_empty(&queues->limited))
        wake_limited(queues, now_ns);
    if (queues->taken >= queues->most)
        return NULL;
    for (unsigned level = HZ_PRIORITY_MOST; level > 0; level--) {
        struct hz_queue_lane *turn = NULL;
        for (unsigned kind = 0; kind < HZ_QUEUE_KINDS; kind++) {
            struct hz_queue_lane *lane;
            if (!(kinds & 1u << kind) || queues->taken_kind[kind] >= queues->most_kind[kind])
                continue;
            /* Lanes that have their fill are passed over; there are at most as many as slots, and few in practice. */
            cds_list_for_each_entry(lane, &queues->ready[kind][level], ready_node) {
                if (!below_limits(queues, lane, kind) || greedy(queues, lane, kind))
                    continue;
                if (!turn || lane->turn < turn->turn)
                    turn = lane;
                break;
            }
        }
        if (turn)
            return best(turn);
    }
    return NULL;
}

/* ---- items ---- */

static void out_of_place(struct hz_queues *queues, struct hz_queue_item *item)
{
    struct hz_queue_lane *lane = item->lane;
    switch ((int)item->place) {
    case HZ_ITEM_HELD:
        lane->held--;
        queues->held--;
        break;
    case HZ_ITEM_WAITING:
        cds_list_del(&item->node);
        lane->waiting--;
        queues->waiting--;
        break;
    case HZ_ITEM_TAKEN:
        lane->taken--;
        lane->taken_kind[item->kind]--;
        queues->taken--;
        queues->taken_kind[item->kind]--;
        break;
    default:
        break;
    }
    item->place = HZ_ITEM_OUT;
}

void hz_queues_hold(struct hz_queues *queues, struct hz_queue_lane *lane, struct hz_queue_item *item)
{
    HZ_ASSERT(item->place == HZ_ITEM_OUT && item->priority >= 1 && item->priority <= HZ_PRIORITY_MOST);
    item->lane = lane;
    item->place = HZ_ITEM_HELD;
    lane->held++;
    queues->held++;
}

void hz_queues_push(struct hz_queues *queues, struct hz_queue_item *item, uint64_t now_ns)
{
    struct hz_queue_lane *lane = item->lane;
    HZ_ASSERT(item->place == HZ_ITEM_HELD || item->place == HZ_ITEM_TAKEN);
    out_of_place(queues, item);
    item->place = HZ_ITEM_WAITING;
    lane->waiting++;
    queues->waiting++;
    struct cds_list_head *list = &lane->items[item->priority], *at = list->prev;
    while (at != list && cds_list_entry(at, struct hz_queue_item, node)->since_ns > item->since_ns)
        at = at->prev; /* one that comes back is older than the last */
    cds_list_add(&item->node, at);
    place(queues, lane, false, now_ns);
}

bool hz_queues_free(struct hz_queues *queues, const struct hz_queue_item *item, uint64_t now_ns)
{
    const struct hz_queue_lane *lane = item->lane;
    return lane->waiting == 0 && on_time(lane, now_ns) && below_limits(queues, lane, item->kind) && !greedy(queues, lane, item->kind);
}

void hz_queues_take(struct hz_queues *queues, struct hz_queue_item *item, uint64_t now_ns)
{
    struct hz_queue_lane *lane = item->lane;
    HZ_ASSERT(item->place == HZ_ITEM_HELD || item->place == HZ_ITEM_WAITING);
    bool waited = item->place == HZ_ITEM_WAITING;
    out_of_place(queues, item);
    item->place = HZ_ITEM_TAKEN;
    lane->taken++;
    lane->taken_kind[item->kind]++;
    queues->taken++;
    queues->taken_kind[item->kind]++;
    if (lane->limits.rate_ns)
        lane->rate_due_ns = HZ_MAX(lane->rate_due_ns, now_ns) + lane->limits.rate_ns;
    if (!waited)
        return;
    bool over = lane->deficit <= 1;
    if (!over)
        lane->deficit--;
    place(queues, lane, over, now_ns);
}

void hz_queues_leave(struct hz_queues *queues, struct hz_queue_item *item, uint64_t now_ns)
{
    if (item->place == HZ_ITEM_OUT)
        return;
    struct hz_queue_lane *lane = item->lane;
    out_of_place(queues, item);
    item->lane = NULL;
    if (lane->waiting || lane->state != HZ_LANE_IDLE)
        place(queues, lane, false, now_ns);
}
