/*
 * main.c - horizon-worker: argument parsing and help. Started by the manager; people use it through `horizon`. Main thread.
 */
#include "describe.h"
#include "memory.h"
#include "value.h"
#include "zygote.h"

#include <horizon/version.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
        "Usage: horizon-worker MODE [OPTION...]\n"
        "Runs the executions of one Horizon flow. The manager (horizon) starts it; not for use by hand, except:\n"
        "\n"
        "  --describe PATH...   describe the nodes in these files or folders as JSON\n"
        "  --check              read a JSON array of expressions, answer an array of null or what is wrong\n"
        "\n"
        "For the manager:\n"
        "  --zygote base|net|js  load the nodes and fork workers on request\n"
        "  --worker              become one worker\n"
        "  --fd N                the socket to the manager\n"
        "  --manager PID         whose death ends this process\n"
        "  --nodes DIR[:DIR...]  folders of nodes, the built-in ones first\n"
        "\n"
        "  --help, --version\n";

static int usage(const char *what, const char *value)
{
    fprintf(stderr, "horizon-worker: %s%s%s; see horizon-worker --help\n", what, value ? " " : "", value ? value : "");
    return 2;
}

/* Whole text, 0 .. 2^31 - 1; -1: not a number. */
static long number_of(const char *text)
{
    char *end;
    long n = text ? strtol(text, &end, 10) : -1;
    return text && *text && *end == '\0' && n >= 0 && n <= INT32_MAX ? n : -1;
}

static int run_mode(const char *mode, const char *kind, int argc, char **argv)
{
    long fd = -1, manager = 0;
    const char *nodes = "";
    for (int i = 0; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--fd") == 0)
            fd = number_of(argv[i + 1]);
        else if (strcmp(argv[i], "--manager") == 0)
            manager = number_of(argv[i + 1]);
        else if (strcmp(argv[i], "--nodes") == 0)
            nodes = argv[i + 1];
        else
            return usage("unknown option", argv[i]);
    }
    if (argc % 2 != 0)
        return usage("a value is missing after", argv[argc - 1]);
    if (fd < 0)
        return usage("--fd needs a descriptor", NULL);
    if (manager < 0)
        return usage("--manager needs a process id", NULL);
    if (strcmp(mode, "--worker") == 0)
        return hz_zygote_single((int)fd, (uint32_t)manager, nodes);
    if (strcmp(kind, "base") != 0 && strcmp(kind, "net") != 0 && strcmp(kind, "js") != 0)
        return usage("unknown kind of zygote", kind);
    return hz_zygote_main(kind, (int)fd, (uint32_t)manager, nodes);
}

int main(int argc, char **argv)
{
    const char *mode = argc > 1 ? argv[1] : "";
    hz_memory_init();
    if (strcmp(mode, "--help") == 0 || strcmp(mode, "-h") == 0)
        return fputs(help, stdout) < 0;
    if (strcmp(mode, "--version") == 0)
        return printf("horizon-worker %s (node ABI %u.%u)\n", HZ_VERSION, HZ_ABI_MAJOR, HZ_ABI_MINOR) < 0;
    if (strcmp(mode, "--describe") == 0)
        return argc > 2 ? hz_describe_main(argc - 2, argv + 2) : usage("--describe needs a file or folder", NULL);
    if (strcmp(mode, "--check") == 0)
        return argc == 2 ? hz_describe_check() : usage("--check reads standard input and takes no", argv[2]);
    if (strcmp(mode, "--worker") == 0)
        return run_mode(mode, "", argc - 2, argv + 2);
    if (strcmp(mode, "--zygote") == 0 && argc > 2)
        return run_mode(mode, argv[2], argc - 3, argv + 3);
    return usage(*mode ? "unknown mode" : "a mode is missing", *mode ? mode : NULL);
}
