/*
 * curl_api.c - fills the table of curl_api.h, once per process: by the linker, or by dlopen() under CURL_API_LAZY.
 */
#include "curl_api.h"
#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>

static struct curl_api table;
static bool loaded;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void load(void)
{
#ifdef CURL_API_LAZY
    /* A worker with the net capability was forked from a process that has the library already: no file is opened
     * then. */
    void *library = dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return;
/* ISO C has no conversion from an object pointer to a function pointer; POSIX promises that the bytes are the same. */
#define CURL_API_FIND(name)                                                                                            \
    union {                                                                                                            \
        void *symbol;                                                                                                  \
        __typeof__(name) *function;                                                                                    \
    } found_##name = {dlsym(library, #name)};                                                                          \
    if (!found_##name.symbol)                                                                                          \
        return;                                                                                                        \
    table.name = found_##name.function;
    CURL_API_CALLS(CURL_API_FIND)
#undef CURL_API_FIND
#else
#define CURL_API_TAKE(name) table.name = name;
    CURL_API_CALLS(CURL_API_TAKE)
#undef CURL_API_TAKE
#endif
    loaded = table.curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
}

const struct curl_api *curl_api_get(void)
{
    pthread_once(&once, load);
    return loaded ? &table : NULL;
}
