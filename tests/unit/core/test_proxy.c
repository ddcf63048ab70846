/* test_proxy.c - whose request it is when a proxy has passed it on. */
#include "core/http/proxy.h"
#include "shm/err.h"
#include "tests/harness.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

static bool trusted(const char *text)
{
    struct sockaddr_storage any;
    memset(&any, 0, sizeof any);
    any.ss_family = strchr(text, ':') ? AF_INET6 : AF_INET;
    HZ_ASSERT_EQ(any.ss_family == AF_INET6 ? inet_pton(AF_INET6, text, &((struct sockaddr_in6 *)(void *)&any)->sin6_addr)
                                           : inet_pton(AF_INET, text, &((struct sockaddr_in *)(void *)&any)->sin_addr),
            1);
    return hz_proxy_trusted(&any);
}

/* "" : the peer itself. */
static const char *client(const char *forwarded)
{
    static char text[64];
    struct sockaddr_storage any;
    if (!hz_proxy_client(forwarded, &any))
        return "";
    if (any.ss_family == AF_INET6)
        inet_ntop(AF_INET6, &((struct sockaddr_in6 *)(void *)&any)->sin6_addr, text, sizeof text);
    else
        inet_ntop(AF_INET, &((struct sockaddr_in *)(void *)&any)->sin_addr, text, sizeof text);
    return text;
}

HZ_TEARDOWN(proxy)
{
    HZ_ASSERT_OK(hz_proxy_trust(NULL));
}

HZ_TEST(proxy, nobody_is_trusted_unless_named)
{
    HZ_ASSERT_FALSE(trusted("127.0.0.1"));
    HZ_ASSERT_OK(hz_proxy_trust("127.0.0.1, 10.1.0.0/20 ,2001:db8::/33,::1"));
    HZ_ASSERT_TRUE(trusted("127.0.0.1") && trusted("::ffff:127.0.0.1") && trusted("::1"));
    HZ_ASSERT_TRUE(trusted("10.1.15.255") && trusted("2001:db8:7fff::1"));
    HZ_ASSERT_FALSE(trusted("127.0.0.2") || trusted("10.1.16.0") || trusted("10.0.255.255") || trusted("2001:db8:8000::1") || trusted("::2"));
    struct sockaddr other = {.sa_family = AF_UNIX};
    HZ_ASSERT_FALSE(hz_proxy_trusted(&other));
    HZ_ASSERT_OK(hz_proxy_trust(""));
    HZ_ASSERT_FALSE(trusted("127.0.0.1"));
    HZ_ASSERT_OK(hz_proxy_trust("0.0.0.0/0"));
    HZ_ASSERT_TRUE(trusted("203.0.113.9"));
    HZ_ASSERT_FALSE(trusted("2001:db8::1"));
}

HZ_TEST(proxy, what_is_no_address_or_network_is_refused_and_named)
{
    static const char *const wrong[] = {"localhost", "10.0.0.0/33", "::/129", "10.0.0.0/", "10.0.0.0/8x", "1.2.3", "1.2.3.4:80", "10.0.0.0/-1", "[::1]"};
    HZ_ASSERT_OK(hz_proxy_trust("192.0.2.1"));
    for (size_t i = 0; i < HZ_COUNT_OF(wrong); i++) {
        char list[128];
        snprintf(list, sizeof list, "127.0.0.1,%s", wrong[i]);
        HZ_ASSERT_EQ(hz_proxy_trust(list), HZ_EFORMAT);
        HZ_ASSERT_STR_HAS(hz_err_last(), wrong[i]);
    }
    HZ_ASSERT_TRUE(trusted("192.0.2.1")); /* as it was */
}

HZ_TEST(proxy, the_last_one_that_is_no_proxy_of_ours_is_the_client)
{
    HZ_ASSERT_OK(hz_proxy_trust("127.0.0.1,10.0.0.0/8"));
    HZ_ASSERT_STR_EQ(client("203.0.113.9"), "203.0.113.9");
    HZ_ASSERT_STR_EQ(client("6.6.6.6, 203.0.113.9"), "203.0.113.9"); /* the first is what the client says of himself */
    HZ_ASSERT_STR_EQ(client("6.6.6.6,203.0.113.9 ,\t10.2.3.4"), "203.0.113.9");
    HZ_ASSERT_STR_EQ(client("10.2.3.4, 127.0.0.1"), "10.2.3.4");
    HZ_ASSERT_STR_EQ(client("[2001:db8::7]:4711"), "2001:db8::7");
    HZ_ASSERT_STR_EQ(client("2001:db8::7"), "2001:db8::7");
    HZ_ASSERT_STR_EQ(client("198.51.100.2:80, 10.0.0.1:99"), "198.51.100.2");
}

HZ_TEST(proxy, what_is_no_address_is_not_believed)
{
    static const char *const wrong[] = {"", ",", "unknown", "203.0.113.9,", "203.0.113.9, _x", "[::1", "[::1]x", "1.2.3.4 5", "999.1.1.1"};
    HZ_ASSERT_OK(hz_proxy_trust("127.0.0.1"));
    for (size_t i = 0; i < HZ_COUNT_OF(wrong); i++)
        HZ_ASSERT_STR_EQ(client(wrong[i]), "");
    HZ_ASSERT_STR_EQ(client("unknown, 127.0.0.1"), "127.0.0.1"); /* no further than what can be read */
}
