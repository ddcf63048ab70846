/*
 * engineio_payload.c - what a polling request carries: packets with 0x1e between them, bytes as 'b' and base64; and the
 * text form of a session's id. Pure functions, any thread.
 */
#include "engineio_internal.h"

#include <string.h>

#define SEPARATOR 0x1e

/* ---- base64, RFC 4648: alphabets of section 4 (packets) and 5 (ids) ---- */
static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static int value_of(char c, bool url)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == (url ? '-' : '+'))
        return 62;
    return c == (url ? '_' : '/') ? 63 : -1;
}

void hz_eio_base64(char *to, const void *data, size_t len)
{
    const uint8_t *from = data;
    for (size_t i = 0; i < len; i += 3) {
        uint32_t bits = (uint32_t)from[i] << 16;
        bits |= i + 1 < len ? (uint32_t)from[i + 1] << 8 : 0;
        bits |= i + 2 < len ? from[i + 2] : 0;
        *to++ = digits[bits >> 18];
        *to++ = digits[bits >> 12 & 63];
        *to++ = i + 1 < len ? digits[bits >> 6 & 63] : '=';
        *to++ = i + 2 < len ? digits[bits & 63] : '=';
    }
}

/* In place; length, or -1: no base64. Padding may be missing, as some clients leave it out. */
static ptrdiff_t decode(char *text, size_t len)
{
    size_t out = 0, used = 0;
    uint32_t bits = 0;
    for (int pad = 0; len > 0 && pad < 2 && text[len - 1] == '='; pad++)
        len--;
    if (len % 4 == 1)
        return -1;
    for (size_t i = 0; i < len; i++) {
        int value = value_of(text[i], false);
        if (value < 0)
            return -1;
        bits = bits << 6 | (uint32_t)value;
        used += 6;
        if (used >= 8) {
            used -= 8;
            text[out++] = (char)(bits >> used & 0xff);
        }
    }
    return (ptrdiff_t)out;
}

bool hz_eio_payload_next(char *text, size_t len, size_t *at, struct hz_eio_piece *ret_piece)
{
    char *first = text + *at, *stop = memchr(first, SEPARATOR, len - *at);
    if (!stop)
        stop = text + len;
    *stop = 0;
    if (stop == first)
        return false;
    *at = (size_t)(stop - text) + 1;
    *ret_piece = (struct hz_eio_piece){first, (size_t)(stop - first), false};
    if (*first != 'b')
        return true;
    ptrdiff_t size = decode(first + 1, ret_piece->len - 1);
    if (size < 0)
        return false;
    first[1 + size] = 0;
    *ret_piece = (struct hz_eio_piece){first + 1, (size_t)size, true};
    return true;
}

/* ---- ids: 24 characters for 18 bytes, the first two of which name the shard ---- */
void hz_eio_sid_format(const uint8_t id[HZ_EIO_ID], char ret_text[HZ_EIO_SID + 1])
{
    hz_eio_base64(ret_text, id, HZ_EIO_ID);
    ret_text[HZ_EIO_SID] = 0;
    for (char *c = ret_text; *c; c++)
        *c = *c == '+' ? '-' : *c == '/' ? '_' : *c;
}

bool hz_eio_sid_parse(const char *text, uint8_t ret_id[HZ_EIO_ID])
{
    if (strlen(text) != HZ_EIO_SID)
        return false;
    for (unsigned i = 0; i < HZ_EIO_SID; i += 4) {
        uint32_t bits = 0;
        for (unsigned k = 0; k < 4; k++) {
            int value = value_of(text[i + k], true);
            if (value < 0)
                return false;
            bits = bits << 6 | (uint32_t)value;
        }
        ret_id[i / 4 * 3] = (uint8_t)(bits >> 16);
        ret_id[i / 4 * 3 + 1] = (uint8_t)(bits >> 8);
        ret_id[i / 4 * 3 + 2] = (uint8_t)bits;
    }
    return true;
}

uint32_t hz_eio_sid_shard(const uint8_t id[HZ_EIO_ID])
{
    return (uint32_t)id[0] << 8 | id[1];
}
