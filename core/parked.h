/*
 * parked.h - workflows whose workers ended too often: nothing of them is started until a person releases them. Kept in
 * DIR/parked.json, so that a restart of the manager is no release. Any thread; one lock, short.
 */
#ifndef HZ_CORE_PARKED_H
#define HZ_CORE_PARKED_H

#include "shm/base.h"
#include <jansson.h>

/* Reads the file; data_dir NULL: nothing is kept on disk (tests). A file that cannot be read is said and taken as empty: HZ_ENOMEM only. */
HZ_MUST_CHECK int hz_parked_init(const char *data_dir);
void hz_parked_fini(void);
/* reason: one sentence; crash_id: of the report, "" none. Parked already: replaced. */
void hz_parked_add(const char *workflow_id, const char *reason, const char *crash_id);
/* True: parked, text says so in a sentence that names the way out. Cheap when nothing is parked. */
bool hz_parked_get(const char *workflow_id, char *text, size_t size);
bool hz_parked_release(const char *workflow_id); /* false: it was not parked */
/* {workflowId: {reason, crashId, since (ms)}}; new reference, NULL: no memory. */
json_t *hz_parked_list(void);

#endif
