/* gate.h - which Host names and Origins are answered. Filled before the shards run, read-only afterwards: any thread.
 */
#ifndef HZ_CORE_HTTP_GATE_H
#define HZ_CORE_HTTP_GATE_H

#include "shm/base.h"

struct hz_gate {
    char **hosts;   /* further names, NULL-terminated; may be NULL */
    char **origins; /* further origins, `scheme://authority`, without slash at the end */
    uint32_t port;  /* our own; 0: none yet */
};

/* hosts, origins: comma-separated or NULL. HZ_ENOMEM. */
HZ_MUST_CHECK int hz_gate_init(struct hz_gate *gate, const char *hosts, const char *origins);
void hz_gate_fini(struct hz_gate *gate);

/* Is the Host header one of ours (127.0.0.1, [::1], localhost, the listed names; any port)? host may be NULL. wide: the
 * list of the worker ports, where every loopback address and every name below .localhost counts too. */
bool hz_gate_host(const struct hz_gate *gate, const char *host, bool wide);

enum hz_gate_origin { HZ_ORIGIN_NONE, HZ_ORIGIN_OWN, HZ_ORIGIN_REFUSED };
/* origin: the header or NULL. Own are the origin the request itself was addressed to (its Host was checked before), our
 * names with our port, and the listed ones; `null` never is. */
enum hz_gate_origin hz_gate_origin(const struct hz_gate *gate, const char *origin, const char *host);

#endif
