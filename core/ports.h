/*
 * ports.h - the ports workers own: lowest free one first, really bound and listening before the worker is spawned. Any thread.
 */
#ifndef HZ_CORE_PORTS_H
#define HZ_CORE_PORTS_H

#include "shm/base.h"

/* Range [start, end], both included; `skip` (0: none) is never given. Before the shards run. 0, or HZ_EFORMAT. */
HZ_MUST_CHECK int hz_ports_init(uint32_t start, uint32_t end, uint32_t skip);
void hz_ports_fini(void);
/* Takes the lowest free port: a socket bound to 127.0.0.1 and listening, non-blocking, close-on-exec. Ports that somebody else
 * holds are passed over and tried again next time. Returns the descriptor, or HZ_ELIMIT when none is left, or -errno. */
HZ_MUST_CHECK int hz_ports_take(uint32_t *ret_port);
/* One that listens already. HZ_EFORMAT: not of the range, or taken. */
HZ_MUST_CHECK int hz_ports_adopt(uint32_t port);
/* Closes the descriptor, then frees the number. */
void hz_ports_give(int fd, uint32_t port);
uint32_t hz_ports_taken(void);

#endif
