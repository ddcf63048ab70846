/*
 * audit.h - who did what: one row for each change somebody asked for, allowed or refused, and for each login. Kept by number; what was
 * refused has a share of its own, so that nobody who may do nothing pushes out what was done. Any thread; written behind by the store's
 * writer, in order.
 */
#ifndef HZ_CORE_AUDIT_H
#define HZ_CORE_AUDIT_H

#include "access.h"

#define HZ_AUDIT_KEPT_DONE    75000 /* the newest of them, and up to 1,023 more */
#define HZ_AUDIT_KEPT_REFUSED 25000 /* status 400 and above; the same */

/* action: the permission's name ("workers:stop") or "auth:login"; target: what it was done to (id, path, mail), NULL none; status: as
 * HTTP has it. Never a secret in any of them. Copies; a full queue is a warning in the log, half of it takes no refusals. */
void hz_audit_note(const struct hz_caller *caller, const char *action, const char *target, uint32_t status);
struct hz_audit_filter {
    const char *user, *action; /* exact, NULL any */
    int64_t from_ms, before_sequence;
    size_t limit;
};
/* [{sequence, at, user, kind, address, action, target, status}] newest first; NULL: hz_err_last(). */
json_t *hz_audit_list(const struct hz_audit_filter *filter);

#endif
