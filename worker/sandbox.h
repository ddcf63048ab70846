/*
 * sandbox.h - what a worker may ask of the kernel: by default computing and nothing else. no_new_privs, limits, Landlock (paths),
 * seccomp (calls). Landlock binds the calling thread, so it is entered before the worker has a second one.
 */
#ifndef HZ_WORKER_SANDBOX_H
#define HZ_WORKER_SANDBOX_H

#include "shm/base.h"

enum hz_sandbox_mode { HZ_SANDBOX_MODE_TRY, HZ_SANDBOX_MODE_REQUIRE, HZ_SANDBOX_MODE_OFF };

struct hz_sandbox_options {
    enum hz_sandbox_mode mode;
    uint32_t caps;          /* HZ_CAP_* of the SDK */
    bool script;            /* JavaScriptCore will run: no limit of data */
    bool plugins;           /* third-party objects are opened after the entry: executable file mappings stay possible until the seal */
    const char *plugin_path; /* folder or file of them, colon-separated; with plugins */
    const char *paths;      /* what FS_READ, FS_WRITE and EXEC open: entries of 'r', 'w' or 'x', an absolute path and NUL */
    size_t paths_len;
    uint64_t memory_limit_bytes; /* RLIMIT_DATA; 0: none */
    uint32_t open_files;    /* RLIMIT_NOFILE; 0: as it is */
    uint32_t tasks;         /* RLIMIT_NPROC, for a worker whose user nobody else is: threads, too; 0: as it is */
    uint32_t processes;     /* with EXEC: processes and threads beyond those of the worker's user; 0: 64 */
};

/* Builds filter and ruleset for these options and keeps them (a zygote does it before it forks: 0.3 ms once instead of per worker).
 * 0 or an error; entering builds what was not prepared. */
HZ_MUST_CHECK int hz_sandbox_prepare(const struct hz_sandbox_options *options);
/* 0: in. HZ_EREFUSED: the kernel lacks something and mode is REQUIRE. With TRY what is missing is named in hz_sandbox_missing().
 * After it the process can open nothing, start nothing, signal nobody (less what caps grant). */
HZ_MUST_CHECK int hz_sandbox_enter(const struct hz_sandbox_options *options);
/* After third-party objects were opened: no executable mapping and no file any more. */
HZ_MUST_CHECK int hz_sandbox_seal(const struct hz_sandbox_options *options);
/* Called after a change of user with the capabilities kept (PR_SET_KEEPCAPS): leaves one, which finds files in folders of other users,
 * so that nodes are loaded from wherever they lie. It is gone after the entry, or, where third-party objects are opened behind
 * Landlock's rules, after the seal. 0 or -errno. */
HZ_MUST_CHECK int hz_sandbox_keep_search(void);
/* Descriptor kept by hz_sandbox_prepare() that must survive until the entry; -1: none. */
int hz_sandbox_fd(void);
/* "" or what the kernel lacks, for one warning line: "landlock", "seccomp". */
const char *hz_sandbox_missing(void);

#endif
