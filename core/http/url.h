/* url.h - percent-decoding of what comes in a request line. Pure functions, any thread. */
#ifndef HZ_CORE_HTTP_URL_H
#define HZ_CORE_HTTP_URL_H

#include "shm/base.h"

/*
 * hz_url_decode - decodes %XX in text[0..len) into `to` (at least len + 1 bytes; may be `text` itself), NUL-terminated.
 *
 * plus      true: '+' is a blank, as in a query or form
 * Returns   the decoded length, or -1 if the result holds a NUL byte or is not UTF-8. A '%' that is not followed by two
 * hex digits stands for itself.
 */
ptrdiff_t hz_url_decode(const char *text, size_t len, bool plus, char *to);

#endif
