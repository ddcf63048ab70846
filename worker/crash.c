/*
 * crash.c - the fault handler of a worker. It runs on an alternate stack in the thread that faulted and writes into a cell
 * in order of certainty: signal and registers; frames by frame pointer, inside the known stack; frames by the unwinder,
 * which may fault itself. Then the default action follows, so that the wait status tells the truth. Nothing here allocates,
 * locks or opens; a second fault ends the process with what was written so far.
 *
 * Which cell: a lane thread has its own. A blocking thread notes its node for itself and uses the main lane's. A thread
 * that a node made is charged to a lane that is inside a node. `hz_crash_dying` is set first, so that no lane writes over
 * what the handler notes: it waits for the end instead.
 *
 * SIGRTMIN is a question, not a fault: the process is asked where it is, every lane thread is asked in turn (SIGRTMIN + 1)
 * and leaves its frames in its cell; nothing ends.
 */
#include "crash.h"
#include "worker.h"

#include <errno.h>
#include <execinfo.h>
#include <link.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#define MODULES 192u
#define STACK_BYTES 65536u /* untouched pages cost nothing; the unwinder takes about 20 KiB, sanitizers more */

_Atomic uint32_t hz_crash_dying;

static _Thread_local struct hz_crash_cell *own_cell;
static _Thread_local uintptr_t stack_low, stack_high;
static _Thread_local uint32_t noted_node = HZ_NO_NODE;
static _Thread_local uint64_t noted_execution;
static _Thread_local struct hz_crash_place *own_place; /* a blocking thread's */

/* Lane threads, for strangers' faults and for the question. Each entry is written by its thread before it runs node code
 * (release) and read by a handler (acquire). */
static struct {
    _Atomic(struct hz_crash_cell *) cell;
    _Atomic int tid;
} lanes[HZ_MAX_LANES];

/* Written by the loading thread; the count last (release), so that a handler sees whole entries. */
static struct module {
    uintptr_t low, high, base;
    char name[sizeof(((struct hz_crash_cell *)NULL)->module)];
} modules[MODULES];
static _Atomic unsigned module_count;
static uintptr_t main_low, main_high;

void hz_crash_note(uint32_t node, uint64_t execution)
{
    noted_node = node;
    noted_execution = execution;
    if (!own_place)
        return;
    uint32_t beats = atomic_load_explicit(&own_place->beats, memory_order_relaxed);
    atomic_store_explicit(&own_place->node, node, memory_order_relaxed);
    atomic_store_explicit(&own_place->execution, execution, memory_order_relaxed);
    atomic_store_explicit(&own_place->entered_ns, node == HZ_NO_NODE ? 0 : hz_base_now_ns(), memory_order_relaxed);
    atomic_store_explicit(&own_place->beats, beats + 1, memory_order_relaxed);
}

void hz_crash_wait(void)
{
    for (;;)
        pause();
}

static int add_module(struct dl_phdr_info *info, size_t size, void *arg)
{
    unsigned *count = arg;
    (void)size;
    if (*count == MODULES)
        return 1;
    struct module *m = &modules[*count];
    m->low = UINTPTR_MAX;
    m->high = 0;
    m->base = info->dlpi_addr;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        if (p->p_type != PT_LOAD)
            continue;
        m->low = HZ_MIN(m->low, (uintptr_t)(info->dlpi_addr + p->p_vaddr));
        m->high = HZ_MAX(m->high, (uintptr_t)(info->dlpi_addr + p->p_vaddr + p->p_memsz));
    }
    const char *name = info->dlpi_name && *info->dlpi_name ? info->dlpi_name : "horizon-worker", *slash = strrchr(name, '/');
    strncpy(m->name, slash ? slash + 1 : name, sizeof(m->name) - 1);
    m->name[sizeof(m->name) - 1] = '\0';
    ++*count;
    return 0;
}

void hz_crash_modules(void)
{
    unsigned count = 0;
    (void)dl_iterate_phdr(add_module, &count);
    atomic_store_explicit(&module_count, count, memory_order_release);
}

static void name_module(struct hz_crash_cell *cell)
{
    unsigned count = atomic_load_explicit(&module_count, memory_order_acquire);
    for (unsigned i = 0; i < count; i++) {
        if (cell->pc < modules[i].low || cell->pc >= modules[i].high)
            continue;
        memcpy(cell->module, modules[i].name, sizeof(cell->module));
        cell->module_offset = cell->pc - modules[i].base;
        return;
    }
}

/* Index + 1 of the module that `address` lies in, entered into the cell if it is the first; 0: none, or no room. */
static uint8_t note_module(struct hz_crash_cell *cell, uint64_t address, unsigned *used)
{
    unsigned count = atomic_load_explicit(&module_count, memory_order_acquire);
    for (unsigned i = 0; i < count; i++) {
        if (address < modules[i].low || address >= modules[i].high)
            continue;
        for (unsigned k = 0; k < *used; k++)
            if (cell->modules[k].base == modules[i].base)
                return (uint8_t)(k + 1);
        if (*used == HZ_CRASH_MODULES)
            return 0;
        struct hz_crash_module *m = &cell->modules[(*used)++];
        memcpy(m->name, modules[i].name, sizeof(m->name) - 1);
        m->name[sizeof(m->name) - 1] = '\0';
        m->base = modules[i].base;
        return (uint8_t)*used;
    }
    return 0;
}

static void name_frames(struct hz_crash_cell *cell)
{
    unsigned used = 0;
    for (uint32_t i = 0; i < cell->unwind_frames && i < HZ_CRASH_FRAMES; i++)
        cell->unwind_module[i] = note_module(cell, cell->unwind_stack[i], &used);
    for (uint32_t i = 0; i < cell->fp_frames && i < HZ_CRASH_FRAMES; i++)
        cell->fp_module[i] = note_module(cell, cell->fp_stack[i], &used);
}

/* Frames as the compiler links them: [fp] = caller's fp, [fp + 8] = return address. Only inside the stack, only upwards. */
static void walk_frames(struct hz_crash_cell *cell)
{
    uintptr_t fp = cell->fp;
    uint32_t n = 0;
    cell->fp_stack[n++] = cell->pc;
    while (n < HZ_CRASH_FRAMES && fp >= stack_low && fp + 2 * sizeof(fp) <= stack_high && (fp & 7) == 0) {
        uintptr_t next, address;
        memcpy(&next, (const void *)fp, sizeof(next));
        memcpy(&address, (const void *)(fp + sizeof(next)), sizeof(address));
        if (address == 0)
            break;
        cell->fp_stack[n++] = address;
        if (next <= fp)
            break;
        fp = next;
    }
    cell->fp_frames = n;
}

static void walk_unwinder(struct hz_crash_cell *cell)
{
    void *frames[HZ_CRASH_FRAMES];
    int n = backtrace(frames, (int)HZ_CRASH_FRAMES);
    for (int i = 0; i < n; i++)
        cell->unwind_stack[i] = (uintptr_t)frames[i];
    cell->unwind_frames = n < 0 ? 0 : (uint32_t)n;
}

static void read_registers(struct hz_crash_cell *cell, const ucontext_t *context)
{
#if defined(__x86_64__)
    cell->pc = (uint64_t)context->uc_mcontext.gregs[REG_RIP];
    cell->sp = (uint64_t)context->uc_mcontext.gregs[REG_RSP];
    cell->fp = (uint64_t)context->uc_mcontext.gregs[REG_RBP];
#elif defined(__aarch64__)
    cell->pc = context->uc_mcontext.pc;
    cell->sp = context->uc_mcontext.sp;
    cell->fp = context->uc_mcontext.regs[29];
#else
#error "registers of this processor are not known"
#endif
}

/* The cell of a thread that has none of its own: of a lane that is inside a node, else the main lane's. */
static struct hz_crash_cell *borrowed_cell(void)
{
    struct hz_crash_cell *first = atomic_load_explicit(&lanes[0].cell, memory_order_acquire);
    for (unsigned i = 0; i < HZ_MAX_LANES && noted_node == HZ_NO_NODE; i++) {
        struct hz_crash_cell *cell = atomic_load_explicit(&lanes[i].cell, memory_order_acquire);
        if (cell && atomic_load_explicit(&cell->phase, memory_order_relaxed) == HZ_PHASE_NODE)
            return cell;
    }
    if (first && noted_node != HZ_NO_NODE) {
        atomic_store_explicit(&first->node, noted_node, memory_order_relaxed);
        atomic_store_explicit(&first->execution, noted_execution, memory_order_relaxed);
        atomic_store_explicit(&first->phase, HZ_PHASE_NODE, memory_order_relaxed);
    }
    return first;
}

static void write_evidence(struct hz_crash_cell *cell, int number, const siginfo_t *info, const void *context)
{
    cell->signal = number;
    cell->code = info->si_code;
    cell->syscall_nr = number == SIGSYS ? (uint32_t)info->si_syscall : 0;
    cell->address = (uint64_t)(uintptr_t)info->si_addr;
    read_registers(cell, context);
    name_module(cell);
    /* release: whoever sees a stage sees what it promises */
    atomic_store_explicit(&cell->stage, 1, memory_order_release);
    walk_frames(cell);
    cell->unwind_frames = 0;
    name_frames(cell);
    atomic_store_explicit(&cell->stage, 2, memory_order_release);
    walk_unwinder(cell);
    name_frames(cell);
    atomic_store_explicit(&cell->stage, 3, memory_order_release);
}

static void on_fault(int number, siginfo_t *info, void *context)
{
    static _Atomic uint32_t taken;
    if (atomic_exchange(&taken, 1) == 0) { /* the first one is the cause; the rest are consequences */
        atomic_store(&hz_crash_dying, 1);
        const struct timespec moment = {.tv_nsec = 1000000};
        if (!own_cell) /* a lane that had looked at hz_crash_dying just before finishes its stores first */
            (void)nanosleep(&moment, NULL);
        struct hz_crash_cell *cell = own_cell ? own_cell : borrowed_cell();
        if (cell)
            write_evidence(cell, number, info, context);
        if (!own_cell)
            (void)borrowed_cell(); /* noted once more, for a lane that was kept from running all that time */
    }
    /* The handler was reset when it was entered; the signal is blocked until we return, then ends the process. */
    (void)raise(number);
}

/* ---- where is everybody? ---- */

static void on_question(int number, siginfo_t *info, void *context)
{
    int saved = errno;
    (void)info;
    if (number == SIGRTMIN) {
        for (unsigned i = 0; i < HZ_MAX_LANES; i++) {
            int tid = atomic_load_explicit(&lanes[i].tid, memory_order_acquire);
            if (tid != 0)
                (void)syscall(SYS_tgkill, getpid(), tid, SIGRTMIN + 1);
        }
    } else if (own_cell && atomic_load_explicit(&own_cell->phase, memory_order_relaxed) != HZ_PHASE_IDLE &&
               atomic_load(&hz_crash_dying) == 0) {
        write_evidence(own_cell, number, info, context);
    }
    errno = saved;
}

/* ---- set up ---- */

static int stack_bounds(uintptr_t *ret_low, uintptr_t *ret_high)
{
    pthread_attr_t attributes;
    void *base;
    size_t size;
    int err = pthread_getattr_np(pthread_self(), &attributes);
    if (err != 0)
        return -err;
    err = pthread_attr_getstack(&attributes, &base, &size);
    pthread_attr_destroy(&attributes);
    if (err != 0)
        return -err;
    *ret_low = (uintptr_t)base;
    *ret_high = (uintptr_t)base + size;
    return 0;
}

void hz_crash_prepare(void)
{
    void *warm[4];
    (void)backtrace(warm, 4);
    (void)!stack_bounds(&main_low, &main_high); /* without it there are no frames by frame pointer */
    hz_crash_modules();
}

int hz_crash_install(void)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGSYS, SIGTRAP};
    for (size_t i = 0; i < HZ_COUNT_OF(faults); i++) {
        struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK | (int)SA_RESETHAND};
        sigemptyset(&action.sa_mask);
        if (sigaction(faults[i], &action, NULL) != 0)
            return -errno;
    }
    for (int i = 0; i < 2; i++) {
        struct sigaction action = {.sa_sigaction = on_question, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART};
        sigemptyset(&action.sa_mask);
        if (i == 0) /* the thread that takes the question is asked in turn when it is back where it was */
            sigaddset(&action.sa_mask, SIGRTMIN + 1);
        if (sigaction(SIGRTMIN + i, &action, NULL) != 0)
            return -errno;
    }
    return 0;
}

int hz_crash_thread_begin(struct hz_thread *thread)
{
    if (gettid() == getpid() && main_low != 0) { /* asked before the fork, which costs a child nothing */
        stack_low = main_low;
        stack_high = main_high;
    } else {
        (void)!stack_bounds(&stack_low, &stack_high);
    }
    if (thread->lane) {
        own_cell = thread->lane->crash;
        if (thread->index < HZ_MAX_LANES) {
            atomic_store_explicit(&lanes[thread->index].cell, own_cell, memory_order_release);
            atomic_store_explicit(&lanes[thread->index].tid, gettid(), memory_order_release);
        }
    } else if (thread->worker && thread->worker->threads[0] && thread->index >= HZ_MAX_LANES && thread->index - HZ_MAX_LANES < HZ_CRASH_POOL) {
        own_place = &thread->worker->threads[0]->lane->crash->pool[thread->index - HZ_MAX_LANES];
    }
    void *stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (stack == MAP_FAILED)
        return -errno;
    stack_t ss = {.ss_sp = stack, .ss_size = STACK_BYTES};
    if (sigaltstack(&ss, NULL) != 0) {
        int err = -errno;
        (void)munmap(stack, STACK_BYTES);
        return err;
    }
    thread->signal_stack = stack;
    return 0;
}

void hz_crash_thread_end(struct hz_thread *thread)
{
    if (thread->lane && thread->index < HZ_MAX_LANES) {
        atomic_store_explicit(&lanes[thread->index].tid, 0, memory_order_release);
        atomic_store_explicit(&lanes[thread->index].cell, NULL, memory_order_release);
    }
    own_cell = NULL;
    own_place = NULL;
    if (thread->signal_stack) {
        stack_t off = {.ss_flags = SS_DISABLE};
        (void)sigaltstack(&off, NULL);
        (void)munmap(thread->signal_stack, STACK_BYTES);
        thread->signal_stack = NULL;
    }
}
