/* test_url.c - percent-decoding and the border between text and bytes. */
#include "core/http/url.h"
#include "shm/text.h"
#include "tests/harness.h"

#include <string.h>

static char out[256];

static ptrdiff_t decode(const char *text, bool plus)
{
    return hz_url_decode(text, strlen(text), plus, out);
}

HZ_TEST(url, escapes_become_bytes)
{
    HZ_ASSERT_EQ(decode("a%20b%2fc%2Fd", false), 7);
    HZ_ASSERT_STR_EQ(out, "a b/c/d");
    HZ_ASSERT_EQ(decode("ma%C3%B1ana", false), 7);
    HZ_ASSERT_STR_EQ(out, "ma\xc3\xb1"
                          "ana");
}

HZ_TEST(url, a_plus_is_a_blank_only_where_asked)
{
    HZ_ASSERT_EQ(decode("a+b", true), 3);
    HZ_ASSERT_STR_EQ(out, "a b");
    HZ_ASSERT_EQ(decode("a+b", false), 3);
    HZ_ASSERT_STR_EQ(out, "a+b");
}

HZ_TEST(url, a_broken_escape_stands_for_itself)
{
    HZ_ASSERT_EQ(decode("%", false), 1);
    HZ_ASSERT_STR_EQ(out, "%");
    HZ_ASSERT_EQ(decode("%4", false), 2);
    HZ_ASSERT_STR_EQ(out, "%4");
    HZ_ASSERT_EQ(decode("%4g%41", false), 4);
    HZ_ASSERT_STR_EQ(out, "%4gA");
}

HZ_TEST(url, nul_and_bad_utf8_are_refused)
{
    HZ_ASSERT_EQ(decode("a%00b", false), -1);
    HZ_ASSERT_EQ(decode("%c0%80", false), -1);       /* overlong NUL */
    HZ_ASSERT_EQ(decode("%ed%a0%80", false), -1);    /* surrogate */
    HZ_ASSERT_EQ(decode("%f4%90%80%80", false), -1); /* above U+10FFFF */
    HZ_ASSERT_EQ(decode("%e2%82", false), -1);       /* cut */
    HZ_ASSERT_EQ(decode("%80", false), -1);
}

HZ_TEST(url, utf8_of_every_length_is_text)
{
    static const char text[] = "A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf";
    HZ_ASSERT_TRUE(hz_text_is_utf8(text, sizeof text - 1));
    for (size_t cut = 1; cut < 4; cut++)
        HZ_ASSERT_FALSE(hz_text_is_utf8(text, sizeof text - 1 - cut));
}
