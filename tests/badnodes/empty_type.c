/* A description without a type. */
#include "bad.h"

HZ_NODE(.type = "", .title = "bad empty_type", .group = "Bad", .inputs = HZ_NAMES("input"),
        .outputs = HZ_NAMES("response"), .run = pass_on)
