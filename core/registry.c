/*
 * registry.c - workers by id for readers on any thread: an RCU hash of whole copies. No behaviour, no pointers to workers.
 *
 * Synchronisation: a worker's owner shard alone puts and removes it, so for one key there is one writer; different keys may be
 * written at once, which the hash allows. Readers copy the info out inside the read lock; a replaced or removed copy is freed
 * after a grace period (call_rcu), so what a reader looks at never changes and never goes.
 */
#include "registry.h"

#include "edges.h"

#include "shm/err.h"

#include <stdlib.h>
#include <string.h>
#include <urcu/urcu-memb.h>
#include <urcu/rculfhash.h>

/* Listing walks through all buckets, empty ones too: 4,096 of them took 35 us, with one worker as with a hundred. A thousand workers are
 * four in each of these. */
#define BUCKETS 256u

struct entry {
    struct cds_lfht_node node;
    struct rcu_head rcu;
    struct hz_worker_info info;
};

static struct cds_lfht *table;

const char *hz_worker_status_name(enum hz_worker_status status)
{
    static const char *const names[] = {"starting", "running", "stopping", "stopped", "error"};
    return (unsigned)status < HZ_COUNT_OF(names) ? names[status] : "?";
}

/* Ids are random: any eight bytes of them are a hash. */
static unsigned long hash_of(const struct hz_uuid *id)
{
    unsigned long hash;
    memcpy(&hash, id->bytes + 8, sizeof hash);
    return hash;
}

static int match(struct cds_lfht_node *node, const void *key)
{
    HZ_EDGE_IN(&table); /* its publication */
    return hz_uuid_equal(&caa_container_of(node, struct entry, node)->info.id, key);
}

static void free_entry(struct rcu_head *rcu)
{
    HZ_EDGE_IN(&table); /* readers' unlocks before the end of the grace period */
    free(caa_container_of(rcu, struct entry, rcu));
}

int hz_registry_init(void)
{
    HZ_ASSERT(table == NULL);
    table = cds_lfht_new_flavor(BUCKETS, BUCKETS, 0, 0, &urcu_memb_flavor, NULL);
    return table ? 0 : hz_err_set(HZ_ENOMEM, "registry");
}

void hz_registry_fini(void)
{
    if (!table)
        return;
    struct cds_lfht_iter iter;
    struct entry *e;
    urcu_memb_read_lock();
    cds_lfht_for_each_entry(table, &iter, e, node) {
        HZ_EDGE_IN(&table);
        if (!cds_lfht_del(table, &e->node))
            urcu_memb_call_rcu(&e->rcu, free_entry);
    }
    HZ_EDGE_OUT(&table);
    urcu_memb_read_unlock();
    urcu_memb_barrier();
    cds_lfht_destroy(table, NULL);
    table = NULL;
}

int hz_registry_put(const struct hz_worker_info *info)
{
    struct entry *e = malloc(sizeof *e);
    if (!e)
        return hz_err_set(HZ_ENOMEM, "registry");
    cds_lfht_node_init(&e->node);
    e->info = *info;
    HZ_EDGE_OUT(&table); /* publication before look-up */
    urcu_memb_read_lock();
    struct cds_lfht_node *old = cds_lfht_add_replace(table, hash_of(&info->id), match, &info->id, &e->node);
    HZ_EDGE_OUT(&table);
    urcu_memb_read_unlock();
    if (old)
        urcu_memb_call_rcu(&caa_container_of(old, struct entry, node)->rcu, free_entry);
    return 0;
}

void hz_registry_remove(const struct hz_uuid *id)
{
    struct cds_lfht_iter iter;
    urcu_memb_read_lock();
    cds_lfht_lookup(table, hash_of(id), match, id, &iter);
    struct cds_lfht_node *node = cds_lfht_iter_get_node(&iter);
    bool removed = node && !cds_lfht_del(table, node);
    HZ_EDGE_OUT(&table);
    urcu_memb_read_unlock();
    if (removed)
        urcu_memb_call_rcu(&caa_container_of(node, struct entry, node)->rcu, free_entry);
}

bool hz_registry_get(const struct hz_uuid *id, struct hz_worker_info *ret_info)
{
    struct cds_lfht_iter iter;
    urcu_memb_read_lock();
    cds_lfht_lookup(table, hash_of(id), match, id, &iter);
    struct cds_lfht_node *node = cds_lfht_iter_get_node(&iter);
    if (node)
        *ret_info = caa_container_of(node, struct entry, node)->info;
    HZ_EDGE_OUT(&table);
    urcu_memb_read_unlock();
    return node != NULL;
}

int hz_registry_find(const char *text, struct hz_worker_info *ret_info)
{
    size_t len = strlen(text);
    struct hz_uuid id;
    if (hz_uuid_parse(text, len, &id) && hz_registry_get(&id, ret_info))
        return 1;
    if (len < 4)
        return 0;
    struct cds_lfht_iter iter;
    struct entry *e;
    int found = 0;
    urcu_memb_read_lock();
    cds_lfht_for_each_entry(table, &iter, e, node) {
        HZ_EDGE_IN(&table);
        if (strncmp(e->info.id_text, text, len) != 0)
            continue;
        bool whole = e->info.id_text[len] == 0;
        *ret_info = e->info;
        if (whole) {
            found = 1;
            break;
        }
        found++;
    }
    HZ_EDGE_OUT(&table);
    urcu_memb_read_unlock();
    return HZ_MIN(found, 2);
}

static int by_sequence(const void *a, const void *b)
{
    uint64_t x = ((const struct hz_worker_info *)a)->sequence, y = ((const struct hz_worker_info *)b)->sequence;
    return x < y ? -1 : x > y;
}

int hz_registry_list(const char *workflow_id, struct hz_worker_info **ret_infos, size_t *ret_count)
{
    size_t count = 0, capacity = 64;
    struct hz_worker_info *infos = malloc(capacity * sizeof *infos);
    struct cds_lfht_iter iter;
    struct entry *e;
    urcu_memb_read_lock();
    cds_lfht_for_each_entry(table, &iter, e, node) {
        HZ_EDGE_IN(&table);
        if (!infos)
            break;
        if (workflow_id && strcmp(e->info.workflow_id, workflow_id) != 0)
            continue;
        if (count == capacity) {
            struct hz_worker_info *grown = realloc(infos, 2 * capacity * sizeof *infos);
            if (!grown)
                free(infos);
            infos = grown;
            capacity *= 2;
            if (!infos)
                break;
        }
        infos[count++] = e->info;
    }
    HZ_EDGE_OUT(&table);
    urcu_memb_read_unlock();
    if (!infos)
        return hz_err_set(HZ_ENOMEM, "listing the workers");
    qsort(infos, count, sizeof *infos, by_sequence);
    *ret_infos = infos;
    *ret_count = count;
    return 0;
}

void hz_registry_visit(void (*fn)(const struct hz_worker_info *info, void *arg), void *arg)
{
    struct cds_lfht_iter iter;
    struct entry *e;
    urcu_memb_read_lock();
    cds_lfht_for_each_entry(table, &iter, e, node) {
        HZ_EDGE_IN(&table);
        fn(&e->info, arg);
    }
    HZ_EDGE_OUT(&table);
    urcu_memb_read_unlock();
}
