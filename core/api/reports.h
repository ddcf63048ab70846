/*
 * reports.h - progress of executions: how often it is told, and what was said last. Private to events.c, which has the clock, and the tests;
 * what comes in is hz_events_progress() of events.h.
 */
#ifndef HZ_CORE_API_REPORTS_H
#define HZ_CORE_API_REPORTS_H

#include "shm/base.h"

#define HZ_REPORTS_KEPT 32768u /* executions, those that reported last */
#define HZ_REPORTS_TICK 128u   /* told in one tick, of all executions together */
#define HZ_REPORTS_NS   UINT64_C(250000000) /* between two that are told of one execution */

void hz_reports_init(void);
void hz_reports_tick(void); /* tells those that waited and are due, who was told longest ago first */
void hz_reports_fini(void);
/* events.c: something that only passes, as an object's text; with a number if somebody follows. */
void hz_events_passing(const char *kind, const char *text, size_t len);

#endif
