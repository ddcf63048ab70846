/* test_guard.c - a mapping that loses its pages under our hands: survived, said, and nothing else is. Each in a child.
 */
#include "shm/guard.h"
#include "shm/segment.h"
#include "tests/harness.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGES 64u
#define BYTES ((size_t)PAGES * 4096)

/* Runs fn in a child; returns its wait status. */
static int in_child(void (*fn)(void))
{
    pid_t pid = fork();
    HZ_ASSERT_OK(pid);
    if (pid == 0) {
        struct rlimit none = {0, 0};
        setrlimit(RLIMIT_CORE, &none);
        alarm(20);
        fn();
        _exit(0);
    }
    int status;
    HZ_ASSERT_EQ(waitpid(pid, &status, 0), pid);
    return status;
}

#define EXPECT_SURVIVES(fn) HZ_ASSERT_EQ(in_child(fn), 0)
#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            _exit(__LINE__ % 250 + 1);                                                                                 \
    } while (0)

static uint8_t *map(int *ret_fd)
{
    int fd = memfd_create("guard", 0);
    CHECK(fd >= 0 && ftruncate(fd, BYTES) == 0);
    uint8_t *base = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(base != MAP_FAILED);
    memset(base, 7, BYTES);
    *ret_fd = fd;
    return base;
}

static unsigned sum(const volatile uint8_t *base)
{
    unsigned total = 0;
    for (size_t i = 0; i < BYTES; i += 64)
        total += base[i];
    return total;
}

static void truncate_to_zero(void)
{
    int fd;
    uint8_t *base = map(&fd);
    CHECK(hz_guard_install() == 0);
    int slot = hz_guard_add(base, BYTES);
    CHECK(slot >= 0 && !hz_guard_poisoned(slot));
    CHECK(sum(base) == 7 * BYTES / 64);
    CHECK(!hz_guard_poisoned(slot));
    CHECK(ftruncate(fd, 0) == 0);
    CHECK(sum(base) == 0);
    CHECK(hz_guard_poisoned(slot) && hz_guard_faults() == 1);
    ((volatile uint8_t *)base)[5] = 1; /* writing goes on too */
    CHECK(base[5] == 1);
    hz_guard_remove(slot);
    munmap(base, BYTES);
}

HZ_TEST(guard, mapping_cut_to_nothing_reads_as_zeros_and_is_poisoned)
{
    EXPECT_SURVIVES(truncate_to_zero);
}

static void truncate_to_one_page(void)
{
    int fd;
    uint8_t *base = map(&fd);
    CHECK(hz_guard_install() == 0);
    int slot = hz_guard_add(base, BYTES);
    CHECK(ftruncate(fd, 4096) == 0);
    CHECK(((volatile uint8_t *)base)[0] == 7 && !hz_guard_poisoned(slot)); /* the page that is left is no fault */
    CHECK(((volatile uint8_t *)base)[4096] == 0 && hz_guard_poisoned(slot));
    CHECK(((volatile uint8_t *)base)[0] == 0); /* the whole mapping is replaced */
}

HZ_TEST(guard, mapping_cut_to_one_page_is_poisoned_at_the_first_touch_behind_it)
{
    EXPECT_SURVIVES(truncate_to_one_page);
}

static void system_calls_see_no_signal(void)
{
    int fd, pipe_fds[2];
    uint8_t *base = map(&fd);
    CHECK(hz_guard_install() == 0 && pipe(pipe_fds) == 0);
    int slot = hz_guard_add(base, BYTES);
    CHECK(ftruncate(fd, 0) == 0);
    CHECK(write(pipe_fds[1], base, 100) < 0); /* EFAULT */
    CHECK(!hz_guard_poisoned(slot));
}

HZ_TEST(guard, system_call_on_a_vanished_page_fails_without_a_fault)
{
    EXPECT_SURVIVES(system_calls_see_no_signal);
}

static void in_the_middle_of_a_copy(void)
{
    static uint8_t copy[BYTES];
    CHECK(hz_guard_install() == 0);
    for (int round = 0; round < 200; round++) {
        int fd;
        uint8_t *base = map(&fd);
        int slot = hz_guard_add(base, BYTES);
        CHECK(slot >= 0);
        pid_t pid = fork();
        if (pid == 0) {
            for (volatile int i = 0; i < round * 20; i++) {
            }
            _exit(ftruncate(fd, round % 2 == 0 ? 0 : 4096) == 0 ? 0 : 1);
        }
        CHECK(pid > 0);
        while (!hz_guard_poisoned(slot)) {
            memcpy(copy, base, BYTES);
            __asm__ __volatile__("" : : "r"(copy) : "memory"); /* somebody might read it: do not drop the copy */
        }
        CHECK(waitpid(pid, NULL, 0) == pid);
        hz_guard_remove(slot);
        munmap(base, BYTES);
        close(fd);
    }
    CHECK(hz_guard_faults() == 200);
}

HZ_TEST(guard, another_process_cuts_while_we_copy_200_times)
{
    EXPECT_SURVIVES(in_the_middle_of_a_copy);
}

static uint8_t *shared_base;
static pthread_barrier_t barrier;

static void *touch(void *arg)
{
    pthread_barrier_wait(&barrier);
    unsigned *total = arg;
    *total = sum(shared_base);
    return NULL;
}

static void threads_fault_together(void)
{
    CHECK(hz_guard_install() == 0);
    for (int round = 0; round < 100; round++) {
        int fd;
        shared_base = map(&fd);
        int slot = hz_guard_add(shared_base, BYTES);
        CHECK(slot == 0); /* slots are used again */
        CHECK(pthread_barrier_init(&barrier, NULL, 4) == 0);
        pthread_t threads[4];
        unsigned totals[4];
        CHECK(ftruncate(fd, 0) == 0);
        for (int i = 0; i < 4; i++)
            CHECK(pthread_create(&threads[i], NULL, touch, &totals[i]) == 0);
        for (int i = 0; i < 4; i++) {
            CHECK(pthread_join(threads[i], NULL) == 0);
            CHECK(totals[i] == 0);
        }
        CHECK(hz_guard_poisoned(slot));
        CHECK(hz_guard_faults() == (unsigned)round + 1); /* one of them mapped */
        hz_guard_remove(slot);
        munmap(shared_base, BYTES);
        close(fd);
    }
}

HZ_TEST(guard, four_threads_fault_together_100_times)
{
    EXPECT_SURVIVES(threads_fault_together);
}

static void fault_outside(void)
{
    int fd, other_fd;
    uint8_t *base = map(&fd), *other = map(&other_fd);
    CHECK(hz_guard_install() == 0);
    CHECK(hz_guard_add(base, BYTES) >= 0);
    CHECK(ftruncate(other_fd, 0) == 0);
    sum(other);
}

HZ_TEST(guard, fault_outside_every_registered_mapping_kills_by_sigbus)
{
    int status = in_child(fault_outside);
    HZ_ASSERT_TRUE(WIFSIGNALED(status));
    HZ_ASSERT_EQ(WTERMSIG(status), SIGBUS);
}

static void fault_after_removal(void)
{
    int fd;
    uint8_t *base = map(&fd);
    CHECK(hz_guard_install() == 0);
    hz_guard_remove(hz_guard_add(base, BYTES));
    CHECK(ftruncate(fd, 0) == 0);
    sum(base);
}

HZ_TEST(guard, fault_in_a_removed_mapping_kills_by_sigbus)
{
    int status = in_child(fault_after_removal);
    HZ_ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
}

static void signal_from_outside(void)
{
    CHECK(hz_guard_install() == 0);
    raise(SIGBUS);
}

HZ_TEST(guard, signal_that_somebody_sent_kills_by_sigbus)
{
    int status = in_child(signal_from_outside);
    HZ_ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
}

/* Somebody sends the signal and says an address inside a mapping: no fault, so nothing is replaced. */
static void forged_address(void)
{
    int fd;
    uint8_t *base = map(&fd);
    CHECK(hz_guard_install() == 0 && hz_guard_add(base, BYTES) >= 0);
    siginfo_t info = {.si_signo = SIGBUS, .si_code = SI_QUEUE};
    info.si_addr = base;
    syscall(SYS_rt_tgsigqueueinfo, getpid(), gettid(), SIGBUS, &info);
}

HZ_TEST(guard, forged_signal_with_an_address_of_ours_kills_by_sigbus)
{
    int status = in_child(forged_address);
    HZ_ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
}

static void too_many(void)
{
    static uint8_t bytes[4096];
    for (int i = 0; i < HZ_GUARD_SLOTS; i++)
        CHECK(hz_guard_add(bytes, 1) == i);
    CHECK(hz_guard_add(bytes, 1) < 0);
    hz_guard_remove(17);
    CHECK(hz_guard_add(bytes, 1) == 17);
}

HZ_TEST(guard, full_table_refuses_and_takes_again_after_a_removal)
{
    EXPECT_SURVIVES(too_many);
}

/* Pages taken out of an allocated object come back as zeros while the file system has room, as a fault when it is full.
 */
static void hole_in_a_full_file_system(void)
{
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
            mount("small", "/dev/shm", "tmpfs", 0, "size=512k") != 0)
        _exit(77);
    int fd = shm_open("/guard", O_RDWR | O_CREAT | O_EXCL, 0600),
        other = shm_open("/filler", O_RDWR | O_CREAT | O_EXCL, 0600);
    CHECK(fd >= 0 && other >= 0 && posix_fallocate(fd, 0, BYTES) == 0);
    void *mapping = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    volatile uint8_t *base = mapping;
    CHECK(mapping != MAP_FAILED && hz_guard_install() == 0);
    int slot = hz_guard_add(mapping, BYTES);
    base[8192] = 7;
    CHECK(madvise(mapping, BYTES, MADV_REMOVE) == 0);
    CHECK(base[8192] == 0 && !hz_guard_poisoned(slot));
    CHECK(madvise(mapping, BYTES, MADV_REMOVE) == 0);
    char junk[4096] = {1};
    while (write(other, junk, sizeof(junk)) > 0) {
    }
    CHECK(base[8192] == 0 && hz_guard_poisoned(slot));
}

HZ_TEST(guard, hole_in_a_full_file_system_is_survived)
{
    int status = in_child(hole_in_a_full_file_system);
    HZ_ASSERT_TRUE(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77)
        HZ_SKIP("no right to make a mount namespace");
    HZ_ASSERT_EQ(WEXITSTATUS(status), 0);
}

/* The whole way: a manager's ring on a real segment that the worker cuts while records flow. */
static void ring_of_a_cut_segment(void)
{
    struct hz_segment segment;
    struct hz_uuid id = hz_uuid_new();
    struct hz_geometry geometry = hz_segment_geometry(1);
    int fd;
    CHECK(hz_guard_install() == 0);
    CHECK(hz_segment_create(&segment, "deadbeef", &id, &geometry, &fd) == 0);
    shm_unlink(segment.name);
    int slot = hz_guard_add(segment.base, segment.total_bytes);
    CHECK(ftruncate(fd, 0) == 0);
    struct hz_record record;
    char buffer[100];
    hz_ring_take_begin(&segment.lanes[0].results);
    CHECK(hz_ring_take(&segment.lanes[0].results, buffer, sizeof(buffer), &record) == HZ_RING_EMPTY);
    hz_ring_take_end(&segment.lanes[0].results);
    CHECK(hz_guard_poisoned(slot)); /* the emptiness was a zero page: the owner asks, and knows */
    hz_guard_remove(slot);
    hz_segment_detach(&segment);
}

HZ_TEST(guard, ring_of_a_cut_segment_reads_as_empty_and_the_guard_says_why)
{
    EXPECT_SURVIVES(ring_of_a_cut_segment);
}
