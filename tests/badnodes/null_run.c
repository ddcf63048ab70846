/* A description without run(). */
#include "bad.h"

BAD_NODE("null_run", NULL)
