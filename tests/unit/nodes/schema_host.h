/* schema_host.h - a host table for calling nodes/validator_schema.c directly: values only, one call at a time. */
#ifndef HZ_TESTS_SCHEMA_HOST_H
#define HZ_TESTS_SCHEMA_HOST_H

#include "tests/harness.h"
#include "worker/value.h"

#include "nodes/validator_schema.h"

/* A call that owns what the table's functions make until schema_host_end(). Not for several threads at once. */
struct hz_call *schema_host_begin(void);
void schema_host_end(struct hz_call *call);
/* Values of the test's own: not of a call. */
hz_value *schema_host_parse(const char *text);

#endif
