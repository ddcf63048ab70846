/* report.h - adds findings to a report. Public type and clean-up are in flow.h. */
#ifndef HZ_FLOW_REPORT_H
#define HZ_FLOW_REPORT_H

#include "flow.h"

/* Where a finding belongs; any member may be NULL or 0. */
struct hz_report_place {
    const char *node, *property;
    int line, column;
};

/*
 * hz_report_add - adds one finding; the texts are copied. Errors are counted even when the list is full
 * (HZ_FLOW_MAX_FINDINGS) or memory ran out, so `report->errors` is always right.
 *
 * place     NULL: about the file as a whole
 * expected  NULL: the message says it all
 */
void hz_report_add(struct hz_flow_report *report, enum hz_flow_severity severity, const struct hz_report_place *place,
        const char *expected, const char *format, ...) HZ_PRINTF(5, 6);

/* A short, printable form of a file's bytes for messages: control characters as `?`, cut after 60 bytes at a
 * character's border. buf of HZ_REPORT_QUOTE bytes; returns buf. */
#define HZ_REPORT_QUOTE 72
const char *hz_report_quote(const char *text, size_t len, char buf[HZ_REPORT_QUOTE]);

#endif
