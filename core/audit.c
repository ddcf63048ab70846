/* audit.c - see audit.h. Rows wait in memory until the helper thread of access writes all of them in one commit. */
#include "audit.h"

#include "access_internal.h"

#include "shm/err.h"
#include "shm/log.h"
#include "shm/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WAITING_MOST 4096u

/* Synchronisation: `lock` guards all of it. */
static struct {
    pthread_mutex_t lock;
    struct hz_store_audit *rows;
    size_t count, capacity, refused; /* refused: of them */
    uint64_t lost, lost_refused;
} audit = {.lock = PTHREAD_MUTEX_INITIALIZER};

static const char *kind_name(enum hz_caller_kind kind)
{
    switch (kind) {
    case HZ_CALLER_NONE:
        return "none";
    case HZ_CALLER_UNIX:
        return "unix";
    case HZ_CALLER_TOKEN:
        return "token";
    case HZ_CALLER_SESSION:
        return "session";
    case HZ_CALLER_HANDLE:
        return "socket";
    }
    return "";
}

static bool is_refused(uint32_t status)
{
    return status >= 400;
}

static bool room(bool refused)
{
    if (refused && audit.refused >= WAITING_MOST / 2)
        return false;
    if (audit.count < audit.capacity)
        return true;
    size_t more = audit.capacity ? audit.capacity * 2 : 64;
    struct hz_store_audit *grown = more <= WAITING_MOST ? realloc(audit.rows, more * sizeof *grown) : NULL;
    if (!grown)
        return false;
    audit.rows = grown;
    audit.capacity = more;
    return true;
}

void hz_audit_note(const struct hz_caller *caller, const char *action, const char *target, uint32_t status)
{
    struct hz_store_audit row = {.at_ms = hz_base_wall_ms(), .status = status};
    char veiled[2 * sizeof row.target];
    (void)hz_text_copy(veiled, sizeof veiled, target);
    hz_access_veil(veiled); /* a client knows itself by its handle, and says so */
    hz_access_who(caller, row.user, sizeof row.user);
    (void)hz_text_copy(row.kind, sizeof row.kind, kind_name(caller->kind));
    (void)hz_text_copy(row.address, sizeof row.address, caller->address);
    (void)hz_text_copy(row.action, sizeof row.action, action);
    (void)hz_text_copy(row.target, sizeof row.target, veiled);
    pthread_mutex_lock(&audit.lock);
    if (room(is_refused(status))) {
        audit.rows[audit.count++] = row;
        audit.refused += is_refused(status);
    } else {
        audit.lost += !is_refused(status);
        audit.lost_refused += is_refused(status);
    }
    pthread_mutex_unlock(&audit.lock);
    hz_access_wake();
}

void hz_audit_flush(void)
{
    pthread_mutex_lock(&audit.lock);
    struct hz_store_audit *rows = audit.rows;
    size_t count = audit.count;
    uint64_t lost = audit.lost, lost_refused = audit.lost_refused;
    audit.rows = NULL;
    audit.count = audit.capacity = audit.refused = 0;
    audit.lost = audit.lost_refused = 0;
    pthread_mutex_unlock(&audit.lock);
    if (lost_refused)
        HZ_LOG(WARN, "audit: %llu refusals are not noted, they came too fast", (unsigned long long)lost_refused);
    if (lost)
        HZ_LOG(WARN, "audit: %llu rows are lost, more waited than are held", (unsigned long long)lost);
    if (count && hz_store_audit_put(rows, count, HZ_AUDIT_KEPT_DONE, HZ_AUDIT_KEPT_REFUSED))
        HZ_LOG(WARN, "audit: %zu rows are lost: %s", count, hz_err_last());
    free(rows);
}

json_t *hz_audit_list(const struct hz_audit_filter *filter)
{
    return hz_store_audit_list(filter->user, filter->action, filter->from_ms, filter->before_sequence, filter->limit);
}
