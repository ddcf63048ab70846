/*
 * tls.h - certificate and key of the server's port, from files, read anew when somebody says so. The main thread loads; handshakes on any
 * shard take what is current.
 */
#ifndef HZ_CORE_HTTP_TLS_H
#define HZ_CORE_HTTP_TLS_H

#include "shm/base.h"

/* Both paths are kept for reloading. HZ_EFORMAT with the file and what is wrong with it. Main thread. */
HZ_MUST_CHECK int hz_tls_open(const char *cert, const char *key);
/* The files as they are now. On an error the ones of before stay in use. Main thread. */
HZ_MUST_CHECK int hz_tls_reload(void);
void hz_tls_close(void); /* no handshake may be under way */

/* For the library's daemons: a gnutls_certificate_retrieve_function2. */
void *hz_tls_callback(void);

#endif
