/* crash.c - `horizon crash`: the crash reports of a server, and one of them with names for its addresses. */
#include "client.h"
#include "command.h"
#include "symbols.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EVENTS_SHOWN 20u

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static int64_t number_of(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

/* What came from workers must not move the cursor. */
static void print_safe(const char *text)
{
    for (; *text; text++)
        putchar((unsigned char)*text < 0x20 || *text == 0x7f ? ' ' : *text);
}

static void line(const char *title, const char *text)
{
    if (!*text)
        return;
    printf("%-12s", title);
    print_safe(text);
    putchar('\n');
}

/* Each frame gets `symbol` where its file tells a name. */
static void name_frames(json_t *report)
{
    size_t i;
    json_t *frame;
    json_array_foreach(json_object_get(report, "backtrace"), i, frame) {
        char name[160];
        const char *file = json_string_value(json_object_get(frame, "file")), *module = text_of(frame, "module");
        uint64_t offset = strtoull(text_of(frame, "offset"), NULL, 16);
        /* A return address lies behind its call, which may be the last of its function. */
        if (*module && hz_symbols_name(file, module, i > 0 && offset > 0 ? offset - 1 : offset, name, sizeof name))
            (void)json_object_set_new(frame, "symbol", json_string(name));
    }
}

static void print_backtrace(const json_t *report)
{
    size_t i;
    const json_t *frame;
    const json_t *list = json_object_get(report, "backtrace");
    if (json_array_size(list) > 0)
        puts("backtrace");
    json_array_foreach(list, i, frame) {
        printf("  #%-3zu", i);
        print_safe(*text_of(frame, "symbol") ? text_of(frame, "symbol") : "?");
        printf("  ");
        print_safe(*text_of(frame, "module") ? text_of(frame, "module") : text_of(frame, "address"));
        printf("%s%s\n", *text_of(frame, "offset") ? "+" : "", text_of(frame, "offset"));
    }
}

static void print_events(const json_t *report)
{
    const json_t *list = json_object_get(report, "events");
    size_t count = json_array_size(list), first = count > EVENTS_SHOWN ? count - EVENTS_SHOWN : 0;
    if (count > 0)
        printf("last events (%zu of %zu; --json has all)\n", count - first, count);
    for (size_t i = first; i < count; i++) {
        const json_t *event = json_array_get(list, i);
        printf("  -%9.3f ms  %-8s", (double)number_of(event, "beforeUs") / 1e3, text_of(event, "kind"));
        print_safe(text_of(event, "node"));
        putchar('\n');
    }
}

static void print_report(const json_t *report)
{
    char text[256], bytes[16];
    const json_t *signal = json_object_get(report, "signal"), *node = json_object_get(report, "node"), *input = json_object_get(report, "input"),
                 *usage = json_object_get(report, "usage");
    printf("crash %s\n", text_of(report, "id"));
    line("time", text_of(report, "time"));
    snprintf(text, sizeof text, "%s%s", json_is_true(json_object_get(report, "likely")) ? "likely " : "", text_of(report, "kind"));
    line("kind", text);
    line("what", text_of(report, "text"));
    snprintf(text, sizeof text, "%" PRId64 " times before (signature %.40s)", number_of(report, "seenBefore"), text_of(report, "signature"));
    line("seen", text);
    snprintf(text, sizeof text, "%.127s %.31s", text_of(report, "workflowId"), text_of(report, "version"));
    line("workflow", text);
    snprintf(text, sizeof text, "%.40s, process %" PRId64 ", lived %.1f s", text_of(report, "workerId"), number_of(report, "processId"),
            (double)number_of(report, "livedMs") / 1e3);
    line("worker", text);
    line("execution", text_of(report, "executionId"));
    if (node) {
        snprintf(text, sizeof text, "%.100s (%.60s, id %.60s)", text_of(node, "name"), text_of(node, "type"), text_of(node, "id"));
        line("node", text);
    }
    if (signal) {
        snprintf(text, sizeof text, "%.20s%s%.24s", text_of(signal, "name"), *text_of(signal, "address") ? " at address " : "", text_of(signal, "address"));
        line("signal", text);
    }
    if (input) {
        snprintf(text, sizeof text, "input (%" PRId64 " bytes%s)", number_of(input, "bytes"), json_is_true(json_object_get(input, "cut")) ? ", cut" : "");
        printf("%s\n  ", text);
        print_safe(text_of(input, "text"));
        putchar('\n');
    }
    print_backtrace(report);
    hz_cli_bytes(bytes, (uint64_t)number_of(usage, "maxResidentBytes"));
    printf("%-12s%.3f s user, %.3f s system, at most %s resident\n", "usage", (double)number_of(usage, "userUs") / 1e6,
            (double)number_of(usage, "systemUs") / 1e6, bytes);
    const json_t *limits = json_object_get(report, "limits"), *value;
    const char *key;
    if (json_object_size(limits) > 0)
        printf("%-12s", "limits");
    json_object_foreach((json_t *)(uintptr_t)limits, key, value)
        printf("%s %" PRId64 "  ", key, (int64_t)json_integer_value(value));
    if (json_object_size(limits) > 0)
        putchar('\n');
    print_events(report);
}

static void print_list(const json_t *crashes)
{
    static const char *const titles[] = {"ID", "TIME", "WORKFLOW", "KIND", "NODE", "SEEN BEFORE", "WHAT"};
    struct hz_table *table = hz_table_new((int)HZ_COUNT_OF(titles), titles);
    size_t i;
    const json_t *crash;
    if (!table) {
        hz_cli_error(HZ_EXIT_FAILED, "out of memory");
        return;
    }
    json_array_foreach(crashes, i, crash) {
        hz_table_cell(table, "%.8s", text_of(crash, "id"));
        hz_table_cell(table, "%.19s", text_of(crash, "time"));
        hz_table_cell(table, "%s", text_of(crash, "workflowId"));
        hz_table_cell(table, "%s", text_of(crash, "kind"));
        hz_table_cell(table, "%s", *text_of(crash, "node") ? text_of(crash, "node") : "-");
        hz_table_cell(table, "%" PRId64, number_of(crash, "seenBefore"));
        hz_table_cell(table, "%.100s", text_of(crash, "text"));
    }
    hz_table_print(&table);
}

static int run(const struct hz_args *args)
{
    struct hz_client *client = hz_client_open(hz_args_data(args));
    if (!client)
        return HZ_EXIT_FAILED;
    char *path = args->count > 0 ? hz_client_path("/api/v1/crashes/", args->words[0], "") : NULL;
    json_t *answer = path               ? hz_client_ask(client, "GET", path, NULL)
                     : args->count == 0 ? hz_client_list(client, "/api/v1/crashes", "crashes", UINT64_MAX)
                                        : NULL;
    free(path);
    hz_client_close(&client);
    if (!answer)
        return HZ_EXIT_FAILED;
    if (hz_args_has(args, "--json"))
        return hz_cli_print_json(answer);
    if (args->count > 0) {
        name_frames(answer);
        print_report(answer);
    } else if (json_array_size(json_object_get(answer, "crashes")) == 0)
        puts("no crash reports");
    else
        print_list(json_object_get(answer, "crashes"));
    json_decref(answer);
    return HZ_EXIT_OK;
}

const struct hz_command hz_command_crash = {.name = "crash",
        .words = "[ID] [--data DIR] [--json]",
        .summary = "Lists the crash reports, or shows one",
        .text = "ID is a report's id, or its first characters (at least 4). A report tells what ended a worker, in which node and\n"
                "execution, with which input (cut to 4 KiB, secrets masked), the stack with names where the files tell them, the last\n"
                "events, what the process had used, its limits, and how often the same was seen before.",
        .options = {HZ_OPTION_DATA, HZ_OPTION_JSON},
        .least = 0,
        .most = 1,
        .run = run};
