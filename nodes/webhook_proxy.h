/*
 * webhook_proxy.h - forwards the request of an execution to another server and hands its answer back.
 */
#ifndef HZ_NODES_WEBHOOK_PROXY_H
#define HZ_NODES_WEBHOOK_PROXY_H

#include <horizon/node.h>

/* Can this worker speak HTTP at all? */
bool proxy_available(void);

/* Forwards `request` (the input of event()) to `target` and answers with what comes back, plus the members of `headers`
 * (may be NULL). Returns what event() returns: HZ_DEFER while it waits. Failures go out on "error" with `meta`. */
int proxy_forward(hz_call *call, hz_str target, const hz_value *request, const hz_value *headers, const hz_value *meta);

#endif
