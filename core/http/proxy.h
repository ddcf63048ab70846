/*
 * proxy.h - who a request is from when a proxy in front of us has passed it on: its X-Forwarded-For is believed if the peer's address is one
 * of those the operator named, and no further than to the last address that is not. Any thread; the list is written before the shards run.
 */
#ifndef HZ_CORE_HTTP_PROXY_H
#define HZ_CORE_HTTP_PROXY_H

#include "shm/base.h"

struct sockaddr_storage;
/* list: addresses and networks with commas between ("127.0.0.1,10.0.0.0/8,::1"), NULL or "" none. HZ_EFORMAT: names the wrong one, and
 * the list stays as it was. */
HZ_MUST_CHECK int hz_proxy_trust(const char *list);
/* Of a connection's peer: a struct sockaddr of any family. Cost: one pass over the list. */
bool hz_proxy_trusted(const void *sockaddr);
/* The client of a request of a trusted peer: the last address in `forwarded` (all its X-Forwarded-For, in order, joined with commas) that is not
 * trusted itself; if all are, the first. False: there is none, or what stands at the end is no address: the peer itself. */
bool hz_proxy_client(const char *forwarded, struct sockaddr_storage *ret);

#endif
