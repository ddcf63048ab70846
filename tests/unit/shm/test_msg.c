/* test_msg.c - what is a record and what is not; every length in a body is a claim. */
#include "shm/err.h"
#include "shm/msg.h"
#include "tests/harness.h"

#include <stdlib.h>
#include <string.h>

static const struct {
    uint32_t type;
    char direction;
    size_t bytes;
} table[] = {
#define HZ_MSG_X(NAME, name, id, direction, meaning) {(id), #direction[0], sizeof(struct hz_msg_##name)},
#include "shm/msg_table.h"
#undef HZ_MSG_X
};

HZ_TEST(msg, every_type_has_name_direction_and_size)
{
    for (size_t i = 0; i < HZ_COUNT_OF(table); i++) {
        HZ_ASSERT_TRUE(strcmp(hz_msg_name(table[i].type), "?") != 0);
        HZ_ASSERT_EQ(hz_msg_direction(table[i].type), table[i].direction);
        HZ_ASSERT_EQ(hz_msg_body_bytes(table[i].type), table[i].bytes);
    }
    HZ_ASSERT_STR_EQ(hz_msg_name(HZ_MSG_FINISHED), "FINISHED");
    HZ_ASSERT_STR_EQ(hz_msg_name(4000), "?");
    HZ_ASSERT_EQ(hz_msg_direction(4000), 0);
    HZ_ASSERT_EQ(hz_msg_body_bytes(0), 0);
}

HZ_TEST(msg, every_type_without_strings_opens)
{
    _Alignas(8) uint8_t bytes[256] = {0};
    struct hz_msg msg;
    for (size_t i = 0; i < HZ_COUNT_OF(table); i++) {
        HZ_ASSERT_OK(hz_msg_open(&msg, table[i].direction, table[i].type, bytes, table[i].bytes));
        HZ_ASSERT_EQ(msg.type, table[i].type);
        HZ_ASSERT_EQ(msg.body, (const void *)bytes);
    }
}

HZ_TEST(msg, every_type_refuses_a_byte_less_and_a_byte_more)
{
    _Alignas(8) uint8_t bytes[256] = {0};
    struct hz_msg msg;
    for (size_t i = 0; i < HZ_COUNT_OF(table); i++) {
        uint8_t *exact = calloc(1, table[i].bytes - 1); /* a sanitizer sees a look behind it */
        HZ_ASSERT_NOT_NULL(exact);
        HZ_ASSERT_EQ(hz_msg_open(&msg, table[i].direction, table[i].type, exact, table[i].bytes - 1), HZ_EFORMAT);
        free(exact);
        HZ_ASSERT_EQ(hz_msg_open(&msg, table[i].direction, table[i].type, bytes, table[i].bytes + 1), HZ_EFORMAT);
        HZ_ASSERT_EQ(hz_msg_open(&msg, table[i].direction, table[i].type, bytes, 0), HZ_EFORMAT);
    }
}

HZ_TEST(msg, every_type_is_refused_on_the_other_rings)
{
    _Alignas(8) uint8_t bytes[256] = {0};
    struct hz_msg msg;
    for (size_t i = 0; i < HZ_COUNT_OF(table); i++)
        for (const char *other = "CRM"; *other != '\0'; other++)
            if (*other != table[i].direction)
                HZ_ASSERT_EQ(hz_msg_open(&msg, *other, table[i].type, bytes, table[i].bytes), HZ_EFORMAT);
}

HZ_TEST(msg, fragment_and_unknown_types_are_no_messages)
{
    _Alignas(8) uint8_t bytes[64] = {0};
    struct hz_msg msg;
    HZ_ASSERT_EQ(hz_msg_open(&msg, 'R', HZ_MSG_FRAGMENT, bytes, 16), HZ_EFORMAT);
    HZ_ASSERT_EQ(hz_msg_open(&msg, 'R', 0, bytes, 16), HZ_EFORMAT);
    HZ_ASSERT_EQ(hz_msg_open(&msg, '\0', 200, bytes, 16), HZ_EFORMAT);
}

struct finished {
    struct hz_msg_finished body;
    char text[12];
};

HZ_TEST(msg, strings_follow_the_body_in_order)
{
    struct finished record = {.body = {.error_len = 3, .code_len = 2, .result_len = 7}, .text = "errcoresult"};
    size_t len = sizeof(record.body) + 12;
    struct hz_msg msg;
    HZ_ASSERT_OK(hz_msg_open(&msg, 'R', HZ_MSG_FINISHED, &record, len));
    HZ_ASSERT_EQ(msg.str[0].len, 3);
    HZ_ASSERT_MEM_EQ(msg.str[0].data, "err", 3);
    HZ_ASSERT_MEM_EQ(msg.str[1].data, "co", 2);
    HZ_ASSERT_MEM_EQ(msg.str[2].data, "result", 6);
    HZ_ASSERT_EQ(msg.str[2].data + msg.str[2].len, (const char *)&record + len);
}

HZ_TEST(msg, lengths_that_overflow_their_sum_are_refused)
{
    struct hz_msg msg;
    struct hz_msg_finished body = {.error_len = UINT32_MAX, .code_len = UINT32_MAX, .result_len = UINT64_MAX};
    HZ_ASSERT_EQ(hz_msg_open(&msg, 'R', HZ_MSG_FINISHED, &body, sizeof(body)), HZ_EFORMAT);
    body = (struct hz_msg_finished){.error_len = 8, .result_len = (uint64_t)0 - 8};
    HZ_ASSERT_EQ(hz_msg_open(&msg, 'R', HZ_MSG_FINISHED, &body, sizeof(body)), HZ_EFORMAT);
    struct hz_msg_plan plan = {.plan_len = UINT64_MAX - 7};
    HZ_ASSERT_EQ(hz_msg_open(&msg, 'C', HZ_MSG_PLAN, &plan, sizeof(plan)), HZ_EFORMAT);
}

HZ_TEST(msg, refusal_leaves_the_result_alone_and_says_why)
{
    struct hz_msg msg = {.type = 12345};
    struct hz_msg_fatal body = {.message_len = 1};
    HZ_ASSERT_EQ(hz_msg_open(&msg, 'R', HZ_MSG_FATAL, &body, sizeof(body)), HZ_EFORMAT);
    HZ_ASSERT_EQ(msg.type, 12345);
    HZ_ASSERT_STR_HAS(hz_err_last(), "FATAL: string 0 has 1 bytes, 0 are left");
}

/* Random bodies: opened ones have their strings inside, which the sanitizers check by the touch. */
HZ_TEST(msg, random_bytes_never_make_a_string_outside_the_record)
{
    uint64_t state = 88172645463325252u;
    unsigned opened = 0;
    for (unsigned round = 0; round < 200000; round++) {
        size_t k = round % HZ_COUNT_OF(table);
        uint64_t words[40];
        for (size_t i = 0; i < HZ_COUNT_OF(words); i++) {
            state ^= state << 13, state ^= state >> 7, state ^= state << 17;
            words[i] = state & UINT64_C(0x0000001f0000001f);
        }
        size_t len = table[k].bytes + (state >> 32) % 60;
        uint8_t *exact = malloc(len);
        HZ_ASSERT_NOT_NULL(exact);
        memcpy(exact, words, len);
        struct hz_msg msg;
        if (hz_msg_open(&msg, table[k].direction, table[k].type, exact, len) == 0) {
            opened++;
            size_t sum = table[k].bytes;
            for (size_t i = 0; i < HZ_MSG_STRINGS; i++) {
                sum += msg.str[i].len;
                HZ_ASSERT_LE((const uint8_t *)msg.str[i].data + msg.str[i].len, exact + len);
                if (msg.str[i].len > 0)
                    state += (uint8_t)msg.str[i].data[msg.str[i].len - 1];
            }
            HZ_ASSERT_EQ(sum, len);
        }
        free(exact);
    }
    HZ_ASSERT_GT(opened, 1000);
}
