/* base.h - the few things every file of both processes uses: assertions, object magic, clocks, alignment. */
#ifndef HZ_SHM_BASE_H
#define HZ_SHM_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HZ_MUST_CHECK                      __attribute__((warn_unused_result))
#define HZ_PRINTF(fmt, args)               __attribute__((format(printf, fmt, args)))
#define HZ_NORETURN                        __attribute__((noreturn))
#define HZ_UNUSED                          __attribute__((unused))
#define HZ_CACHE_LINE                      64u
#define HZ_ALIGN_UP(n, a)                  (((n) + ((a)-1)) & ~((a)-1))
#define HZ_COUNT_OF(array)                 (sizeof(array) / sizeof((array)[0]))
#define HZ_CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))
#define HZ_MIN(a, b)                       ((a) < (b) ? (a) : (b))
#define HZ_MAX(a, b)                       ((a) > (b) ? (a) : (b))

/* Below the #includes of a file in which gcc -fanalyzer takes for leaked what a list, an array, a table or a queue owns
 * from then on (it loses pointers kept behind a computed index or by another object); a comment beside it names the
 * owner. Leaks of these files are looked for by LeakSanitizer (preset asan) and clang-tidy. */
#if defined(HZ_ANALYZE) && !defined(__clang__)
#define HZ_KEEPS_WHAT_IS_ALLOCATED _Pragma("GCC diagnostic ignored \"-Wanalyzer-malloc-leak\"")
#else
#define HZ_KEEPS_WHAT_IS_ALLOCATED
#endif

/* Assertions state what we promised ourselves and stay on in release; bytes from others are checked, never asserted. */
HZ_NORETURN void hz_base_assert_failed(const char *expr, const char *file, int line, const char *func);
#define HZ_ASSERT(expr)                                                                                                \
    do {                                                                                                               \
        if (__builtin_expect(!(expr), 0))                                                                              \
            hz_base_assert_failed(#expr, __FILE__, __LINE__, __func__);                                                \
    } while (0)

/* Object magic: first member `uint32_t magic`; init sets it, fini clears it, every entry checks it. */
#define HZ_CHECK_OBJ(ptr, type_magic) HZ_ASSERT((ptr) != NULL && (ptr)->magic == (type_magic))

/* Monotonic time since boot, nanoseconds (vDSO, ~20 ns). */
uint64_t hz_base_now_ns(void);
/* Wall clock, milliseconds since the epoch. */
int64_t hz_base_wall_ms(void);
/* Fills buf with kernel randomness; aborts if the kernel has none. */
void hz_base_random(void *buf, size_t len);

/* RFC 9562 identifiers, version 4. Text form: 36 lower-case characters and NUL. */
#define HZ_UUID_TEXT 37
struct hz_uuid {
    uint8_t bytes[16];
};
struct hz_uuid hz_uuid_new(void);
void hz_uuid_format(const struct hz_uuid *id, char ret_text[HZ_UUID_TEXT]);
/* Returns false unless text is exactly one well-formed uuid (either letter case). */
bool hz_uuid_parse(const char *text, size_t len, struct hz_uuid *ret_id);
bool hz_uuid_equal(const struct hz_uuid *a, const struct hz_uuid *b);
bool hz_uuid_is_nil(const struct hz_uuid *id);

/* ISO 8601 UTC with milliseconds: 2025-07-11T10:20:30.456Z */
#define HZ_ISO_TEXT 25
void hz_base_iso(int64_t wall_ms, char ret_text[HZ_ISO_TEXT]);

#endif
