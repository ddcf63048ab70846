/*
 * url.c - percent-decoding and UTF-8 validity. Names and paths that are not text are refused here, once, so that
 * everybody behind may put them into JSON as they are.
 */
#include "url.h"

#include "shm/text.h"

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
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
    return hz_text_is_utf8(to, (size_t)(out - to)) ? out - to : -1;
}
