/* stress.h - what the stress programs share: arguments, a fast generator, a failure that names its place. */
#ifndef HZ_TESTS_STRESS_H
#define HZ_TESTS_STRESS_H

#include "shm/base.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define STRESS_CHECK(condition, ...)                                                                                   \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: %s: ", __FILE__, __LINE__, #condition);                                            \
            fprintf(stderr, __VA_ARGS__);                                                                              \
            fputc('\n', stderr);                                                                                       \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

/* xorshift64 (Marsaglia 2003): the state must not be 0. */
static inline uint64_t stress_next(uint64_t *state)
{
    uint64_t x = *state;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return *state = x;
}

/* 0 .. below - 1 */
static inline uint64_t stress_below(uint64_t *state, uint64_t below)
{
    return (stress_next(state) >> 11) % below;
}

static inline bool stress_flag(int argc, char **argv, const char *name)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], name) == 0)
            return true;
    return false;
}

/* First argument: seconds. */
static inline double stress_seconds(int argc, char **argv)
{
    double seconds = argc > 1 ? strtod(argv[1], NULL) : 2;
    return seconds > 0 ? seconds : 2;
}

static inline uint64_t stress_deadline(double seconds)
{
    return hz_base_now_ns() + (uint64_t)(seconds * 1e9);
}

static inline void *stress_shared(size_t bytes)
{
    void *mem = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    STRESS_CHECK(mem != MAP_FAILED, "%zu bytes", bytes);
    return mem;
}

#endif
