/*
 * carry.c - writes and reads the state of one image of the manager for the next one. The file is a header (magic,
 * version, layout, length, checksum) and values in a row: a number is eight bytes, bytes are their number and
 * themselves.
 */
#include "carry.h"

#include "shm/err.h"
#include "shm/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

HZ_KEEPS_WHAT_IS_ALLOCATED /* what is read belongs to who reads it */

#define MAGIC UINT64_C(0x31594d5252414348) /* "HCARRMY1" */
#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

        struct header {
    uint64_t magic;
    uint32_t version, layout;
    uint64_t len, sum;
};

/* FNV-1a: finds damage, not intent; nobody else can write there. */
static uint64_t sum_of(const uint8_t *data, size_t len)
{
    uint64_t sum = UINT64_C(14695981039346656037);
    for (size_t i = 0; i < len; i++)
        sum = (sum ^ data[i]) * UINT64_C(1099511628211);
    return sum;
}

/* ---- writing ---- */

void hz_carry_out_fini(struct hz_carry_out *out)
{
    if (out->data)
        explicit_bzero(out->data, out->len);
    free(out->data);
    free(out->fds);
    *out = (struct hz_carry_out){0};
}

/* No realloc(): what is left behind would not be wiped. */
static bool grow(struct hz_carry_out *out, size_t more)
{
    if (out->failed || out->len + more <= out->capacity)
        return !out->failed;
    size_t capacity = HZ_MAX(out->len + more, HZ_MAX((size_t)4096, out->capacity * 2));
    uint8_t *data = malloc(capacity);
    out->failed = data == NULL;
    if (!data)
        return false;
    if (out->len)
        memcpy(data, out->data, out->len);
    if (out->data)
        explicit_bzero(out->data, out->len);
    free(out->data);
    out->data = data;
    out->capacity = capacity;
    return true;
}

static void add(struct hz_carry_out *out, const void *data, size_t len)
{
    if (len == 0 || !grow(out, len))
        return;
    memcpy(out->data + out->len, data, len);
    out->len += len;
}

void hz_carry_put(struct hz_carry_out *out, uint64_t value)
{
    add(out, &value, sizeof value);
}

void hz_carry_put_bytes(struct hz_carry_out *out, const void *data, size_t len)
{
    hz_carry_put(out, len);
    add(out, data, len);
}

void hz_carry_put_text(struct hz_carry_out *out, const char *text)
{
    hz_carry_put_bytes(out, text ? text : "", text ? strlen(text) : 0);
}

static void note_fd(struct hz_carry_out *out, int fd)
{
    if (out->fd_count == out->fd_capacity) {
        size_t capacity = out->fd_capacity ? 2 * out->fd_capacity : 64;
        int *grown = realloc(out->fds, capacity * sizeof *grown);
        if (!grown) {
            out->failed = true;
            return;
        }
        out->fds = grown;
        out->fd_capacity = capacity;
    }
    out->fds[out->fd_count++] = fd;
}

void hz_carry_put_fd(struct hz_carry_out *out, int fd)
{
    hz_carry_put(out, fd < 0 ? 0 : (uint64_t)fd);
    if (fd >= 0)
        note_fd(out, fd);
}

void hz_carry_put_part(struct hz_carry_out *out, const struct hz_carry_out *from)
{
    out->failed |= from->failed;
    hz_carry_put_bytes(out, from->data, from->len);
    for (size_t i = 0; i < from->fd_count; i++)
        note_fd(out, from->fds[i]);
}

static int write_all(int fd, const void *data, size_t len)
{
    for (size_t at = 0; at < len;) {
        ssize_t n = write(fd, (const uint8_t *)data + at, len - at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -ENOSPC;
        at += (size_t)n;
    }
    return 0;
}

int hz_carry_seal(const struct hz_carry_out *out, int *ret_fd)
{
    if (out->failed || out->len > HZ_CARRY_MOST)
        return hz_err_set(HZ_ENOMEM, "the manager's state");
    struct header header = {.magic = MAGIC,
            .version = HZ_CARRY_VERSION,
            .layout = HZ_LAYOUT_VERSION,
            .len = out->len,
            .sum = sum_of(out->data, out->len)};
    int fd = memfd_create("horizon-state", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    int err = fd < 0 ? -errno : write_all(fd, &header, sizeof header);
    if (!err)
        err = write_all(fd, out->data, out->len);
    if (!err && fcntl(fd, F_ADD_SEALS, SEALS))
        err = -errno;
    if (err) {
        if (fd >= 0)
            close(fd);
        return hz_err_set(err, "the manager's state cannot be kept");
    }
    *ret_fd = fd;
    return 0;
}

int hz_carry_keep_fds(const struct hz_carry_out *out, bool keep)
{
    int err = 0;
    for (size_t i = 0; i < out->fd_count; i++)
        if (fcntl(out->fds[i], F_SETFD, keep ? 0 : FD_CLOEXEC))
            err = -errno;
    return err;
}

/* ---- reading ---- */

void hz_carry_free(uint8_t **data, size_t len)
{
    if (*data)
        explicit_bzero(*data, len);
    free(*data);
    *data = NULL;
}

static int check_header(const struct header *header, uint64_t file)
{
    if (header->magic != MAGIC)
        return hz_err_set(HZ_EFORMAT, "what was handed over is not a manager's state");
    if (header->version != HZ_CARRY_VERSION || header->layout != HZ_LAYOUT_VERSION)
        return hz_err_set(HZ_EVERSION,
                "the state handed over is of layout %u, version %u; this program knows layout %u, version %u",
                header->layout, header->version, HZ_LAYOUT_VERSION, HZ_CARRY_VERSION);
    if (header->len > HZ_CARRY_MOST || file != sizeof *header + header->len)
        return hz_err_set(HZ_EFORMAT, "the state handed over has %" PRIu64 " bytes instead of %" PRIu64, file,
                (uint64_t)sizeof *header + header->len);
    return 0;
}

static bool read_all(int fd, void *to, size_t len, off_t from)
{
    for (size_t at = 0; at < len;) {
        ssize_t n = pread(fd, (uint8_t *)to + at, len - at, from + (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        at += (size_t)n;
    }
    return true;
}

int hz_carry_open(int fd, uint8_t **ret_data, struct hz_carry_in *ret_in)
{
    struct stat st;
    struct header header;
    int seals = fcntl(fd, F_GET_SEALS);
    if (seals < 0 || (seals & SEALS) != SEALS || fstat(fd, &st) || st.st_size < (off_t)sizeof header)
        return hz_err_set(HZ_EFORMAT, "descriptor %d is not a manager's sealed state", fd);
    if (!read_all(fd, &header, sizeof header, 0))
        return hz_err_set(HZ_EFORMAT, "the state handed over cannot be read");
    int err = check_header(&header, (uint64_t)st.st_size);
    if (err)
        return err;
    uint8_t *data = malloc(header.len ? header.len : 1);
    if (!data)
        return hz_err_set(HZ_ENOMEM, "the state handed over");
    if (!read_all(fd, data, header.len, sizeof header) || sum_of(data, header.len) != header.sum) {
        hz_carry_free(&data, header.len);
        return hz_err_set(HZ_EFORMAT, "the state handed over is damaged");
    }
    close(fd);
    *ret_data = data;
    *ret_in = (struct hz_carry_in){.data = data, .len = header.len};
    return 0;
}

static const void *take(struct hz_carry_in *in, size_t len)
{
    if (in->bad || len > in->len - in->at) {
        in->bad = true;
        return NULL;
    }
    const void *data = in->data + in->at;
    in->at += len;
    return data;
}

uint64_t hz_carry_take(struct hz_carry_in *in)
{
    uint64_t value = 0;
    const void *data = take(in, sizeof value);
    if (data)
        memcpy(&value, data, sizeof value);
    return value;
}

uint64_t hz_carry_take_most(struct hz_carry_in *in, uint64_t most)
{
    uint64_t value = hz_carry_take(in);
    in->bad |= value > most;
    return in->bad ? 0 : value;
}

size_t hz_carry_take_count(struct hz_carry_in *in, size_t most)
{
    uint64_t count = hz_carry_take_most(in, most);
    in->bad |= count > (in->len - in->at) / sizeof(uint64_t);
    return in->bad ? 0 : (size_t)count;
}

const void *hz_carry_take_bytes(struct hz_carry_in *in, size_t most, size_t *ret_len)
{
    size_t len = (size_t)hz_carry_take_most(in, most);
    const void *data = take(in, len);
    *ret_len = data ? len : 0;
    return data ? data : "";
}

void hz_carry_take_text(struct hz_carry_in *in, char *to, size_t size)
{
    size_t len;
    const void *text = hz_carry_take_bytes(in, size - 1, &len);
    in->bad |= memchr(text, 0, len) != NULL;
    len = in->bad ? 0 : len;
    memcpy(to, text, len);
    to[len] = 0;
}

char *hz_carry_take_dup(struct hz_carry_in *in, size_t most, size_t *ret_len)
{
    const void *data = hz_carry_take_bytes(in, most, ret_len);
    char *copy = in->bad ? NULL : malloc(*ret_len + 1);
    in->bad |= copy == NULL;
    if (!copy)
        return NULL;
    memcpy(copy, data, *ret_len);
    copy[*ret_len] = 0;
    return copy;
}

int hz_carry_take_fd(struct hz_carry_in *in)
{
    int fd = (int)hz_carry_take_most(in, INT32_MAX);
    if (in->bad || fd == 0)
        return -1;
    if (fd < 3 || fcntl(fd, F_SETFD, FD_CLOEXEC)) {
        in->bad = true;
        return -1;
    }
    return fd;
}

struct hz_carry_in hz_carry_take_part(struct hz_carry_in *in)
{
    struct hz_carry_in part = {.bad = false};
    part.data = hz_carry_take_bytes(in, in->len, &part.len);
    part.bad = in->bad;
    return part;
}
