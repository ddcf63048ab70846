/*
 * node_host.h - runs one built node without a worker: real values (worker/value.c), a host table of our own that
 * records what the node does, a loop with poll() whose clock jumps to the next timer when nothing else can happen.
 * One thread.
 */
#ifndef HZ_TESTS_NODE_HOST_H
#define HZ_TESTS_NODE_HOST_H

#include "tests/harness.h"
#include "worker/value.h"

struct node_emission {
    char *output, *data, *meta; /* JSON texts; meta NULL if none */
    struct node_emission *next;
};

struct node_host;

/* Loads <build>/lib/horizon/nodes/TYPE.so; every property has its default. */
struct node_host *node_host_open(const char *type);
void node_host_close(struct node_host **host);
const struct hz_node_desc *node_host_desc(const struct node_host *host);

/* The property's value in the next runs, JSON text; a text in a `code` property of lang json that parses comes
 * parsed. */
void node_host_param(struct node_host *host, const char *key, const char *json);
/* Its evaluation failed for this reason. */
void node_host_param_failed(struct node_host *host, const char *key, const char *reason);
/* The nearest node of `type` upstream emitted this; data NULL: there is none. */
void node_host_upstream(struct node_host *host, const char *type, const char *data, const char *meta);
/* What hz_join() says next. */
void node_host_join(struct node_host *host, int result);
/* What hz_http_answer() says from now on. */
void node_host_answer_result(struct node_host *host, int result);
/* A new execution: no state. */
void node_host_fresh(struct node_host *host);

/* One run (or event) with this input, driven until the call is over. Returns what run() or the last continuation
 * returned; the emissions of this run are in node_host_emissions(). */
int node_host_run(struct node_host *host, const char *input_name, const char *input);
int node_host_event(struct node_host *host, const char *input);
/* The same, but the execution is cancelled `after_ms` milliseconds (real time) after the call was deferred. */
void node_host_run_cancelled(struct node_host *host, const char *input_name, const char *input, int after_ms);
/* Runs the loop until the virtual clock has gone on by `ms` or nothing is left to wait for. */
void node_host_wait(struct node_host *host, uint64_t ms);

/* The first emission of the last run (NULL: none), then its `next`. */
const struct node_emission *node_host_emissions(const struct node_host *host);
/* "output data" of the only emission, or "" if there was none, or a text that says there were several. */
const char *node_host_only(struct node_host *host);
/* Virtual milliseconds the last run waited. */
uint64_t node_host_waited(const struct node_host *host);
/* All calls that listened, "method endpoint timeout;..." */
const char *node_host_listened(const struct node_host *host);
/* The answer of the last run as "status|content type|name: value\n...|body"; "" if none. */
const char *node_host_answer(const struct node_host *host);
/* Lines of hz_console() and hz_log() of the last run. */
const char *node_host_log(const struct node_host *host);

#endif
