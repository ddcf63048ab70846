/* socket.h - the Socket.IO face of the operations (route.h). */
#ifndef HZ_CORE_API_SOCKET_H
#define HZ_CORE_API_SOCKET_H

#include "shm/base.h"

/* Serves it with the next hz_http_begin(). Main thread, before the shards run. */
HZ_MUST_CHECK int hz_socket_init(void);

#endif
