/* test_gate.c - which Host and Origin headers a server on loopback answers. */
#include "core/http/gate.h"
#include "tests/harness.h"

static struct hz_gate gate;

HZ_SETUP(gate)
{
    HZ_ASSERT_OK(hz_gate_init(&gate, " flows.example.org , Other.Test", "https://app.example.org/"));
}

HZ_TEARDOWN(gate)
{
    hz_gate_fini(&gate);
}

HZ_TEST(gate, the_three_loopback_names_are_answered_with_any_port)
{
    HZ_ASSERT_TRUE(hz_gate_host(&gate, "127.0.0.1", false));
    HZ_ASSERT_TRUE(hz_gate_host(&gate, "127.0.0.1:3000", false));
    HZ_ASSERT_TRUE(hz_gate_host(&gate, "[::1]:3000", false));
    HZ_ASSERT_TRUE(hz_gate_host(&gate, "LocalHost:80", false));
    HZ_ASSERT_TRUE(hz_gate_host(&gate, "localhost.", false));
}

HZ_TEST(gate, listed_names_are_answered)
{
    HZ_ASSERT_TRUE(hz_gate_host(&gate, "flows.example.org", false));
    HZ_ASSERT_TRUE(hz_gate_host(&gate, "other.test:8080", false));
    HZ_ASSERT_FALSE(hz_gate_host(&gate, "example.org", false));
}

HZ_TEST(gate, a_rebound_name_is_refused)
{
    HZ_ASSERT_FALSE(hz_gate_host(&gate, "attacker.example", false));
    HZ_ASSERT_FALSE(hz_gate_host(&gate, "localhost.attacker.example", false));
    HZ_ASSERT_FALSE(hz_gate_host(&gate, "127.0.0.1.nip.io", true));
    HZ_ASSERT_FALSE(hz_gate_host(&gate, "attacker.example", true));
    HZ_ASSERT_FALSE(hz_gate_host(&gate, NULL, false));
    HZ_ASSERT_FALSE(hz_gate_host(&gate, "", false));
    HZ_ASSERT_FALSE(hz_gate_host(&gate, "localhost:80x", false));
    HZ_ASSERT_FALSE(hz_gate_host(&gate, "[::1", false));
}

HZ_TEST(gate, worker_ports_know_more_names_of_loopback)
{
    HZ_ASSERT_TRUE(hz_gate_host(&gate, "127.8.9.10:3001", true));
    HZ_ASSERT_FALSE(hz_gate_host(&gate, "127.8.9.10:3001", false));
    HZ_ASSERT_TRUE(hz_gate_host(&gate, "hook.localhost:3001", true));
    HZ_ASSERT_FALSE(hz_gate_host(&gate, "hook.localhost", false));
    HZ_ASSERT_FALSE(hz_gate_host(&gate, "127.256.0.1", true));
    HZ_ASSERT_FALSE(hz_gate_host(&gate, "127.0.1", true));
    HZ_ASSERT_FALSE(hz_gate_host(&gate, ".localhost", true));
    HZ_ASSERT_FALSE(hz_gate_host(&gate, "128.0.0.1", true));
}

HZ_TEST(gate, an_origin_is_own_if_the_request_was_addressed_to_it)
{
    HZ_ASSERT_EQ(hz_gate_origin(&gate, NULL, "localhost:3000"), HZ_ORIGIN_NONE);
    HZ_ASSERT_EQ(hz_gate_origin(&gate, "http://localhost:3000", "localhost:3000"), HZ_ORIGIN_OWN);
    HZ_ASSERT_EQ(hz_gate_origin(&gate, "http://localhost:5173", "localhost:3000"), HZ_ORIGIN_REFUSED);
    HZ_ASSERT_EQ(hz_gate_origin(&gate, "http://127.0.0.1:3000", "localhost:3000"), HZ_ORIGIN_REFUSED);
}

HZ_TEST(gate, our_names_with_our_port_are_one_origin)
{
    gate.port = 3000;
    HZ_ASSERT_EQ(hz_gate_origin(&gate, "http://127.0.0.1:3000", "localhost:3000"), HZ_ORIGIN_OWN);
    HZ_ASSERT_EQ(hz_gate_origin(&gate, "http://127.0.0.1:3001", "localhost:3000"), HZ_ORIGIN_REFUSED);
    HZ_ASSERT_EQ(hz_gate_origin(&gate, "http://attacker.example:3000", "localhost:3000"), HZ_ORIGIN_REFUSED);
    HZ_ASSERT_EQ(hz_gate_origin(&gate, "http://127.0.0.1:3000/x", "localhost:3000"), HZ_ORIGIN_REFUSED);
}

HZ_TEST(gate, a_listed_origin_is_own_and_null_never)
{
    HZ_ASSERT_EQ(hz_gate_origin(&gate, "https://app.example.org", "localhost:3000"), HZ_ORIGIN_OWN);
    HZ_ASSERT_EQ(hz_gate_origin(&gate, "http://app.example.org", "localhost:3000"), HZ_ORIGIN_REFUSED);
    HZ_ASSERT_EQ(hz_gate_origin(&gate, "null", "localhost:3000"), HZ_ORIGIN_REFUSED);
    HZ_ASSERT_EQ(hz_gate_origin(&gate, "", "localhost:3000"), HZ_ORIGIN_REFUSED);
    HZ_ASSERT_EQ(hz_gate_origin(&gate, "https://attacker.example", "localhost:3000"), HZ_ORIGIN_REFUSED);
    HZ_ASSERT_EQ(hz_gate_origin(&gate, "file://localhost:3000", "localhost:3000"), HZ_ORIGIN_REFUSED);
}
