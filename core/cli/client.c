/* client.c - see client.h. */
#include "client.h"

#include "command.h"

#include "core/flow/json_text.h"

#include <ctype.h>
#include <curl/curl.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { ANSWER_MAX = 256 << 20, CONNECT_SECONDS = 5 };

struct hz_client {
    void *library;
    CURL *curl;
    int dir_fd; /* of a data directory whose path is too long for a socket address, else -1 */
    char socket[sizeof(((struct sockaddr_un *)0)->sun_path)];
    const char *data_dir;
    char *answer;
    size_t len;
    CURL *(*easy_init)(void);
    void (*easy_cleanup)(CURL *);
    void (*easy_reset)(CURL *);
    CURLcode (*setopt)(CURL *, CURLoption, ...);
    CURLcode (*perform)(CURL *);
    CURLcode (*getinfo)(CURL *, CURLINFO, ...);
    const char *(*strerror)(CURLcode);
    struct curl_slist *(*slist_append)(struct curl_slist *, const char *);
    void (*slist_free_all)(struct curl_slist *);
};
#undef curl_easy_setopt
#undef curl_easy_getinfo

/* An address of the library into a function pointer of the client. */
static bool take_symbol(struct hz_client *client, const char *name, void *into, size_t size)
{
    void *symbol = dlsym(client->library, name);
    memcpy(into, &symbol,
            size); /* ISO C has no conversion from object to function pointers, POSIX demands that it works */
    return symbol != NULL;
}

static bool load_library(struct hz_client *client)
{
    client->library = dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);
    return client->library && take_symbol(client, "curl_easy_init", &client->easy_init, sizeof client->easy_init) &&
           take_symbol(client, "curl_easy_cleanup", &client->easy_cleanup, sizeof client->easy_cleanup) &&
           take_symbol(client, "curl_easy_reset", &client->easy_reset, sizeof client->easy_reset) &&
           take_symbol(client, "curl_easy_setopt", &client->setopt, sizeof client->setopt) &&
           take_symbol(client, "curl_easy_perform", &client->perform, sizeof client->perform) &&
           take_symbol(client, "curl_easy_getinfo", &client->getinfo, sizeof client->getinfo) &&
           take_symbol(client, "curl_easy_strerror", &client->strerror, sizeof client->strerror) &&
           take_symbol(client, "curl_slist_append", &client->slist_append, sizeof client->slist_append) &&
           take_symbol(client, "curl_slist_free_all", &client->slist_free_all, sizeof client->slist_free_all);
}

static bool find_socket(struct hz_client *client, const char *data_dir)
{
    int len = snprintf(client->socket, sizeof client->socket, "%s/horizon.sock", data_dir);
    if (len < 0 || (size_t)len >= sizeof client->socket) {
        client->dir_fd = open(data_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (client->dir_fd < 0)
            return false;
        snprintf(client->socket, sizeof client->socket, "/proc/self/fd/%d/horizon.sock", client->dir_fd);
    }
    /* Somebody listens? A socket file may be left over from a server that was killed. */
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, client->socket, sizeof address.sun_path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool ok = fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof address) == 0;
    if (fd >= 0)
        close(fd);
    return ok;
}

struct hz_client *hz_client_try(const char *data_dir, bool *ret_alone)
{
    struct hz_client *client = calloc(1, sizeof *client);
    *ret_alone = false;
    if (!client) {
        hz_cli_error(HZ_EXIT_FAILED, "out of memory");
        return NULL;
    }
    client->dir_fd = -1;
    client->data_dir = data_dir;
    if (!find_socket(client, data_dir))
        *ret_alone = true;
    else if (!load_library(client))
        hz_cli_error(HZ_EXIT_FAILED, "libcurl is needed to talk to the server: %s", dlerror());
    else if ((client->curl = client->easy_init()) != NULL)
        return client;
    hz_client_close(&client);
    return NULL;
}

struct hz_client *hz_client_open(const char *data_dir)
{
    bool alone;
    struct hz_client *client = hz_client_try(data_dir, &alone);
    if (alone)
        hz_cli_error(HZ_EXIT_FAILED,
                "no server runs on the data directory %s; `horizon serve --data %s` starts one, --data names another",
                data_dir, data_dir);
    return client;
}

void hz_client_close(struct hz_client **client_pointer)
{
    struct hz_client *client = *client_pointer;
    *client_pointer = NULL;
    if (!client)
        return;
    if (client->curl)
        client->easy_cleanup(client->curl);
    if (client->dir_fd >= 0)
        close(client->dir_fd);
    free(client->answer);
    free(client); /* the library stays: it is not made to be unloaded */
}

static size_t on_data(char *data, size_t size, size_t count, void *arg)
{
    struct hz_client *client = arg;
    size_t more = size * count;
    char *grown = client->len + more < ANSWER_MAX ? realloc(client->answer, client->len + more + 1) : NULL;
    if (!grown)
        return 0;
    memcpy(grown + client->len, data, more);
    client->answer = grown;
    client->len += more;
    client->answer[client->len] = 0;
    return more;
}

long hz_client_call(struct hz_client *client, const char *method, const char *path, const char *body, size_t len,
        json_t **ret_answer)
{
    char url[2048];
    long status = 0;
    *ret_answer = NULL;
    client->len = 0;
    snprintf(url, sizeof url, "http://localhost%s", path);
    struct curl_slist *headers = client->slist_append(NULL, "Content-Type: application/json");
    client->easy_reset(client->curl);
    client->setopt(client->curl, CURLOPT_URL, url);
    client->setopt(client->curl, CURLOPT_UNIX_SOCKET_PATH, client->socket);
    client->setopt(client->curl, CURLOPT_PROXY, "");
    client->setopt(client->curl, CURLOPT_NOSIGNAL, 1L);
    client->setopt(client->curl, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_SECONDS);
    client->setopt(client->curl, CURLOPT_CUSTOMREQUEST, method);
    client->setopt(client->curl, CURLOPT_HTTPHEADER, headers);
    client->setopt(client->curl, CURLOPT_WRITEFUNCTION, on_data);
    client->setopt(client->curl, CURLOPT_WRITEDATA, client);
    if (body || strcmp(method, "GET") != 0) {
        client->setopt(client->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)(body ? len : 0));
        client->setopt(client->curl, CURLOPT_POSTFIELDS, body ? body : "");
    }
    CURLcode code = client->perform(client->curl);
    client->slist_free_all(headers);
    if (code != CURLE_OK) {
        hz_cli_error(HZ_EXIT_FAILED, "the server on %s did not answer: %s", client->data_dir, client->strerror(code));
        return 0;
    }
    client->getinfo(client->curl, CURLINFO_RESPONSE_CODE, &status);
    if (client->len)
        *ret_answer = hz_json_text_read(client->answer, client->len);
    return status;
}

json_t *hz_client_ask(struct hz_client *client, const char *method, const char *path, json_t *body)
{
    json_t *answer = NULL;
    char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
    bool failed = body && !text;
    json_decref(body);
    if (failed) {
        hz_cli_error(HZ_EXIT_FAILED, "out of memory");
        return NULL;
    }
    long status = hz_client_call(client, method, path, text, text ? strlen(text) : 0, &answer);
    free(text);
    if (status == 0)
        return NULL;
    if (status >= 200 && status < 300 && answer)
        return answer;
    const char *detail = json_string_value(json_object_get(answer, "detail"));
    if (detail)
        hz_cli_error(HZ_EXIT_FAILED, "%s", detail);
    else
        hz_cli_error(HZ_EXIT_FAILED, "the server answered %ld", status);
    json_decref(answer);
    return NULL;
}

char *hz_client_path(const char *before, const char *word, const char *after)
{
    size_t len = strlen(before) + 3 * strlen(word) + strlen(after) + 1;
    char *path = malloc(len), *to = path;
    if (!path)
        return NULL;
    to += sprintf(to, "%s", before);
    for (; *word; word++)
        if (isalnum((unsigned char)*word) || strchr("-._~", *word))
            *to++ = *word;
        else
            to += sprintf(to, "%%%02X", (unsigned char)*word);
    sprintf(to, "%s", after);
    return path;
}

json_t *hz_client_list(struct hz_client *client, const char *path, const char *plural, uint64_t most)
{
    enum { PAGE = 1000 };
    json_t *all = NULL;
    char *cursor = strdup("");
    while (cursor) {
        uint64_t left = most - json_array_size(json_object_get(all, plural));
        char *query = NULL;
        if (asprintf(&query, "%s%climit=%llu%s%s", path, strchr(path, '?') ? '&' : '?', (unsigned long long)HZ_MIN(left, (uint64_t)PAGE),
                    *cursor ? "&cursor=" : "", cursor) < 0)
            query = NULL;
        free(cursor);
        json_t *page = query ? hz_client_ask(client, "GET", query, NULL) : NULL;
        free(query);
        if (!page) {
            json_decref(all);
            return NULL;
        }
        const char *next = json_string_value(json_object_get(page, "next"));
        cursor = next ? strdup(next) : NULL;
        if (all) {
            (void)json_array_extend(json_object_get(all, plural), json_object_get(page, plural));
            (void)json_object_set(all, "next", json_object_get(page, "next"));
            json_decref(page);
        } else {
            all = page;
        }
        if (json_array_size(json_object_get(all, plural)) >= most) {
            free(cursor);
            cursor = NULL;
        }
    }
    return all;
}
