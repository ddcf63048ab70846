/*
 * fuzz.h - what a target offers, in the names libFuzzer calls, and what the two drivers give it: libFuzzer's own main in the guided build
 * (HZ_FUZZ), replay.c in every other one.
 */
#ifndef HZ_TESTS_FUZZ_H
#define HZ_TESTS_FUZZ_H

#include "shm/base.h"

/* One input, any bytes; returns 0. A finding is an abort, a sanitizer's report or more than a few seconds. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
/* Optional: changes data[0..size) in place, at most `most` bytes; returns the new size. The same input and seed give the same result. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned int seed);
/* The driver's own mutations. */
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t most);

/* Something is wrong with the program under test: says what, and aborts. */
#define FUZZ_FAIL(...) (fprintf(stderr, "fuzz: " __VA_ARGS__), fputc('\n', stderr), abort())
#define FUZZ_CHECK(cond) ((cond) ? (void)0 : FUZZ_FAIL("%s:%d: %s", __FILE__, __LINE__, #cond))

/* Reads the input from its beginning; past its end everything is zero. */
struct fuzz_bytes {
    const uint8_t *at;
    size_t left;
};

static inline uint64_t fuzz_take(struct fuzz_bytes *from, size_t bytes)
{
    uint64_t value = 0;
    for (size_t i = 0; i < bytes && from->left > 0; i++, from->left--)
        value |= (uint64_t)*from->at++ << (8 * i);
    return value;
}

/* Up to `len` of the bytes that are left; *ret_len says how many. */
static inline const uint8_t *fuzz_take_bytes(struct fuzz_bytes *from, size_t len, size_t *ret_len)
{
    const uint8_t *at = from->at;
    *ret_len = HZ_MIN(len, from->left);
    from->at += *ret_len;
    from->left -= *ret_len;
    return at;
}

/* xorshift64* (Vigna 2016): the same numbers on every machine. */
static inline size_t fuzz_below(uint64_t *state, size_t bound)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return bound == 0 ? 0 : (size_t)((*state * 2685821657736338717ull) >> 20) % bound;
}

/* A text of the source tree, malloc'ed; ends the program if it cannot be read. */
char *fuzz_read_file(const char *path, size_t *ret_len);
const char *fuzz_source_path(const char *name); /* valid until the next call */
/* Reads a byte range in a way no compiler removes: a sanitizer sees each access. */
void fuzz_touch(const void *data, size_t len);

#endif
