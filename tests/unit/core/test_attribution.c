/* test_attribution.c - the table of death reasons, row by row. */
#include "core/attribution.h"
#include "core/flow/plan.h"
#include "tests/harness.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

static struct hz_plan *plan;

HZ_SUITE_INIT(attribution)
{
    struct hz_plan *made = calloc(1, sizeof *made + 2 * sizeof(struct hz_plan_node) + 64);
    HZ_ASSERT_NOT_NULL(made);
    /* Two nodes with names, as the compiler lays them out; nothing else of a plan is looked at. */
    made->nodes = sizeof *made;
    made->node_count = 2;
    uint32_t texts = (uint32_t)(sizeof *made + 2 * sizeof(struct hz_plan_node));
    memcpy((char *)made + texts, "Inicio\0Suma", 12);
    struct hz_plan_node *nodes = (struct hz_plan_node *)(void *)((char *)made + made->nodes);
    nodes[0].name = (struct hz_plan_text){texts, 6};
    nodes[1].name = (struct hz_plan_text){texts + 7, 4};
    plan = made;
}

HZ_SUITE_CLEANUP(attribution)
{
    free(plan);
}

static struct hz_evidence died(int code, int status)
{
    struct hz_evidence e;
    memset(&e, 0, sizeof e);
    e.wait_code = code;
    e.wait_status = status;
    e.lanes = 2;
    e.plan = plan;
    return e;
}

static void in_node(struct hz_evidence *e, uint32_t lane, uint32_t node, uint64_t execution, uint64_t entered)
{
    e->cells[lane].phase = HZ_PHASE_NODE;
    e->cells[lane].node = node;
    e->cells[lane].execution = execution;
    e->cells[lane].entered_ns = entered;
}

HZ_TEST(attribution, a_fault_accuses_the_node_of_the_lane_whose_handler_ran)
{
    static const int faults[] = {SIGSEGV, SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGTRAP};
    for (size_t i = 0; i < HZ_COUNT_OF(faults); i++) {
        struct hz_evidence e = died(CLD_KILLED, faults[i]);
        struct hz_death d;
        in_node(&e, 0, 0, 7, 1); /* longer in its node, but innocent */
        in_node(&e, 1, 1, 8, 2);
        e.cells[1].stage = 2;
        e.cells[1].signal = faults[i];
        hz_attribution_judge(&e, &d);
        HZ_ASSERT_TRUE(d.crashed);
        HZ_ASSERT_FALSE(d.expected);
        HZ_ASSERT_EQ(d.lane, 1);
        HZ_ASSERT_EQ(d.execution, 8);
        HZ_ASSERT_EQ(d.exit_code, 128 + faults[i]);
        HZ_ASSERT_STR_EQ(d.node_name, "Suma");
        HZ_ASSERT_STR_HAS(d.text, "crash with SIG");
        HZ_ASSERT_STR_HAS(d.text, "node \"Suma\" was running");
    }
}

HZ_TEST(attribution, a_core_dump_is_a_death_by_signal_too)
{
    struct hz_evidence e = died(CLD_DUMPED, SIGSEGV);
    struct hz_death d;
    hz_attribution_judge(&e, &d);
    HZ_ASSERT_EQ(d.signal, SIGSEGV);
    HZ_ASSERT_FALSE(d.crashed);
    HZ_ASSERT_STR_EQ(d.text, "crash with SIGSEGV");
}

HZ_TEST(attribution, the_frame_of_the_fault_is_printed_escaped)
{
    struct hz_crash_cell cell;
    struct hz_evidence e = died(CLD_KILLED, SIGSEGV);
    struct hz_death d;
    memset(&cell, 0, sizeof cell);
    cell.phase = HZ_PHASE_NODE;
    cell.node = 1;
    cell.execution = 3;
    cell.stage = 1;
    cell.address = 0x10;
    cell.module_offset = 0x20;
    memset(cell.module, 'm', sizeof cell.module); /* no terminator */
    memcpy(cell.text, "ha\033[2J\nx", 8);
    hz_attribution_copy(&e.cells[0], &cell);
    HZ_ASSERT_EQ(strlen(e.cells[0].module), sizeof cell.module);
    HZ_ASSERT_STR_EQ(e.cells[0].text, "ha?[2J?x");
    hz_attribution_judge(&e, &d);
    HZ_ASSERT_STR_HAS(d.text, "address 0x10 in mmm");
    HZ_ASSERT_STR_HAS(d.text, "+0x20: ha?[2J?x");
}

HZ_TEST(attribution, an_index_beyond_the_plan_is_a_number_and_nothing_more)
{
    struct hz_evidence e = died(CLD_KILLED, SIGSEGV);
    struct hz_death d;
    in_node(&e, 0, 4000000000u, 5, 1);
    e.cells[0].stage = 1;
    hz_attribution_judge(&e, &d);
    HZ_ASSERT_STR_EQ(d.node_name, "");
    HZ_ASSERT_STR_HAS(d.text, "node number 4000000000");
    e.plan = NULL;
    e.cells[0].node = 0;
    hz_attribution_judge(&e, &d);
    HZ_ASSERT_STR_HAS(d.text, "node number 0");
}

HZ_TEST(attribution, kill_minus_nine_from_outside_names_the_node_that_ran_the_longest)
{
    struct hz_evidence e = died(CLD_KILLED, SIGKILL);
    struct hz_death d;
    in_node(&e, 0, 0, 7, 200);
    in_node(&e, 1, 1, 8, 100);
    hz_attribution_judge(&e, &d);
    HZ_ASSERT_TRUE(d.crashed);
    HZ_ASSERT_EQ(d.execution, 8);
    HZ_ASSERT_STR_HAS(d.text, "killed from outside with SIGKILL");
    HZ_ASSERT_STR_HAS(d.text, "node \"Suma\"");
}

HZ_TEST(attribution, between_two_nodes_the_execution_in_hand_is_accused)
{
    struct hz_evidence e = died(CLD_KILLED, SIGKILL);
    struct hz_death d;
    e.cells[0].phase = HZ_PHASE_HOST;
    e.cells[0].execution = 9;
    hz_attribution_judge(&e, &d);
    HZ_ASSERT_TRUE(d.crashed);
    HZ_ASSERT_EQ(d.execution, 9);
}

HZ_TEST(attribution, without_an_execution_in_hand_nobody_is_accused)
{
    struct hz_evidence e = died(CLD_KILLED, SIGKILL);
    struct hz_death d;
    e.cells[0].phase = HZ_PHASE_IDLE;
    e.cells[0].execution = 9;
    hz_attribution_judge(&e, &d);
    HZ_ASSERT_FALSE(d.crashed);
    HZ_ASSERT_EQ(d.node, HZ_NO_NODE);
    HZ_ASSERT_EQ(d.execution, 0);
}

HZ_TEST(attribution, other_signals_come_from_outside_and_forbidden_calls_have_a_number)
{
    struct hz_evidence e = died(CLD_KILLED, SIGTERM);
    struct hz_death d;
    hz_attribution_judge(&e, &d);
    HZ_ASSERT_STR_EQ(d.text, "killed from outside with SIGTERM");
    e = died(CLD_KILLED, SIGSYS);
    in_node(&e, 0, 1, 4, 1);
    e.cells[0].stage = 1;
    e.cells[0].syscall_nr = 59;
    hz_attribution_judge(&e, &d);
    HZ_ASSERT_STR_HAS(d.text, "forbidden call 59 (SIGSYS)");
    HZ_ASSERT_STR_HAS(d.text, "Suma");
}

HZ_TEST(attribution, leaving_the_process_from_a_node_is_the_accusation)
{
    static const int codes[] = {0, 3};
    for (size_t i = 0; i < HZ_COUNT_OF(codes); i++) {
        struct hz_evidence e = died(CLD_EXITED, codes[i]);
        struct hz_death d;
        in_node(&e, 0, 1, 4, 1);
        hz_attribution_judge(&e, &d);
        HZ_ASSERT_TRUE(d.crashed);
        HZ_ASSERT_EQ(d.exit_code, codes[i]);
        HZ_ASSERT_STR_HAS(d.text, "node \"Suma\" ended the process with code");
    }
    struct hz_evidence e = died(CLD_EXITED, 1);
    struct hz_death d;
    hz_attribution_judge(&e, &d);
    HZ_ASSERT_FALSE(d.crashed);
    HZ_ASSERT_STR_EQ(d.text, "ended by itself with code 1");
}

HZ_TEST(attribution, what_we_asked_for_is_expected_and_keeps_our_reason)
{
    struct hz_evidence e = died(CLD_EXITED, 0);
    struct hz_death d;
    e.intent = HZ_INTENT_STOP;
    hz_attribution_judge(&e, &d);
    HZ_ASSERT_TRUE(d.expected);
    HZ_ASSERT_STR_EQ(d.text, "stopped");

    e = died(CLD_KILLED, SIGKILL);
    in_node(&e, 0, 1, 4, 1);
    e.intent = HZ_INTENT_DEADLINE;
    e.killed = true;
    hz_attribution_judge(&e, &d);
    HZ_ASSERT_TRUE(d.expected);
    HZ_ASSERT_FALSE(d.crashed);
    HZ_ASSERT_STR_HAS(d.text, "deadline");
    HZ_ASSERT_STR_HAS(d.text, "node \"Suma\" was running");

    e = died(CLD_KILLED, SIGSEGV); /* it crashed while it was asked to stop: that is a crash */
    e.intent = HZ_INTENT_STOP;
    in_node(&e, 0, 1, 4, 1);
    e.cells[0].stage = 1;
    hz_attribution_judge(&e, &d);
    HZ_ASSERT_FALSE(d.expected);
    HZ_ASSERT_TRUE(d.crashed);

    e = died(CLD_EXITED, 1); /* an isolated worker after a failed execution */
    e.may_exit = true;
    hz_attribution_judge(&e, &d);
    HZ_ASSERT_TRUE(d.expected);

    e = died(CLD_KILLED, SIGKILL);
    e.intent = HZ_INTENT_POISON;
    e.killed = true;
    e.poison = "a record that cannot be";
    hz_attribution_judge(&e, &d);
    HZ_ASSERT_STR_HAS(d.text, "broke a rule of the shared memory: a record that cannot be");
}

HZ_TEST(attribution, what_the_own_control_group_counted_is_certain_what_the_machine_counted_is_likely)
{
    struct hz_evidence e = died(CLD_KILLED, SIGKILL);
    struct hz_death d;
    in_node(&e, 0, 1, 7, 1);
    e.kernel_oom = "at 80.0 MB, a quarter above the 64.0 MB allowed by workflow w";
    hz_attribution_judge(&e, &d);
    HZ_ASSERT_EQ(d.kind, HZ_DEATH_MEMORY);
    HZ_ASSERT_FALSE(d.likely);
    HZ_ASSERT_STR_HAS(d.text, "out of memory: killed by the kernel at 80.0 MB, a quarter above the 64.0 MB allowed by workflow w");
    HZ_ASSERT_STR_HAS(d.text, "Suma");
    e.kernel_oom = NULL;
    e.oom_rose = true;
    e.rss_bytes = 80u << 20;
    hz_attribution_judge(&e, &d);
    HZ_ASSERT_EQ(d.kind, HZ_DEATH_MEMORY);
    HZ_ASSERT_TRUE(d.likely);
    HZ_ASSERT_STR_HAS(d.text, "it had 80.0 MB");
}

HZ_TEST(attribution, a_worker_that_was_stopped_by_a_signal_is_said_to_have_been)
{
    struct hz_evidence e = died(CLD_KILLED, SIGKILL);
    struct hz_death d;
    in_node(&e, 0, 1, 7, 1);
    e.intent = HZ_INTENT_DEADLINE;
    e.killed = true;
    e.asked = HZ_ASKED_STOPPED;
    hz_attribution_judge(&e, &d);
    HZ_ASSERT_EQ(d.kind, HZ_DEATH_TIMEOUT);
    HZ_ASSERT_STR_HAS(d.text, "(it was stopped by a signal)");
}
