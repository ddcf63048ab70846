/* Opens a socket without the capability. */
#include "bad.h"
#include <sys/socket.h>

static int socket_denied_run(hz_call *call)
{
    return survived(call, "socket", socket(AF_INET, SOCK_STREAM, 0));
}

BAD_NODE("socket_denied", socket_denied_run)
