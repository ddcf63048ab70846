/*
 * asker - asks the manager `count` questions at once, each of another kind, and checks that each answer belongs to its
 * question. Emits on `response` how many were right, and on `error` what was wrong first. A test's node.
 */
#include <horizon/node.h>
#include <string.h>

static const char *const types[] = {"delay", "cache", "iteration", "validator", "http_request", "no_such_type"};
enum { TYPES = 6, KINDS = 3 };

struct asker {
    uint32_t open, right, wrong;
};
struct question {
    struct asker *asker;
    uint32_t number;
};

static bool is(hz_str text, const char *wanted)
{
    return text.len == strlen(wanted) && memcmp(text.data, wanted, text.len) == 0;
}

/* Kind 0: a node type by name; 1: an unknown route with a number in it; 2: the caller's own workflow. */
static bool belongs(hz_call *call, const struct question *q, bool ok, const hz_value *data, hz_str message)
{
    if (q->number % KINDS == 0) {
        const char *type = types[q->number / KINDS % TYPES];
        if (strcmp(type, "no_such_type") == 0)
            return !ok && is(message, "Tipo de nodo no encontrado");
        return ok && hz_as_bool(hz_get(data, "success")) && is(hz_as_str(hz_get(hz_get(data, "node"), "type")), type);
    }
    if (q->number % KINDS == 1) {
        char wanted[64];
        (void)snprintf(wanted, sizeof(wanted), "Ruta no encontrada: no:%u", q->number);
        return !ok && is(message, wanted);
    }
    hz_str own = hz_workflow_id(call);
    hz_str id = hz_as_str(hz_get(hz_get(data, "workflow"), "id"));
    return ok && id.len == own.len && memcmp(id.data, own.data, own.len) == 0;
}

static int answered(hz_call *call, bool ok, const hz_value *data, hz_str message, void *arg)
{
    struct question *q = arg;
    struct asker *asker = q->asker;
    asker->open--;
    if (belongs(call, q, ok, data, message))
        asker->right++;
    else if (asker->wrong++ == 0)
        hz_log(call, HZ_LEVEL_ERROR, "question %u: ok %d, message `%.*s`, data %.300s", q->number, ok, (int)message.len,
                message.data, data ? hz_print(call, data).data : "none");
    if (asker->open > 0)
        return HZ_DEFER;
    hz_value *result = hz_object(call);
    if (!result || hz_set(result, "right", hz_int(call, asker->right)) || hz_set(result, "wrong", hz_int(call, asker->wrong)))
        return HZ_ERR_NOMEM;
    return hz_emit(call, "response", result);
}

static int asker_run(hz_call *call)
{
    uint32_t count = (uint32_t)hz_param_num(call, "count", 100);
    uint32_t first = (uint32_t)hz_param_num(call, "first", 0);
    struct asker *asker = hz_alloc(call, sizeof(*asker));
    struct question *questions = hz_alloc(call, count * sizeof(*questions));
    if (!asker || !questions)
        return HZ_ERR_NOMEM;
    *asker = (struct asker){.open = count};
    for (uint32_t i = 0; i < count; i++) {
        hz_value *data = hz_object(call);
        char route[32] = "nodes:get";
        questions[i] = (struct question){asker, first + i};
        if (!data)
            return HZ_ERR_NOMEM;
        int r = HZ_OK;
        if (questions[i].number % KINDS == 0)
            r = hz_set(data, "type", hz_text(call, types[questions[i].number / KINDS % TYPES]));
        else if (questions[i].number % KINDS == 1)
            (void)snprintf(route, sizeof(route), "no:%u", questions[i].number);
        else {
            (void)snprintf(route, sizeof(route), "workflows:get");
            hz_str own = hz_workflow_id(call);
            r = hz_set(data, "id", hz_string(call, own.data, own.len));
        }
        if (r == HZ_OK)
            r = hz_ask(call, route, data, answered, &questions[i]);
        if (r != HZ_OK)
            return hz_fail(call, "question %u was not taken: %d", questions[i].number, r);
    }
    return HZ_DEFER;
}

HZ_NODE(.type = "asker", .title = "Asker", .group = "Test", .flags = HZ_NODE_CONCURRENT, .inputs = HZ_NAMES("input"),
        .outputs = HZ_NAMES("response", "error"), .run = asker_run,
        .properties = HZ_PROPERTIES({.key = "count", .type = "number", .name = "Count", .value = "100"},
                {.key = "first", .type = "number", .name = "First", .value = "0"}))
