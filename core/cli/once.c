/* once.c - see once.h. */
#include "once.h"

#include "command.h"

#include "shm/err.h"
#include "shm/segment.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PREFIX "horizon-run-"
#define YOUNG_S 2 /* between the making of its lock file and the lock */

static void unlink_segment(const char *name, void *arg)
{
    (void)arg;
    (void)hz_segment_unlink(name);
}

/* One whose process was killed before it could clean up: ours, and nobody holds its lock. */
static void sweep_one(const char *base, const char *name)
{
    char path[PATH_MAX], file[PATH_MAX + 16], instance[9] = {0};
    struct stat info;
    if ((size_t)snprintf(path, sizeof path, "%s/%s", base, name) >= sizeof path || lstat(path, &info) || !S_ISDIR(info.st_mode) ||
            info.st_uid != geteuid() || time(NULL) - info.st_mtime < YOUNG_S)
        return;
    snprintf(file, sizeof file, "%s/lock", path);
    int lock = open(file, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    if (lock < 0)
        return;
    if (flock(lock, LOCK_EX | LOCK_NB) == 0) {
        snprintf(file, sizeof file, "%s/instance", path);
        int fd = open(file, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        if (fd >= 0 && read(fd, instance, 8) == 8 && strspn(instance, "0123456789abcdef") == 8)
            (void)hz_segment_list(instance, unlink_segment, NULL);
        if (fd >= 0)
            close(fd);
        hz_cli_remove_tree(path);
    }
    close(lock);
}

static void sweep(const char *base)
{
    DIR *dir = opendir(base);
    for (struct dirent *entry = dir ? readdir(dir) : NULL; entry; entry = readdir(dir))
        if (strncmp(entry->d_name, PREFIX, sizeof PREFIX - 1) == 0)
            sweep_one(base, entry->d_name);
    if (dir)
        closedir(dir);
}

int hz_once_run(struct hz_config *config, void (*started)(void *arg), void *arg)
{
    const char *base = getenv("TMPDIR");
    char dir[PATH_MAX];
    int lock = -1;
    base = base && *base ? base : "/tmp";
    sweep(base);
    snprintf(dir, sizeof dir, "%s/" PREFIX "XXXXXX", base);
    if (!mkdtemp(dir))
        return hz_cli_error(HZ_EXIT_FAILED, "cannot make the temporary directory %s: %s", dir, strerror(errno));
    config->clusters = 1;
    config->spares = 0; /* nobody would take them */
    hz_cli_raise_limits();
    int code;
    if (hz_config_open_data(config, dir, &lock))
        code = hz_cli_error(HZ_EXIT_FAILED, "%s", hz_err_last());
    else
        code = hz_cli_host->run(config, false, true, started, arg);
    if (lock >= 0)
        close(lock);
    hz_cli_remove_tree(dir);
    return code;
}
