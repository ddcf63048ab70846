/* rest.h - the REST face: how a route reads its request and how the result of an operation becomes an answer. */
#ifndef HZ_CORE_API_REST_H
#define HZ_CORE_API_REST_H

#include "api.h"
#include "core/http/http.h"

/* Registers the routes of /api/v1 and /health. */
HZ_MUST_CHECK int hz_rest_init(void);
/* A done function: arg is the request. */
void hz_rest_done(void *arg, const struct hz_api_result *result);

#endif
