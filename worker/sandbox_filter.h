/* sandbox_filter.h - the seccomp program of a worker, as data. Private to sandbox.c and its tests. */
#ifndef HZ_WORKER_SANDBOX_FILTER_H
#define HZ_WORKER_SANDBOX_FILTER_H

#include "shm/base.h"
#include <linux/filter.h>

enum { HZ_FILTER_NET = 1, HZ_FILTER_EXEC_FILES = 2 /* open and map executable files */, HZ_FILTER_JIT = 4,
    HZ_FILTER_SCRIPT = 8 /* open the few files JavaScriptCore reads when it starts */, HZ_FILTER_READ = 16, HZ_FILTER_WRITE = 32,
    HZ_FILTER_PROCESS = 64 /* programs of its own; signals go as far as Landlock lets them */, HZ_FILTER_SETS = 128 };

struct hz_filter {
    struct sock_filter *code; /* malloc'ed */
    unsigned short count, pid_at; /* pid_at: instruction that compares tgkill's first argument; patched per process; 0 with PROCESS: none */
};
/* Builds the program for a set of HZ_FILTER_* bits: about 0.25 ms. 0, HZ_ENOMEM or -errno. */
HZ_MUST_CHECK int hz_filter_build(unsigned set, struct hz_filter *ret_filter);
/* Patches the pid and loads it for all threads of the process. 0 or -errno. */
HZ_MUST_CHECK int hz_filter_load(struct hz_filter *filter);

#endif
