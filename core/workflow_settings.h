/* workflow_settings.h - `properties.horizon` of a flow: how it is run. For workflow.c, the commands that check a file, and tests. */
#ifndef HZ_CORE_WORKFLOW_SETTINGS_H
#define HZ_CORE_WORKFLOW_SETTINGS_H

#include "config.h"
#include "workflows.h"

#include "core/flow/flow.h"

struct hz_workflow_settings {
    enum hz_isolation isolation;
    enum hz_durability durability;
    enum hz_on_interrupt on_interrupt;
    enum hz_history history;
    bool node_stats;
    uint32_t threads, timeout_ms;
    uint64_t segment_bytes;
    struct hz_retry retry;
    enum hz_restart restart;
    struct hz_workflow_limits limits;
    const char *on_error; /* of the flow's JSON; NULL none */
};
/* Reads flow.properties.horizon; what is absent keeps its default. HZ_EFORMAT with a finding in *report for each value that is wrong or
 * does not go with the plan, the last one also in hz_err_last(); an unknown key is a warning, within `retry` and `limits` an error. */
HZ_MUST_CHECK int hz_workflow_settings_read(const json_t *flow, const struct hz_plan *plan, const struct hz_config *config,
        struct hz_flow_report *report, struct hz_workflow_settings *ret_settings);

#endif
