/* stream.h - what happens as server-sent events (events.h is where it comes from). Private to this folder. */
#ifndef HZ_CORE_API_STREAM_H
#define HZ_CORE_API_STREAM_H

#include "shm/base.h"

struct hz_resource;
/* list: how the same path answers who wants no stream. Main thread, before the shards run, after hz_events_init(). */
HZ_MUST_CHECK int hz_stream_init(const struct hz_resource *list);

#endif
