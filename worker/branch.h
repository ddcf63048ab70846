/*
 * branch.h - the execution data of one branch: for each node that ran on it, its last emission. A persistent vector over
 * node indices: passing it on is a reference, changing it is done in place while nobody else holds it, else the path to
 * the changed leaf is copied and the rest shared.
 *
 * Reference counts are not atomic: all branches of an execution are made, changed and released by the thread that owns
 * it. Another thread may read a branch for which the owner holds a reference for it (a call on a blocking thread): the
 * owner never changes a vector it is not alone to hold.
 */
#ifndef HZ_WORKER_BRANCH_H
#define HZ_WORKER_BRANCH_H

#include "value.h"

struct hz_branch; /* opaque root; NULL is the empty branch */

struct hz_branch_entry {
    const hz_value *data, *meta; /* data NULL: the node has not run here; meta may be NULL */
    uint64_t order;              /* counts the emissions of the execution: larger is later */
};

/* One per thread and plan: how deep the vectors are, and nodes to use again. */
struct hz_branch_pool {
    struct hz_branch *free_leaves, *free_inners;
    uint32_t levels; /* inner levels above the leaves */
    uint32_t kept;   /* nodes in the two lists */
    size_t live;     /* nodes in use, for tests and gauges */
};

/* nodes: how many nodes the plan has. */
void hz_branch_pool_init(struct hz_branch_pool *ret_pool, uint32_t nodes);
/* Gives the kept memory back; every branch of the pool must have been released. */
void hz_branch_pool_fini(struct hz_branch_pool *pool);

struct hz_branch *hz_branch_ref(struct hz_branch *branch);
void hz_branch_unref(struct hz_branch_pool *pool, struct hz_branch *branch);

/* Sets the entry of node `index` in *branch, which the caller owns (one reference) and which is replaced if it was
 * shared. Takes references of its own on data and meta. 0 or HZ_ENOMEM (*branch unchanged). O(levels). */
HZ_MUST_CHECK int hz_branch_set(struct hz_branch_pool *pool, struct hz_branch **branch, uint32_t index, const hz_value *data,
        const hz_value *meta, uint64_t order);
/* Borrowed until the branch is changed or released; NULL if the node has not run on it. */
const struct hz_branch_entry *hz_branch_get(const struct hz_branch_pool *pool, const struct hz_branch *branch, uint32_t index);
/* *into gets the entries of `other` for nodes it has none of (the first writer of a node wins). 0 or HZ_ENOMEM (then
 * *into holds some of them). Subtrees that both share cost nothing. */
HZ_MUST_CHECK int hz_branch_merge(struct hz_branch_pool *pool, struct hz_branch **into, struct hz_branch *other);

#endif
