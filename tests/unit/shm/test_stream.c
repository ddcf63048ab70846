/* test_stream.c - whole messages over a small ring: fragments, backlog, reassembly, and each way a writer can lie. */
#include "shm/err.h"
#include "shm/stream.h"
#include "tests/harness.h"

#include <stdlib.h>
#include <string.h>

#define CAPACITY   1024u
#define MAX_RECORD (CAPACITY / 8)

static _Alignas(64) uint8_t memory[sizeof(struct hz_ring_shared) + CAPACITY];
static struct hz_ring out_ring, in_ring;
static struct hz_doorbell_cell cell;
static struct hz_stream_out out;
static struct hz_stream_in in;

static void open_streams(size_t backlog_limit, bool hostile)
{
    memset(memory, 0, sizeof(memory));
    hz_ring_create(memory, CAPACITY);
    hz_ring_attach(&out_ring, memory, CAPACITY, true);
    hz_ring_attach(&in_ring, memory, CAPACITY, false);
    hz_stream_out_init(&out, &out_ring, &cell, -1, backlog_limit);
    HZ_ASSERT_OK(hz_stream_in_init(&in, &in_ring, 'R', hostile));
}

HZ_SETUP(stream)
{
    open_streams(1 << 20, true);
}

HZ_TEARDOWN(stream)
{
    hz_stream_out_fini(&out);
    hz_stream_in_fini(&in);
}

/* A FATAL whose text is `len` bytes that depend on `seed`. */
static uint8_t text_byte(uint32_t seed, size_t at)
{
    return (uint8_t)(((size_t)seed * 31 + at) * 2654435761u >> 24);
}

static int send_text(uint32_t seed, size_t len, bool flush)
{
    uint8_t *text = malloc(len + 1);
    HZ_ASSERT_NOT_NULL(text);
    for (size_t i = 0; i < len; i++)
        text[i] = text_byte(seed, i);
    struct hz_msg_fatal body = {.message_len = (uint32_t)len};
    /* in odd pieces, one of them empty */
    struct hz_part parts[] = {{&body, sizeof(body)}, {text, len / 3}, {NULL, 0}, {text + len / 3, len - len / 3}};
    int result = hz_stream_send(&out, HZ_MSG_FATAL, parts, HZ_COUNT_OF(parts), flush);
    free(text);
    return result;
}

static void check_text(const struct hz_msg *msg, uint32_t seed, size_t len)
{
    HZ_ASSERT_EQ(msg->type, HZ_MSG_FATAL);
    HZ_ASSERT_EQ(msg->str[0].len, len);
    for (size_t i = 0; i < len; i++)
        if ((uint8_t)msg->str[0].data[i] != text_byte(seed, i))
            HZ_FAIL("byte %zu of %zu differs", i, len);
}

/* One visit without bound; returns how many messages there were, checks them against seeds from *seed. */
static unsigned read_all(uint32_t *seed, const size_t *lengths)
{
    struct hz_msg msg;
    unsigned count = 0;
    hz_stream_in_begin(&in, 0, 0);
    while (hz_stream_in_next(&in, &msg) == HZ_RING_OK) {
        /* NOLINTNEXTLINE(clang-analyzer-core.CallAndMessage): no more messages come than were sent */
        check_text(&msg, *seed, lengths[*seed]);
        ++*seed;
        count++;
    }
    hz_stream_in_end(&in);
    return count;
}

HZ_TEST(stream, small_message_arrives_as_one_record)
{
    static const size_t lengths[] = {40};
    uint32_t seed = 0;
    HZ_ASSERT_OK(send_text(0, 40, true));
    HZ_ASSERT_EQ(read_all(&seed, lengths), 1);
    HZ_ASSERT_EQ(in.joined_cap, 0);
}

HZ_TEST(stream, message_is_invisible_until_flushed)
{
    static const size_t lengths[] = {8, 8};
    uint32_t seed = 0;
    HZ_ASSERT_OK(send_text(0, 8, false));
    HZ_ASSERT_OK(send_text(1, 8, false));
    HZ_ASSERT_EQ(read_all(&seed, lengths), 0);
    HZ_ASSERT_TRUE(hz_stream_flush(&out));
    HZ_ASSERT_EQ(read_all(&seed, lengths), 2);
}

HZ_TEST(stream, every_length_round_the_largest_record_arrives)
{
    size_t body = sizeof(struct hz_msg_fatal), lengths[1];
    for (size_t len = 0; len < (size_t)5 * MAX_RECORD; len++) {
        uint32_t seed = 0;
        lengths[0] = len;
        HZ_ASSERT_OK(send_text(0, len, true));
        HZ_ASSERT_EQ(in_ring.poisoned, false);
        HZ_ASSERT_EQ(read_all(&seed, lengths), 1);
        HZ_ASSERT_EQ(out.backlog_bytes, 0);
    }
    HZ_ASSERT_EQ(body, 8);
}

static void large_message_passes_a_small_ring(bool hostile)
{
    hz_stream_out_fini(&out);
    open_streams(1 << 20, hostile);
    static const size_t lengths[] = {300000, 5, 100000, 0};
    uint32_t seed = 0;
    for (uint32_t i = 0; i < 4; i++)
        HZ_ASSERT_OK(send_text(i, lengths[i], i == 3));
    unsigned turns = 0;
    while (seed < 4) {
        read_all(&seed, lengths);
        (void)hz_stream_flush(&out);
        HZ_ASSERT_LT(turns++, 5000);
    }
    HZ_ASSERT_TRUE(hz_stream_flush(&out));
    HZ_ASSERT_EQ(out.backlog_bytes, 0);
    HZ_ASSERT_EQ(in.messages, 4);
    HZ_ASSERT_EQ(out.sent, 4);
}

HZ_TEST(stream, large_messages_pass_a_small_ring_to_a_reader_that_trusts_nobody)
{
    large_message_passes_a_small_ring(true);
}

HZ_TEST(stream, large_messages_pass_a_small_ring_to_a_reader_in_place)
{
    large_message_passes_a_small_ring(false);
}

HZ_TEST(stream, backlog_keeps_the_order_and_moves_in_when_there_is_room)
{
    size_t lengths[60];
    uint32_t seed = 0;
    for (uint32_t i = 0; i < 60; i++) {
        lengths[i] = 30 + i;
        HZ_ASSERT_OK(send_text(i, lengths[i], true));
    }
    HZ_ASSERT_GT(out.queued, 0);
    while (seed < 60) {
        HZ_ASSERT_GT(read_all(&seed, lengths), 0);
        (void)hz_stream_flush(&out);
    }
    HZ_ASSERT_EQ(out.backlog_bytes, 0);
    HZ_ASSERT_NULL(out.first);
}

HZ_TEST(stream, new_message_never_passes_those_that_wait)
{
    size_t lengths[100];
    uint32_t seed = 0, sent = 0;
    do {
        lengths[sent] = 100;
        HZ_ASSERT_OK(send_text(sent, 100, true));
    } while (out.first == NULL && ++sent < 50);
    sent++;
    read_all(&seed, lengths); /* room again, but no flush: the next message must wait for the queued one */
    lengths[sent] = 8;
    HZ_ASSERT_OK(send_text(sent, 8, true));
    sent++;
    read_all(&seed, lengths);
    HZ_ASSERT_EQ(seed, sent);
}

HZ_TEST(stream, bound_of_the_backlog_refuses_and_takes_nothing)
{
    hz_stream_out_fini(&out);
    open_streams(1000, true);
    size_t lengths[200];
    uint32_t seed = 0, sent = 0;
    int result;
    for (;;) {
        lengths[sent] = 92;
        result = send_text(sent, 92, true);
        if (result != 0)
            break;
        sent++;
    }
    HZ_ASSERT_EQ(result, HZ_EBUSY);
    HZ_ASSERT_EQ(out.backlog_bytes, 1000);
    while (read_all(&seed, lengths) > 0)
        (void)hz_stream_flush(&out);
    HZ_ASSERT_EQ(seed, sent);
    HZ_ASSERT_OK(send_text(sent, 92, true));
}

HZ_TEST(stream, one_message_alone_is_taken_above_the_bound)
{
    hz_stream_out_fini(&out);
    open_streams(100, true);
    static const size_t lengths[] = {50000};
    uint32_t seed = 0;
    HZ_ASSERT_OK(send_text(0, 50000, true));
    HZ_ASSERT_EQ(send_text(1, 8, true), HZ_EBUSY);
    while (seed < 1) {
        read_all(&seed, lengths);
        (void)hz_stream_flush(&out);
    }
}

HZ_TEST(stream, without_a_backlog_a_full_ring_is_busy_at_once)
{
    hz_stream_out_fini(&out);
    open_streams(0, true);
    size_t lengths[100];
    uint32_t seed = 0, sent = 0;
    for (; send_text(sent, 100, false) == 0; sent++)
        lengths[sent] = 100;
    HZ_ASSERT_EQ(out.backlog_bytes, 0);
    HZ_ASSERT_EQ(send_text(sent, 1000, true), HZ_EBUSY); /* not even begun */
    HZ_ASSERT_EQ(read_all(&seed, lengths), sent);        /* busy has published what was there */
    lengths[sent] = 5000;
    HZ_ASSERT_OK(send_text(sent, 5000, true)); /* begun, so its rest is kept */
    while (seed <= sent) {
        read_all(&seed, lengths);
        (void)hz_stream_flush(&out);
    }
}

HZ_TEST(stream, message_above_64_mib_is_refused)
{
    static const uint8_t nothing[8];
    struct hz_msg_fatal body = {.message_len = 0};
    struct hz_part parts[] = {{&body, sizeof(body)}, {nothing, HZ_MSG_MAX - sizeof(body) + 1}};
    HZ_ASSERT_EQ(hz_stream_send(&out, HZ_MSG_FATAL, parts, 2, true), HZ_ETOOBIG);
    parts[1].len = SIZE_MAX;
    HZ_ASSERT_EQ(hz_stream_send(&out, HZ_MSG_FATAL, parts, 2, true), HZ_ETOOBIG);
}

HZ_TEST(stream, try_drops_at_once_and_never_fragments)
{
    uint8_t bytes[MAX_RECORD + 1] = {0};
    struct hz_part part = {bytes, sizeof(bytes)};
    HZ_ASSERT_EQ(hz_stream_try(&out, HZ_MSG_FATAL, &part, 1, true), HZ_ETOOBIG);
    part.len = MAX_RECORD;
    int result;
    while ((result = hz_stream_try(&out, HZ_MSG_FATAL, &part, 1, false)) == 0) {
    }
    HZ_ASSERT_EQ(result, HZ_EBUSY);
    HZ_ASSERT_NULL(out.first);
    HZ_ASSERT_TRUE(hz_ring_has_data(&in_ring)); /* dropping has published the others */
}

HZ_TEST(stream, closed_reader_is_reported_to_the_sender)
{
    hz_ring_close(&in_ring);
    int result;
    while ((result = send_text(0, 100, true)) == 0 && out.first == NULL) {
    }
    HZ_ASSERT_EQ(result, HZ_ECLOSED);
}

HZ_TEST(stream, closed_writer_is_reported_after_its_last_message)
{
    static const size_t lengths[] = {8};
    uint32_t seed = 0;
    struct hz_msg msg;
    HZ_ASSERT_OK(send_text(0, 8, true));
    hz_ring_close(&out_ring);
    HZ_ASSERT_EQ(read_all(&seed, lengths), 1);
    hz_stream_in_begin(&in, 0, 0);
    HZ_ASSERT_EQ(hz_stream_in_next(&in, &msg), HZ_RING_CLOSED);
    hz_stream_in_end(&in);
}

HZ_TEST(stream, visit_is_bounded_in_records_and_in_bytes)
{
    struct hz_msg msg;
    for (uint32_t i = 0; i < 10; i++)
        HZ_ASSERT_OK(send_text(i, 32, true));
    hz_stream_in_begin(&in, 3, 0);
    for (int i = 0; i < 3; i++)
        HZ_ASSERT_EQ(hz_stream_in_next(&in, &msg), HZ_RING_OK);
    HZ_ASSERT_EQ(hz_stream_in_next(&in, &msg), HZ_RING_EMPTY);
    hz_stream_in_end(&in);
    hz_stream_in_begin(&in, 0, 41); /* each has 40 */
    HZ_ASSERT_EQ(hz_stream_in_next(&in, &msg), HZ_RING_OK);
    HZ_ASSERT_EQ(hz_stream_in_next(&in, &msg), HZ_RING_OK);
    HZ_ASSERT_EQ(hz_stream_in_next(&in, &msg), HZ_RING_EMPTY);
    hz_stream_in_end(&in);
    check_text(&msg, 4, 32);
}

HZ_TEST(stream, message_in_place_is_valid_until_the_next_call)
{
    hz_stream_out_fini(&out);
    open_streams(0, false);
    struct hz_msg first, second;
    HZ_ASSERT_OK(send_text(0, 32, true));
    HZ_ASSERT_OK(send_text(1, 32, true));
    hz_stream_in_begin(&in, 0, 0);
    HZ_ASSERT_EQ(hz_stream_in_next(&in, &first), HZ_RING_OK);
    HZ_ASSERT_EQ(first.body, (const void *)(in_ring.bytes + 8)); /* not a copy */
    check_text(&first, 0, 32);
    HZ_ASSERT_EQ(in_ring.index, 0); /* still held */
    HZ_ASSERT_EQ(hz_stream_in_next(&in, &second), HZ_RING_OK);
    check_text(&second, 1, 32);
    hz_stream_in_end(&in);
    HZ_ASSERT_EQ(atomic_load(&in_ring.shared->head), 96);
}

HZ_TEST(stream, large_buffer_goes_back_after_its_message)
{
    static const size_t lengths[] = {200000};
    uint32_t seed = 0;
    HZ_ASSERT_OK(send_text(0, 200000, true));
    while (seed < 1) {
        read_all(&seed, lengths);
        (void)hz_stream_flush(&out);
    }
    HZ_ASSERT_EQ(in.joined_cap, 0);
    HZ_ASSERT_NULL(in.joined);
}

/* ## A writer that lies */

static void put_raw(uint32_t type, const void *data, uint32_t len)
{
    void *to;
    HZ_ASSERT_EQ(hz_ring_reserve(&out_ring, type, len, &to), HZ_RING_OK);
    memcpy(to, data, len);
    hz_ring_commit(&out_ring);
    hz_ring_publish(&out_ring);
}

static void put_fragment(uint64_t total, uint32_t type, uint32_t sequence, uint32_t bytes)
{
    uint8_t record[MAX_RECORD] = {0};
    struct hz_msg_fragment head = {.total = total, .type = type, .sequence = sequence};
    memcpy(record, &head, sizeof(head));
    put_raw(HZ_MSG_FRAGMENT, record, (uint32_t)sizeof(head) + bytes);
}

static void expect_poison(const char *reason)
{
    struct hz_msg msg;
    hz_stream_in_begin(&in, 0, 0);
    HZ_ASSERT_EQ(hz_stream_in_next(&in, &msg), HZ_RING_POISON);
    HZ_ASSERT_STR_HAS(in.poison_reason, reason);
    HZ_ASSERT_EQ(hz_stream_in_next(&in, &msg), HZ_RING_POISON);
    hz_stream_in_end(&in);
    hz_stream_in_begin(&in, 0, 0);
    HZ_ASSERT_EQ(hz_stream_in_next(&in, &msg), HZ_RING_POISON);
    hz_stream_in_end(&in);
}

HZ_TEST(stream, record_that_does_not_decode_poisons)
{
    uint8_t bytes[16] = {1};
    put_raw(HZ_MSG_FATAL, bytes, 16);
    expect_poison("does not decode");
}

HZ_TEST(stream, record_of_the_other_direction_poisons)
{
    uint8_t bytes[8] = {0};
    put_raw(HZ_MSG_SHUTDOWN, bytes, 8);
    expect_poison("does not decode");
}

HZ_TEST(stream, broken_ring_poisons_with_a_reason)
{
    atomic_store(&in_ring.shared->tail, 7);
    expect_poison("index");
}

HZ_TEST(stream, fragment_without_content_poisons)
{
    put_fragment(1000, HZ_MSG_FATAL, 0, 0);
    expect_poison("without content");
}

HZ_TEST(stream, fragment_shorter_than_its_head_poisons)
{
    uint8_t bytes[8] = {0};
    put_raw(HZ_MSG_FRAGMENT, bytes, 8);
    expect_poison("without content");
}

HZ_TEST(stream, fragments_that_begin_in_the_middle_poison)
{
    put_fragment(1000, HZ_MSG_FATAL, 1, 64);
    expect_poison("without its beginning");
}

HZ_TEST(stream, total_above_64_mib_poisons)
{
    put_fragment(HZ_MSG_MAX + 1, HZ_MSG_FATAL, 0, 64);
    expect_poison("impossible length");
}

HZ_TEST(stream, total_that_needs_no_fragments_poisons)
{
    put_fragment(MAX_RECORD, HZ_MSG_FATAL, 0, 64);
    expect_poison("impossible length");
}

HZ_TEST(stream, fragments_of_fragments_poison)
{
    put_fragment(1000, HZ_MSG_FRAGMENT, 0, 64);
    expect_poison("impossible type");
}

HZ_TEST(stream, fragments_of_a_message_of_the_other_direction_poison)
{
    put_fragment(1000, HZ_MSG_PLAN, 0, 64);
    expect_poison("impossible type");
}

HZ_TEST(stream, total_that_changes_poisons)
{
    put_fragment(1000, HZ_MSG_FATAL, 0, 64);
    put_fragment(1001, HZ_MSG_FATAL, 1, 64);
    expect_poison("does not continue");
}

HZ_TEST(stream, type_that_changes_poisons)
{
    put_fragment(1000, HZ_MSG_FATAL, 0, 64);
    put_fragment(1000, HZ_MSG_LINE, 1, 64);
    expect_poison("does not continue");
}

HZ_TEST(stream, sequence_that_jumps_or_repeats_poisons)
{
    put_fragment(1000, HZ_MSG_FATAL, 0, 64);
    put_fragment(1000, HZ_MSG_FATAL, 0, 64);
    expect_poison("does not continue");
}

HZ_TEST(stream, more_bytes_than_the_total_poison)
{
    put_fragment(MAX_RECORD + 1, HZ_MSG_FATAL, 0, 100);
    put_fragment(MAX_RECORD + 1, HZ_MSG_FATAL, 1, 100);
    expect_poison("more fragments");
}

HZ_TEST(stream, record_between_fragments_poisons)
{
    uint8_t bytes[8] = {0};
    put_fragment(1000, HZ_MSG_FATAL, 0, 64);
    put_raw(HZ_MSG_FATAL, bytes, 8);
    expect_poison("between the fragments");
}

HZ_TEST(stream, joined_message_that_does_not_decode_poisons)
{
    put_fragment(MAX_RECORD + 1, HZ_MSG_FATAL, 0, 100); /* text length 0, but 121 bytes of it */
    put_fragment(MAX_RECORD + 1, HZ_MSG_FATAL, 1, 29);
    expect_poison("does not decode");
}

HZ_TEST(stream, false_total_of_64_mib_costs_no_more_memory_than_was_sent)
{
    struct hz_msg msg;
    put_fragment(HZ_MSG_MAX, HZ_MSG_FATAL, 0, 64);
    put_fragment(HZ_MSG_MAX, HZ_MSG_FATAL, 1, 64);
    hz_stream_in_begin(&in, 0, 0);
    HZ_ASSERT_EQ(hz_stream_in_next(&in, &msg), HZ_RING_EMPTY);
    hz_stream_in_end(&in);
    HZ_ASSERT_LE(in.joined_cap, 256);
}

HZ_TEST(stream, poisoned_command_ring_is_reported_to_the_sender)
{
    while (send_text(0, 100, true) == 0 && out.first == NULL) {
    }
    atomic_store(&out_ring.shared->head, 3);
    HZ_ASSERT_FALSE(hz_stream_flush(&out));
    HZ_ASSERT_EQ(send_text(0, 100, true), HZ_EPOISON);
}
