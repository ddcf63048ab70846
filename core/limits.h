/*
 * limits.h - what a workflow may use: resident memory, CPU time, wall clock, open files, processes of each of its workers. The kernel's
 * figures, looked at ten times a second while work is in hand, else once; a warning at 80 %, at 100 % a graceful stop and a second later
 * the kill. Hard bounds beside it where the kernel has right ones: open files, and data segments of workers without JavaScript.
 * On the worker's shard.
 */
#ifndef HZ_CORE_LIMITS_H
#define HZ_CORE_LIMITS_H

#include "worker.h"

/* Its control group, if there can be one: before it has its process (which then moves itself), or as a spare before it is told its flow. */
void hz_limits_group(struct hz_worker *w);
/* It has its process and its flow: bounds set, watching begun. Nothing for a workflow without limits. */
void hz_limits_begin(struct hz_worker *w);
void hz_limits_end(struct hz_worker *w);
bool hz_limits_any(const struct hz_workflow *workflow);

#endif
