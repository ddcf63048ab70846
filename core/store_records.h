/*
 * store_records.h - the rows behind the pages: workspaces, projects, workflows' records with every change, settings; events of the last
 * days; stored answers. Part of the store (store.h); all of it blocks for a read or a commit, so callers are threads that may wait.
 */
#ifndef HZ_CORE_STORE_RECORDS_H
#define HZ_CORE_STORE_RECORDS_H

#include "shm/base.h"
#include <jansson.h>

enum hz_doc_kind { HZ_DOC_WORKSPACE = 1, HZ_DOC_PROJECT, HZ_DOC_WORKFLOW, HZ_DOC_SETTINGS,
    HZ_DOC_EXPORT /* which older version flow.json holds */, HZ_DOC_RUN /* how a workflow last ran */ };

/* id, parent, status: at most 127 bytes. data: a reference of its own. */
struct hz_doc {
    enum hz_doc_kind kind;
    char id[128], parent[128], status[16];
    int64_t created_ms, updated_ms;
    uint64_t revision; /* from 1, one more with each change */
    json_t *data;
};
void hz_doc_fini(struct hz_doc *record);

/* HZ_ENOTFOUND */
HZ_MUST_CHECK int hz_store_record_get(enum hz_doc_kind kind, const char *id, struct hz_doc *ret_record);
/* Oldest first. parent NULL: of all. Caller calls hz_store_records_free(). */
HZ_MUST_CHECK int hz_store_records(enum hz_doc_kind kind, const char *parent, struct hz_doc **ret_records, size_t *ret_count);
/* {id: true} of those with this status; a new reference, NULL: error. */
json_t *hz_store_records_with(enum hz_doc_kind kind, const char *status);
void hz_store_records_free(struct hz_doc **records, size_t count);

/* A line of a workflow's history, written in the same commit as the record. */
struct hz_doc_change {
    const char *version, *change, *description, *author;
};
#define HZ_DOC_ANY UINT64_MAX
/*
 * hz_store_record_put - writes a record and, if there is one, its line of history with the same data. Committed (FULL) on return.
 *
 * record    revision: the one it must have now, 0: there must be none, HZ_DOC_ANY: whatever; on success the new one
 * change    NULL: no history
 * HZ_EEXISTS: the record has another revision; HZ_ENOTFOUND: there is none.
 */
HZ_MUST_CHECK int hz_store_record_put(struct hz_doc *record, const struct hz_doc_change *change);
/* [{version, changeType, changeDescription, createdMs, author}] newest first; NULL: error. */
json_t *hz_store_record_history(const char *workflow);
/* The record as it was at the newest change of that version. HZ_ENOTFOUND. */
HZ_MUST_CHECK int hz_store_record_version(const char *workflow, const char *version, json_t **ret_data);

/* ---- events ---- */
struct hz_store_event {
    uint64_t sequence; /* ascending, the caller's */
    int64_t at_ms;
    const char *kind, *workflow_id; /* workflow_id: "" none */
    const char *data;               /* JSON text, an object */
};
/* All in one commit (NORMAL is not enough to resume from: FULL). Forgets what is older than `keep_ms` and beyond HZ_EVENTS_KEPT. */
#define HZ_EVENTS_KEPT 200000u
HZ_MUST_CHECK int hz_store_events_put(const struct hz_store_event *events, size_t count, int64_t keep_ms);
/* kinds: comma separated or NULL; before: sequence, exclusive, 0 newest; [event as stored] newest first. after > 0: those above it, oldest
 * first. NULL: error. */
json_t *hz_store_events(const char *kinds, const char *workflow_id, uint64_t before, uint64_t after, size_t limit);

/* ---- stored answers ---- */
/* owner: who asked; request: hash of what was asked. HZ_ENOTFOUND. ret_body: caller frees. */
HZ_MUST_CHECK int hz_store_answer_get(const char *owner, const char *key, uint64_t *ret_request, uint32_t *ret_status, char **ret_body);
/* Those older than keep_ms are forgotten by the way. */
HZ_MUST_CHECK int hz_store_answer_put(const char *owner, const char *key, uint64_t request, uint32_t status, const char *body, int64_t keep_ms);

#endif
