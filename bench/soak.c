/*
 * soak.c - horizon-soak resident|isolated EXECUTIONS: runs so many executions of five nodes and prints, 200 times on the way and between
 * two portions, what manager, workers and store hold: a line of CSV. script/soak judges and draws it.
 */
#include "manager.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PORTIONS 200u
#define LOOKS 100u
#define LOOKS_SAME 4u
#define LOOK_NS 10000000L

struct soak {
    bool resident;
    uint32_t total;
};
struct held {
    double rss_kib;
    unsigned descriptors, processes;
};

static unsigned count_entries(const char *path)
{
    unsigned count = 0;
    DIR *folder = opendir(path);
    for (struct dirent *entry; folder && (entry = readdir(folder)) != NULL;)
        count += entry->d_name[0] != '.';
    if (folder)
        closedir(folder);
    return count;
}

/* Adds a process to what is held; nothing if it ended meanwhile. */
static void add_process(const char *pid, struct held *held)
{
    char path[300];
    unsigned long pages = 0;
    snprintf(path, sizeof path, "/proc/%s/statm", pid);
    FILE *f = fopen(path, "re");
    if (f && fscanf(f, "%*u %lu", &pages) != 1)
        pages = 0;
    if (f)
        fclose(f);
    if (pages == 0)
        return;
    snprintf(path, sizeof path, "/proc/%s/fd", pid);
    held->rss_kib += (double)pages * (double)sysconf(_SC_PAGE_SIZE) / 1024;
    held->descriptors += count_entries(path);
    held->processes++;
}

static int parent_of(const char *pid)
{
    char path[300], line[512];
    int parent = 0;
    snprintf(path, sizeof path, "/proc/%s/stat", pid);
    FILE *f = fopen(path, "re");
    size_t len = f ? fread(line, 1, sizeof line - 1, f) : 0;
    if (f)
        fclose(f);
    line[len] = 0;
    const char *end = strrchr(line, ')');
    return end && sscanf(end + 1, " %*c %d", &parent) == 1 ? parent : 0;
}

static void add_children(struct held *held)
{
    DIR *proc = opendir("/proc");
    for (struct dirent *entry; proc && (entry = readdir(proc)) != NULL;)
        if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9' && parent_of(entry->d_name) == getpid())
            add_process(entry->d_name, held);
    if (proc)
        closedir(proc);
}

static double file_kib(const char *directory, const char *name)
{
    char path[600];
    struct stat st;
    snprintf(path, sizeof path, "%s/%s", directory, name);
    return stat(path, &st) ? 0 : (double)st.st_size / 1024;
}

/* At rest: between two portions workers still end and spares are still made, so the same must be seen several times in a row. */
static void look(struct held *manager, struct held *children)
{
    struct held before = {0};
    unsigned same = 0;
    for (unsigned i = 0; i < LOOKS && same < LOOKS_SAME; i++) {
        nanosleep(&(struct timespec){.tv_nsec = LOOK_NS}, NULL);
        memset(manager, 0, sizeof *manager);
        memset(children, 0, sizeof *children);
        add_process("self", manager);
        add_children(children);
        bool is_same = manager->descriptors == before.descriptors && children->processes == before.processes;
        same = is_same ? same + 1 : 0;
        before = *manager;
        before.processes = children->processes;
    }
}

static void sample(const struct hz_config *config, uint32_t executions, double seconds)
{
    struct held manager, children;
    look(&manager, &children);
    printf("%u,%.2f,%.0f,%u,%.0f,%u,%u,%.0f\n", executions, seconds, manager.rss_kib, manager.descriptors, children.rss_kib, children.descriptors,
            children.processes, file_kib(config->data_dir, "horizon.db") + file_kib(config->data_dir, "horizon.db-wal"));
    fflush(stdout);
}

static bool drive(const struct hz_config *config, void *arg)
{
    const struct soak *soak = arg;
    char *text = hz_bench_chain("manual_trigger", 5, soak->resident ? "{\"isolation\":\"resident\"}" : "{\"isolation\":\"isolated\"}", NULL, NULL);
    struct hz_workflow *workflow = hz_bench_workflow("soak", text);
    uint32_t portion = soak->total / PORTIONS;
    double seconds = 0;
    free(text);
    if (!workflow)
        return false;
    printf("executions,seconds,manager_rss_kib,manager_descriptors,workers_rss_kib,workers_descriptors,workers,store_kib\n");
    for (uint32_t done = 0; done < soak->total;) {
        double took = hz_bench_executions(workflow, portion, soak->resident ? 512 : 16);
        if (took <= 0)
            return false;
        seconds += took;
        done += portion;
        sample(config, done, seconds);
    }
    hz_workflow_unref(&workflow);
    return true;
}

int main(int argc, char **argv)
{
    char *end = NULL;
    unsigned long total = argc == 3 ? strtoul(argv[2], &end, 10) : 0;
    bool resident = argc == 3 && strcmp(argv[1], "resident") == 0;
    if (argc != 3 || *end || total < PORTIONS || total > 1000000000 || (!resident && strcmp(argv[1], "isolated") != 0)) {
        fprintf(stderr, "usage: %s resident|isolated EXECUTIONS (%u to 1000000000)\n", argv[0], PORTIONS);
        return 2;
    }
    (void)setenv("HORIZON_HISTORY", "10000", 0); /* full long before what is judged begins */
    struct soak *soak = hz_bench_shared(sizeof *soak);
    *soak = (struct soak){.resident = resident, .total = (uint32_t)total};
    struct hz_bench_manager options = {.spares = 2, .drive = drive};
    return hz_bench_manager_run(&options, soak) ? 0 : 1;
}
