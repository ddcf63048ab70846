/* test_retry.c - how long an execution waits for its next attempt. */
#include "core/executions.h"
#include "tests/harness.h"

HZ_TEST(retry, waits_double_up_to_the_longest)
{
    struct hz_retry retry = {.given = true, .times = 9, .delay_ms = 100, .max_ms = 1000};
    uint32_t wanted[] = {100, 200, 400, 800, 1000, 1000};
    for (uint32_t i = 0; i < HZ_COUNT_OF(wanted); i++)
        HZ_ASSERT_EQ(hz_retry_wait_ms(&retry, i + 1, UINT32_MAX), wanted[i]);
    HZ_ASSERT_EQ(hz_retry_wait_ms(&retry, 1000000, 0), 1000);
}

HZ_TEST(retry, chance_takes_off_at_most_the_jitter)
{
    struct hz_retry retry = {.given = true, .times = 9, .delay_ms = 1000, .max_ms = 60000, .jitter = 20};
    HZ_ASSERT_EQ(hz_retry_wait_ms(&retry, 1, 0), 1000);
    HZ_ASSERT_EQ(hz_retry_wait_ms(&retry, 1, UINT32_MAX), 800);
    HZ_ASSERT_EQ(hz_retry_wait_ms(&retry, 2, UINT32_MAX / 2 + 1), 1800);
    retry.jitter = 100;
    HZ_ASSERT_EQ(hz_retry_wait_ms(&retry, 1, UINT32_MAX), 0);
}
