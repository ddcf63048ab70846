/* rest.h - the REST face: how a route reads its request and how the result of an operation becomes an answer. */
#ifndef HZ_CORE_API_REST_H
#define HZ_CORE_API_REST_H

#include "api.h"
#include "core/http/http.h"

/* Registers the routes of /api/v1 and /health. */
HZ_MUST_CHECK int hz_rest_init(void);
/* A done function: arg is the request. */
void hz_rest_done(void *arg, const struct hz_api_result *result);
/* The body as an object ({} if there is none). NULL: the request has been answered. New reference. */
json_t *hz_rest_body(struct hz_http_request *request);
/* A whole number of the query within bounds; *ret untouched if it is not there. False: answered. */
bool hz_rest_number(struct hz_http_request *request, const char *name, uint64_t lowest, uint64_t highest, uint64_t *ret);

/* Who asks: of a route behind the gate (gate.c); valid as long as the request. */
struct hz_caller;
const struct hz_caller *hz_rest_caller(const struct hz_http_request *request);
/* For the audit log, before the answer: what the request makes below its path (an id, mail, name), a copy. */
void hz_rest_made(struct hz_http_request *request, const char *what);

/* Drops a body that holds a password, and overwrites that. */
void hz_rest_wipe(json_t *body);

#endif
