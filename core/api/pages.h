/*
 * pages.h - what the pages of the client show and change: workspaces, projects, workflows' records. Rules of the records in one place,
 * for the operations in route_pages.c, route_workflows.c and route_execute.c. Everything here reads or writes the store: threads that may wait.
 */
#ifndef HZ_CORE_API_PAGES_H
#define HZ_CORE_API_PAGES_H

#include "core/store_records.h"

#define HZ_PAGES_WORKSPACE "00000000-0000-4000-8000-000000000001" /* everybody's, where flows that came as files are */
#define HZ_PAGES_PROJECT   "00000000-0000-4000-8000-000000000002"

/* Makes what every installation has, and a record for each flow that has none; from now on records follow flows that are saved as files.
 * Main thread, the store is open, before the files are looked at. */
HZ_MUST_CHECK int hz_pages_open(void);

/* The records as clients see them, new references. user_id: shown as the owner of what is nobody's. */
json_t *hz_pages_workspace_json(const struct hz_doc *doc, const char *user_id, bool is_default);
json_t *hz_pages_project_json(const struct hz_doc *doc);
json_t *hz_pages_workflow_json(const struct hz_doc *doc);
/* Stored properties merged over their types' definitions, all that an editor needs (drawing.h), nodes of unknown types left out. workflow: of hz_pages_workflow_json(). */
void hz_pages_merge(json_t *workflow);
/* Status, last run and duration as they are now. hz_pages_workflow() has done so. What is written back has them, too, and nobody minds. */
void hz_pages_settle(struct hz_doc *doc);

/* Reads a workflow that is not archived; workspace NULL: in any. HZ_ENOTFOUND. ret_project: may be NULL. */
HZ_MUST_CHECK int hz_pages_workflow(const char *id, const char *workspace, struct hz_doc *ret_doc, struct hz_doc *ret_project);
/*
 * hz_pages_write - a change of a workflow's record: next version, line of history, and, where it compiles, the version that runs.
 *
 * doc     with the changes in doc->data; revision: must be the present one
 * change  "created" or "updated"; description as the history shows it
 * HZ_EEXISTS: somebody else changed it meanwhile.
 */
HZ_MUST_CHECK int hz_pages_write(struct hz_doc *doc, const char *change, const char *description, const char *author);
/* flow.json of a record's data: two blanks of indentation. lists: with `environment` and `secrets` also when empty, without description.
 * malloc'ed; NULL: out of memory. */
char *hz_pages_flow_text(const char *id, const json_t *data, bool lists, size_t *ret_len);
/* Status, last run and duration: no new version. Errors are logged. */
struct hz_pages_run {
    const char *status, *execution; /* execution NULL: there was none */
    int64_t last_run_ms, took_ms;   /* last_run_ms 0: it ends; took_ms -1: not known */
};
void hz_pages_note_run(const char *id, const struct hz_pages_run *run);

#endif
