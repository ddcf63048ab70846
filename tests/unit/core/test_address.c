/* test_address.c - how many connections and requests of one address are taken. */
#include "core/http/address.h"
#include "tests/harness.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#define SECOND_NS UINT64_C(1000000000)

static struct sockaddr_storage of(const char *text)
{
    struct sockaddr_storage any;
    memset(&any, 0, sizeof any);
    struct sockaddr_in *v4 = (struct sockaddr_in *)(void *)&any;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)(void *)&any;
    any.ss_family = strchr(text, ':') ? AF_INET6 : AF_INET;
    HZ_ASSERT_EQ(strchr(text, ':') ? inet_pton(AF_INET6, text, &v6->sin6_addr) : inet_pton(AF_INET, text, &v4->sin_addr), 1);
    return any;
}

static bool enter(const char *text, struct hz_address *address)
{
    struct sockaddr_storage any = of(text);
    return hz_address_enter(&any, address);
}

HZ_TEARDOWN(address)
{
    hz_address_fini();
}

HZ_TEST(address, connections_of_one_address_are_bounded_and_counted_down)
{
    struct hz_address a, b, c, other;
    HZ_ASSERT_OK(hz_address_init(2, 0, false));
    HZ_ASSERT_TRUE(enter("192.0.2.1", &a));
    HZ_ASSERT_TRUE(enter("::ffff:192.0.2.1", &b)); /* the same one */
    HZ_ASSERT_FALSE(enter("192.0.2.1", &c));
    HZ_ASSERT_TRUE(enter("192.0.2.2", &other));
    hz_address_leave(&a);
    hz_address_leave(&a); /* once is enough */
    HZ_ASSERT_TRUE(enter("192.0.2.1", &c));
    HZ_ASSERT_FALSE(enter("192.0.2.1", &a));
}

HZ_TEST(address, sessions_are_bounded_apart_from_connections)
{
    struct hz_address a, b, one, two, three;
    HZ_ASSERT_OK(hz_address_init(2, 0, false));
    HZ_ASSERT_TRUE(enter("192.0.2.1", &a));
    HZ_ASSERT_TRUE(hz_address_open_session(&a, &one) && hz_address_open_session(&a, &two));
    HZ_ASSERT_FALSE(hz_address_open_session(&a, &three));
    HZ_ASSERT_TRUE(enter("192.0.2.1", &b));
    hz_address_leave(&a);
    hz_address_leave(&b); /* sessions outlive their connections */
    HZ_ASSERT_TRUE(enter("192.0.2.1", &a));
    HZ_ASSERT_FALSE(hz_address_open_session(&a, &three));
    hz_address_close_session(&one);
    hz_address_close_session(&one);
    HZ_ASSERT_TRUE(hz_address_open_session(&a, &three));
    HZ_ASSERT_TRUE(enter("127.0.0.1", &b) && hz_address_open_session(&b, &one) && hz_address_open_session(&b, &one) &&
                   hz_address_open_session(&b, &one)); /* not counted */
    struct sockaddr_storage behind = of("192.0.2.9"); /* a proxy's client has no connection of its own */
    hz_address_of(&behind, &a);
    HZ_ASSERT_TRUE(hz_address_open_session(&a, &one) && hz_address_open_session(&a, &two));
    HZ_ASSERT_FALSE(hz_address_open_session(&a, &three));
    hz_address_close_session(&one);
    HZ_ASSERT_TRUE(hz_address_open_session(&a, &three));
}

HZ_TEST(address, a_network_of_64_bits_is_one_address_of_ipv6)
{
    struct hz_address a, b;
    HZ_ASSERT_OK(hz_address_init(1, 0, false));
    HZ_ASSERT_TRUE(enter("2001:db8::1", &a));
    HZ_ASSERT_FALSE(enter("2001:db8::2", &b));
    HZ_ASSERT_TRUE(enter("2001:db8:0:1::2", &b));
}

HZ_TEST(address, loopback_is_counted_only_when_asked_for)
{
    struct hz_address a, b;
    HZ_ASSERT_OK(hz_address_init(1, 1, false));
    HZ_ASSERT_TRUE(enter("127.0.0.1", &a) && enter("127.0.0.1", &b) && enter("::1", &b) && enter("::ffff:127.0.0.9", &b));
    for (int i = 0; i < 10; i++)
        HZ_ASSERT_TRUE(hz_address_ask(&a, 1));
    HZ_ASSERT_OK(hz_address_init(1, 0, true));
    HZ_ASSERT_TRUE(enter("127.0.0.1", &a));
    HZ_ASSERT_FALSE(enter("127.0.0.1", &b));
}

HZ_TEST(address, requests_are_bounded_by_a_bucket_that_fills_again)
{
    struct hz_address a;
    HZ_ASSERT_OK(hz_address_init(0, 10, false));
    HZ_ASSERT_TRUE(enter("192.0.2.1", &a));
    uint64_t now = hz_base_now_ns();
    unsigned taken = 0;
    for (int i = 0; i < 100; i++)
        taken += hz_address_ask(&a, now);
    HZ_ASSERT_EQ(taken, 10 * HZ_ADDRESS_BURST_S);
    for (int i = 0; i < 100; i++)
        taken += hz_address_ask(&a, now + SECOND_NS);
    HZ_ASSERT_EQ(taken, 10 * HZ_ADDRESS_BURST_S + 10);
    for (int i = 0; i < 100; i++)
        taken += hz_address_ask(&a, now + 100 * SECOND_NS);
    HZ_ASSERT_EQ(taken, 2 * 10 * HZ_ADDRESS_BURST_S + 10);
}

HZ_TEST(address, a_new_connection_does_not_wipe_the_slate)
{
    struct hz_address a;
    HZ_ASSERT_OK(hz_address_init(0, 10, false));
    uint64_t now = hz_base_now_ns();
    unsigned taken = 0;
    for (int i = 0; i < 100; i++) {
        HZ_ASSERT_TRUE(enter("192.0.2.1", &a));
        taken += hz_address_ask(&a, now);
        hz_address_leave(&a);
    }
    HZ_ASSERT_EQ(taken, 10 * HZ_ADDRESS_BURST_S);
}
