/* archived.h - which workflows are archived, so that each start can ask without a look at the store. Any thread; one lock, short. */
#ifndef HZ_CORE_API_ARCHIVED_H
#define HZ_CORE_API_ARCHIVED_H

#include "shm/base.h"

/* Reads them from the store. Main thread, before the shards run. */
HZ_MUST_CHECK int hz_archived_open(void);
/* After a record was written with that status. */
void hz_archived_note(const char *workflow_id, bool archived);
/* Cheap when none is. */
bool hz_archived_is(const char *workflow_id);

#endif
