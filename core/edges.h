/*
 * edges.h - tells ThreadSanitizer the orderings that liburcu makes for us. Its queues, hashes and grace periods are synchronised by
 * inline assembly and fences of an uninstrumented library, which the tool cannot see. In other builds: nothing.
 *
 * HZ_EDGE_OUT(address): all done so far happens before what follows HZ_EDGE_IN(address) on another thread. Only where the proof in
 * the file's head says that the library orders exactly these two points.
 */
#ifndef HZ_CORE_EDGES_H
#define HZ_CORE_EDGES_H

#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#define HZ_EDGE_OUT(address) __tsan_release((void *)(address))
#define HZ_EDGE_IN(address)  __tsan_acquire((void *)(address))
#else
#define HZ_EDGE_OUT(address) ((void)(address))
#define HZ_EDGE_IN(address)  ((void)(address))
#endif

#endif
