/*
 * replay.c - main of a target with the ordinary compilers: runs each input of the corpus once, or changed COUNT times.
 *
 *     fuzz_TARGET [-n COUNT] [-s SEED] FILE|DIRECTORY...
 *
 * Seed and count are printed, so that a failure can be repeated. An input that ends the program, or takes longer than a few seconds,
 * is left in fuzz_TARGET.input in the working directory.
 */
#include "fuzz.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define INPUT_MOST      ((size_t)64 << 10)
#define SECONDS_FOR_ONE (HZ_TEST_SLOW ? 20u : 5u)
#define DEFAULT_SEED    20261124ul

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HZ_TEST_SLOW 1
#else
#define HZ_TEST_SLOW 0
#endif

#pragma weak LLVMFuzzerCustomMutator

static uint8_t **inputs;
static size_t *lens, count, room;
static uint8_t *current;
static size_t current_len;
static uint64_t state;
static char kept[256];

/* Only what a handler may do: keep the input, end. */
static void failed(int signal_number)
{
    static const char text[] = "fuzz: the input is kept as ";
    int fd = open(kept, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ssize_t ignored = 0;

    if (fd >= 0)
        ignored += write(fd, current, current_len);
    ignored += write(STDERR_FILENO, text, sizeof text - 1);
    ignored += write(STDERR_FILENO, kept, strlen(kept));
    ignored += write(STDERR_FILENO, "\n", 1);
    (void)ignored;
    signal(signal_number, SIG_DFL);
    raise(signal_number == SIGALRM ? SIGABRT : signal_number);
}

/* The target gets a block of exactly its size: a sanitizer sees each byte beyond it. */
static void run(const uint8_t *data, size_t len)
{
    current = malloc(len ? len : 1);
    HZ_ASSERT(current != NULL);
    memcpy(current, data, len);
    current_len = len;
    alarm(SECONDS_FOR_ONE);
    (void)LLVMFuzzerTestOneInput(current, len);
    alarm(0);
    free(current);
}

static void move(uint8_t *data, size_t *size, size_t at, size_t old_len, const uint8_t *with, size_t len, size_t most)
{
    if (at + old_len > *size || *size - old_len + len > most)
        return;
    memmove(data + at + len, data + at + old_len, *size - at - old_len);
    memcpy(data + at, with, len);
    *size += len - old_len;
}

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t most)
{
    static const uint64_t values[] = {0, 1, 7, 8, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff,
            UINT64_MAX, INT64_MAX, (uint64_t)INT64_MIN, 0xfffffff8, 1024, 4096};
    uint8_t piece[128] = {0};
    size_t at = fuzz_below(&state, size), len = HZ_MIN(1 + fuzz_below(&state, fuzz_below(&state, 2) ? 4 : sizeof piece - 1), size - at);
    switch (fuzz_below(&state, 7)) {
    case 0:
        if (size > 0)
            data[at] = (uint8_t)fuzz_below(&state, 256);
        break;
    case 1:
        if (size > 0)
            data[at] ^= (uint8_t)(1u << fuzz_below(&state, 8));
        break;
    case 2:
        move(data, &size, at, len, piece, 0, most);
        break;
    case 3:
        memcpy(piece, data + at, len);
        move(data, &size, fuzz_below(&state, size + 1), 0, piece, len, most);
        break;
    case 4:
        piece[0] = (uint8_t)fuzz_below(&state, 256);
        move(data, &size, fuzz_below(&state, size + 1), 0, piece, 1, most);
        break;
    case 5: {
        uint64_t value = values[fuzz_below(&state, HZ_COUNT_OF(values))];
        size_t width = (size_t)1 << fuzz_below(&state, 4);
        if (at + width <= size)
            memcpy(data + at, &value, width);
        break;
    }
    default: { /* a piece of another input */
        size_t other = fuzz_below(&state, count), from = fuzz_below(&state, lens[other]);
        len = HZ_MIN(sizeof piece, lens[other] - from);
        if (len > 0)
            move(data, &size, fuzz_below(&state, size + 1), 0, inputs[other] + from, 1 + fuzz_below(&state, len), most);
    }
    }
    return size;
}

static void add(const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0) {
        fprintf(stderr, "fuzz: there is no %s\n", path);
        exit(2);
    }
    if (S_ISDIR(st.st_mode)) {
        struct dirent **names = NULL;
        int found = scandir(path, &names, NULL, alphasort); /* in this order on every machine */
        for (int i = 0; i < found; i++) {
            char inner[4096];
            snprintf(inner, sizeof inner, "%s/%s", path, names[i]->d_name);
            if (names[i]->d_name[0] != '.')
                add(inner);
            free(names[i]);
        }
        free(names);
        return;
    }
    if (count == room) {
        room = room ? 2 * room : 64;
        inputs = realloc(inputs, room * sizeof *inputs);
        lens = realloc(lens, room * sizeof *lens);
        HZ_ASSERT(inputs != NULL && lens != NULL);
    }
    inputs[count] = (uint8_t *)fuzz_read_file(path, &lens[count]);
    lens[count] = HZ_MIN(lens[count], INPUT_MOST);
    count++;
}

static void run_changed(unsigned long seed, unsigned long number)
{
    static uint8_t changed[INPUT_MOST];
    state = (seed + 1) * 0x9e3779b97f4a7c15ull + number; /* each from its own number: one can be repeated alone */
    size_t from = fuzz_below(&state, count), len = lens[from];
    memcpy(changed, inputs[from], len);
    for (size_t moves = 1 + fuzz_below(&state, fuzz_below(&state, 3) ? 3 : 20); moves > 0; moves--)
        len = LLVMFuzzerCustomMutator ? LLVMFuzzerCustomMutator(changed, len, sizeof changed, (unsigned)fuzz_below(&state, UINT32_MAX))
                                      : LLVMFuzzerMutate(changed, len, sizeof changed);
    run(changed, len);
}

int main(int argc, char **argv)
{
    static const int signals[] = {SIGALRM, SIGABRT, SIGSEGV, SIGBUS, SIGFPE};
    unsigned long times = 0, seed = DEFAULT_SEED;
    const char *name = strrchr(argv[0], '/') ? strrchr(argv[0], '/') + 1 : argv[0];
    for (int option; (option = getopt(argc, argv, "n:s:")) != -1;) {
        if (option == '?')
            return 2;
        *(option == 'n' ? &times : &seed) = strtoul(optarg, NULL, 10);
    }
    snprintf(kept, sizeof kept, "%.200s.input", name);
    for (int i = optind; i < argc; i++)
        add(argv[i]);
    if (count == 0) {
        fprintf(stderr, "usage: %s [-n COUNT] [-s SEED] FILE|DIRECTORY...\n", name);
        return 2;
    }
    for (size_t i = 0; i < HZ_COUNT_OF(signals); i++)
        signal(signals[i], failed);
    uint64_t began = hz_base_now_ns();
    for (size_t i = 0; i < count; i++)
        run(inputs[i], lens[i]);
    printf("%s: %zu inputs of the corpus, then %lu changed ones of seed %lu\n", name, count, times, seed);
    fflush(stdout);
    for (unsigned long i = 0; i < times; i++)
        run_changed(seed, i);
    printf("%s: %.1f us each\n", name, (double)(hz_base_now_ns() - began) / 1e3 / (double)(count + times));
    for (size_t i = 0; i < count; i++)
        free(inputs[i]);
    free(inputs);
    free(lens);
    return 0;
}
