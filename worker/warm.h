/* warm.h - what a spare does while nobody waits for it, so that the flow it gets finds memory in place. */
#ifndef HZ_WORKER_WARM_H
#define HZ_WORKER_WARM_H

#include "worker.h"

/* Maps the pages that the first execution touches: code and variables of the program and of libc, the top of heap and stack, the
 * beginnings of the rings. After fork() each would be a fault of its own. Costs about 0.1 ms and 0.1 MiB; what the kernel
 * (before 5.14) refuses is left to the faults. Main thread. */
void hz_warm_up(struct hz_worker *worker);

#endif
