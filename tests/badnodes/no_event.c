/* A trigger without event(). */
#include "bad.h"

HZ_NODE(.type = "bad_no_event", .title = "bad no_event", .group = "Bad", .inputs = HZ_NAMES("input"),
        .outputs = HZ_NAMES("response"), .flags = HZ_NODE_TRIGGER, .run = pass_on)
