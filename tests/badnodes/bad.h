/*
 * bad.h - what the broken plugins share. Each of them does one forbidden or foolish thing; expected.txt says what must
 * come of it. They run only in workers and probes. Volatile keeps the compiler from proving, and removing, the fault.
 */
#ifndef HZ_BADNODES_BAD_H
#define HZ_BADNODES_BAD_H

#include <errno.h>
#include <horizon/node.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

/* Still here: emits {what: result, "errno": n} on `response`. */
static inline int survived(hz_call *call, const char *what, long result)
{
    int error = errno;
    hz_value *data = hz_object(call);
    if (!data || hz_set(data, what, hz_int(call, result)) != HZ_OK)
        return HZ_ERR_NOMEM;
    if (hz_set(data, "errno", hz_int(call, result < 0 ? error : 0)) != HZ_OK)
        return HZ_ERR_NOMEM;
    return hz_emit(call, "response", data);
}

static inline int pass_on(hz_call *call)
{
    return hz_emit(call, "response", hz_input(call));
}

#define BAD_MEMBERS(name_, run_)                                                                                       \
    .type = "bad_" name_, .title = "bad " name_, .group = "Bad", .inputs = HZ_NAMES("input"),                          \
    .outputs = HZ_NAMES("response", "error"), .flags = HZ_NODE_CONCURRENT, .run = run_

#define BAD_NODE(name_, run_) HZ_NODE(BAD_MEMBERS(name_, run_))

/* A node whose hz_node_abi is `abi_`. */
#define BAD_ABI_NODE(name_, ...)                                                                                       \
    const struct hz_host *hz_host_table;                                                                               \
    extern const struct hz_node_abi hz_node_abi;                                                                       \
    extern const struct hz_node_desc hz_node;                                                                          \
    HZ_EXPORT_ const struct hz_node_abi hz_node_abi = {__VA_ARGS__, &hz_host_table};                                   \
    HZ_EXPORT_ const struct hz_node_desc hz_node = {.size = sizeof(struct hz_node_desc), BAD_MEMBERS(name_, pass_on)};

#endif
