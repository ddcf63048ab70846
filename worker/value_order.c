/*
 * value_order.c - JavaScript's key order over jansson's insertion order: number-like keys first, ascending, the rest as
 * inserted. Objects without such keys (nearly all) are walked as they are. Worker process, any thread.
 */
#include "value_internal.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* A cursor is jansson's iterator of the key last given or, for a sorted walk, its position with the low bit set. The
 * sorted keys themselves are remembered per thread for the walks under way; a walk that lost its place here (more than
 * ORDER_WALKS nested, or moved to another thread) sorts again. So a cursor owns nothing and may be forgotten. */
#define ORDER_WALKS 4
#define ORDER_KEEP  4096 /* keys kept after the end of a walk, at most */

struct order_walk {
    const json_t *object;
    void **keys;
    size_t count;
};
struct order_cache {
    struct order_walk walks[ORDER_WALKS];
    unsigned next;
};
struct order_key {
    uint64_t rank; /* index keys by value, the others behind them by position */
    void *iter;
};

static _Thread_local struct order_cache *order_mine; /* read and written by its own thread only */
static pthread_key_t order_at_exit;
static pthread_once_t order_once = PTHREAD_ONCE_INIT;
static bool order_has_key;

bool hz_value_key_index(const char *key, size_t len, uint32_t *ret_index)
{
    if (len == 0 || len > 10 || key[0] < '0' || key[0] > '9' || (key[0] == '0' && len > 1))
        return false;
    uint64_t v = 0;
    for (size_t i = 0; i < len; i++) {
        if (key[i] < '0' || key[i] > '9')
            return false;
        v = v * 10 + (uint64_t)(key[i] - '0');
    }
    if (v >= UINT32_MAX)
        return false;
    *ret_index = (uint32_t)v;
    return true;
}

bool hz_value_has_index(const json_t *object)
{
    json_t *walked = hz_value_mutable(object);
    uint32_t index;
    for (void *i = json_object_iter(walked); i; i = json_object_iter_next(walked, i)) {
        const char *key = json_object_iter_key(i);
        if (*key >= '0' && *key <= '9' && hz_value_key_index(key, json_object_iter_key_len(i), &index))
            return true;
    }
    return false;
}

static int order_compare(const void *a, const void *b)
{
    const struct order_key *x = a, *y = b;
    return x->rank < y->rank ? -1 : x->rank > y->rank;
}

void **hz_value_sort_keys(const json_t *object, size_t *ret_count)
{
    json_t *walked = hz_value_mutable(object);
    size_t count = json_object_size(object), n = 0;
    struct order_key *keys = malloc((count ? count : 1) * sizeof *keys);
    if (!keys)
        return NULL;
    for (void *i = json_object_iter(walked); i && n < count; i = json_object_iter_next(walked, i), n++) {
        uint32_t index;
        bool is_index = hz_value_key_index(json_object_iter_key(i), json_object_iter_key_len(i), &index);
        keys[n] = (struct order_key){is_index ? index : UINT32_MAX + (uint64_t)n, i};
    }
    qsort(keys, n, sizeof *keys, order_compare);
    void **sorted = (void **)(void *)keys; /* compacted in place: entry i is read before anything writes past it */
    for (size_t i = 0; i < n; i++)
        memmove(&sorted[i], &keys[i].iter, sizeof sorted[i]);
    *ret_count = n;
    return sorted;
}

static void order_forget(void *cache)
{
    struct order_cache *mine = cache;
    for (size_t i = 0; i < ORDER_WALKS; i++)
        free(mine->walks[i].keys);
    free(mine);
    order_mine = NULL;
}

static void order_make_key(void)
{
    order_has_key = pthread_key_create(&order_at_exit, order_forget) == 0;
}

/* The walk over `object` of this thread; `fresh`: a new one, sorted now. NULL: out of memory. */
static struct order_walk *order_find(const json_t *object, bool fresh)
{
    struct order_cache *mine = order_mine;
    if (!mine) {
        pthread_once(&order_once, order_make_key);
        if (!order_has_key)
            return NULL;
        mine = calloc(1, sizeof *mine);
        if (!mine || pthread_setspecific(order_at_exit, mine) != 0) {
            free(mine);
            return NULL;
        }
        order_mine = mine;
    }
    struct order_walk *walk = NULL;
    for (size_t i = 0; i < ORDER_WALKS && !walk; i++) {
        if (mine->walks[i].keys && mine->walks[i].object == object)
            walk = &mine->walks[i];
    }
    if (walk && !fresh && walk->count == json_object_size(object))
        return walk;
    if (!walk)
        walk = &mine->walks[mine->next++ % ORDER_WALKS];
    free(walk->keys);
    walk->object = object;
    walk->keys = hz_value_sort_keys(object, &walk->count);
    return walk->keys ? walk : NULL;
}

static bool order_give(void *iter, hz_str *ret_key, const hz_value **ret_value)
{
    if (ret_key)
        *ret_key = (hz_str){json_object_iter_key(iter), json_object_iter_key_len(iter)};
    if (ret_value)
        *ret_value = hz_value_of(json_object_iter_value(iter));
    return true;
}

static bool order_next_sorted(const json_t *object, void **cursor, hz_str *ret_key, const hz_value **ret_value)
{
    size_t at = *cursor ? (size_t)((uintptr_t)*cursor >> 1) : 0;
    struct order_walk *walk = order_find(object, *cursor == NULL);
    if (!walk)
        return false;
    if (at >= walk->count) {
        if (walk->count > ORDER_KEEP) {
            free(walk->keys);
            walk->keys = NULL;
        }
        return false;
    }
    *cursor = (void *)(((uintptr_t)at + 1) << 1 | 1);
    return order_give(walk->keys[at], ret_key, ret_value);
}

bool hz_value_next(const hz_value *object, void **cursor, hz_str *ret_key, const hz_value **ret_value)
{
    json_t *json = hz_value_json(object);
    if (!json_is_object(json))
        return false;
    if (((uintptr_t)*cursor & 1) || (!*cursor && hz_value_has_index(json)))
        return order_next_sorted(json, cursor, ret_key, ret_value);
    void *iter = *cursor ? json_object_iter_next(json, *cursor) : json_object_iter(json);
    if (!iter)
        return false;
    *cursor = iter;
    return order_give(iter, ret_key, ret_value);
}

void hz_value_next_stop(void **cursor)
{
    *cursor = NULL;
}
