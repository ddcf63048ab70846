/* test_probe.c - helper processes: output, input, failure, time, size. */
#include "core/probe.h"
#include "shm/err.h"
#include "tests/harness.h"

#include <stdlib.h>
#include <string.h>

static int run(const char *script, const char *input, uint32_t timeout_ms, size_t limit, char **ret, size_t *ret_len)
{
    char shell[] = "/bin/sh", c[] = "-c";
    char *text = strdup(script);
    char *argv[] = {shell, c, text, NULL};
    int err = hz_probe_run(argv, input, strlen(input), timeout_ms, limit, ret, ret_len);
    free(text);
    return err;
}

HZ_TEST(probe, output_comes_back_and_input_goes_in)
{
    char *out;
    size_t len;
    HZ_ASSERT_OK(run("tr a-z A-Z; echo error >&2", "hola", 5000, 1000, &out, &len));
    HZ_ASSERT_EQ(len, 4);
    HZ_ASSERT_STR_EQ(out, "HOLA");
    free(out);
}

HZ_TEST(probe, a_megabyte_passes_both_ways_without_a_deadlock)
{
    size_t size = 1 << 20, len;
    char *big = malloc(size + 1), *out;
    HZ_ASSERT_NOT_NULL(big);
    memset(big, 'x', size);
    big[size] = 0;
    HZ_ASSERT_OK(run("cat", big, 10000, 2 * size, &out, &len));
    HZ_ASSERT_EQ(len, size);
    HZ_ASSERT_MEM_EQ(out, big, size);
    free(out);
    free(big);
}

HZ_TEST(probe, another_code_than_0_is_refused_with_the_last_line)
{
    char *out;
    size_t len;
    HZ_ASSERT_EQ(run("echo first >&2; echo because >&2; exit 7", "", 5000, 1000, &out, &len), HZ_EREFUSED);
    HZ_ASSERT_STR_HAS(hz_err_last(), "code 7: because");
    HZ_ASSERT_EQ(run("kill -9 $$", "", 5000, 1000, &out, &len), HZ_EREFUSED);
    HZ_ASSERT_STR_HAS(hz_err_last(), "signal 9");
}

HZ_TEST(probe, time_and_size_are_bounded)
{
    char *out;
    size_t len;
    uint64_t before = hz_test_now_ms();
    HZ_ASSERT_EQ(run("sleep 20", "", 200, 1000, &out, &len), HZ_ETIMEOUT);
    HZ_ASSERT_LT(hz_test_now_ms() - before, 10000);
    HZ_ASSERT_EQ(run("yes", "", 5000, 100000, &out, &len), HZ_ETOOBIG);
}

HZ_TEST(probe, only_three_variables_reach_the_helper_and_no_descriptor_stays)
{
    char *out;
    size_t len;
    setenv("WFV_SECRET", "s3cret", 1);
    int before = hz_test_open_fds();
    HZ_ASSERT_OK(run("env", "", 5000, 100000, &out, &len));
    HZ_ASSERT_STR_HAS_NOT(out, "s3cret");
    HZ_ASSERT_STR_HAS(out, "PATH=");
    free(out);
    char nothing[] = "/nonexistent/program";
    char *argv[] = {nothing, NULL};
    HZ_ASSERT_LT(hz_probe_run(argv, "", 0, 1000, 1000, &out, &len), 0);
    HZ_ASSERT_STR_HAS(hz_err_last(), "/nonexistent/program");
    HZ_ASSERT_EQ(hz_test_open_fds(), before);
}
