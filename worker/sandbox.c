/*
 * sandbox.c - enters the sandbox of a worker: limits, no_new_privs, Landlock, seccomp, in this order. Each alone is not enough:
 * Landlock knows paths but neither prlimit on a sibling nor sockets, seccomp knows calls but no paths.
 */
#include "sandbox.h"

#include "sandbox_filter.h"
#include "shm/err.h"

#define HZ_HOST_SIDE
#include <horizon/node.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Later than the kernel headers we build with; the kernel says which it knows. */
#define ACCESS_FS_REFER (1ULL << 13)
#define ACCESS_FS_TRUNCATE (1ULL << 14)
#define ACCESS_FS_IOCTL_DEV (1ULL << 15)
#define ACCESS_NET_BIND_TCP (1ULL << 0)
#define ACCESS_NET_CONNECT_TCP (1ULL << 1)
#define SCOPE_ALL (1ULL << 0 | 1ULL << 1) /* abstract sockets, signals */
#define CAPS_OF_PATHS (HZ_CAP_FS_READ | HZ_CAP_FS_WRITE | HZ_CAP_EXEC)
#define SIGNAL_SCOPE_ABI 6 /* of Landlock: signals stay in the worker's own domain */
#define PROCESSES_DEFAULT 64u
#define FILE_BYTES_MAX ((rlim_t)64 << 20)

struct ruleset_attributes { /* as of ABI 6; older kernels take the beginning */
    uint64_t handled_access_fs, handled_access_net, scoped;
};

static struct {
    struct hz_filter filters[HZ_FILTER_SETS];
    int ruleset; /* for workers without any file and network; -1 none */
    bool ruleset_made;
    bool searches; /* has the one capability of hz_sandbox_keep_search() */
    char missing[64];
} sandbox = {.ruleset = -1};

const char *hz_sandbox_missing(void)
{
    return sandbox.missing;
}

int hz_sandbox_fd(void)
{
    return sandbox.ruleset_made ? sandbox.ruleset : -1;
}

static void miss(const char *what)
{
    size_t used = strlen(sandbox.missing);
    if (!strstr(sandbox.missing, what))
        snprintf(sandbox.missing + used, sizeof sandbox.missing - used, "%s%s", used ? ", " : "", what);
}

static unsigned filter_set(const struct hz_sandbox_options *options, bool sealed)
{
    unsigned set = 0;
    if (options->caps & HZ_CAP_NET)
        set |= HZ_FILTER_NET;
    if (options->caps & HZ_CAP_JIT)
        set |= HZ_FILTER_JIT;
    if (options->script)
        set |= HZ_FILTER_SCRIPT;
    if (options->caps & HZ_CAP_FS_READ)
        set |= HZ_FILTER_READ;
    if (options->caps & HZ_CAP_FS_WRITE)
        set |= HZ_FILTER_WRITE;
    if (options->caps & HZ_CAP_EXEC)
        set |= HZ_FILTER_PROCESS;
    if (options->plugins && !sealed)
        set |= HZ_FILTER_EXEC_FILES;
    return set;
}

static int get_filter(unsigned set, struct hz_filter **ret_filter)
{
    struct hz_filter *filter = &sandbox.filters[set];
    if (!filter->code) {
        int err = hz_filter_build(set, filter);
        if (err)
            return err;
    }
    *ret_filter = filter;
    return 0;
}

/* ---- Landlock ---- */

static void allow_path(int ruleset, const char *path, uint64_t access)
{
    struct landlock_path_beneath_attr rule = {.allowed_access = access, .parent_fd = open(path, O_PATH | O_CLOEXEC)};
    if (rule.parent_fd < 0)
        return; /* what is not there needs no permission */
    if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) && errno == EINVAL) {
        rule.allowed_access &= LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_EXECUTE |
                ACCESS_FS_TRUNCATE; /* a file, not a folder */
        (void)syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
    }
    close(rule.parent_fd);
}

static void allow_network_files(int ruleset)
{
    static const char *const paths[] = {"/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/host.conf", "/etc/gai.conf", "/etc/ssl",
            "/usr/lib/ssl", "/usr/share/ca-certificates", "/etc/ca-certificates", "/run/systemd/resolve"};
    for (size_t i = 0; i < HZ_COUNT_OF(paths); i++)
        allow_path(ruleset, paths[i], LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR);
}

#define ACCESS_LOAD (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR | LANDLOCK_ACCESS_FS_EXECUTE)
#define ACCESS_READ (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define ACCESS_WRITE                                                                                                                  \
    (LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_DIR |   \
            LANDLOCK_ACCESS_FS_MAKE_REG)

static void allow_libraries(int ruleset)
{
    static const char *const libraries[] = {"/lib", "/usr/lib", "/lib64", "/usr/local/lib", "/etc/ld.so.cache"};
    for (size_t i = 0; i < HZ_COUNT_OF(libraries); i++)
        allow_path(ruleset, libraries[i], ACCESS_LOAD);
}

/* What the policy grants. later: rights that this kernel's Landlock knows beyond the first version's. A program that may be executed needs
 * its libraries and /dev/null. */
static void allow_granted(int ruleset, const struct hz_sandbox_options *options, uint64_t later)
{
    const char *at = options->paths, *end = at + options->paths_len;
    for (size_t n; at && at < end; at += n + 1) {
        n = strnlen(at, (size_t)(end - at));
        if (at + n == end || n < 2)
            break; /* not terminated: not ours */
        if (*at == 'r' && options->caps & HZ_CAP_FS_READ)
            allow_path(ruleset, at + 1, ACCESS_READ);
        else if (*at == 'w' && options->caps & HZ_CAP_FS_WRITE)
            allow_path(ruleset, at + 1, ACCESS_READ | ACCESS_WRITE | (later & (ACCESS_FS_REFER | ACCESS_FS_TRUNCATE)));
        else if (*at == 'x' && options->caps & HZ_CAP_EXEC)
            allow_path(ruleset, at + 1, ACCESS_LOAD);
    }
    if (options->caps & HZ_CAP_EXEC) {
        allow_libraries(ruleset);
        allow_path(ruleset, "/dev/null", LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | (later & ACCESS_FS_TRUNCATE));
    }
}

static void allow_plugin_files(int ruleset, const char *paths)
{
    const uint64_t access = ACCESS_LOAD;
    allow_libraries(ruleset);
    char *copy = paths ? strdup(paths) : NULL, *save = NULL;
    for (char *path = copy ? strtok_r(copy, ":", &save) : NULL; path; path = strtok_r(NULL, ":", &save))
        allow_path(ruleset, path, access);
    free(copy);
}

/* What JavaScriptCore reads when it starts: randomness, the bounds of the main thread's stack, the number of processors. The ruleset
 * of such a worker is made in the worker, so that `self` is the worker. */
static const char *const script_files[] = {"/dev/urandom", "/proc/self/maps", "/sys/devices/system/cpu/online"};

/* -errno if the kernel has no Landlock. Everything the kernel's version can handle is handled, hence refused. */
static int make_ruleset(const struct hz_sandbox_options *options)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    if (abi < 0)
        return -errno;
    struct ruleset_attributes attributes = {.handled_access_fs = (1ULL << 13) - 1};
    size_t size = sizeof attributes.handled_access_fs;
    if (abi >= 2)
        attributes.handled_access_fs |= ACCESS_FS_REFER;
    if (abi >= 3)
        attributes.handled_access_fs |= ACCESS_FS_TRUNCATE;
    if (abi >= 5)
        attributes.handled_access_fs |= ACCESS_FS_IOCTL_DEV;
    bool network = options->caps & HZ_CAP_NET;
    if (abi >= 4) {
        attributes.handled_access_net = network ? ACCESS_NET_BIND_TCP : ACCESS_NET_BIND_TCP | ACCESS_NET_CONNECT_TCP;
        size = offsetof(struct ruleset_attributes, scoped);
    }
    if (abi >= 6) {
        attributes.scoped = SCOPE_ALL;
        size = sizeof attributes;
    }
    int ruleset = (int)syscall(SYS_landlock_create_ruleset, &attributes, size, 0);
    if (ruleset < 0)
        return -errno;
    if (network)
        allow_network_files(ruleset);
    for (size_t i = 0; i < HZ_COUNT_OF(script_files) && options->script; i++)
        allow_path(ruleset, script_files[i], LANDLOCK_ACCESS_FS_READ_FILE);
    if (options->plugins)
        allow_plugin_files(ruleset, options->plugin_path);
    allow_granted(ruleset, options, attributes.handled_access_fs);
    return ruleset;
}

static bool is_plain(const struct hz_sandbox_options *options)
{
    return !options->plugins && !options->script && !(options->caps & (HZ_CAP_NET | CAPS_OF_PATHS));
}

static int enter_landlock(const struct hz_sandbox_options *options)
{
    bool keep = is_plain(options);
    int ruleset = keep && sandbox.ruleset_made ? sandbox.ruleset : make_ruleset(options);
    if (ruleset < 0)
        return ruleset;
    int err = syscall(SYS_landlock_restrict_self, ruleset, 0) ? -errno : 0;
    close(ruleset);
    sandbox.ruleset = -1;
    sandbox.ruleset_made = false;
    return err;
}

/* ---- limits ---- */

static void set_limit(int which, rlim_t value)
{
    struct rlimit now;
    if (getrlimit((__rlimit_resource_t)which, &now))
        return;
    if (now.rlim_max != RLIM_INFINITY && value > now.rlim_max)
        value = now.rlim_max;
    struct rlimit limit = {value, value};
    (void)setrlimit((__rlimit_resource_t)which, &limit); /* a limit can always be lowered */
}

/* Processes and threads that our user has now: the limit counts them all. */
static rlim_t tasks_of_user(void)
{
    rlim_t count = 0;
    DIR *proc = opendir("/proc");
    char path[300];
    for (const struct dirent *entry; proc && (entry = readdir(proc)) != NULL;) {
        if (entry->d_name[0] < '1' || entry->d_name[0] > '9')
            continue;
        snprintf(path, sizeof path, "/proc/%s/status", entry->d_name);
        FILE *file = fopen(path, "re");
        unsigned uid = UINT_MAX, threads = 0;
        for (char line[256]; file && fgets(line, sizeof line, file);)
            if (sscanf(line, "Uid: %u", &uid) == 1 || sscanf(line, "Threads: %u", &threads) == 1)
                continue;
        if (file)
            fclose(file);
        count += uid == geteuid() ? threads : 0;
    }
    if (proc)
        closedir(proc);
    return count;
}

static void set_limits(const struct hz_sandbox_options *options)
{
    if (options->caps & HZ_CAP_EXEC)
        set_limit(RLIMIT_NPROC, tasks_of_user() + (options->processes ? options->processes : PROCESSES_DEFAULT));
    if (options->tasks)
        set_limit(RLIMIT_NPROC, options->tasks);
    (void)signal(SIGXFSZ, SIG_IGN);
    set_limit(RLIMIT_CORE, 0); /* a core file holds the flow's secrets */
    set_limit(RLIMIT_FSIZE, FILE_BYTES_MAX);
    if (options->open_files)
        set_limit(RLIMIT_NOFILE, options->open_files);
    /* JavaScriptCore reserves 70 GB of address space that counts as data: the manager watches such workers instead. */
    if (options->memory_limit_bytes && !options->script)
        set_limit(RLIMIT_DATA, options->memory_limit_bytes);
}

static int set_capabilities(uint64_t set)
{
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2] = {{.effective = (uint32_t)set, .permitted = (uint32_t)set},
            {.effective = (uint32_t)(set >> 32), .permitted = (uint32_t)(set >> 32)}};
    return syscall(SYS_capset, &head, data) ? -errno : 0;
}

int hz_sandbox_keep_search(void)
{
    int err = set_capabilities(UINT64_C(1) << CAP_DAC_READ_SEARCH);
    sandbox.searches = err == 0;
    return err ? hz_err_set(err, "capabilities") : 0;
}

static int drop_search(void)
{
    int err = sandbox.searches ? set_capabilities(0) : 0;
    sandbox.searches = false;
    return err ? hz_err_set(err, "capabilities") : 0;
}

int hz_sandbox_prepare(const struct hz_sandbox_options *options)
{
    struct hz_filter *filter;
    if (options->mode == HZ_SANDBOX_MODE_OFF)
        return 0;
    int err = get_filter(filter_set(options, false), &filter);
    if (!err && options->plugins)
        err = get_filter(filter_set(options, true), &filter);
    if (is_plain(options) && !sandbox.ruleset_made) {
        sandbox.ruleset = make_ruleset(options);
        sandbox.ruleset_made = sandbox.ruleset >= 0;
    }
    return err;
}

/* Files and signals are Landlock's to bound: without it these capabilities would open the whole machine, so they are not given. */
static int check_paths_hold(const struct hz_sandbox_options *options)
{
    long abi = options->caps & CAPS_OF_PATHS ? syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) : SIGNAL_SCOPE_ABI;
    if (abi < 1)
        return hz_err_set(HZ_EREFUSED, "sandbox: fs:read, fs:write and exec need a kernel with Landlock");
    if (options->caps & HZ_CAP_EXEC && abi < SIGNAL_SCOPE_ABI)
        return hz_err_set(HZ_EREFUSED, "sandbox: exec needs a kernel whose Landlock keeps signals in (6.12 or newer)");
    if (options->caps & HZ_CAP_EXEC && geteuid() == 0) /* whom no limit of processes binds */
        return hz_err_set(HZ_EREFUSED, "sandbox: exec is not given to a worker of user root (HORIZON_WORKER_UID)");
    return 0;
}

int hz_sandbox_enter(const struct hz_sandbox_options *options)
{
    struct hz_filter *filter = NULL;
    set_limits(options);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        return hz_err_set(-errno, "sandbox: no_new_privs");
    if (options->mode == HZ_SANDBOX_MODE_OFF)
        return drop_search();
    int refused = check_paths_hold(options);
    if (refused)
        return refused;
    int err = get_filter(filter_set(options, false), &filter); /* before the calls it takes are gone */
    struct hz_filter *seal;
    if (!err && options->plugins)
        err = get_filter(filter_set(options, true), &seal);
    if (enter_landlock(options)) {
        if (options->caps & CAPS_OF_PATHS)
            return hz_err_set(HZ_EREFUSED, "sandbox: Landlock refused the rules of this workflow");
        miss("landlock");
    }
    if (!options->plugins || *sandbox.missing) { /* only Landlock bounds what it finds */
        int dropped = drop_search();
        if (dropped)
            return dropped;
    }
    if (!err)
        err = hz_filter_load(filter);
    if (err)
        miss("seccomp");
    if (*sandbox.missing && options->mode == HZ_SANDBOX_MODE_REQUIRE)
        return hz_err_set(HZ_EREFUSED, "sandbox: this kernel offers no %s and HORIZON_SANDBOX=require", sandbox.missing);
    return 0;
}

int hz_sandbox_seal(const struct hz_sandbox_options *options)
{
    struct hz_filter *filter;
    if (options->mode == HZ_SANDBOX_MODE_OFF || !options->plugins)
        return 0;
    int err = drop_search();
    if (err)
        return err;
    err = get_filter(filter_set(options, true), &filter);
    if (!err)
        err = hz_filter_load(filter);
    if (err && options->mode == HZ_SANDBOX_MODE_REQUIRE)
        return hz_err_set(HZ_EREFUSED, "sandbox: the seal was refused");
    return 0;
}
