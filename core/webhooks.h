/*
 * webhooks.h - which worker answers which method and path: routes a worker asked for (LISTEN), visible to every thread while it is
 * ready. hz_webhooks_match() is in scheduler.h.
 */
#ifndef HZ_CORE_WEBHOOKS_H
#define HZ_CORE_WEBHOOKS_H

#include "scheduler.h"
#include "worker.h"

#define HZ_WEBHOOKS_ROUTES 1024u /* a worker */

HZ_MUST_CHECK int hz_webhooks_init(bool development);
void hz_webhooks_fini(void);
/* On the worker's shard. listen: notes the wish, visible at once if the worker is ready. */
void hz_webhooks_listen(struct hz_worker *w, const struct hz_msg *msg);
void hz_webhooks_open(struct hz_worker *w);   /* ready: newer than all others from now on */
void hz_webhooks_close(struct hz_worker *w);  /* takes nothing new; again allowed */
void hz_webhooks_forget(struct hz_worker *w); /* frees what it asked for */

/* To the next image of the manager: what it asked for, and its place in the order of readiness. */
struct hz_carry_out;
struct hz_carry_in;
void hz_webhooks_carry(const struct hz_worker *w, struct hz_carry_out *out);
void hz_webhooks_adopt(struct hz_worker *w, struct hz_carry_in *in); /* w->info, w->workflow, w->ready are set */
uint64_t hz_webhooks_openings(void);
void hz_webhooks_set_openings(uint64_t count); /* before the shards run */

/* For open() and for tests: enters one path pattern; 0 or HZ_ENOMEM. order: larger is newer. ret_entry: for remove(). */
struct hz_webhook_entry;
struct hz_webhook_target {
    struct hz_uuid worker;
    uint32_t port, shard, node, timeout_ms;
};
HZ_MUST_CHECK int hz_webhooks_add(const struct hz_webhook_target *target, const char *method, const char *path, uint64_t order,
        struct hz_webhook_entry **ret_entry);
void hz_webhooks_remove(struct hz_webhook_entry **entry);
/* "/a//b/" and "c" to "/a/b/c", single slashes, none at the end ("/" for nothing). Caller frees; NULL: no memory. parts: NULL-terminated. */
char *hz_webhooks_join(const char *const parts[]);

#endif
