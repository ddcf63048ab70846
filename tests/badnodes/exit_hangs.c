/* Wants the process to hang when it ends. */
#include "bad.h"

static void hang(void)
{
    volatile bool for_ever = true;
    while (for_ever)
        usleep(1000);
}

static int exit_hangs_run(hz_call *call)
{
    atexit(hang);
    return pass_on(call);
}

static void exit_hangs_close(void *self)
{
    (void)self;
    hang();
}

HZ_NODE(BAD_MEMBERS("exit_hangs", exit_hangs_run), .close = exit_hangs_close)
