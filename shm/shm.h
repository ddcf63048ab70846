/* shm.h - the folder's front door: what two processes agree on. */
#ifndef HZ_SHM_H
#define HZ_SHM_H

#include "base.h"
#include "crash_cell.h"
#include "doorbell.h"
#include "err.h"
#include "guard.h"
#include "log.h"
#include "msg.h"
#include "recorder.h"
#include "ring.h"
#include "segment.h"
#include "spawn.h"
#include "stats.h"
#include "stream.h"

#endif
