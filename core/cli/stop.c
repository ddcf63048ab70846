/* stop.c - `horizon stop` and `horizon restart`, of a worker or of the server itself: each returns when it is done, and
 * says how. */
#include "client.h"
#include "command.h"

#include <stdio.h>
#include <limits.h>
#include <stdlib.h>
#include <time.h>

/* The answer to POST /workers/ID/<verb>, NULL after saying why not. */
static json_t *tell(const struct hz_args *args, const char *verb)
{
    struct hz_client *client = hz_client_open(hz_args_data(args));
    if (!client)
        return NULL;
    char *path = hz_client_path("/api/v1/workers/", args->words[0], verb);
    json_t *answer = path ? hz_client_ask(client, "POST", path, NULL) : NULL;
    free(path);
    hz_client_close(&client);
    return answer;
}

static int stop(const struct hz_args *args)
{
    json_t *answer = tell(args, "/stop");
    if (!answer)
        return HZ_EXIT_FAILED;
    if (hz_args_has(args, "--json"))
        return hz_cli_print_json(answer);
    printf("%s stopped (%s)\n", json_string_value(json_object_get(answer, "workerId")),
            json_string_value(json_object_get(answer, "how")));
    json_decref(answer);
    return HZ_EXIT_OK;
}

/* ---- the server itself ---- */

#define LOOK_NS 20000000L
#define LATE_S  30 /* behind the drain */

static json_t *ask_manager(const struct hz_args *args, const char *method, const char *path, json_t *body)
{
    struct hz_client *client = hz_client_open(hz_args_data(args));
    json_t *answer = client ? hz_client_ask(client, method, path, body) : NULL;
    if (!client)
        json_decref(body);
    hz_client_close(&client);
    return answer;
}

/* Until another image answers. NULL: said why not. */
static json_t *await_image(const struct hz_args *args, json_int_t before, int64_t drain_s)
{
    time_t end = time(NULL) + (time_t)drain_s + LATE_S;
    while (time(NULL) < end) {
        nanosleep(&(struct timespec){.tv_nsec = LOOK_NS}, NULL);
        json_t *now = ask_manager(args, "GET", "/api/v1/manager", NULL);
        const char *failure = json_string_value(json_object_get(now, "restartFailure"));
        if (now && json_integer_value(json_object_get(now, "generation")) > before)
            return now;
        if (failure)
            hz_cli_error(HZ_EXIT_FAILED, "the server goes on as it was: %s", failure);
        json_decref(now);
        if (!now || failure)
            return NULL;
    }
    hz_cli_error(HZ_EXIT_FAILED, "the server did not restart in time; it still waits, or has ended");
    return NULL;
}

static int restart_manager(const struct hz_args *args)
{
    char path[PATH_MAX];
    const char *to = hz_args_value(args, "--to");
    int64_t drain_s = hz_args_number(args, "--drain", 0, 600, 10);
    if (drain_s < 0)
        return HZ_EXIT_USAGE;
    if (args->count > 0)
        return hz_cli_error(HZ_EXIT_USAGE, "either the id of a worker or --manager");
    if (to && !realpath(to, path))
        return hz_cli_error(HZ_EXIT_FAILED, "there is no file %s", to);
    json_t *begun = ask_manager(args, "POST", "/api/v1/manager/restart",
            json_pack("{s:I, s:s*}", "drainMs", (json_int_t)drain_s * 1000, "binary", to ? path : NULL));
    json_t *now = begun ? await_image(args, json_integer_value(json_object_get(begun, "generation")), drain_s) : NULL;
    json_decref(begun);
    if (!now)
        return HZ_EXIT_FAILED;
    if (hz_args_has(args, "--json"))
        return hz_cli_print_json(now);
    printf("restarted: process %lld, image %lld, version %s\n",
            (long long)json_integer_value(json_object_get(now, "pid")),
            (long long)json_integer_value(json_object_get(now, "generation")),
            json_string_value(json_object_get(now, "version")));
    json_decref(now);
    return HZ_EXIT_OK;
}

static int restart(const struct hz_args *args)
{
    if (hz_args_has(args, "--manager"))
        return restart_manager(args);
    if (args->count == 0 || hz_args_has(args, "--to") || hz_args_has(args, "--drain"))
        return hz_cli_error(HZ_EXIT_USAGE,
                args->count ? "--to and --drain are for --manager" : "either the id of a worker or --manager");
    json_t *answer = tell(args, "/restart");
    if (!answer)
        return HZ_EXIT_FAILED;
    if (hz_args_has(args, "--json"))
        return hz_cli_print_json(answer);
    printf("%s  %s  port %lld\n", json_string_value(json_object_get(answer, "id")),
            json_string_value(json_object_get(answer, "workflowId")),
            (long long)json_integer_value(json_object_get(answer, "port")));
    json_decref(answer);
    return HZ_EXIT_OK;
}

const struct hz_command hz_command_stop = {.name = "stop",
        .words = "ID [--data DIR] [--json]",
        .summary = "Stops a worker and waits until it is gone",
        .text = "ID is a worker's id, or its first characters (at least 4). The answer says what ended it: flag (at "
                "once, when it was\n"
                "told), grace (within the 5 s it is given), kill (afterwards, by SIGKILL).",
        .options = {HZ_OPTION_DATA, HZ_OPTION_JSON},
        .least = 1,
        .most = 1,
        .run = stop};

const struct hz_command hz_command_restart = {.name = "restart",
        .words = "ID | --manager [--drain SECONDS] [--to BINARY] [--data DIR] [--json]",
        .summary = "Restarts a worker, or the server in place",
        .text = "ID is a worker's id, or its first characters (at least 4): it is stopped and its workflow started "
                "again; prints the id "
                "and port of\n"
                "the new worker.\n\n"
                "--manager: the server executes itself anew under its process id. Sockets, connections between two "
                "requests, workers "
                "and what they\n"
                "run stay. New requests wait meanwhile; those in work have --drain seconds, after which they get 503 "
                "with Retry-After "
                "if nothing was\n"
                "begun for them, else 504: their execution goes on and can be asked for. A program that does not fit "
                "is refused before "
                "anything is\n"
                "touched.",
        .options = {{"--manager", 0, NULL, "the server itself"},
                {"--drain", 0, "SECONDS", "what is in work has so long (0 to 600, default 10)"},
                {"--to", 0, "BINARY", "this program instead of the file the server was started from"}, HZ_OPTION_DATA,
                HZ_OPTION_JSON},
        .least = 0,
        .most = 1,
        .run = restart};
