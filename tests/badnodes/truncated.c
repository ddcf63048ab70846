/* The build keeps only the first half of this one's file. */
#include "bad.h"

BAD_NODE("truncated", pass_on)
