/* symbols.h - from module and offset to the name of a function, by the file's own symbol table. Reads files that nobody trusts: every
 * offset is checked against the file's size. One thread, in the command, never in the manager. */
#ifndef HZ_CORE_CLI_SYMBOLS_H
#define HZ_CORE_CLI_SYMBOLS_H

#include "shm/base.h"

/* "name+0x12" of the function that holds `offset` (an address as the file is linked) in name[size]; false: the file cannot be read or
 * names none. path NULL: the module is looked for among the usual library folders. Cost: one pass over the symbols. */
HZ_MUST_CHECK bool hz_symbols_name(const char *path, const char *module, uint64_t offset, char *name, size_t size);

#endif
