/* SPDX-License-Identifier: MIT */
/* core/console/cmd_proc.c - processes: run, ps, kill, regions, picture */
#include "core/console/commands.h"
#include "core/console/input.h"
#include "core/fmt.h"
#include "core/log.h"
#include "core/proc/proc.h"
#include "core/str.h"
#include "core/x86/time.h"

#define LIMIT_OPTION "-m"

static err_t read_pid(const char *text, unsigned *out)
{
    uint64_t n;
    err_t    err = fmt_read_u64(text, &n);

    if (err != ERR_OK || n == 0 || n >= PROC_MAX)
        return err != ERR_OK ? err : ERR_NOENT;
    *out = (unsigned)n;
    return ERR_OK;
}

/* ---- run, kill, ps ------------------------------------------------------------------------------- */

static unsigned foreground; /* pid of the program that the console waits for */

static void kill_foreground(void) { (void)!proc_kill(&proc_console, foreground); }

static err_t await(unsigned pid)
{
    struct proc_end end;
    err_t           err;

    foreground = pid;
    input_on_break(kill_foreground);
    err = proc_wait(&proc_console, pid, &end);
    input_on_break(NULL);
    if (err != ERR_OK)
        return err;
    kprintf("%s: %s\n", end.name, end.words);
    if (end.status != 0)
        shell_failed(); /* the line above says it all */
    return ERR_OK;
}

static err_t run(unsigned argc, char *argv[])
{
    struct proc_want want = { .parent = &proc_console };
    uint64_t         limit = 0;
    const char      *why = NULL;
    unsigned         pid, first = 1;

    if (argc > 2 && strcmp(argv[1], LIMIT_OPTION) == 0) {
        if (fmt_read_u64(argv[2], &limit) != ERR_OK || limit < PAGE_SIZE)
            return ERR_SYNTAX;
        first = 3;
    }
    if (argc > first + 1 && strcmp(argv[argc - 1], "&") == 0) {
        want.parent = PROC_REAPER;
        argc--;
    }
    if (argc <= first)
        return ERR_SYNTAX;
    want.name = argv[first];
    want.argc = argc - first;
    want.argv = (const char *const *)&argv[first];
    want.limit_pages = limit >> PAGE_SHIFT;
    err_t err = proc_spawn(&want, &pid, &why);

    if (err != ERR_OK) {
        kprintf("%s: %s\n", want.name, err == ERR_NOENT ? "no such program, \"programs\" lists them"
                                      : why != NULL     ? why
                                                        : err_str(err));
        return err;
    }
    if (want.parent == &proc_console)
        return await(pid);
    kprintf("%s: process %u\n", want.name, pid);
    return ERR_OK;
}

static err_t kill(unsigned argc, char *argv[])
{
    unsigned pid;
    err_t    err = argc == 2 ? read_pid(argv[1], &pid) : ERR_SYNTAX;

    return err == ERR_OK ? proc_kill(&proc_console, pid) : err;
}

static void print_process(const struct proc_info *p)
{
    char size[3][FMT_SIZE_BYTES];

    if (p->ended) {
        kprintf("%3u %6u  %-16s has ended\n", p->pid, p->parent, p->name);
        return;
    }
    kprintf("%3u %6u  %-16s %10s %10s %10s %8llu %8llu ms\n", p->pid, p->parent, p->name,
            fmt_size(size[0], p->memory.mapped_pages * PAGE_SIZE), fmt_size(size[1], p->memory.resident_pages * PAGE_SIZE),
            fmt_size(size[2], p->memory.table_pages * PAGE_SIZE), ULL(p->memory.regions),
            ULL(time_ns(p->cpu_ticks) / 1000000));
}

static err_t ps(unsigned argc, char *argv[])
{
    struct proc_info p;

    (void)argv;
    if (argc > 1)
        return ERR_SYNTAX;
    kprintf(HEADING("%3s %6s  %-16s %10s %10s %10s %8s %11s\n"), "pid", "parent", "name", "mapped", "resident", "tables",
            "regions", "ran");
    for (unsigned pid = 1; proc_info(pid, &p) == ERR_OK; pid = p.pid + 1)
        print_process(&p);
    return ERR_OK;
}

/* ---- regions ------------------------------------------------------------------------------------- */

static uint64_t resident(struct process *p, uint64_t page, uint64_t end)
{
    uint64_t n = 0;
    pa_t     where;

    for (; page < end; page++)
        n += pt_translate(&p->as.pt, va(page << PAGE_SHIFT), &where) == ERR_OK;
    return n;
}

static err_t print_regions(void *arg, struct process *p)
{
    struct region r;

    (void)arg;
    kprintf(HEADING("%-18s %-18s %-4s %-10s %8s %9s  %s\n"), "start", "end", "", "kind", "pages", "resident", "of");
    for (va_t at = va(0); as_region_next(&p->as, at, &r) == ERR_OK; at = va(r.span.end << PAGE_SHIFT))
        kprintf("%#-18llx %#-18llx r%c%c  %-10s %8llu %9llu  %s%s%s\n", ULL(region_start(&r).raw),
                ULL(r.span.end << PAGE_SHIFT), r.prot & REGION_W ? 'w' : '-', r.prot & REGION_X ? 'x' : '-',
                region_kind_name(r.kind), ULL(region_pages(&r)), ULL(resident(p, r.span.page, r.span.end)),
                r.file != NULL ? r.file->name : "", r.flags & REGION_HUGE ? " huge" : "",
                r.flags & REGION_LOCKED ? " locked" : "");
    return ERR_OK;
}

static err_t regions(unsigned argc, char *argv[])
{
    unsigned pid;
    err_t    err = argc == 2 ? read_pid(argv[1], &pid) : ERR_SYNTAX;

    return err == ERR_OK ? proc_with(pid, print_regions, NULL) : err;
}

/* ---- picture ------------------------------------------------------------------------------------- */

#define BOX 25
#define RULE "+-------------------------+"

/* What the notes call it: what runs, or can't be written, is text */
static const char *part_name(const struct region *r)
{
    switch (r->kind) {
    case REGION_STACK: return "stack";
    case REGION_HEAP: return "heap";
    case REGION_IMAGE: return r->prot & REGION_X ? "text" : r->prot & REGION_W ? "data" : "constants";
    case REGION_ANON: return "memory";
    default: return region_kind_name(r->kind);
    }
}

/* The box of a region: its name in the middle, and beside it what there is of it */
static void print_box(struct process *p, const struct region *r)
{
    const char *name = part_name(r);
    int         n = (int)strlen(name), left = (BOX - n) / 2;
    uint64_t    here = resident(p, r->span.page, r->span.end);
    char        size[2][FMT_SIZE_BYTES];

    kprintf(RULE " %#llx\n", ULL(r->span.end << PAGE_SHIFT));
    kprintf("|%*s%s%*s| %s resident of %s%s\n", left, "", name, BOX - n - left, "", fmt_size(size[0], here * PAGE_SIZE),
            fmt_size(size[1], region_pages(r) * PAGE_SIZE),
            r->kind == REGION_STACK ? ", grows down by a page fault" : r->kind == REGION_HEAP ? ", grows up" : "");
    kprintf(RULE " %#llx\n", ULL(region_start(r).raw));
}

/* The highest region below an address: the notes draw the stack on top */
static bool region_below(struct as *as, uint64_t page, struct region *out)
{
    struct region r;
    bool          found = false;

    for (va_t at = va(0); as_region_next(as, at, &r) == ERR_OK && r.span.page < page; at = va(r.span.end << PAGE_SHIFT)) {
        *out = r;
        found = true;
    }
    return found;
}

static err_t print_picture(void *arg, struct process *p)
{
    struct region r;
    uint64_t      page = UINT64_MAX;

    (void)arg;
    for (; region_below(&p->as, page, &r); page = r.span.page) {
        if (page != UINT64_MAX && page != r.span.end)
            kprintf("%*s\n", BOX / 2 + 2, "...");
        print_box(p, &r);
    }
    return ERR_OK;
}

static err_t picture(unsigned argc, char *argv[])
{
    unsigned pid;
    err_t    err = argc == 2 ? read_pid(argv[1], &pid) : ERR_SYNTAX;

    return err == ERR_OK ? proc_with(pid, print_picture, NULL) : err;
}

const struct command commands_proc[] = {
    { "run", "[-m LIMIT] NAME [ARGUMENTS] [&]", "run a program in ring 3, with LIMIT of memory at most; Ctrl-C ends it, & doesn't wait for it", run },
    { "kill", "PID", "end a process", kill },
    { "ps", "", "the processes, their memory, how long they ran", ps },
    { "regions", "PID", "what a process has mapped, and how much of it is there", regions },
    { "picture", "PID", "a process's memory as the notes draw it: stack, heap, text", picture },
    { NULL, NULL, NULL, NULL },
};
