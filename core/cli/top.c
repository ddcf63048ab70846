/*
 * top.c - `horizon top`: a live table of the workers. Reads their segments itself, so it also works when the server
 * does not answer. Escape sequences every terminal knows, no further library.
 */
#include "command.h"
#include "watch.h"

#include "core/progress.h"

#include "core/flow/json_text.h"
#include "shm/err.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

enum { REFRESH_MS = 1000, FIRST_MS = 300 };
enum sort { BY_AGE, BY_CPU, BY_MEMORY, BY_EXECUTIONS, BY_NAME, SORTS };
static const char *const sort_names[SORTS] = {"age", "cpu", "memory", "executions", "workflow"};
static const char sort_keys[SORTS] = {'a', 'c', 'm', 'e', 'w'};

static struct termios saved;
static volatile sig_atomic_t interrupted;

static int sort_order; /* for qsort's function, one thread */
static bool show_threads;

static int descending(double a, double b)
{
    return (a < b) - (a > b);
}

static int compare(const void *a, const void *b)
{
    const struct hz_watched *left = a, *right = b;
    switch ((enum sort)sort_order) {
    case BY_CPU:
        return descending(left->cpu_percent, right->cpu_percent);
    case BY_MEMORY:
        return descending((double)left->rss_bytes, (double)right->rss_bytes);
    case BY_EXECUTIONS:
        return descending(left->executions_per_s, right->executions_per_s);
    case BY_NAME:
        return strcmp(left->workflow_id, right->workflow_id);
    case BY_AGE:
    case SORTS:
        break;
    }
    return (left->created_wall_ms > right->created_wall_ms) - (left->created_wall_ms < right->created_wall_ms);
}

/* 8 hex digits of the data directory, so that only its workers are shown; false: there is none. */
static bool read_instance(const char *data_dir, char instance[9])
{
    char *path = NULL;
    if (asprintf(&path, "%s/instance", data_dir) < 0)
        return false;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    free(path);
    ssize_t n = fd < 0 ? -1 : read(fd, instance, 8);
    if (fd >= 0)
        close(fd);
    instance[8] = 0;
    return n == 8;
}

static json_t *stats_json(const struct hz_stats *stats)
{
    json_t *object = json_object();
    for (int s = 0; s < HZ_STAT_COUNT; s++)
        json_object_set_new(object, hz_stats_info((enum hz_stat)s)->name, json_integer((json_int_t)stats->v[s]));
    return object;
}

static json_t *to_json(const struct hz_watch *watch)
{
    json_t *list = json_array();
    for (size_t i = 0; i < watch->count; i++) {
        const struct hz_watched *w = &watch->list[i];
        json_t *by_thread = json_array();
        for (uint32_t lane = 0; lane < w->lanes; lane++)
            json_array_append_new(by_thread, stats_json(&w->by_lane[lane]));
        json_array_append_new(
                list, json_pack("{s:s,s:s,s:s,s:o?,s:I,s:I,s:I,s:I,s:I,s:f,s:f,s:f,s:o,s:o}", "id", w->id, "workflowId",
                              w->workflow_id, "progress", hz_progress_name((enum hz_progress)w->progress), "progressNode",
                              json_string(w->progress_node), "processId", (json_int_t)w->pid, "port", (json_int_t)w->port, "threads",
                              (json_int_t)w->lanes, "createdMs", (json_int_t)w->created_wall_ms, "rssBytes",
                              (json_int_t)w->rss_bytes, "cpuPercent", w->cpu_percent, "executionsPerSecond",
                              w->executions_per_s, "nodeRunsPerSecond", w->node_runs_per_s, "stats", stats_json(&w->stats), "byThread", by_thread));
    }
    return json_pack("{s:I,s:o}", "timeMs", (json_int_t)hz_base_wall_ms(), "workers", list);
}

static void print_row(const struct hz_watched *w, bool full)
{
    char up[16], memory[16];
    hz_cli_span(up, hz_base_wall_ms() - w->created_wall_ms);
    hz_cli_bytes(memory, w->rss_bytes);
    uint64_t drops = w->stats.v[HZ_STAT_drops_log] + w->stats.v[HZ_STAT_drops_progress] +
                     w->stats.v[HZ_STAT_drops_metrics] + w->stats.v[HZ_STAT_drops_hop];
    char progress[40];
    snprintf(progress, sizeof progress, "%s%s%s", hz_progress_name((enum hz_progress)w->progress), w->progress_node[0] ? " " : "", w->progress_node);
    for (char *p = progress; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = ' '; /* it must not move the cursor */
    printf("%-8.8s  %-24.24s  %-14s  %7u  %5u  %6s  %6.1f  %9s  %9.0f  %10.0f  %8llu  %6llu  %6llu  %6llu%s\n", w->id,
            w->workflow_id, progress, (unsigned)w->pid, (unsigned)w->port, up, w->cpu_percent, memory, w->executions_per_s,
            w->node_runs_per_s, (unsigned long long)w->stats.v[HZ_STAT_executions_finished],
            (unsigned long long)w->stats.v[HZ_STAT_node_errors], (unsigned long long)w->stats.v[HZ_STAT_queue_depth],
            (unsigned long long)drops, full ? "\033[K" : "");
}

static void print_thread(const struct hz_stats *stats, uint32_t index, bool full)
{
    printf("  thread %-2u  done %llu  stolen %llu  node runs %llu  errors %llu  queue %llu  waits for the ring %llu%s\n", (unsigned)index,
            (unsigned long long)stats->v[HZ_STAT_executions_finished], (unsigned long long)stats->v[HZ_STAT_steals],
            (unsigned long long)stats->v[HZ_STAT_node_runs], (unsigned long long)stats->v[HZ_STAT_node_errors],
            (unsigned long long)stats->v[HZ_STAT_queue_depth], (unsigned long long)stats->v[HZ_STAT_result_ring_waits],
            full ? "\033[K" : "");
}

/* rows: lines of the terminal, 0: all there is and no escape sequences. */
static void show(struct hz_watch *watch, int rows)
{
    bool full = rows > 0;
    double cpu = 0, executions = 0;
    uint64_t memory = 0;
    for (size_t i = 0; i < watch->count; i++) {
        cpu += watch->list[i].cpu_percent;
        executions += watch->list[i].executions_per_s;
        memory += watch->list[i].rss_bytes;
    }
    if (watch->count)
        qsort(watch->list, watch->count, sizeof *watch->list, compare);
    char total[16];
    hz_cli_bytes(total, memory);
    if (full)
        printf("\033[H");
    printf("%zu workers  %.1f %% of a CPU  %s  %.0f executions/s  by %s%s\n", watch->count, cpu, total, executions,
            sort_names[sort_order], full ? "  (keys: a c m e w sort, t threads, q ends)\033[K" : "");
    printf("%s%-8s  %-24s  %-14s  %7s  %5s  %6s  %6s  %9s  %9s  %10s  %8s  %6s  %6s  %6s%s\n", full ? "\033[7m" : "", "ID",
            "WORKFLOW", "PROGRESS", "PID", "PORT", "UP", "CPU %", "MEMORY", "EXEC/S", "NODES/S", "DONE", "ERRORS", "QUEUE", "DROPS",
            full ? "\033[K\033[0m" : "");
    size_t most = full ? (size_t)HZ_MAX(rows - 3, 1) : watch->count;
    for (size_t i = 0, row = 0; i < watch->count && row < most; i++, row++) {
        print_row(&watch->list[i], full);
        for (uint32_t lane = 0; show_threads && lane < watch->list[i].lanes && (!full || ++row < most); lane++)
            print_thread(&watch->list[i].by_lane[lane], lane, full);
    }
    if (full)
        printf("\033[J");
    fflush(stdout);
}

/* ---- the live screen ---- */
static void on_signal(int number)
{
    (void)number;
    interrupted = 1;
}

static void leave_screen(void)
{
    printf("\033[?25h\033[?1049l");
    fflush(stdout);
    tcsetattr(STDIN_FILENO, TCSANOW, &saved);
}

static bool enter_screen(void)
{
    if (tcgetattr(STDIN_FILENO, &saved))
        return false;
    struct termios raw = saved;
    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    if (tcsetattr(STDIN_FILENO, TCSANOW, &raw))
        return false;
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    printf("\033[?1049h\033[?25l\033[2J");
    return true;
}

/* Waits for a key or the next look; false: end. */
static bool take_keys(void)
{
    struct pollfd poll_fd = {.fd = STDIN_FILENO, .events = POLLIN};
    int ready = poll(&poll_fd, 1, REFRESH_MS);
    if (interrupted || (ready < 0 && errno != EINTR))
        return false;
    char key;
    if (ready <= 0)
        return true;
    if (read(STDIN_FILENO, &key, 1) != 1 || key == 'q')
        return false;
    if (key == 't')
        show_threads = !show_threads;
    for (int i = 0; i < SORTS; i++)
        if (sort_keys[i] == key)
            sort_order = i;
    return true;
}

static int live(struct hz_watch *watch, const char *instance)
{
    if (!enter_screen())
        return hz_cli_error(HZ_EXIT_FAILED, "standard input is no terminal; use --once");
    int err = 0;
    do {
        struct winsize size = {.ws_row = 24};
        (void)ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
        err = hz_watch_look(watch, instance);
        if (!err)
            show(watch, HZ_MAX((int)size.ws_row, 4));
    } while (!err && take_keys());
    leave_screen();
    return err ? hz_cli_error(HZ_EXIT_FAILED, "%s", hz_err_last()) : HZ_EXIT_OK;
}

/* Two looks, so that there are rates. */
static int once(struct hz_watch *watch, const char *instance, bool json)
{
    int err = hz_watch_look(watch, instance);
    usleep(FIRST_MS * 1000);
    if (!err)
        err = hz_watch_look(watch, instance);
    if (err)
        return hz_cli_error(HZ_EXIT_FAILED, "%s", hz_err_last());
    if (!json) {
        show(watch, 0);
        return HZ_EXIT_OK;
    }
    char *text = NULL;
    json_t *value = to_json(watch);
    text = value ? hz_json_text_print(value, 0, NULL) : NULL; /* one line, for a terminal too */
    json_decref(value);
    if (!text)
        return hz_cli_error(HZ_EXIT_FAILED, "out of memory");
    puts(text);
    free(text);
    return HZ_EXIT_OK;
}

static int run(const struct hz_args *args)
{
    char instance[9];
    struct hz_watch watch = {NULL, 0, 0};
    const char *sort = hz_args_value(args, "--sort");
    for (int i = 0; sort && i <= SORTS; i++) {
        if (i == SORTS)
            return hz_cli_error(
                    HZ_EXIT_USAGE, "--sort is \"%s\", expected age, cpu, memory, executions or workflow", sort);
        sort_order = i;
        if (strcmp(sort_names[i], sort) == 0)
            break;
    }
    show_threads = hz_args_has(args, "--threads");
    bool all = hz_args_has(args, "--all"), json = hz_args_has(args, "--json");
    if (!all && !read_instance(hz_args_data(args), instance))
        return hz_cli_error(HZ_EXIT_FAILED,
                "%s is no data directory of `horizon serve`; --data names another, --all shows the workers of all",
                hz_args_data(args));
    int code = json || hz_args_has(args, "--once") || !isatty(STDOUT_FILENO) ? once(&watch, all ? NULL : instance, json)
                                                                             : live(&watch, all ? NULL : instance);
    hz_watch_fini(&watch);
    return code;
}

const struct hz_command hz_command_top = {.name = "top",
        .words = "[--once] [--json] [--sort KEY] [--threads] [--all] [--data DIR]",
        .summary = "Shows the workers and what they do, live",
        .text = "Reads the workers' shared memory itself and asks nobody. Keys: a c m e w sort by age, CPU, memory, "
                "executions, workflow; t shows each worker's threads; q ends.",
        .options = {{"--once", 0, NULL, "print the table once and end"},
                {"--json", 0, NULL, "for programs: one line of JSON, once"},
                {"--sort", 0, "KEY", "age, cpu, memory, executions or workflow"},
                {"--threads", 0, NULL, "a line for each thread of a worker below its own"},
                {"--all", 0, NULL, "workers of every data directory"}, HZ_OPTION_DATA},
        .least = 0,
        .most = 0,
        .run = run};
