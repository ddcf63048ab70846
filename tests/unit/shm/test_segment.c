/* test_segment.c - make, attach, observe, list, remove; what is wrong is refused with a sentence and leaves nothing
 * behind. */
#include "shm/err.h"
#include "shm/segment.h"
#include "tests/harness.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

static char instance[9];
static struct hz_uuid id;
static struct hz_segment segment;
static int fd = -1;

static bool name_exists(const char *name)
{
    int probe = shm_open(name, O_RDONLY, 0);
    if (probe >= 0)
        close(probe);
    return probe >= 0;
}

HZ_SETUP(segment)
{
    uint32_t number;
    hz_base_random(&number, sizeof(number));
    snprintf(instance, sizeof(instance), "%08x", number);
    id = hz_uuid_new();
    struct hz_geometry geometry = hz_segment_geometry(2);
    HZ_ASSERT_OK(hz_segment_create(&segment, instance, &id, &geometry, &fd));
}

HZ_TEARDOWN(segment)
{
    char name[HZ_SEGMENT_NAME];
    hz_segment_name(name, instance, &id);
    hz_segment_detach(&segment);
    (void)shm_unlink(name);
    close(fd);
}

HZ_TEST(segment, name_has_instance_and_worker)
{
    char name[HZ_SEGMENT_NAME], text[HZ_UUID_TEXT], wanted[100];
    hz_segment_name(name, "0123abcd", &id);
    hz_uuid_format(&id, text);
    snprintf(wanted, sizeof(wanted), "/horizon-0123abcd-%s", text);
    HZ_ASSERT_STR_EQ(name, wanted);
}

HZ_TEST(segment, object_is_private_to_its_user_and_fully_allocated)
{
    struct stat st;
    HZ_ASSERT_OK(fstat(fd, &st));
    HZ_ASSERT_EQ(st.st_mode & 0777, 0600);
    HZ_ASSERT_EQ(st.st_size, segment.total_bytes);
    HZ_ASSERT_GE(st.st_blocks * 512, segment.total_bytes);
    HZ_ASSERT_EQ(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
}

HZ_TEST(segment, default_for_one_lane_is_about_256_kib)
{
    struct hz_geometry geometry = hz_segment_geometry(1);
    HZ_ASSERT_LE(hz_segment_bytes(&geometry), 256 << 10);
    HZ_ASSERT_GE(hz_segment_bytes(&geometry), 128 << 10);
}

HZ_TEST(segment, geometry_for_a_size_is_clamped_and_made_of_powers_of_two)
{
    static const uint64_t sizes[] = {0, 1, 200000, 1 << 20, 3 << 20, UINT64_C(1) << 30, UINT64_MAX};
    for (size_t i = 0; i < HZ_COUNT_OF(sizes); i++) {
        for (uint32_t lanes = 1; lanes <= HZ_MAX_LANES; lanes++) {
            struct hz_geometry geometry = hz_segment_geometry_for(lanes, sizes[i]);
            HZ_ASSERT_EQ(geometry.command_bytes & (geometry.command_bytes - 1), 0);
            HZ_ASSERT_EQ(geometry.result_bytes & (geometry.result_bytes - 1), 0);
            HZ_ASSERT_EQ(geometry.metrics_bytes & (geometry.metrics_bytes - 1), 0);
            HZ_ASSERT_GE(geometry.result_bytes, 4096);
            uint64_t rings = geometry.command_bytes + lanes * (geometry.result_bytes + geometry.metrics_bytes);
            HZ_ASSERT_LE(rings, HZ_MAX(HZ_MIN(sizes[i], UINT64_C(1) << 30), UINT64_C(256) << 10));
        }
    }
}

HZ_TEST(segment, parts_lie_inside_the_mapping_apart_and_aligned)
{
    struct hz_geometry geometry = hz_segment_geometry_for(HZ_MAX_LANES, 1 << 20);
    struct hz_uuid other = hz_uuid_new();
    struct hz_segment big;
    int big_fd;
    HZ_ASSERT_OK(hz_segment_create(&big, instance, &other, &geometry, &big_fd));
    const uint8_t *end = (const uint8_t *)big.base + sizeof(struct hz_segment_header);
    HZ_ASSERT_GE((const uint8_t *)big.commands.shared, end);
    end = big.commands.bytes + geometry.command_bytes;
    for (uint32_t i = 0; i < HZ_MAX_LANES; i++) {
        const struct hz_lane *lane = &big.lanes[i];
        const uint8_t *parts[] = {(const uint8_t *)lane->stats, (const uint8_t *)lane->crash,
                (const uint8_t *)lane->results.shared, (const uint8_t *)lane->metrics.shared,
                (const uint8_t *)lane->recorder};
        const size_t bytes[] = {sizeof(*lane->stats), sizeof(*lane->crash), hz_ring_bytes(geometry.result_bytes),
                hz_ring_bytes(geometry.metrics_bytes), sizeof(*lane->recorder)};
        for (size_t k = 0; k < HZ_COUNT_OF(parts); k++) {
            HZ_ASSERT_GE(parts[k], end);
            HZ_ASSERT_EQ((uintptr_t)parts[k] % 128, 0);
            end = parts[k] + bytes[k];
        }
    }
    HZ_ASSERT_LE(end, (const uint8_t *)big.base + big.total_bytes);
    char name[HZ_SEGMENT_NAME];
    snprintf(name, sizeof(name), "%s", big.name);
    hz_segment_detach(&big);
    HZ_ASSERT_OK(hz_segment_unlink(name));
    close(big_fd);
}

HZ_TEST(segment, worker_sees_what_the_manager_writes_and_the_other_way_round)
{
    struct hz_segment worker;
    struct hz_geometry geometry = segment.geometry;
    struct hz_record record;
    void *data;
    HZ_ASSERT_OK(hz_segment_attach(&worker, fd, &geometry));
    HZ_ASSERT_NE(worker.base, segment.base);
    HZ_ASSERT_EQ(hz_ring_reserve(&segment.commands, 8, 5, &data), HZ_RING_OK);
    memcpy(data, "down", 5);
    hz_ring_commit(&segment.commands);
    hz_ring_publish(&segment.commands);
    HZ_ASSERT_EQ(hz_ring_peek(&worker.commands, &record), HZ_RING_OK);
    HZ_ASSERT_STR_EQ((const char *)record.data, "down");
    for (uint32_t i = 0; i < 2; i++) {
        char text[8];
        HZ_ASSERT_EQ(hz_ring_reserve(&worker.lanes[i].results, i + 1, 3, &data), HZ_RING_OK);
        memcpy(data, i == 0 ? "r0" : "r1", 3);
        hz_ring_commit(&worker.lanes[i].results);
        hz_ring_publish(&worker.lanes[i].results);
        hz_ring_take_begin(&segment.lanes[i].results);
        HZ_ASSERT_EQ(hz_ring_take(&segment.lanes[i].results, text, sizeof(text), &record), HZ_RING_OK);
        HZ_ASSERT_STR_EQ(text, i == 0 ? "r0" : "r1");
    }
    hz_segment_detach(&worker);
}

HZ_TEST(segment, same_name_twice_is_refused_and_the_first_stays)
{
    struct hz_segment second;
    int second_fd;
    HZ_ASSERT_EQ(hz_segment_create(&second, instance, &id, &segment.geometry, &second_fd), -EEXIST);
    HZ_ASSERT_TRUE(name_exists(segment.name));
}

HZ_TEST(segment, more_than_is_free_is_an_error_with_figures_and_leaves_nothing)
{
    struct statvfs fs;
    HZ_ASSERT_OK(statvfs("/dev/shm", &fs));
    uint64_t all_bytes = (uint64_t)fs.f_blocks * fs.f_frsize;
    /* The greatest geometry there is: 1 + 16 * 2 rings of a GiB. */
    struct hz_geometry geometry = {
            .lanes = HZ_MAX_LANES, .command_bytes = 1 << 30, .result_bytes = 1 << 30, .metrics_bytes = 1 << 30};
    /* More than the whole of it is refused before a page is touched; less would fill the host's memory first. */
    if (hz_segment_bytes(&geometry) <= all_bytes)
        HZ_SKIP("/dev/shm is larger than the greatest segment");
    struct hz_uuid other = hz_uuid_new();
    struct hz_segment big;
    int big_fd, fds = hz_test_open_fds();
    HZ_ASSERT_EQ(hz_segment_create(&big, instance, &other, &geometry, &big_fd), -ENOSPC);
    char name[HZ_SEGMENT_NAME], needed[64];
    hz_segment_name(name, instance, &other);
    HZ_ASSERT_FALSE(name_exists(name));
    HZ_ASSERT_EQ(hz_test_open_fds(), fds);
    snprintf(needed, sizeof(needed), "needs %zu bytes", hz_segment_bytes(&geometry));
    HZ_ASSERT_STR_HAS(hz_err_last(), "/dev/shm");
    HZ_ASSERT_STR_HAS(hz_err_last(), needed);
    HZ_ASSERT_STR_HAS(hz_err_last(), "bytes are free");
}

/* In a child with a mount namespace of its own: a /dev/shm of 1 MiB, the way a container has one that is too small. */
HZ_TEST(segment, small_dev_shm_takes_what_fits_and_refuses_the_next)
{
    pid_t pid = fork();
    HZ_ASSERT_OK(pid);
    if (pid == 0) {
        if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
                mount("small", "/dev/shm", "tmpfs", 0, "size=1m") != 0)
            _exit(77);
        struct hz_geometry geometry = hz_segment_geometry(1);
        for (int i = 0; i < 100; i++) {
            struct hz_segment one;
            struct hz_uuid other = hz_uuid_new();
            int one_fd, result = hz_segment_create(&one, instance, &other, &geometry, &one_fd);
            if (result == 0)
                continue;
            char name[HZ_SEGMENT_NAME];
            hz_segment_name(name, instance, &other);
            _exit(result == -ENOSPC && i >= 3 && !name_exists(name) && strstr(hz_err_last(), "/dev/shm") != NULL ? 0
                                                                                                                 : 1);
        }
        _exit(2);
    }
    int status;
    HZ_ASSERT_EQ(waitpid(pid, &status, 0), pid);
    HZ_ASSERT_TRUE(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77)
        HZ_SKIP("no right to make a mount namespace");
    HZ_ASSERT_EQ(WEXITSTATUS(status), 0);
}

HZ_TEST(segment, no_descriptor_left_is_an_error_and_leaves_nothing)
{
    struct rlimit old, low;
    HZ_ASSERT_OK(getrlimit(RLIMIT_NOFILE, &old));
    low = (struct rlimit){.rlim_cur = 3, .rlim_max = old.rlim_max};
    struct hz_uuid other = hz_uuid_new();
    struct hz_segment none;
    int none_fd;
    HZ_ASSERT_OK(setrlimit(RLIMIT_NOFILE, &low));
    int result = hz_segment_create(&none, instance, &other, &segment.geometry, &none_fd);
    HZ_ASSERT_OK(setrlimit(RLIMIT_NOFILE, &old));
    HZ_ASSERT_EQ(result, -EMFILE);
    char name[HZ_SEGMENT_NAME];
    hz_segment_name(name, instance, &other);
    HZ_ASSERT_FALSE(name_exists(name));
}

HZ_TEST(segment, attach_refuses_another_size_magic_or_version)
{
    struct hz_segment worker;
    struct hz_geometry geometry = hz_segment_geometry(1);
    HZ_ASSERT_EQ(hz_segment_attach(&worker, fd, &geometry), HZ_EFORMAT);
    geometry = segment.geometry;
    segment.header->layout_version++;
    HZ_ASSERT_EQ(hz_segment_attach(&worker, fd, &geometry), HZ_EVERSION);
    char expected[64];
    snprintf(expected, sizeof expected, "layout %u, this program knows %u", HZ_LAYOUT_VERSION + 1, HZ_LAYOUT_VERSION);
    HZ_ASSERT_STR_HAS(hz_err_last(), expected);
    segment.header->layout_version--;
    segment.header->total_bytes++;
    HZ_ASSERT_EQ(hz_segment_attach(&worker, fd, &geometry), HZ_EFORMAT);
    segment.header->total_bytes--;
    segment.header->magic++;
    HZ_ASSERT_EQ(hz_segment_attach(&worker, fd, &geometry), HZ_EFORMAT);
    segment.header->magic--;
    HZ_ASSERT_OK(hz_segment_attach(&worker, fd, &geometry));
    hz_segment_detach(&worker);
}

HZ_TEST(segment, attach_refuses_impossible_geometries)
{
    struct hz_segment worker;
    static const struct hz_geometry wrong[] = {{0, 65536, 65536, 65536}, {HZ_MAX_LANES + 1, 65536, 65536, 65536},
            {1, 0, 65536, 65536}, {1, 65536, 65535, 65536}, {1, 65536, 65536, UINT64_C(1) << 63}};
    for (size_t i = 0; i < HZ_COUNT_OF(wrong); i++)
        HZ_ASSERT_EQ(hz_segment_attach(&worker, fd, &wrong[i]), HZ_EFORMAT);
    struct hz_geometry geometry = segment.geometry;
    HZ_ASSERT_LT(hz_segment_attach(&worker, -1, &geometry), 0);
}

HZ_TEST(segment, observer_reads_the_figures_and_cannot_write)
{
    struct hz_segment seen;
    struct hz_stats in = {.v = {0}}, out;
    in.v[HZ_STAT_node_runs] = 99;
    hz_stats_publish(segment.lanes[1].stats, &in);
    HZ_ASSERT_OK(hz_segment_observe(&seen, segment.name));
    HZ_ASSERT_EQ(seen.geometry.lanes, 2);
    HZ_ASSERT_TRUE(hz_stats_read(seen.lanes[1].stats, &out));
    HZ_ASSERT_EQ(out.v[HZ_STAT_node_runs], 99);
    HZ_ASSERT_TRUE(hz_uuid_equal(&seen.header->worker_id, &id));
    HZ_ASSERT_EQ(seen.header->manager_pid, getpid());
    HZ_ASSERT_NE(mprotect(seen.base, 4096, PROT_READ | PROT_WRITE), 0); /* opened read-only */
    hz_segment_detach(&seen);
}

HZ_TEST(segment, observer_refuses_every_false_figure_of_the_header)
{
    struct hz_segment seen;
    struct hz_segment_header *header = segment.header, good;
    memcpy(&good, header, sizeof(good));
    header->geometry.lanes = 16;
    HZ_ASSERT_EQ(hz_segment_observe(&seen, segment.name), HZ_EFORMAT);
    header->geometry = good.geometry;
    header->geometry.result_bytes = UINT64_C(1) << 40;
    HZ_ASSERT_EQ(hz_segment_observe(&seen, segment.name), HZ_EFORMAT);
    header->geometry.result_bytes = 3000;
    HZ_ASSERT_EQ(hz_segment_observe(&seen, segment.name), HZ_EFORMAT);
    header->geometry = good.geometry;
    header->total_bytes = 4096;
    HZ_ASSERT_EQ(hz_segment_observe(&seen, segment.name), HZ_EFORMAT);
    header->total_bytes = good.total_bytes;
    header->header_bytes = 8;
    HZ_ASSERT_EQ(hz_segment_observe(&seen, segment.name), HZ_EVERSION);
    header->header_bytes = good.header_bytes;
    header->magic = 0;
    HZ_ASSERT_EQ(hz_segment_observe(&seen, segment.name), HZ_EFORMAT);
    header->magic = good.magic;
    HZ_ASSERT_OK(ftruncate(fd, (off_t)segment.total_bytes - 4096));
    HZ_ASSERT_EQ(hz_segment_observe(&seen, segment.name), HZ_EFORMAT);
    HZ_ASSERT_OK(ftruncate(fd, 8));
    HZ_ASSERT_EQ(hz_segment_observe(&seen, segment.name), HZ_EFORMAT);
    HZ_ASSERT_OK(ftruncate(fd, (off_t)segment.total_bytes));
}

HZ_TEST(segment, observer_of_what_is_not_there_gets_an_error)
{
    struct hz_segment seen;
    char name[200];
    HZ_ASSERT_EQ(hz_segment_observe(&seen, "/horizon-none"), -ENOENT);
    memset(name, 'x', sizeof(name));
    name[0] = '/';
    name[199] = '\0';
    HZ_ASSERT_EQ(hz_segment_observe(&seen, name), HZ_EFORMAT);
}

static void count_name(const char *name, void *arg)
{
    if (strcmp(name, segment.name) == 0)
        ++*(int *)arg;
}

HZ_TEST(segment, list_names_the_segments_of_one_instance_or_of_all)
{
    int found = 0;
    HZ_ASSERT_EQ(hz_segment_list(instance, count_name, &found), 1);
    HZ_ASSERT_EQ(found, 1);
    HZ_ASSERT_GE(hz_segment_list(NULL, count_name, &found), 1);
    HZ_ASSERT_EQ(found, 2);
    HZ_ASSERT_EQ(hz_segment_list("nosuchin", count_name, &found), 0);
}

HZ_TEST(segment, unlinked_segment_is_gone_for_newcomers_and_works_for_those_who_have_it)
{
    struct hz_segment worker;
    struct hz_geometry geometry = segment.geometry;
    HZ_ASSERT_OK(hz_segment_unlink(segment.name));
    HZ_ASSERT_EQ(hz_segment_unlink(segment.name), -ENOENT);
    HZ_ASSERT_FALSE(name_exists(segment.name));
    HZ_ASSERT_OK(hz_segment_attach(&worker, fd, &geometry));
    hz_segment_detach(&worker);
}

HZ_TEST(segment, detach_of_a_zeroed_handle_does_nothing)
{
    struct hz_segment none = {.magic = 0};
    hz_segment_detach(&none);
}
