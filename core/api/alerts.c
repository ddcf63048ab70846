/* alerts.c - alerts by REST: what is raised and what was, silence, test. Shard's thread; a silence waits for one
 * commit. */
#include "internal.h"
#include "rest.h"

#include "core/alerts.h"
#include "core/http/http.h"

#include "shm/err.h"

#include <stdio.h>
#include <string.h>

enum { LIMIT_DEFAULT = 100, LIMIT_MAX = 1000, MINUTES_MAX = 527040 /* a year */ };

/* The rule a body names; HZ_ALERT_RULES: answered. */
static enum hz_alert_rule rule_of(struct hz_http_request *request, const json_t *body)
{
    const char *name = json_string_value(json_object_get(body, "rule"));
    enum hz_alert_rule rule = name ? hz_alert_by_name(name) : HZ_ALERT_RULES;
    if (rule != HZ_ALERT_RULES)
        return rule;
    char detail[400];
    size_t used = (size_t)snprintf(detail, sizeof detail, "rule is \"%.80s\", expected one of ", name ? name : "");
    for (unsigned i = 0; i < HZ_ALERT_RULES; i++)
        used += (size_t)snprintf(detail + used, sizeof detail - used, "%s%s", i ? ", " : "",
                hz_alert_known((enum hz_alert_rule)i)->name);
    hz_http_problem(request, 400, detail);
    return HZ_ALERT_RULES;
}

/* The subject a body names, "" none; NULL: answered. */
static const char *subject_of(struct hz_http_request *request, const json_t *body)
{
    const json_t *value = json_object_get(body, "subject");
    if (!value || json_is_null(value))
        return "";
    const char *text = json_string_value(value);
    if (text && strlen(text) < HZ_ALERT_SUBJECT)
        return text;
    hz_http_problem(request, 400, "subject is no text of at most 159 bytes");
    return NULL;
}

static void list(struct hz_http_request *request, void *arg)
{
    (void)arg;
    uint64_t limit = LIMIT_DEFAULT, before = 0;
    const char *state = hz_http_query(request, "state");
    bool all = state && strcmp(state, "all") == 0;
    if (state && !all && strcmp(state, "active") != 0) {
        hz_http_problem(request, 400, "state is neither active nor all");
        return;
    }
    if (!hz_rest_number(request, "limit", 1, LIMIT_MAX, &limit) ||
            !hz_rest_number(request, "before", 0, INT64_MAX, &before))
        return;
    json_t *answer = hz_alerts_list(all, (size_t)limit, (int64_t)before);
    if (answer)
        hz_api_answer_value(hz_rest_done, request, 200, answer);
    else
        hz_http_problem(request, 500, hz_err_last());
}

static void silence(struct hz_http_request *request, void *arg)
{
    (void)arg;
    json_t *body = hz_rest_body(request);
    if (!body)
        return;
    enum hz_alert_rule rule = rule_of(request, body);
    const char *subject = rule == HZ_ALERT_RULES ? NULL : subject_of(request, body);
    const json_t *minutes = json_object_get(body, "minutes");
    int64_t until_ms;
    if (!subject) {
        json_decref(body);
        return;
    }
    if (!json_is_integer(minutes) || json_integer_value(minutes) < 1 || json_integer_value(minutes) > MINUTES_MAX) {
        hz_http_problem(request, 400, "minutes is no whole number from 1 to 527040");
    } else if (hz_alerts_silence(rule, subject, (uint32_t)json_integer_value(minutes), &until_ms)) {
        hz_http_problem(request, 503, hz_err_last());
    } else {
        char iso[HZ_ISO_TEXT];
        hz_base_iso(until_ms, iso);
        hz_api_answer_value(hz_rest_done, request, 200,
                json_pack("{s:s, s:s?, s:s}", "rule", hz_alert_known(rule)->name, "subject",
                        subject[0] ? subject : NULL, "until", iso));
    }
    json_decref(body);
}

static void unsilence(struct hz_http_request *request, void *arg)
{
    (void)arg;
    json_t *body = hz_rest_body(request);
    if (!body)
        return;
    enum hz_alert_rule rule = rule_of(request, body);
    const char *subject = rule == HZ_ALERT_RULES ? NULL : subject_of(request, body);
    if (subject && hz_alerts_unsilence(rule, subject))
        hz_http_problem(request, 404, "there is no silence of this rule and subject");
    else if (subject)
        hz_api_answer_value(hz_rest_done, request, 200,
                json_pack("{s:s, s:s?}", "rule", hz_alert_known(rule)->name, "subject", subject[0] ? subject : NULL));
    json_decref(body);
}

static void test(struct hz_http_request *request, void *arg)
{
    (void)arg;
    json_t *body = hz_rest_body(request);
    if (!body)
        return;
    enum hz_alert_rule rule = rule_of(request, body);
    if (rule != HZ_ALERT_RULES && hz_alerts_test(rule))
        hz_http_problem(request, 503, hz_err_last());
    else if (rule != HZ_ALERT_RULES)
        hz_api_answer_value(hz_rest_done, request, 202,
                json_pack("{s:s, s:s}", "rule", hz_alert_known(rule)->name, "subject", "test"));
    json_decref(body);
}

int hz_api_alerts_init(void)
{
    int err = hz_http_route_for("GET", "/api/v1/alerts", "alerts:list", list, NULL);
    if (!err)
        err = hz_http_route_for("POST", "/api/v1/alerts/silence", "alerts:silence", silence, NULL);
    if (!err)
        err = hz_http_route_for("POST", "/api/v1/alerts/unsilence", "alerts:silence", unsilence, NULL);
    if (!err)
        err = hz_http_route_for("POST", "/api/v1/alerts/test", "alerts:test", test, NULL);
    return err;
}
