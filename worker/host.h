/* host.h - the table of functions that nodes call (implements plugins/include/horizon/node.h). */
#ifndef HZ_WORKER_HOST_H
#define HZ_WORKER_HOST_H

#include "call.h"

/* One for all nodes, immutable. */
const struct hz_host *hz_host_table(void);

/* The parts of the table, one file each; all need a call that is not over (else HZ_ERR_INVALID, NULL or nothing). */
void hz_host_set_values(struct hz_host *host);  /* host_values.c */
void hz_host_set_waiting(struct hz_host *host); /* host_wait.c */
void hz_host_set_http(struct hz_host *host);    /* host_http.c */

/* May the node still use it? */
static inline bool hz_host_is_open(const struct hz_call *call)
{
    return call && call->magic == HZ_CALL_MAGIC && call->state != HZ_CALL_OVER;
}

#endif
