/*
 * uuid.c - identifiers of RFC 9562, version 4 (122 random bits), and their text form. No state: every identifier asks
 * the kernel, so that processes forked from one parent never draw the same one.
 */
#include "base.h"

#include <string.h>

struct hz_uuid hz_uuid_new(void)
{
    struct hz_uuid id;
    hz_base_random(id.bytes, sizeof(id.bytes));
    id.bytes[6] = (uint8_t)((id.bytes[6] & 0x0f) | 0x40); /* version 4 */
    id.bytes[8] = (uint8_t)((id.bytes[8] & 0x3f) | 0x80); /* variant of the RFC */
    return id;
}

static bool dash_before(size_t byte)
{
    return byte == 4 || byte == 6 || byte == 8 || byte == 10;
}

void hz_uuid_format(const struct hz_uuid *id, char ret_text[HZ_UUID_TEXT])
{
    static const char digits[] = "0123456789abcdef";
    char *to = ret_text;
    for (size_t i = 0; i < sizeof(id->bytes); i++) {
        if (dash_before(i))
            *to++ = '-';
        *to++ = digits[id->bytes[i] >> 4];
        *to++ = digits[id->bytes[i] & 15];
    }
    *to = '\0';
}

static int digit_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

bool hz_uuid_parse(const char *text, size_t len, struct hz_uuid *ret_id)
{
    if (len != HZ_UUID_TEXT - 1)
        return false;
    struct hz_uuid id;
    for (size_t i = 0; i < sizeof(id.bytes); i++) {
        if (dash_before(i) && *text++ != '-')
            return false;
        int high = digit_value(text[0]), low = digit_value(text[1]);
        if (high < 0 || low < 0)
            return false;
        id.bytes[i] = (uint8_t)(high << 4 | low);
        text += 2;
    }
    *ret_id = id;
    return true;
}

bool hz_uuid_equal(const struct hz_uuid *a, const struct hz_uuid *b)
{
    return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

bool hz_uuid_is_nil(const struct hz_uuid *id)
{
    static const struct hz_uuid nil;
    return hz_uuid_equal(id, &nil);
}
