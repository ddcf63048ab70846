/*
 * engineio_work.c - input that was read and waits for its turn. A client's packets are looked at for HZ_EIO_SLICE_NS, what is left of a post
 * or of a WebSocket's bytes then waits in a line of clients, and all together have HZ_EIO_TURN_NS of a turn of the loop: who sends ten thousand
 * events at once waits for them himself, and neither other clients nor HTTP do. Who may not be read from (hz_eio_paused()) is not in
 * the line; he comes back at the end of the turn in which he may. Shard's thread.
 */
#include "engineio_internal.h"

#include "shm/err.h"
#include "shm/log.h"

bool hz_eio_work_left(const struct hz_eio_session *session)
{
    return session->post || (session->ws && session->ws->rest) || (session->probe && session->probe->rest);
}

void hz_eio_work_add(struct hz_eio_session *session)
{
    struct hz_eio *engine = session->engine;
    if (session->working || session->closed || !hz_eio_work_left(session) || hz_eio_paused(session))
        return;
    session->working = true;
    session->next_work = NULL;
    session->prev_work = engine->work_last;
    if (engine->work_last)
        engine->work_last->next_work = session;
    else
        engine->work = session;
    engine->work_last = session;
    hz_eio_stay_awake(engine);
}

void hz_eio_work_remove(struct hz_eio_session *session)
{
    struct hz_eio *engine = session->engine;
    if (!session->working)
        return;
    session->working = false;
    if (session->prev_work)
        session->prev_work->next_work = session->next_work;
    else
        engine->work = session->next_work;
    if (session->next_work)
        session->next_work->prev_work = session->prev_work;
    else
        engine->work_last = session->prev_work;
}

static size_t held_ws(const struct hz_eio_ws *ws)
{
    return ws ? ws->in_capacity + ws->rest_len : 0;
}

static size_t held(const struct hz_eio_session *session)
{
    return held_ws(session->ws) + held_ws(session->probe) + (session->post ? session->post->body_len : 0);
}

static struct hz_eio_session *heaviest(const struct hz_eio *engine)
{
    struct hz_eio_session *most = NULL;
    for (struct hz_eio_session *session = engine->sessions; session; session = session->next)
        if (!most || held(session) > held(most))
            most = session;
    return most;
}

/* The one that holds most goes first: a client that sends little is in nobody's way, however many hoard. */
bool hz_eio_input_room(struct hz_eio_session *session, size_t more)
{
    struct hz_eio *engine = session->engine;
    while (engine->input_bytes + more > hz_eio_shared.options.max_input) {
        struct hz_eio_session *most = heaviest(engine);
        bool other = most && most != session && held(most) > held(session) + more;
        const struct hz_eio_session *victim = other ? most : session;
        HZ_LOG(WARN, "client %s (%s) dropped: %zu KiB of its input are still coming, of %zu MiB in all", victim->sid, victim->address,
                held(victim) >> 10, (size_t)(engine->input_bytes >> 20));
        if (!other)
            return false; /* who asks drops it */
        hz_eio_count(&engine->figures->refused_input, 1);
        hz_eio_close(most, "too much input at once", 1011, '1');
    }
    return true;
}

bool hz_eio_work_spent(const struct hz_eio *engine)
{
    return engine->spent_ns >= HZ_EIO_TURN_NS;
}

static void slice(struct hz_eio_session *session)
{
    if (hz_eio_paused(session))
        return;
    if (session->post)
        hz_eio_post_slice(session);
    if (!session->closed && session->ws && session->ws->rest)
        hz_eio_ws_slice(session->ws);
    if (!session->closed && session->probe && session->probe->rest)
        hz_eio_ws_slice(session->probe);
}

/* One at least, however much input came fresh in this turn: the line moves. */
void hz_eio_work(struct hz_eio *engine)
{
    do {
        struct hz_eio_session *session = engine->work;
        hz_eio_work_remove(session);
        slice(session); /* it may be closed now, but is there until the turn is cleaned up */
        hz_eio_work_add(session);
    } while (engine->work && !hz_eio_work_spent(engine));
}
