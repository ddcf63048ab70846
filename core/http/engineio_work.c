/*
 * engineio_work.c - input that was read and waits for its turn. A client's packets are looked at for HZ_EIO_SLICE_NS, what is left of a post
 * or of a WebSocket's bytes then waits in a line of clients, and all together have HZ_EIO_TURN_NS of a turn of the loop: who sends ten thousand
 * events at once waits for them himself, and neither other clients nor HTTP do. Who may not be read from (hz_eio_paused()) is not in
 * the line; he comes back at the end of the turn in which he may. Shard's thread.
 */
#include "engineio_internal.h"

#include "shm/err.h"

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
