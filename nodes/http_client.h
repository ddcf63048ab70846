/*
 * http_client.h - HTTP exchanges for nodes, without holding a thread: one curl multi handle per worker on its main
 * loop.
 *
 * A job is built on the thread of the call, handed over by http_job_start(), worked on by the main loop, and comes
 * back to the call's thread in a continuation. It is touched by one of them at a time.
 */
#ifndef HZ_NODES_HTTP_CLIENT_H
#define HZ_NODES_HTTP_CLIENT_H

#include "curl_api.h"
#include <horizon/node.h>

#define HTTP_JOB_BODY_MAX   (64u << 20) /* bytes of an answer; the bound of one message between processes */
#define HTTP_JOB_TIMEOUT_MS 30000L
#define HTTP_JOB_HEADERS    256u
#define HTTP_JOB_REDIRECTS  21L

struct http_header {
    char *name, *value; /* name in lower case */
};

/* What came back. Until the continuation runs it belongs to the main loop. */
struct http_job {
    /* the result */
    char error[512]; /* "" or why there is no answer: `Error: connect ECONNREFUSED 127.0.0.1:9` */
    int status;
    char *body; /* NUL-terminated; NULL if empty */
    size_t body_len;
    struct http_header headers[HTTP_JOB_HEADERS]; /* of the last answer, in order; what is beyond is dropped */
    size_t header_count;
    /* the client's own */
    const struct curl_api *api;
    hz_call *call;
    hz_continue_fn *done;
    CURL *easy;
    char *url, *send;
    size_t send_len;
    struct curl_slist *send_headers;
    char method[17], peer[64], detail[CURL_ERROR_SIZE];
    size_t body_capacity;
    enum { HTTP_JOB_QUEUED, HTTP_JOB_RUNNING, HTTP_JOB_FINISHED } stage; /* main loop only, once started */
    bool cancelled, keep_redirects, too_large, no_memory;
};

/* A job for `method` (letters, at most 16, any case) and an http or https `url`. Returns 0, HZ_ERR_NOMEM, or
 * HZ_ERR_INVALID with the text for people in error[size]. *ret_job belongs to the caller until http_job_start(). */
int http_job_new(hz_str method, hz_str url, char *error, size_t size, struct http_job **ret_job);
/* Adds a header. HZ_ERR_INVALID: not a header's name, or a value with a line break. HZ_ERR_NOMEM. */
int http_job_header(struct http_job *job, hz_str name, hz_str value);
/* The body to send, copied. Without it none is sent. HZ_ERR_NOMEM. */
int http_job_body(struct http_job *job, const void *data, size_t len);
/* Redirects are results, not followed. */
void http_job_keep_redirects(struct http_job *job);
/* Begins; takes the job in every case. Returns HZ_DEFER, or an error and nothing happens. Later `done` goes on with the
 * call; its arg is the job, which is freed when it returns. If the execution ends before, the request is given up. */
int http_job_start(hz_call *call, struct http_job *job, hz_continue_fn *done);
void http_job_free(struct http_job **job);

#endif
