/* SPDX-License-Identifier: MIT */
/* core/console/cmd_heap.c - the kernel's heap: heap, heap check, trim, picture, leaks, trace */
#include "core/console/commands.h"
#include "core/fmt.h"
#include "core/log.h"
#include "core/str.h"
#include "core/x86/unwind.h"
#include "mm/heap.h"
#include "mm/heap_kernel.h"

#define LEAKS 24 /* callers shown */

static struct heap_class_stats classes[HEAP_CLASSES];

static void print_classes(void)
{
    size_t n = heap_class_stats(kernel_heap, classes);
    char size[FMT_SIZE_BYTES], waste[FMT_SIZE_BYTES];

    kprintf(HEADING("%8s %8s %8s %8s %10s %10s  %s\n"), "class", "slabs", "used", "free", "memory", "waste", "of");
    for (size_t i = 0; i < n; i++)
        kprintf("%8u %8llu %8llu %8llu %10s %10s  %s\n", classes[i].size, ULL(classes[i].runs), ULL(classes[i].used),
                ULL(classes[i].free), fmt_size(size, classes[i].bytes),
                fmt_size(waste, classes[i].bytes - classes[i].used * classes[i].size),
                classes[i].cache != NULL ? classes[i].cache : "general use");
}

static void print_rest(const struct heap_stats *s)
{
    char used[FMT_SIZE_BYTES], free[FMT_SIZE_BYTES], largest[FMT_SIZE_BYTES], large[FMT_SIZE_BYTES];

    kprintf("\nextents   %llu used (%s), %llu free (%s, the largest %s)\n", ULL(s->extent_used),
            fmt_size(used, s->extent_used_bytes), ULL(s->extent_free), fmt_size(free, s->extent_free_bytes),
            fmt_size(largest, s->largest_free));
    kprintf("large     %llu blocks (%s)\n", ULL(s->large), fmt_size(large, s->large_bytes));
    kprintf("pages     %llu held, %llu at most, %llu frames with metadata\n", ULL(s->pages), ULL(s->pages_peak),
            ULL(heap_kernel_frames()));
    kprintf("frees     %llu wrong ones refused, %llu from other CPUs\n", ULL(s->wrong_frees), ULL(s->remote_frees));
}

static err_t show(void)
{
    struct heap_stats s;

    heap_stats(kernel_heap, &s);
    print_classes();
    print_rest(&s);
    return ERR_OK;
}

static err_t check(void)
{
    err_t err = heap_check(kernel_heap);

    kprintf("heap: %s\n", err == ERR_OK ? "sound" : "damaged, see the log");
    return err;
}

static err_t trim(void)
{
    kprintf("heap: %llu pages given back\n", ULL(heap_trim(kernel_heap)));
    return ERR_OK;
}

/* A character for each KiB, a page of four to a group, as many as fit in a line */
static err_t picture(void)
{
    char line[128];
    size_t columns = shell_columns() > 24 ? (shell_columns() - 14) / 4 * 4 : 8;
    size_t n, at = 0;

    columns = columns < sizeof line - 1 ? columns : sizeof line - 4;
    kprintf("# full slab  o partly used  . empty  = extents in use  - free  * the heap's own; 1 KiB each\n");
    for (; (n = heap_picture(kernel_heap, at, line, columns)) > 0; at += n) {
        line[n] = '\0';
        kprintf("%8llu KiB %s\n", ULL(at), line);
    }
    return ERR_OK;
}

static void sort_leaks(struct heap_leak leaks[], size_t n)
{
    for (size_t i = 1; i < n; i++)
        for (size_t k = i; k > 0 && leaks[k].bytes > leaks[k - 1].bytes; k--) {
            struct heap_leak swap = leaks[k];

            leaks[k] = leaks[k - 1];
            leaks[k - 1] = swap;
        }
}

static err_t leaks(void)
{
    static struct heap_leak found[LEAKS];
    size_t n = heap_leaks(kernel_heap, found, LEAKS);

    if (n == 0) {
        kprintf("heap: callers are known only with heap.debug=1 in octavo.conf\n");
        return ERR_NOSYS;
    }
    sort_leaks(found, n);
    kprintf(HEADING("%10s %12s  %s\n"), "blocks", "bytes", "asked for by");
    for (size_t i = 0; i < n; i++) {
        uint64_t offset = 0;
        const char *name = symbol_name((uintptr_t)found[i].caller, &offset);

        kprintf("%10llu %12llu  %p %s+0x%llx\n", ULL(found[i].blocks), ULL(found[i].bytes), found[i].caller,
                name != NULL ? name : "?", ULL(offset));
    }
    return ERR_OK;
}

static uint64_t told; /* calls since trace was switched on */

/* One short line a call: @a SIZE ALIGN ADDRESS, @f ADDRESS, all hexadecimal. test/bench/heap_text.py reads them */
static void tell(const struct heap_event *e)
{
    told++;
    if (e->size != 0)
        kprintf("@a %zx %zx %llx\n", e->size, e->align, ULL((uintptr_t)e->block));
    else
        kprintf("@f %llx\n", ULL((uintptr_t)e->block));
}

static err_t trace(const char *what)
{
    if (strcmp(what, "on") == 0) {
        told = 0;
        return heap_trace_on(kernel_heap, tell);
    }
    if (strcmp(what, "off") != 0)
        return ERR_SYNTAX;
    heap_trace_off(kernel_heap);
    kprintf("heap: %llu calls told\n", ULL(told));
    return ERR_OK;
}

static const struct {
    const char *name;
    err_t (*run)(void);
} parts[] = { { "check", check }, { "trim", trim }, { "picture", picture }, { "leaks", leaks } };

static err_t heap(unsigned argc, char *argv[])
{
    if (argc == 1)
        return show();
    if (argc == 3 && strcmp(argv[1], "trace") == 0)
        return trace(argv[2]);
    for (size_t i = 0; argc == 2 && i < ARRAY_LEN(parts); i++)
        if (strcmp(argv[1], parts[i].name) == 0)
            return parts[i].run();
    return ERR_SYNTAX;
}

const struct command commands_heap[] = {
    { "heap", "[check | trim | picture | leaks | trace on | trace off]", "the kernel's heap: by size class, checked, drawn, ...",
      heap },
    { NULL, NULL, NULL, NULL },
};
