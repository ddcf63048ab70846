/*
 * listeners.h - who only listens asks nothing, so nobody would notice that his login has ended. The faces that tell things (sockets, streams)
 * have a function here that goes through their listeners on the calling shard, and sends away who may not hear any more.
 */
#ifndef HZ_CORE_API_LISTENERS_H
#define HZ_CORE_API_LISTENERS_H

#include "shm/base.h"

/* Goes through those of the calling shard. True: there are some. */
typedef bool hz_listeners_fn(void);
/* Up to four; before the shards run. */
void hz_listeners_check_by(hz_listeners_fn *fn);
/* Somebody listens on this shard from now on: those of it are gone through each second or two, as logins also end by time alone. */
void hz_listeners_begin(void);
/* Main thread, before the shards run: from then on also as soon as a login has ended or an account was changed. */
void hz_listeners_init(void);

#endif
