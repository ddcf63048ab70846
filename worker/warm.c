/*
 * warm.c - see warm.h. Worker that is a spare, its main thread, behind the sandbox. A fork copies no page table entries of files and
 * write-protects the rest, so a fresh process faults once for each piece of code and each variable's page it comes to: measured, two
 * thirds of the time between a flow's arrival and "ready".
 */
#include "warm.h"

#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif

#define PAGE ((uintptr_t)4096)
#define STACK_BYTES (32u << 10)
#define HEAP_BYTES (96u << 10)   /* below the allocator's threshold for mappings of their own */
#define RING_BYTES (12u << 10)   /* of the command ring, and of a lane: what a start and a first execution use */

static void populate(uintptr_t low, uintptr_t high, int advice)
{
    low &= ~(PAGE - 1);
    high = HZ_ALIGN_UP(high, PAGE);
    if (low < high)
        (void)madvise((void *)low, high - low, advice); /* advice: faults do the same later */
}

static int on_object(struct dl_phdr_info *info, size_t size, void *arg)
{
    uintptr_t relro_low = 0, relro_high = 0;
    (void)size;
    (void)arg;
    const char *name = info->dlpi_name ? info->dlpi_name : "";
    if (*name && !strstr(name, "/libc.so") && !strstr(name, "/libuv.so"))
        return 0;
    for (int i = 0; i < info->dlpi_phnum; i++)
        if (info->dlpi_phdr[i].p_type == PT_GNU_RELRO) {
            relro_low = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
            relro_high = relro_low + info->dlpi_phdr[i].p_memsz;
        }
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[i];
        uintptr_t low = info->dlpi_addr + part->p_vaddr, high = low + part->p_memsz;
        if (part->p_type != PT_LOAD)
            continue;
        if ((part->p_flags & PF_W) == 0)
            populate(low, high, MADV_POPULATE_READ);
        else /* the front of it may be write-protected since relocation, and is shared with the zygote as it is */
            populate(relro_low >= (low & ~(PAGE - 1)) && relro_high <= high ? relro_high : low, high, MADV_POPULATE_WRITE);
    }
    return 0;
}

static void touch(volatile char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i += PAGE)
        bytes[i] = 0;
}

static __attribute__((noinline)) void touch_stack(void)
{
    volatile char bytes[STACK_BYTES];
    touch(bytes, sizeof(bytes));
}

void hz_warm_up(struct hz_worker *worker)
{
    (void)dl_iterate_phdr(on_object, NULL);
    touch_stack();
    char *bytes = malloc(HEAP_BYTES);
    if (bytes)
        touch(bytes, HEAP_BYTES);
    free(bytes);
    uintptr_t base = (uintptr_t)worker->segment.base, stats = (uintptr_t)worker->segment.lanes[0].stats;
    populate(base, base + RING_BYTES, MADV_POPULATE_WRITE);
    populate(stats, stats + RING_BYTES, MADV_POPULATE_WRITE);
}
