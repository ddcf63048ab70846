/*
 * guard.c - the SIGBUS handler of processes that map what a hostile worker can truncate. Any thread; the handler itself
 * uses nothing but atomics and one system call.
 *
 * Rules
 *   1. a table of fixed size; no lock, no allocation, no log in the handler; one raw mmap (fixed, private, anonymous,
 *      no reserve) over the whole mapping, errno saved, then return - never a longjmp: the fault may lie inside a
 * library call that holds a lock, and returning lets it finish on zeros;
 *   2. only a fault the kernel reports as "no such page" at an address inside a registered mapping; anything else gets
 *      the default action and dies honestly;
 *   3. two threads may fault together: a compare-and-swap on the slot's state decides who maps; the loser returns and
 *      faults again until the pages are there;
 *   4. poisoned is a state that the owner asks, not an event;
 *   5. the slot outlives the mapping's last reader (the caller's promise, see hz_guard_remove()).
 *
 * Synchronisation, per slot
 *   state      FREE -> FILLING (compare-and-swap by add) -> LIVE (release: base and len are visible first) -> MAPPING
 *              (compare-and-swap by the handler) -> POISONED (release: after the new pages are there); remove stores
 * FREE. base, len  stored by add while FILLING, loaded by handlers that saw (acquire) LIVE or later. A handler that
 * races with remove cannot exist by rule 5, for this mapping; for another one a mixed pair is harmless, as both halves
 *              are compared with a fault address and the state must still be LIVE for the compare-and-swap.
 *   high       highest slot ever used + 1, only grows: bounds the search.
 */
#include "guard.h"
#include "err.h"

#include <ck_pr.h>
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum state { FREE, FILLING, LIVE, MAPPING, POISONED };

struct slot {
    _Atomic uint32_t state;
    _Atomic uintptr_t base;
    _Atomic size_t len;
};

static struct slot slots[HZ_GUARD_SLOTS];
static _Atomic uint32_t high;
static _Atomic uint64_t faults;

/* The state that rule 3 leaves us in for the address; FREE: not ours. */
static bool cover(uintptr_t address)
{
    uint32_t count = atomic_load_explicit(&high, memory_order_acquire);
    for (uint32_t i = 0; i < count; i++) {
        struct slot *slot = &slots[i];
        uint32_t state = atomic_load_explicit(&slot->state, memory_order_acquire);
        if (state < LIVE)
            continue;
        uintptr_t base = atomic_load_explicit(&slot->base, memory_order_relaxed);
        size_t len = atomic_load_explicit(&slot->len, memory_order_relaxed);
        if (address < base || address - base >= len)
            continue;
        if (state != LIVE) {
            ck_pr_stall();
            return true; /* another thread maps or has mapped: fault again, or go on */
        }
        if (!atomic_compare_exchange_strong_explicit(
                    &slot->state, &state, MAPPING, memory_order_acq_rel, memory_order_acquire))
            return state > LIVE;
        long result = syscall(SYS_mmap, base, len, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0L);
        if (result == -1)
            return false; /* no pages to go on with */
        atomic_fetch_add_explicit(&faults, 1, memory_order_relaxed);
        atomic_store_explicit(&slot->state, POISONED, memory_order_release);
        return true;
    }
    return false;
}

static void on_sigbus(int signal_number, siginfo_t *info, void *context)
{
    (void)context;
    int saved = errno;
    if (info->si_code != BUS_ADRERR || !cover((uintptr_t)info->si_addr)) {
        struct sigaction standard = {.sa_handler = SIG_DFL};
        sigaction(signal_number, &standard, NULL);
        /* A fault comes again by itself; a signal that somebody sent does not. */
        if (info->si_code <= 0)
            raise(signal_number);
    }
    errno = saved;
}

int hz_guard_install(void)
{
    struct sigaction action = {.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART};
    action.sa_sigaction = on_sigbus;
    sigemptyset(&action.sa_mask);
    return sigaction(SIGBUS, &action, NULL) == 0 ? 0 : hz_err_set(-errno, "cannot install the handler of SIGBUS");
}

int hz_guard_add(const void *base, size_t len)
{
    HZ_ASSERT(base != NULL && len > 0);
    for (uint32_t i = 0; i < HZ_GUARD_SLOTS; i++) {
        struct slot *slot = &slots[i];
        uint32_t state = FREE;
        if (atomic_load_explicit(&slot->state, memory_order_relaxed) != FREE ||
                !atomic_compare_exchange_strong_explicit(
                        &slot->state, &state, FILLING, memory_order_acq_rel, memory_order_relaxed))
            continue;
        atomic_store_explicit(&slot->base, (uintptr_t)base, memory_order_relaxed);
        atomic_store_explicit(&slot->len, len, memory_order_relaxed);
        uint32_t seen = atomic_load_explicit(&high, memory_order_relaxed);
        while (seen < i + 1 && !atomic_compare_exchange_weak_explicit(
                                       &high, &seen, i + 1, memory_order_release, memory_order_relaxed)) {
        }
        atomic_store_explicit(&slot->state, LIVE, memory_order_release);
        return (int)i;
    }
    return hz_err_set(HZ_ELIMIT, "more than %d segments are mapped at once", HZ_GUARD_SLOTS);
}

static struct slot *slot_of(int slot)
{
    HZ_ASSERT(slot >= 0 && slot < HZ_GUARD_SLOTS);
    return &slots[slot];
}

bool hz_guard_poisoned(int slot)
{
    return atomic_load_explicit(&slot_of(slot)->state, memory_order_acquire) >= MAPPING;
}

void hz_guard_remove(int slot)
{
    struct slot *entry = slot_of(slot);
    HZ_ASSERT(atomic_load_explicit(&entry->state, memory_order_relaxed) >= LIVE);
    atomic_store_explicit(&entry->state, FREE, memory_order_release);
}

uint64_t hz_guard_faults(void)
{
    return atomic_load_explicit(&faults, memory_order_relaxed);
}
