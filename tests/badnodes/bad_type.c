/* A type that is no name: it would lead out of the folder if somebody made a path of it. */
#include "bad.h"

HZ_NODE(.type = "../bad_type", .title = "bad type", .group = "Bad", .inputs = HZ_NAMES("input"),
        .outputs = HZ_NAMES("response"), .run = pass_on)
