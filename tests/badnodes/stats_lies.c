/* Reports absurd figures: overwrites only the stats page's neighbourhood, leaving rings and header alone. */
#include "segment_find.h"

static int stats_lies_run(hz_call *call)
{
    size_t size = 0;
    volatile unsigned char *base = segment_find(&size);
    volatile struct hz_segment_header *header = (volatile struct hz_segment_header *)(volatile void *)base;
    if (base) {
        header->worker_pid = 1;
        header->port = 1;
        header->generation = 0xffffffffu;
        header->manager_pid = 1;
        for (size_t i = 0; i < sizeof header->workflow_id; i++)
            header->workflow_id[i] = (char)0xff; /* no NUL any more */
    }
    return survived(call, "lied", base ? 1 : -1);
}

BAD_NODE("stats_lies", stats_lies_run)
