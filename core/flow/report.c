/*
 * report.c - the list of findings about one flow: collected while it is parsed and compiled, printed by the caller.
 * Not for logs. Manager and `horizon check`; one thread owns a report.
 */
#include "report.h"
#include "limits.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define QUOTE_BYTES 60

/* All texts of a finding lie in one block; `node` is its beginning. */
static void finding_fini(struct hz_flow_finding *finding)
{
    free((void *)(uintptr_t)finding->node); /* const only for readers */
}

/* Copies text and its NUL to *at and moves *at behind it; returns where it lies. */
static const char *append(char **at, const char *text)
{
    size_t size = strlen(text) + 1;
    char *start = *at;

    memcpy(start, text, size);
    *at += size;
    return start;
}

void hz_report_add(struct hz_flow_report *report, enum hz_flow_severity severity, const struct hz_report_place *place,
        const char *expected, const char *format, ...)
{
    static const struct hz_report_place nowhere;
    struct hz_flow_finding *finding;
    const char *node, *property;
    char *message = NULL, *at;
    va_list args;

    if (severity == HZ_FLOW_ERROR)
        report->errors++;
    if (report->count >= HZ_FLOW_MAX_FINDINGS)
        return;
    if (report->count == report->capacity) {
        size_t capacity = report->capacity ? report->capacity * 2 : 8;
        struct hz_flow_finding *grown = realloc(report->findings, capacity * sizeof(*grown));

        if (!grown)
            return;
        report->findings = grown;
        report->capacity = capacity;
    }
    if (!place)
        place = &nowhere;
    va_start(args, format);
    if (vasprintf(&message, format, args) < 0)
        message = NULL;
    va_end(args);
    finding = &report->findings[report->count];
    property = place->property ? place->property : "";
    node = place->node ? place->node : "";
    if (!expected)
        expected = "";
    at = message ? malloc(strlen(node) + strlen(property) + strlen(message) + strlen(expected) + 4) : NULL;
    if (at) {
        finding->severity = severity;
        finding->node = append(&at, node);
        finding->property = append(&at, property);
        finding->message = append(&at, message);
        finding->expected = append(&at, expected);
        finding->line = place->line;
        finding->column = place->column;
        report->count++;
    }
    free(message);
}

void hz_flow_report_add(struct hz_flow_report *report, enum hz_flow_severity severity, const char *node,
        const char *property, const char *message, const char *expected)
{
    struct hz_report_place place = {.node = node, .property = property};

    hz_report_add(report, severity, &place, expected, "%s", message);
}

void hz_flow_report_fini(struct hz_flow_report *report)
{
    for (size_t i = 0; i < report->count; i++)
        finding_fini(&report->findings[i]);
    free(report->findings);
    *report = (struct hz_flow_report){0};
}

const char *hz_report_quote(const char *text, size_t len, char buf[HZ_REPORT_QUOTE])
{
    size_t kept = len;
    bool cut = len > QUOTE_BYTES;

    if (cut) {
        kept = QUOTE_BYTES;
        while (kept > 0 && ((unsigned char)text[kept] & 0xc0) == 0x80)
            kept--;
    }
    for (size_t i = 0; i < kept; i++) {
        unsigned char c = (unsigned char)text[i];

        buf[i] = c < 0x20 || c == 0x7f ? '?' : text[i];
    }
    memcpy(buf + kept, cut ? "..." : "", cut ? 4 : 1);
    return buf;
}

/* Copies with control characters as `?`: names come from a file, the text goes to a terminal. */
static void print_safe(FILE *out, const char *text)
{
    for (; *text; text++)
        fputc((unsigned char)*text < 0x20 || *text == 0x7f ? '?' : *text, out);
}

char *hz_flow_finding_text(const struct hz_flow_finding *finding, const char *file)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    bool broken;

    if (!out)
        return NULL;
    print_safe(out, file);
    if (finding->line > 0)
        fprintf(out, ":%d:%d", finding->line, finding->column);
    fputs(finding->severity == HZ_FLOW_WARNING ? ": warning: " : ": ", out);
    if (*finding->node) {
        fputs("node \"", out);
        print_safe(out, finding->node);
        fputs(*finding->property ? "\", " : "\": ", out);
    }
    if (*finding->property) {
        print_safe(out, finding->property);
        fputs(": ", out);
    }
    print_safe(out, finding->message);
    if (*finding->expected) {
        fputs(" (expected ", out);
        print_safe(out, finding->expected);
        fputc(')', out);
    }
    broken = ferror(out) != 0;
    if (fclose(out) != 0 || broken) {
        free(text);
        return NULL;
    }
    return text;
}
