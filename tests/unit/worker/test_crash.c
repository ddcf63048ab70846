/* test_crash.c - what is left of a thread that died: one child per way to die, its cell in shared memory. */
#include "tests/harness.h"
#include "worker/crash.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define LEFT_OUT "the sanitizer reports the fault in its own way"

static struct hz_crash_cell *cells; /* of two lanes */
static struct hz_lane lanes[2];
static struct hz_thread threads[2], blocking;

HZ_SETUP(crash)
{
    cells = mmap(NULL, 2 * sizeof(*cells), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    HZ_ASSERT_TRUE(cells != MAP_FAILED);
    for (uint32_t i = 0; i < 2; i++) {
        lanes[i].crash = &cells[i];
        threads[i] = (struct hz_thread){.magic = HZ_THREAD_MAGIC, .index = i, .lane = &lanes[i], .now_ns = 1000};
    }
    blocking = (struct hz_thread){.magic = HZ_THREAD_MAGIC, .index = HZ_MAX_LANES};
}

HZ_TEARDOWN(crash)
{
    munmap(cells, 2 * sizeof(*cells));
}

static void (*dying)(void);

static void *die_in_lane(void *arg)
{
    struct hz_thread *thread = arg;
    if (hz_crash_thread_begin(thread) != 0)
        _exit(251);
    if (thread->lane)
        hz_crash_enter(thread, 7, 42);
    else
        hz_crash_note(9, 43);
    dying();
    return NULL;
}

static void *stand_by(void *arg)
{
    struct hz_thread *thread = arg;
    if (hz_crash_thread_begin(thread) != 0)
        _exit(251);
    for (;;) { /* a lane at work must not write over the evidence */
        hz_crash_enter(thread, 1, 1);
        hz_crash_idle(thread);
    }
}

/* The signal that ended a child which dies in lane 0 on its main thread, or in `thread` on another one; -1: none did. */
static int die(void (*fn)(void), struct hz_thread *thread, bool company)
{
    pid_t pid = fork();
    if (pid == 0) {
        struct rlimit none = {0, 0};
        pthread_t id;
        (void)setrlimit(RLIMIT_CORE, &none);
        dying = fn;
        hz_crash_prepare();
        if (hz_crash_install() != 0)
            _exit(250);
        if (company && pthread_create(&id, NULL, stand_by, &threads[0]) != 0)
            _exit(252);
        if (company)
            usleep(20000);
        if (thread && (pthread_create(&id, NULL, die_in_lane, thread) != 0 || pthread_join(id, NULL) != 0))
            _exit(252);
        if (!thread)
            die_in_lane(&threads[0]);
        _exit(0);
    }
    int status;
    return waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) ? WTERMSIG(status) : -1;
}

static volatile int zero;
__attribute__((noinline)) static void null_write(void)
{
    static volatile int *volatile nowhere;
    *nowhere = 1; /* NOLINT(clang-analyzer-core.NullDereference): that is the test */
}
__attribute__((noinline)) static void divide(void)
{
    zero = 7 / zero;
}
__attribute__((noinline)) static void do_abort(void)
{
    abort();
}
__attribute__((noinline)) static int deeper(volatile char *above)
{
    volatile char here[4096];
    here[0] = above ? above[0] : 1;
    return here[0] != 0 ? deeper(here) + here[0] : 0; /* never 0, which the compiler cannot know */
}
__attribute__((noinline)) static void overflow(void)
{
    zero = deeper(NULL);
}
static void bad_jump(void)
{
    void (*volatile nowhere)(void) = (void (*)(void))(uintptr_t)0x10;
    nowhere();
}
static void killed(void)
{
    (void)raise(SIGKILL);
}

static void expect_named(const struct hz_crash_cell *cell, uint32_t node, uint64_t execution)
{
    HZ_ASSERT_EQ(atomic_load(&cell->phase), HZ_PHASE_NODE);
    HZ_ASSERT_EQ(atomic_load(&cell->node), node);
    HZ_ASSERT_EQ(atomic_load(&cell->execution), execution);
}

HZ_TEST(crash, a_null_write_names_node_address_and_module)
{
    if (HZ_TEST_ASAN || HZ_TEST_TSAN)
        HZ_SKIP(LEFT_OUT);
    for (int lane = 0; lane < 2; lane++) {
        struct hz_crash_cell *cell = &cells[lane];
        HZ_ASSERT_EQ(die(null_write, lane ? &threads[1] : NULL, false), SIGSEGV);
        expect_named(cell, 7, 42);
        HZ_ASSERT_EQ(atomic_load(&cell->stage), 3);
        HZ_ASSERT_EQ(cell->signal, SIGSEGV);
        HZ_ASSERT_EQ(cell->address, 0);
        HZ_ASSERT_TRUE(cell->pc != 0);
        HZ_ASSERT_GE(cell->fp_frames, 2);
        HZ_ASSERT_GE(cell->unwind_frames, 3);
        HZ_ASSERT_TRUE(cell->module[0] != 0);
        HZ_ASSERT_GT(cell->module_offset, 0);
    }
}

HZ_TEST(crash, a_division_by_zero_and_an_abort_tell_their_signal)
{
    if (HZ_TEST_ASAN || HZ_TEST_TSAN)
        HZ_SKIP(LEFT_OUT);
    HZ_ASSERT_EQ(die(divide, &threads[0], false), SIGFPE);
    HZ_ASSERT_EQ(cells[0].signal, SIGFPE);
    expect_named(&cells[0], 7, 42);
    memset(cells, 0, 2 * sizeof(*cells));
    HZ_ASSERT_EQ(die(do_abort, NULL, false), SIGABRT);
    HZ_ASSERT_EQ(cells[0].signal, SIGABRT);
    HZ_ASSERT_GE(cells[0].unwind_frames, 3);
}

HZ_TEST(crash, a_stack_overflow_is_seen_on_the_alternate_stack)
{
    if (HZ_TEST_ASAN || HZ_TEST_TSAN)
        HZ_SKIP(LEFT_OUT);
    for (int lane = 0; lane < 2; lane++) {
        struct hz_crash_cell *cell = &cells[lane];
        HZ_ASSERT_EQ(die(overflow, lane ? &threads[1] : NULL, false), SIGSEGV);
        expect_named(cell, 7, 42);
        HZ_ASSERT_GE(atomic_load(&cell->stage), 1);
        HZ_ASSERT_LT(cell->address > cell->sp ? cell->address - cell->sp : cell->sp - cell->address, 65536);
    }
}

HZ_TEST(crash, a_jump_to_nowhere_keeps_at_least_the_first_stage)
{
    if (HZ_TEST_ASAN || HZ_TEST_TSAN)
        HZ_SKIP(LEFT_OUT);
    HZ_ASSERT_EQ(die(bad_jump, NULL, false), SIGSEGV);
    expect_named(&cells[0], 7, 42);
    HZ_ASSERT_GE(atomic_load(&cells[0].stage), 1);
    HZ_ASSERT_EQ(cells[0].pc, 0x10);
}

HZ_TEST(crash, a_kill_from_outside_leaves_the_node_and_no_stage)
{
    HZ_ASSERT_EQ(die(killed, NULL, false), SIGKILL);
    expect_named(&cells[0], 7, 42);
    HZ_ASSERT_EQ(atomic_load(&cells[0].stage), 0);
}

HZ_TEST(crash, a_blocking_threads_fault_is_charged_to_its_node_while_the_lane_works)
{
    if (HZ_TEST_ASAN || HZ_TEST_TSAN)
        HZ_SKIP(LEFT_OUT);
    HZ_ASSERT_EQ(die(null_write, &blocking, true), SIGSEGV);
    expect_named(&cells[0], 9, 43);
    HZ_ASSERT_EQ(cells[0].signal, SIGSEGV);
}

static void *fault_as_stranger(void *arg)
{
    (void)arg;
    null_write();
    return NULL;
}

static void strangers_fault(void)
{
    pthread_t id;
    if (pthread_create(&id, NULL, fault_as_stranger, NULL) == 0)
        (void)pthread_join(id, NULL);
}

HZ_TEST(crash, a_thread_that_a_node_made_is_charged_to_the_node)
{
    if (HZ_TEST_ASAN || HZ_TEST_TSAN)
        HZ_SKIP(LEFT_OUT);
    HZ_ASSERT_EQ(die(strangers_fault, &threads[1], false), SIGSEGV);
    expect_named(&cells[1], 7, 42);
    HZ_ASSERT_EQ(cells[1].signal, SIGSEGV);
}

static void ask_and_die(void)
{
    (void)kill(getpid(), SIGRTMIN);
    for (int i = 0; i < 1000 && atomic_load(&cells[0].stage) != 3; i++)
        usleep(1000);
    (void)raise(SIGKILL);
}

HZ_TEST(crash, the_question_where_everybody_is_leaves_frames_and_ends_nothing)
{
    if (HZ_TEST_TSAN)
        HZ_SKIP("the thread sanitizer delivers signals late");
    HZ_ASSERT_EQ(die(ask_and_die, NULL, false), SIGKILL);
    HZ_ASSERT_EQ(atomic_load(&cells[0].stage), 3);
    HZ_ASSERT_EQ(cells[0].signal, SIGRTMIN + 1);
    HZ_ASSERT_GE(cells[0].unwind_frames, 3);
    expect_named(&cells[0], 7, 42);
}
