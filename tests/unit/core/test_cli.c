/* test_cli.c - options, tables, names of flow files: what every command leans on. */
#include "core/cli/client.h"
#include "core/cli/command.h"
#include "core/cli/flow_file.h"
#include "tests/harness.h"

#include "shm/err.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int never(const struct hz_args *args)
{
    (void)args;
    return 0;
}

static const struct hz_command sample = {.name = "sample",
        .words = "WORD [--data DIR]",
        .summary = "Nothing",
        .options = {HZ_OPTION_DATA, HZ_OPTION_JSON, {"--lines", 'n', "N", "how many"},
                {"--follow", 'f', NULL, "go on"}},
        .least = 1,
        .most = 2,
        .run = never};
static struct hz_args args;

/* Standard error is kept out of the test's own. The words live in `kept`. */
static int parse(const char *const *words)
{
    static char kept[16][64];
    char *argv[16];
    int argc = 0;
    for (; words[argc]; argc++) {
        snprintf(kept[argc], sizeof kept[argc], "%s", words[argc]);
        argv[argc] = kept[argc];
    }
    fflush(stderr);
    int saved = dup(STDERR_FILENO);
    HZ_ASSERT_NOT_NULL(freopen("/dev/null", "w", stderr));
    int code = hz_args_parse(&args, &sample, argc, argv);
    fflush(stderr);
    dup2(saved, STDERR_FILENO);
    close(saved);
    if (code)
        hz_args_fini(&args);
    return code;
}
#define PARSE(...) parse((const char *const[]){__VA_ARGS__, NULL})

HZ_TEST(cli, options_stand_before_and_after_words)
{
    HZ_ASSERT_EQ(PARSE("--data", "x", "one", "-n", "7", "--json", "two"), 0);
    HZ_ASSERT_STR_EQ(hz_args_data(&args), "x");
    HZ_ASSERT_TRUE(hz_args_has(&args, "--json"));
    HZ_ASSERT_FALSE(hz_args_has(&args, "--follow"));
    HZ_ASSERT_EQ(hz_args_number(&args, "--lines", 1, 10, 5), 7);
    HZ_ASSERT_EQ(args.count, 2);
    HZ_ASSERT_STR_EQ(args.words[1], "two");
    hz_args_fini(&args);
    HZ_ASSERT_EQ(PARSE("--data=y", "one", "-f"), 0);
    HZ_ASSERT_STR_EQ(hz_args_data(&args), "y");
    HZ_ASSERT_TRUE(hz_args_has(&args, "--follow"));
    HZ_ASSERT_EQ(hz_args_number(&args, "--lines", 1, 10, 5), 5);
    hz_args_fini(&args);
    HZ_ASSERT_EQ(PARSE("--", "--json"), 0);
    HZ_ASSERT_STR_EQ(args.words[0], "--json");
    HZ_ASSERT_STR_EQ(hz_args_data(&args), "data");
    hz_args_fini(&args);
    HZ_ASSERT_EQ(PARSE("-"), 0); /* a word: standard input */
    hz_args_fini(&args);
}

HZ_TEST(cli, bad_usage_is_2)
{
    HZ_ASSERT_EQ(PARSE("one", "--nope"), HZ_EXIT_USAGE);
    HZ_ASSERT_EQ(PARSE("one", "-x"), HZ_EXIT_USAGE);
    HZ_ASSERT_EQ(PARSE("one", "--data"), HZ_EXIT_USAGE);
    HZ_ASSERT_EQ(PARSE("one", "--json=1"), HZ_EXIT_USAGE);
    HZ_ASSERT_EQ(PARSE("--json"), HZ_EXIT_USAGE);
    HZ_ASSERT_EQ(PARSE("one", "two", "three"), HZ_EXIT_USAGE);
}

HZ_TEST(cli, sizes_and_spans_are_for_people)
{
    static const struct {
        uint64_t bytes;
        const char *text;
    } sizes[] = {{0, "0 B"}, {1023, "1023 B"}, {1024, "1.0 KB"}, {104857600, "100 MB"}, {1610612736, "1.5 GB"}};
    static const struct {
        int64_t ms;
        const char *text;
    } spans[] = {{-5, "0 s"}, {119999, "119 s"}, {120000, "2 min"}, {7200000, "2 h"}, {172800000, "2 d"}};
    char text[16];
    for (size_t i = 0; i < HZ_COUNT_OF(sizes); i++) {
        hz_cli_bytes(text, sizes[i].bytes);
        HZ_ASSERT_STR_EQ(text, sizes[i].text);
    }
    for (size_t i = 0; i < HZ_COUNT_OF(spans); i++) {
        hz_cli_span(text, spans[i].ms);
        HZ_ASSERT_STR_EQ(text, spans[i].text);
    }
}

HZ_TEST(cli, dates_read_back)
{
    char text[HZ_ISO_TEXT];
    hz_base_iso(INT64_C(1752229230456), text);
    HZ_ASSERT_EQ(hz_cli_parse_iso(text), INT64_C(1752229230456));
    HZ_ASSERT_EQ(hz_cli_parse_iso("yesterday"), -1);
    HZ_ASSERT_EQ(hz_cli_parse_iso(NULL), -1);
}

HZ_TEST(cli, paths_of_requests_are_escaped)
{
    char *path = hz_client_path("/w/", "a/b \xc3\xb1..", "/stop");
    HZ_ASSERT_STR_EQ(path, "/w/a%2Fb%20%C3%B1../stop");
    free(path);
}

static void flow_named(const char *path, const char *id)
{
    struct hz_flow_file file;
    HZ_ASSERT_OK(hz_flow_file_read(&file, path));
    HZ_ASSERT_STR_EQ(file.id, id);
    HZ_ASSERT_EQ(file.len, 2);
    hz_flow_file_fini(&file);
}

HZ_TEST(cli, a_flow_is_called_like_its_folder_or_its_file)
{
    struct hz_flow_file file;
    mkdir("hola", 0700);
    hz_test_write_file("hola/flow.json", "{}", 2);
    hz_test_write_file("otro.json", "{}", 2);
    hz_test_write_file("raro", "{}", 2);
    flow_named("hola/flow.json", "hola");
    flow_named("hola", "hola");
    flow_named("hola/", "hola");
    flow_named("otro.json", "otro");
    flow_named("raro", "raro");
    HZ_ASSERT_LT(hz_flow_file_read(&file, "nada"), 0);
    HZ_ASSERT_STR_HAS(hz_err_last(), "nada");
}

static void count_path(const char *path, void *arg)
{
    char *all = arg;
    size_t used = strlen(all);
    snprintf(all + used, 512 - used, "%s ", path);
}

HZ_TEST(cli, a_folder_of_folders_gives_each_flow_in_order)
{
    char all[512] = "";
    mkdir("many", 0700);
    for (int i = 0; i < 3; i++) {
        mkdir(hz_test_path("many/%c", 'c' - i), 0700);
        if (i != 1)
            hz_test_write_file(hz_test_path("many/%c/flow.json", 'c' - i), "{}", 2);
    }
    HZ_ASSERT_EQ(hz_flow_file_each("many", count_path, all), 2);
    HZ_ASSERT_STR_EQ(all, "many/a/flow.json many/c/flow.json ");
    all[0] = 0;
    HZ_ASSERT_EQ(hz_flow_file_each("many/a", count_path, all), 1);
    HZ_ASSERT_STR_EQ(all, "many/a ");
}

HZ_TEST(cli, no_server_is_told_apart_from_a_broken_one)
{
    bool alone = false;
    HZ_ASSERT_NULL(hz_client_try(hz_test_dir(), &alone));
    HZ_ASSERT_TRUE(alone);
    alone = false;
    HZ_ASSERT_NULL(
            hz_client_try(hz_test_path("%s/%0200d", hz_test_dir(), 7), &alone)); /* longer than a socket address */
    HZ_ASSERT_TRUE(alone);
}
