/*
 * alerts_send.h - the two targets outside: the web hook (a thread of its own, libcurl) and the command (a child of the
 * main thread). Both take JSON texts, deliver them one after the other in order, and never make the caller wait.
 */
#ifndef HZ_CORE_ALERTS_SEND_H
#define HZ_CORE_ALERTS_SEND_H

#include "shm/base.h"

struct hz_alerts_sent {
    uint64_t sent, failed, dropped; /* dropped: too many waited */
    char error[256];                /* of the last failure, "" none */
};

/* Main thread. url NULL: none any more. The first one starts the thread. HZ_EREFUSED: no libcurl, no thread. */
HZ_MUST_CHECK int hz_hook_set(const char *url, uint32_t timeout_ms);
void hz_hook_send(const char *text);           /* copies */
void hz_hook_sent(struct hz_alerts_sent *ret); /* any thread */
bool hz_hook_idle(void);                       /* nothing waits or is under way; any thread */
void hz_hook_stop(void);                       /* what waits is dropped; within a second */

/* Main thread, with its loop. command: copied; NULL: none any more. HZ_ENOMEM. */
HZ_MUST_CHECK int hz_notify_set(char *const *command, uint32_t timeout_ms);
void hz_notify_send(const char *text);           /* copies */
void hz_notify_sent(struct hz_alerts_sent *ret); /* any thread */
bool hz_notify_idle(void);                       /* no command waits or runs; any thread */
void hz_notify_stop(void);                       /* kills and reaps the one that runs */

#endif
