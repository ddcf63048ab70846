/*
 * curl_api.h - the functions of libcurl the HTTP client uses, behind pointers. http_request links the library;
 * webhook_handler, which needs it only for its proxy and is loaded by processes that must stay small, opens it when a
 * flow asks for the proxy (compiled with CURL_API_LAZY).
 */
#ifndef HZ_NODES_CURL_API_H
#define HZ_NODES_CURL_API_H

/* Its checks of argument types are macros with the functions' names; here the names themselves are needed. */
#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>

#define CURL_API_CALLS(X)                                                                                              \
    X(curl_global_init)                                                                                                \
    X(curl_easy_init)                                                                                                  \
    X(curl_easy_setopt)                                                                                                \
    X(curl_easy_getinfo)                                                                                               \
    X(curl_easy_cleanup)                                                                                               \
    X(curl_easy_strerror)                                                                                              \
    X(curl_slist_append)                                                                                               \
    X(curl_slist_free_all)                                                                                             \
    X(curl_multi_init)                                                                                                 \
    X(curl_multi_setopt)                                                                                               \
    X(curl_multi_assign)                                                                                               \
    X(curl_multi_add_handle)                                                                                           \
    X(curl_multi_remove_handle)                                                                                        \
    X(curl_multi_socket_action)                                                                                        \
    X(curl_multi_info_read)                                                                                            \
    X(curl_url)                                                                                                        \
    X(curl_url_set)                                                                                                    \
    X(curl_url_get)                                                                                                    \
    X(curl_url_cleanup)                                                                                                \
    X(curl_free)

struct curl_api {
#define CURL_API_MEMBER(name) __typeof__(name) *name;
    CURL_API_CALLS(CURL_API_MEMBER)
#undef CURL_API_MEMBER
};

/* The table, loaded and initialised at the first call; NULL: the library is not there. From any thread. Sockets and
 * threads are made later, by the client. */
const struct curl_api *curl_api_get(void);

#endif
