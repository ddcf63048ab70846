/*
 * base.c - clocks, randomness, the end of a failed assertion. No state, no allocation; any thread of any process.
 */
#include "base.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

void hz_base_assert_failed(const char *expr, const char *file, int line, const char *func)
{
    /* One write, no stdio: the heap or the stream locks may be what is broken. */
    char text[512];
    int len = snprintf(text, sizeof(text), "%s:%d: %s: assertion failed: %s\n", file, line, func, expr);
    if (len > 0) {
        size_t count = HZ_MIN((size_t)len, sizeof(text) - 1);
        ssize_t written = write(STDERR_FILENO, text, count);
        (void)written; /* nothing better to do with a failure here */
    }
    abort();
}

uint64_t hz_base_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

int64_t hz_base_wall_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + (int64_t)now.tv_nsec / 1000000;
}

void hz_base_random(void *buf, size_t len)
{
    uint8_t *to = buf;
    while (len > 0) {
        ssize_t got = getrandom(to, len, 0);
        if (got < 0 && errno == EINTR)
            continue;
        HZ_ASSERT(got > 0); /* a kernel without getrandom cannot run us */
        to += got;
        len -= (size_t)got;
    }
}

void hz_base_iso(int64_t wall_ms, char ret_text[HZ_ISO_TEXT])
{
    /* Clamped to the four-digit years that the text has room for. */
    const int64_t lowest = INT64_C(-62167219200000), highest = INT64_C(253402300799999);
    wall_ms = HZ_MAX(lowest, HZ_MIN(highest, wall_ms));
    int64_t second = wall_ms / 1000, milli = wall_ms % 1000;
    if (milli < 0) {
        milli += 1000;
        second--;
    }
    time_t clock = (time_t)second;
    struct tm tm;
    gmtime_r(&clock, &tm);
    char text[64];
    snprintf(text, sizeof(text), "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
            tm.tm_hour, tm.tm_min, tm.tm_sec, (int)milli);
    memcpy(ret_text, text, HZ_ISO_TEXT - 1);
    ret_text[HZ_ISO_TEXT - 1] = '\0';
}
