/* workflow_settings.h - `properties.horizon` of a flow: how it is run. Private to workflows.c and its tests. */
#ifndef HZ_CORE_WORKFLOW_SETTINGS_H
#define HZ_CORE_WORKFLOW_SETTINGS_H

#include "config.h"
#include "workflows.h"

struct hz_workflow_settings {
    enum hz_isolation isolation;
    enum hz_durability durability;
    enum hz_on_interrupt on_interrupt;
    enum hz_history history;
    uint32_t threads, timeout_ms;
    uint64_t segment_bytes;
    struct hz_retry retry;
};
/* Reads flow.properties.horizon; what is absent keeps its default. HZ_EFORMAT: hz_err_last() names property, value and expectation. */
HZ_MUST_CHECK int hz_workflow_settings_read(const json_t *flow, const struct hz_config *config, struct hz_workflow_settings *ret_settings);
/* The same, and whether they go with the flow's nodes. */
HZ_MUST_CHECK int hz_workflow_settings_check(const json_t *flow, const struct hz_plan *plan, const struct hz_config *config,
        struct hz_workflow_settings *ret_settings);
/* Makes a workflow ready to run of a compiled plan (taken also on failure). HZ_ENOMEM, HZ_EFORMAT (settings). */
HZ_MUST_CHECK int hz_workflow_new(const char *id, const char *version, const json_t *flow, struct hz_plan *plan, const struct hz_config *config,
        struct hz_workflow **ret_workflow);
/* major.minor.patch as a comparable number; 0 if it is not one. */
uint64_t hz_workflow_version_number(const char *version);
/* The version after `version`: patch + 1. */
void hz_workflow_version_next(const char *version, char ret_next[32]);

#endif
