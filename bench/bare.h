/* bare.h - the references of what is durable: bare SQLite with the same rows, and the disk's own fdatasync. */
#ifndef HZ_BENCH_BARE_H
#define HZ_BENCH_BARE_H

#include "bench.h"

/* Rows a second in a new database in `directory` with the tables, indices and settings of the store: each is an insert with its
 * input in one commit and `updates` updates in later ones, the last with its result; 100 rows a commit, WAL, synchronous=FULL, one
 * thread that does nothing else. 0: SQLite failed. */
double hz_bench_bare_rate(const char *directory, uint32_t total, unsigned updates);
/* Median of an append of 4 KiB and its fdatasync in `directory`, ms; 0: the disk failed. */
double hz_bench_sync_ms(const char *directory);

#endif
