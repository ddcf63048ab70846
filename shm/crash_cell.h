/* crash_cell.h - what a lane leaves for the case of death: where it is (always), and what the fault handler saw. */
#ifndef HZ_SHM_CRASH_CELL_H
#define HZ_SHM_CRASH_CELL_H

#include "base.h"
#include <stdatomic.h>

#define HZ_CRASH_FRAMES  48u
#define HZ_CRASH_MODULES 8u
#define HZ_CRASH_POOL    16u /* blocking threads of a worker */
enum hz_crash_phase { HZ_PHASE_IDLE, HZ_PHASE_NODE, HZ_PHASE_EXPRESSION, HZ_PHASE_HOST };

/* Where a blocking thread is. Written by that thread alone, relaxed: a sample. */
struct hz_crash_place {
    _Atomic uint64_t execution;
    _Atomic uint64_t entered_ns; /* 0: in no node */
    _Atomic uint32_t node;
    _Atomic uint32_t beats;      /* counts entries and exits */
};
/* A shared object that some frame lies in. */
struct hz_crash_module {
    char name[40]; /* file name without folder, NUL-terminated */
    uint64_t base;
};

/* One writer (the lane's thread, or its fault handler); the manager copies it once after the death, or samples the
 * first four cells while it lives. Everything in it is the worker's claim. */
struct hz_crash_cell {
    _Alignas(HZ_CACHE_LINE) _Atomic uint32_t phase; /* enum hz_crash_phase */
    _Atomic uint32_t node;                          /* index in the plan */
    _Atomic uint64_t execution;                     /* the manager's number; 0 = none */
    _Atomic uint64_t entered_ns;                    /* monotonic: when the phase was entered */
    _Atomic uint64_t heartbeat;                     /* counts while work is in hand */
    _Atomic uint64_t input_bytes;
    char pad[HZ_CACHE_LINE - 40];
    /* the fault handler's part, in order of certainty */
    _Atomic uint32_t stage; /* 0 none, 1 signal and registers, 2 frames by frame pointer, 3 frames by unwinder */
    int32_t signal, code;
    uint32_t syscall_nr; /* SIGSYS */
    uint64_t address, pc, sp, fp;
    uint32_t fp_frames, unwind_frames;
    uint64_t fp_stack[HZ_CRASH_FRAMES], unwind_stack[HZ_CRASH_FRAMES];
    char module[128];   /* file of the frame at pc, NUL-terminated */
    uint64_t module_offset;
    char text[256];     /* assertion or abort text if known */
    struct hz_crash_module modules[HZ_CRASH_MODULES];
    uint8_t fp_module[HZ_CRASH_FRAMES], unwind_module[HZ_CRASH_FRAMES]; /* index + 1 into modules, 0: in none of them */
    struct hz_crash_place pool[HZ_CRASH_POOL];                          /* of the first lane's cell only */
};

#endif
