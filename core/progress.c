/* progress.c - see progress.h. No state, no system call; tested case by case. */
#include "progress.h"

#include <inttypes.h>
#include <stdio.h>

const char *hz_progress_name(enum hz_progress progress)
{
    static const char *const names[] = {"idle", "busy", "waiting", "blocked", "stuck"};
    return (unsigned)progress < HZ_COUNT_OF(names) ? names[progress] : "?";
}

void hz_progress_look(const struct hz_segment *segment, struct hz_progress_look *look)
{
    look->count = 0;
    look->moved = 0;
    for (uint32_t i = 0; i < HZ_MIN(segment->geometry.lanes, HZ_MAX_LANES); i++) {
        const struct hz_crash_cell *cell = segment->lanes[i].crash;
        uint32_t phase = atomic_load_explicit(&cell->phase, memory_order_relaxed);
        uint64_t entered = atomic_load_explicit(&cell->entered_ns, memory_order_relaxed);
        look->moved += atomic_load_explicit(&cell->heartbeat, memory_order_relaxed) + entered;
        if (phase != HZ_PHASE_IDLE)
            look->places[look->count++] = (struct hz_progress_place){.node = atomic_load_explicit(&cell->node, memory_order_relaxed),
                    .inside = phase == HZ_PHASE_NODE || phase == HZ_PHASE_EXPRESSION,
                    .execution = atomic_load_explicit(&cell->execution, memory_order_relaxed), .entered_ns = entered};
    }
    for (unsigned i = 0; i < HZ_CRASH_POOL; i++) {
        const struct hz_crash_place *place = &segment->lanes[0].crash->pool[i];
        uint64_t entered = atomic_load_explicit(&place->entered_ns, memory_order_relaxed);
        look->moved += atomic_load_explicit(&place->beats, memory_order_relaxed);
        if (entered != 0)
            look->places[look->count++] = (struct hz_progress_place){.node = atomic_load_explicit(&place->node, memory_order_relaxed),
                    .inside = true, .execution = atomic_load_explicit(&place->execution, memory_order_relaxed), .entered_ns = entered};
    }
}

/* The thread that has been inside one node call the longest. */
static const struct hz_progress_place *longest(const struct hz_progress_look *look)
{
    const struct hz_progress_place *found = NULL;
    for (unsigned i = 0; i < look->count; i++) {
        const struct hz_progress_place *place = &look->places[i];
        if (place->inside && place->entered_ns != 0 && place->entered_ns <= look->now_ns && (!found || place->entered_ns < found->entered_ns))
            found = place;
    }
    return found;
}

static enum hz_progress classify(const struct hz_progress_state *state, const struct hz_progress_look *look,
        const struct hz_progress_place *inside, uint64_t after_ns)
{
    bool still = look->now_ns - state->moved_ns >= after_ns;
    bool works = look->work || look->count > 0;
    if (look->stopped || (still && look->runnable))
        return HZ_PROGRESS_STUCK;
    if (inside && look->now_ns - inside->entered_ns >= after_ns)
        return HZ_PROGRESS_BLOCKED;
    if (still && look->count > 0 && !inside)
        return HZ_PROGRESS_STUCK; /* between two node runs, and no further */
    if (!works)
        return HZ_PROGRESS_IDLE;
    bool moves = state->moved_ns == look->now_ns;
    return moves || look->count > 0 || look->runnable ? HZ_PROGRESS_BUSY : HZ_PROGRESS_WAITING;
}

bool hz_progress_judge(struct hz_progress_state *state, const struct hz_progress_look *look, uint64_t after_ns)
{
    struct hz_progress_state before = *state;
    bool first = state->look_ns == 0;
    if (first)
        state->node = before.node = HZ_NO_NODE;
    /* Without work in hand standing still is no fault, and no evidence for later either. */
    if (first || look->moved != state->moved || (!look->work && look->count == 0 && !look->runnable))
        state->moved_ns = look->now_ns;
    const struct hz_progress_place *inside = longest(look);
    state->progress = classify(state, look, inside, after_ns);
    bool bad = state->progress >= HZ_PROGRESS_BLOCKED;
    state->node = bad && inside ? inside->node : HZ_NO_NODE;
    state->execution = bad && inside ? inside->execution : 0;
    uint64_t passed = look->now_ns - before.look_ns;
    if (bad && look->cpu_ns >= before.cpu_ns && before.cpu_ns != 0 && passed > 0)
        state->computing = look->cpu_ns - before.cpu_ns > passed / 16;
    else
        state->computing = bad && inside && look->cpu_ns > (look->now_ns - HZ_MIN(look->now_ns, inside->entered_ns)) / 16; /* the first look */
    if (bad && inside)
        state->since_ns = inside->entered_ns;
    else if (first || state->progress != before.progress)
        state->since_ns = bad && !look->stopped ? state->moved_ns : look->now_ns;
    state->moved = look->moved;
    state->cpu_ns = look->cpu_ns;
    state->look_ns = look->now_ns;
    return state->progress != before.progress || state->node != before.node || (bad && state->since_ns != before.since_ns);
}

void hz_progress_say(const struct hz_progress_state *state, const char *node_name, bool stopped, uint64_t now_ns, char *text, size_t size)
{
    char place[200] = "";
    uint64_t seconds = (now_ns - HZ_MIN(now_ns, state->since_ns)) / UINT64_C(1000000000);
    text[0] = 0;
    if (state->progress < HZ_PROGRESS_BLOCKED)
        return;
    if (state->node != HZ_NO_NODE && node_name[0])
        snprintf(place, sizeof place, "inside node \"%.127s\" for %" PRIu64 " s, ", node_name, seconds);
    else if (state->node != HZ_NO_NODE)
        snprintf(place, sizeof place, "inside node number %" PRIu32 " for %" PRIu64 " s, ", state->node, seconds);
    if (stopped)
        snprintf(text, size, "%sstopped by a signal; `kill -CONT` lets it go on", place);
    else if (place[0])
        snprintf(text, size, "%s%s%s", place, state->computing ? "computing" : "waiting",
                state->progress == HZ_PROGRESS_STUCK ? "; other work waits behind it" : "");
    else
        snprintf(text, size, "no progress for %" PRIu64 " s although there is work, %s", seconds, state->computing ? "computing" : "waiting");
}
