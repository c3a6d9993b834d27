/* SPDX-License-Identifier: MIT */
/*
 * core/bench/pages.c - what page tables cost
 *
 * All on the kernel's own tables, in the process's part of the address space, where nothing else is.
 * Every page maps the same frame: what is measured is the tables, never the memory behind. A figure
 * contains the locks, the tables' frames taken, cleared and given back, and the flush at the end of a batch.
 */
#include "core/bench/bench.h"
#include "core/x86/insn.h"
#include "core/x86/paging.h"
#include "core/x86/trap.h"
#include "mm/as.h"
#include "mm/frame.h"
#include "mm/heap_kernel.h"
#include "mm/kva.h"
#include "mm/zero.h"

#define MANY        ((uint64_t)16384) /* 64 MiB of 4 KiB pages */
#define KERNEL_DATA (PTE_W | PTE_NX)
#define ROUNDS      1000

struct pages {
    pfn_t  frame, block; /* one frame, and one of 2 MiB */
    pfn_t *list;         /* the frame, MANY times       */
};

static va_t at(uint64_t page) { return va_add(slot_base(SLOT_PROCESS, kernel_pt.levels), page * PAGE_SIZE); }

static err_t unmap(uint64_t page, uint64_t n)
{
    struct tlb_batch b;
    err_t            err;

    tlb_batch_open(&b, NULL);
    err = pt_unmap(&kernel_pt, at(page), n, &b);
    tlb_batch_close(&b);
    return err;
}

static err_t protect(uint64_t n, uint64_t flags)
{
    struct tlb_batch b;
    err_t            err;

    tlb_batch_open(&b, NULL);
    err = pt_protect(&kernel_pt, at(0), n, flags, &b);
    tlb_batch_close(&b);
    return err;
}

/* A step between two readings of the clock: its line, or none after an error */
static err_t step(const char *what, uint64_t per, uint64_t began, err_t err)
{
    uint64_t ticks = cpu_rdtsc() - began;

    if (err == ERR_OK)
        bench_report(what, ticks, per);
    return err;
}

static err_t bulk(struct pages *p)
{
    uint64_t began = cpu_rdtsc();
    err_t    err = step("map 16384 pages of 4 KiB, tables built, each", MANY, began,
                        pt_map_frames(&kernel_pt, at(0), p->list, MANY, KERNEL_DATA));

    began = cpu_rdtsc();
    if (err == ERR_OK)
        err = step("protect them, writable to read-only, each", MANY, began, protect(MANY, PTE_NX));
    began = cpu_rdtsc();
    if (err == ERR_OK)
        err = step("protect them, read-only to writable, each", MANY, began, protect(MANY, KERNEL_DATA));
    began = cpu_rdtsc();
    if (err == ERR_OK)
        err = step("unmap them, tables and all, each", MANY, began, unmap(0, MANY));
    return err;
}

static err_t bulk_in_place(struct pages *p)
{
    uint64_t began = cpu_rdtsc();
    err_t    err = step("map 16384 neighbouring frames as 4 KiB pages, each", MANY, began,
                        pt_map(&kernel_pt, at(0), p->frame, MANY, KERNEL_DATA | PT_SMALL, NULL));

    return err == ERR_OK ? unmap(0, MANY) : err;
}

static err_t large(struct pages *p)
{
    const uint64_t n = 32;
    uint64_t       began = cpu_rdtsc();
    err_t          err = ERR_OK;

    for (uint64_t i = 0; i < n && err == ERR_OK; i++)
        err = pt_map(&kernel_pt, at(512 * i), p->block, 512, KERNEL_DATA, NULL);
    err = step("map a page of 2 MiB, 32 calls, each", n, began, err);
    began = cpu_rdtsc();
    if (err == ERR_OK)
        err = step("unmap them at once, each", n, began, unmap(0, 512 * n));
    return err;
}

static err_t one_pair(void *arg)
{
    const struct pages *p = arg;
    err_t               err = pt_map(&kernel_pt, at(1), p->frame, 1, KERNEL_DATA, NULL);

    return err == ERR_OK ? unmap(1, 1) : err;
}

static err_t singles(struct pages *p)
{
    err_t err = bench_measure("map and unmap one page, tables built and freed", 1, one_pair, p);

    if (err == ERR_OK)
        err = pt_map(&kernel_pt, at(0), p->frame, 1, KERNEL_DATA, NULL);
    if (err == ERR_OK)
        err = bench_measure("map and unmap one page beside another", 1, one_pair, p);
    return err;
}

static err_t translations(struct pages *p)
{
    const struct {
        const char *what;
        err_t (*translate)(const struct pt *pt, va_t v, pa_t *out);
        va_t v;
    } rows[] = {
        { "translate by the direct map, 4 KiB page", pt_translate, at(0) },
        { "translate by the direct map, 2 MiB page", pt_translate, at(512) },
        { "translate by the recursive slot, 4 KiB page", pt_translate_recursive, at(0) },
        { "translate by the recursive slot, 2 MiB page", pt_translate_recursive, at(512) },
    };
    err_t err = pt_map(&kernel_pt, at(512), p->block, 512, KERNEL_DATA, NULL);

    for (unsigned i = 0; i < ARRAY_LEN(rows) && err == ERR_OK; i++) {
        uint64_t began = cpu_rdtsc();
        pa_t     out;

        for (unsigned n = 0; n < ROUNDS && err == ERR_OK; n++)
            err = rows[i].translate(&kernel_pt, rows[i].v, &out);
        err = step(rows[i].what, ROUNDS, began, err);
    }
    return err;
}

static void batch_of(const char *what, uint64_t n)
{
    struct tlb_batch b;
    uint64_t         began = cpu_rdtsc();

    tlb_batch_open(&b, NULL);
    for (uint64_t i = 0; i < n; i++)
        tlb_changed(&b, at(i));
    tlb_batch_close(&b);
    bench_report(what, cpu_rdtsc() - began, n);
}

static err_t spaces(struct pages *p)
{
    struct as a, b;
    uint64_t  began = cpu_rdtsc();
    err_t     err = step("create an address space", 1, began, as_create(&a));

    if (err != ERR_OK)
        return err;
    err = pt_map_frames(&a.pt, at(0), p->list, MANY, PTE_U | KERNEL_DATA);
    began = cpu_rdtsc();
    if (err == ERR_OK)
        err = step("clone one of 64 MiB, a page", MANY, began, as_clone(&b, &a));
    if (err == ERR_OK) {
        began = cpu_rdtsc();
        as_destroy(&b);
        bench_report("destroy the clone, a page", cpu_rdtsc() - began, MANY);
    }
    began = cpu_rdtsc();
    as_switch(&a);
    bench_report("switch to it", cpu_rdtsc() - began, 1);
    as_switch(NULL);
    as_destroy(&a);
    return err;
}

static err_t growth(void)
{
    va_t     start, wall, moved;
    uint64_t began = cpu_rdtsc();
    err_t    err = step("kva_alloc of 64 MiB, a page", MANY, began, kva_alloc(MANY, &start)), freed;

    if (err != ERR_OK)
        return err;
    err = kva_alloc(512, &wall); /* right behind it: it can't grow where it is */
    began = cpu_rdtsc();
    if (err == ERR_OK) {
        err = step("64 MiB grow by 2 MiB and move, all", 1, began, kva_resize(start, MANY + 512, &moved));
        freed = kva_free(wall);
        err = err == ERR_OK ? freed : err;
    }
    began = cpu_rdtsc();
    freed = step("kva_free of it, a page", MANY + 512, began, kva_free(err == ERR_OK ? moved : start));
    return err == ERR_OK ? freed : err;
}

static volatile uint8_t sink;
static void read_it(void *page) { sink = *(volatile uint8_t *)page; }

/* A fault that the kernel survives: entry, the decision, the fix-up, and back in the caller */
static err_t fault(void *arg)
{
    struct trap_caught caught;

    (void)arg;
    return trap_try(read_it, (void *)at(0).raw, &caught) ? ERR_CORRUPT : ERR_OK;
}

/*
 * First touches: from the instruction that faults until it has been repeated. The CPU's stock of zeroed
 * frames serves the first of them; the others contain the zeroing, which is measured apart.
 */
#define TOUCHES ((uint64_t)64)

static uint64_t touch(va_t start, uint64_t page, uint64_t n)
{
    uint64_t began = cpu_rdtsc();

    for (uint64_t i = page; i < page + n; i++)
        *(volatile uint8_t *)port_va_ptr(va_add(start, i * PAGE_SIZE)) = 1;
    return cpu_rdtsc() - began;
}

static err_t first_touches(struct pages *p)
{
    va_t     start;
    uint64_t began, empty, zeroing, n_stock = 0;
    err_t    err = kva_alloc_lazy(4 * TOUCHES, &start);

    if (err != ERR_OK)
        return err;
    began = cpu_rdtsc();
    for (uint64_t i = 0; i < TOUCHES; i++)
        __builtin_memset(port_ptr(pfn_to_pa(p->frame)), 0, PAGE_SIZE);
    zeroing = cpu_rdtsc() - began;
    (void)touch(start, 0, TOUCHES); /* tables and the frame manager's words are warm, the stock is empty */
    empty = touch(start, 0, TOUCHES);
    bench_report("a first touch, fault to repeated access, with zeroing", touch(start, TOUCHES, TOUCHES) - empty, TOUCHES);
    bench_report("  of which zeroing", zeroing, TOUCHES);
    while (n_stock < TOUCHES / 2 && frame_zero_idle())
        n_stock++;
    if (n_stock > 0)
        bench_report("a first touch, zeroed frame in stock", touch(start, 2 * TOUCHES, n_stock) - empty * n_stock / TOUCHES, n_stock);
    return kva_free(start);
}

static err_t measure(struct pages *p)
{
    err_t err = bulk(p);

    if (err == ERR_OK)
        err = bulk_in_place(p);
    if (err == ERR_OK)
        err = large(p);
    if (err == ERR_OK)
        err = singles(p);
    if (err == ERR_OK)
        err = translations(p);
    if (unmap(0, MANY) != ERR_OK || err != ERR_OK)
        return err;
    batch_of("TLB: a batch of 1 page", 1);
    batch_of("TLB: a batch of 32 pages, each", 32);
    batch_of("TLB: a batch of 4096 pages, each", 4096);
    err = bench_measure("a kernel fault, caught by its fix-up", 1, fault, NULL);
    if (err == ERR_OK)
        err = first_touches(p);
    if (err == ERR_OK)
        err = spaces(p);
    return err == ERR_OK ? growth() : err;
}

static err_t run(void)
{
    struct pages p;
    err_t        err = frame_alloc(0, &p.frame), freed;

    if (err != ERR_OK)
        return err;
    err = frame_alloc(9, &p.block);
    if (err == ERR_OK) {
        p.list = heap_alloc(kernel_heap, MANY * sizeof *p.list);
        for (uint64_t i = 0; p.list != NULL && i < MANY; i++)
            p.list[i] = p.frame;
        err = p.list == NULL ? ERR_NOMEM : measure(&p);
        freed = p.list == NULL ? ERR_OK : heap_free(kernel_heap, p.list);
        err = err == ERR_OK ? freed : err;
        freed = frame_free_order(p.block, 9);
        err = err == ERR_OK ? freed : err;
    }
    freed = frame_free(p.frame);
    return err == ERR_OK ? freed : err;
}

const struct bench bench_pages = { "pages", run };
