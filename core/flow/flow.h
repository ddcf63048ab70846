/*
 * flow.h - front door of the flow library: flow.json text in, plan out; the manager and `horizon check` call it.
 *
 * The catalogue is JSON as the probe prints it (`horizon-worker --describe`), an object type -> {
 *   "type", "info": {name, desc, icon, group, color, connectors{inputs[], outputs[]}, isTrigger?, isSingleton?},
 *   "properties": {key -> {name, type, value, options?, lang?, ...}},
 *   "flags": bits HZ_NODE_*, "caps": bits HZ_CAP_*, "file": path of the shared object, "trusted": bool (built-in) }.
 */
#ifndef HZ_FLOW_FLOW_H
#define HZ_FLOW_FLOW_H

#include "plan.h"
#include "shm/base.h"
#include <jansson.h>

enum hz_flow_severity { HZ_FLOW_WARNING, HZ_FLOW_ERROR };

/* One finding. Strings are owned by the report. `node` is the node's name (or id), `property` a path such as
 * `properties.conditions[0].condition.value`, both "" if the finding is about the file. `line`/`column` 0 if unknown. */
struct hz_flow_finding {
    enum hz_flow_severity severity;
    const char *node, *property, *message, *expected;
    int line, column;
};
struct hz_flow_report {
    struct hz_flow_finding *findings;
    size_t count, capacity, errors;
};
void hz_flow_report_fini(struct hz_flow_report *report);
/* Adds a finding of the caller's own (what `horizon-worker --check` said of an expression). Texts are copied. */
void hz_flow_report_add(struct hz_flow_report *report, enum hz_flow_severity severity, const char *node,
        const char *property, const char *message, const char *expected);
/* One finding as text: `FILE: node "Suma", properties.mapping: message (expected ...)`. Caller frees. NULL: no memory. */
char *hz_flow_finding_text(const struct hz_flow_finding *finding, const char *file);

struct hz_flow; /* model of one flow.json; keeps the parsed JSON so that unknown keys survive a rewrite */

/* Parses text (any bytes: hostile). 0, or HZ_EFORMAT with findings in *report; several at once where possible.
 * Bounds: 64 MiB of text, nesting 100, 10,000 nodes, 100,000 connections. */
HZ_MUST_CHECK int hz_flow_parse(const char *text, size_t len, struct hz_flow_report *report, struct hz_flow **ret_flow);
void hz_flow_free(struct hz_flow **flow);
const char *hz_flow_uid(const struct hz_flow *flow);     /* info.uid, "" if absent */
const char *hz_flow_name(const struct hz_flow *flow);    /* info.name */
const char *hz_flow_version(const struct hz_flow *flow); /* "0.0.1" if absent */
const json_t *hz_flow_json(const struct hz_flow *flow);  /* borrowed */
/* `2-space indented` text as the file is written, unknown keys kept. Caller frees. */
char *hz_flow_print(const struct hz_flow *flow, size_t *ret_len);

/* Checks the flow against the catalogue and compiles it. Texts of expressions that need JavaScript are in the plan with
 * HZ_EXPR_SCRIPT; whether they parse is asked of `horizon-worker --check` by the caller (hz_plan_scripts). An unknown node
 * type is a warning here (running it is an error, contract) unless strict; no or several workflow_init is an error.
 * strict (horizon check, run, import): unknown types, dangling connections, unknown properties' wrong types are errors.
 * 0 and *ret_plan (malloc'ed block, plan->size bytes; caller frees) or HZ_EFORMAT with findings. */
HZ_MUST_CHECK int hz_flow_compile(const struct hz_flow *flow, const json_t *catalog, bool strict,
        struct hz_flow_report *report, struct hz_plan **ret_plan);

#endif
