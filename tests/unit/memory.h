/* memory.h - memory for tests: ends the program when there is none, so that no test has to ask. */
#ifndef HZ_TESTS_UNIT_MEMORY_H
#define HZ_TESTS_UNIT_MEMORY_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

__attribute__((unused)) static void *must_alloc(size_t size)
{
    void *room = malloc(size);

    if (!room)
        abort();
    return room;
}

__attribute__((unused)) static char *must_copy(const char *text)
{
    size_t size = strlen(text) + 1;

    return memcpy(must_alloc(size), text, size);
}

/* Puts text behind what is in a buffer of `capacity` bytes; what does not fit is cut. */
__attribute__((unused)) static void must_append(char *buffer, size_t capacity, const char *text)
{
    size_t used = strlen(buffer);

    (void)snprintf(buffer + used, capacity - used, "%s", text);
}

/* open_memstream() */
__attribute__((unused)) static FILE *must_open(char **text, size_t *len)
{
    FILE *out = open_memstream(text, len);

    if (!out)
        abort();
    return out;
}

#endif
