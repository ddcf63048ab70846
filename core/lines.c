/*
 * lines.c - the contract's lines. One write() a line, so lines of several threads do not mix; no buffer, so nothing is lost
 * when the process dies and nothing comes late. Synchronisation: `quiet` and `history` are set before the threads start.
 */
#include "lines.h"

#include "shm/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool quiet;
static hz_lines_history_fn *history;

void hz_lines_quiet(bool value)
{
    quiet = value;
}

void hz_lines_set_history(hz_lines_history_fn *fn)
{
    history = fn;
}

/* Length of `ESC [ digits ; digits m` at text, 0 if it is anything else. */
static size_t colour_len(const char *text, size_t len)
{
    if (len < 3 || text[1] != '[')
        return 0;
    for (size_t i = 2; i < len && i < 16; i++) {
        if (text[i] == 'm')
            return i + 1;
        if ((text[i] < '0' || text[i] > '9') && text[i] != ';')
            return 0;
    }
    return 0;
}

/* Of the next eight bytes: is one a control character? A yes may be wrong, a no is not. */
static bool may_be_odd(const char *text)
{
    const uint64_t ones = UINT64_MAX / 255, high = ones << 7;
    uint64_t eight, deleted;
    memcpy(&eight, text, sizeof eight);
    deleted = eight ^ (ones * 0x7f);
    return (((eight - ones * 0x20) & ~eight) | ((deleted - ones) & ~deleted)) & high;
}

void hz_lines_clean(char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        while (len - i > sizeof(uint64_t) && !may_be_odd(text + i))
            i += sizeof(uint64_t);
        size_t colour = text[i] == 0x1b ? colour_len(text + i, len - i) : 0;
        if (colour)
            i += colour - 1;
        else if (((unsigned char)text[i] < 0x20 && text[i] != '\t') || text[i] == 0x7f)
            text[i] = ' ';
    }
}

static void write_all(int fd, const char *text, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, text, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return; /* nobody reads: a line must not stop the manager */
        text += n;
        len -= (size_t)n;
    }
}

/* text: writable, with room for one byte behind. */
static void put(bool error, char *text, size_t len)
{
    hz_lines_clean(text, len);
    if (quiet) {
        text[len] = 0;
        hz_log_write(error ? HZ_LOG_ERROR : HZ_LOG_INFO, "%s", text);
    } else {
        text[len] = '\n';
        write_all(error ? STDERR_FILENO : STDOUT_FILENO, text, len + 1);
    }
}

void hz_lines_text(bool error, const char *text, size_t len)
{
    char small[1024], *copy = len < sizeof small ? small : malloc(len + 1);
    if (!copy) {
        copy = small;
        len = sizeof small - 1;
    }
    memcpy(copy, text, len);
    put(error, copy, len);
    if (copy != small)
        free(copy);
}

void hz_lines_print(bool error, const char *format, ...)
{
    char small[1024], *text = small;
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int wanted = vsnprintf(small, sizeof small, format, args);
    va_end(args);
    size_t len = wanted < 0 ? 0 : (size_t)wanted;
    if (len + 1 >= sizeof small) {
        char *large = malloc(len + 2);
        if (large) {
            vsnprintf(large, len + 1, format, again);
            text = large;
        } else {
            len = sizeof small - 2;
        }
    }
    va_end(again);
    put(error, text, len);
    if (history && !quiet)
        history(error ? HZ_LOG_ERROR : HZ_LOG_INFO, text, len);
    if (text != small)
        free(text);
}
