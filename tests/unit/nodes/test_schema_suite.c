/*
 * The public test suite of JSON Schema, draft-07: every file of its required part, and the optional files of the
 * formats and details the validator claims. Where it lies: HZ_SCHEMA_SUITE (the folder that holds draft7), else the
 * Debian package json-schema-test-suite. Groups that fetch schemas from the suite's web server are left out and
 * counted.
 */
#include "schema_host.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEBIAN_SUITE "/usr/share/json-schema-test-suite/tests"

/* Groups of claimed files that are left out: what they ask is not promised. */
static const char *const not_claimed[] = {
        "validation of A-label (punycode) host names",            /* decoding them needs the tables of IDNA */
        "ECMA 262 lookbehind is valid, including variable width", /* PCRE2 wants a fixed width */
};

struct tally {
    unsigned groups, tests, remote, wrong, left_out;
    char report[8192];
};

static const char *suite(void)
{
    const char *path = getenv("HZ_SCHEMA_SUITE");
    return path && *path ? path : DEBIAN_SUITE;
}

static void complain(
        struct tally *tally, const char *file, const hz_value *group, const hz_value *test, const char *what)
{
    size_t len = strlen(tally->report);
    tally->wrong++;
    (void)snprintf(tally->report + len, sizeof tally->report - len, "%s: %s / %s: %s\n", file,
            hz_value_str(hz_value_get(group, "description", 11)).data,
            hz_value_str(hz_value_get(test, "description", 11)).data, what);
}

/* References to the suite's web server are expected in these files only. */
static bool is_remote(const char *file, const char *reason)
{
    return strcmp(file, "refRemote.json") == 0 && strstr(reason, "no se puede resolver la referencia");
}

static bool is_claimed(const hz_value *group)
{
    for (size_t i = 0; i < sizeof not_claimed / sizeof not_claimed[0]; i++) {
        if (strcmp(hz_value_str(hz_value_get(group, "description", 11)).data, not_claimed[i]) == 0)
            return false;
    }
    return true;
}

static void run_test(struct tally *tally, const char *file, const hz_value *group, const hz_value *test)
{
    hz_call *call = schema_host_begin();
    hz_str reason = {"", 0};
    const hz_value *errors =
            schema_validate(call, hz_value_get(group, "schema", 6), hz_value_get(test, "data", 4), NULL, &reason);
    bool wanted = hz_value_truthy(hz_value_get(test, "valid", 5));
    if (!errors && is_remote(file, reason.data)) {
        tally->remote++;
    } else {
        tally->tests++;
        if (!errors)
            complain(tally, file, group, test, reason.data);
        else if ((hz_value_length(errors) == 0) != wanted)
            complain(tally, file, group, test, wanted ? "should be valid" : "should be invalid");
    }
    schema_host_end(call);
}

static void run_file(struct tally *tally, const char *folder, const char *file)
{
    char *text = hz_test_read_file(hz_test_path("%s/%s/%s", suite(), folder, file), NULL);
    hz_value *groups = schema_host_parse(text);
    for (size_t i = 0; i < hz_value_length(groups); i++) {
        const hz_value *group = hz_value_at(groups, i), *tests = hz_value_get(group, "tests", 5);
        if (!is_claimed(group)) {
            tally->left_out += (unsigned)hz_value_length(tests);
            continue;
        }
        tally->groups++;
        for (size_t k = 0; k < hz_value_length(tests); k++)
            run_test(tally, file, group, hz_value_at(tests, k));
    }
    hz_value_unref(groups);
    free(text);
}

static bool has_suite(void)
{
    DIR *folder = opendir(hz_test_path("%s/draft7", suite()));
    if (folder)
        (void)closedir(folder);
    return folder != NULL;
}

static void finish(const struct tally *tally, unsigned least)
{
    (void)printf("[%u groups, %u tests of %s; left out: %u with remote schemas, %u not claimed] ", tally->groups,
            tally->tests, suite(), tally->remote, tally->left_out);
    if (tally->wrong)
        HZ_FAIL("%u wrong:\n%s", tally->wrong, tally->report);
    HZ_ASSERT_GE(tally->tests, least);
}

HZ_TEST(schema_suite, required_part_of_draft_07_passes)
{
    struct tally tally = {0};
    if (!has_suite())
        HZ_SKIP("the package json-schema-test-suite is not installed");
    DIR *folder = opendir(hz_test_path("%s/draft7", suite()));
    if (!folder)
        return; /* has_suite() has seen it */
    for (const struct dirent *entry = readdir(folder); entry; entry = readdir(folder)) {
        const char *dot = strrchr(entry->d_name, '.');
        if (dot && strcmp(dot, ".json") == 0)
            run_file(&tally, "draft7", entry->d_name);
    }
    (void)closedir(folder);
    finish(&tally, 350);
    HZ_ASSERT_LT(tally.remote, 40);
}

HZ_TEST(schema_suite, optional_files_of_what_we_claim_pass)
{
    static const char *const files[] = {"format/date-time.json", "format/date.json", "format/time.json",
            "format/email.json", "format/ipv4.json", "format/ipv6.json", "format/hostname.json", "format/uri.json",
            "format/uri-reference.json", "format/uri-template.json", "format/iri.json", "format/iri-reference.json",
            "format/json-pointer.json", "format/relative-json-pointer.json", "format/regex.json", "format/unknown.json",
            "ecmascript-regex.json", "format/ecmascript-regex.json", "non-bmp-regex.json", "bignum.json",
            "float-overflow.json", "id.json", "unknownKeyword.json", "zeroTerminatedFloats.json"};
    struct tally tally = {0};
    if (!has_suite())
        HZ_SKIP("the package json-schema-test-suite is not installed");
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        FILE *there = fopen(hz_test_path("%s/draft7/optional/%s", suite(), files[i]), "re");
        if (!there)
            continue; /* the suite's editions differ */
        (void)fclose(there);
        run_file(&tally, "draft7/optional", files[i]);
    }
    finish(&tally, 80);
}
