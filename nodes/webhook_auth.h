/*
 * webhook_auth.h - is the sender of a request who it says it is? Basic, bearer token, and JSON web tokens with HMAC.
 * Whatever is not understood is refused.
 */
#ifndef HZ_NODES_WEBHOOK_AUTH_H
#define HZ_NODES_WEBHOOK_AUTH_H

#include <horizon/node.h>

enum auth_result {
    AUTH_OK,
    AUTH_UNKNOWN, /* the property holds no known kind */
    AUTH_REFUSED, /* basic, bearer: answer 401 with `challenge` */
    AUTH_MISSING, /* jwt: no token */
    AUTH_INVALID  /* jwt: `reason` says why */
};
struct auth {
    const char *challenge;    /* value of WWW-Authenticate */
    const char *reason;       /* static text */
    const hz_value *security; /* AUTH_OK: {} or {user} or the claims */
};

/* Checks the request's `authorization` header (the value, or NULL) against the node's security properties. Comparisons
 * take the same time for every wrong guess. Out of memory counts as refused. */
enum auth_result auth_check(hz_call *call, const hz_value *authorization, struct auth *ret_auth);

/* Verifies `token` with `secret`: HS256, HS384 or HS512, exp and nbf against `now` (seconds since the epoch). NULL
 * and the claims in *ret_claims, or the reason as a static text. Exported for its tests. */
const char *auth_verify_jwt(hz_call *call, hz_str token, hz_str secret, double now, const hz_value **ret_claims);

#endif
