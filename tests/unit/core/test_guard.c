/* test_guard.c - which Host and Origin headers a server on loopback answers. */
#include "core/http/guard.h"
#include "tests/harness.h"

static struct hz_guard guard;

HZ_SETUP(guard)
{
    HZ_ASSERT_OK(hz_guard_init(&guard, " flows.example.org , Other.Test", "https://app.example.org/"));
}

HZ_TEARDOWN(guard)
{
    hz_guard_fini(&guard);
}

HZ_TEST(guard, the_three_loopback_names_are_answered_with_any_port)
{
    HZ_ASSERT_TRUE(hz_guard_host(&guard, "127.0.0.1", false));
    HZ_ASSERT_TRUE(hz_guard_host(&guard, "127.0.0.1:3000", false));
    HZ_ASSERT_TRUE(hz_guard_host(&guard, "[::1]:3000", false));
    HZ_ASSERT_TRUE(hz_guard_host(&guard, "LocalHost:80", false));
    HZ_ASSERT_TRUE(hz_guard_host(&guard, "localhost.", false));
}

HZ_TEST(guard, listed_names_are_answered)
{
    HZ_ASSERT_TRUE(hz_guard_host(&guard, "flows.example.org", false));
    HZ_ASSERT_TRUE(hz_guard_host(&guard, "other.test:8080", false));
    HZ_ASSERT_FALSE(hz_guard_host(&guard, "example.org", false));
}

HZ_TEST(guard, a_rebound_name_is_refused)
{
    HZ_ASSERT_FALSE(hz_guard_host(&guard, "attacker.example", false));
    HZ_ASSERT_FALSE(hz_guard_host(&guard, "localhost.attacker.example", false));
    HZ_ASSERT_FALSE(hz_guard_host(&guard, "127.0.0.1.nip.io", true));
    HZ_ASSERT_FALSE(hz_guard_host(&guard, "attacker.example", true));
    HZ_ASSERT_FALSE(hz_guard_host(&guard, NULL, false));
    HZ_ASSERT_FALSE(hz_guard_host(&guard, "", false));
    HZ_ASSERT_FALSE(hz_guard_host(&guard, "localhost:80x", false));
    HZ_ASSERT_FALSE(hz_guard_host(&guard, "[::1", false));
}

HZ_TEST(guard, worker_ports_know_more_names_of_loopback)
{
    HZ_ASSERT_TRUE(hz_guard_host(&guard, "127.8.9.10:3001", true));
    HZ_ASSERT_FALSE(hz_guard_host(&guard, "127.8.9.10:3001", false));
    HZ_ASSERT_TRUE(hz_guard_host(&guard, "hook.localhost:3001", true));
    HZ_ASSERT_FALSE(hz_guard_host(&guard, "hook.localhost", false));
    HZ_ASSERT_FALSE(hz_guard_host(&guard, "127.256.0.1", true));
    HZ_ASSERT_FALSE(hz_guard_host(&guard, "127.0.1", true));
    HZ_ASSERT_FALSE(hz_guard_host(&guard, ".localhost", true));
    HZ_ASSERT_FALSE(hz_guard_host(&guard, "128.0.0.1", true));
}

HZ_TEST(guard, an_origin_is_own_if_the_request_was_addressed_to_it)
{
    HZ_ASSERT_EQ(hz_guard_origin(&guard, NULL, "localhost:3000"), HZ_ORIGIN_NONE);
    HZ_ASSERT_EQ(hz_guard_origin(&guard, "http://localhost:3000", "localhost:3000"), HZ_ORIGIN_OWN);
    HZ_ASSERT_EQ(hz_guard_origin(&guard, "http://localhost:5173", "localhost:3000"), HZ_ORIGIN_REFUSED);
    HZ_ASSERT_EQ(hz_guard_origin(&guard, "http://127.0.0.1:3000", "localhost:3000"), HZ_ORIGIN_REFUSED);
}

HZ_TEST(guard, a_listed_origin_is_own_and_null_never)
{
    HZ_ASSERT_EQ(hz_guard_origin(&guard, "https://app.example.org", "localhost:3000"), HZ_ORIGIN_OWN);
    HZ_ASSERT_EQ(hz_guard_origin(&guard, "http://app.example.org", "localhost:3000"), HZ_ORIGIN_REFUSED);
    HZ_ASSERT_EQ(hz_guard_origin(&guard, "null", "localhost:3000"), HZ_ORIGIN_REFUSED);
    HZ_ASSERT_EQ(hz_guard_origin(&guard, "", "localhost:3000"), HZ_ORIGIN_REFUSED);
    HZ_ASSERT_EQ(hz_guard_origin(&guard, "https://attacker.example", "localhost:3000"), HZ_ORIGIN_REFUSED);
    HZ_ASSERT_EQ(hz_guard_origin(&guard, "file://localhost:3000", "localhost:3000"), HZ_ORIGIN_REFUSED);
}
