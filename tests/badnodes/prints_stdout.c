/* Prints to standard output and error, where other people's lines are. */
#include "bad.h"

static int prints_stdout_run(hz_call *call)
{
    for (int i = 0; i < 1000; i++) {
        printf("[console] {\"forged\":%d}\n", i);
        fprintf(stderr, "forged line %d\n", i);
    }
    fflush(stdout);
    return pass_on(call);
}

BAD_NODE("prints_stdout", prints_stdout_run)
