/* Opens a file without the capability. */
#include "bad.h"
#include <fcntl.h>

static int file_denied_run(hz_call *call)
{
    return survived(call, "open", open("/etc/passwd", O_RDONLY | O_CLOEXEC));
}

BAD_NODE("file_denied", file_denied_run)
