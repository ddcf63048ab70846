/*
 * url.c - percent-decoding and UTF-8 validity. Names and paths that are not text are refused here, once, so that
 * everybody behind may put them into JSON as they are.
 */
#include "url.h"

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool hz_url_is_utf8(const char *text, size_t len)
{
    const unsigned char *p = (const unsigned char *)text, *end = p + len;
    while (p < end) {
        if (*p < 0x80) {
            p++;
            continue;
        }
        /* Second bytes allowed after each first byte: RFC 3629, section 4. */
        unsigned low = 0x80, high = 0xbf;
        int more;
        if (*p >= 0xc2 && *p <= 0xdf)
            more = 1;
        else if (*p >= 0xe0 && *p <= 0xef) {
            more = 2;
            low = *p == 0xe0 ? 0xa0 : low;
            high = *p == 0xed ? 0x9f : high;
        } else if (*p >= 0xf0 && *p <= 0xf4) {
            more = 3;
            low = *p == 0xf0 ? 0x90 : low;
            high = *p == 0xf4 ? 0x8f : high;
        } else
            return false;
        if (end - p <= more)
            return false;
        for (p++; more > 0; more--, p++) {
            if (*p < low || *p > high)
                return false;
            low = 0x80;
            high = 0xbf;
        }
    }
    return true;
}

ptrdiff_t hz_url_decode(const char *text, size_t len, bool plus, char *to)
{
    char *out = to;
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        if (c == '%' && len - i > 2) {
            int high = hex(text[i + 1]), low = hex(text[i + 2]);
            if (high >= 0 && low >= 0) {
                c = (char)(high << 4 | low);
                i += 2;
            }
        } else if (c == '+' && plus)
            c = ' ';
        if (c == 0)
            return -1;
        *out++ = c;
    }
    *out = 0;
    return hz_url_is_utf8(to, (size_t)(out - to)) ? out - to : -1;
}
