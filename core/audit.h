/*
 * audit.h - who did what: one row for each change somebody asked for, allowed or refused, and for each login. Kept by number
 * (HZ_AUDIT_KEPT newest). Any thread; written behind by the store's writer, in order.
 */
#ifndef HZ_CORE_AUDIT_H
#define HZ_CORE_AUDIT_H

#include "access.h"

#define HZ_AUDIT_KEPT 100000

/* action: the permission's name ("workers:stop") or "auth:login"; target: what it was done to (id, path, mail), NULL none; status: as
 * HTTP has it. Never a secret in any of them. Copies; a full queue is a warning in the log. */
void hz_audit_note(const struct hz_caller *caller, const char *action, const char *target, uint32_t status);
struct hz_audit_filter {
    const char *user, *action; /* exact, NULL any */
    int64_t from_ms, before_sequence;
    size_t limit;
};
/* [{sequence, at, user, kind, address, action, target, status}] newest first; NULL: hz_err_last(). */
json_t *hz_audit_list(const struct hz_audit_filter *filter);

#endif
