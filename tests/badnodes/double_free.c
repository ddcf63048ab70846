/* Frees twice. */
#include "bad.h"

static int double_free_run(hz_call *call)
{
    void *volatile piece = malloc(64);
    free(piece);
    free(piece);
    return pass_on(call);
}

BAD_NODE("double_free", double_free_run)
