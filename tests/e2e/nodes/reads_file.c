/* reads_file - asks for fs:read: opens the file `path` and emits {fd, errno, uid} on `response`. A test's node. */
#include <errno.h>
#include <fcntl.h>
#include <horizon/node.h>
#include <string.h>
#include <unistd.h>

static int reads_file_run(hz_call *call)
{
    char path[512];
    hz_str wanted = hz_param_str(call, "path", "");
    (void)snprintf(path, sizeof(path), "%.*s", (int)wanted.len, wanted.data);
    int fd = open(path, O_RDONLY | O_CLOEXEC), error = fd < 0 ? errno : 0;
    if (fd >= 0)
        close(fd);
    hz_value *result = hz_object(call);
    if (!result || hz_set(result, "errno", hz_int(call, error)) || hz_set(result, "uid", hz_int(call, (int64_t)getuid())))
        return HZ_ERR_NOMEM;
    return hz_emit(call, "response", result);
}

HZ_NODE(.type = "reads_file", .title = "Reads a file", .group = "Test", .flags = HZ_NODE_CONCURRENT, .caps = HZ_CAP_FS_READ,
        .inputs = HZ_NAMES("input"), .outputs = HZ_NAMES("response", "error"), .run = reads_file_run,
        .properties = HZ_PROPERTIES({.key = "path", .type = "string", .name = "Path", .value = "\"\""}))
