/*
 * report.h - what a worker says to its manager: records on the lanes. Only a lane's own thread writes it; called on any
 * other thread, these functions post a copy to the thread they are given.
 */
#ifndef HZ_WORKER_REPORT_H
#define HZ_WORKER_REPORT_H

#include "thread.h"

/* Binds the two rings of thread->lane. */
void hz_report_attach(struct hz_thread *thread);

/* A record of the result ring: never lost. If ring and backlog are full the thread waits, until deadline_ns (0: for ever).
 * 0, HZ_ETIMEOUT (not sent), HZ_ETOOBIG (more than HZ_MSG_MAX), HZ_ENOMEM, HZ_ECLOSED. */
int hz_report_send(struct hz_thread *thread, uint32_t type, const struct hz_part *parts, size_t count, uint64_t deadline_ns);
/* A record of the metrics ring: dropped and counted under `drops` when there is no room. True if it went. */
bool hz_report_try(struct hz_thread *thread, uint32_t type, const struct hz_part *parts, size_t count, enum hz_stat drops);
/* Makes everything visible and rings; true if nothing is left behind. */
bool hz_report_flush(struct hz_thread *thread);

/* A line for people. From warning upwards, and console lines, it cannot be lost; else it goes to the metrics ring. */
void hz_report_line(struct hz_thread *thread, uint64_t execution, uint32_t node, enum hz_level level, bool console,
        const char *text, size_t len);
void hz_report_linef(struct hz_thread *thread, uint64_t execution, uint32_t node, enum hz_level level, const char *format, ...)
        HZ_PRINTF(5, 6);
/* The sink for HZ_LOG in a worker; arg: the worker. */
void hz_report_sink(enum hz_log_level level, const char *text, size_t len, void *arg);

/* Publishes the lane's counters; `kernel`: lane 0's figures of memory and CPU are asked anew (some microseconds). */
void hz_report_stats(struct hz_thread *thread, bool kernel);

#endif
