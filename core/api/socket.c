/*
 * socket.c - the Socket.IO face of the operations: who a connection is, one event one call, one acknowledgement one answer; what operations
 * tell others; deltas for those who follow. Everything of a socket happens on its shard.
 */
#include "socket.h"

#include "events.h"
#include "listeners.h"
#include "news.h"
#include "route.h"

#include "core/config.h"
#include "core/flow/json_text.h"
#include "core/http/socketio.h"
#include "core/lines.h"
#include "core/shard.h"

#include "shm/err.h"
#include "shm/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { KNOWN = 1, FOLLOWS = 2 }; /* channels */
enum { BEHIND_MS = 10 };         /* between two looks at a client that has not taken the last part */

struct client {
    struct client *next, *prev;
    struct hz_sio_socket *socket; /* whose it is */
    struct hz_caller caller;
    struct hz_route_line *line;
    bool follows;
    struct call *behind;   /* events:follow that is answered once the client has what it missed; NULL: it has */
    uint64_t after;        /* up to here it has, or was sent */
    struct hz_timer timer; /* the next part */
};
static _Thread_local struct client *clients; /* of the shard whose thread it is */
static bool tracking; /* TRACKING_ROUTE; written before the shards run */

/* ---- answers ---- */
struct call {
    struct hz_sio_ack *ack;       /* NULL: the client wants none */
    struct hz_sio_socket *socket; /* a reference */
};

static void on_done(void *arg, const struct hz_route_answer *answer)
{
    struct call *call = arg;
    size_t len = answer->len;
    char *printed = answer->object && call->ack ? hz_json_text_print(answer->object, 0, &len) : NULL;
    const char *text = printed ? printed : answer->text;
    if (call->ack && text)
        hz_sio_ack_text(call->ack, text, len);
    else if (call->ack)
        hz_sio_ack_drop(call->ack);
    free(printed);
    hz_sio_unref(&call->socket);
    free(call);
}

/* ---- following ---- */
static void set_channels(const struct client *client)
{
    uint32_t follows = client->follows && !client->behind ? FOLLOWS : 0u;
    hz_sio_set_channels(client->socket, client->caller.kind == HZ_CALLER_NONE ? 0u : KNOWN | follows);
}

/* It has what it missed, or nobody waits for it any more. */
static void answer_follow(struct client *client, bool reset)
{
    struct call *call = client->behind;
    if (!call)
        return;
    hz_timer_cancel(hz_shard_timers(hz_shard_self()), &client->timer);
    client->behind = NULL;
    json_t *object = json_pack("{s:b, s:I, s:b}", "success", 1, "last", (json_int_t)client->after, "reset", reset);
    on_done(call, &(struct hz_route_answer){.status = 200, .object = object});
    json_decref(object);
}

static void set_follows(struct client *client, bool follows)
{
    if (!follows)
        answer_follow(client, false);
    if (client->follows != follows)
        hz_events_followers(follows ? 1 : -1);
    client->follows = follows;
    set_channels(client);
}

static void on_behind(struct hz_timer *timer);

static void caught_up(struct client *client, bool reset)
{
    hz_sio_set_mark(client->socket, client->after);
    answer_follow(client, reset);
    set_channels(client);
}

/* Parts of what was missed while the client takes them; deltas pass it by until it has all, and begin behind that. */
static void catch_up(struct client *client)
{
    bool more = true, known = true;
    while (more && hz_sio_waiting(client->socket) < 2 * HZ_EVENTS_PART) {
        struct hz_events_batch part;
        known = hz_events_replay(client->after, HZ_EVENTS_PART, &part);
        if (known && part.from <= part.to)
            (void)hz_sio_emit_text(client->socket, "events:delta", part.json, part.json_len);
        client->after = part.to;
        more = known && part.more;
        hz_events_replay_free(&part);
    }
    if (more) {
        hz_timer_after(hz_shard_timers(hz_shard_self()), &client->timer, BEHIND_MS, on_behind);
        return;
    }
    caught_up(client, !known);
}

static void on_behind(struct hz_timer *timer)
{
    catch_up(HZ_CONTAINER_OF(timer, struct client, timer));
}

/* events:follow {after?}: deltas from now on, what came after `after` first; reset: it is not known any more, read the lists anew. */
static void follow(struct client *client, const json_t *data, struct call *call)
{
    const json_t *after = json_object_get(data, "after");
    bool resumes = json_is_integer(after) && json_integer_value(after) > 0;
    answer_follow(client, false); /* one that is under way ends where it is */
    set_follows(client, true);    /* before anything is asked: no tick in between finds nobody */
    client->behind = call;
    client->after = resumes ? (uint64_t)json_integer_value(after) : hz_events_last();
    set_channels(client);
    if (resumes)
        catch_up(client);
    else
        caught_up(client, false);
}

static void unfollow(struct client *client, struct call *call)
{
    set_follows(client, false);
    json_t *object = json_pack("{s:b}", "success", 1);
    on_done(call, &(struct hz_route_answer){.status = 200, .object = object});
    json_decref(object);
}

static void on_became(void *arg, const struct hz_caller *caller)
{
    const struct call *call = arg;
    struct client *client = hz_sio_user(call->socket);
    if (!client || !hz_sio_connected(call->socket))
        return;
    client->caller = *caller;
    set_follows(client, client->follows && hz_access_allows(caller, "events:list"));
}

/* ---- events ---- */
static void track(const char *name, const json_t *data)
{
    /* Passwords and handles are not for logs. */
    char *text = data && strncmp(name, "auth:", 5) != 0 ? hz_json_text_print(data, 0, NULL) : NULL;
    if (text)
        hz_access_veil(text);
    hz_lines_print(false, "[TRACKING_ROUTE] %.128s %.2000s", name, text ? text : "{}");
    free(text);
}

/* Logged out, disabled: from here on nobody in particular. */
static void forget_caller(struct client *client)
{
    client->caller = (struct hz_caller){.kind = HZ_CALLER_NONE};
    set_follows(client, false);
}

static bool check_all(void)
{
    for (struct client *client = clients; client; client = client->next) {
        if (client->caller.kind == HZ_CALLER_NONE)
            continue;
        if (!hz_access_holds(&client->caller, NULL))
            forget_caller(client);
        else if (client->follows && !hz_access_holds(&client->caller, "events:list"))
            set_follows(client, false);
    }
    return clients != NULL;
}

static void on_event(struct hz_sio_socket *socket, const char *name, json_t *args, struct hz_sio_ack *ack, void *arg)
{
    (void)arg;
    struct client *client = hz_sio_user(socket);
    struct call *call = client ? calloc(1, sizeof *call) : NULL;
    if (!call) {
        if (ack)
            hz_sio_ack_drop(ack);
        return;
    }
    call->ack = ack;
    call->socket = hz_sio_ref(socket);
    /* Nothing but an answer asked for: the data is {}. What is no object has no fields; null is an error of who reads one. */
    json_t *given = json_array_get(args, 0), *none = json_object();
    json_t *data = json_is_object(given) ? given : json_is_null(given) ? NULL : none;
    if (tracking)
        track(name, data);
    if (client->caller.kind != HZ_CALLER_NONE && !hz_access_refresh(&client->caller))
        forget_caller(client);
    bool starts = strcmp(name, "events:follow") == 0, ends = strcmp(name, "events:unfollow") == 0;
    if ((starts || ends) && hz_access_allows(&client->caller, "events:list")) {
        if (starts)
            follow(client, data, call);
        else
            unfollow(client, call);
    } else {
        hz_route_run(name, &(struct hz_route_call){.caller = &client->caller, .origin = socket, .line = client->line, .data = data, .done = on_done,
                                   .arg = call, .became = on_became});
    }
    json_decref(none);
}

/* ---- coming and going ---- */
static const char *on_connect(struct hz_sio_socket *socket, const json_t *auth, void *arg)
{
    (void)arg;
    struct client *client = calloc(1, sizeof *client);
    if (client)
        client->line = hz_route_line_new();
    if (!client || !client->line) {
        free(client);
        return "Error interno del servidor";
    }
    if (hz_sio_over_socket(socket))
        hz_access_unix_caller(&client->caller);
    else
        hz_access_resolve_handshake(auth, hz_sio_header(socket, "Cookie"), hz_sio_address(socket), &client->caller);
    client->socket = socket;
    client->next = clients;
    if (clients)
        clients->prev = client;
    clients = client;
    hz_listeners_begin();
    hz_sio_set_user(socket, client);
    set_channels(client);
    return NULL;
}

static void on_connected(struct hz_sio_socket *socket, const json_t *auth, void *arg)
{
    (void)auth;
    (void)arg;
    hz_lines_print(false, "Cliente conectado: %s", hz_sio_sid(socket));
}

static void on_disconnect(struct hz_sio_socket *socket, const char *reason, void *arg)
{
    (void)arg;
    struct client *client = hz_sio_user(socket);
    hz_sio_set_user(socket, NULL);
    if (client) {
        *(client->prev ? &client->prev->next : &clients) = client->next;
        if (client->next)
            client->next->prev = client->prev;
        set_follows(client, false);
        hz_route_line_unref(&client->line);
    }
    free(client);
    hz_lines_print(false, "Cliente desconectado: %s", hz_sio_sid(socket));
    HZ_LOG(DEBUG, "socket %s: %s", hz_sio_sid(socket), reason);
}

/* ---- what operations tell ---- */
static void tell_all(const char *name, const char *json, size_t len, struct hz_sio_socket *except)
{
    if (hz_sio_broadcast_channels(name, json, len, except, KNOWN, false))
        HZ_LOG(WARN, "%s was not told: %s", name, hz_err_last());
}

static void tell_one(struct hz_sio_socket *socket, const char *name, const char *json, size_t len)
{
    if (hz_sio_emit_text(socket, name, json, len))
        HZ_LOG(WARN, "%s was not told: %s", name, hz_err_last());
}

static void drop(struct hz_sio_socket *socket)
{
    hz_sio_unref(&socket);
}

static void tell_delta(const struct hz_events_batch *batch)
{
    if (hz_sio_broadcast_marked("events:delta", batch->json, batch->json_len, FOLLOWS, batch->to))
        HZ_LOG(WARN, "a delta was not told: %s", hz_err_last());
}

int hz_socket_init(void)
{
    static const struct hz_news_face face = {tell_all, tell_one, hz_sio_ref, drop};
    const char *wanted = getenv("TRACKING_ROUTE");
    tracking = wanted && (strcasecmp(wanted, "true") == 0 || strcmp(wanted, "1") == 0);
    hz_news_serve(&face);
    hz_events_listen(tell_delta);
    hz_listeners_check_by(check_all);
    hz_listeners_init();
    return hz_sio_serve(&(struct hz_sio_options){
            .handlers = {.connect = on_connect, .connected = on_connected, .event = on_event, .disconnect = on_disconnect}});
}
