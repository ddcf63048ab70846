/* table.c - tables for people, numbers for people. */
#include "command.h"

#include "core/flow/json_text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct hz_table {
    int columns;
    size_t count, capacity;
    char **cells;
    bool failed;
};

static void add(struct hz_table *table, char *cell)
{
    if (table->count == table->capacity) {
        size_t capacity = table->capacity ? table->capacity * 2 : 64;
        char **cells = realloc(table->cells, capacity * sizeof *cells);
        if (!cells) {
            table->failed = true;
            free(cell);
            return;
        }
        table->cells = cells;
        table->capacity = capacity;
    }
    table->failed |= !cell;
    table->cells[table->count++] = cell;
}

struct hz_table *hz_table_new(int columns, const char *const *titles)
{
    struct hz_table *table = calloc(1, sizeof *table);
    if (!table)
        return NULL;
    table->columns = columns;
    for (int i = 0; i < columns; i++)
        add(table, strdup(titles[i]));
    return table;
}

void hz_table_cell(struct hz_table *table, const char *format, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, format);
    if (vasprintf(&text, format, args) < 0)
        text = NULL;
    va_end(args);
    /* What comes from workers and files must not move the cursor. */
    for (char *p = text; p && *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = ' ';
    add(table, text);
}

/* Characters, not bytes: continuation bytes of UTF-8 take no place. */
static int width_of(const char *text)
{
    int width = 0;
    for (; *text; text++)
        width += ((unsigned char)*text & 0xc0) != 0x80;
    return width;
}

void hz_table_print(struct hz_table **table_pointer)
{
    struct hz_table *table = *table_pointer;
    *table_pointer = NULL;
    size_t columns = (size_t)table->columns;
    int *widths = calloc(columns, sizeof *widths);
    for (size_t i = 0; widths && !table->failed && i < table->count; i++)
        widths[i % columns] = HZ_MAX(widths[i % columns], width_of(table->cells[i]));
    for (size_t i = 0; widths && !table->failed && i < table->count; i++) {
        bool last = i % columns == columns - 1;
        printf("%s%*s", table->cells[i], last ? 0 : widths[i % columns] - width_of(table->cells[i]) + 2, "");
        if (last)
            putchar('\n');
    }
    if (!widths || table->failed)
        hz_cli_error(HZ_EXIT_FAILED, "out of memory");
    for (size_t i = 0; i < table->count; i++)
        free(table->cells[i]);
    free(widths);
    free(table->cells);
    free(table);
}

void hz_cli_bytes(char text[16], uint64_t bytes)
{
    static const char *const units[] = {"B", "KB", "MB", "GB", "TB"};
    double value = (double)bytes;
    size_t unit = 0;
    for (; value >= 1024 && unit + 1 < HZ_COUNT_OF(units); unit++)
        value /= 1024;
    snprintf(text, 16, unit && value < 100 ? "%.1f %s" : "%.0f %s", value, units[unit]);
}

void hz_cli_span(char text[16], int64_t ms)
{
    int64_t s = HZ_MAX(ms, (int64_t)0) / 1000;
    if (s < 120)
        snprintf(text, 16, "%d s", (int)s);
    else if (s < 7200)
        snprintf(text, 16, "%d min", (int)(s / 60));
    else if (s < 172800)
        snprintf(text, 16, "%d h", (int)(s / 3600));
    else
        snprintf(text, 16, "%d d", (int)HZ_MIN(s / 86400, (int64_t)99999999));
}

int64_t hz_cli_parse_iso(const char *text)
{
    static const char shape[] = "0000-00-00T00:00:00.000Z";
    int fields[7] = {0};
    for (size_t i = 0, field = 0; i < sizeof shape; i++) {
        bool digit = text && text[i] >= '0' && text[i] <= '9';
        if (!text || (shape[i] == '0' ? !digit : text[i] != shape[i]))
            return -1;
        if (digit)
            fields[field] = fields[field] * 10 + (text[i] - '0');
        else if (field + 1 < HZ_COUNT_OF(fields))
            field++;
    }
    struct tm date = {.tm_year = fields[0] - 1900,
            .tm_mon = fields[1] - 1,
            .tm_mday = fields[2],
            .tm_hour = fields[3],
            .tm_min = fields[4],
            .tm_sec = fields[5]};
    return (int64_t)timegm(&date) * 1000 + fields[6];
}

int hz_cli_print_json(json_t *value)
{
    char *text = value ? hz_json_text_print(value, isatty(STDOUT_FILENO) ? 2 : 0, NULL) : NULL;
    json_decref(value);
    if (!text)
        return hz_cli_error(HZ_EXIT_FAILED, "out of memory");
    puts(text);
    free(text);
    return HZ_EXIT_OK;
}
