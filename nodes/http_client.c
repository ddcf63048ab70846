/*
 * http_client.c - drives curl's multi interface with the host's watches and timers. Everything below "main loop" runs
 * on the worker's main loop thread only; `client` is touched nowhere else.
 */
#include "http_client.h"
#include "text.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <strings.h>
#include <sys/socket.h>

static struct {
    CURLM *multi;
    hz_watch *timer;
} client;

struct watched {
    curl_socket_t fd;
    hz_watch *watch;
};

/* ---- building a job: the call's thread ---- */

/* Checks scheme and form and takes the normal form, as the URL parser of a browser would write it. */
static int take_url(struct http_job *job, hz_str url, char *error, size_t size)
{
    const struct curl_api *api = job->api;
    url = text_trim(url);
    char *text = strndup(url.data ? url.data : "", url.len), *scheme = NULL;
    CURLU *parsed = api->curl_url();
    int r = HZ_ERR_NOMEM;
    if (!text || !parsed)
        goto out;
    r = HZ_ERR_INVALID;
    CURLUcode code = strlen(text) == url.len ? api->curl_url_set(parsed, CURLUPART_URL, text,
                                                       CURLU_URLENCODE | CURLU_NON_SUPPORT_SCHEME)
                                             : CURLUE_MALFORMED_INPUT;
    if (code != CURLUE_OK || api->curl_url_get(parsed, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK) {
        snprintf(error, size, "TypeError: Invalid URL");
        goto out;
    }
    if (strcasecmp(scheme, "http") != 0 && strcasecmp(scheme, "https") != 0) {
        snprintf(error, size, "Error: Unsupported protocol %.32s:", scheme);
        goto out;
    }
    char *normal = NULL;
    if (api->curl_url_get(parsed, CURLUPART_URL, &normal, 0) != CURLUE_OK) {
        snprintf(error, size, "TypeError: Invalid URL");
        goto out;
    }
    job->url = strdup(normal);
    api->curl_free(normal);
    r = job->url ? HZ_OK : HZ_ERR_NOMEM;
out:
    if (scheme)
        api->curl_free(scheme);
    if (parsed)
        api->curl_url_cleanup(parsed);
    free(text);
    return r;
}

int http_job_new(hz_str method, hz_str url, char *error, size_t size, struct http_job **ret_job)
{
    const struct curl_api *api = curl_api_get();
    if (!api) {
        snprintf(error, size, "Error: libcurl is not available in this worker");
        return HZ_ERR_INVALID;
    }
    struct http_job *job = calloc(1, sizeof *job);
    if (!job)
        return HZ_ERR_NOMEM;
    job->api = api;
    /* no `Expect: 100-continue`: it costs a second where the server does not know it */
    job->send_headers = api->curl_slist_append(NULL, "Expect:");
    int r = job->send_headers ? HZ_ERR_INVALID : HZ_ERR_NOMEM;
    for (size_t i = 0; i < method.len; i++) {
        char c = method.data[i] >= 'a' && method.data[i] <= 'z' ? (char)(method.data[i] - 32) : method.data[i];
        if (c < 'A' || c > 'Z' || i + 1 >= sizeof job->method) {
            job->method[0] = 0;
            break;
        }
        job->method[i] = c;
    }
    if (job->method[0] && job->send_headers)
        r = take_url(job, url, error, size);
    else if (!job->method[0])
        snprintf(error, size, "TypeError: Method must be a valid HTTP token");
    if (r != HZ_OK) {
        http_job_free(&job);
        return r;
    }
    *ret_job = job;
    return HZ_OK;
}

int http_job_header(struct http_job *job, hz_str name, hz_str value)
{
    if (!name.len || name.len > 1024 || value.len > 65536)
        return HZ_ERR_INVALID;
    for (size_t i = 0; i < name.len; i++) {
        unsigned char c = (unsigned char)name.data[i];
        if (c <= ' ' || c >= 127 || strchr("\"(),/:;<=>?@[\\]{}", c))
            return HZ_ERR_INVALID;
    }
    for (size_t i = 0; i < value.len; i++)
        if (value.data[i] == '\r' || value.data[i] == '\n' || value.data[i] == 0)
            return HZ_ERR_INVALID;
    size_t size = name.len + value.len + 3;
    char *line = malloc(size);
    if (!line)
        return HZ_ERR_NOMEM;
    /* curl's way to send a header without a value is a semicolon; a colon would remove the header */
    if (value.len)
        snprintf(line, size, "%.*s: %.*s", (int)name.len, name.data, (int)value.len, value.data);
    else
        snprintf(line, size, "%.*s;", (int)name.len, name.data);
    struct curl_slist *list = job->api->curl_slist_append(job->send_headers, line);
    free(line);
    if (!list)
        return HZ_ERR_NOMEM;
    job->send_headers = list;
    return HZ_OK;
}

int http_job_body(struct http_job *job, const void *data, size_t len)
{
    free(job->send);
    job->send = malloc(len + 1);
    if (!job->send)
        return HZ_ERR_NOMEM;
    if (len)
        memcpy(job->send, data, len);
    job->send_len = len;
    return HZ_OK;
}

void http_job_keep_redirects(struct http_job *job)
{
    job->keep_redirects = true;
}

static void forget_headers(struct http_job *job)
{
    for (size_t i = 0; i < job->header_count; i++)
        free(job->headers[i].name);
    job->header_count = 0;
}

void http_job_free(struct http_job **job)
{
    struct http_job *j = *job;
    *job = NULL;
    if (!j)
        return;
    if (j->easy)
        j->api->curl_easy_cleanup(j->easy);
    if (j->send_headers)
        j->api->curl_slist_free_all(j->send_headers);
    forget_headers(j);
    free(j->url);
    free(j->send);
    free(j->body);
    free(j);
}

/* ---- main loop: what curl tells us about one job ---- */

static size_t on_body(char *data, size_t size, size_t count, void *arg)
{
    struct http_job *job = arg;
    size_t len = size * count;
    if (len > HTTP_JOB_BODY_MAX - job->body_len) {
        job->too_large = true;
        return 0;
    }
    size_t need = job->body_len + len + 1;
    if (need > job->body_capacity) {
        size_t capacity = job->body_capacity ? job->body_capacity : 4096;
        while (capacity < need)
            capacity *= 2;
        char *grown = realloc(job->body, capacity);
        if (!grown) {
            job->no_memory = true;
            return 0;
        }
        job->body = grown;
        job->body_capacity = capacity;
    }
    memcpy(job->body + job->body_len, data, len);
    job->body_len += len;
    job->body[job->body_len] = 0;
    return len;
}

/* Name and value share one piece of memory; `name` is its beginning. */
static bool add_header(struct http_job *job, hz_str name, hz_str value)
{
    char *line = malloc(name.len + value.len + 2);
    if (!line)
        return false;
    for (size_t i = 0; i < name.len; i++)
        line[i] = name.data[i] >= 'A' && name.data[i] <= 'Z' ? (char)(name.data[i] + 32) : name.data[i];
    line[name.len] = 0;
    memcpy(line + name.len + 1, value.data, value.len);
    line[name.len + 1 + value.len] = 0;
    job->headers[job->header_count++] = (struct http_header){line, line + name.len + 1};
    return true;
}

static size_t on_header(char *data, size_t size, size_t count, void *arg)
{
    struct http_job *job = arg;
    hz_str line = {data, size * count};
    if (line.len > 5 && memcmp(line.data, "HTTP/", 5) == 0) {
        forget_headers(job); /* a further answer: after a redirect or a 100 */
        const char *code = memchr(line.data, ' ', line.len);
        /* 303 means GET from here on; curl keeps a custom method, so it is taken away */
        if (code && line.len - (size_t)(code - line.data) >= 4 && memcmp(code, " 303", 4) == 0 && !job->keep_redirects)
            job->api->curl_easy_setopt(job->easy, CURLOPT_CUSTOMREQUEST, NULL);
        return line.len;
    }
    const char *colon = memchr(line.data, ':', line.len);
    if (!colon || job->header_count >= HTTP_JOB_HEADERS)
        return line.len;
    hz_str name = {line.data, (size_t)(colon - line.data)};
    hz_str value = text_trim((hz_str){colon + 1, line.len - name.len - 1});
    if (!add_header(job, name, value)) {
        job->no_memory = true;
        return 0;
    }
    return line.len;
}

/* Notes the address so that a refused connection can be named. */
static curl_socket_t on_open(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct http_job *job = arg;
    char ip[INET6_ADDRSTRLEN] = "";
    unsigned port = 0;
    (void)purpose;
    if (address->family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, &address->addr, sizeof in);
        inet_ntop(AF_INET, &in.sin_addr, ip, sizeof ip);
        port = ntohs(in.sin_port);
    } else if (address->family == AF_INET6) {
        struct sockaddr_in6 in;
        memcpy(&in, (const void *)&address->addr, sizeof in);
        inet_ntop(AF_INET6, &in.sin6_addr, ip, sizeof ip);
        port = ntohs(in.sin6_port);
    }
    snprintf(job->peer, sizeof job->peer, "%s:%u", ip, port);
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/* The reason in the words people know from the same node elsewhere. */
static void explain(struct http_job *job, CURLcode code)
{
    const struct curl_api *api = job->api;
    long error = 0;
    char *url = NULL, *host = NULL;
    api->curl_easy_getinfo(job->easy, CURLINFO_OS_ERRNO, &error);
    if (job->no_memory || code == CURLE_OUT_OF_MEMORY) {
        snprintf(job->error, sizeof job->error, "out of memory");
    } else if (job->too_large) {
        snprintf(job->error, sizeof job->error, "Error: maxContentLength size of %u exceeded", HTTP_JOB_BODY_MAX);
    } else if (code == CURLE_COULDNT_CONNECT) {
        const char *name = error ? strerrorname_np((int)error) : NULL;
        snprintf(job->error, sizeof job->error, "Error: connect %s %s", name ? name : "ECONNREFUSED", job->peer);
    } else if (code == CURLE_COULDNT_RESOLVE_HOST) {
        CURLU *parsed = api->curl_url();
        api->curl_easy_getinfo(job->easy, CURLINFO_EFFECTIVE_URL, &url);
        if (parsed && url && api->curl_url_set(parsed, CURLUPART_URL, url, 0) == CURLUE_OK)
            api->curl_url_get(parsed, CURLUPART_HOST, &host, 0);
        snprintf(job->error, sizeof job->error, "Error: getaddrinfo ENOTFOUND %.255s", host ? host : "");
        if (host)
            api->curl_free(host);
        if (parsed)
            api->curl_url_cleanup(parsed);
    } else if (code == CURLE_OPERATION_TIMEDOUT) {
        snprintf(job->error, sizeof job->error, "Error: timeout of %ldms exceeded", HTTP_JOB_TIMEOUT_MS);
    } else if (code == CURLE_TOO_MANY_REDIRECTS) {
        snprintf(job->error, sizeof job->error, "Error: Maximum number of redirects exceeded");
    } else if (code == CURLE_GOT_NOTHING || code == CURLE_PARTIAL_FILE) {
        snprintf(job->error, sizeof job->error, "Error: socket hang up");
    } else if (code == CURLE_RECV_ERROR || code == CURLE_SEND_ERROR) {
        const char *name = error ? strerrorname_np((int)error) : NULL;
        snprintf(job->error, sizeof job->error, "Error: %s %s", code == CURLE_RECV_ERROR ? "read" : "write",
                name ? name : "ECONNRESET");
    } else if (code == CURLE_UNSUPPORTED_PROTOCOL) {
        snprintf(job->error, sizeof job->error, "Error: Unsupported protocol");
    } else if (code == CURLE_URL_MALFORMAT) {
        snprintf(job->error, sizeof job->error, "TypeError: Invalid URL");
    } else {
        snprintf(job->error, sizeof job->error, "Error: %s",
                job->detail[0] ? job->detail : api->curl_easy_strerror(code));
    }
}

/* ---- main loop: curl's multi handle on the host's watches ---- */

/* The call's thread again. */
static int come_back(hz_call *call, void *arg)
{
    struct http_job *job = arg;
    int r = job->done(call, job);
    http_job_free(&job);
    return r;
}

/* Gives the job back to its call. If the execution was cancelled meanwhile, the cancel hook frees it. */
static void finish(struct http_job *job)
{
    job->stage = HTTP_JOB_FINISHED;
    (void)hz_resume(job->call, come_back, job);
}

static void leave_multi(struct http_job *job)
{
    if (job->stage == HTTP_JOB_RUNNING)
        job->api->curl_multi_remove_handle(client.multi, job->easy);
    if (job->easy)
        job->api->curl_easy_cleanup(job->easy);
    job->easy = NULL;
}

static void collect(const struct curl_api *api)
{
    CURLMsg *message;
    int left;
    while ((message = api->curl_multi_info_read(client.multi, &left))) {
        if (message->msg != CURLMSG_DONE)
            continue;
        char *private = NULL;
        CURLcode code = message->data.result;
        api->curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &private);
        struct http_job *job = (struct http_job *)(void *)private;
        long status = 0;
        api->curl_easy_getinfo(job->easy, CURLINFO_RESPONSE_CODE, &status);
        job->status = (int)status;
        if (code != CURLE_OK)
            explain(job, code);
        leave_multi(job);
        finish(job);
    }
}

static void on_ready(void *arg, int events)
{
    struct watched *watched = arg;
    const struct curl_api *api = curl_api_get();
    int mask = (events & HZ_WATCH_READ ? CURL_CSELECT_IN : 0) | (events & HZ_WATCH_WRITE ? CURL_CSELECT_OUT : 0), left;
    api->curl_multi_socket_action(client.multi, watched->fd, mask ? mask : CURL_CSELECT_ERR, &left);
    collect(api); /* `watched` may be gone by now */
}

static void on_time(void *arg, int events)
{
    const struct curl_api *api = curl_api_get();
    int left;
    (void)arg;
    (void)events;
    api->curl_multi_socket_action(client.multi, CURL_SOCKET_TIMEOUT, 0, &left);
    collect(api);
}

static int set_timer(CURLM *multi, long timeout_ms, void *arg)
{
    (void)multi;
    (void)arg;
    hz_watch_stop(client.timer);
    client.timer = NULL;
    if (timeout_ms < 0)
        return 0;
    client.timer = hz_timer_start((uint64_t)timeout_ms, 0, on_time, NULL);
    return client.timer ? 0 : -1;
}

static int set_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
    struct watched *watched = socket_arg;
    (void)easy;
    (void)arg;
    if (what == CURL_POLL_REMOVE) {
        if (watched)
            hz_watch_stop(watched->watch);
        free(watched);
        return 0;
    }
    int events = (what & CURL_POLL_IN ? HZ_WATCH_READ : 0) | (what & CURL_POLL_OUT ? HZ_WATCH_WRITE : 0);
    if (watched)
        return hz_watch_events(watched->watch, events) == HZ_OK ? 0 : -1;
    watched = calloc(1, sizeof *watched);
    if (!watched)
        return -1;
    watched->fd = fd;
    watched->watch = hz_watch_fd(fd, events, on_ready, watched);
    if (!watched->watch || curl_api_get()->curl_multi_assign(client.multi, fd, watched) != CURLM_OK) {
        hz_watch_stop(watched->watch);
        free(watched);
        return -1;
    }
    return 0;
}

static bool open_multi(const struct curl_api *api)
{
    if (client.multi)
        return true;
    client.multi = api->curl_multi_init();
    if (!client.multi)
        return false;
    api->curl_multi_setopt(client.multi, CURLMOPT_SOCKETFUNCTION, set_socket);
    api->curl_multi_setopt(client.multi, CURLMOPT_TIMERFUNCTION, set_timer);
    api->curl_multi_setopt(client.multi, CURLMOPT_MAXCONNECTS, 16L); /* kept open for the next request */
    return true;
}

static bool prepare(struct http_job *job)
{
    const struct curl_api *api = job->api;
    CURL *easy = job->easy = api->curl_easy_init();
    if (!easy || !open_multi(api))
        return false;
    CURLcode bad = CURLE_OK;
#define SET(option, value) bad = bad != CURLE_OK ? bad : api->curl_easy_setopt(easy, option, value)
    SET(CURLOPT_URL, job->url);
    SET(CURLOPT_PRIVATE, job);
    SET(CURLOPT_ERRORBUFFER, job->detail);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_FOLLOWLOCATION, job->keep_redirects ? 0L : 1L);
    SET(CURLOPT_MAXREDIRS, HTTP_JOB_REDIRECTS);
    SET(CURLOPT_TIMEOUT_MS, HTTP_JOB_TIMEOUT_MS);
    SET(CURLOPT_ACCEPT_ENCODING, "");
    SET(CURLOPT_USERAGENT, "horizon/" HZ_VERSION);
    SET(CURLOPT_WRITEFUNCTION, on_body);
    SET(CURLOPT_WRITEDATA, job);
    SET(CURLOPT_HEADERFUNCTION, on_header);
    SET(CURLOPT_HEADERDATA, job);
    SET(CURLOPT_OPENSOCKETFUNCTION, on_open);
    SET(CURLOPT_OPENSOCKETDATA, job);
    SET(CURLOPT_HTTPHEADER, job->send_headers);
    if (job->send) {
        SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)job->send_len);
        SET(CURLOPT_POSTFIELDS, job->send);
    }
    if (strcmp(job->method, "HEAD") == 0)
        SET(CURLOPT_NOBODY, 1L);
    else if (strcmp(job->method, job->send ? "POST" : "GET") != 0)
        SET(CURLOPT_CUSTOMREQUEST, job->method);
#undef SET
    return bad == CURLE_OK;
}

static void begin(void *arg, int events)
{
    struct http_job *job = arg;
    (void)events;
    if (job->cancelled) {
        http_job_free(&job);
        return;
    }
    if (prepare(job) && job->api->curl_multi_add_handle(client.multi, job->easy) == CURLM_OK) {
        job->stage = HTTP_JOB_RUNNING; /* the first step is the timer's, which curl has just asked for */
        return;
    }
    snprintf(job->error, sizeof job->error, "out of memory");
    leave_multi(job);
    finish(job);
}

/* The execution has ended. Before begin() has run the job is still in the loop's queue: begin() frees it. */
static void cancel(void *arg, int events)
{
    struct http_job *job = arg;
    (void)events;
    if (job->stage == HTTP_JOB_QUEUED) {
        job->cancelled = true;
        return;
    }
    leave_multi(job);
    http_job_free(&job);
}

int http_job_start(hz_call *call, struct http_job *job, hz_continue_fn *done)
{
    job->call = call;
    job->done = done;
    int r = hz_on_cancel(call, cancel, job);
    if (r == HZ_OK)
        r = hz_loop_post(begin, job);
    if (r == HZ_OK)
        return HZ_DEFER;
    http_job_free(&job);
    return r;
}
