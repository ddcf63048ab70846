/* test_router.c - which handler a method and path reach, and which value a parameter has. */
#include "core/http/router.h"
#include "tests/harness.h"

#include "shm/err.h"

#include <string.h>

static struct hz_router router;
static struct hz_router_match match;
static char scratch[512];

static void handler(struct hz_http_request *request, void *arg)
{
    (void)request;
    (void)arg;
}

static int route(const char *method, const char *pattern, const char *name)
{
    union {
        const char *given;
        void *wanted;
    } arg = {name};
    return hz_router_add(&router, method, pattern, handler, arg.wanted, false);
}

static enum hz_router_result find(const char *method, const char *path)
{
    memset(&match, 0, sizeof match);
    return hz_router_find(&router, method, path, scratch, &match);
}

HZ_SETUP(router)
{
    HZ_ASSERT_OK(hz_router_init(&router));
    HZ_ASSERT_OK(route("GET", "/api/v1/workers", "list"));
    HZ_ASSERT_OK(route("POST", "/api/v1/workers", "start"));
    HZ_ASSERT_OK(route("GET", "/api/v1/workers/:id", "get"));
    HZ_ASSERT_OK(route("POST", "/api/v1/workers/:id/stop", "stop"));
    HZ_ASSERT_OK(route("GET", "/api/v1/workers/all/:what", "all"));
    HZ_ASSERT_OK(route("*", "/any", "any"));
}

HZ_TEARDOWN(router)
{
    hz_router_fini(&router);
}

HZ_TEST(router, method_and_path_choose_the_handler)
{
    HZ_ASSERT_EQ(find("GET", "/api/v1/workers"), HZ_ROUTE_FOUND);
    HZ_ASSERT_STR_EQ(match.arg, "list");
    HZ_ASSERT_EQ(find("POST", "/api/v1/workers"), HZ_ROUTE_FOUND);
    HZ_ASSERT_STR_EQ(match.arg, "start");
    HZ_ASSERT_EQ(find("DELETE", "/any"), HZ_ROUTE_FOUND);
}

HZ_TEST(router, a_parameter_is_one_segment_and_decoded)
{
    HZ_ASSERT_EQ(find("GET", "/api/v1/workers/a%2Fb%20c"), HZ_ROUTE_FOUND);
    HZ_ASSERT_STR_EQ(match.arg, "get");
    HZ_ASSERT_EQ(match.count, 1);
    HZ_ASSERT_STR_EQ(match.params[0].name, "id");
    HZ_ASSERT_STR_EQ(match.params[0].value, "a/b c");
    HZ_ASSERT_EQ(find("POST", "/api/v1/workers/xyz/stop"), HZ_ROUTE_FOUND);
    HZ_ASSERT_STR_EQ(match.params[0].value, "xyz");
    HZ_ASSERT_STR_EQ(match.params[0].name, "id");
}

HZ_TEST(router, an_empty_segment_is_no_parameter)
{
    HZ_ASSERT_EQ(find("GET", "/api/v1/workers/"), HZ_ROUTE_UNKNOWN);
    HZ_ASSERT_EQ(find("POST", "/api/v1/workers//stop"), HZ_ROUTE_UNKNOWN);
    HZ_ASSERT_EQ(find("GET", "//api/v1/workers"), HZ_ROUTE_UNKNOWN);
}

HZ_TEST(router, a_literal_wins_and_a_dead_end_goes_back_to_the_parameter)
{
    HZ_ASSERT_EQ(find("GET", "/api/v1/workers/all/x"), HZ_ROUTE_FOUND);
    HZ_ASSERT_STR_EQ(match.arg, "all");
    HZ_ASSERT_EQ(match.count, 1);
    HZ_ASSERT_EQ(find("GET", "/api/v1/workers/all"), HZ_ROUTE_FOUND);
    HZ_ASSERT_STR_EQ(match.arg, "get");
    HZ_ASSERT_STR_EQ(match.params[0].value, "all");
}

HZ_TEST(router, a_known_path_with_another_method_says_which_are_allowed)
{
    HZ_ASSERT_EQ(find("DELETE", "/api/v1/workers"), HZ_ROUTE_METHOD);
    HZ_ASSERT_STR_EQ(match.allow, "GET, HEAD, POST");
    HZ_ASSERT_EQ(find("GET", "/api/v1/workers/x/stop"), HZ_ROUTE_METHOD);
    HZ_ASSERT_STR_EQ(match.allow, "POST");
}

HZ_TEST(router, head_is_answered_by_get)
{
    HZ_ASSERT_EQ(find("HEAD", "/api/v1/workers/x"), HZ_ROUTE_FOUND);
    HZ_ASSERT_EQ(find("HEAD", "/api/v1/workers/x/stop"), HZ_ROUTE_METHOD);
    HZ_ASSERT_EQ(find("get", "/api/v1/workers"), HZ_ROUTE_METHOD);
}

HZ_TEST(router, what_is_no_text_or_too_deep_is_unknown)
{
    HZ_ASSERT_EQ(find("GET", "/api/v1/workers/%ff"), HZ_ROUTE_UNKNOWN);
    HZ_ASSERT_EQ(find("GET", "/api/v1/workers/%00"), HZ_ROUTE_UNKNOWN);
    HZ_ASSERT_EQ(find("GET", "/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a"), HZ_ROUTE_UNKNOWN);
    HZ_ASSERT_EQ(find("GET", "*"), HZ_ROUTE_UNKNOWN);
    HZ_ASSERT_EQ(find("GET", ""), HZ_ROUTE_UNKNOWN);
    HZ_ASSERT_EQ(find("GET", "/"), HZ_ROUTE_UNKNOWN);
    HZ_ASSERT_EQ(find("GET", "/api/v1/workers/%zz%4"), HZ_ROUTE_FOUND);
    HZ_ASSERT_STR_EQ(match.params[0].value, "%zz%4");
}

HZ_TEST(router, the_same_route_twice_is_refused)
{
    HZ_ASSERT_EQ(route("GET", "/api/v1/workers", "again"), HZ_EEXISTS);
    HZ_ASSERT_EQ(route("GET", "no/slash", "x"), HZ_EFORMAT);
    HZ_ASSERT_EQ(route("GET", "/a/:", "x"), HZ_EFORMAT);
    HZ_ASSERT_EQ(route("GET", "/:a/:b/:c/:d/:e", "x"), HZ_EFORMAT);
}
