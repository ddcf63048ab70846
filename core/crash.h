/*
 * crash.h - the report of a worker's death: what happened, where, with which input, what came before, what it cost. Made by the manager
 * of what the kernel says and of what the dead worker left in its segment; that is a claim: bounded, escaped, never symbolised here
 * (addresses are module + offset; `horizon crash` turns them into names). On the worker's shard.
 */
#ifndef HZ_CORE_CRASH_H
#define HZ_CORE_CRASH_H

#include "worker.h"

#define HZ_CRASH_INPUT_BYTES 4096u

/* Is this death worth a report? */
bool hz_crash_wanted(const struct hz_worker *w, const struct hz_death *death);
/*
 * hz_crash_report - makes the report of a dead worker whose segment is still mapped, hands it to the store, fills death->report with its id,
 * and returns its JSON text (caller frees; NULL: no memory, said in the log).
 *
 * execution_id, input   of the accused execution; "" and NULL if there is none. The input is cut to HZ_CRASH_INPUT_BYTES and masked.
 */
char *hz_crash_report(const struct hz_worker *w, struct hz_death *death, const char *execution_id, const char *input, size_t input_len);
/* Starts the workflow's onError flow with the report as its input. Not for the death of an error flow. */
void hz_crash_start_error_flow(const struct hz_worker *w, const char *report, bool in_error_flow);
/* Has the kernel killed anything for want of memory since it was last asked, or within the last two seconds? Any thread. */
bool hz_crash_oom_rose(void);

/* crash_mask.c: a copy of JSON or other text without secrets, at most `most` bytes: values under keys that sound like one (password, token,
 * secret, authorization, cookie, api key ...) and any text that equals a value of the workflow's environment (8 bytes and more) become
 * "***". Caller frees; NULL: no memory. *ret_cut: something was left out at the end. */
char *hz_crash_mask(const char *text, size_t len, size_t most, char *const *env, bool *ret_cut);

#endif
