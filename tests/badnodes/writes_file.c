/* Makes a file without the capability. */
#include "bad.h"
#include <fcntl.h>

static int writes_file_run(hz_call *call)
{
    return survived(call, "open", open("/tmp/horizon-bad-node", O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
}

BAD_NODE("writes_file", writes_file_run)
