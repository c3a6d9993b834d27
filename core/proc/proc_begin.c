/* SPDX-License-Identifier: MIT */
/*
 * core/proc/proc_begin.c - what a process begins with: its regions, its arguments, its registers
 *
 *   with four levels                             with five, slot 1 begins at 0x1'0000'0000'0000
 *   0x0000'0080'0000'0000  the file's segments   read, and copied page by page when written
 *   behind them            the heap, empty
 *   ...
 *   below the end          the stack, 8 MiB at most, a guard page below; arguments at its top
 *   0x0000'7fff'ffff'f000  end: the last page stays empty, so that no SYSCALL returns to what isn't canonical
 *
 * Nothing is loaded here: pages come by faults. The arguments are the first; the process writes them itself.
 */
#include "core/proc/elf.h"
#include "core/proc/proc_inside.h"
#include "core/proc/uaccess.h"
#include "core/str.h"
#include "core/x86/gdt.h"
#include "core/x86/paging.h"
#include "core/x86/user.h"
#include "mm/heap_kernel.h"

#define STACK_BYTES_MAX (8 * MIB)
#define RFLAGS_START    ((uint64_t)1 << 9 | 2) /* IF, and the bit that is always 1 */
#define RING3           3u

static uint64_t program_base(void) { return slot_base(SLOT_PROCESS, kernel_pt.levels).raw; }
static uint64_t stack_top(void) { return uaccess_user_end() - PAGE_SIZE; }

/* ---- files ------------------------------------------------------------------------------------- */

/* The image's frames are not in the direct map, where mm/ reads a file to copy from it: these are, read-only */
static err_t map_directly(const struct program *program, pa_t where)
{
    va_t at = va_of(port_ptr(where));
    pa_t there;

    if (pt_translate(&kernel_pt, at, &there) == ERR_OK)
        return ERR_OK;
    return pt_map(&kernel_pt, at, pa_to_pfn(where), align_up(program->n_bytes, PAGE_SIZE) >> PAGE_SHIFT, PTE_G | PTE_NX,
                  NULL);
}

/* A program's file as what can be mapped; made once, since the program stays for ever */
struct known_file {
    const struct program *program;
    struct image_file     file;
    struct known_file    *next;
};

static struct {
    struct irqlock     lock;
    struct known_file *first; /* [lock] */
} files = { .lock = IRQLOCK("program files", 7) };

static struct known_file *known(const struct program *program) REQUIRES(&files.lock)
{
    struct known_file *k = files.first;

    while (k != NULL && k->program != program)
        k = k->next;
    return k;
}

err_t proc_file(const struct program *program, const struct image_file **out)
{
    pa_t  where;
    err_t err = pt_translate(&kernel_pt, va_of(program->bytes), &where);

    if (err == ERR_OK)
        err = map_directly(program, where);
    if (err != ERR_OK)
        return err;
    uint64_t           irq = irqlock_take(&files.lock);
    struct known_file *k = known(program);

    if (k == NULL && (k = heap_alloc(kernel_heap, sizeof *k)) != NULL) {
        *k = (struct known_file){ program, { program->name, pa_to_pfn(where), program->n_bytes }, files.first };
        files.first = k;
    }
    irqlock_drop(&files.lock, irq);
    if (k != NULL)
        *out = &k->file;
    return k != NULL ? ERR_OK : ERR_NOMEM;
}

/* ---- the space --------------------------------------------------------------------------------- */

static err_t add_segment(struct as *as, const struct image_file *file, const struct elf_segment *s)
{
    uint64_t           inside = s->address % PAGE_SIZE;
    struct region_want want = {
        .start = va(program_base() + s->address - inside),
        .n_pages = align_up(inside + s->mem_bytes, PAGE_SIZE) >> PAGE_SHIFT,
        .kind = s->file_bytes == 0 ? REGION_ANON : REGION_IMAGE,
        .prot = s->prot,
        .file = s->file_bytes == 0 ? NULL : file,
        .offset = s->offset - inside,
        .file_bytes = inside + s->file_bytes,
    };
    va_t at;

    return as_region_add(as, &want, &at);
}

static err_t add_stack(struct as *as)
{
    uint64_t           n_pages = (STACK_BYTES_MAX >> PAGE_SHIFT) + 1;
    struct region_want want = { .start = va(stack_top() - (n_pages << PAGE_SHIFT)), .n_pages = n_pages,
                                .kind = REGION_STACK, .prot = REGION_R | REGION_W };
    va_t               at;

    return as_region_add(as, &want, &at);
}

static err_t lay_out(struct as *as, const struct image_file *file, const struct elf_image *image)
{
    err_t err = ERR_OK;

    for (unsigned i = 0; i < image->n_segments && err == ERR_OK; i++)
        err = add_segment(as, file, &image->segment[i]);
    as_heap_at(as, va(program_base() + align_up(image->end, PAGE_SIZE)));
    return err == ERR_OK ? add_stack(as) : err;
}

static void set_registers(struct process *p, uint64_t entry)
{
    p->start = (struct trap_frame){ .rip = program_base() + entry, .cs = SEL_USER_CODE | RING3, .rflags = RFLAGS_START,
                                    .ss = SEL_USER_DATA | RING3 };
}

/* ---- arguments --------------------------------------------------------------------------------- */

static err_t args_new(unsigned argc, const char *const argv[], struct proc_args **out)
{
    struct proc_args *a = argc <= PROC_ARGS_MAX ? heap_alloc(kernel_heap, sizeof *a) : NULL;
    err_t             err = ERR_OK;

    if (a == NULL)
        return argc <= PROC_ARGS_MAX ? ERR_NOMEM : ERR_INVAL;
    a->n = argc;
    a->n_bytes = 0;
    for (unsigned i = 0; i < argc && err == ERR_OK; i++) {
        size_t n = strlen(argv[i]) + 1;

        err = n <= sizeof a->text - a->n_bytes ? ERR_OK : ERR_INVAL;
        if (err != ERR_OK)
            break;
        a->start[i] = (uint16_t)a->n_bytes;
        memcpy(a->text + a->n_bytes, argv[i], n);
        a->n_bytes += n;
    }
    if (err != ERR_OK)
        (void)!heap_free(kernel_heap, a);
    else
        *out = a;
    return err;
}

/* The strings at the top of the stack, below them the array of their addresses, then RSP, a multiple of 16 */
static err_t push_args(struct process *p)
{
    const struct proc_args *a = p->args;
    uint64_t                pointer[PROC_ARGS_MAX + 1], strings = stack_top() - align_up(a->n_bytes, 16);
    uint64_t                rsp = align_down(strings - (a->n + 1) * sizeof *pointer, 16);

    for (unsigned i = 0; i < a->n; i++)
        pointer[i] = strings + a->start[i];
    pointer[a->n] = 0;
    p->start.rsp = rsp;
    p->start.rdi = a->n;
    p->start.rsi = rsp;
    err_t err = copy_to_user(uva(strings), a->text, a->n_bytes);

    return err == ERR_OK ? copy_to_user(uva(rsp), pointer, (a->n + 1) * sizeof *pointer) : err;
}

/* ---- beginning --------------------------------------------------------------------------------- */

static void begin_program(void *arg)
{
    struct process *p = arg;

    if (push_args(p) != ERR_OK && !p->thread->killed)
        proc_exit(PROC_STATUS_NOMEM, "out of memory at its start");
    (void)!heap_free(kernel_heap, p->args);
    p->args = NULL;
    proc_enter(p);
}

static void begin_fork(void *arg) { proc_enter(arg); }

void proc_enter(struct process *p)
{
    cpu_cli();
    user_attention();
    trap_return(&p->start);
}

/* Everything of a process but its thread; `out` has a space if ERR_OK */
static err_t load(const struct proc_want *want, const struct program *program, const struct elf_image *image,
                  struct process *p)
{
    const struct image_file *file;
    err_t                    err = proc_file(program, &file);

    if (err == ERR_OK)
        err = args_new(want->argc, want->argv, &p->args);
    if (err != ERR_OK)
        return err;
    err = as_create(&p->as);
    if (err == ERR_OK) {
        p->limit_pages = want->limit_pages;
        as_limit(&p->as, p->limit_pages);
        err = lay_out(&p->as, file, image);
        if (err == ERR_OK)
            set_registers(p, image->entry);
        else
            as_destroy(&p->as);
    }
    if (err != ERR_OK)
        (void)!heap_free(kernel_heap, p->args);
    return err;
}

err_t proc_spawn(const struct proc_want *want, unsigned *pid, const char **why)
{
    const struct program *program = program_find(want->name);
    struct elf_image      image;
    struct process       *p;
    err_t                 err = program == NULL ? ERR_NOENT : elf_read(program->bytes, program->n_bytes, &image, why);

    if (err == ERR_OK)
        err = proc_new(want->name, want->parent, &p);
    if (err != ERR_OK)
        return err;
    err = load(want, program, &image, p);
    if (err == ERR_OK) {
        *pid = p->pid; /* it may be gone before proc_go() returns */
        err = proc_go(p, begin_program);
        if (err == ERR_OK)
            return ERR_OK;
        as_destroy(&p->as);
        (void)!heap_free(kernel_heap, p->args);
    }
    proc_drop(p);
    return err;
}

err_t proc_fork(const struct trap_frame *f, unsigned *pid)
{
    struct process *parent = proc_this(), *p;
    err_t           err = proc_new(parent->name, parent, &p);

    if (err != ERR_OK)
        return err;
    p->start = *f;
    p->start.rax = 0;
    p->handler = parent->handler;
    p->handler_stack = parent->handler_stack;
    p->in_handler = parent->in_handler;
    p->limit_pages = parent->limit_pages;
    err = as_fork(&p->as, &parent->as);
    if (err == ERR_OK) {
        as_limit(&p->as, p->limit_pages);
        *pid = p->pid;
        err = proc_go(p, begin_fork);
        if (err == ERR_OK)
            return ERR_OK;
        as_destroy(&p->as);
    }
    proc_drop(p);
    return err;
}
