/*
 * alerts.h - alerts: once a second the main thread looks at figures that others keep anyway, raises and clears by
 * thresholds and times, and tells log, store, web hook and command. Rules and states are alerts_book.h, figures
 * alerts_watch.c, targets alerts_send.h.
 */
#ifndef HZ_CORE_ALERTS_H
#define HZ_CORE_ALERTS_H

#include "alerts_book.h"

#include <jansson.h>

/* What every target is told, as it is told: {event: "raised" or "cleared", rule, subject, level, text, look, raisedAt, clearedAt, test}. Main thread or
 * who asked for a test; must not call into alerts. */
typedef void hz_alerts_heard_fn(const struct hz_alert *alert, const char *json);
void hz_alerts_listen(hz_alerts_heard_fn *fn); /* one, before hz_alerts_begin(); NULL none */

struct hz_config;
/* Main thread, before the shards run, with the store open: reads DIR/alerts.json and what was open. HZ_EFORMAT,
 * HZ_EREFUSED. */
HZ_MUST_CHECK int hz_alerts_init(const struct hz_config *config);
/* Would alerts.json do at a start? As above; changes nothing. Any thread. */
HZ_MUST_CHECK int hz_alerts_check(void);
void hz_alerts_begin(void); /* main thread, when the shards run */
void hz_alerts_fini(void);  /* main thread, after its loop, before the store closes; never begun: nothing */

/* A resident worker ended unasked; its service waits for the next one, or for a person. Any shard, whether alerts are
 * looked after or not. */
void hz_alerts_worker_down(const char *workflow_id, const char *text);
void hz_alerts_worker_calm(const char *workflow_id); /* nobody expects one any more */

/* ---- for the operations; any shard ---- */
/* {alerts: [{rule, subject, level, text, look, raisedAt, clearedAt, silencedUntil}], silences, targets}. all: also
 * cleared ones, newest first, raised before before_ms (0: from the newest), `limit` at most; else the active ones.
 * NULL: error. */
json_t *hz_alerts_list(bool all, size_t limit, int64_t before_ms);
/* subject "": all of the rule. Committed when it returns, unless the store cannot write: then it is handed over.
 * HZ_ECLOSED. */
HZ_MUST_CHECK int hz_alerts_silence(
        enum hz_alert_rule rule, const char *subject, uint32_t minutes, int64_t *ret_until_ms);
HZ_MUST_CHECK int hz_alerts_unsilence(enum hz_alert_rule rule, const char *subject); /* HZ_ENOTFOUND */
/* A harmless alert, marked as a test, through every target, whatever is silent. */
HZ_MUST_CHECK int hz_alerts_test(enum hz_alert_rule rule);

#endif
