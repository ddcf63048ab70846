/* test_doorbell.c - when the bell rings and when it must not; both ends in one thread, the lost wake-up is hunted in
 * stress. */
#include "shm/doorbell.h"
#include "tests/harness.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

static struct hz_doorbell_cell cell;
static struct hz_doorbell bell;
static struct hz_ringer ringer;
static int wait_fd, ring_fd;

HZ_SUITE_INIT(doorbell)
{
    signal(SIGPIPE, SIG_IGN);
}

static void open_pair(void)
{
    memset(&cell, 0, sizeof(cell));
    HZ_ASSERT_OK(hz_doorbell_pair(&wait_fd, &ring_fd));
    hz_doorbell_attach(&bell, &cell, wait_fd);
    hz_ringer_attach(&ringer, &cell, ring_fd);
}

static void close_both(void)
{
    close(wait_fd);
    close(ring_fd);
}

HZ_TEST(doorbell, nobody_rings_for_an_awake_sleeper)
{
    open_pair();
    hz_ringer_ring(&ringer);
    HZ_ASSERT_EQ(hz_doorbell_wait(&bell, 0), 0);
    HZ_ASSERT_EQ(ringer.rings, 0);
    close_both();
}

HZ_TEST(doorbell, sleeper_is_rung_once_however_often_the_producer_publishes)
{
    open_pair();
    hz_doorbell_sleep(&bell);
    for (int i = 0; i < 5; i++)
        hz_ringer_ring(&ringer);
    HZ_ASSERT_EQ(ringer.rings, 1);
    HZ_ASSERT_EQ(hz_doorbell_wait(&bell, 0), 1);
    close_both();
}

HZ_TEST(doorbell, each_sleep_is_rung_anew)
{
    open_pair();
    for (unsigned i = 1; i <= 3; i++) {
        hz_doorbell_sleep(&bell);
        HZ_ASSERT_EQ(hz_doorbell_wait(&bell, 0), 0);
        hz_ringer_ring(&ringer);
        HZ_ASSERT_EQ(hz_doorbell_wait(&bell, 0), 1);
        hz_doorbell_awake(&bell, true);
        HZ_ASSERT_EQ(hz_doorbell_wait(&bell, 0), 0);
        HZ_ASSERT_EQ(ringer.rings, i);
    }
    close_both();
}

HZ_TEST(doorbell, two_producers_both_ring_the_same_sleep)
{
    struct hz_ringer other;
    open_pair();
    hz_ringer_attach(&other, &cell, ring_fd);
    hz_doorbell_sleep(&bell);
    hz_ringer_ring(&ringer);
    hz_ringer_ring(&other);
    HZ_ASSERT_EQ(ringer.rings + other.rings, 2);
    hz_doorbell_awake(&bell, true);
    HZ_ASSERT_EQ(hz_doorbell_wait(&bell, 0), 0);
    close_both();
}

HZ_TEST(doorbell, awake_without_sleep_changes_nothing)
{
    open_pair();
    hz_doorbell_awake(&bell, false);
    HZ_ASSERT_EQ(atomic_load(&cell.epoch), 0);
    hz_doorbell_sleep(&bell);
    hz_doorbell_sleep(&bell);
    HZ_ASSERT_EQ(atomic_load(&cell.epoch), 1);
    close_both();
}

HZ_TEST(doorbell, epoch_may_overflow)
{
    open_pair();
    atomic_store(&cell.epoch, UINT32_MAX - 1);
    hz_doorbell_attach(&bell, &cell, wait_fd);
    for (unsigned i = 1; i <= 3; i++) {
        hz_doorbell_sleep(&bell);
        hz_ringer_ring(&ringer);
        HZ_ASSERT_EQ(ringer.rings, i);
        hz_doorbell_awake(&bell, true);
    }
    close_both();
}

HZ_TEST(doorbell, sleeper_keeps_its_epoch_when_the_mapping_is_overwritten)
{
    open_pair();
    hz_doorbell_sleep(&bell);
    atomic_store(&cell.epoch, 0xdeadbeef);
    hz_doorbell_awake(&bell, false);
    HZ_ASSERT_EQ(atomic_load(&cell.epoch), 2);
    close_both();
}

HZ_TEST(doorbell, ring_to_a_sleeper_that_has_gone_is_no_error)
{
    open_pair();
    hz_doorbell_sleep(&bell);
    close(wait_fd);
    hz_ringer_ring(&ringer);
    close(ring_fd);
}

/* What a hostile worker can do to the descriptors it was given: make them blocking, fill them, empty them. */
HZ_TEST(doorbell, ringing_never_blocks_though_the_sleeper_made_its_end_blocking_and_never_drains)
{
    open_pair();
    HZ_ASSERT_OK(fcntl(wait_fd, F_SETFL, 0));
    for (unsigned i = 0; i < 100000; i++) {
        atomic_store(&cell.epoch, 2 * i + 1);
        hz_ringer_ring(&ringer);
    }
    close_both();
}

HZ_TEST(doorbell, draining_never_blocks_though_the_ringer_made_its_end_blocking)
{
    open_pair();
    HZ_ASSERT_OK(fcntl(ring_fd, F_SETFL, 0));
    hz_doorbell_sleep(&bell);
    hz_doorbell_awake(&bell, true); /* nothing to read */
    close_both();
}

HZ_TEST(doorbell, draining_is_bounded_though_the_ringer_fills_faster)
{
    open_pair();
    char junk[4096] = {0};
    while (write(ring_fd, junk, sizeof(junk)) > 0) {
    }
    hz_doorbell_sleep(&bell);
    hz_doorbell_awake(&bell, true);
    hz_doorbell_awake(&bell, true);
    close_both();
}

HZ_TEST(doorbell, wait_says_time_out)
{
    open_pair();
    HZ_ASSERT_EQ(hz_doorbell_wait(&bell, 1), 0);
    close_both();
}
