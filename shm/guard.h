/*
 * guard.h - surviving a segment that is made shorter, or has holes punched in it, while we read or write it (SIGBUS).
 *
 * For the manager and for tools that observe: every mapping whose object a worker can reach is registered here. A fault
 * in it puts private zero pages over the whole mapping and lets the faulting access go on; the registration is then
 * poisoned, which the owner asks before it acts on anything copied. A fault anywhere else ends the process as it always
 * would.
 */
#ifndef HZ_SHM_GUARD_H
#define HZ_SHM_GUARD_H

#include "base.h"

#define HZ_GUARD_SLOTS 4096 /* mappings at once */

/* Installs the handler, once per process, before the first registration. 0 or -errno. */
HZ_MUST_CHECK int hz_guard_install(void);
/* Registers a mapping (base page-aligned, len in bytes). Any thread. Returns a slot >= 0, or HZ_ELIMIT. */
HZ_MUST_CHECK int hz_guard_add(const void *base, size_t len);
/* Has a fault happened in it? A state, not an event: true for good. One acquire load. */
bool hz_guard_poisoned(int slot);
/* Forgets the mapping. Only when no thread reads or writes it any more, and before munmap: a slot that outlived the
 * mapping could put zeros over whatever is mapped there next. */
void hz_guard_remove(int slot);
/* Faults survived since the start, for the log and the metrics. */
uint64_t hz_guard_faults(void);

#endif
