/* doctor_place.c - the data directory, the ports, and what dead servers left behind. */
#include "doctor.h"

#include "core/cgroup.h"
#include "core/policy.h"
#include "core/uids.h"
#include "shm/err.h"
#include "shm/shm.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/un.h>
#include <unistd.h>

/* ---- data directory ---- */
static bool is_served(const char *data_dir)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if ((size_t)snprintf(address.sun_path, sizeof address.sun_path, "%s/horizon.sock", data_dir) >=
            sizeof address.sun_path)
        return false;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool ok = fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof address) == 0;
    if (fd >= 0)
        close(fd);
    return ok;
}

/* The nearest folder above that is there. Caller frees. */
static char *nearest_folder(const char *path)
{
    char *at = strdup(path);
    struct stat info;
    while (at && stat(at, &info) && strcmp(at, "/") != 0 && strcmp(at, ".") != 0) {
        char *copy = at;
        at = strdup(dirname(copy));
        free(copy);
    }
    return at;
}

static void check_folder(struct hz_doctor *doctor, const struct stat *info)
{
    const char *dir = doctor->data_dir;
    char cure[256];
    if (!S_ISDIR(info->st_mode)) {
        hz_doctor_find(doctor, HZ_FINDING_BAD, "data", "name another with --data", "%s is no directory", dir);
        return;
    }
    if (access(dir, R_OK | W_OK | X_OK)) {
        snprintf(cure, sizeof cure, "chown -R %u %.200s, or another directory with --data", (unsigned)geteuid(), dir);
        hz_doctor_find(doctor, HZ_FINDING_BAD, "data", cure,
                "%s: no rights to read and write it: %s (it belongs to user %u)", dir, strerror(errno),
                (unsigned)info->st_uid);
        return;
    }
    if (info->st_mode & 077) {
        snprintf(cure, sizeof cure, "chmod 700 %.200s", dir);
        hz_doctor_find(doctor, HZ_FINDING_WARN, "data", cure, "%s may be read by others (mode %03o)", dir,
                (unsigned)(info->st_mode & 0777));
        return;
    }
    struct statvfs disk;
    char left[16] = "?";
    bool little = false;
    if (statvfs(dir, &disk) == 0) {
        uint64_t bytes = (uint64_t)disk.f_bavail * disk.f_frsize;
        hz_cli_bytes(left, bytes);
        little = bytes < UINT64_C(64) << 20;
    }
    hz_doctor_find(doctor, little ? HZ_FINDING_BAD : HZ_FINDING_OK, "data", little ? "make room on its disk" : "",
            "%s is ours, %s free%s", dir, left, doctor->served ? ", a server runs on it" : "");
}

void hz_doctor_data(struct hz_doctor *doctor)
{
    struct stat info;
    doctor->served = is_served(doctor->data_dir);
    if (stat(doctor->data_dir, &info) == 0) {
        check_folder(doctor, &info);
        return;
    }
    if (errno != ENOENT) {
        hz_doctor_find(doctor, HZ_FINDING_BAD, "data", "another directory with --data", "%s: %s", doctor->data_dir,
                strerror(errno));
        return;
    }
    char *above = nearest_folder(doctor->data_dir);
    bool ok = above && access(above, W_OK | X_OK) == 0;
    hz_doctor_find(doctor, ok ? HZ_FINDING_OK : HZ_FINDING_BAD, "data", ok ? "" : "another directory with --data",
            ok ? "%s is not there yet, it can be made in %s" : "%s cannot be made: no rights to write in %s",
            doctor->data_dir, above ? above : "?");
    free(above);
}

/* ---- ports ---- */
static bool can_bind(uint32_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    bool ok = fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0 &&
              bind(fd, (const struct sockaddr *)&address, sizeof address) == 0;
    if (fd >= 0)
        close(fd);
    return ok;
}

static void check_server_port(struct hz_doctor *doctor)
{
    uint32_t port = doctor->config->server_port;
    if (port == 0)
        return;
    bool free_port = can_bind(port);
    if (free_port || doctor->served)
        hz_doctor_find(doctor, HZ_FINDING_OK, "server port", "", "port %u is %s", port,
                free_port ? "free" : "in use, presumably by the server that runs");
    else
        hz_doctor_find(doctor, HZ_FINDING_BAD, "server port",
                "end that program (ss -ltnp names it), or set SERVER_PORT", "port %u is held by another program", port);
}

void hz_doctor_ports(struct hz_doctor *doctor)
{
    uint32_t first = doctor->config->worker_port_start, last = doctor->config->worker_port_end, held = 0;
    char list[128] = "";
    check_server_port(doctor);
    for (uint32_t port = first; port <= last; port++) {
        if (port == doctor->config->server_port || can_bind(port))
            continue;
        size_t used = strlen(list);
        if (held < 8)
            snprintf(list + used, sizeof list - used, "%s%u", used ? ", " : "", port);
        else if (held == 8)
            snprintf(list + used, sizeof list - used, " ...");
        held++;
    }
    uint32_t count = last - first + 1;
    if (held == 0)
        hz_doctor_find(doctor, HZ_FINDING_OK, "worker ports", "", "ports %u to %u are free", first, last);
    else
        hz_doctor_find(doctor, held < count ? HZ_FINDING_OK : HZ_FINDING_BAD, "worker ports",
                held < count ? "" : "set WORKER_PORT_START and WORKER_PORT_END to a range that is free",
                "ports %u to %u: %u of %u are in use%s: %s", first, last, held, count,
                doctor->served ? " (by the server's workers or by other programs)" : " by other programs", list);
}

/* ---- left-over segments ---- */
struct leftovers {
    char instance[9];
    bool served;
    unsigned count;
    char list[512];
};

/* The manager that made it has ended? Unreadable ones are judged by the name alone: of this directory, and nobody
 * serves it. */
static bool is_left_over(const struct leftovers *left, const char *name)
{
    if (left->instance[0] && strncmp(name, "/horizon-", 9) == 0 && strncmp(name + 9, left->instance, 8) == 0)
        return !left->served;
    struct hz_segment segment;
    if (hz_segment_observe(&segment, name))
        return false; /* of another user, or no segment at all */
    uint32_t pid = segment.header->manager_pid;
    hz_segment_detach(&segment);
    return pid > 0 && pid <= INT32_MAX && kill((pid_t)pid, 0) && errno == ESRCH;
}

static void on_segment(const char *name, void *arg)
{
    struct leftovers *left = arg;
    if (!is_left_over(left, name))
        return;
    size_t used = strlen(left->list);
    if (left->count < 4)
        snprintf(left->list + used, sizeof left->list - used, "%s%s", used ? ", " : "",
                name[0] == '/' ? name + 1 : name);
    left->count++;
}

void hz_doctor_segments(struct hz_doctor *doctor)
{
    struct leftovers left = {.served = doctor->served};
    char *path = NULL;
    int fd = asprintf(&path, "%s/instance", doctor->data_dir) < 0 ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        if (read(fd, left.instance, 8) != 8)
            left.instance[0] = 0;
        close(fd);
    }
    free(path);
    int found = hz_segment_list(NULL, on_segment, &left);
    if (found < 0)
        hz_doctor_find(doctor, HZ_FINDING_BAD, "segments", "", "/dev/shm cannot be listed: %s", strerror(-found));
    else if (left.count)
        hz_doctor_find(doctor, HZ_FINDING_WARN, "segments",
                "the next `horizon serve` on the same data directory removes its own; rm /dev/shm/NAME",
                "%u left over from servers that were killed: %s%s", left.count, left.list,
                left.count > 4 ? " ..." : "");
    else
        hz_doctor_find(doctor, HZ_FINDING_OK, "segments", "", "none is left over (%d in use)", found);
}

/* ---- what workers may do, and as whom ---- */
void hz_doctor_containment(struct hz_doctor *doctor)
{
    char sentence[256];
    bool weak;
    if (hz_policy_open(doctor->config, doctor->data_dir))
        hz_doctor_find(doctor, HZ_FINDING_BAD, "policy", "correct the file; until then the server does not start", "%s", hz_err_last());
    else {
        char *text = hz_policy_text();
        hz_doctor_find(doctor, HZ_FINDING_OK, "policy", "", "%s", text ? text : "out of memory");
        free(text);
    }
    hz_policy_close();
    struct hz_cgroup_place place;
    if (hz_cgroup_find(doctor->config->cgroup, &place))
        hz_doctor_find(doctor, HZ_FINDING_BAD, "control groups", "HORIZON_CGROUP=auto, or a group that the server's user may write", "%s", hz_err_last());
    else
        hz_doctor_find(doctor, HZ_FINDING_OK, "control groups", "", "%s", place.text);
    (void)hz_uids_text(doctor->config, &weak, sentence, sizeof sentence);
    hz_doctor_find(doctor, weak ? HZ_FINDING_WARN : HZ_FINDING_OK, "users", weak ? "HORIZON_WORKER_UID=auto, or a range this host has" : "",
            "%s", sentence);
}
