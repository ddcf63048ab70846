/* alarm.c - binary heap of alarms by due time. Worker, any lane thread, each with a heap of its own. */
#include "alarm.h"
#include "shm/err.h"

#include <stdlib.h>

static void place(struct hz_alarms *alarms, size_t i, struct hz_alarm *alarm)
{
    alarms->heap[i] = alarm;
    alarm->at = i + 1;
}

static void sift_up(struct hz_alarms *alarms, size_t i, struct hz_alarm *alarm)
{
    while (i > 0) {
        size_t parent = (i - 1) / 2;
        if (alarms->heap[parent]->due_ns <= alarm->due_ns)
            break;
        place(alarms, i, alarms->heap[parent]);
        i = parent;
    }
    place(alarms, i, alarm);
}

static void sift_down(struct hz_alarms *alarms, size_t i, struct hz_alarm *alarm)
{
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= alarms->count)
            break;
        if (child + 1 < alarms->count && alarms->heap[child + 1]->due_ns < alarms->heap[child]->due_ns)
            child++;
        if (alarms->heap[child]->due_ns >= alarm->due_ns)
            break;
        place(alarms, i, alarms->heap[child]);
        i = child;
    }
    place(alarms, i, alarm);
}

int hz_alarm_set(struct hz_alarms *alarms, struct hz_alarm *alarm, uint64_t due_ns)
{
    HZ_ASSERT(alarm->at == 0 && alarm->fire != NULL);
    if (alarms->count == alarms->capacity) {
        size_t capacity = alarms->capacity ? alarms->capacity * 2 : 16;
        struct hz_alarm **heap = realloc(alarms->heap, capacity * sizeof(struct hz_alarm *));
        if (!heap)
            return HZ_ENOMEM;
        alarms->heap = heap;
        alarms->capacity = capacity;
    }
    alarm->due_ns = due_ns;
    sift_up(alarms, alarms->count++, alarm);
    return 0;
}

void hz_alarm_stop(struct hz_alarms *alarms, struct hz_alarm *alarm)
{
    if (alarm->at == 0)
        return;
    size_t i = alarm->at - 1;
    HZ_ASSERT(i < alarms->count && alarms->heap[i] == alarm);
    alarm->at = 0;
    struct hz_alarm *last = alarms->heap[--alarms->count];
    if (last == alarm)
        return;
    if (i > 0 && alarms->heap[(i - 1) / 2]->due_ns > last->due_ns)
        sift_up(alarms, i, last);
    else
        sift_down(alarms, i, last);
}

size_t hz_alarm_run(struct hz_alarms *alarms, struct hz_thread *thread, uint64_t now_ns)
{
    size_t fired = 0;
    while (alarms->count > 0 && alarms->heap[0]->due_ns <= now_ns) {
        struct hz_alarm *alarm = alarms->heap[0];
        hz_alarm_stop(alarms, alarm);
        alarm->fire(thread, alarm);
        fired++;
    }
    return fired;
}

void hz_alarm_fini(struct hz_alarms *alarms)
{
    for (size_t i = 0; i < alarms->count; i++)
        alarms->heap[i]->at = 0;
    free(alarms->heap);
    *alarms = (struct hz_alarms){0};
}
