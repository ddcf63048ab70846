/*
 * cache_store.c - hash table with chaining and a list by order of use. See cache_store.h; runs under the caller's lock.
 */
#include "cache_store.h"
#include <stdlib.h>

/* FNV-1a, 64 bit. The keys come from the flow's own data and the table is bounded, so collisions cost little. */
static uint64_t hash_of(hz_str key)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < key.len; i++)
        hash = (hash ^ (unsigned char)key.data[i]) * 0x100000001b3u;
    return hash;
}

/* What a value costs, roughly: its texts and 64 bytes for each value. Looks at no more than `budget` values and goes no
 * deeper than 32 levels; what it does not see is not counted, which a bound that is an estimate may ignore. */
static size_t weight(const hz_value *value, size_t *budget, int depth)
{
    size_t sum = 64, count = hz_length(value);
    if (!*budget || depth > 32)
        return sum;
    --*budget;
    if (hz_type_of(value) == HZ_STRING)
        return sum + count;
    if (hz_type_of(value) == HZ_ARRAY)
        for (size_t i = 0; i < count && *budget; i++)
            sum += weight(hz_at(value, i), budget, depth + 1);
    if (hz_type_of(value) == HZ_OBJECT) {
        void *cursor = NULL;
        hz_str key;
        const hz_value *member;
        while (*budget && hz_next(value, &cursor, &key, &member))
            sum += key.len + weight(member, budget, depth + 1);
        hz_next_stop(&cursor);
    }
    return sum;
}

static struct cache_entry **find(struct cache_store *store, hz_str key, uint64_t hash)
{
    if (!store->bucket_count)
        return NULL;
    struct cache_entry **link = &store->buckets[hash & (store->bucket_count - 1)];
    while (*link &&
            ((*link)->hash != hash || (*link)->key_len != key.len || memcmp((*link)->key, key.data, key.len) != 0))
        link = &(*link)->chain;
    return *link ? link : NULL;
}

static void unlist(struct cache_store *store, struct cache_entry *entry)
{
    *(entry->newer ? &entry->newer->older : &store->newest) = entry->older;
    *(entry->older ? &entry->older->newer : &store->oldest) = entry->newer;
}

static void list_first(struct cache_store *store, struct cache_entry *entry)
{
    entry->newer = NULL;
    entry->older = store->newest;
    *(store->newest ? &store->newest->newer : &store->oldest) = entry;
    store->newest = entry;
}

static void drop(struct cache_store *store, struct cache_entry **link)
{
    struct cache_entry *entry = *link;
    *link = entry->chain;
    unlist(store, entry);
    store->count--;
    store->bytes -= entry->bytes;
    hz_drop(entry->value);
    free(entry);
}

static bool grow(struct cache_store *store)
{
    if (store->count < store->bucket_count)
        return true;
    size_t count = store->bucket_count ? store->bucket_count * 2 : 64;
    struct cache_entry **buckets = calloc(count, sizeof(void *));
    if (!buckets)
        return store->bucket_count > 0; /* longer chains are better than none */
    for (struct cache_entry *entry = store->newest; entry; entry = entry->older) {
        entry->chain = buckets[entry->hash & (count - 1)];
        buckets[entry->hash & (count - 1)] = entry;
    }
    free(store->buckets);
    store->buckets = buckets;
    store->bucket_count = count;
    return true;
}

static bool is_over(const struct cache_entry *entry, uint64_t now_ms)
{
    return entry->expires_ms && entry->expires_ms <= now_ms;
}

const hz_value *cache_store_get(struct cache_store *store, hz_str key, uint64_t now_ms)
{
    struct cache_entry **link = find(store, key, hash_of(key));
    if (!link)
        return NULL;
    if (is_over(*link, now_ms)) {
        drop(store, link);
        return NULL;
    }
    unlist(store, *link);
    list_first(store, *link);
    return (*link)->value;
}

int cache_store_put(struct cache_store *store, hz_str key, const hz_value *value, uint64_t now_ms, uint64_t ttl_ms)
{
    uint64_t hash = hash_of(key);
    size_t budget = 100000, bytes = weight(value, &budget, 0) + sizeof(struct cache_entry) + key.len;
    struct cache_entry **old = find(store, key, hash);
    if (old)
        drop(store, old);
    if (bytes > CACHE_BYTES_MAX)
        return HZ_ERR_LIMIT;
    if (store->count >= CACHE_ENTRIES_MAX || store->bytes + bytes > CACHE_BYTES_MAX)
        cache_store_sweep(store, now_ms);
    while (store->oldest && (store->count >= CACHE_ENTRIES_MAX || store->bytes + bytes > CACHE_BYTES_MAX)) {
        struct cache_entry *last = store->oldest;
        struct cache_entry **link = find(store, (hz_str){last->key, last->key_len}, last->hash);
        if (!link)
            return HZ_ERR_FAILED; /* cannot be: every listed entry is in its bucket */
        drop(store, link);
    }
    struct cache_entry *entry = malloc(sizeof *entry + key.len + 1);
    if (!entry || !grow(store)) {
        free(entry);
        return HZ_ERR_NOMEM;
    }
    *entry = (struct cache_entry){.chain = store->buckets[hash & (store->bucket_count - 1)],
            .hash = hash,
            .expires_ms = ttl_ms ? now_ms + ttl_ms : 0,
            .value = hz_keep(value),
            .bytes = bytes,
            .key_len = key.len};
    memcpy(entry->key, key.data, key.len);
    entry->key[key.len] = 0;
    store->buckets[hash & (store->bucket_count - 1)] = entry;
    list_first(store, entry);
    store->count++;
    store->bytes += bytes;
    return HZ_OK;
}

void cache_store_sweep(struct cache_store *store, uint64_t now_ms)
{
    for (size_t i = 0; i < store->bucket_count; i++) {
        struct cache_entry **link = &store->buckets[i];
        while (*link) {
            if (is_over(*link, now_ms))
                drop(store, link);
            else
                link = &(*link)->chain;
        }
    }
}

void cache_store_clear(struct cache_store *store)
{
    for (size_t i = 0; i < store->bucket_count; i++)
        while (store->buckets[i])
            drop(store, &store->buckets[i]);
    free(store->buckets);
    *store = (struct cache_store){0};
}
