/* sees_descriptors - its title says how many descriptors above 2, pipes apart, were open when it was loaded: what a process that
 * looks at a stranger's node has inherited. A test's node. */
#include <horizon/node.h>
#include <stdio.h>
#include <sys/stat.h>

static char title[64] = "never loaded";

__attribute__((constructor)) static void look(void)
{
    int count = 0;
    for (int fd = 3; fd < 4096; fd++) {
        struct stat info;
        count += fstat(fd, &info) == 0 && !S_ISFIFO(info.st_mode); /* pipes: its answer's, and those of its siblings */
    }
    (void)snprintf(title, sizeof(title), "%d open", count);
}

static int sees_descriptors_run(hz_call *call)
{
    return hz_emit(call, "response", hz_input(call));
}

HZ_NODE(.type = "sees_descriptors", .title = title, .group = "Test", .flags = HZ_NODE_CONCURRENT, .inputs = HZ_NAMES("input"),
        .outputs = HZ_NAMES("response", "error"), .run = sees_descriptors_run)
