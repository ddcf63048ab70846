/*
 * msg.c - the table of records: names, directions, and the one place that decides whether bytes are a record. No state.
 *
 * Every length in a body is a stranger's claim: it is taken from the private copy, summed in 64 bits with a check at
 * each step, and the sum must be the record's length exactly.
 */
#include "msg.h"
#include "err.h"

#include <inttypes.h>

static const struct {
    const char *name;
    uint8_t id;
    char direction;
    size_t bytes;
} table[] = {
#define HZ_MSG_X(NAME, name, id, direction, meaning) {#NAME, (id), #direction[0], sizeof(struct hz_msg_##name)},
#include "msg_table.h"
#undef HZ_MSG_X
};

/* Every body is a multiple of 8 bytes, so that bodies in a ring or a buffer of 8-aligned start need no padding rule. */
#define HZ_MSG_X(NAME, name, id, direction, meaning)                                                                   \
    _Static_assert(sizeof(struct hz_msg_##name) % 8 == 0 && (id) < HZ_MSG_FRAGMENT, #NAME);
#include "msg_table.h"
#undef HZ_MSG_X
_Static_assert(sizeof(struct hz_msg_fragment) == 16, "fragment");

static size_t find(uint32_t type)
{
    for (size_t i = 0; i < HZ_COUNT_OF(table); i++)
        if (table[i].id == type)
            return i;
    return HZ_COUNT_OF(table);
}

const char *hz_msg_name(uint32_t type)
{
    size_t i = find(type);
    return i < HZ_COUNT_OF(table) ? table[i].name : type == HZ_MSG_FRAGMENT ? "FRAGMENT" : "?";
}

char hz_msg_direction(uint32_t type)
{
    size_t i = find(type);
    return i < HZ_COUNT_OF(table) ? table[i].direction : '\0';
}

size_t hz_msg_body_bytes(uint32_t type)
{
    size_t i = find(type);
    return i < HZ_COUNT_OF(table) ? table[i].bytes : 0;
}

/* The lengths of the strings of a body, in their order. */
static void string_lengths(uint32_t type, const void *body, uint64_t ret_len[HZ_MSG_STRINGS])
{
    ret_len[0] = ret_len[1] = ret_len[2] = 0;
    switch ((enum hz_msg_type)type) {
    case HZ_MSG_ASSIGN: {
        const struct hz_msg_assign *m = body;
        ret_len[0] = m->worker_id_len, ret_len[1] = m->workflow_id_len, ret_len[2] = m->env_len;
        break;
    }
    case HZ_MSG_PLAN: {
        const struct hz_msg_plan *m = body;
        ret_len[0] = m->plan_len, ret_len[1] = m->paths_len;
        break;
    }
    case HZ_MSG_EXECUTE: {
        const struct hz_msg_execute *m = body;
        ret_len[0] = m->data_len;
        break;
    }
    case HZ_MSG_HTTP_REQUEST: {
        const struct hz_msg_http_request *m = body;
        ret_len[0] = m->meta_len, ret_len[1] = m->type_len, ret_len[2] = m->body_len;
        break;
    }
    case HZ_MSG_CANCEL: {
        const struct hz_msg_cancel *m = body;
        ret_len[0] = m->reason_len;
        break;
    }
    case HZ_MSG_REQUEST: {
        const struct hz_msg_request *m = body;
        ret_len[0] = m->route_len, ret_len[1] = m->data_len;
        break;
    }
    case HZ_MSG_RESPONSE: {
        const struct hz_msg_response *m = body;
        ret_len[0] = m->message_len, ret_len[1] = m->data_len;
        break;
    }
    case HZ_MSG_RESUME: {
        const struct hz_msg_resume *m = body;
        ret_len[0] = m->state_len;
        break;
    }
    case HZ_MSG_CHECKPOINT: {
        const struct hz_msg_checkpoint *m = body;
        ret_len[0] = m->state_len;
        break;
    }
    case HZ_MSG_NODE_RUNS: {
        const struct hz_msg_node_runs *m = body;
        ret_len[0] = m->runs_len;
        break;
    }
    case HZ_MSG_ASK: {
        const struct hz_msg_ask *m = body;
        ret_len[0] = m->route_len, ret_len[1] = m->data_len;
        break;
    }
    case HZ_MSG_ANSWER: {
        const struct hz_msg_answer *m = body;
        ret_len[0] = m->message_len, ret_len[1] = m->data_len;
        break;
    }
    case HZ_MSG_FATAL: {
        const struct hz_msg_fatal *m = body;
        ret_len[0] = m->message_len;
        break;
    }
    case HZ_MSG_FINISHED: {
        const struct hz_msg_finished *m = body;
        ret_len[0] = m->error_len, ret_len[1] = m->code_len, ret_len[2] = m->result_len;
        break;
    }
    case HZ_MSG_HTTP_ANSWER: {
        const struct hz_msg_http_answer *m = body;
        ret_len[0] = m->type_len, ret_len[1] = m->headers_len, ret_len[2] = m->body_len;
        break;
    }
    case HZ_MSG_LISTEN: {
        const struct hz_msg_listen *m = body;
        ret_len[0] = m->method_len, ret_len[1] = m->endpoint_len;
        break;
    }
    case HZ_MSG_LINE: {
        const struct hz_msg_line *m = body;
        ret_len[0] = m->text_len;
        break;
    }
    case HZ_MSG_LOG: {
        const struct hz_msg_log *m = body;
        ret_len[0] = m->text_len;
        break;
    }
    case HZ_MSG_TELL: {
        const struct hz_msg_tell *m = body;
        ret_len[0] = m->route_len, ret_len[1] = m->data_len;
        break;
    }
    case HZ_MSG_SHUTDOWN:
    case HZ_MSG_HTTP_GONE:
    case HZ_MSG_CHECKPOINTED:
    case HZ_MSG_WARM:
    case HZ_MSG_READY:
    case HZ_MSG_STARTED:
    case HZ_MSG_HOP:
    case HZ_MSG_FRAGMENT:
        break;
    }
}

int hz_msg_open(struct hz_msg *ret_msg, char direction, uint32_t type, const void *data, size_t len)
{
    size_t i = find(type);
    if (i == HZ_COUNT_OF(table))
        return hz_err_set(HZ_EFORMAT, "record type %u is unknown", type);
    if (table[i].direction != direction)
        return hz_err_set(HZ_EFORMAT, "%s does not belong on the ring '%c'", table[i].name, direction);
    if (len < table[i].bytes)
        return hz_err_set(
                HZ_EFORMAT, "%s has %zu bytes, its fixed part alone needs %zu", table[i].name, len, table[i].bytes);
    HZ_ASSERT(((uintptr_t)data & 7) == 0);

    uint64_t lengths[HZ_MSG_STRINGS], left = len - table[i].bytes;
    string_lengths(type, data, lengths);
    struct hz_msg msg = {.type = type, .body = data};
    const char *at = (const char *)data + table[i].bytes;
    for (size_t k = 0; k < HZ_MSG_STRINGS; k++) {
        if (lengths[k] > left)
            return hz_err_set(HZ_EFORMAT, "%s: string %zu has %" PRIu64 " bytes, %" PRIu64 " are left", table[i].name,
                    k, lengths[k], left);
        msg.str[k].data = at;
        msg.str[k].len = (size_t)lengths[k];
        at += lengths[k];
        left -= lengths[k];
    }
    if (left != 0)
        return hz_err_set(HZ_EFORMAT, "%s has %" PRIu64 " bytes too many", table[i].name, left);
    *ret_msg = msg;
    return 0;
}
