/* fork.c - see fork.h: runs bench-floor and reads its number. */
#include "fork.h"

#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static double ask(const char *what, unsigned count, unsigned in_flight)
{
    char count_text[16], flight_text[16], text[64];
    int fds[2];
    snprintf(count_text, sizeof count_text, "%u", count);
    snprintf(flight_text, sizeof flight_text, "%u", in_flight);
    const char *texts[] = {HZ_BENCH_FLOOR, HZ_BENCH_NODES, what, count_text, flight_text};
    char *argv[HZ_COUNT_OF(texts) + 1] = {NULL};
    for (size_t i = 0; i < HZ_COUNT_OF(texts); i++)
        argv[i] = (char *)(uintptr_t)texts[i]; /* posix_spawn takes char *const, and changes nothing */
    if (pipe(fds)) {
        (void)hz_bench_skip("no pipe");
        return 0;
    }
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, fds[1], 1);
    posix_spawn_file_actions_addclose(&actions, fds[0]);
    posix_spawn_file_actions_addclose(&actions, fds[1]);
    pid_t pid;
    int err = posix_spawn(&pid, argv[0], &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(fds[1]);
    ssize_t n = err ? 0 : read(fds[0], text, sizeof text - 1); /* one line, written at once */
    close(fds[0]);
    int status = 1;
    if (!err)
        (void)waitpid(pid, &status, 0);
    text[n > 0 ? n : 0] = 0;
    double number = status == 0 ? strtod(text, NULL) : 0;
    if (number <= 0)
        (void)hz_bench_skip("the floor `%s` could not be measured", what);
    return number;
}

double hz_bench_fork_ns(unsigned count)
{
    return ask("bare", count, 1);
}

double hz_bench_cold_fork_ns(unsigned count)
{
    return ask("cold", count, 1);
}

double hz_bench_cold_fork_rate(unsigned count, unsigned in_flight)
{
    return ask("rate", count, in_flight);
}
