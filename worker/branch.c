/*
 * branch.c - persistent vector over node indices: leaves of 8 entries below inner nodes of 16. Worker, owner's thread of
 * the execution; see branch.h for what another thread may do.
 *
 * Source: the bit-partitioned tries of Bagwell ("Ideal Hash Trees", 2001) as used for vectors in Clojure, here of fixed
 * depth, since the number of nodes of a plan is known, and with change in place where the count says nobody else looks.
 */
#include "branch.h"
#include "shm/err.h"

#include <stdlib.h>
#include <string.h>

HZ_KEEPS_WHAT_IS_ALLOCATED /* the pool's lists and the branches own each other */

#define LEAF_BITS 3u
#define LEAF_WIDTH (1u << LEAF_BITS)
#define INNER_BITS 4u
#define INNER_WIDTH (1u << INNER_BITS)
#define KEEP_MAX 4096u /* about 0.6 MiB of leaves at most; one execution rarely holds more */

struct hz_branch {
    uint32_t refs, is_leaf;
    struct hz_branch *next_free;
};
struct leaf {
    struct hz_branch head;
    struct hz_branch_entry entries[LEAF_WIDTH];
};
struct inner {
    struct hz_branch head;
    struct hz_branch *child[INNER_WIDTH];
};

static struct leaf *leaf_of(struct hz_branch *node)
{
    return HZ_CONTAINER_OF(node, struct leaf, head);
}

static struct inner *inner_of(struct hz_branch *node)
{
    return HZ_CONTAINER_OF(node, struct inner, head);
}

void hz_branch_pool_init(struct hz_branch_pool *ret_pool, uint32_t nodes)
{
    *ret_pool = (struct hz_branch_pool){0};
    uint64_t reach = LEAF_WIDTH;
    while (reach < nodes) {
        reach <<= INNER_BITS;
        ret_pool->levels++;
    }
}

void hz_branch_pool_fini(struct hz_branch_pool *pool)
{
    HZ_ASSERT(pool->live == 0);
    struct hz_branch *next;
    for (struct hz_branch *node = pool->free_leaves; node; node = next) {
        next = node->next_free;
        free(leaf_of(node));
    }
    for (struct hz_branch *node = pool->free_inners; node; node = next) {
        next = node->next_free;
        free(inner_of(node));
    }
    *pool = (struct hz_branch_pool){0};
}

static struct hz_branch *new_leaf(struct hz_branch_pool *pool)
{
    struct leaf *leaf;
    if (pool->free_leaves) {
        leaf = leaf_of(pool->free_leaves);
        pool->free_leaves = leaf->head.next_free;
        pool->kept--;
    } else {
        leaf = malloc(sizeof(*leaf));
        if (!leaf)
            return NULL;
    }
    memset(leaf, 0, sizeof(*leaf));
    leaf->head.refs = 1;
    leaf->head.is_leaf = 1;
    pool->live++;
    return &leaf->head;
}

static struct hz_branch *new_inner(struct hz_branch_pool *pool)
{
    struct inner *inner;
    if (pool->free_inners) {
        inner = inner_of(pool->free_inners);
        pool->free_inners = inner->head.next_free;
        pool->kept--;
    } else {
        inner = malloc(sizeof(*inner));
        if (!inner)
            return NULL;
    }
    memset(inner, 0, sizeof(*inner));
    inner->head.refs = 1;
    pool->live++;
    return &inner->head;
}

static void release(struct hz_branch_pool *pool, struct hz_branch *node)
{
    pool->live--;
    if (pool->kept >= KEEP_MAX) {
        if (node->is_leaf)
            free(leaf_of(node));
        else
            free(inner_of(node));
        return;
    }
    struct hz_branch **list = node->is_leaf ? &pool->free_leaves : &pool->free_inners;
    node->next_free = *list;
    *list = node;
    pool->kept++;
}

struct hz_branch *hz_branch_ref(struct hz_branch *branch)
{
    if (branch)
        branch->refs++;
    return branch;
}

/* Recursion is bounded by the depth of the vector: at most 8 levels for 2^32 nodes. */
void hz_branch_unref(struct hz_branch_pool *pool, struct hz_branch *branch)
{
    if (!branch || --branch->refs > 0)
        return;
    if (branch->is_leaf) {
        struct leaf *leaf = leaf_of(branch);
        for (uint32_t i = 0; i < LEAF_WIDTH; i++) {
            if (!leaf->entries[i].data)
                continue;
            hz_value_unref(leaf->entries[i].data);
            hz_value_unref(leaf->entries[i].meta);
        }
    } else {
        struct inner *inner = inner_of(branch);
        for (uint32_t i = 0; i < INNER_WIDTH; i++)
            hz_branch_unref(pool, inner->child[i]);
    }
    release(pool, branch);
}

/* Makes *slot a node that nobody else holds: kept if it is alone already, copied if shared, made if absent. */
static int make_own(struct hz_branch_pool *pool, struct hz_branch **slot, bool is_leaf)
{
    struct hz_branch *old = *slot;
    if (old && old->refs == 1)
        return 0;
    struct hz_branch *own = is_leaf ? new_leaf(pool) : new_inner(pool);
    if (!own)
        return HZ_ENOMEM;
    if (old && is_leaf) {
        memcpy(leaf_of(own)->entries, leaf_of(old)->entries, sizeof(leaf_of(own)->entries));
        for (uint32_t i = 0; i < LEAF_WIDTH; i++) {
            hz_value_ref(leaf_of(own)->entries[i].data);
            hz_value_ref(leaf_of(own)->entries[i].meta);
        }
    } else if (old) {
        memcpy(inner_of(own)->child, inner_of(old)->child, sizeof(inner_of(own)->child));
        for (uint32_t i = 0; i < INNER_WIDTH; i++)
            hz_branch_ref(inner_of(own)->child[i]);
    }
    if (old)
        old->refs--; /* it was above 1: others hold it */
    *slot = own;
    return 0;
}

int hz_branch_set(struct hz_branch_pool *pool, struct hz_branch **branch, uint32_t index, const hz_value *data,
        const hz_value *meta, uint64_t order)
{
    HZ_ASSERT(data != NULL);
    struct hz_branch **slot = branch;
    for (uint32_t level = pool->levels; level > 0; level--) {
        if (make_own(pool, slot, false) != 0)
            return HZ_ENOMEM;
        uint32_t shift = LEAF_BITS + INNER_BITS * (level - 1);
        slot = &inner_of(*slot)->child[(index >> shift) & (INNER_WIDTH - 1)];
    }
    if (make_own(pool, slot, true) != 0)
        return HZ_ENOMEM;
    struct hz_branch_entry *entry = &leaf_of(*slot)->entries[index & (LEAF_WIDTH - 1)];
    struct hz_branch_entry old = *entry;
    *entry = (struct hz_branch_entry){.data = hz_value_ref(data), .meta = hz_value_ref(meta), .order = order};
    hz_value_unref(old.data);
    hz_value_unref(old.meta);
    return 0;
}

const struct hz_branch_entry *hz_branch_get(const struct hz_branch_pool *pool, const struct hz_branch *branch, uint32_t index)
{
    for (uint32_t level = pool->levels; level > 0 && branch; level--) {
        uint32_t shift = LEAF_BITS + INNER_BITS * (level - 1);
        branch = ((const struct inner *)(const void *)branch)->child[(index >> shift) & (INNER_WIDTH - 1)];
    }
    if (!branch)
        return NULL;
    const struct hz_branch_entry *entry = &((const struct leaf *)(const void *)branch)->entries[index & (LEAF_WIDTH - 1)];
    return entry->data ? entry : NULL;
}

static int merge(struct hz_branch_pool *pool, struct hz_branch **into, struct hz_branch *other, uint32_t level)
{
    if (!other || *into == other)
        return 0;
    if (!*into) {
        *into = hz_branch_ref(other);
        return 0;
    }
    if (make_own(pool, into, level == 0) != 0)
        return HZ_ENOMEM;
    if (level > 0) {
        for (uint32_t i = 0; i < INNER_WIDTH; i++)
            if (merge(pool, &inner_of(*into)->child[i], inner_of(other)->child[i], level - 1) != 0)
                return HZ_ENOMEM;
        return 0;
    }
    for (uint32_t i = 0; i < LEAF_WIDTH; i++) {
        struct hz_branch_entry *to = &leaf_of(*into)->entries[i];
        const struct hz_branch_entry *from = &leaf_of(other)->entries[i];
        if (to->data || !from->data)
            continue;
        *to = *from;
        hz_value_ref(to->data);
        hz_value_ref(to->meta);
    }
    return 0;
}

int hz_branch_merge(struct hz_branch_pool *pool, struct hz_branch **into, struct hz_branch *other)
{
    return merge(pool, into, other, pool->levels);
}
