/*
 * uids.h - a user of its own for each worker, when the server runs as root: numbers of a range nobody else uses, each given to one living
 * worker at a time. Any shard; guarded inside.
 */
#ifndef HZ_CORE_UIDS_H
#define HZ_CORE_UIDS_H

#include "shm/base.h"

#define HZ_UIDS_FIRST 2000000000u /* of the numbers that no distribution and no service manager hands out */
#define HZ_UIDS_LAST  2000065535u

struct hz_config;
/* Decides by configuration, our own user and the numbers mapped in our user namespace. 0; HZ_EREFUSED: a range was asked for by name that
 * cannot be had. Before the shards run. */
HZ_MUST_CHECK int hz_uids_init(const struct hz_config *config);
/* A number no living worker has; when all are in use, one is shared. 0: workers run as the server's own user. */
uint32_t hz_uids_take(bool *ret_alone); /* *ret_alone: no other process is that user */
/* Gives it back; 0 and numbers outside the range are nothing. */
void hz_uids_claim(uint32_t uid); /* one that a worker has already; 0: none */
void hz_uids_give(uint32_t uid);
/* One sentence for log and doctor on what hz_uids_init() would decide, or why not; *ret_weak: it could be better. */
const char *hz_uids_text(const struct hz_config *config, bool *ret_weak, char *buf, size_t size);

#endif
