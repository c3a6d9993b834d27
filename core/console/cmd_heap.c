/* SPDX-License-Identifier: MIT */
/* core/console/cmd_heap.c - the kernel's heap: heap */
#include "core/console/commands.h"
#include "core/fmt.h"
#include "core/log.h"
#include "core/str.h"
#include "mm/heap.h"
#include "mm/heap_kernel.h"

static struct heap_class_stats classes[HEAP_CLASSES];

static void print_classes(void)
{
    size_t n = heap_class_stats(kernel_heap, classes);
    char size[FMT_SIZE_BYTES];

    kprintf(HEADING("%8s %8s %8s %8s %10s  %s\n"), "class", "slabs", "used", "free", "memory", "of");
    for (size_t i = 0; i < n; i++)
        kprintf("%8u %8llu %8llu %8llu %10s  %s\n", classes[i].size, ULL(classes[i].runs),
                ULL(classes[i].used), ULL(classes[i].free), fmt_size(size, classes[i].bytes),
                classes[i].cache != NULL ? classes[i].cache : "general use");
}

static void print_rest(const struct heap_stats *s)
{
    char used[FMT_SIZE_BYTES], free[FMT_SIZE_BYTES], largest[FMT_SIZE_BYTES], large[FMT_SIZE_BYTES];

    kprintf("\nextents   %llu used (%s), %llu free (%s, the largest %s)\n", ULL(s->extent_used),
            fmt_size(used, s->extent_used_bytes), ULL(s->extent_free), fmt_size(free, s->extent_free_bytes),
            fmt_size(largest, s->largest_free));
    kprintf("large     %llu blocks (%s)\n", ULL(s->large), fmt_size(large, s->large_bytes));
    kprintf("pages     %llu held, %llu at most, %llu frames with metadata\n", ULL(s->pages),
            ULL(s->pages_peak), ULL(heap_kernel_frames()));
    kprintf("frees     %llu wrong ones refused, %llu from other CPUs\n", ULL(s->wrong_frees),
            ULL(s->remote_frees));
}

static err_t heap(unsigned argc, char *argv[])
{
    struct heap_stats s;

    if (argc > 2 || (argc == 2 && strcmp(argv[1], "check") != 0))
        return ERR_SYNTAX;
    if (argc == 2)
        return heap_check(kernel_heap);
    heap_stats(kernel_heap, &s);
    print_classes();
    print_rest(&s);
    return ERR_OK;
}

const struct command commands_heap[] = {
    { "heap", "[check]", "the kernel's heap by size class, or a walk that compares everything in it", heap },
    { NULL, NULL, NULL, NULL },
};
