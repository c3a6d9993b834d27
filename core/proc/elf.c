/* SPDX-License-Identifier: MIT */
/*
 * core/proc/elf.c - reading a program's file: decide everything here, so that mapping cannot go wrong
 *
 * Promise     What elf_read() accepts can be mapped blindly: every byte named lies in the file, every
 *             segment in [0, ELF_BYTES_MAX), no two share a page, none is writable and executable.
 *
 * Picture     file      | header | headers |  text ...   |  data ..|
 *             offset    0        64         0x1000        0x3000   0x3a10
 *                                             |              |
 *             memory                       [ text R X ]   [ data R W | zero .... ]
 *             address                       0x1000        0x4000     0x4a10
 *
 *             A page of memory is a page of the file: offset and address are equal modulo 4096.
 *
 * Failure     One sentence, and nothing is written. The file is somebody else's: every number in it is
 *             checked before it is added to another.
 * Sources     System V ABI (gABI) "ELF Header", "Program Header"; AMD64 supplement "Program Loading"
 */
#include "core/proc/elf.h"

#include "core/proc/abi.h"

#define ET_DYN       3u
#define ET_EXEC      2u
#define EM_X86_64    62u
#define PT_LOAD      1u
#define PT_INTERP    3u
#define PT_TLS       7u
#define PT_GNU_STACK 0x6474E551u
#define PF_X         1u
#define PF_W         2u
#define PF_R         4u
#define ALIGN_MAX    (2 * MIB) /* where programs are put is a multiple of this */

struct ehdr {
    uint8_t  magic[4], class, data, ident_version, abi, abi_version, pad[7];
    uint16_t type, machine;
    uint32_t version;
    uint64_t entry, phoff, shoff;
    uint32_t flags;
    uint16_t ehsize, phentsize, phnum, shentsize, shnum, shstrndx;
};
_Static_assert(sizeof(struct ehdr) == 64, "gABI \"ELF Header\"");

struct phdr {
    uint32_t type, flags;
    uint64_t offset, vaddr, paddr, filesz, memsz, align;
};
_Static_assert(sizeof(struct phdr) == 56, "gABI \"Program Header\"");

struct reader {
    const uint8_t   *bytes;
    uint64_t         n_bytes;
    struct ehdr      h;
    struct elf_image image;
    const char      *why;
};

static err_t refuse(struct reader *r, err_t err, const char *why)
{
    r->why = why;
    return err;
}

static err_t damaged(struct reader *r, const char *why) { return refuse(r, ERR_CORRUPT, why); }
static err_t not_ours(struct reader *r, const char *why) { return refuse(r, ERR_NOSYS, why); }

/* inside - does [offset, offset + n) lie in the file, without the sum running over? */
static bool inside(const struct reader *r, uint64_t offset, uint64_t n)
{
    return offset <= r->n_bytes && n <= r->n_bytes - offset;
}

static err_t read_header(struct reader *r)
{
    const struct ehdr *h = &r->h;

    if (r->n_bytes < sizeof *h)
        return damaged(r, "shorter than an ELF header");
    __builtin_memcpy(&r->h, r->bytes, sizeof *h);
    if (__builtin_memcmp(h->magic, "\177ELF", 4) != 0)
        return damaged(r, "no ELF file");
    if (h->class != 2)
        return not_ours(r, "not a 64-bit file");
    if (h->data != 1)
        return not_ours(r, "not a little-endian file");
    if (h->ident_version != 1 || h->version != 1)
        return not_ours(r, "an unknown version of ELF");
    if (h->abi != 0 || h->abi_version != 0)
        return not_ours(r, "made for another system");
    if (h->machine != EM_X86_64)
        return not_ours(r, "made for another machine than x86-64");
    if (h->type == ET_EXEC)
        return not_ours(r, "linked to fixed addresses: link it with -static -pie");
    if (h->type != ET_DYN)
        return not_ours(r, "no executable");
    if (h->ehsize != sizeof *h || h->phentsize != sizeof(struct phdr))
        return damaged(r, "headers of an impossible size");
    if (h->phnum == 0)
        return damaged(r, "without program headers");
    if (!inside(r, h->phoff, h->phnum * sizeof(struct phdr)))
        return damaged(r, "program headers outside the file");
    return ERR_OK;
}

/* check_load - one PT_LOAD by itself */
static err_t check_load(struct reader *r, const struct phdr *p)
{
    if (p->filesz > p->memsz)
        return damaged(r, "a segment with more bytes in the file than in memory");
    if (!inside(r, p->offset, p->filesz))
        return damaged(r, "a segment outside the file");
    if (p->vaddr > ELF_BYTES_MAX || p->memsz > ELF_BYTES_MAX - p->vaddr)
        return damaged(r, "a segment beyond the largest program");
    if (p->vaddr % PAGE_SIZE != p->offset % PAGE_SIZE)
        return damaged(r, "a segment whose address and offset do not lie alike in a page");
    if (p->align < PAGE_SIZE || (p->align & (p->align - 1)) != 0 || p->align > ALIGN_MAX ||
        (p->vaddr - p->offset) % p->align != 0)
        return damaged(r, "a segment of an impossible alignment");
    if ((p->flags & ~(PF_R | PF_W | PF_X)) != 0 || (p->flags & PF_R) == 0)
        return not_ours(r, "a segment with rights that pages do not have");
    if ((p->flags & PF_W) != 0 && (p->flags & PF_X) != 0)
        return not_ours(r, "a segment that is writable and executable");
    return ERR_OK;
}

static err_t add_load(struct reader *r, const struct phdr *p)
{
    struct elf_image *image = &r->image;
    err_t             err = check_load(r, p);

    if (err != ERR_OK)
        return err;
    if (p->memsz == 0)
        return ERR_OK;
    if (image->n_segments == ELF_SEGMENTS_MAX)
        return not_ours(r, "more than 8 segments");
    if (align_down(p->vaddr, PAGE_SIZE) < image->end)
        return damaged(r, "segments that overlap, share a page, or come in the wrong order");
    image->segment[image->n_segments++] = (struct elf_segment){
        .address = p->vaddr,
        .offset = p->offset,
        .file_bytes = p->filesz,
        .mem_bytes = p->memsz,
        .prot = PROT_READ | (p->flags & PF_W ? PROT_WRITE : 0) | (p->flags & PF_X ? PROT_EXEC : 0),
    };
    image->end = align_up(p->vaddr + p->memsz, PAGE_SIZE);
    return ERR_OK;
}

static err_t read_one(struct reader *r, const struct phdr *p)
{
    switch (p->type) {
    case PT_LOAD:
        return add_load(r, p);
    case PT_INTERP:
        return not_ours(r, "it asks for a dynamic linker: link it with -static -pie");
    case PT_TLS:
        return not_ours(r, "it has thread-local data");
    case PT_GNU_STACK:
        return p->flags & PF_X ? not_ours(r, "it asks for an executable stack") : ERR_OK;
    default: /* PT_DYNAMIC, PT_GNU_RELRO, notes: the program's own business */
        return ERR_OK;
    }
}

static bool is_code(const struct elf_image *image, uint64_t address)
{
    for (unsigned i = 0; i < image->n_segments; i++) {
        const struct elf_segment *s = &image->segment[i];

        if ((s->prot & PROT_EXEC) != 0 && address >= s->address && address - s->address < s->file_bytes)
            return true;
    }
    return false;
}

static err_t read_all(struct reader *r)
{
    err_t err = read_header(r);

    for (unsigned i = 0; err == ERR_OK && i < r->h.phnum; i++) {
        struct phdr p;

        __builtin_memcpy(&p, r->bytes + r->h.phoff + i * sizeof p, sizeof p);
        err = read_one(r, &p);
    }
    if (err != ERR_OK)
        return err;
    if (r->image.n_segments == 0)
        return damaged(r, "nothing to load");
    if (!is_code(&r->image, r->h.entry))
        return damaged(r, "its entry lies in no executable segment");
    r->image.entry = r->h.entry;
    return ERR_OK;
}

err_t elf_read(const void *bytes, size_t n_bytes, struct elf_image *out, const char **why)
{
    struct reader r = { .bytes = bytes, .n_bytes = n_bytes };
    err_t         err = read_all(&r);

    if (err == ERR_OK)
        *out = r.image;
    else if (why != NULL)
        *why = r.why;
    return err;
}
