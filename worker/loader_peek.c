/*
 * loader_peek.c - the capabilities of a node, read from its file: so that a zygote need not load a library only to learn
 * that it does not want it. ELF, this machine's class and byte order; every offset is checked against the file's size.
 * Source: System V ABI, chapters "Object Files" and "Dynamic Linking".
 */
#include "loader.h"
#include "shm/err.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct image {
    const char *bytes;
    size_t size;
    const ElfW(Shdr) *sections;
    size_t section_count;
};

static const void *at(const struct image *image, uint64_t offset, uint64_t len)
{
    return offset <= image->size && len <= image->size - offset ? image->bytes + offset : NULL;
}

static int open_image(struct image *image)
{
    const ElfW(Ehdr) *head = at(image, 0, sizeof(*head));
    if (!head || memcmp(head->e_ident, ELFMAG, SELFMAG) != 0)
        return hz_err_set(HZ_EREFUSED, "not a shared object");
    if (head->e_ident[EI_CLASS] != (sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32) || head->e_type != ET_DYN)
        return hz_err_set(HZ_EREFUSED, "not a shared object of this machine");
    if (head->e_shentsize != sizeof(ElfW(Shdr)))
        return hz_err_set(HZ_EREFUSED, "no section table");
    image->sections = at(image, head->e_shoff, (uint64_t)head->e_shnum * sizeof(ElfW(Shdr)));
    image->section_count = head->e_shnum;
    return image->sections ? 0 : hz_err_set(HZ_EREFUSED, "truncated");
}

/* File bytes of the dynamic symbol `name`, at least `len` long; NULL: there is none. */
static const void *symbol(const struct image *image, const char *name, uint64_t len)
{
    for (size_t s = 0; s < image->section_count; s++) {
        const ElfW(Shdr) *table = &image->sections[s];
        if (table->sh_type != SHT_DYNSYM || table->sh_link >= image->section_count)
            continue;
        const ElfW(Shdr) *strings = &image->sections[table->sh_link];
        const ElfW(Sym) *symbols = at(image, table->sh_offset, table->sh_size);
        const char *text = at(image, strings->sh_offset, strings->sh_size);
        if (!symbols || !text)
            return NULL;
        for (size_t i = 0; i < table->sh_size / sizeof(*symbols); i++) {
            size_t room = symbols[i].st_name < strings->sh_size ? strings->sh_size - symbols[i].st_name : 0;
            if (symbols[i].st_shndx == SHN_UNDEF || symbols[i].st_shndx >= image->section_count || room <= strlen(name) ||
                    strcmp(text + symbols[i].st_name, name) != 0)
                continue;
            const ElfW(Shdr) *home = &image->sections[symbols[i].st_shndx];
            uint64_t into = symbols[i].st_value - home->sh_addr;
            if (home->sh_type == SHT_NOBITS || into > home->sh_size || len > home->sh_size - into)
                return NULL;
            return at(image, home->sh_offset + into, len);
        }
    }
    return NULL;
}

int hz_loader_peek(const char *file, uint32_t *ret_caps)
{
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return hz_err_set(-errno, "%s", file);
    struct stat st;
    struct image image = {0};
    int r = fstat(fd, &st) != 0 ? -errno : 0;
    void *map = r == 0 && st.st_size > 0 ? mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0) : MAP_FAILED;
    close(fd);
    if (r != 0 || map == MAP_FAILED)
        return hz_err_set(HZ_EREFUSED, "%s cannot be read", file);
    image.bytes = map;
    image.size = (size_t)st.st_size;
    r = open_image(&image);
    if (r == 0) {
        struct hz_node_desc desc;
        const void *bytes = symbol(&image, "hz_node", sizeof(desc));
        if (bytes) {
            memcpy(&desc, bytes, sizeof(desc)); /* its integers need no relocation; its pointers are not looked at */
            *ret_caps = desc.caps;
        } else {
            r = hz_err_set(HZ_EREFUSED, "no symbol `hz_node`");
        }
    }
    (void)munmap(map, (size_t)st.st_size);
    return r != 0 ? hz_err_prefix(r, "%s", file) : 0;
}
