/* workflow_files.h - flow.json on disk, and the record clients see of a flow. Private to workflows.c and its tests. */
#ifndef HZ_CORE_WORKFLOW_FILES_H
#define HZ_CORE_WORKFLOW_FILES_H

#include "config.h"
#include "core/flow/flow.h"

/* FNV-1a, 64 bits, of the bytes. */
uint64_t hz_workflow_files_hash(const char *bytes, size_t len);
/* Whole file, at most 64 MiB; caller frees. -errno or HZ_ETOOBIG with a sentence. */
HZ_MUST_CHECK int hz_workflow_files_read(const char *path, char **ret_text, size_t *ret_len);
/* Writes DIR/workflows/<id>/flow.json through a temporary file (fsync, rename) and prints the contract's line; only_if_missing: not if
 * there is one. */
HZ_MUST_CHECK int hz_workflow_files_write(const struct hz_config *config, const char *id, const char *version, const char *text, size_t len,
        bool only_if_missing);
/* Calls fn for each DIR/workflows/<id>/flow.json with a valid id. */
void hz_workflow_files_each(const struct hz_config *config, void (*fn)(const char *id, const char *path, void *arg), void *arg);
/* Asks the probe whether the plan's scripts parse. HZ_EFORMAT with a finding for each that does not; other codes: hz_err_last(). */
HZ_MUST_CHECK int hz_workflow_files_check_scripts(const struct hz_plan *plan, const struct hz_config *config, struct hz_flow_report *report);
/* The Workflow record; every stored property merged over its type's definition, nodes of unknown type left out. New reference. */
json_t *hz_workflow_files_record(const char *id, const char *version, const json_t *flow, const json_t *types, int64_t updated_wall_ms);

#endif
