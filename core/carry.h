/*
 * carry.h - the private state that one image of the manager hands to the next: numbers, texts, bytes and descriptors in
 * a row, in a sealed memfd. Knows no subject. The reader believes nothing: once something cannot be, everything after
 * it reads as zero and `bad` stays set. One thread each.
 */
#ifndef HZ_CORE_CARRY_H
#define HZ_CORE_CARRY_H

#include "shm/base.h"

#define HZ_CARRY_VERSION                                                                                               \
    1u /* of what is carried, whoever writes it; another one is refused before anything is touched */
#define HZ_CARRY_MOST (UINT64_C(4) << 30) /* bytes */

struct hz_carry_out { /* zeroed: empty. After a failed allocation nothing more is added and `failed` stays set. */
    uint8_t *data;
    size_t len, capacity;
    int *fds; /* that the next image inherits; owned by whoever had them */
    size_t fd_count, fd_capacity;
    bool failed;
};
void hz_carry_out_fini(struct hz_carry_out *out); /* wipes: secrets may be in it */
void hz_carry_put(struct hz_carry_out *out, uint64_t value);
void hz_carry_put_bytes(struct hz_carry_out *out, const void *data, size_t len);
void hz_carry_put_text(struct hz_carry_out *out, const char *text); /* NULL: as "" */
void hz_carry_put_fd(struct hz_carry_out *out, int fd);             /* -1: none */
/* All of `from` as bytes, and its descriptors. */
void hz_carry_put_part(struct hz_carry_out *out, const struct hz_carry_out *from);
/* Writes it into a memfd that nobody can change any more (close-on-exec). 0 or the error. */
HZ_MUST_CHECK int hz_carry_seal(const struct hz_carry_out *out, int *ret_fd);
/* Descriptors of `out` with or without close-on-exec. 0 or -errno. */
int hz_carry_keep_fds(const struct hz_carry_out *out, bool keep);

struct hz_carry_in {
    const uint8_t *data;
    size_t len, at;
    bool bad;
};
/*
 * hz_carry_open - reads and checks what hz_carry_seal() wrote.
 *
 * fd        closed on success; HZ_EFORMAT if it is no sealed memfd of ours, is cut short, or fails its checksum;
 * HZ_EVERSION ret_data  malloc'ed, caller frees with hz_carry_free(); *ret_in reads in it
 */
HZ_MUST_CHECK int hz_carry_open(int fd, uint8_t **ret_data, struct hz_carry_in *ret_in);
void hz_carry_free(uint8_t **data, size_t len); /* wipes */
uint64_t hz_carry_take(struct hz_carry_in *in);
/* A number of at most `most`, else bad. */
uint64_t hz_carry_take_most(struct hz_carry_in *in, uint64_t most);
/* How many follow: at most `most` and at most as many as could be there. */
size_t hz_carry_take_count(struct hz_carry_in *in, size_t most);
/* In place, valid as long as the data; never NULL. */
const void *hz_carry_take_bytes(struct hz_carry_in *in, size_t most, size_t *ret_len);
/* Into a buffer; a text that does not fit, or holds a NUL, is bad. */
void hz_carry_take_text(struct hz_carry_in *in, char *to, size_t size);
char *hz_carry_take_dup(struct hz_carry_in *in, size_t most,
        size_t *ret_len); /* malloc'ed, NUL behind it; NULL: bad or no memory (then bad) */
/* An open descriptor above 2, set close-on-exec; -1: none, or bad. */
int hz_carry_take_fd(struct hz_carry_in *in);
struct hz_carry_in hz_carry_take_part(struct hz_carry_in *in);

#endif
