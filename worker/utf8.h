/* utf8.h - is it UTF-8, and the nearest UTF-8 if it is not: each maximal ill-formed part becomes U+FFFD, as browsers
 * do. */
#ifndef HZ_WORKER_UTF8_H
#define HZ_WORKER_UTF8_H

#include "value.h"

/* Length of the longest well-formed prefix (no surrogates, nothing overlong). O(len). */
size_t hz_utf8_prefix(const char *data, size_t len);
/* Appends data with every ill-formed part replaced. O(len). */
void hz_utf8_repair(struct hz_buffer *buffer, const char *data, size_t len);
/* Writes code point cp (a surrogate or one above U+10FFFF becomes U+FFFD); returns 1..4. */
size_t hz_utf8_put(uint32_t cp, char to[4]);
/* Decodes the character at data (well-formed UTF-8, len > 0); *ret_size is its bytes. */
uint32_t hz_utf8_get(const char *data, size_t len, size_t *ret_size);

#endif
