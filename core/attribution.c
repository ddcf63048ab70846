/*
 * attribution.c - the table of death reasons. No state, no system call; tested row by row.
 *
 *   killed by a signal we sent            our reason (stop, deadline, poison ...)
 *   SIGKILL not sent by us                out of memory, if its own control group counted such a kill; else killed from outside (or by
 *                                         the kernel for want of memory: without a group the two look alike)
 *   SIGSYS                                forbidden call N
 *   SIGSEGV, ABRT, BUS, FPE, ILL, TRAP    crash in node X
 *   another signal                        killed by signal S from outside
 *   exited while a lane was in a node     node X ended the process
 *   exited otherwise                      ended by itself with code C
 * Accused is one lane: the one whose fault handler ran; without one, the lane that had been in its node the longest. A fault's
 * lane counts in every phase, as expression and host code run on behalf of a node; a silent death accuses the lane that had an
 * execution in hand: inside a node, in its expressions, or between two node runs of it (then the node named is the last one).
 */
#include "attribution.h"

#include "core/flow/plan.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

static void copy_text(char *to, const char *from, size_t len)
{
    size_t i = 0;
    for (; i < len && from[i]; i++)
        to[i] = (unsigned char)from[i] < 0x20 || (unsigned char)from[i] >= 0x7f ? '?' : from[i];
    to[i] = 0;
}

void hz_attribution_copy(struct hz_cell_copy *ret_copy, const struct hz_crash_cell *cell)
{
    memset(ret_copy, 0, sizeof *ret_copy);
    ret_copy->phase = atomic_load_explicit(&cell->phase, memory_order_acquire);
    ret_copy->node = atomic_load_explicit(&cell->node, memory_order_relaxed);
    ret_copy->execution = atomic_load_explicit(&cell->execution, memory_order_relaxed);
    ret_copy->entered_ns = atomic_load_explicit(&cell->entered_ns, memory_order_relaxed);
    ret_copy->stage = atomic_load_explicit(&cell->stage, memory_order_acquire);
    if (ret_copy->stage == 0)
        return;
    /* Plain members: written once by the handler before stage; a dead worker's mapping is at rest, and each is read once. */
    ret_copy->signal = cell->signal;
    ret_copy->code = cell->code;
    ret_copy->syscall_nr = cell->syscall_nr;
    ret_copy->address = cell->address;
    ret_copy->pc = cell->pc;
    ret_copy->sp = cell->sp;
    ret_copy->module_offset = cell->module_offset;
    copy_text(ret_copy->module, cell->module, sizeof cell->module);
    copy_text(ret_copy->text, cell->text, sizeof cell->text);
}

const char *hz_attribution_signal(int number, char buf[24])
{
    switch (number) {
    case SIGSEGV:
        return "SIGSEGV";
    case SIGABRT:
        return "SIGABRT";
    case SIGBUS:
        return "SIGBUS";
    case SIGFPE:
        return "SIGFPE";
    case SIGILL:
        return "SIGILL";
    case SIGTRAP:
        return "SIGTRAP";
    case SIGSYS:
        return "SIGSYS";
    case SIGKILL:
        return "SIGKILL";
    case SIGTERM:
        return "SIGTERM";
    case SIGXCPU:
        return "SIGXCPU";
    default:
        snprintf(buf, 24, "signal %d", number);
        return buf;
    }
}

const char *hz_intent_text(enum hz_intent intent)
{
    static const char *const texts[] = {"nothing was asked of it", "stopped", "stopped for a restart", "stopped because the manager ends",
            "killed because it was not ready in time", "killed because an execution's deadline passed and its node did not return",
            "killed because an execution was cancelled and its node did not return",
            "killed because a node took longer than its limit and did not return", "killed because it broke a rule of the shared memory",
            "killed because it did not end after its work", "discarded as a spare", "ended because it reached a limit"};
    return (unsigned)intent < HZ_COUNT_OF(texts) ? texts[intent] : "?";
}

const char *hz_death_kind_name(enum hz_death_kind kind)
{
    static const char *const names[] = {"ended", "stopped", "crash", "exit", "out of memory", "limit", "time-out", "killed", "poison"};
    return (unsigned)kind < HZ_COUNT_OF(names) ? names[kind] : "?";
}

void hz_attribution_places(struct hz_evidence *evidence, const struct hz_crash_cell *first)
{
    evidence->places = 0;
    for (unsigned i = 0; i < HZ_CRASH_POOL; i++) {
        uint64_t entered = atomic_load_explicit(&first->pool[i].entered_ns, memory_order_relaxed);
        if (entered == 0)
            continue;
        struct hz_cell_copy *copy = &evidence->cells[evidence->lanes + evidence->places++];
        memset(copy, 0, sizeof *copy);
        copy->phase = HZ_PHASE_NODE;
        copy->entered_ns = entered;
        copy->node = atomic_load_explicit(&first->pool[i].node, memory_order_relaxed);
        copy->execution = atomic_load_explicit(&first->pool[i].execution, memory_order_relaxed);
    }
}

uint32_t hz_attribution_frames(const struct hz_crash_cell *cell, struct hz_crash_frame *ret_frames, uint32_t max)
{
    uint32_t stage = atomic_load_explicit(&cell->stage, memory_order_acquire), n = 0, skip = 0;
    bool unwound = stage >= 3 && cell->unwind_frames > 0;
    const uint64_t *stack = unwound ? cell->unwind_stack : cell->fp_stack;
    const uint8_t *modules = unwound ? cell->unwind_module : cell->fp_module;
    uint32_t count = stage < 2 ? 0 : HZ_MIN(unwound ? cell->unwind_frames : cell->fp_frames, HZ_CRASH_FRAMES);
    for (uint32_t i = 0; i < count && unwound; i++) { /* the handler's own frames come first */
        if (stack[i] == cell->pc) {
            skip = i;
            break;
        }
    }
    for (uint32_t i = skip; i < count && n < max; i++) {
        struct hz_crash_frame *frame = &ret_frames[n++];
        uint8_t module = modules[i];
        *frame = (struct hz_crash_frame){.address = stack[i]};
        if (module == 0 || module > HZ_CRASH_MODULES)
            continue;
        frame->base = cell->modules[module - 1].base;
        copy_text(frame->module, cell->modules[module - 1].name, sizeof cell->modules[0].name);
    }
    if (n == 0 && stage >= 1 && max > 0) {
        ret_frames[n] = (struct hz_crash_frame){.address = cell->pc, .base = cell->pc - cell->module_offset};
        copy_text(ret_frames[n].module, cell->module, sizeof ret_frames[n].module - 1);
        if (!ret_frames[n].module[0])
            ret_frames[n].base = 0;
        n++;
    }
    return n;
}

static bool is_fault(int number)
{
    return number == SIGSEGV || number == SIGABRT || number == SIGBUS || number == SIGFPE || number == SIGILL || number == SIGTRAP ||
            number == SIGSYS;
}

/* The accused lane, or NULL. */
static const struct hz_cell_copy *accuse(const struct hz_evidence *e, int number, uint32_t *ret_lane)
{
    const struct hz_cell_copy *accused = NULL;
    for (uint32_t i = 0; i < e->lanes && is_fault(number); i++) {
        const struct hz_cell_copy *cell = &e->cells[i];
        if (cell->stage > 0 && (!accused || cell->entered_ns < accused->entered_ns)) {
            accused = cell;
            *ret_lane = i;
        }
    }
    if (accused) /* a fault between executions accuses nobody */
        return accused->phase == HZ_PHASE_IDLE ? NULL : accused;
    for (uint32_t i = 0; i < e->lanes + e->places; i++) {
        const struct hz_cell_copy *cell = &e->cells[i];
        if (cell->phase == HZ_PHASE_IDLE || cell->execution == 0)
            continue;
        bool meant = e->intent_execution != 0 && cell->execution == e->intent_execution;
        if (!accused || meant || cell->entered_ns < accused->entered_ns) {
            accused = cell;
            *ret_lane = i < e->lanes ? i : 0;
        }
        if (meant)
            break;
    }
    return accused;
}

static void name_node(const struct hz_plan *plan, uint32_t node, char ret_name[128])
{
    if (!plan || node >= plan->node_count) {
        ret_name[0] = 0;
        return;
    }
    struct hz_plan_text name = hz_plan_node(plan, node)->name;
    size_t len = HZ_MIN((size_t)name.len, (size_t)127);
    while (len < name.len && len > 0 && (hz_plan_chars(plan, name)[len] & 0xc0) == 0x80)
        len--; /* not through a character */
    memcpy(ret_name, hz_plan_chars(plan, name), len);
    ret_name[len] = 0;
}

/* Below the stack pointer nothing is mapped once the stack is at its end; above it everything is. */
static bool overflowed(const struct hz_cell_copy *cell, int number)
{
    return number == SIGSEGV && cell->sp > 65536 && cell->address >= cell->sp - 65536 && cell->address < cell->sp + 4096;
}

static void say_fault(const struct hz_cell_copy *cell, int number, char *text, size_t size)
{
    char buf[24];
    const char *name = hz_attribution_signal(number, buf);
    if (number == SIGSYS)
        snprintf(text, size, "forbidden call %u (%s)", cell ? cell->syscall_nr : 0, name);
    else if (cell && cell->stage > 0 && number == SIGABRT) /* it was raised: there is no address */
        snprintf(text, size, "crash with %s%s%s%s%s", name, cell->module[0] ? " in " : "", cell->module, cell->text[0] ? ": " : "", cell->text);
    else if (cell && cell->stage > 0 && overflowed(cell, number))
        snprintf(text, size, "crash with %s at address 0x%" PRIx64 " beside the stack pointer in %s+0x%" PRIx64 ": likely a stack overflow", name,
                cell->address, cell->module[0] ? cell->module : "?", cell->module_offset);
    else if (cell && cell->stage > 0 && cell->module[0])
        snprintf(text, size, "crash with %s at address 0x%" PRIx64 " in %s+0x%" PRIx64 "%s%s", name, cell->address, cell->module,
                cell->module_offset, cell->text[0] ? ": " : "", cell->text);
    else if (cell && cell->stage > 0)
        snprintf(text, size, "crash with %s at address 0x%" PRIx64 "%s%s", name, cell->address, cell->text[0] ? ": " : "", cell->text);
    else
        snprintf(text, size, "crash with %s", name);
}

static void say_where(struct hz_death *death)
{
    size_t used = strlen(death->text);
    if (death->node == HZ_NO_NODE || used + 8 >= sizeof death->text)
        return;
    if (death->node_name[0])
        snprintf(death->text + used, sizeof death->text - used, ", node \"%s\" was running", death->node_name);
    else
        snprintf(death->text + used, sizeof death->text - used, ", node number %u was running", death->node);
}

static enum hz_death_kind kind_of(const struct hz_evidence *e, const struct hz_death *death, bool ours, bool accused, bool *ret_likely)
{
    *ret_likely = false;
    switch (e->intent) {
    case HZ_INTENT_POISON:
        return HZ_DEATH_POISON;
    case HZ_INTENT_LIMIT:
        return e->out_of_memory ? HZ_DEATH_MEMORY : HZ_DEATH_LIMIT;
    case HZ_INTENT_DEADLINE:
    case HZ_INTENT_OVERRUN:
    case HZ_INTENT_START_TIMEOUT:
        return HZ_DEATH_TIMEOUT;
    case HZ_INTENT_NONE:
    case HZ_INTENT_STOP:
    case HZ_INTENT_RESTART:
    case HZ_INTENT_SERVER_END:
    case HZ_INTENT_CANCEL:
    case HZ_INTENT_LINGER:
    case HZ_INTENT_DISCARD:
        break;
    }
    if (ours || death->expected)
        return e->intent == HZ_INTENT_NONE ? HZ_DEATH_ENDED : HZ_DEATH_STOPPED;
    if (death->signal == 0)
        return accused ? HZ_DEATH_EXIT : HZ_DEATH_ENDED;
    if (is_fault(death->signal))
        return HZ_DEATH_CRASH;
    if (death->signal == SIGKILL && e->kernel_oom)
        return HZ_DEATH_MEMORY;
    *ret_likely = death->signal == SIGKILL; /* of a SIGKILL nobody learns who sent it */
    return death->signal == SIGKILL && e->oom_rose ? HZ_DEATH_MEMORY : HZ_DEATH_KILLED;
}

void hz_attribution_judge(const struct hz_evidence *evidence, struct hz_death *ret_death)
{
    static const char *const did[] = {"", " (it was computing)", " (it was waiting)", " (it was stopped by a signal)"};
    struct hz_death death = {.intent = evidence->intent, .node = HZ_NO_NODE};
    bool exited = evidence->wait_code == CLD_EXITED;
    death.signal = exited ? 0 : evidence->wait_status;
    death.exit_code = exited ? evidence->wait_status & 0xff : 128 + evidence->wait_status;
    bool ours = evidence->killed && death.signal == SIGKILL;
    /* After a shutdown message or its last execution any exit is the end that was asked for. */
    death.expected = ours || (exited && (evidence->may_exit || (evidence->intent != HZ_INTENT_NONE && evidence->intent != HZ_INTENT_POISON)));
    const struct hz_cell_copy *cell = death.expected && !ours && evidence->intent != HZ_INTENT_LIMIT ? NULL : accuse(evidence, death.signal, &death.lane);
    if (cell) {
        death.crashed = !death.expected || evidence->intent == HZ_INTENT_LIMIT;
        death.node = cell->node;
        death.execution = cell->execution;
        name_node(evidence->plan, cell->node, death.node_name);
    }
    if (evidence->intent == HZ_INTENT_POISON) /* also when it ended before our signal came */
        snprintf(death.text, sizeof death.text, "%s: %s", hz_intent_text(evidence->intent), evidence->poison ? evidence->poison : "?");
    else if (evidence->intent == HZ_INTENT_LIMIT)
        snprintf(death.text, sizeof death.text, "%s%s", evidence->out_of_memory ? "out of memory: " : "",
                evidence->limit ? evidence->limit : hz_intent_text(evidence->intent));
    else if (ours || death.expected)
        snprintf(death.text, sizeof death.text, "%s%s", evidence->intent == HZ_INTENT_NONE ? "ended after its work" : hz_intent_text(evidence->intent),
                evidence->asked < HZ_COUNT_OF(did) ? did[evidence->asked] : "");
    else if (exited && cell)
        snprintf(death.text, sizeof death.text, "node %s%s%s ended the process with code %d", death.node_name[0] ? "\"" : "",
                death.node_name[0] ? death.node_name : "?", death.node_name[0] ? "\"" : "", death.exit_code);
    else if (exited)
        snprintf(death.text, sizeof death.text, "ended by itself with code %d", death.exit_code);
    else if (death.signal == SIGKILL && evidence->kernel_oom)
        snprintf(death.text, sizeof death.text, "out of memory: killed by the kernel %s", evidence->kernel_oom);
    else if (death.signal == SIGKILL && evidence->oom_rose)
        snprintf(death.text, sizeof death.text, "likely out of memory: killed with SIGKILL, and the kernel's count of such kills rose just now; "
                "it had %.1f MB, which limit it was nobody says without a control group of its own", (double)evidence->rss_bytes / 1048576.0);
    else if (death.signal == SIGKILL)
        snprintf(death.text, sizeof death.text, "killed from outside with SIGKILL, likely by a person or a program: the kernel counted no kill for want of memory");
    else if (is_fault(death.signal))
        say_fault(cell, death.signal, death.text, sizeof death.text);
    else {
        char buf[24];
        snprintf(death.text, sizeof death.text, "killed from outside with %s", hz_attribution_signal(death.signal, buf));
    }
    if (!exited || evidence->intent == HZ_INTENT_LIMIT)
        say_where(&death);
    death.kind = kind_of(evidence, &death, ours, cell != NULL, &death.likely);
    *ret_death = death;
}
