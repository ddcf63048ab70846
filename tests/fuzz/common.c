/* common.c - what every target uses, whichever driver runs it. */
#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_MOST ((size_t)1 << 20)

char *fuzz_read_file(const char *path, size_t *ret_len)
{
    FILE *file = fopen(path, "rbe");
    char *text = malloc(FILE_MOST + 1);
    if (!file || !text) {
        fprintf(stderr, "fuzz: cannot read %s\n", path);
        exit(2);
    }
    *ret_len = fread(text, 1, FILE_MOST, file);
    text[*ret_len] = 0;
    fclose(file);
    return text;
}

const char *fuzz_source_path(const char *name)
{
    static char path[4096];
    const char *root = getenv("HZ_SOURCE_DIR");
    snprintf(path, sizeof path, "%s/%s", root ? root : HZ_FUZZ_SOURCE_DIR, name);
    return path;
}

void fuzz_touch(const void *data, size_t len)
{
    const volatile unsigned char *from = data;
    unsigned sum = 0;
    for (size_t i = 0; i < len; i++)
        sum += from[i];
    (void)sum;
}
