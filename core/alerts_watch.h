/* alerts_watch.h - where the figures come from: asks the shards by mail, reads registry, store, /proc and file systems.
 * Main thread. */
#ifndef HZ_CORE_ALERTS_WATCH_H
#define HZ_CORE_ALERTS_WATCH_H

#include "alerts_book.h"

void hz_alerts_watch_init(const char *data_dir);
void hz_alerts_watch_fini(void);
/* Asks every shard that has answered the last question; answers come by mail. */
void hz_alerts_watch_ask(void);
/* Hands all figures of this second to the book. Cost: the workers, the workflows with something to tell, some system
 * calls. */
void hz_alerts_watch_look(struct hz_alert_book *book, const struct hz_alert_now *now);
void hz_alerts_watch_down(
        struct hz_alert_book *book, const char *workflow_id, const char *text, const struct hz_alert_now *now);
void hz_alerts_watch_calm(const char *workflow_id);

#endif
