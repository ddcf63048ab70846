/*
 * address.h - how much one address may ask of us: connections and sessions at once, requests a second. One table for all shards, because the kernel
 * spreads the connections of one address over them. Any thread.
 */
#ifndef HZ_CORE_HTTP_ADDRESS_H
#define HZ_CORE_HTTP_ADDRESS_H

#include "shm/base.h"

#define HZ_ADDRESS_BURST_S 2u /* seconds' worth of requests may come at once */

struct hz_address { /* zeroed: not counted */
    uint8_t key[16]; /* IPv4: mapped; IPv6: its first 64 bits, which belong to one host or site */
    bool counted;
};
/* connections, rate: 0 no bound. loopback: counted as well. Main thread, before the shards run. */
HZ_MUST_CHECK int hz_address_init(uint32_t connections, uint32_t rate, bool loopback);
void hz_address_fini(void);
/* A connection from there. False: it has too many; nothing was counted. address: a struct sockaddr of any family. */
HZ_MUST_CHECK bool hz_address_enter(const void *sockaddr, struct hz_address *ret_address);
void hz_address_leave(struct hz_address *address);
/* Of somebody who comes over a proxy's connection: nothing is counted, but his sessions can be. */
void hz_address_of(const void *sockaddr, struct hz_address *ret_address);
/* A session that somebody on such a connection opens; it may outlive the connection. As many as connections; false: too many. */
HZ_MUST_CHECK bool hz_address_open_session(const struct hz_address *address, struct hz_address *ret_session);
void hz_address_close_session(struct hz_address *session);
/* A request on such a connection. False: too many in this time. */
HZ_MUST_CHECK bool hz_address_ask(const struct hz_address *address, uint64_t now_ns);
/* A request of that address over somebody else's connection. address: a struct sockaddr of any family. */
HZ_MUST_CHECK bool hz_address_ask_for(const void *sockaddr, uint64_t now_ns);

#endif
