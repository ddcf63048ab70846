/*
 * news.h - what the operations tell clients besides their answers: to all others, or to the one who asked. The Socket.IO face registers
 * itself here; without it (and in unit tests of operations) everything goes where the test says.
 */
#ifndef HZ_CORE_API_NEWS_H
#define HZ_CORE_API_NEWS_H

#include "shm/base.h"
#include <jansson.h>

struct hz_sio_socket;
struct hz_news_face {
    void (*all)(const char *name, const char *json, size_t len, struct hz_sio_socket *except);
    void (*one)(struct hz_sio_socket *socket, const char *name, const char *json, size_t len);
    struct hz_sio_socket *(*keep)(struct hz_sio_socket *socket); /* a reference */
    void (*drop)(struct hz_sio_socket *socket);
};
/* Before the shards run; must outlive them. NULL: none. */
void hz_news_serve(const struct hz_news_face *face);
/* Any shard. Lists of followers and replay (events.h) hear of it too. payload: borrowed. except: NULL none. */
void hz_news_all(const char *name, const json_t *payload, struct hz_sio_socket *except);
void hz_news_all_text(const char *name, const char *json, size_t len, struct hz_sio_socket *except);
void hz_news_one(struct hz_sio_socket *socket, const char *name, const json_t *payload); /* socket NULL: nobody */
struct hz_sio_socket *hz_news_keep(struct hz_sio_socket *socket);                       /* NULL stays NULL */
void hz_news_drop(struct hz_sio_socket *socket);

#endif
