/* options.h - what a request to run a flow may say about when and how urgently: read from its body. Private to this folder. */
#ifndef HZ_CORE_API_OPTIONS_H
#define HZ_CORE_API_OPTIONS_H

#include "api.h"

/* Fills version, wait, priority, due, deadline and key of *execute from a body; strings stay the body's. False: error has what is
 * wrong, all of it. */
HZ_MUST_CHECK bool hz_api_execute_options(const json_t *body, struct hz_api_execute *execute, char *error, size_t size);
/* ms since the epoch of `2026-11-24T03:00:00[.123](Z|+01:00)`; -1: no such time. */
int64_t hz_api_parse_time(const char *text);

#endif
