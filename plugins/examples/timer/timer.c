/*
 * timer - a trigger: starts an execution every `seconds`, `count` times or for ever. run() is called once per worker
 * and arranges the events; event() begins each execution. No thread waits: the worker's main loop has the timer.
 *
 * The fields of struct timer are written by run() before the post and by the main loop afterwards, so nothing is
 * shared.
 */
#include <horizon/node.h>

struct timer {
    hz_trigger *trigger;
    hz_watch *watch;
    uint64_t period_ms, left; /* left: ticks to go */
};

/* Main loop, every period. */
static void tick(void *arg, int events)
{
    struct timer *timer = arg;
    (void)events;
    hz_fire(timer->trigger, NULL);
    if (--timer->left == 0) {
        hz_watch_stop(timer->watch);
        timer->watch = NULL;
    }
}

/* Main loop, once: timers can only be started there. */
static void start(void *arg, int events)
{
    struct timer *timer = arg;
    (void)events;
    timer->watch = hz_timer_start(timer->period_ms, timer->period_ms, tick, timer);
}

static int timer_run(hz_call *call)
{
    struct timer *timer = hz_self(call);
    double seconds = hz_param_num(call, "seconds", 1), count = hz_param_num(call, "count", 0);
    if (!(seconds >= 0.001 && seconds <= 1e9))
        return hz_fail(call, "seconds must be from 0.001 to 1e9");
    timer->period_ms = (uint64_t)(seconds * 1000);
    timer->left = count >= 1 && count < 1e15 ? (uint64_t)count : UINT64_MAX;
    timer->trigger = hz_trigger_open(call);
    if (!timer->trigger)
        return hz_fail(call, "not a trigger here");
    return hz_loop_post(start, timer);
}

static int timer_event(hz_call *call)
{
    hz_value *data = hz_object(call);
    char now[25];
    hz_iso_time(now);
    if (!data || hz_set(data, "time", hz_text(call, now)) != HZ_OK)
        return HZ_ERR_NOMEM;
    return hz_emit(call, "tick", data);
}

static void timer_close(void *self)
{
    struct timer *timer = self;
    hz_watch_stop(timer->watch);
    timer->watch = NULL;
}

HZ_NODE(.type = "timer", .title = "Timer", .group = "Examples", .desc = "Starts an execution every few seconds",
        .icon = "\U000F13AB", .color = "#8E44AD", .version = "1.0.0", .author = "Horizon", .license = "Apache-2.0",
        .flags = HZ_NODE_TRIGGER | HZ_NODE_CONCURRENT, .self_size = sizeof(struct timer), .inputs = HZ_NAMES("init"),
        .outputs = HZ_NAMES("tick", "error"), .run = timer_run, .event = timer_event, .close = timer_close,
        .properties = HZ_PROPERTIES(
                {.key = "seconds", .type = "number", .name = "Seconds", .value = "1", .extra = "{\"min\":0.001}"},
                {.key = "count",
                        .type = "number",
                        .name = "Ticks (0: for ever)",
                        .value = "0",
                        .extra = "{\"min\":0}"}))
