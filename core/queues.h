/*
 * queues.h - whose turn it is: executions that wait, a lane for each workflow, served by deficit round robin within priority levels
 * that grow with waiting, under limits of number and rate. Knows neither workers nor the store. One thread: the shard's.
 */
#ifndef HZ_CORE_QUEUES_H
#define HZ_CORE_QUEUES_H

#include "core/flow/queueing.h"
#include "shm/base.h"

#include <urcu/list.h>

#define HZ_PRIORITY_MOST 9u /* the most urgent; 1 the least */
#define HZ_PRIORITY_DEFAULT 5u
#define HZ_QUEUE_AGEING_NS UINT64_C(10000000000) /* this long waited counts as one priority more */
#define HZ_LANE_MOST 1024u  /* a resident workflow's executions with its worker */

enum hz_queue_kind { HZ_QUEUE_SINGLE, HZ_QUEUE_POOL, HZ_QUEUE_KINDS }; /* a worker of its own, or the workflow's */

struct hz_queue_lane;
struct hz_queue_item { /* embedded in what waits; zeroed: in no lane */
    struct cds_list_head node;
    struct hz_queue_lane *lane;      /* HELD, WAITING, TAKEN */
    enum { HZ_ITEM_OUT, HZ_ITEM_HELD, HZ_ITEM_WAITING, HZ_ITEM_TAKEN } place;
    uint8_t priority;          /* 1..9 */
    uint8_t kind;              /* enum hz_queue_kind */
    int64_t since_ns;          /* waits since (monotonic; negative: longer than the host is up) */
};

struct hz_queue_lane {
    struct cds_list_head all_node, ready_node; /* ready_node: queues->ready, ->limited, or itself */
    struct cds_list_head items[HZ_PRIORITY_MOST + 1]; /* by priority, oldest first */
    struct hz_queue_lane *hash_next;
    char workflow_id[128];
    struct hz_queueing limits;
    uint32_t waiting, held, taken, taken_kind[HZ_QUEUE_KINDS];
    uint32_t deficit;          /* turns left in this round */
    uint64_t turn;             /* when its turn began to wait */
    uint64_t rate_due_ns;      /* the next start is on time from here on */
    uint64_t ready_ns;         /* READY: since when it waits for a turn that others have */
    enum { HZ_LANE_IDLE, HZ_LANE_READY, HZ_LANE_LIMITED } state;
    uint8_t kind, level;       /* READY: of its best item; level: 1..9 */
};

struct hz_queues {
    struct cds_list_head lanes, limited; /* limited: wait for rate_due_ns */
    struct cds_list_head ready[HZ_QUEUE_KINDS][HZ_PRIORITY_MOST + 1];
    struct hz_queue_lane **buckets;
    size_t bucket_count, lane_count;
    uint32_t taken, taken_kind[HZ_QUEUE_KINDS], waiting, held;
    uint32_t most, most_kind[HZ_QUEUE_KINDS]; /* taken at once */
    uint64_t turns, aged_ns;
};

/* most: executions taken at once, all kinds; most_single: of those with a worker of their own. HZ_ENOMEM. */
HZ_MUST_CHECK int hz_queues_init(struct hz_queues *queues, uint32_t most, uint32_t most_single);
/* No item may be in a lane any more. */
void hz_queues_fini(struct hz_queues *queues);
/* The lane of a workflow, made if there is none; limits: of the newest version seen. NULL: no memory. */
struct hz_queue_lane *hz_queues_lane(struct hz_queues *queues, const char *workflow_id, const struct hz_queueing *limits);

/* OUT to HELD: admitted, not yet waiting for its turn (delayed, or on its way to disk). */
void hz_queues_hold(struct hz_queues *queues, struct hz_queue_lane *lane, struct hz_queue_item *item);
/* HELD or TAKEN to WAITING. since_ns decides its place within its class. O(1) unless it is older than others of its class. */
void hz_queues_push(struct hz_queues *queues, struct hz_queue_item *item, uint64_t now_ns);
/* The one whose turn it is, of the kinds in the mask (bit 1 << kind), NULL: none may start now. It stays WAITING. O(1), and once in
 * a while O(lanes) for what has grown older. */
struct hz_queue_item *hz_queues_next(struct hz_queues *queues, unsigned kinds, uint64_t now_ns);
/* HELD or WAITING to TAKEN: it starts, and counts until hz_queues_leave(). */
void hz_queues_take(struct hz_queues *queues, struct hz_queue_item *item, uint64_t now_ns);
/* May a HELD one be taken at once, without overtaking anybody of its lane? */
bool hz_queues_free(struct hz_queues *queues, const struct hz_queue_item *item, uint64_t now_ns);
/* To OUT, from wherever it is. */
void hz_queues_leave(struct hz_queues *queues, struct hz_queue_item *item, uint64_t now_ns);
/* When a lane that waits for its rate may go on; 0: none does. O(limited lanes). */
uint64_t hz_queues_wake(const struct hz_queues *queues);

#endif
