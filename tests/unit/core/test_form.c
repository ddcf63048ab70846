/* test_form.c - names with brackets, encodings, and what counts as JSON. */
#include "core/api/form.h"
#include "tests/harness.h"

#include "shm/err.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *decoded(const char *text)
{
    json_t *root;
    HZ_ASSERT_OK(hz_form_decode(text, strlen(text), &root));
    char *printed = json_dumps(root, JSON_COMPACT);
    json_decref(root);
    return printed;
}

static void expect(const char *form, const char *json)
{
    char *printed = decoded(form);
    HZ_ASSERT_STR_EQ(printed, json);
    free(printed);
}

HZ_TEST(form, plain_fields_are_members)
{
    expect("", "{}");
    expect("a=1&b=two+words&c=%C3%B1&d", "{\"a\":\"1\",\"b\":\"two words\",\"c\":\"\xc3\xb1\",\"d\":\"\"}");
    expect("a=b=c", "{\"a\":\"b=c\"}");
    expect("&&a=1&", "{\"a\":\"1\"}");
}

HZ_TEST(form, names_that_come_twice_make_arrays)
{
    expect("a=1&a=2&a=3", "{\"a\":[\"1\",\"2\",\"3\"]}");
    expect("a[]=1", "{\"a\":[\"1\"]}");
    expect("a[]=1&a[]=2", "{\"a\":[\"1\",\"2\"]}");
    expect("a[0]=x&a[1]=y", "{\"a\":[\"x\",\"y\"]}");
}

HZ_TEST(form, brackets_nest)
{
    expect("a[b]=1&a[c]=2", "{\"a\":{\"b\":\"1\",\"c\":\"2\"}}");
    expect("a[b][c][d]=1", "{\"a\":{\"b\":{\"c\":{\"d\":\"1\"}}}}");
    expect("a%5Bb%5D=1", "{\"a\":{\"b\":\"1\"}}");
    expect("u[0][n]=1&u[0][m]=2", "{\"u\":[{\"n\":\"1\",\"m\":\"2\"}]}");
    expect("a[21]=x", "{\"a\":{\"21\":\"x\"}}");
}

HZ_TEST(form, strange_names_are_taken_as_they_are)
{
    expect("[a]=1", "{\"[a]\":\"1\"}");
    expect("a[b=1", "{\"a[b\":\"1\"}");
    expect("a]b=1", "{\"a]b\":\"1\"}");
    expect("a[b][c][d][e][f][g]=1", "{\"a\":{\"b\":{\"c\":{\"d\":{\"e\":{\"[f][g]\":\"1\"}}}}}}");
    expect("__proto__=1&__proto__[x]=2&a[__proto__]=3", "{\"a\":{}}");
    expect("a=1&a[b]=2", "{\"a\":{\"b\":\"2\"}}");
    expect("=1&a=2", "{\"a\":\"2\"}");
}

HZ_TEST(form, what_is_no_text_is_left_out)
{
    expect("a=%ff&b=1&%80=2&c=%00", "{\"b\":\"1\"}");
}

HZ_TEST(form, too_many_fields_are_refused)
{
    char *text = malloc(HZ_FORM_FIELDS * 8 + 16), *to = text;
    json_t *root = NULL;
    HZ_ASSERT_NOT_NULL(text);
    for (unsigned i = 0; i < HZ_FORM_FIELDS; i++)
        to += sprintf(to, "a%u=1&", i);
    HZ_ASSERT_OK(hz_form_decode(text, (size_t)(to - text), &root));
    json_decref(root);
    to += sprintf(to, "z=1&");
    HZ_ASSERT_EQ(hz_form_decode(text, (size_t)(to - text), &root), HZ_ETOOBIG);
    free(text);
}

static void base64(const char *text, const char *wanted)
{
    json_t *string = hz_form_base64(text, strlen(text));
    HZ_ASSERT_STR_EQ(json_string_value(string), wanted);
    json_decref(string);
}

HZ_TEST(form, base64_is_that_of_rfc_4648)
{
    base64("", "");
    base64("f", "Zg==");
    base64("fo", "Zm8=");
    base64("foo", "Zm9v");
    base64("foobar", "Zm9vYmFy");
    base64("\xff\xef\xbe", "/+++");
}

static bool is_json(const char *text)
{
    return hz_form_is_json(text, strlen(text));
}

HZ_TEST(form, json_is_told_from_what_is_none)
{
    static const char *const good[] = {"{}", "[]", " { \"a\" : [ 1 , -2.5e+3, true,false ,null, \"\\u00e9\\n\" ] } ",
            "0", "-0", "1E5", "\"x\"", "null", "[[[]],{}]", "{\"a\":{\"b\":[{}]}}", "\"\xc3\xb1\""};
    static const char *const bad[] = {"", " ", "{", "}", "[1,]", "{,}", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{a:1}",
            "01", "1.", ".5", "+1", "1e", "tru", "truex", "'x'", "\"x", "\"\t\"", "\"\\x\"", "\"\\u12g4\"", "[1 2]",
            "{} {}", "[}", "{]", "nul", "\"\xff\"", "-", "[\"a\":1]"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        if (!is_json(good[i]))
            HZ_FAIL("refused: %s", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (is_json(bad[i]))
            HZ_FAIL("taken: %s", bad[i]);
}

HZ_TEST(form, json_is_bounded_in_depth)
{
    char text[2 * 513 + 1];
    for (int depth = 512; depth <= 513; depth++) {
        memset(text, '[', (size_t)depth);
        memset(text + depth, ']', (size_t)depth);
        HZ_ASSERT_EQ(hz_form_is_json(text, 2 * (size_t)depth), depth == 512);
    }
}
