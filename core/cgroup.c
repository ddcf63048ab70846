/* cgroup.c - see cgroup.h. `cgroup.place` is written before the shards run and after they ended, and only read between. */
#include "cgroup.h"

#include "shm/err.h"
#include "shm/log.h"
#include "shm/spawn.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LEAF "horizon-manager"
#define PREFIX HZ_SPAWN_GROUP_PREFIX
#define THREADS 64u            /* a group counts threads too */
#define PROCESSES_DEFAULT 64u  /* of a worker that may start programs and has no limit */
#define PATH 640

static struct {
    struct hz_cgroup_place place;
    atomic_bool said; /* that a group could not be made: once is enough */
} cgroup;

static int write_text(const char *folder, const char *file, const char *text)
{
    char path[PATH];
    if ((size_t)snprintf(path, sizeof path, "%s/%s", folder, file) >= sizeof path)
        return -ENAMETOOLONG;
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int err = write(fd, text, strlen(text)) < 0 ? -errno : 0;
    close(fd);
    return err;
}

static int write_number(const char *folder, const char *file, uint64_t number)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRIu64, number);
    return write_text(folder, file, text);
}

/* The beginning of a file; "" if there is none. */
static const char *read_text(const char *folder, const char *file, char *text, size_t size)
{
    char path[PATH];
    text[0] = 0;
    if ((size_t)snprintf(path, sizeof path, "%s/%s", folder, file) >= sizeof path)
        return text;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, size - 1);
    if (fd >= 0)
        close(fd);
    text[HZ_MAX(n, 0)] = 0;
    return text;
}

uint64_t hz_cgroup_number(const char *text, const char *key)
{
    size_t len = strlen(key);
    for (const char *line = text; line && *line; line = strchr(line, '\n'), line += line != NULL)
        if (strncmp(line, key, len) == 0 && line[len] == ' ')
            return strtoull(line + len + 1, NULL, 10);
    return 0;
}

static bool has_word(const char *text, const char *word)
{
    size_t len = strlen(word);
    for (const char *at = text; (at = strstr(at, word)) != NULL; at += len)
        if ((at == text || at[-1] == ' ') && (at[len] == ' ' || at[len] == '\n' || at[len] == 0))
            return true;
    return false;
}

/* ---- finding ---- */

/* Where the version 2 tree is mounted, and which part of it that is. */
static bool find_mount(char mount[256], char root[256])
{
    char line[1024];
    bool found = false;
    FILE *file = fopen("/proc/self/mountinfo", "re");
    while (file && !found && fgets(line, sizeof line, file))
        found = strstr(line, " - cgroup2 ") && sscanf(line, "%*s %*s %*s %255s %255s", root, mount) == 2;
    if (file)
        fclose(file);
    return found;
}

static bool find_own(char *path, size_t size)
{
    char mount[256], root[256], line[512], *own = NULL;
    if (!find_mount(mount, root))
        return false;
    FILE *file = fopen("/proc/self/cgroup", "re");
    while (file && !own && fgets(line, sizeof line, file))
        if (strncmp(line, "0::", 3) == 0)
            own = line + 3;
    if (file)
        fclose(file);
    if (!own)
        return false;
    own[strcspn(own, "\n")] = 0;
    size_t skipped = strcmp(root, "/") == 0 ? 0 : strlen(root);
    if (skipped > 0 && strncmp(own, root, skipped) == 0)
        own += skipped;
    size_t len = (size_t)snprintf(path, size, "%s%s", mount, strcmp(own, "/") == 0 ? "" : own);
    if (len >= size)
        return false;
    char *last = strrchr(path, '/');
    if (last && strcmp(last + 1, LEAF) == 0) /* we moved there before we executed ourselves anew */
        *last = 0;
    return true;
}

/* Why this folder cannot be ours; NULL: it can. */
static const char *objection(const char *path)
{
    static const char *const files[] = {"cgroup.procs", "cgroup.subtree_control", "."};
    char file[PATH], text[64];
    snprintf(file, sizeof file, "%s/cgroup.controllers", path);
    if (access(file, F_OK))
        return "it is no control group of version 2";
    if (!*read_text(path, "cgroup.type", text, sizeof text))
        return "it is the root of all groups";
    if (strncmp(text, "domain", 6) != 0 || strstr(text, "invalid"))
        return "it is a group of threads";
    for (size_t i = 0; i < HZ_COUNT_OF(files); i++) {
        snprintf(file, sizeof file, "%s/%s", path, files[i]);
        if (access(file, W_OK))
            return "it may not be written";
    }
    return NULL;
}

static bool alone_in(const char *path)
{
    char text[256], *end;
    read_text(path, "cgroup.procs", text, sizeof text);
    long pid = strtol(text, &end, 10);
    return !*text || (pid == getpid() && (*end == 0 || strcmp(end, "\n") == 0));
}

int hz_cgroup_find(const char *setting, struct hz_cgroup_place *ret)
{
    char text[256];
    const char *why = NULL;
    bool given = setting && setting[0] == '/';
    memset(ret, 0, sizeof *ret);
    if (setting && strcmp(setting, "off") == 0)
        why = "HORIZON_CGROUP=off";
    else if (given)
        snprintf(ret->base, sizeof ret->base, "%s", setting);
    else if (!find_own(ret->base, sizeof ret->base))
        why = "there is no tree of version 2";
    if (!why)
        why = objection(ret->base);
    if (!why && !given && !alone_in(ret->base))
        why = "other processes are in our group";
    read_text(ret->base, "cgroup.controllers", text, sizeof text);
    ret->memory = !why && has_word(text, "memory");
    ret->pids = !why && has_word(text, "pids");
    if (!why && !given && !ret->memory && !ret->pids)
        why = "our group has neither memory nor pids";
    ret->on = !why;
    if (ret->on)
        snprintf(ret->text, sizeof ret->text, "below %.200s, one for each worker with limits or programs: memory by %s, processes by %s, CPU time counted",
                ret->base, ret->memory ? "memory.max" : "sampling", ret->pids ? "pids.max" : "counting");
    else
        snprintf(ret->text, sizeof ret->text, "none (%s): memory by sampling and RLIMIT_DATA, processes by counting and RLIMIT_NPROC", why);
    return !why || !given ? 0 : hz_err_set(HZ_EREFUSED, "HORIZON_CGROUP is %.200s: %s", setting, why);
}

/* ---- the tree ---- */

/* Groups that nobody is in any more. Another manager's that live are not empty. */
static void sweep(void)
{
    char path[PATH];
    DIR *dir = opendir(cgroup.place.base);
    for (const struct dirent *entry; dir && (entry = readdir(dir)) != NULL;)
        if (strncmp(entry->d_name, PREFIX, sizeof PREFIX - 1) == 0 &&
                (size_t)snprintf(path, sizeof path, "%s/%.64s", cgroup.place.base, entry->d_name) < sizeof path)
            (void)rmdir(path);
    if (dir)
        closedir(dir);
}

int hz_cgroup_init(const char *setting, bool alone)
{
    struct hz_cgroup_place *place = &cgroup.place;
    char leaf[PATH];
    int err = hz_cgroup_find(setting, place);
    if (err || !place->on) {
        place->on = false;
        if (!err)
            HZ_LOG(DEBUG, "control groups: %s", place->text);
        return err;
    }
    /* A group that passes controllers on may hold no process itself. */
    snprintf(leaf, sizeof leaf, "%s/" LEAF, place->base);
    err = mkdir(leaf, 0755) && errno != EEXIST ? -errno : write_number(leaf, "cgroup.procs", (uint64_t)getpid());
    if (!err && place->memory)
        err = write_text(place->base, "cgroup.subtree_control", "+memory");
    if (!err && place->pids)
        err = write_text(place->base, "cgroup.subtree_control", "+pids");
    if (err) {
        place->on = false;
        HZ_LOG(WARN, "control groups: %s cannot be used (%s); limits are kept by sampling", place->base, hz_err_text(err));
        return 0;
    }
    if (alone) /* else a worker that has died meanwhile is still to be asked what of */
        sweep();
    HZ_LOG(INFO, "control groups: %s", place->text);
    return 0;
}

void hz_cgroup_fini(void)
{
    if (cgroup.place.on)
        sweep();
    cgroup.place.on = false;
}

/* ---- one worker ---- */

static void folder_of(const struct hz_uuid *id, char path[PATH])
{
    char text[HZ_UUID_TEXT];
    hz_uuid_format(id, text);
    snprintf(path, PATH, "%s/" PREFIX "%s", cgroup.place.base, text);
}

static bool complain(int err)
{
    if (err && !atomic_exchange(&cgroup.said, true))
        HZ_LOG(WARN, "a worker has no control group (%s); its limits are kept by sampling", hz_err_text(err));
    return !err;
}

const char *hz_cgroup_base(void)
{
    return cgroup.place.on ? cgroup.place.base : NULL;
}

bool hz_cgroup_make(const struct hz_uuid *id, uint64_t memory_bytes, uint32_t processes)
{
    char path[PATH];
    if (!cgroup.place.on)
        return false;
    folder_of(id, path);
    int err = mkdir(path, 0755) ? -errno : 0;
    if (!err && cgroup.place.memory && memory_bytes) {
        err = write_number(path, "memory.max", memory_bytes + memory_bytes / 4);
        (void)!write_text(path, "memory.swap.max", "0"); /* not there without swap */
        (void)!write_text(path, "memory.oom.group", "1");
    }
    if (!err && cgroup.place.pids)
        err = write_number(path, "pids.max", (processes ? processes : PROCESSES_DEFAULT) + THREADS);
    if (err)
        (void)rmdir(path);
    return complain(err);
}

bool hz_cgroup_move(const struct hz_uuid *id, int32_t pid)
{
    char path[PATH];
    folder_of(id, path);
    return complain(write_number(path, "cgroup.procs", (uint64_t)pid));
}

uint64_t hz_cgroup_cpu_ns(const struct hz_uuid *id)
{
    char path[PATH], text[512];
    folder_of(id, path);
    return hz_cgroup_number(read_text(path, "cpu.stat", text, sizeof text), "usage_usec") * 1000u;
}

void hz_cgroup_leave(const struct hz_uuid *id, struct hz_cgroup_end *ret)
{
    char path[PATH], text[512];
    folder_of(id, path);
    memset(ret, 0, sizeof *ret);
    ret->killed = hz_cgroup_number(read_text(path, "memory.events", text, sizeof text), "oom_kill") > 0;
    ret->own = hz_cgroup_number(text, "oom") > 0;
    ret->peak_bytes = strtoull(read_text(path, "memory.peak", text, sizeof text), NULL, 10);
    for (int i = 0; rmdir(path) && errno == EBUSY && i < 20; i++) {
        if (i == 0)
            (void)!write_text(path, "cgroup.kill", "1");
        nanosleep(&(struct timespec){.tv_nsec = 500000}, NULL);
    }
}
