/* queueing.h - how a flow wants its executions queued: `concurrency`, `queue`, `priority`, `share`, `rate`, `burst` of properties.horizon. */
#ifndef HZ_FLOW_QUEUEING_H
#define HZ_FLOW_QUEUEING_H

#include "flow.h"

struct hz_queueing {      /* 0: not given */
    uint32_t concurrency; /* executions running at once */
    uint32_t queue;       /* executions waiting */
    uint32_t priority;    /* of its executions where the request names none, 1..9 */
    uint32_t share;       /* turns in a round, 1..100 */
    uint32_t burst;       /* starts that may come together after a pause */
    uint64_t rate_ns;     /* between two starts */
};

/* Reads them from flow.json's object. report (may be NULL) gets a finding for each that is wrong; a wrong one counts as not given. */
void hz_flow_queueing(const json_t *flow, struct hz_flow_report *report, struct hz_queueing *ret_queueing);

#endif
