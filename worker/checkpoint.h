/*
 * checkpoint.h - the state of one execution between two node runs, packed for the manager's store, and back. Worker, the
 * thread that owns the execution.
 *
 * What is kept: messages on their way, messages of calls that have not returned (they run again), states and joins of
 * nodes, the data of the branches, the numbers of the runs, the bill's counts, an error that counts already. What is not: which
 * thread, the parts of a call that ran already, an open HTTP answer.
 *
 * When: before a node with effects runs on a message that does not follow from what is on disk. A message follows from it
 * when, since that checkpoint, nothing happened in the execution but runs of pure nodes: these give the same messages with
 * the same ordinals again. Each entry from outside (an answer, a timer, a turn at an exclusive node) and each run of a node
 * that is not pure counts as a change; a message remembers the count at which it was sent. Also before a wait of a second
 * or more, so that what has passed of it counts after a crash.
 */
#ifndef HZ_WORKER_CHECKPOINT_H
#define HZ_WORKER_CHECKPOINT_H

#include "executor.h"

#define HZ_LONG_WAIT_MS 1000u

/* May this delivery, the next one to run, run now? False: the execution waits for the disk. */
HZ_MUST_CHECK bool hz_checkpoint_passes(struct hz_execution *execution, const struct hz_delivery *next);
/* It waits for something else: is that worth a checkpoint? */
void hz_checkpoint_idle(struct hz_execution *execution);
/* Main thread: the manager has it on disk. */
void hz_checkpoint_saved(struct hz_execution *execution, uint64_t sequence);

/* The packed state; ret_state.data is the caller's. HZ_ENOMEM, HZ_ETOOBIG (more than HZ_CHECKPOINT_MAX, or values nested too
 * deep). O(state). */
HZ_MUST_CHECK int hz_checkpoint_pack(struct hz_execution *execution, struct hz_buffer *ret_state);
/* Fills an execution that has not run yet. The bytes are not trusted: HZ_EFORMAT with hz_err_last(); what was restored until
 * then is released with the execution. */
HZ_MUST_CHECK int hz_checkpoint_restore(struct hz_execution *execution, const void *state, size_t len);

/* checkpoint_value.c: one value, without references to others. False: nested too deep, or out of memory (buffer->failed). */
HZ_MUST_CHECK bool hz_checkpoint_put_value(struct hz_buffer *buffer, const hz_value *value, unsigned depth);
/* A reader over bytes; `bad` sticks. */
struct hz_checkpoint_reader {
    const unsigned char *at, *end;
    bool bad;
};
/* New reference; NULL: bad bytes or out of memory. */
const hz_value *hz_checkpoint_get_value(struct hz_checkpoint_reader *reader, unsigned depth);
uint32_t hz_checkpoint_get32(struct hz_checkpoint_reader *reader);
uint64_t hz_checkpoint_get64(struct hz_checkpoint_reader *reader);
/* Borrowed bytes; NULL: bad. */
const char *hz_checkpoint_get_bytes(struct hz_checkpoint_reader *reader, size_t len);

#endif
