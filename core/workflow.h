/* workflow.h - makes one workflow ready to run, and its versions. For workflows.c, `horizon run` and tests. */
#ifndef HZ_CORE_WORKFLOW_H
#define HZ_CORE_WORKFLOW_H

#include "config.h"
#include "workflows.h"

/* Makes a workflow ready to run of a compiled plan (taken also on failure). HZ_ENOMEM, HZ_EFORMAT (settings). */
HZ_MUST_CHECK int hz_workflow_new(const char *id, const char *version, const json_t *flow, struct hz_plan *plan, const struct hz_config *config,
        struct hz_workflow **ret_workflow);
/* major.minor.patch as a comparable number; 0 if it is not one, or above 65535.65535.999999999. */
uint64_t hz_workflow_version_number(const char *version);
/* The version after `version`: patch + 1; behind the last patch the next minor, behind the last of all that one again. */
void hz_workflow_version_next(const char *version, char ret_next[32]);

#endif
