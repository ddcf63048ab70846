/* Calls a function nobody has. */
#include "bad.h"

int hz_no_such_function(hz_call *call);

BAD_NODE("undefined_symbol", hz_no_such_function)
