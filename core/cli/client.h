/*
 * client.h - talks to the running server of a data directory: REST over its Unix socket, by libcurl. The library is
 * loaded when a command needs it, so that the server itself never carries it. One thread.
 */
#ifndef HZ_CORE_CLI_CLIENT_H
#define HZ_CORE_CLI_CLIENT_H

#include "shm/base.h"
#include <jansson.h>

struct hz_client;
/* NULL: said on standard error (no server there, no libcurl). */
struct hz_client *hz_client_open(const char *data_dir);
/* The same, but NULL without a word when nobody serves the directory (and only then *ret_alone is true). */
struct hz_client *hz_client_try(const char *data_dir, bool *ret_alone);
void hz_client_close(struct hz_client **client);

/*
 * hz_client_call - one request.
 *
 * path        as sent
 * body, len   NULL: none; sent as application/json
 * ret_answer  what came back, NULL if it is no JSON; caller frees
 *
 * Returns the HTTP status, or 0 after a sentence on standard error (the server went away).
 */
HZ_MUST_CHECK long hz_client_call(struct hz_client *client, const char *method, const char *path, const char *body,
        size_t len, json_t **ret_answer);
/* The answer of a call that has to succeed (2xx), else NULL after saying the reason. body: taken, may be NULL. */
json_t *hz_client_ask(struct hz_client *client, const char *method, const char *path, json_t *body);
/*
 * hz_client_list - a list of at most `most`, page after page.
 *
 * path    with its query, if it has one; limit and cursor are added
 * plural  name of the list in the answer
 *
 * Returns {plural: [...], "next": of the last page} as a new reference; NULL after saying the reason.
 */
json_t *hz_client_list(struct hz_client *client, const char *path, const char *plural, uint64_t most);
/* "/api/v1/workers/" + escaped word + "/stop". NULL: out of memory. Caller frees. */
char *hz_client_path(const char *before, const char *word, const char *after);

#endif
