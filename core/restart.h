/*
 * restart.h - hot restart: the manager executes itself anew in place. Process id, parenthood, listening sockets, idle
 * connections and the workers with what they run stay; see DESIGN.md.
 *
 * Two halves. In the old image the main thread leads: every shard comes to rest, hands over its part, and waits while
 * the main thread executes the new image, or goes on if that fails. In the new image the parts are there before the
 * first shard runs.
 */
#ifndef HZ_CORE_RESTART_H
#define HZ_CORE_RESTART_H

#define HZ_RESTART_STATE "HORIZON_STATE" /* names the descriptor of the state, from one image to the next alone */
#include "carry.h"
#include "config.h"

struct hz_shard;
struct hz_workflow;

/* ---- the old image ---- */
struct hz_restart_options {
    char *binary;      /* malloc'ed, taken; NULL: the file this process was started from */
    uint32_t drain_ms; /* what is in flight has so long */
};
/* err 0: it begins; else error is the sentence why not (HZ_EREFUSED: not that binary, or one is under way). On the
 * shard that asked. */
typedef void hz_restart_fn(void *arg, int err, const char *error);
/* Asks the binary for its layout, then begins. Any shard; fn is called once, before anything rests. */
void hz_restart_ask(const struct hz_restart_options *options, hz_restart_fn *fn, void *arg);
/* How the last attempt went that did not lead to a new image: malloc'ed, NULL none. Any thread. */
char *hz_restart_failure(void);
/* Main thread: no restart begins any more, and one that waits for its turn is given up. */
void hz_restart_forbid(void);
uint32_t hz_restart_generation(void); /* images of this process so far; 1: the first */
const char *hz_restart_binary(void);  /* the file this process was started from */

/* Main thread, after hz_shard_init(). */
HZ_MUST_CHECK int hz_restart_init(const struct hz_config *config);
/* Main thread, after its loop, while the shards still run: waits for who judges whether to restart (seconds at most). */
void hz_restart_end(void);
void hz_restart_fini(void);
void hz_restart_set_arguments(char **argv); /* as given to main(), first of all there */
void hz_restart_set_lock(int lock_fd);      /* of the data directory */
/* "layout N state M schema K": what an image says of itself. */
void hz_restart_layout(char *ret_text, size_t size);
/* Can an image that says this go on with what this one has? The same layout and state, the same schema or a newer one. */
bool hz_restart_fits(const char *said);
/* SIGTERM and SIGINT of the calling thread, and of those it makes, wait. They are the main thread's, once it serves. */
void hz_restart_hold_signals(bool hold);

/* ---- the new image ---- */
/* Is this one that follows another? Reads the state then; 0 (none, or read) or the error, after which the process must
 * end. First of all, main thread. */
HZ_MUST_CHECK int hz_restart_open(void);
bool hz_restart_follows(void); /* any thread; true until hz_restart_done() */
int hz_restart_lock_fd(void);  /* that of the data directory, inherited; -1 none */
uint32_t hz_restart_shards(void);
uint32_t hz_restart_port(void);
const int *hz_restart_listeners(size_t *ret_count); /* as hz_http_bind() wants them */
void hz_restart_prepare(void);                      /* main thread, after the rooms' inits, before the shards run */
bool hz_restart_has(
        const struct hz_uuid *execution); /* it goes on: recovery leaves its row alone. Any thread until done. */
bool hz_restart_has_segment(const char *name);
/* On each shard: its workers, services and executions, before recovery looks at the store; then its connections, which
 * waits until all shards are there. err: of what came before; nothing is taken then. */
HZ_MUST_CHECK int hz_restart_adopt_desk(struct hz_shard *shard);
HZ_MUST_CHECK int hz_restart_adopt_http(struct hz_shard *shard, int err);
void hz_restart_done(void); /* main thread, when all shards have */

/* ---- between the rooms' carrying halves ---- */
void hz_restart_put_workflow(struct hz_carry_out *out, const struct hz_workflow *workflow);
/* A reference to the same version. HZ_EFORMAT: it cannot be loaded any more. */
HZ_MUST_CHECK int hz_restart_take_workflow(struct hz_carry_in *in, struct hz_workflow **ret_workflow);

#endif
