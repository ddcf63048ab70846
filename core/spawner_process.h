/* spawner_process.h - starting horizon-worker, as a zygote or as one worker, and handing it descriptors. Main thread only. */
#ifndef HZ_CORE_SPAWNER_PROCESS_H
#define HZ_CORE_SPAWNER_PROCESS_H

#include "shm/spawn.h"

struct hz_config;
/* Starts a zygote of `kind` with an environment of PATH, LANG, TZ only; noted in children.h. *ret_fd: our end of its socket. */
HZ_MUST_CHECK int hz_spawner_process_zygote(const struct hz_config *config, const char *kind, int32_t *ret_pid, int *ret_fd);
/* Starts one worker by exec (the slow fallback): its request waits in its socket. Not noted in children.h: the caller answers for it. */
HZ_MUST_CHECK int hz_spawner_process_worker(const struct hz_config *config, const struct hz_spawn_request *request, const int fds[3],
        int32_t *ret_pid);
/* One request with its three descriptors as one datagram; -EAGAIN when the socket is full. */
HZ_MUST_CHECK int hz_spawner_process_send(int fd, const struct hz_spawn_request *request, const int fds[3]);

#endif
