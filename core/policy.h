/*
 * policy.h - which capabilities the operator grants to which nodes and workflows: DIR/policy.json, or the file HORIZON_POLICY names.
 * A flow that asks for more is refused when it is checked, imported or started. Any thread; guarded inside.
 */
#ifndef HZ_CORE_POLICY_H
#define HZ_CORE_POLICY_H

#include "core/flow/flow.h"
#include "shm/base.h"

/* What one worker may do: what its nodes ask for, all of it granted. */
struct hz_policy_rights {
    uint32_t caps;    /* HZ_CAP_* */
    uint32_t uid;     /* as which user, if the server is root; 0: any */
    char *paths;      /* malloc'ed or NULL: entries of a kind ('r', 'w', 'x'), an absolute path and NUL */
    size_t paths_len; /* bytes, NULs included; at most HZ_POLICY_PATHS_MAX */
};
#define HZ_POLICY_PATHS_MAX 16384u

struct hz_config;
/* Reads the policy; a file that is not there is the default one: `net` for built-in nodes, nothing else. HZ_EFORMAT or -errno with a
 * sentence in hz_err_last(): not to be run with. data_dir may not exist. Without this call the default holds. */
HZ_MUST_CHECK int hz_policy_open(const struct hz_config *config, const char *data_dir);
/* Reads the file again as at a start: what is wrong with it, or 0. A file that is wrong changes nothing. Any thread. */
HZ_MUST_CHECK int hz_policy_check(void);
void hz_policy_close(void);
/* Grows when the file's content changed; looks at the file once a second at most. A file that went wrong is logged, and what held before
 * goes on. Cost: one clock read. */
uint64_t hz_policy_version(void);
/* Is everything the plan's nodes ask for granted in this workflow? 0 and *ret_rights (may be NULL; hz_policy_rights_fini()), or
 * HZ_EFORMAT with a finding for each node and capability: what, who, where it would be granted. */
HZ_MUST_CHECK int hz_policy_judge(const struct hz_plan *plan, const char *workflow_id, struct hz_flow_report *report,
        struct hz_policy_rights *ret_rights);
void hz_policy_rights_fini(struct hz_policy_rights *rights);
/* One line for people: the file and what it grants. Caller frees; NULL: no memory. */
char *hz_policy_text(void);
/* "net, fs:read" of a set of HZ_CAP_*; "" for none. Returns buf. */
const char *hz_policy_names(uint32_t caps, char buf[64]);

#endif
