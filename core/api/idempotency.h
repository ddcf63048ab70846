/* idempotency.h - the same answer again for a request that is sent again with its Idempotency-Key. Private to this folder. */
#ifndef HZ_CORE_API_IDEMPOTENCY_H
#define HZ_CORE_API_IDEMPOTENCY_H

#include "api.h"

struct hz_http_request;
struct hz_pending;
/* False: answered (again, or the key is under way, or is another request's). *ret NULL: there is no key. */
bool hz_idempotency_begin(struct hz_http_request *request, struct hz_pending **ret);
/* A done function in the place of hz_rest_done: arg is the pending request. Success is kept before it is answered. */
void hz_idempotency_done(void *arg, const struct hz_api_result *result);
/* The request was answered another way. NULL: nothing. */
void hz_idempotency_drop(struct hz_pending *pending);

#endif
