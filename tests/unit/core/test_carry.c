/* test_carry.c - the state that one image of the manager hands to the next: what was put is taken, and what cannot be
 * is refused. */
#include "core/carry.h"
#include "core/link.h"
#include "shm/err.h"
#include "shm/segment.h"
#include "tests/harness.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)
#define HEAD  32u /* of the file: magic, version, layout, length, checksum */

static struct hz_carry_out out;
static uint8_t *data;
static size_t data_len;
static struct hz_carry_in in;

HZ_SUITE_INIT(carry)
{
    HZ_ASSERT_OK(hz_guard_install());
}

HZ_TEARDOWN(carry)
{
    hz_carry_out_fini(&out);
    hz_carry_free(&data, data_len);
}

static void put_some(void)
{
    hz_carry_put(&out, 7);
    hz_carry_put_text(&out, "worker");
    hz_carry_put_bytes(&out, "\0\1\2", 3);
    hz_carry_put(&out, UINT64_MAX);
}

/* The whole file, as hz_carry_seal() writes it. */
static uint8_t *file_of(size_t *ret_len)
{
    int fd;
    HZ_ASSERT_OK(hz_carry_seal(&out, &fd));
    off_t len = lseek(fd, 0, SEEK_END);
    uint8_t *file = malloc((size_t)len);
    HZ_ASSERT(file != NULL && pread(fd, file, (size_t)len, 0) == len);
    close(fd);
    *ret_len = (size_t)len;
    return file;
}

static int open_file(const uint8_t *file, size_t len, int seals)
{
    int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    HZ_ASSERT(fd >= 0 && write(fd, file, len) == (ssize_t)len);
    if (seals)
        HZ_ASSERT_OK(fcntl(fd, F_ADD_SEALS, seals));
    int err = hz_carry_open(fd, &data, &in);
    data_len = err ? 0 : in.len;
    if (err)
        close(fd);
    return err;
}

static int open_changed(size_t at, uint8_t by)
{
    size_t len;
    uint8_t *file = file_of(&len);
    file[at] ^= by;
    int err = open_file(file, len, SEALS);
    free(file);
    return err;
}

HZ_TEST(carry, what_was_put_is_taken_in_its_order)
{
    int fd;
    size_t len;
    char text[16];
    put_some();
    HZ_ASSERT_OK(hz_carry_seal(&out, &fd));
    HZ_ASSERT_OK(hz_carry_open(fd, &data, &in));
    data_len = in.len;
    HZ_ASSERT_EQ(hz_carry_take(&in), 7u);
    hz_carry_take_text(&in, text, sizeof text);
    HZ_ASSERT_STR_EQ(text, "worker");
    const void *bytes = hz_carry_take_bytes(&in, 3, &len);
    HZ_ASSERT_EQ(len, 3u);
    HZ_ASSERT(memcmp(bytes, "\0\1\2", 3) == 0);
    HZ_ASSERT_EQ(hz_carry_take(&in), UINT64_MAX);
    HZ_ASSERT(!in.bad && in.at == in.len);
}

HZ_TEST(carry, a_sealed_state_cannot_be_changed_by_anybody)
{
    int fd;
    put_some();
    HZ_ASSERT_OK(hz_carry_seal(&out, &fd));
    HZ_ASSERT(pwrite(fd, "x", 1, 0) < 0);
    HZ_ASSERT(ftruncate(fd, 8) < 0);
    close(fd);
}

HZ_TEST(carry, refuses_what_is_not_sealed_or_no_state_at_all)
{
    size_t len;
    put_some();
    uint8_t *file = file_of(&len);
    HZ_ASSERT_EQ(open_file(file, len, 0), HZ_EFORMAT);
    HZ_ASSERT_EQ(open_file(file, len, F_SEAL_SHRINK | F_SEAL_GROW), HZ_EFORMAT);
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    HZ_ASSERT_EQ(hz_carry_open(fd, &data, &in), HZ_EFORMAT);
    close(fd);
    HZ_ASSERT_EQ(hz_carry_open(9999, &data, &in), HZ_EFORMAT);
    free(file);
}

HZ_TEST(carry, refuses_each_length_but_its_own)
{
    size_t len;
    put_some();
    uint8_t *file = file_of(&len), *longer = calloc(1, len + 8);
    for (size_t cut = 0; cut < len; cut++)
        HZ_ASSERT_EQ(open_file(file, cut, SEALS), HZ_EFORMAT);
    memcpy(longer, file, len);
    HZ_ASSERT_EQ(open_file(longer, len + 8, SEALS), HZ_EFORMAT);
    free(file);
    free(longer);
}

HZ_TEST(carry, refuses_another_magic_version_layout_length_checksum_or_byte)
{
    put_some();
    HZ_ASSERT_EQ(open_changed(0, 1), HZ_EFORMAT);
    HZ_ASSERT_EQ(open_changed(8, 1), HZ_EVERSION);
    HZ_ASSERT_EQ(open_changed(12, 1), HZ_EVERSION);
    HZ_ASSERT_EQ(open_changed(16, 1), HZ_EFORMAT);
    HZ_ASSERT_EQ(open_changed(23, 0x80), HZ_EFORMAT);
    HZ_ASSERT_EQ(open_changed(24, 1), HZ_EFORMAT);
    for (size_t at = HEAD; at < HEAD + out.len; at++)
        HZ_ASSERT_EQ(open_changed(at, 0x10), HZ_EFORMAT);
}

static struct hz_carry_in read_out(void)
{
    return (struct hz_carry_in){.data = out.data, .len = out.len};
}

HZ_TEST(carry, a_count_of_more_than_could_follow_is_bad_and_all_after_it_is_zero)
{
    size_t len;
    char text[8] = "old";
    hz_carry_put(&out, 3);
    hz_carry_put(&out, 1);
    hz_carry_put(&out, 2);
    struct hz_carry_in r = read_out();
    HZ_ASSERT_EQ(hz_carry_take_count(&r, 100), 0u);
    HZ_ASSERT(r.bad);
    HZ_ASSERT_EQ(hz_carry_take(&r), 0u);
    hz_carry_take_text(&r, text, sizeof text);
    HZ_ASSERT_STR_EQ(text, "");
    (void)hz_carry_take_bytes(&r, 100, &len);
    HZ_ASSERT_EQ(len, 0u);
    HZ_ASSERT_EQ(hz_carry_take_fd(&r), -1);
    HZ_ASSERT(hz_carry_take_dup(&r, 100, &len) == NULL);
}

HZ_TEST(carry, numbers_texts_and_bytes_beyond_their_bounds_are_bad)
{
    size_t len;
    char text[4];
    hz_carry_put(&out, 11);
    struct hz_carry_in r = read_out();
    HZ_ASSERT_EQ(hz_carry_take_most(&r, 10), 0u);
    HZ_ASSERT(r.bad);
    hz_carry_out_fini(&out);
    hz_carry_put_text(&out, "long");
    r = read_out();
    hz_carry_take_text(&r, text, sizeof text); /* no room for its NUL */
    HZ_ASSERT(r.bad);
    r = read_out();
    (void)hz_carry_take_bytes(&r, 3, &len);
    HZ_ASSERT(r.bad && len == 0);
    hz_carry_out_fini(&out);
    hz_carry_put_bytes(&out, "a\0b", 3);
    r = read_out();
    hz_carry_take_text(&r, text, sizeof text);
    HZ_ASSERT(r.bad);
    hz_carry_out_fini(&out);
    hz_carry_put(&out, UINT64_MAX); /* as a length */
    r = read_out();
    (void)hz_carry_take_bytes(&r, SIZE_MAX, &len);
    HZ_ASSERT(r.bad && len == 0);
}

HZ_TEST(carry, descriptors_that_are_not_open_or_standard_are_bad)
{
    int fd = open("/dev/null", O_RDONLY);
    hz_carry_put_fd(&out, fd);
    hz_carry_put_fd(&out, -1);
    hz_carry_put(&out, 2);
    struct hz_carry_in r = read_out();
    HZ_ASSERT_EQ(hz_carry_take_fd(&r), fd);
    HZ_ASSERT(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    HZ_ASSERT_EQ(hz_carry_take_fd(&r), -1);
    HZ_ASSERT(!r.bad);
    HZ_ASSERT_EQ(hz_carry_take_fd(&r), -1);
    HZ_ASSERT(r.bad);
    HZ_ASSERT_OK(hz_carry_keep_fds(&out, true));
    HZ_ASSERT_EQ(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
    close(fd);
    r = read_out();
    HZ_ASSERT_EQ(hz_carry_take_fd(&r), -1);
    HZ_ASSERT(r.bad);
    HZ_ASSERT(hz_carry_keep_fds(&out, true) < 0);
}

HZ_TEST(carry, a_part_ends_where_it_ends)
{
    struct hz_carry_out part = {0};
    hz_carry_put(&part, 5);
    hz_carry_put_part(&out, &part);
    hz_carry_put(&out, 6);
    hz_carry_out_fini(&part);
    struct hz_carry_in r = read_out(), p = hz_carry_take_part(&r);
    HZ_ASSERT_EQ(hz_carry_take(&p), 5u);
    HZ_ASSERT_EQ(hz_carry_take(&p), 0u);
    HZ_ASSERT(p.bad && !r.bad);
    HZ_ASSERT_EQ(hz_carry_take(&r), 6u);
}

/* ---- a link over it ---- */

static struct hz_link link_;
static struct hz_segment worker;
static struct hz_geometry geometry;
static int far[HZ_LINK_FDS];
static unsigned seen;
static size_t seen_len;

static void on_message(void *arg, const struct hz_msg *msg, bool lossy)
{
    (void)arg;
    (void)lossy;
    seen++;
    seen_len = msg->str[2].len;
}

static void open_link(void)
{
    struct hz_uuid id = hz_uuid_new();
    geometry = hz_segment_geometry(1);
    HZ_ASSERT_OK(hz_link_open(&link_, "0f0f0f0f", &id, &geometry, 1 << 20, far));
    HZ_ASSERT_OK(hz_segment_attach(&worker, far[0], &geometry));
}

/* As an exec leaves it: memory is gone, descriptors and names are not. */
static void forget_link(void)
{
    hz_stream_out_fini(&link_.commands);
    for (unsigned i = 0; i < 2; i++)
        hz_stream_in_fini(&link_.streams[i]);
    free(link_.streams);
    hz_guard_remove(link_.guard);
    hz_segment_detach(&link_.segment);
    memset(&link_, 0, sizeof link_);
}

static int adopt(size_t len)
{
    struct hz_carry_in r = {.data = out.data, .len = len};
    return hz_link_adopt(&link_, &r, 1 << 20);
}

static void end_worker(struct hz_stream_out *results, struct hz_stream_in *commands)
{
    if (results)
        hz_stream_out_fini(results);
    if (commands)
        hz_stream_in_fini(commands);
    hz_segment_detach(&worker);
    for (unsigned i = 0; i < HZ_LINK_FDS; i++)
        close(far[i]);
    hz_link_close(&link_);
}

HZ_TEST(carry, a_link_goes_on_with_half_a_message_each_way)
{
    enum { BIG = 100000 }; /* more than a ring of 64 KiB holds */
    struct hz_stream_out results;
    struct hz_stream_in commands;
    struct hz_msg_finished finished = {.state = HZ_EXEC_SUCCESS, .result_len = BIG};
    struct hz_msg_execute execute = {.execution = 1, .data_len = BIG};
    char *big = calloc(1, BIG);
    int fd, messages = 0;
    open_link();
    hz_stream_out_init(&results, &worker.lanes[0].results, &worker.header->manager_sleep, far[2], 1 << 20);
    HZ_ASSERT_OK(hz_stream_in_init(&commands, &worker.commands, 'C', false));
    struct hz_part up[] = {{&finished, sizeof finished}, {big, BIG}}, down[] = {{&execute, sizeof execute}, {big, BIG}};
    HZ_ASSERT_OK(hz_stream_send(&results, HZ_MSG_FINISHED, up, 2, true));
    HZ_ASSERT_OK(hz_link_send(&link_, HZ_MSG_EXECUTE, down, 2));
    HZ_ASSERT(!hz_link_flush(&link_));
    seen = 0;
    (void)hz_link_visit(&link_, on_message, NULL);
    HZ_ASSERT_EQ(seen, 0u); /* the rest has found no room yet */

    HZ_ASSERT_OK(hz_segment_reopen(&link_.segment, &fd));
    hz_link_carry(&link_, &out, fd);
    forget_link();
    HZ_ASSERT_OK(adopt(out.len));

    for (int i = 0; i < 10 && (seen == 0 || messages == 0); i++) {
        struct hz_msg msg;
        (void)hz_stream_flush(&results);
        (void)hz_link_visit(&link_, on_message, NULL);
        (void)hz_link_flush(&link_);
        hz_stream_in_begin(&commands, 0, 0);
        while (hz_stream_in_next(&commands, &msg) == HZ_RING_OK)
            messages += msg.str[0].len == BIG;
        hz_stream_in_end(&commands);
    }
    HZ_ASSERT(!link_.poisoned);
    HZ_ASSERT_EQ(seen, 1u);
    HZ_ASSERT_EQ(seen_len, (size_t)BIG);
    HZ_ASSERT_EQ(messages, 1);
    free(big);
    end_worker(&results, &commands);
}

HZ_TEST(carry, a_link_cut_off_anywhere_is_refused_and_leaves_no_descriptor)
{
    int fd;
    open_link();
    HZ_ASSERT_OK(hz_segment_reopen(&link_.segment, &fd));
    hz_link_carry(&link_, &out, fd);
    int bells[2] = {link_.worker_bell, link_.manager_bell};
    forget_link();
    for (size_t len = 0; len < out.len; len += 8) {
        int kept[3] = {fcntl(fd, F_DUPFD_CLOEXEC, 500), fcntl(bells[0], F_DUPFD_CLOEXEC, 500),
                fcntl(bells[1], F_DUPFD_CLOEXEC, 500)};
        HZ_ASSERT_EQ(adopt(len), HZ_EFORMAT);
        (void)dup2(kept[0], fd); /* what it had read by then it closed */
        (void)dup2(kept[1], bells[0]);
        (void)dup2(kept[2], bells[1]);
        for (unsigned i = 0; i < 3; i++)
            close(kept[i]);
    }
    close(fd);
    close(bells[0]);
    close(bells[1]);
    end_worker(NULL, NULL);
}

HZ_TEST(carry, a_link_of_impossible_geometry_or_indices_is_refused)
{
    static const uint64_t values[] = {0, 3, 17, UINT64_C(1) << 40, UINT64_MAX};
    int fd;
    open_link();
    HZ_ASSERT_OK(hz_segment_reopen(&link_.segment, &fd));
    hz_link_carry(&link_, &out, fd);
    int bells[2] = {link_.worker_bell, link_.manager_bell};
    size_t lanes = sizeof(uint64_t) + strlen(link_.segment.name), commands = lanes + 10 * sizeof(uint64_t);
    forget_link();
    for (size_t i = 0; i < 4 * HZ_COUNT_OF(values); i++) {
        size_t field = i / HZ_COUNT_OF(values), at = field < 3 ? lanes + 8 * field : commands;
        uint64_t value = values[i % HZ_COUNT_OF(values)], old;
        if (field == 3 && value == 0)
            continue; /* that one can be */
        int kept[3] = {fcntl(fd, F_DUPFD_CLOEXEC, 500), fcntl(bells[0], F_DUPFD_CLOEXEC, 500),
                fcntl(bells[1], F_DUPFD_CLOEXEC, 500)};
        memcpy(&old, out.data + at, sizeof old);
        memcpy(out.data + at, &value, sizeof value);
        HZ_ASSERT_EQ(adopt(out.len), HZ_EFORMAT);
        memcpy(out.data + at, &old, sizeof old);
        (void)dup2(kept[0], fd);
        (void)dup2(kept[1], bells[0]);
        (void)dup2(kept[2], bells[1]);
        for (unsigned k = 0; k < 3; k++)
            close(kept[k]);
    }
    close(fd);
    close(bells[0]);
    close(bells[1]);
    end_worker(NULL, NULL);
}

HZ_TEST(carry, another_object_under_a_segments_name_is_not_taken_for_it)
{
    int fd;
    open_link();
    HZ_ASSERT_OK(hz_segment_unlink(link_.segment.name));
    HZ_ASSERT_EQ(hz_segment_reopen(&link_.segment, &fd), HZ_ENOTFOUND);
    int other = shm_open(link_.segment.name, O_RDWR | O_CREAT | O_EXCL, 0600);
    HZ_ASSERT(other >= 0);
    HZ_ASSERT_EQ(hz_segment_reopen(&link_.segment, &fd), HZ_ENOTFOUND);
    close(other);
    end_worker(NULL, NULL);
}
