/*
 * archived.c - see archived.h.
 *
 * Synchronisation: `lock` guards the table. `count` is an atomic copy of its size, so that nobody takes the lock on the way of every start
 * while nothing is archived; relaxed: who races with an archiving may be a moment early.
 */
#include "archived.h"

#include "core/store_records.h"

#include "shm/err.h"

#include <pthread.h>
#include <stdatomic.h>

static struct {
    pthread_mutex_t lock;
    json_t *table; /* id: true */
    _Atomic size_t count;
} archived = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void replace(json_t *table)
{
    pthread_mutex_lock(&archived.lock);
    json_decref(archived.table);
    archived.table = table;
    atomic_store_explicit(&archived.count, json_object_size(table), memory_order_relaxed);
    pthread_mutex_unlock(&archived.lock);
}

int hz_archived_open(void)
{
    json_t *table = hz_store_records_with(HZ_DOC_WORKFLOW, "archived");
    if (!table)
        return HZ_ENOMEM;
    replace(table);
    return 0;
}

void hz_archived_note(const char *workflow_id, bool is_archived)
{
    pthread_mutex_lock(&archived.lock);
    if (is_archived)
        (void)json_object_set_new(archived.table, workflow_id, json_true());
    else
        (void)json_object_del(archived.table, workflow_id);
    atomic_store_explicit(&archived.count, json_object_size(archived.table), memory_order_relaxed);
    pthread_mutex_unlock(&archived.lock);
}

bool hz_archived_is(const char *workflow_id)
{
    if (atomic_load_explicit(&archived.count, memory_order_relaxed) == 0)
        return false;
    pthread_mutex_lock(&archived.lock);
    bool is = json_object_get(archived.table, workflow_id) != NULL;
    pthread_mutex_unlock(&archived.lock);
    return is;
}
