/* opens_files - takes one descriptor every 20 ms until it gets no more, then waits to be ended. A test's node. */
#include <horizon/node.h>
#include <time.h>
#include <unistd.h>

static int opens_files_run(hz_call *call)
{
    for (int i = 0; i < 3000; i++) { /* a minute at most */
        (void)!dup(2);
        (void)nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    }
    return hz_emit(call, "response", hz_input(call));
}

HZ_NODE(.type = "opens_files", .title = "Opens files", .group = "Test", .flags = HZ_NODE_CONCURRENT, .inputs = HZ_NAMES("input"),
        .outputs = HZ_NAMES("response", "error"), .run = opens_files_run)
