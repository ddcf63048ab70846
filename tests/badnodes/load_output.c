/* Talks while it is loaded: what the probe prints for the manager must not be mixed with it. */
#include "bad.h"

__attribute__((constructor)) static void load(void)
{
    static const char text[] = "{\"bad_load_output\":{}}\n[]\n";
    (void)!write(STDOUT_FILENO, text, sizeof text - 1);
}

BAD_NODE("load_output", pass_on)
