/*
 * parked.c - see parked.h.
 *
 * Synchronisation: `lock` guards the table and the file. `count` is an atomic copy of the table's size, so that nobody takes the lock on
 * the way of every execution while nothing is parked; relaxed: who races with a parking may be a moment early.
 */
#include "parked.h"

#include "shm/err.h"
#include "shm/log.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct {
    pthread_mutex_t lock;
    json_t *table;
    char *path;
    _Atomic size_t count;
} parked = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* Under the lock. A new file takes the place of the old one whole. */
static void save(void)
{
    char *fresh = NULL;
    atomic_store_explicit(&parked.count, json_object_size(parked.table), memory_order_relaxed);
    if (!parked.path)
        return;
    int fd = -1;
    if (asprintf(&fresh, "%s.new", parked.path) >= 0)
        fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool ok = fd >= 0 && json_dumpfd(parked.table, fd, JSON_INDENT(1) | JSON_SORT_KEYS) == 0 && fsync(fd) == 0;
    if (fd >= 0)
        close(fd);
    if (!ok || rename(fresh, parked.path))
        HZ_LOG(WARN, "%s cannot be written: what is parked is forgotten when the server ends", parked.path);
    free(fresh);
}

int hz_parked_init(const char *data_dir)
{
    json_error_t error;
    pthread_mutex_lock(&parked.lock);
    parked.path = NULL;
    if (data_dir && asprintf(&parked.path, "%s/parked.json", data_dir) < 0)
        parked.path = NULL;
    if (parked.path && access(parked.path, F_OK) == 0) {
        parked.table = json_load_file(parked.path, 0, &error);
        if (!json_is_object(parked.table)) {
            HZ_LOG(WARN, "%s: %s; taken as empty", parked.path, parked.table ? "no object" : error.text);
            json_decref(parked.table);
            parked.table = NULL;
        }
    }
    if (!parked.table)
        parked.table = json_object();
    bool ok = parked.table && (parked.path || !data_dir);
    atomic_store(&parked.count, json_object_size(parked.table));
    pthread_mutex_unlock(&parked.lock);
    return ok ? 0 : hz_err_set(HZ_ENOMEM, "parked workflows");
}

void hz_parked_fini(void)
{
    pthread_mutex_lock(&parked.lock);
    json_decref(parked.table);
    free(parked.path);
    parked.table = NULL;
    parked.path = NULL;
    atomic_store(&parked.count, 0);
    pthread_mutex_unlock(&parked.lock);
}

void hz_parked_add(const char *workflow_id, const char *reason, const char *crash_id)
{
    pthread_mutex_lock(&parked.lock);
    if (!parked.table)
        parked.table = json_object();
    json_t *text = json_string(reason); /* NULL: not UTF-8 */
    json_t *entry = json_pack("{s:o, s:s, s:I}", "reason", text ? text : json_string("see its crash report"), "crashId", crash_id, "since",
            (json_int_t)hz_base_wall_ms());
    if (!entry || json_object_set_new(parked.table, workflow_id, entry))
        HZ_LOG(ERROR, "workflow %s: no memory to park it", workflow_id);
    save();
    pthread_mutex_unlock(&parked.lock);
}

bool hz_parked_get(const char *workflow_id, char *text, size_t size)
{
    if (atomic_load_explicit(&parked.count, memory_order_relaxed) == 0)
        return false;
    pthread_mutex_lock(&parked.lock);
    const json_t *entry = json_object_get(parked.table, workflow_id);
    if (entry && size > 0) {
        const char *reason = json_string_value(json_object_get(entry, "reason")), *crash = json_string_value(json_object_get(entry, "crashId"));
        snprintf(text, size, "workflow %s is parked because its workers ended too often, the last time: %.300s%s%s; `horizon release %s` lets it go",
                workflow_id, reason ? reason : "?", crash && *crash ? "; crash report " : "", crash ? crash : "", workflow_id);
    }
    pthread_mutex_unlock(&parked.lock);
    return entry != NULL;
}

bool hz_parked_release(const char *workflow_id)
{
    pthread_mutex_lock(&parked.lock);
    bool found = parked.table && json_object_del(parked.table, workflow_id) == 0;
    if (found)
        save();
    pthread_mutex_unlock(&parked.lock);
    return found;
}

json_t *hz_parked_list(void)
{
    pthread_mutex_lock(&parked.lock);
    json_t *copy = parked.table ? json_deep_copy(parked.table) : json_object();
    pthread_mutex_unlock(&parked.lock);
    return copy;
}
