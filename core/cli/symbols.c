/* symbols.c - see symbols.h. ELF of this machine's word size; .symtab where it was not stripped, else .dynsym. */
#include "symbols.h"

#include <elf.h>
#include <fcntl.h>
#include <inttypes.h>
#include <link.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct file {
    const unsigned char *data;
    size_t size;
};

/* `len` bytes at `offset`, NULL if they are not all in the file. */
static const void *part(const struct file *file, uint64_t offset, uint64_t len)
{
    return offset <= file->size && len <= file->size - offset ? file->data + offset : NULL;
}

static bool map_file(const char *path, struct file *ret)
{
    struct stat info;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    bool ok = fd >= 0 && fstat(fd, &info) == 0 && S_ISREG(info.st_mode) && info.st_size >= (off_t)sizeof(ElfW(Ehdr));
    void *data = ok ? mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0) : MAP_FAILED;
    if (fd >= 0)
        close(fd);
    if (data == MAP_FAILED)
        return false;
    *ret = (struct file){data, (size_t)info.st_size};
    return true;
}

static bool look_up(const struct file *file, const ElfW(Shdr) *table, const ElfW(Shdr) *strings, uint64_t offset, char *name, size_t size)
{
    uint64_t count = table->sh_size / sizeof(ElfW(Sym)), best = UINT64_MAX;
    const char *texts = part(file, strings->sh_offset, strings->sh_size), *found = NULL;
    if (!texts || !part(file, table->sh_offset, count * sizeof(ElfW(Sym))))
        return false;
    for (uint64_t i = 0; i < count; i++) {
        ElfW(Sym) symbol;
        memcpy(&symbol, file->data + table->sh_offset + i * sizeof symbol, sizeof symbol);
        if (ELF64_ST_TYPE(symbol.st_info) != STT_FUNC || symbol.st_value == 0 || symbol.st_value > offset || symbol.st_name >= strings->sh_size)
            continue;
        uint64_t distance = offset - symbol.st_value;
        if (distance < best && (symbol.st_size == 0 ? distance < 4096 : distance < symbol.st_size)) {
            best = distance;
            found = texts + symbol.st_name;
        }
    }
    if (!found)
        return false;
    size_t room = (size_t)(texts + strings->sh_size - found);
    snprintf(name, size, "%.*s+0x%" PRIx64, (int)HZ_MIN(strnlen(found, room), (size_t)120), found, best);
    for (char *p = name; *p; p++)
        if ((unsigned char)*p < 0x20 || (unsigned char)*p >= 0x7f)
            *p = '?';
    return true;
}

static bool search_file(const struct file *file, uint64_t offset, char *name, size_t size)
{
    ElfW(Ehdr) head;
    memcpy(&head, file->data, sizeof head);
    if (memcmp(head.e_ident, ELFMAG, SELFMAG) != 0 || head.e_ident[EI_CLASS] != (sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32) ||
            head.e_shentsize != sizeof(ElfW(Shdr)) || !part(file, head.e_shoff, (uint64_t)head.e_shnum * sizeof(ElfW(Shdr))))
        return false;
    static const uint32_t kinds[] = {SHT_SYMTAB, SHT_DYNSYM};
    for (size_t k = 0; k < HZ_COUNT_OF(kinds); k++) {
        for (unsigned i = 0; i < head.e_shnum; i++) {
            ElfW(Shdr) table, strings;
            memcpy(&table, file->data + head.e_shoff + i * sizeof table, sizeof table);
            if (table.sh_type != kinds[k] || table.sh_link >= head.e_shnum)
                continue;
            memcpy(&strings, file->data + head.e_shoff + table.sh_link * sizeof strings, sizeof strings);
            if (look_up(file, &table, &strings, offset, name, size))
                return true;
        }
    }
    return false;
}

bool hz_symbols_name(const char *path, const char *module, uint64_t offset, char *name, size_t size)
{
    static const char *const folders[] = {"/lib/x86_64-linux-gnu", "/lib/aarch64-linux-gnu", "/usr/lib/x86_64-linux-gnu",
            "/usr/lib/aarch64-linux-gnu", "/lib64", "/usr/lib64", "/usr/local/lib", "/lib", "/usr/lib"};
    struct file file;
    char text[512];
    bool mapped = path && map_file(path, &file);
    for (size_t i = 0; !path && !mapped && !strchr(module, '/') && i < HZ_COUNT_OF(folders); i++) {
        snprintf(text, sizeof text, "%s/%s", folders[i], module);
        mapped = map_file(text, &file);
    }
    if (!mapped)
        return false;
    bool found = search_file(&file, offset, name, size);
    munmap((void *)(uintptr_t)file.data, file.size);
    return found;
}
