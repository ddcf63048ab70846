/* test_resume.c - checkpoints and going on from them, in a worker on a thread; states with damaged bytes. */
#include "nodes.h"

static struct rig rig;

HZ_SUITE_INIT(resume)
{
    nodes_load();
}

/* Three effects in a row: t_pass is not pure. */
static void start(void)
{
    rig_run(&rig, 1, HZ_WORKER_RESIDENT | HZ_WORKER_CHECKPOINTS,
            rig_flow(INIT "," N("a", "t_pass") "," N("b", "t_pass") "," N("c", "t_pass"), "i.init>a.input a.out>b.input b.out>c.input"));
}

static void saved(const struct hz_msg *msg)
{
    const struct hz_msg_checkpoint *checkpoint = msg->body;
    struct hz_msg_checkpointed answer = {.execution = checkpoint->execution, .sequence = checkpoint->sequence};
    struct hz_part part = {&answer, sizeof answer};
    rig_send(&rig, HZ_MSG_CHECKPOINTED, &part, 1);
}

static void resume(uint64_t number, const void *state, size_t len)
{
    struct hz_msg_resume message = {.execution = number, .id = hz_uuid_new(), .attempt = 2, .state_len = len};
    struct hz_part parts[] = {{&message, sizeof message}, {state, len}};
    rig_send(&rig, HZ_MSG_RESUME, parts, 2);
}

static const struct hz_msg_finished *end_of(const struct hz_msg *msg)
{
    return msg->body;
}

HZ_TEST(resume, an_effect_waits_until_what_it_builds_on_is_saved)
{
    start();
    rig_execute(&rig, "{\"x\":1}");
    const struct hz_msg *first = rig_wait(&rig, HZ_MSG_CHECKPOINT);
    HZ_ASSERT(rig_try(&rig, HZ_MSG_FINISHED, 50) == NULL);
    saved(first);
    saved(rig_wait(&rig, HZ_MSG_CHECKPOINT));
    const struct hz_msg *end = rig_wait(&rig, HZ_MSG_FINISHED);
    HZ_ASSERT_EQ(end_of(end)->state, HZ_EXEC_SUCCESS);
    HZ_ASSERT_EQ(end_of(end)->node_runs, 4);
    HZ_ASSERT_EQ(rig_count(&rig, HZ_MSG_CHECKPOINT), 2);
    rig_close(&rig);
}

HZ_TEST(resume, another_execution_goes_on_from_the_state_with_the_same_end)
{
    start();
    rig_execute(&rig, "{\"x\":[1,{\"y\":2}]}");
    const struct hz_msg *first = rig_wait(&rig, HZ_MSG_CHECKPOINT);
    size_t len = first->str[0].len;
    char *state = malloc(len);
    memcpy(state, first->str[0].data, len);
    saved(first);
    saved(rig_wait(&rig, HZ_MSG_CHECKPOINT));
    const struct hz_msg *end = rig_wait(&rig, HZ_MSG_FINISHED);
    char *result = strdup(rig_text(end, 2));
    resume(77, state, len);
    saved(rig_wait(&rig, HZ_MSG_CHECKPOINT)); /* before c only: what b needs is saved */
    end = rig_wait(&rig, HZ_MSG_FINISHED);
    HZ_ASSERT_EQ(end_of(end)->execution, 77);
    HZ_ASSERT_EQ(end_of(end)->state, HZ_EXEC_SUCCESS);
    HZ_ASSERT_EQ(end_of(end)->node_runs, 4);
    HZ_ASSERT_STR_EQ(rig_text(end, 2), result);
    free(result);
    free(state);
    rig_close(&rig);
}

HZ_TEST(resume, damaged_states_are_refused_or_end)
{
    start();
    rig_execute(&rig, "{\"x\":[1,{\"y\":2}]}");
    const struct hz_msg *first = rig_wait(&rig, HZ_MSG_CHECKPOINT);
    size_t len = first->str[0].len;
    char *state = malloc(len);
    memcpy(state, first->str[0].data, len);
    uint64_t number = 1000;
    unsigned refused = 0, tried = 0;
    for (size_t at = 0; at < len; at++) {
        static const unsigned char changes[] = {0x01, 0x80, 0xff};
        for (size_t c = 0; c < HZ_COUNT_OF(changes); c++) {
            state[at] = (char)(state[at] ^ (char)changes[c]);
            resume(++number, state, len);
            state[at] = (char)(state[at] ^ (char)changes[c]);
            const struct hz_msg *end;
            while ((end = rig_try(&rig, HZ_MSG_FINISHED, 1)) == NULL) {
                const struct hz_msg *next = rig_try(&rig, HZ_MSG_CHECKPOINT, 1);
                const struct hz_msg_checkpoint *checkpoint = next ? next->body : NULL;
                if (checkpoint && checkpoint->execution == number)
                    saved(next);
            }
            HZ_ASSERT_EQ(end_of(end)->execution, number);
            refused += end_of(end)->state == HZ_EXEC_FAILED;
            tried++;
        }
    }
    HZ_ASSERT_GT(refused, tried / 4);
    for (size_t cut = 0; cut < len; cut += 7) {
        resume(++number, state, cut);
        HZ_ASSERT_EQ(end_of(rig_wait(&rig, HZ_MSG_FINISHED))->state, HZ_EXEC_FAILED);
    }
    free(state);
    rig_close(&rig);
}
