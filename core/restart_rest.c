/*
 * restart_rest.c - a shard comes to rest: it takes nothing new, what is in flight ends or is cut when time is up, and it says when all of it
 * can be carried. Also the way back. Shard's thread.
 */
#include "restart_internal.h"

#include "executions.h"
#include "http/http.h"

#include <unistd.h>

#define CUT_MS  20u
#define SLOW_MS 1000u /* who does not read an answer that is made */

/* Time is up. First the desks tell whom they can name an execution, then whoever still waits hears less, then those go
 * who do not read. */
static void hurry(struct hz_restart_part *part, struct hz_desk *desk)
{
    static const uint32_t after_ms[] = {0, CUT_MS, SLOW_MS};
    uint64_t now = hz_base_now_ns();
    while (part->hurried < HZ_COUNT_OF(after_ms) &&
            now > hz_restart.deadline_ns + after_ms[part->hurried] * UINT64_C(1000000)) {
        if (part->hurried == 0)
            hz_desk_hurry(desk);
        else
            hz_http_hurry(part->shard, part->hurried == 2);
        part->hurried++;
    }
}

static void look(struct hz_timer *timer)
{
    struct hz_restart_part *part = HZ_CONTAINER_OF(timer, struct hz_restart_part, look);
    struct hz_desk *desk = hz_desk_here();
    if (!desk)
        return;
    hurry(part, desk);
    bool calm = hz_http_quiet(part->shard) && hz_desk_calm(desk);
    atomic_store(&part->calm, calm);
    atomic_store(&part->quiet, calm && desk->resting && hz_desk_quiet(desk));
    hz_timer_after(hz_shard_timers(part->shard), timer, HZ_RESTART_LOOK_MS, look);
}

void hz_restart_run_rest(struct hz_mail *mail)
{
    struct hz_restart_part *part = HZ_CONTAINER_OF(mail, struct hz_restart_part, mail);
    struct hz_desk *desk = hz_desk_here();
    if (!desk || desk->ending || desk->yard->ending)
        return;
    hz_http_rest(part->shard);
    hz_desk_close(desk);
    look(&part->look);
}

void hz_restart_run_rest_desk(struct hz_mail *mail)
{
    struct hz_desk *desk = hz_desk_here();
    (void)mail;
    if (desk)
        hz_desk_rest(desk);
}

void hz_restart_wake(struct hz_restart_part *part)
{
    struct hz_desk *desk = hz_desk_here();
    struct hz_worker *w;
    hz_timer_cancel(hz_shard_timers(part->shard), &part->look);
    hz_carry_out_fini(&part->out);
    hz_carry_out_fini(&part->ids);
    hz_carry_out_fini(&part->names);
    if (!desk)
        return;
    cds_list_for_each_entry(w, &desk->yard->workers, all_node) {
        if (w->carry_fd >= 0)
            close(w->carry_fd);
        w->carry_fd = -1;
    }
    hz_desk_wake(desk);
    hz_http_wake(part->shard);
}

void hz_restart_run_wake(struct hz_mail *mail)
{
    hz_restart_wake(HZ_CONTAINER_OF(mail, struct hz_restart_part, waking));
}
