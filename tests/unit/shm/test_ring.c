/* test_ring.c - the byte ring at its boundaries, and each rule of the end that trusts nobody. Both ends in one thread.
 */
#include "shm/ring.h"
#include "tests/harness.h"

#include <stdlib.h>
#include <string.h>

#define CAPACITY 1024u
#define WRAP     (UINT64_C(0xffffffff) << 32)

static _Alignas(64) uint8_t memory[sizeof(struct hz_ring_shared) + CAPACITY + 64];
static struct hz_ring out, in;
static uint8_t buffer[CAPACITY];

HZ_SETUP(ring)
{
    memset(memory, 0, sizeof(memory));
    hz_ring_create(memory, CAPACITY);
    hz_ring_attach(&out, memory, CAPACITY, true);
    hz_ring_attach(&in, memory, CAPACITY, false);
}

static struct hz_ring_shared *shared(void)
{
    return (struct hz_ring_shared *)(void *)memory;
}

static void set_word(uint64_t offset, uint64_t word)
{
    memcpy(memory + sizeof(struct hz_ring_shared) + offset, &word, sizeof(word));
}

static enum hz_ring_result put(uint32_t type, uint32_t len, uint8_t fill)
{
    void *data;
    enum hz_ring_result result = hz_ring_reserve(&out, type, len, &data);
    if (result == HZ_RING_OK) {
        memset(data, fill, len);
        hz_ring_commit(&out);
    }
    return result;
}

static enum hz_ring_result take(struct hz_record *ret_record)
{
    hz_ring_take_begin(&in);
    enum hz_ring_result result = hz_ring_take(&in, buffer, sizeof(buffer), ret_record);
    hz_ring_take_end(&in);
    return result;
}

static void expect_record(uint32_t type, uint32_t len, uint8_t fill)
{
    struct hz_record record;
    HZ_ASSERT_EQ(take(&record), HZ_RING_OK);
    HZ_ASSERT_EQ(record.type, type);
    HZ_ASSERT_EQ(record.len, len);
    for (uint32_t i = 0; i < len; i++)
        HZ_ASSERT_EQ(((const uint8_t *)record.data)[i], fill);
}

HZ_TEST(ring, new_ring_is_empty_for_both_ways_of_reading)
{
    struct hz_record record;
    HZ_ASSERT_EQ(take(&record), HZ_RING_EMPTY);
    HZ_ASSERT_EQ(hz_ring_peek(&in, &record), HZ_RING_EMPTY);
    HZ_ASSERT_FALSE(hz_ring_has_data(&in));
    HZ_ASSERT_EQ(hz_ring_fill(&in), 0);
}

HZ_TEST(ring, record_of_one_byte_and_of_max_record_arrive_whole)
{
    HZ_ASSERT_EQ(put(7, 1, 0xaa), HZ_RING_OK);
    HZ_ASSERT_EQ(put(8, CAPACITY / 8, 0xbb), HZ_RING_OK);
    hz_ring_publish(&out);
    expect_record(7, 1, 0xaa);
    expect_record(8, CAPACITY / 8, 0xbb);
}

HZ_TEST(ring, reserve_refuses_what_never_fits_and_writes_nothing)
{
    void *data = NULL;
    uint8_t before[sizeof(memory)];
    memcpy(before, memory, sizeof(memory));
    HZ_ASSERT_EQ(hz_ring_reserve(&out, 1, CAPACITY / 8 + 1, &data), HZ_RING_TOO_BIG);
    HZ_ASSERT_EQ(hz_ring_reserve(&out, 1, UINT32_MAX, &data), HZ_RING_TOO_BIG);
    HZ_ASSERT_NULL(data);
    HZ_ASSERT_MEM_EQ(before, memory, sizeof(memory));
}

HZ_TEST(ring, reserve_reports_full_and_writes_nothing)
{
    while (put(1, 120, 1) == HZ_RING_OK) {
    }
    uint8_t before[sizeof(memory)];
    memcpy(before, memory, sizeof(memory));
    void *data;
    HZ_ASSERT_EQ(hz_ring_reserve(&out, 1, 120, &data), HZ_RING_FULL);
    HZ_ASSERT_MEM_EQ(before, memory, sizeof(memory));
}

HZ_TEST(ring, full_ring_has_published_what_was_committed)
{
    while (put(1, 120, 1) == HZ_RING_OK) {
    }
    HZ_ASSERT_TRUE(hz_ring_has_data(&in));
    HZ_ASSERT_EQ(hz_ring_fill(&in), CAPACITY);
}

HZ_TEST(ring, ring_takes_exactly_its_capacity)
{
    for (unsigned i = 0; i < CAPACITY / 128; i++)
        HZ_ASSERT_EQ(put(1, 120, (uint8_t)i), HZ_RING_OK);
    HZ_ASSERT_EQ(put(1, 1, 0), HZ_RING_FULL);
    for (unsigned i = 0; i < CAPACITY / 128; i++)
        expect_record(1, 120, (uint8_t)i);
    HZ_ASSERT_EQ(put(1, 120, 9), HZ_RING_OK);
}

HZ_TEST(ring, committed_record_is_invisible_until_published)
{
    struct hz_record record;
    HZ_ASSERT_EQ(put(1, 8, 1), HZ_RING_OK);
    HZ_ASSERT_EQ(take(&record), HZ_RING_EMPTY);
    hz_ring_publish(&out);
    HZ_ASSERT_EQ(take(&record), HZ_RING_OK);
}

HZ_TEST(ring, aborted_record_is_never_seen)
{
    void *data;
    HZ_ASSERT_EQ(hz_ring_reserve(&out, 1, 8, &data), HZ_RING_OK);
    hz_ring_abort(&out);
    HZ_ASSERT_EQ(put(2, 16, 2), HZ_RING_OK);
    hz_ring_publish(&out);
    expect_record(2, 16, 2);
    struct hz_record record;
    HZ_ASSERT_EQ(take(&record), HZ_RING_EMPTY);
}

HZ_TEST(ring, batch_becomes_visible_by_one_publication)
{
    for (uint8_t i = 0; i < 5; i++)
        HZ_ASSERT_EQ(put(i + 1u, 24, i), HZ_RING_OK);
    HZ_ASSERT_EQ(atomic_load(&shared()->tail), 0);
    hz_ring_publish(&out);
    HZ_ASSERT_EQ(atomic_load(&shared()->tail), 5 * 32);
    for (uint8_t i = 0; i < 5; i++)
        expect_record(i + 1u, 24, i);
}

/* Every length meets every distance to the end, so every wrap there is is met. */
HZ_TEST(ring, all_lengths_wrap_at_all_offsets)
{
    uint32_t seed = 1;
    for (uint32_t start = 0; start < CAPACITY; start += 8) {
        for (uint32_t len = 1; len <= CAPACITY / 8; len++) {
            uint64_t index = (uint64_t)start + (UINT64_C(1) << 40);
            out.index = out.published = out.peer = in.index = in.published = in.peer = index;
            atomic_store(&shared()->tail, index);
            atomic_store(&shared()->head, index);
            seed = seed * 1664525u + 1013904223u;
            uint8_t fill = (uint8_t)(seed >> 24);
            HZ_ASSERT_EQ(put(3, len, fill), HZ_RING_OK);
            HZ_ASSERT_EQ(put(4, len, (uint8_t)~fill), HZ_RING_OK);
            hz_ring_publish(&out);
            expect_record(3, len, fill);
            expect_record(4, len, (uint8_t)~fill);
            HZ_ASSERT_EQ(in.index, out.index);
        }
    }
}

HZ_TEST(ring, indices_may_overflow_64_bits)
{
    uint64_t index = UINT64_MAX - 63;
    out.index = out.published = out.peer = in.index = in.published = in.peer = index;
    atomic_store(&shared()->tail, index);
    atomic_store(&shared()->head, index);
    for (uint8_t i = 0; i < 40; i++) {
        HZ_ASSERT_EQ(put(1, 56, i), HZ_RING_OK);
        hz_ring_publish(&out);
        expect_record(1, 56, i);
    }
}

HZ_TEST(ring, nothing_is_written_behind_the_last_byte)
{
    memset(memory + sizeof(struct hz_ring_shared) + CAPACITY, 0x5a, 64);
    struct hz_record record;
    for (unsigned i = 0; i < 5000; i++) {
        HZ_ASSERT_EQ(put(1, 1 + i % (CAPACITY / 8), 0xff), HZ_RING_OK);
        hz_ring_publish(&out);
        HZ_ASSERT_EQ(take(&record), HZ_RING_OK);
    }
    for (unsigned i = 0; i < 64; i++)
        HZ_ASSERT_EQ(memory[sizeof(struct hz_ring_shared) + CAPACITY + i], 0x5a);
}

HZ_TEST(ring, payload_is_8_aligned)
{
    void *data;
    for (uint32_t len = 1; len < 20; len++) {
        HZ_ASSERT_EQ(hz_ring_reserve(&out, 1, len, &data), HZ_RING_OK);
        HZ_ASSERT_EQ((uintptr_t)data & 7, 0);
        hz_ring_commit(&out);
    }
}

HZ_TEST(ring, peek_shows_the_same_record_until_release)
{
    struct hz_record first, second;
    HZ_ASSERT_EQ(put(1, 8, 1), HZ_RING_OK);
    HZ_ASSERT_EQ(put(2, 8, 2), HZ_RING_OK);
    hz_ring_publish(&out);
    HZ_ASSERT_EQ(hz_ring_peek(&in, &first), HZ_RING_OK);
    HZ_ASSERT_EQ(hz_ring_peek(&in, &second), HZ_RING_OK);
    HZ_ASSERT_EQ(first.data, second.data);
    hz_ring_release(&in);
    HZ_ASSERT_EQ(hz_ring_peek(&in, &second), HZ_RING_OK);
    HZ_ASSERT_EQ(second.type, 2);
}

HZ_TEST(ring, released_room_is_told_by_release_publish)
{
    struct hz_record record;
    HZ_ASSERT_EQ(put(1, 8, 1), HZ_RING_OK);
    hz_ring_publish(&out);
    HZ_ASSERT_EQ(hz_ring_peek(&in, &record), HZ_RING_OK);
    hz_ring_release(&in);
    HZ_ASSERT_EQ(atomic_load(&shared()->head), 0);
    hz_ring_release_publish(&in);
    HZ_ASSERT_EQ(atomic_load(&shared()->head), 16);
}

HZ_TEST(ring, long_batch_tells_its_room_on_the_way)
{
    struct hz_record record;
    for (unsigned i = 0; i < CAPACITY / 128; i++)
        HZ_ASSERT_EQ(put(1, 120, 0), HZ_RING_OK);
    hz_ring_publish(&out);
    for (unsigned i = 0; i < CAPACITY / 128 / 4; i++) {
        HZ_ASSERT_EQ(atomic_load(&shared()->head), 0);
        HZ_ASSERT_EQ(hz_ring_peek(&in, &record), HZ_RING_OK);
        hz_ring_release(&in);
    }
    HZ_ASSERT_EQ(atomic_load(&shared()->head), CAPACITY / 4);
}

HZ_TEST(ring, take_with_a_small_buffer_leaves_the_record_and_says_its_length)
{
    struct hz_record record;
    HZ_ASSERT_EQ(put(5, 100, 3), HZ_RING_OK);
    hz_ring_publish(&out);
    hz_ring_take_begin(&in);
    HZ_ASSERT_EQ(hz_ring_take(&in, buffer, 99, &record), HZ_RING_TOO_BIG);
    HZ_ASSERT_EQ(record.len, 100);
    HZ_ASSERT_NULL(record.data);
    HZ_ASSERT_EQ(hz_ring_take(&in, buffer, 100, &record), HZ_RING_OK);
    hz_ring_take_end(&in);
}

HZ_TEST(ring, visit_looks_at_the_tail_once)
{
    struct hz_record record;
    HZ_ASSERT_EQ(put(1, 8, 1), HZ_RING_OK);
    hz_ring_publish(&out);
    hz_ring_take_begin(&in);
    HZ_ASSERT_EQ(hz_ring_take(&in, buffer, sizeof(buffer), &record), HZ_RING_OK);
    HZ_ASSERT_EQ(put(2, 8, 2), HZ_RING_OK);
    hz_ring_publish(&out);
    HZ_ASSERT_EQ(hz_ring_take(&in, buffer, sizeof(buffer), &record), HZ_RING_EMPTY);
    hz_ring_take_end(&in);
    expect_record(2, 8, 2);
}

HZ_TEST(ring, visit_that_leaves_records_behind_tells_its_room_in_steps)
{
    struct hz_record record;
    for (unsigned i = 0; i < 6; i++)
        HZ_ASSERT_EQ(put(1, 56, 0), HZ_RING_OK);
    hz_ring_publish(&out);
    static const uint64_t heads[] = {0, 128, 128, 256, 256, 384};
    for (unsigned i = 0; i < 6; i++) {
        HZ_ASSERT_EQ(take(&record), HZ_RING_OK);
        HZ_ASSERT_EQ(atomic_load(&shared()->head), heads[i]);
    }
}

HZ_TEST(ring, spinning_waits_longer_while_looks_find_little_and_not_after_an_empty_one)
{
    struct hz_record record;
    for (unsigned i = 0; i < 10; i++) {
        HZ_ASSERT_EQ(put(1, 8, 0), HZ_RING_OK);
        hz_ring_publish(&out);
        HZ_ASSERT_EQ(take(&record), HZ_RING_OK);
        hz_ring_spin(&in);
        HZ_ASSERT_EQ(in.pauses, i < 3 ? (2u << i) - 1 : 15);
    }
    HZ_ASSERT_EQ(take(&record), HZ_RING_EMPTY);
    hz_ring_spin(&in);
    HZ_ASSERT_EQ(in.pauses, 0);
}

HZ_TEST(ring, closed_is_said_only_after_the_last_record)
{
    struct hz_record record;
    HZ_ASSERT_EQ(put(1, 8, 1), HZ_RING_OK);
    hz_ring_close(&out); /* publishes */
    expect_record(1, 8, 1);
    HZ_ASSERT_EQ(take(&record), HZ_RING_CLOSED);
    HZ_ASSERT_EQ(hz_ring_peek(&in, &record), HZ_RING_CLOSED);
}

HZ_TEST(ring, producer_learns_of_a_closed_consumer_when_it_needs_room)
{
    while (put(1, 120, 1) == HZ_RING_OK) {
    }
    hz_ring_close(&in);
    void *data;
    HZ_ASSERT_EQ(hz_ring_reserve(&out, 1, 120, &data), HZ_RING_CLOSED);
}

/* ## The hostile producer: one test a rule */

static void expect_poison(void)
{
    struct hz_record record;
    HZ_ASSERT_EQ(take(&record), HZ_RING_POISON);
    HZ_ASSERT_TRUE(in.poisoned);
    HZ_ASSERT_EQ(take(&record), HZ_RING_POISON); /* for good */
    HZ_ASSERT_EQ(hz_ring_peek(&in, &record), HZ_RING_POISON);
    HZ_ASSERT_TRUE(hz_ring_has_data(&in)); /* so that the visitor learns it */
}

HZ_TEST(ring, tail_beyond_the_capacity_poisons)
{
    set_word(0, UINT64_C(1) << 32 | 8); /* were the tail believed, this would be a record */
    atomic_store(&shared()->tail, CAPACITY + 8);
    expect_poison();
}

HZ_TEST(ring, tail_that_is_no_multiple_of_8_poisons)
{
    set_word(0, UINT64_C(1) << 32 | 4);
    atomic_store(&shared()->tail, 20);
    expect_poison();
}

HZ_TEST(ring, tail_that_goes_back_poisons)
{
    HZ_ASSERT_EQ(put(1, 8, 1), HZ_RING_OK);
    hz_ring_publish(&out);
    expect_record(1, 8, 1);
    set_word(16, UINT64_C(1) << 32 | 8);
    atomic_store(&shared()->tail, 8);
    expect_poison();
}

HZ_TEST(ring, tail_that_takes_unread_records_back_poisons)
{
    HZ_ASSERT_EQ(put(1, 8, 1), HZ_RING_OK);
    HZ_ASSERT_EQ(put(1, 8, 1), HZ_RING_OK);
    hz_ring_publish(&out);
    expect_record(1, 8, 1);
    atomic_store(&shared()->tail, 24);
    expect_record(1, 8, 1); /* was known to be there */
    set_word(32, UINT64_C(1) << 32 | 8);
    expect_poison();
}

HZ_TEST(ring, length_zero_poisons)
{
    set_word(0, UINT64_C(1) << 32);
    atomic_store(&shared()->tail, 8);
    expect_poison();
}

HZ_TEST(ring, length_above_max_record_poisons)
{
    set_word(0, UINT64_C(1) << 32 | (CAPACITY / 8 + 1));
    atomic_store(&shared()->tail, CAPACITY);
    expect_poison();
}

HZ_TEST(ring, length_of_four_gibibytes_poisons)
{
    set_word(0, UINT64_C(1) << 32 | UINT32_MAX);
    atomic_store(&shared()->tail, CAPACITY);
    expect_poison();
}

HZ_TEST(ring, record_that_ends_behind_the_tail_poisons)
{
    set_word(0, UINT64_C(1) << 32 | 9);
    atomic_store(&shared()->tail, 16);
    expect_poison();
}

HZ_TEST(ring, record_that_crosses_the_end_poisons)
{
    in.index = in.published = in.peer = CAPACITY - 16;
    set_word(CAPACITY - 16, UINT64_C(1) << 32 | 16);
    atomic_store(&shared()->tail, CAPACITY - 16 + 64);
    expect_poison();
}

HZ_TEST(ring, wrap_marker_of_another_length_poisons)
{
    in.index = in.published = in.peer = CAPACITY - 64;
    set_word(CAPACITY - 64, WRAP | 48);
    set_word(0, UINT64_C(1) << 32 | 8); /* were it believed, this would be next */
    atomic_store(&shared()->tail, CAPACITY + 64);
    expect_poison();
}

HZ_TEST(ring, wrap_marker_beyond_the_tail_poisons)
{
    in.index = in.published = in.peer = CAPACITY - 64;
    set_word(CAPACITY - 64, WRAP | 56);
    set_word(0, UINT64_C(1) << 32 | 8);
    atomic_store(&shared()->tail, CAPACITY - 32);
    expect_poison();
}

HZ_TEST(ring, wrap_marker_at_the_beginning_poisons)
{
    set_word(0, WRAP | (CAPACITY - 8));
    atomic_store(&shared()->tail, CAPACITY);
    expect_poison();
}

HZ_TEST(ring, lone_wrap_marker_is_stepped_over_and_nothing_is_there)
{
    struct hz_record record;
    in.index = in.published = in.peer = CAPACITY - 64;
    set_word(CAPACITY - 64, WRAP | 56);
    atomic_store(&shared()->tail, CAPACITY);
    HZ_ASSERT_EQ(take(&record), HZ_RING_EMPTY);
    HZ_ASSERT_EQ(atomic_load(&shared()->head), CAPACITY);
}

HZ_TEST(ring, shared_head_changed_by_the_peer_is_not_read_back)
{
    HZ_ASSERT_EQ(put(1, 8, 1), HZ_RING_OK);
    hz_ring_publish(&out);
    atomic_store(&shared()->head, 0x123456789abcdef0);
    expect_record(1, 8, 1);
    HZ_ASSERT_EQ(atomic_load(&shared()->head), 16);
}

/* ## The hostile consumer: the manager's command ring */

static void fill_ring(void)
{
    while (put(1, 120, 1) == HZ_RING_OK) {
    }
}

static void expect_refused_head(uint64_t head)
{
    fill_ring();
    atomic_store(&shared()->head, head);
    void *data;
    HZ_ASSERT_EQ(hz_ring_reserve(&out, 1, 120, &data), HZ_RING_POISON);
    HZ_ASSERT_TRUE(out.poisoned);
    atomic_store(&shared()->head, CAPACITY);
    HZ_ASSERT_EQ(hz_ring_reserve(&out, 1, 8, &data), HZ_RING_POISON);
}

HZ_TEST(ring, head_beyond_the_published_tail_poisons)
{
    expect_refused_head(CAPACITY + 8);
}

HZ_TEST(ring, head_that_is_no_multiple_of_8_poisons)
{
    expect_refused_head(4);
}

HZ_TEST(ring, head_that_goes_back_poisons)
{
    struct hz_record record;
    fill_ring();
    HZ_ASSERT_EQ(take(&record), HZ_RING_OK);
    fill_ring(); /* caches head 128 */
    expect_refused_head(64);
}

HZ_TEST(ring, shared_tail_changed_by_the_peer_is_not_read_back)
{
    HZ_ASSERT_EQ(put(1, 8, 1), HZ_RING_OK);
    hz_ring_publish(&out);
    atomic_store(&shared()->tail, UINT64_MAX);
    HZ_ASSERT_EQ(put(2, 8, 2), HZ_RING_OK);
    hz_ring_publish(&out);
    HZ_ASSERT_EQ(atomic_load(&shared()->tail), 32);
}

HZ_TEST(ring, fill_is_bounded_whatever_the_mapping_says)
{
    atomic_store(&shared()->tail, 5);
    atomic_store(&shared()->head, UINT64_MAX);
    HZ_ASSERT_LE(hz_ring_fill(&in), CAPACITY);
}
