/* test_socketio_packet.c - packets of Socket.IO: what is read, what is refused, what is written. */
#include "core/http/socketio_packet.h"
#include "tests/harness.h"

#include <stdlib.h>
#include <string.h>

static const char *parse(const char *text, struct hz_sio_packet *packet)
{
    return hz_sio_packet_parse(text, strlen(text), packet);
}

HZ_TEST(socketio_packet, every_type_is_read_with_its_parts)
{
    static const struct {
        const char *text;
        enum hz_sio_type type;
        unsigned attachments;
        const char *nsp;
        int64_t id; /* -1: none */
        const char *json;
    } cases[] = {{"0", HZ_SIO_CONNECT, 0, "/", -1, NULL},
            {"0{\"token\":\"1\"}", HZ_SIO_CONNECT, 0, "/", -1, "{\"token\":\"1\"}"},
            {"0/custom,", HZ_SIO_CONNECT, 0, "/custom", -1, NULL}, {"0/random", HZ_SIO_CONNECT, 0, "/random", -1, NULL},
            {"0/custom,{\"a\":1}", HZ_SIO_CONNECT, 0, "/custom", -1, "{\"a\":1}"},
            {"1", HZ_SIO_DISCONNECT, 0, "/", -1, NULL}, {"1/custom,", HZ_SIO_DISCONNECT, 0, "/custom", -1, NULL},
            {"2[\"a\"]", HZ_SIO_EVENT, 0, "/", -1, "[\"a\"]"}, {"2[1]", HZ_SIO_EVENT, 0, "/", -1, "[1]"},
            {"27[\"a\",{}]", HZ_SIO_EVENT, 0, "/", 7, "[\"a\",{}]"},
            {"2/admin,456[\"a\"]", HZ_SIO_EVENT, 0, "/admin", 456, "[\"a\"]"},
            {"2999999999999999[\"a\"]", HZ_SIO_EVENT, 0, "/", 999999999999999, "[\"a\"]"},
            {"2007[\"a\"]", HZ_SIO_EVENT, 0, "/", 7, "[\"a\"]"}, {"30[]", HZ_SIO_ACK, 0, "/", 0, "[]"},
            {"51-[\"a\",{\"_placeholder\":true,\"num\":0}]", HZ_SIO_BINARY_EVENT, 1, "/", -1,
                    "[\"a\",{\"_placeholder\":true,\"num\":0}]"},
            {"50-[\"a\"]", HZ_SIO_BINARY_EVENT, 0, "/", -1, "[\"a\"]"},
            {"62-/c,789[{\"x\":[{\"_placeholder\":true,\"num\":1}]}]", HZ_SIO_BINARY_ACK, 2, "/c", 789,
                    "[{\"x\":[{\"_placeholder\":true,\"num\":1}]}]"},
            {"2[\"a\",18446744073709551616,\"\\ud800\",\"\\u0000\"]", HZ_SIO_EVENT, 0, "/", -1, NULL}};
    for (size_t i = 0; i < HZ_COUNT_OF(cases); i++) {
        struct hz_sio_packet packet;
        HZ_ASSERT_STR_EQ(parse(cases[i].text, &packet), NULL);
        HZ_ASSERT_EQ(packet.type, cases[i].type);
        HZ_ASSERT_EQ(packet.attachments, cases[i].attachments);
        HZ_ASSERT_STR_EQ(packet.nsp, cases[i].nsp);
        HZ_ASSERT_EQ(packet.has_id, cases[i].id >= 0);
        if (packet.has_id)
            HZ_ASSERT_EQ(packet.id, cases[i].id);
        if (cases[i].json) {
            char *text = json_dumps(packet.data, JSON_COMPACT);
            HZ_ASSERT_STR_EQ(text, cases[i].json);
            free(text);
        }
        hz_sio_packet_fini(&packet);
        HZ_ASSERT_NULL(packet.data);
    }
}

HZ_TEST(socketio_packet, what_is_no_packet_is_refused_with_the_reason)
{
    static const char *const texts[] = {"", "7", "a", "abc", "/", "-1", " 0", "0[]", "0\"a\"", "01", "01{}", "0{} ,",
            "0{}x", "1{}", "15", "1/custom,[]", "2", "2{}", "2[]", "2[null]", "2[{}]", "2[1.5]", "2[[\"a\"]]", "2\"a\"",
            "2[\"connect\"]", "2[\"connect_error\"]", "2[\"disconnect\"]", "2[\"disconnecting\"]", "2[\"newListener\"]",
            "2[\"removeListener\"]", "2abc[\"a\"]", "2[\"a\"", "2[\"a\"]]", "2[\"a\\u0000b\"]", "2\xff[\"a\"]",
            "2[\"\xff\"]", "21000000000000000[\"a\"]", "3[]", "3", "31{}", "31", "4\"no\"", "4{}", "5[\"a\"]",
            "5-[\"a\"]", "51[\"a\"]", "517-[\"a\"]", "59999-[\"a\"]", "5-1-[\"a\"]",
            "51-[\"a\",{\"_placeholder\":true,\"num\":1}]", "51-[\"a\",{\"_placeholder\":true,\"num\":-1}]",
            "51-[\"a\",{\"_placeholder\":true}]", "51-[\"a\",[{\"b\":{\"_placeholder\":true,\"num\":\"0\"}}]]", "61-[]",
            "0/a\nb", "0/a\x1e,"};
    for (size_t i = 0; i < HZ_COUNT_OF(texts); i++) {
        struct hz_sio_packet packet;
        if (!parse(texts[i], &packet))
            HZ_FAIL("taken: %s", texts[i]);
        HZ_ASSERT_NULL(packet.data);
    }
}

HZ_TEST(socketio_packet, nesting_and_names_are_bounded)
{
    struct hz_sio_packet packet;
    char text[4096];
    for (unsigned depth = HZ_SIO_DEPTH - 2; depth <= HZ_SIO_DEPTH + 2; depth++) {
        char *at = text + sprintf(text, "2[\"a\",");
        memset(at, '[', depth);
        memset(at + depth, ']', depth);
        strcpy(at + 2 * depth, "]");
        HZ_ASSERT_EQ(parse(text, &packet) == NULL, depth + 1 <= HZ_SIO_DEPTH);
        hz_sio_packet_fini(&packet);
    }
    memset(text, '[', sizeof text - 1);
    text[0] = '2';
    text[sizeof text - 1] = 0;
    HZ_ASSERT_NOT_NULL(parse(text, &packet));
    for (size_t len = HZ_SIO_NAMESPACE_MAX - 1; len <= HZ_SIO_NAMESPACE_MAX + 1; len++) {
        memset(text, 'n', sizeof text);
        text[0] = '0';
        text[1] = '/';
        text[1 + len] = 0;
        HZ_ASSERT_EQ(parse(text, &packet) == NULL, len <= HZ_SIO_NAMESPACE_MAX);
        hz_sio_packet_fini(&packet);
    }
}

HZ_TEST(socketio_packet, random_bytes_do_no_harm_and_what_is_taken_is_whole)
{
    static const char letters[] = "0123456/,-[]{}\"\\:aeu1 \x01\xc3\xb1truefalsenum_placeholder";
    srand(7);
    unsigned taken = 0;
    for (unsigned i = 0; i < 200000; i++) {
        char text[24];
        size_t len = (size_t)rand() % sizeof text;
        for (size_t k = 0; k < len; k++)
            text[k] = letters[(size_t)rand() % (sizeof letters - 1)];
        if (i % 2 && len > 4)
            memcpy(text, "2[\"a", 4);
        struct hz_sio_packet packet;
        if (hz_sio_packet_parse(text, len, &packet))
            continue;
        taken++;
        HZ_ASSERT_TRUE(packet.attachments <= HZ_SIO_ATTACHMENTS_MAX && strlen(packet.nsp) <= HZ_SIO_NAMESPACE_MAX);
        hz_sio_packet_fini(&packet);
    }
    HZ_ASSERT_GT(taken, 300);
}

HZ_TEST(socketio_packet, heads_are_written_as_they_are_read)
{
    char head[HZ_SIO_HEAD_MAX];
    uint64_t id = 456;
    HZ_ASSERT_EQ(hz_sio_packet_head(head, HZ_SIO_EVENT, 0, "/", NULL), 2);
    HZ_ASSERT_STR_EQ(head, "42");
    hz_sio_packet_head(head, HZ_SIO_ACK, 0, "/", &id);
    HZ_ASSERT_STR_EQ(head, "43456");
    hz_sio_packet_head(head, HZ_SIO_CONNECT_ERROR, 0, "/random", NULL);
    HZ_ASSERT_STR_EQ(head, "44/random,");
    hz_sio_packet_head(head, HZ_SIO_BINARY_ACK, 2, "/c", &id);
    HZ_ASSERT_STR_EQ(head, "462-/c,456");
}
