/*
 * alerts_hook.c - POSTs alerts to a URL. A thread of its own, because libcurl waits; started, and libcurl loaded, only
 * when a hook is configured. Five attempts with growing waits, then the text is given up and counted.
 *
 * Synchronisation: `lock` guards queue, url, timeout, counts; the thread copies what it needs and works outside the
 * lock. `stopping` is written under the lock and read by the thread without it while a transfer runs (relaxed: a moment
 * late does no harm). The functions of the library are set before the thread starts.
 */
#include "alerts_send.h"

#include "shm/err.h"
#include "shm/log.h"

#include <curl/curl.h>
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#undef curl_easy_setopt
#undef curl_easy_getinfo

#define WAITING_MOST 256u
#define ATTEMPTS     5u

struct text {
    struct text *next;
    char data[];
};

static struct {
    CURL *(*init)(void);
    void (*cleanup)(CURL *);
    CURLcode (*setopt)(CURL *, CURLoption, ...);
    CURLcode (*perform)(CURL *);
    CURLcode (*getinfo)(CURL *, CURLINFO, ...);
    const char *(*strerror)(CURLcode);
    struct curl_slist *(*append)(struct curl_slist *, const char *);
    void (*free_all)(struct curl_slist *);
} lib;

static struct {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    pthread_t thread;
    bool running, loaded;
    _Atomic bool stopping;
    char *url;
    uint32_t timeout_ms;
    struct text *first, **last;
    unsigned waiting;
    bool delivering;
    struct hz_alerts_sent sent;
} hook = {.lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER};

static bool take_symbol(void *library, const char *name, void *into, size_t size)
{
    void *symbol = dlsym(library, name);
    memcpy(into, &symbol,
            size); /* ISO C has no conversion from object to function pointers, POSIX demands that it works */
    return symbol != NULL;
}

static int load_library(void)
{
    void *library = hook.loaded ? NULL : dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);
    if (hook.loaded)
        return 0;
    hook.loaded = library && take_symbol(library, "curl_easy_init", &lib.init, sizeof lib.init) &&
                  take_symbol(library, "curl_easy_cleanup", &lib.cleanup, sizeof lib.cleanup) &&
                  take_symbol(library, "curl_easy_setopt", &lib.setopt, sizeof lib.setopt) &&
                  take_symbol(library, "curl_easy_perform", &lib.perform, sizeof lib.perform) &&
                  take_symbol(library, "curl_easy_getinfo", &lib.getinfo, sizeof lib.getinfo) &&
                  take_symbol(library, "curl_easy_strerror", &lib.strerror, sizeof lib.strerror) &&
                  take_symbol(library, "curl_slist_append", &lib.append, sizeof lib.append) &&
                  take_symbol(library, "curl_slist_free_all", &lib.free_all, sizeof lib.free_all);
    return hook.loaded ? 0 : hz_err_set(HZ_EREFUSED, "the web hook needs libcurl: %s", dlerror());
}

/* ---- one transfer ---- */

static size_t swallow(char *data, size_t size, size_t count, void *arg)
{
    (void)data;
    (void)arg;
    return size * count;
}

static int on_progress(void *arg, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    (void)arg;
    (void)a;
    (void)b;
    (void)c;
    (void)d;
    return atomic_load_explicit(&hook.stopping, memory_order_relaxed); /* true ends the transfer */
}

/* No program that is started meanwhile gets the connection. */
static curl_socket_t on_open(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
    (void)arg;
    (void)purpose;
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static bool post(const char *url, uint32_t timeout_ms, const char *text, char *error, size_t error_size)
{
    CURL *curl = lib.init();
    struct curl_slist *headers = curl ? lib.append(NULL, "Content-Type: application/json") : NULL;
    long status = 0;
    CURLcode code = CURLE_OUT_OF_MEMORY;
    if (headers) {
        lib.setopt(curl, CURLOPT_URL, url);
        lib.setopt(curl, CURLOPT_POSTFIELDS, text);
        lib.setopt(curl, CURLOPT_HTTPHEADER, headers);
        lib.setopt(curl, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
        lib.setopt(curl, CURLOPT_NOSIGNAL, 1L);
        lib.setopt(curl, CURLOPT_PROXY, "");
        lib.setopt(curl, CURLOPT_WRITEFUNCTION, swallow);
        lib.setopt(curl, CURLOPT_NOPROGRESS, 0L);
        lib.setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
        lib.setopt(curl, CURLOPT_OPENSOCKETFUNCTION, on_open);
        code = lib.perform(curl);
        lib.getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    }
    if (code != CURLE_OK)
        snprintf(error, error_size, "%.200s", lib.strerror(code));
    else if (status < 200 || status > 299)
        snprintf(error, error_size, "answered %ld", status);
    if (headers)
        lib.free_all(headers);
    if (curl)
        lib.cleanup(curl);
    return code == CURLE_OK && status >= 200 && status <= 299;
}

/* ---- the thread ---- */

/* Under the lock. False: it shall end. */
static bool pause_for(unsigned seconds)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += (time_t)seconds;
    while (!hook.stopping)
        if (pthread_cond_timedwait(&hook.wake, &hook.lock, &until) == ETIMEDOUT)
            break;
    return !hook.stopping;
}

/* Under the lock, which it leaves for the transfers. */
static void deliver(const struct text *text)
{
    char error[256] = "";
    bool done = false;
    for (unsigned attempt = 0; attempt < ATTEMPTS && !done && hook.url && !hook.stopping; attempt++) {
        if (attempt > 0 && !pause_for(1u << (attempt - 1)))
            break;
        char *url = hook.url ? strdup(hook.url) : NULL;
        uint32_t timeout_ms = hook.timeout_ms;
        if (!url)
            break;
        pthread_mutex_unlock(&hook.lock);
        done = post(url, timeout_ms, text->data, error, sizeof error);
        free(url);
        pthread_mutex_lock(&hook.lock);
    }
    if (done) {
        hook.sent.sent++;
        return;
    }
    hook.sent.failed++;
    snprintf(hook.sent.error, sizeof hook.sent.error, "%s", error[0] ? error : "given up at the end");
    HZ_LOG(WARN, "alerts: the web hook did not take an alert: %s", hook.sent.error);
}

static void *hook_main(void *arg)
{
    (void)arg;
    pthread_mutex_lock(&hook.lock);
    while (!hook.stopping) {
        struct text *text = hook.first;
        if (!text) {
            pthread_cond_wait(&hook.wake, &hook.lock);
            continue;
        }
        hook.first = text->next;
        if (!hook.first)
            hook.last = &hook.first;
        hook.waiting--;
        hook.delivering = true;
        deliver(text);
        hook.delivering = false;
        free(text);
    }
    pthread_mutex_unlock(&hook.lock);
    return NULL;
}

static int start_thread(void)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are the main thread's */
    int code = pthread_create(&hook.thread, NULL, hook_main, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (code)
        return hz_err_set(-code, "the web hook's thread");
    hook.running = true;
    return 0;
}

int hz_hook_set(const char *url, uint32_t timeout_ms)
{
    int err = url ? load_library() : 0;
    char *copy = url && !err ? strdup(url) : NULL;
    if (!err && url && !copy)
        err = hz_err_set(HZ_ENOMEM, "web hook");
    if (err)
        return err;
    pthread_mutex_lock(&hook.lock);
    free(hook.url);
    hook.url = copy;
    hook.timeout_ms = timeout_ms;
    if (!hook.last)
        hook.last = &hook.first;
    pthread_mutex_unlock(&hook.lock);
    return url && !hook.running ? start_thread() : 0;
}

void hz_hook_send(const char *text)
{
    size_t len = strlen(text) + 1;
    struct text *copy = malloc(sizeof *copy + len);
    if (copy) {
        copy->next = NULL;
        memcpy(copy->data, text, len);
    }
    pthread_mutex_lock(&hook.lock);
    if (!hook.url) {
        free(copy);
    } else if (!copy || hook.waiting >= WAITING_MOST) {
        hook.sent.dropped++;
        free(copy);
    } else {
        *hook.last = copy;
        hook.last = &copy->next;
        hook.waiting++;
        pthread_cond_signal(&hook.wake);
    }
    pthread_mutex_unlock(&hook.lock);
}

bool hz_hook_idle(void)
{
    pthread_mutex_lock(&hook.lock);
    bool idle = !hook.first && !hook.delivering;
    pthread_mutex_unlock(&hook.lock);
    return idle;
}

void hz_hook_sent(struct hz_alerts_sent *ret)
{
    pthread_mutex_lock(&hook.lock);
    *ret = hook.sent;
    pthread_mutex_unlock(&hook.lock);
}

void hz_hook_stop(void)
{
    pthread_mutex_lock(&hook.lock);
    hook.stopping = true;
    pthread_cond_signal(&hook.wake);
    pthread_mutex_unlock(&hook.lock);
    if (hook.running)
        pthread_join(hook.thread, NULL);
    hook.running = false;
    hook.stopping = false;
    for (struct text *text = hook.first, *next; text; text = next) {
        next = text->next;
        free(text);
    }
    hook.first = NULL;
    hook.last = &hook.first;
    hook.waiting = 0;
    free(hook.url);
    hook.url = NULL;
    memset(&hook.sent, 0, sizeof hook.sent);
}
