/*
 * utf8.c - UTF-8 as RFC 3629 and the Unicode standard's table 3-7 define it. Pure functions, any thread.
 */
#include "utf8.h"

#include <string.h>

#define ASCII_MASK 0x8080808080808080u

/* One character at p: its length if well-formed, else minus the length of the maximal ill-formed part (at least 1). */
static int utf8_step(const unsigned char *p, size_t left)
{
    unsigned char first = p[0], low = 0x80, high = 0xbf;
    int need;
    if (first < 0x80)
        return 1;
    if (first >= 0xc2 && first <= 0xdf) {
        need = 1;
    } else if (first >= 0xe0 && first <= 0xef) {
        need = 2;
        low = first == 0xe0 ? 0xa0 : 0x80;
        high = first == 0xed ? 0x9f : 0xbf;
    } else if (first >= 0xf0 && first <= 0xf4) {
        need = 3;
        low = first == 0xf0 ? 0x90 : 0x80;
        high = first == 0xf4 ? 0x8f : 0xbf;
    } else {
        return -1;
    }
    for (int i = 1; i <= need; i++) {
        if ((size_t)i >= left || p[i] < low || p[i] > high)
            return -i;
        low = 0x80;
        high = 0xbf;
    }
    return need + 1;
}

size_t hz_utf8_prefix(const char *data, size_t len)
{
    const unsigned char *p = (const unsigned char *)data;
    size_t at = 0;
    while (at < len) {
        uint64_t word;
        if (len - at >= 8 && (memcpy(&word, p + at, 8), (word & ASCII_MASK) == 0)) {
            at += 8;
            continue;
        }
        int step = utf8_step(p + at, len - at);
        if (step < 0)
            return at;
        at += (size_t)step;
    }
    return at;
}

void hz_utf8_repair(struct hz_buffer *buffer, const char *data, size_t len)
{
    size_t at = 0;
    while (at < len) {
        size_t good = hz_utf8_prefix(data + at, len - at);
        hz_buffer_add(buffer, data + at, good);
        at += good;
        if (at < len) {
            int step = utf8_step((const unsigned char *)data + at, len - at);
            HZ_ASSERT(step < 0);
            hz_buffer_add(buffer, "\xef\xbf\xbd", 3);
            at += (size_t)-step;
        }
    }
}

size_t hz_utf8_put(uint32_t cp, char to[4])
{
    if (cp > 0x10ffff || (cp >= 0xd800 && cp <= 0xdfff))
        cp = 0xfffd;
    if (cp < 0x80) {
        to[0] = (char)cp;
        return 1;
    }
    size_t n = cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i > 0; i--) {
        to[i] = (char)(0x80 | (cp & 0x3f));
        cp >>= 6;
    }
    to[0] = (char)((n == 2 ? 0xc0u : n == 3 ? 0xe0u : 0xf0u) | cp);
    return n;
}

uint32_t hz_utf8_get(const char *data, size_t len, size_t *ret_size)
{
    const unsigned char *p = (const unsigned char *)data;
    int step = utf8_step(p, len);
    if (step < 0) {
        *ret_size = (size_t)-step;
        return 0xfffd;
    }
    *ret_size = (size_t)step;
    if (step == 1)
        return p[0];
    uint32_t cp = p[0] & (0x7fu >> step);
    for (int i = 1; i < step; i++)
        cp = (cp << 6) | (p[i] & 0x3fu);
    return cp;
}
