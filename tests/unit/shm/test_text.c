/* test_text.c - what is UTF-8, where it is cut, how it is mended. */
#include "shm/text.h"
#include "tests/harness.h"

#include <string.h>

HZ_TEST(text, well_formed_text_is_known_and_no_other)
{
    static const char *const good[] = {"", "a", "\x7f", "ñ", "€", "😀", "\xed\x9f\xbf", "\xee\x80\x80", "\xf4\x8f\xbf\xbf", "a€b😀c"};
    static const char *const bad[] = {"\x80", "\xc3", "\xc0\xaf", "\xc1\xbf", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80",
            "\xff", "a\xe2\x82", "a\xe2\x82z", "\xf0\x9f\x98", "ñ\xb1"};
    for (size_t i = 0; i < HZ_COUNT_OF(good); i++)
        HZ_ASSERT_TRUE(hz_text_is_utf8(good[i], strlen(good[i])));
    for (size_t i = 0; i < HZ_COUNT_OF(bad); i++)
        HZ_ASSERT_FALSE(hz_text_is_utf8(bad[i], strlen(bad[i])));
    HZ_ASSERT_TRUE(hz_text_is_utf8("a\0b", 3));
}

HZ_TEST(text, every_cut_of_a_text_is_a_text)
{
    static const char text[] = "añ€😀b";
    for (size_t size = 1; size <= sizeof text + 2; size++) {
        char to[sizeof text + 2];
        memset(to, 'x', sizeof to);
        HZ_ASSERT_EQ(hz_text_copy(to, size, text), size >= sizeof text);
        HZ_ASSERT_LT(strlen(to), size);
        HZ_ASSERT_TRUE(hz_text_is_utf8(to, strlen(to)));
        HZ_ASSERT_GE(strlen(to) + 4, HZ_MIN(size, sizeof text));
        HZ_ASSERT_EQ(strncmp(to, text, strlen(to)), 0);
    }
    char to[8];
    HZ_ASSERT_TRUE(hz_text_copy(to, sizeof to, NULL));
    HZ_ASSERT_STR_EQ(to, "");
    HZ_ASSERT_FALSE(hz_text_copy(to, sizeof to, "\x80\x80\x80\x80\x80\x80\x80\x80\x80"));
    HZ_ASSERT_EQ(strlen(to), 4);
}

HZ_TEST(text, what_is_mended_can_be_printed)
{
    char half[] = "na\xc3", mixed[] = "\xff€\xe2\x82ñ\x80z", whole[] = "a€😀";
    hz_text_mend(half);
    hz_text_mend(mixed);
    hz_text_mend(whole);
    HZ_ASSERT_STR_EQ(half, "na?");
    HZ_ASSERT_STR_EQ(mixed, "?€??ñ?z");
    HZ_ASSERT_STR_EQ(whole, "a€😀");
}
