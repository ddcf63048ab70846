/* news.c - hands what operations tell over to the face that is there. Any shard; the face is set before they run. */
#include "news.h"

#include "core/flow/json_text.h"

#include <stdlib.h>
#include <string.h>

static const struct hz_news_face *face;

void hz_news_serve(const struct hz_news_face *given)
{
    face = given;
}

void hz_news_all_text(const char *name, const char *json, size_t len, struct hz_sio_socket *except)
{
    if (face)
        face->all(name, json, len, except);
}

void hz_news_all(const char *name, const json_t *payload, struct hz_sio_socket *except)
{
    size_t len;
    char *text = face && payload ? hz_json_text_print(payload, 0, &len) : NULL;
    if (text)
        face->all(name, text, len, except);
    free(text);
}

void hz_news_one(struct hz_sio_socket *socket, const char *name, const json_t *payload)
{
    size_t len;
    char *text = face && socket && payload ? hz_json_text_print(payload, 0, &len) : NULL;
    if (text)
        face->one(socket, name, text, len);
    free(text);
}

struct hz_sio_socket *hz_news_keep(struct hz_sio_socket *socket)
{
    return face && socket ? face->keep(socket) : NULL;
}

void hz_news_drop(struct hz_sio_socket *socket)
{
    if (face && socket)
        face->drop(socket);
}
