/* internal.h - what the operations share: ways to answer. Private to this folder. */
#ifndef HZ_CORE_API_INTERNAL_H
#define HZ_CORE_API_INTERNAL_H

#include "api.h"
#include "json.h"

/* Answers with a text of JSON (taken over; NULL: out of memory is answered). */
void hz_api_answer(hz_api_done_fn *done, void *arg, uint32_t status, struct hz_json *json);
void hz_api_fail(hz_api_done_fn *done, void *arg, uint32_t status, const char *error);
/* ret_workflow: a reference. False: there is none that can run, and the client has been told. */
struct hz_workflow;
bool hz_api_find_workflow(
        const char *id, const char *version, hz_api_done_fn *done, void *arg, struct hz_workflow **ret_workflow);
/* A new object, reference taken over; NULL: out of memory is answered. */
void hz_api_answer_value(hz_api_done_fn *done, void *arg, uint32_t status, json_t *value);

/* One worker by id or beginning of it. False: answered (404 with `missing`, 409 if several match). */
HZ_MUST_CHECK bool hz_api_find_worker(
        const char *id, const char *missing, struct hz_worker_info *ret_info, hz_api_done_fn *done, void *arg);
/* 503 for what passes by itself (ports, memory, descriptors taken), else 500. */
uint32_t hz_api_start_status(const char *error);

const struct hz_config *hz_api_config(void);
void hz_health_init(void);
void hz_health_worker(struct hz_json *json);
HZ_MUST_CHECK int hz_asks_init(void);
void hz_webhook_init(void);
HZ_MUST_CHECK int hz_api_history_init(void); /* its routes */
HZ_MUST_CHECK int hz_api_secrets_init(void);
HZ_MUST_CHECK int hz_openapi_init(void);
HZ_MUST_CHECK int hz_metrics_init(void);
HZ_MUST_CHECK int hz_api_alerts_init(void);

void hz_gate_open(void);                     /* gate.c: from now on routes ask who calls */
HZ_MUST_CHECK int hz_api_access_init(void); /* routes of accounts, tokens, audit log */
HZ_MUST_CHECK int hz_api_login_init(void);  /* routes of logging in and out */

#endif
