/* test_engineio_payload.c - payloads of polling, ids of sessions, and the digest of the WebSocket handshake. */
#include "core/http/engineio_internal.h"
#include "core/http/sha1.h"
#include "tests/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What the packets were: each as `text|` or `b:hex|`. */
struct seen {
    char text[4096];
    unsigned stop_at;
};

static bool note(struct seen *seen, const char *data, size_t len, bool binary)
{
    char *at = seen->text + strlen(seen->text);
    HZ_ASSERT_EQ(data[len], 0);
    if (binary) {
        at += sprintf(at, "b:");
        for (size_t i = 0; i < len; i++)
            at += sprintf(at, "%02x", (unsigned char)data[i]);
    } else
        at += sprintf(at, "%.*s", (int)len, data);
    strcpy(at, "|");
    return seen->stop_at == 0 || --seen->stop_at > 0;
}

static bool split(const char *payload, unsigned stop_at, struct seen *seen)
{
    char text[256];
    size_t len = strlen(payload);
    memcpy(text, payload, len + 1);
    struct hz_eio_piece piece;
    *seen = (struct seen){.stop_at = stop_at};
    for (size_t at = 0; at <= len;)
        if (!hz_eio_payload_next(text, len, &at, &piece) || !note(seen, piece.data, piece.len, piece.binary))
            return false;
    return true;
}

HZ_TEST(engineio_payload, packets_come_out_one_by_one)
{
    struct seen seen;
    HZ_ASSERT_TRUE(split("4hello", 0, &seen));
    HZ_ASSERT_STR_EQ(seen.text, "4hello|");
    HZ_ASSERT_TRUE(split("4a\x1e"
                         "2\x1e"
                         "bAQIDBA==\x1e"
                         "4\x1e"
                         "b",
            0, &seen));
    HZ_ASSERT_STR_EQ(seen.text, "4a|2|b:01020304|4|b:|");
    HZ_ASSERT_TRUE(split("bAQ==\x1e"
                         "bAQI=\x1e"
                         "bAQID\x1e"
                         "bAQI\x1e"
                         "b+/+/",
            0, &seen));
    HZ_ASSERT_STR_EQ(seen.text, "b:01|b:0102|b:010203|b:0102|b:fbffbf|");
}

HZ_TEST(engineio_payload, what_is_none_is_refused)
{
    static const char *const bad[] = {"", "\x1e", "4a\x1e",
            "\x1e"
            "4a",
            "4a\x1e\x1e"
            "4b",
            "b*", "bA", "bAQIDB", "bAQ=I", "b-_-_", "b==="};
    struct seen seen;
    for (size_t i = 0; i < HZ_COUNT_OF(bad); i++)
        if (split(bad[i], 0, &seen))
            HZ_FAIL("taken: case %zu", i);
}

HZ_TEST(engineio_payload, it_stops_where_it_is_told_to)
{
    struct seen seen;
    HZ_ASSERT_FALSE(split("4a\x1e"
                          "4b\x1e"
                          "4c",
            2, &seen));
    HZ_ASSERT_STR_EQ(seen.text, "4a|4b|");
}

HZ_TEST(engineio_payload, base64_reads_back)
{
    struct seen seen;
    for (size_t len = 0; len <= 64; len++) {
        uint8_t bytes[64];
        char text[128] = "b", hex[256] = "b:";
        for (size_t i = 0; i < len; i++) {
            bytes[i] = (uint8_t)(rand() >> 3);
            sprintf(hex + 2 + 2 * i, "%02x", bytes[i]);
        }
        hz_eio_base64(text + 1, bytes, len);
        HZ_ASSERT_EQ(strlen(text), 1 + (len + 2) / 3 * 4);
        HZ_ASSERT_TRUE(split(text, 0, &seen));
        strcat(hex, "|");
        HZ_ASSERT_STR_EQ(seen.text, hex);
    }
}

HZ_TEST(engineio_payload, ids_read_back_and_name_their_shard)
{
    for (unsigned i = 0; i < 1000; i++) {
        uint8_t id[HZ_EIO_ID], back[HZ_EIO_ID];
        char text[HZ_EIO_SID + 1];
        hz_base_random(id, sizeof id);
        id[0] = 0;
        id[1] = (uint8_t)i;
        hz_eio_sid_format(id, text);
        HZ_ASSERT_EQ(strlen(text), HZ_EIO_SID);
        HZ_ASSERT_EQ(strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"), HZ_EIO_SID);
        HZ_ASSERT_TRUE(hz_eio_sid_parse(text, back));
        HZ_ASSERT_MEM_EQ(id, back, sizeof id);
        HZ_ASSERT_EQ(hz_eio_sid_shard(back), i & 0xff);
        text[i % HZ_EIO_SID] = "+/=. \n\x7f\xc3"[i % 8];
        HZ_ASSERT_FALSE(hz_eio_sid_parse(text, back));
    }
    uint8_t id[HZ_EIO_ID];
    HZ_ASSERT_FALSE(hz_eio_sid_parse("", id));
    HZ_ASSERT_FALSE(hz_eio_sid_parse("AAAAAAAAAAAAAAAAAAAAAAA", id));
    HZ_ASSERT_FALSE(hz_eio_sid_parse("AAAAAAAAAAAAAAAAAAAAAAAAA", id));
}

/* FIPS 180-4's own examples, and lengths around the border of a block. */
HZ_TEST(engineio_payload, the_digest_is_the_standards)
{
    static const struct {
        const char *unit;
        unsigned times;
        const char *digest;
    } cases[] = {{"", 0, "da39a3ee5e6b4b0d3255bfef95601890afd80709"},
            {"abc", 1, "a9993e364706816aba3e25717850c26c9cd0d89d"},
            {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 1, "84983e441c3bd26ebaae4aa1f95129e5e54670f1"},
            {"a", 1000000, "34aa973cd4c4daa4f61eeb2bdbad27316534016f"},
            {"a", 55, "c1c8bbdc22796e28c0e15163d20899b65621d65a"},
            {"a", 64, "0098ba824b5c16427bd7a1122a5a442a25ec644d"}};
    for (size_t i = 0; i < HZ_COUNT_OF(cases); i++) {
        size_t unit = strlen(cases[i].unit);
        char *text = malloc(unit * cases[i].times + 1), hex[41];
        uint8_t digest[HZ_SHA1_BYTES];
        for (unsigned k = 0; k < cases[i].times; k++)
            memcpy(text + k * unit, cases[i].unit, unit);
        hz_sha1(text, unit * cases[i].times, digest);
        free(text);
        for (unsigned k = 0; k < sizeof digest; k++)
            sprintf(hex + 2 * k, "%02x", digest[k]);
        HZ_ASSERT_STR_EQ(hex, cases[i].digest);
    }
}
