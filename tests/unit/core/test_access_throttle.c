/* test_access_throttle.c - how long failures make an address and a mail wait. */
#include "core/access_internal.h"
#include "tests/harness.h"

#include <sodium.h>
#include <stdio.h>

static struct hz_throttle *throttle;

HZ_SETUP(access_throttle)
{
    HZ_ASSERT_GE(sodium_init(), 0);
    throttle = hz_throttle_new();
    HZ_ASSERT_NOT_NULL(throttle);
}

HZ_TEARDOWN(access_throttle)
{
    hz_throttle_free(&throttle);
}

static void fail_often(const char *address, const char *mail, int times, int64_t now_ms)
{
    for (int i = 0; i < times; i++)
        hz_throttle_failed(throttle, address, mail, now_ms);
}

HZ_TEST(access_throttle, a_mail_waits_after_five_failures_twice_as_long_each_time_and_half_a_minute_at_most)
{
    const int64_t now = 1000000;
    fail_often("192.0.2.1", "Ana@b.c", 4, now);
    HZ_ASSERT_EQ(hz_throttle_wait(throttle, "192.0.2.9", "ana@b.c", now), 0);
    static const uint32_t wanted[] = {1, 2, 4, 8, 16, 30, 30, 30};
    for (size_t i = 0; i < HZ_COUNT_OF(wanted); i++) {
        fail_often("192.0.2.1", "ana@b.c", 1, now);
        HZ_ASSERT_EQ(hz_throttle_wait(throttle, "192.0.2.9", "ana@b.c", now), wanted[i]);
    }
    HZ_ASSERT_EQ(hz_throttle_wait(throttle, "192.0.2.9", "other@b.c", now), 0);
    HZ_ASSERT_EQ(hz_throttle_wait(throttle, "192.0.2.9", "ana@b.c", now + 30000), 0);
    hz_throttle_passed(throttle, "ana@b.c");
    HZ_ASSERT_EQ(hz_throttle_wait(throttle, "192.0.2.9", "ana@b.c", now), 0);
}

HZ_TEST(access_throttle, an_address_that_tries_many_mails_waits_up_to_five_minutes)
{
    char mail[32];
    for (int i = 0; i < 40; i++) {
        snprintf(mail, sizeof mail, "user%d@b.c", i);
        fail_often("2001:db8::1", mail, 1, 5000);
    }
    HZ_ASSERT_EQ(hz_throttle_wait(throttle, "2001:db8::ffff", "new@b.c", 5000), 300); /* the same network of 64 bits */
    HZ_ASSERT_EQ(hz_throttle_wait(throttle, "2001:db8:0:1::1", "new@b.c", 5000), 0);
    hz_throttle_passed(throttle, "user1@b.c");
    HZ_ASSERT_EQ(hz_throttle_wait(throttle, "2001:db8::1", "new@b.c", 5000), 300);
}

HZ_TEST(access_throttle, a_quarter_of_an_hour_forgets_and_the_unix_socket_is_not_counted)
{
    fail_often("unix", "ana@b.c", 30, 5000);
    HZ_ASSERT_EQ(hz_throttle_wait(throttle, "unix", "other@b.c", 5000), 0);
    HZ_ASSERT_EQ(hz_throttle_wait(throttle, "unix", "ana@b.c", 5000 + 900001), 0);
    fail_often("unix", "ana@b.c", 1, 5000 + 900001);
    HZ_ASSERT_EQ(hz_throttle_wait(throttle, "unix", "ana@b.c", 5000 + 900001), 0);
}

HZ_TEST(access_throttle, a_flood_of_mails_does_not_free_the_one_that_failed_most)
{
    char mail[32];
    fail_often("192.0.2.1", "ana@b.c", 10, 5000);
    for (int i = 0; i < 20000; i++) {
        snprintf(mail, sizeof mail, "user%d@b.c", i);
        fail_often("unix", mail, 1, 6000);
    }
    HZ_ASSERT_GT(hz_throttle_wait(throttle, "192.0.2.2", "ana@b.c", 6000), 0);
}
