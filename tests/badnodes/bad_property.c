/* A property whose default is not JSON. */
#include "bad.h"

HZ_NODE(BAD_MEMBERS("bad_property", pass_on),
        .properties = HZ_PROPERTIES({.key = "text", .type = "string", .name = "Text", .value = "{not json"}))
