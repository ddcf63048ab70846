/* sha1.h - the one digest the WebSocket handshake asks for (RFC 6455, 1.3); it protects nothing. Pure, any thread. */
#ifndef HZ_CORE_HTTP_SHA1_H
#define HZ_CORE_HTTP_SHA1_H

#include "shm/base.h"

#define HZ_SHA1_BYTES 20
/* FIPS 180-4, 6.1. Cost: some 5 ns a byte. */
void hz_sha1(const void *data, size_t len, uint8_t ret_digest[HZ_SHA1_BYTES]);

#endif
