/* text.c - see text.h. The table of well-formed sequences is RFC 3629, section 4. */
#include "text.h"

#include <string.h>

/* Bytes of the character at p, 0: there is none. */
static size_t char_len(const unsigned char *p, size_t left)
{
    /* The second byte is bound by the first, the others are 80 to BF. */
    unsigned low = 0x80, high = 0xbf;
    size_t len;
    if (*p < 0x80)
        return 1;
    if (*p >= 0xc2 && *p <= 0xdf)
        len = 2;
    else if (*p >= 0xe0 && *p <= 0xef) {
        len = 3;
        low = *p == 0xe0 ? 0xa0 : low;
        high = *p == 0xed ? 0x9f : high;
    } else if (*p >= 0xf0 && *p <= 0xf4) {
        len = 4;
        low = *p == 0xf0 ? 0x90 : low;
        high = *p == 0xf4 ? 0x8f : high;
    } else
        return 0;
    if (left < len || p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < len; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    return len;
}

bool hz_text_is_utf8(const char *text, size_t len)
{
    for (size_t at = 0, step; at < len; at += step) {
        step = char_len((const unsigned char *)text + at, len - at);
        if (!step)
            return false;
    }
    return true;
}

bool hz_text_copy(char *to, size_t size, const char *from)
{
    size_t len = from ? strnlen(from, size) : 0;
    bool whole = len < size;
    if (!whole) {
        len = size - 1;
        /* Back over what may be the rest of a character, three bytes at most: what is no UTF-8 does not shrink to nothing. */
        for (size_t back = 0; back < 3 && len > 0 && ((unsigned char)from[len] & 0xc0) == 0x80; back++)
            len--;
    }
    memcpy(to, from ? from : "", len);
    to[len] = 0;
    return whole;
}

void hz_text_mend(char *text)
{
    size_t left = strlen(text);
    while (left) {
        size_t step = char_len((const unsigned char *)text, left);
        if (!step) {
            *text = '?';
            step = 1;
        }
        text += step;
        left -= step;
    }
}
