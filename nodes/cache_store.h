/*
 * cache_store.h - a bounded map from texts to kept values with a time to live. No locks, no clock of its own: the
 * caller guards it and says what time it is. Least recently used entries leave first when a bound is reached.
 */
#ifndef HZ_NODES_CACHE_STORE_H
#define HZ_NODES_CACHE_STORE_H

#include <horizon/node.h>

#define CACHE_ENTRIES_MAX 100000u
#define CACHE_BYTES_MAX   (64u << 20) /* estimated, see cache_store.c */

struct cache_entry {
    struct cache_entry *chain;         /* next in its bucket */
    struct cache_entry *newer, *older; /* order of use */
    uint64_t hash, expires_ms;         /* expires_ms 0: never */
    const hz_value *value;             /* one kept reference */
    size_t bytes, key_len;
    char key[];
};

/* All zero is an empty store. */
struct cache_store {
    struct cache_entry **buckets;
    size_t bucket_count, count, bytes;
    struct cache_entry *newest, *oldest;
};

/* Keeps `value` under `key` until now_ms + ttl_ms (0: for ever). An older value goes. HZ_ERR_NOMEM; HZ_ERR_LIMIT: the
 * value alone is above the bound (an older value of the key is gone then, too). */
int cache_store_put(struct cache_store *store, hz_str key, const hz_value *value, uint64_t now_ms, uint64_t ttl_ms);
/* The live value, borrowed until the next put, sweep or clear; NULL: absent or expired. */
const hz_value *cache_store_get(struct cache_store *store, hz_str key, uint64_t now_ms);
/* Drops what has expired. Linear. */
void cache_store_sweep(struct cache_store *store, uint64_t now_ms);
void cache_store_clear(struct cache_store *store);

#endif
