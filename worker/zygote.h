/* zygote.h - a process with one thread that has the nodes loaded and clones workers from itself. */
#ifndef HZ_WORKER_ZYGOTE_H
#define HZ_WORKER_ZYGOTE_H

#include "shm/base.h"

/* kind: "base", "net" or "js". nodes: folders, colon-separated; the first one holds the built-in nodes. Serves requests on
 * socket_fd until the other end closes; the exit code. */
int hz_zygote_main(const char *kind, int socket_fd, uint32_t manager_pid, const char *nodes);
/* `--worker`: one request on socket_fd, and this process becomes that worker. */
int hz_zygote_single(int socket_fd, uint32_t manager_pid, const char *nodes);

#endif
