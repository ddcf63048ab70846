/* test_base.c - clocks, randomness, identifiers, the end of a failed assertion. */
#include "shm/base.h"
#include "tests/harness.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

HZ_TEST(base, monotonic_clock_never_goes_back)
{
    uint64_t last = hz_base_now_ns();
    for (int i = 0; i < 10000; i++) {
        uint64_t now = hz_base_now_ns();
        HZ_ASSERT_GE(now, last);
        last = now;
    }
}

HZ_TEST(base, iso_text_of_known_moments)
{
    char text[HZ_ISO_TEXT];
    hz_base_iso(0, text);
    HZ_ASSERT_STR_EQ(text, "1970-01-01T00:00:00.000Z");
    hz_base_iso(1752229230456, text);
    HZ_ASSERT_STR_EQ(text, "2025-07-11T10:20:30.456Z");
    hz_base_iso(951782400000, text);
    HZ_ASSERT_STR_EQ(text, "2000-02-29T00:00:00.000Z");
}

HZ_TEST(base, iso_text_before_the_epoch_counts_milliseconds_forward)
{
    char text[HZ_ISO_TEXT];
    hz_base_iso(-1, text);
    HZ_ASSERT_STR_EQ(text, "1969-12-31T23:59:59.999Z");
}

HZ_TEST(base, iso_text_of_absurd_moments_stays_in_its_room)
{
    char text[HZ_ISO_TEXT];
    hz_base_iso(INT64_MAX, text);
    HZ_ASSERT_STR_EQ(text, "9999-12-31T23:59:59.999Z");
    hz_base_iso(INT64_MIN, text);
    HZ_ASSERT_STR_EQ(text, "0000-01-01T00:00:00.000Z");
}

HZ_TEST(base, random_fills_every_byte)
{
    uint8_t bytes[300], zeros[300] = {0}, seen[300] = {0};
    for (int i = 0; i < 32; i++) {
        hz_base_random(bytes, sizeof(bytes));
        for (size_t k = 0; k < sizeof(bytes); k++)
            seen[k] |= bytes[k];
    }
    for (size_t k = 0; k < sizeof(bytes); k++)
        HZ_ASSERT_NE(seen[k], zeros[k]);
}

HZ_TEST(base, uuid_text_has_version_4_and_the_variant)
{
    for (int i = 0; i < 100; i++) {
        struct hz_uuid id = hz_uuid_new();
        char text[HZ_UUID_TEXT];
        hz_uuid_format(&id, text);
        HZ_ASSERT_EQ(strlen(text), 36);
        HZ_ASSERT_EQ(text[14], '4');
        HZ_ASSERT_NOT_NULL(strchr("89ab", text[19]));
    }
}

HZ_TEST(base, uuid_survives_format_and_parse)
{
    struct hz_uuid id = hz_uuid_new(), back;
    char text[HZ_UUID_TEXT];
    hz_uuid_format(&id, text);
    HZ_ASSERT_TRUE(hz_uuid_parse(text, 36, &back));
    HZ_ASSERT_TRUE(hz_uuid_equal(&id, &back));
}

HZ_TEST(base, uuid_parse_takes_either_letter_case)
{
    struct hz_uuid low, up;
    HZ_ASSERT_TRUE(hz_uuid_parse("01234567-89ab-cdef-0123-456789abcdef", 36, &low));
    HZ_ASSERT_TRUE(hz_uuid_parse("01234567-89AB-CDEF-0123-456789ABCDEF", 36, &up));
    HZ_ASSERT_TRUE(hz_uuid_equal(&low, &up));
    HZ_ASSERT_EQ(low.bytes[15], 0xef);
}

HZ_TEST(base, uuid_parse_refuses_everything_else_and_leaves_the_result_alone)
{
    static const char *const wrong[] = {"", "01234567-89ab-cdef-0123-456789abcde",
            "01234567-89ab-cdef-0123-456789abcdef0", "0123456789abcdef-0123-0123-456789abcdef",
            "01234567-89ab-cdef-0123_456789abcdef", "g1234567-89ab-cdef-0123-456789abcdef",
            "01234567-89ab-cdef-0123-456789abcd-f", "{1234567-89ab-cdef-0123-456789abcdef",
            " 1234567-89ab-cdef-0123-456789abcdef"};
    struct hz_uuid id = {{0}};
    for (size_t i = 0; i < HZ_COUNT_OF(wrong); i++)
        HZ_ASSERT_FALSE(hz_uuid_parse(wrong[i], strlen(wrong[i]), &id));
    HZ_ASSERT_TRUE(hz_uuid_is_nil(&id));
}

HZ_TEST(base, processes_forked_from_one_parent_draw_different_uuids)
{
    int pipe_fds[2];
    HZ_ASSERT_OK(pipe(pipe_fds));
    for (int i = 0; i < 2; i++) {
        pid_t pid = fork();
        HZ_ASSERT_OK(pid);
        if (pid == 0) {
            struct hz_uuid id = hz_uuid_new();
            _exit(write(pipe_fds[1], &id, sizeof(id)) == (ssize_t)sizeof(id) ? 0 : 1);
        }
        int status;
        HZ_ASSERT_EQ(waitpid(pid, &status, 0), pid);
        HZ_ASSERT_EQ(status, 0);
    }
    struct hz_uuid ids[2];
    HZ_ASSERT_EQ(read(pipe_fds[0], ids, sizeof(ids)), sizeof(ids));
    HZ_ASSERT_FALSE(hz_uuid_equal(&ids[0], &ids[1]));
    close(pipe_fds[0]);
    close(pipe_fds[1]);
}

HZ_TEST(base, failed_assertion_names_the_place_and_aborts)
{
    int pipe_fds[2];
    HZ_ASSERT_OK(pipe(pipe_fds));
    pid_t pid = fork();
    HZ_ASSERT_OK(pid);
    if (pid == 0) {
        signal(SIGABRT, SIG_DFL);
        dup2(pipe_fds[1], STDERR_FILENO);
        HZ_ASSERT(1 + 1 == 3);
        _exit(0);
    }
    int status;
    HZ_ASSERT_EQ(waitpid(pid, &status, 0), pid);
    HZ_ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    char text[512] = "";
    HZ_ASSERT_GT(read(pipe_fds[0], text, sizeof(text) - 1), 0);
    HZ_ASSERT_STR_HAS(text, "test_base.c:");
    HZ_ASSERT_STR_HAS(text, "assertion failed: 1 + 1 == 3");
    close(pipe_fds[0]);
    close(pipe_fds[1]);
}
