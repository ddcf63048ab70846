/* args.c - options and words of a command, from its table; the same table makes its help. */
#include "command.h"

#include "shm/err.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int usage_error(const struct hz_command *command, const char *what, const char *word)
{
    fprintf(stderr, "horizon %s: %s%s%s\nusage: horizon %s %s\n", command->name, what, *word ? ": " : "", word,
            command->name, command->words);
    return HZ_EXIT_USAGE;
}

static int find_option(const struct hz_command *command, const char *word, size_t len)
{
    for (int i = 0; i < HZ_ARGS_OPTIONS && command->options[i].name; i++) {
        const struct hz_option *option = &command->options[i];
        if (strlen(option->name) == len && memcmp(option->name, word, len) == 0)
            return i;
        if (option->letter && len == 2 && word[0] == '-' && word[1] == option->letter)
            return i;
    }
    return -1;
}

int hz_args_parse(struct hz_args *args, const struct hz_command *command, int argc, char **argv)
{
    memset(args, 0, sizeof *args);
    args->command = command;
    args->words = calloc((size_t)argc + 1, sizeof *args->words);
    if (!args->words)
        return hz_cli_error(HZ_EXIT_FAILED, "out of memory");
    bool only_words = false;
    for (int i = 0; i < argc; i++) {
        const char *word = argv[i];
        if (only_words || word[0] != '-' || word[1] == 0) {
            args->words[args->count++] = word;
            continue;
        }
        if (strcmp(word, "--") == 0) {
            only_words = true;
            continue;
        }
        if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
            hz_args_help(command);
            return -1;
        }
        const char *equals = strncmp(word, "--", 2) == 0 ? strchr(word, '=') : NULL;
        int index = find_option(command, word, equals ? (size_t)(equals - word) : strlen(word));
        if (index < 0)
            return usage_error(command, "unknown option", word);
        const struct hz_option *option = &command->options[index];
        if (!option->value) {
            if (equals)
                return usage_error(command, "this option takes no value", word);
            args->values[index] = "";
            continue;
        }
        if (!equals && i + 1 == argc)
            return usage_error(command, "this option needs a value", word);
        args->values[index] = equals ? equals + 1 : argv[++i];
    }
    if (args->count < command->least)
        return usage_error(command, "something is missing", "");
    if (command->most >= 0 && args->count > command->most)
        return usage_error(command, "one word too many", args->words[command->most]);
    return 0;
}

void hz_args_fini(struct hz_args *args)
{
    free(args->words);
    args->words = NULL;
}

const char *hz_args_value(const struct hz_args *args, const char *option)
{
    int index = find_option(args->command, option, strlen(option));
    HZ_ASSERT(index >= 0);
    return args->values[index];
}

bool hz_args_has(const struct hz_args *args, const char *option)
{
    return hz_args_value(args, option) != NULL;
}

const char *hz_args_data(const struct hz_args *args)
{
    const char *value = hz_args_value(args, "--data");
    return value ? value : "data";
}

int64_t hz_args_number(const struct hz_args *args, const char *option, int64_t lowest, int64_t highest, int64_t initial)
{
    const char *text = hz_args_value(args, option);
    if (!text)
        return initial;
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (!*text || *end || errno || value < lowest || value > highest) {
        fprintf(stderr, "horizon %s: %s is \"%s\", expected a whole number from %lld to %lld\n", args->command->name,
                option, text, (long long)lowest, (long long)highest);
        return -1;
    }
    return value;
}

void hz_args_help(const struct hz_command *command)
{
    printf("usage: horizon %s %s\n\n%s.\n", command->name, command->words, command->summary);
    if (command->text)
        printf("\n%s\n", command->text);
    if (command->options[0].name)
        printf("\noptions:\n");
    for (int i = 0; i < HZ_ARGS_OPTIONS && command->options[i].name; i++) {
        const struct hz_option *option = &command->options[i];
        char left[64], letter[8] = "";
        if (option->letter)
            snprintf(letter, sizeof letter, "-%c, ", option->letter);
        snprintf(left, sizeof left, "%s%s%s%s", letter, option->name, option->value ? " " : "",
                option->value ? option->value : "");
        printf("  %-22s %s\n", left, option->meaning);
    }
}
