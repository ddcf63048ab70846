/* text.h - UTF-8 in fields of fixed size: is it, cut it where a character ends, mend it. Pure functions, any thread or process. */
#ifndef HZ_SHM_TEXT_H
#define HZ_SHM_TEXT_H

#include "base.h"

/* RFC 3629: neither overlong forms nor surrogates. NULs are text. */
bool hz_text_is_utf8(const char *text, size_t len);
/*
 * hz_text_copy - into a field of `size` bytes, its NUL included; what does not fit is cut off where a character ends.
 *
 * from    NULL: ""
 * Result  was all of it copied?
 */
bool hz_text_copy(char *to, size_t size, const char *from);
/* Each byte that belongs to no character becomes a question mark, so that who prints it as JSON can. In place. */
void hz_text_mend(char *text);

#endif
