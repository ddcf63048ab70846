/*
 * test_manual.c - the manual page and the headers list the same calls, so that neither can rot.
 */
#include "tests/harness.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *page, *headers;

HZ_SUITE_INIT(manual)
{
    page = hz_test_read_file(hz_test_path("%s/plugins/horizon-node.7", hz_test_source_dir()), NULL);
    char *calls =
            hz_test_read_file(hz_test_path("%s/plugins/include/horizon/node_calls.h", hz_test_source_dir()), NULL);
    char *helpers =
            hz_test_read_file(hz_test_path("%s/plugins/include/horizon/node_helpers.h", hz_test_source_dir()), NULL);
    HZ_ASSERT_GT(asprintf(&headers, "%s%s", calls, helpers), 0);
    free(calls);
    free(helpers);
}

HZ_SUITE_CLEANUP(manual)
{
    free(page);
    free(headers);
}

/* The next name at or after `from` that begins with `mark` + "hz_"; copied to name[64]. NULL: none. */
static const char *next_name(const char *from, const char *mark, char name[64])
{
    const char *at = strstr(from, mark);
    if (!at)
        return NULL;
    at += strlen(mark);
    size_t len = 0;
    while (len < 63 && (isalnum((unsigned char)at[len]) || at[len] == '_')) {
        name[len] = at[len];
        len++;
    }
    name[len] = 0;
    return at + len;
}

HZ_TEST(manual, lists_every_call_of_the_headers)
{
    int count = 0;
    for (const char *line = strstr(headers, "static inline "); line; line = strstr(line + 1, "static inline ")) {
        char name[64], entry[80];
        const char *paren = strchr(line, '('), *begin = paren;
        HZ_ASSERT_NOT_NULL(paren);
        while (begin > line && (isalnum((unsigned char)begin[-1]) || begin[-1] == '_'))
            begin--;
        snprintf(name, sizeof name, "%.*s", (int)(paren - begin), begin);
        if (name[strlen(name) - 1] == '_')
            continue; /* not for nodes */
        snprintf(entry, sizeof entry, ".BI %s \"(", name);
        HZ_ASSERT_STR_HAS(page, entry);
        count++;
    }
    HZ_ASSERT_GT(count, 80);
}

HZ_TEST(manual, lists_no_call_that_is_not_there)
{
    char name[64], entry[80];
    int count = 0;
    for (const char *at = page; (at = next_name(at, ".BI hz_", name));) {
        snprintf(entry, sizeof entry, "hz_%s(", name);
        HZ_ASSERT_STR_HAS(headers, entry);
        count++;
    }
    HZ_ASSERT_GT(count, 80);
}

HZ_TEST(manual, every_call_has_a_comment_or_stands_below_one)
{
    /* a blank line followed by a function without a comment is a call nobody described */
    HZ_ASSERT_STR_HAS_NOT(headers, "}\n\nstatic inline");
}
