/*
 * http_peer.h - a tiny HTTP server for tests, in a thread of the test program, on a free port of 127.0.0.1. What it
 * does depends on the path; it closes each connection after its answer unless the path says otherwise.
 *
 *   /json            200 {"a":1}                    /status/N       answers N with body "no"
 *   /text            200 text "hola"                /redirect/N     302 to /redirect/N-1, in the end to /json
 *   /echo            200 {"method","body","headers"}  /see-other      303 to /echo
 *   /big/N           200 with N MiB                 /hang           accepts, reads, never answers
 *   /cut             closes in the middle           /relative       302 to "json"
 */
#ifndef HZ_TESTS_HTTP_PEER_H
#define HZ_TESTS_HTTP_PEER_H

#include <stdint.h>

/* Starts the server; returns its port. Once per program. */
uint16_t http_peer_start(void);

#endif
