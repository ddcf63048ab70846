/* test_broken.c - the broken flow files of tests/broken, each with the findings it has to give, and the ones too large
 * to be kept as files. Strict, as `horizon check`, `run` and `import` compile. */
#include "core/flow/limits.h"
#include "flow_fixture.h"
#include "shm/err.h"
#include <dirent.h>

static int only_json(const struct dirent *entry)
{
    size_t len = strlen(entry->d_name);

    return len > 5 && strcmp(entry->d_name + len - 5, ".json") == 0;
}

/* All findings, one a line, with this file name. */
static char *findings_of(const char *text, size_t len, const char *file)
{
    struct outcome outcome = compile_bytes(text, len, true);
    char *all = NULL;
    size_t size;
    FILE *out = must_open(&all, &size);

    HZ_ASSERT_TRUE(outcome.parsed == HZ_EFORMAT || outcome.compiled == HZ_EFORMAT);
    HZ_ASSERT_NULL(outcome.plan);
    HZ_ASSERT_GT(outcome.report.errors, 0);
    for (size_t i = 0; i < outcome.report.count; i++) {
        char *line = hz_flow_finding_text(&outcome.report.findings[i], file);

        fprintf(out, "%s\n", line);
        free(line);
    }
    fclose(out);
    outcome_free(&outcome);
    return all;
}

HZ_TEST(broken, every_file_is_refused_with_its_findings)
{
    struct dirent **entries;
    char *folder = must_copy(hz_test_path("%s/tests/broken", hz_test_source_dir()));
    int count = scandir(folder, &entries, only_json, alphasort);

    HZ_ASSERT_GE(count, 25);
    for (int i = 0; i < count; i++) {
        size_t len;
        char *text = hz_test_read_file(hz_test_path("%s/%s", folder, entries[i]->d_name), &len);
        char *wanted = hz_test_read_file(
                hz_test_path("%s/%.*s.txt", folder, (int)strlen(entries[i]->d_name) - 5, entries[i]->d_name), NULL);
        char *found = findings_of(text, len, entries[i]->d_name);

        HZ_ASSERT_STR_EQ(found, wanted);
        free(found);
        free(wanted);
        free(text);
        free(entries[i]);
    }
    free(entries);
    free(folder);
}

HZ_TEST(broken, ten_megabytes_of_text_in_a_property)
{
    size_t len = 10u << 20;
    char *text = must_alloc(len + 256), *found;
    size_t head =
            (size_t)sprintf(text, "{\"nodes\":{\"a\":{\"type\":\"workflow_init\",\"name\":\"Inicio\",\"properties\":{"
                                  "\"schema\":{\"value\":\"");

    memset(text + head, 'x', len);
    memcpy(text + head + len, "\"}}}}}", sizeof("\"}}}}}"));
    found = findings_of(text, strlen(text), "flow.json");
    HZ_ASSERT_STR_EQ(found, "flow.json: node \"Inicio\", properties.schema.value: the text has 10485760 bytes "
                            "(expected at most 4 MiB)\n");
    free(found);
    free(text);
}

HZ_TEST(broken, ten_megabytes_of_text_as_a_name)
{
    size_t len = 10u << 20;
    char *text = must_alloc(len + 256), *found;
    size_t head = (size_t)sprintf(text, "{\"nodes\":{\"a\":{\"type\":\"workflow_init\",\"name\":\"");

    memset(text + head, 'x', len);
    memcpy(text + head + len, "\"}}}", sizeof("\"}}}"));
    found = findings_of(text, strlen(text), "flow.json");
    HZ_ASSERT_LT(strlen(found), 300);
    HZ_ASSERT_STR_HAS(found, "node \"a\", name:");
    free(found);
    free(text);
}

HZ_TEST(broken, too_large_a_file)
{
    char *found = findings_of("", (size_t)HZ_FLOW_MAX_TEXT + 1, "flow.json");

    HZ_ASSERT_STR_EQ(found, "flow.json: the file has 67108865 bytes (expected at most 64 MiB)\n");
    free(found);
}

HZ_TEST(broken, too_many_nodes_and_connections)
{
    char *text = NULL, *found;
    size_t len;
    FILE *out = must_open(&text, &len);

    fprintf(out, "{\"nodes\":{\"s\":{\"type\":\"workflow_init\"}");
    for (unsigned i = 0; i < HZ_FLOW_MAX_NODES; i++)
        fprintf(out, ",\"%u\":{\"type\":\"delay\"}", i);
    fprintf(out, "},\"connections\":[{}");
    for (unsigned i = 0; i < HZ_FLOW_MAX_CONNECTIONS; i++)
        fprintf(out, ",{}");
    fprintf(out, "]}");
    fclose(out);
    found = findings_of(text, len, "f");
    HZ_ASSERT_STR_EQ(found, "f: nodes: has 10001 nodes (expected at most 10000 nodes)\n"
                            "f: connections: has 100001 connections (expected at most 100000 connections)\n");
    free(found);
    free(text);
}

HZ_TEST(broken, a_hundred_thousand_findings_stay_a_short_report)
{
    char *text = NULL;
    size_t len;
    FILE *out = must_open(&text, &len);
    struct outcome outcome;

    fprintf(out, "{\"nodes\":{\"s\":{\"type\":\"workflow_init\"}},\"connections\":[{}");
    for (unsigned i = 1; i < HZ_FLOW_MAX_CONNECTIONS; i++)
        fprintf(out, ",{}");
    fprintf(out, "]}");
    fclose(out);
    outcome = compile_bytes(text, len, true);
    HZ_ASSERT_EQ(outcome.report.count, HZ_FLOW_MAX_FINDINGS);
    HZ_ASSERT_GE(outcome.report.errors, HZ_FLOW_MAX_CONNECTIONS);
    outcome_free(&outcome);
    free(text);
}
