/*
 * sandbox.c - enters the sandbox of a worker: limits, no_new_privs, Landlock, seccomp, in this order. Each alone is not enough:
 * Landlock knows paths but neither prlimit on a sibling nor sockets, seccomp knows calls but no paths.
 */
#include "sandbox.h"

#include "sandbox_filter.h"
#include "shm/err.h"

#define HZ_HOST_SIDE
#include <horizon/node.h>

#include <errno.h>
#include <fcntl.h>
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
#define FILE_BYTES_MAX ((rlim_t)64 << 20)

struct ruleset_attributes { /* as of ABI 6; older kernels take the beginning */
    uint64_t handled_access_fs, handled_access_net, scoped;
};

static struct {
    struct hz_filter filters[HZ_FILTER_SETS];
    int ruleset; /* for workers without any file and network; -1 none */
    bool ruleset_made;
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
        rule.allowed_access &= LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_EXECUTE; /* a file, not a folder */
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

static void allow_plugin_files(int ruleset, const char *paths)
{
    static const char *const libraries[] = {"/lib", "/usr/lib", "/lib64", "/usr/local/lib", "/etc/ld.so.cache"};
    const uint64_t access = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR | LANDLOCK_ACCESS_FS_EXECUTE;
    for (size_t i = 0; i < HZ_COUNT_OF(libraries); i++)
        allow_path(ruleset, libraries[i], access);
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
    return ruleset;
}

static bool is_plain(const struct hz_sandbox_options *options)
{
    return !options->plugins && !options->script && !(options->caps & HZ_CAP_NET);
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

static void set_limits(const struct hz_sandbox_options *options)
{
    (void)signal(SIGXFSZ, SIG_IGN);
    set_limit(RLIMIT_CORE, 0); /* a core file holds the flow's secrets */
    set_limit(RLIMIT_FSIZE, FILE_BYTES_MAX);
    if (options->open_files)
        set_limit(RLIMIT_NOFILE, options->open_files);
    /* JavaScriptCore reserves 70 GB of address space that counts as data: the manager watches such workers instead. */
    if (options->memory_limit_bytes && !options->script)
        set_limit(RLIMIT_DATA, options->memory_limit_bytes);
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

int hz_sandbox_enter(const struct hz_sandbox_options *options)
{
    struct hz_filter *filter = NULL;
    set_limits(options);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        return hz_err_set(-errno, "sandbox: no_new_privs");
    if (options->mode == HZ_SANDBOX_MODE_OFF)
        return 0;
    int err = get_filter(filter_set(options, false), &filter); /* before the calls it takes are gone */
    struct hz_filter *seal;
    if (!err && options->plugins)
        err = get_filter(filter_set(options, true), &seal);
    if (enter_landlock(options))
        miss("landlock");
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
    int err = get_filter(filter_set(options, true), &filter);
    if (!err)
        err = hz_filter_load(filter);
    if (err && options->mode == HZ_SANDBOX_MODE_REQUIRE)
        return hz_err_set(HZ_EREFUSED, "sandbox: the seal was refused");
    return 0;
}
