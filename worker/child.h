/* child.h - from a spawn request to a running worker: the first acts of the process, in the order that safety asks for. */
#ifndef HZ_WORKER_CHILD_H
#define HZ_WORKER_CHILD_H

#include "shm/shm.h"

struct hz_child_options {
    bool from_zygote;      /* cloned: repair what fork() would have */
    void *robust_head;     /* as the zygote's kernel knows it */
    size_t robust_len;
    uint32_t manager_pid;  /* whose death is ours */
};

/* Receives one request with its three descriptors (segment, worker's doorbell, manager's doorbell). 1 received, 0 the other
 * end has gone, negative: -errno, or HZ_EFORMAT / HZ_EVERSION (the descriptors are closed). */
int hz_child_receive(int socket_fd, struct hz_spawn_request *ret_request, int ret_fds[3]);
/* Becomes the worker. Takes the descriptors over; ends the process. */
HZ_NORETURN void hz_child_main(const struct hz_spawn_request *request, const int fds[3], const struct hz_child_options *options);

#endif
