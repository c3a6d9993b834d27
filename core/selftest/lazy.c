/* SPDX-License-Identifier: MIT */
/*
 * core/selftest/lazy.c - memory that gets its frames from page faults
 *
 * A range of 64 MiB is promised and costs no frame but its tables. Touched page by page, by reads and by
 * writes, in rising order and at random, it grows by exactly the pages touched; each is zero at first. Grown beyond
 * its place it moves, with what was written. With all frames taken, a first touch ends in the fix-up of
 * trap_try(), and succeeds when there are frames again. In the end as many frames are free as before.
 */
#include "core/console/selftest.h"
#include "core/log.h"
#include "core/x86/trap.h"
#include "mm/frame.h"
#include "mm/kva.h"

#define TAG     "lazy"
#define PAGES   ((uint64_t)16384) /* 64 MiB */
#define TOUCHED ((uint64_t)600)

static err_t wrong(const char *what, uint64_t got, uint64_t want)
{
    log_error(TAG, "%s: %llu, expected %llu", what, ULL(got), ULL(want));
    return ERR_CORRUPT;
}

static volatile uint64_t *word(va_t start, uint64_t page)
{
    return (volatile uint64_t *)port_va_ptr(va_add(start, page * PAGE_SIZE + page % 512 * 8));
}

static err_t expect_resident(va_t start, uint64_t want)
{
    uint64_t n = 0;
    err_t    err = kva_resident(start, &n);

    return err != ERR_OK ? err : n == want ? ERR_OK : wrong("resident pages", n, want);
}

/* Even pages are read first, odd ones written first */
static err_t touch_in_order(va_t start)
{
    err_t err = expect_resident(start, 0);

    for (uint64_t i = 0; i < TOUCHED && err == ERR_OK; i++) {
        if (i % 2 == 0 && *word(start, i) != 0)
            return wrong("a page's first word", *word(start, i), 0);
        *word(start, i) = i + 1;
        err = expect_resident(start, i + 1);
    }
    return err;
}

/* 37 is odd: of 16384 pages, none comes twice */
static err_t touch_scattered(va_t start)
{
    uint64_t n_new = 0;

    for (uint64_t i = 0; i < TOUCHED; i++) {
        uint64_t page = i * 37 % PAGES;

        n_new += page >= TOUCHED;
        if (*word(start, page) != (page < TOUCHED ? page + 1 : 0))
            return wrong("what a page holds", *word(start, page), page < TOUCHED ? page + 1 : 0);
    }
    return expect_resident(start, TOUCHED + n_new);
}

static err_t move(va_t *start)
{
    uint64_t before = 0, moved = 0;
    va_t     wall, from = *start;
    err_t    err = kva_alloc(512, &wall), freed; /* right behind it */

    if (err != ERR_OK)
        return err;
    err = kva_resident(from, &before);
    if (err == ERR_OK)
        err = kva_resize(from, PAGES + 512, start);
    if (err == ERR_OK)
        err = kva_resident(*start, &moved);
    freed = kva_free(wall);
    if (err != ERR_OK)
        return err;
    if (start->raw == from.raw || moved != before)
        return wrong("resident pages after the move", moved, before);
    for (uint64_t i = 0; i < TOUCHED; i++)
        if (*word(*start, i) != i + 1)
            return wrong("what a page holds after the move", *word(*start, i), i + 1);
    *word(*start, PAGES + 511) = 1;
    return freed;
}

/* ---- no frames --------------------------------------------------------------------------------- */

/* All of them, as a list through their first words; whoever else wants one meanwhile goes without. */
static pfn_t take_all_frames(void)
{
    pfn_t all = pfn(0), f;

    for (unsigned order = FRAME_ORDER_MAX + 1; order-- > 0;)
        while (frame_alloc(order, &f) == ERR_OK) {
            *(pfn_t *)port_ptr(pfn_to_pa(f)) = all;
            all = f;
        }
    return all;
}

static err_t give_all_frames(pfn_t all)
{
    err_t err = ERR_OK;

    while (all.idx != 0 && err == ERR_OK) {
        pfn_t f = all;

        all = *(const pfn_t *)port_ptr(pfn_to_pa(f));
        err = frame_free(f);
    }
    return err;
}

static void read_it(void *at) { (void)*(volatile uint8_t *)at; }

static err_t touch_without_frames(va_t start)
{
    void              *at = port_va_ptr(va_add(start, (PAGES + 100) * PAGE_SIZE));
    struct trap_caught caught = { 0 };
    pfn_t              all = take_all_frames();
    bool               whole = trap_try(read_it, at, &caught);
    err_t              err = give_all_frames(all);

    if (err != ERR_OK)
        return err;
    if (whole || caught.vector != TRAP_PF || caught.address != (uintptr_t)at)
        return wrong("a first touch without frames ended in vector", caught.vector, TRAP_PF);
    return trap_try(read_it, at, &caught) ? ERR_OK : wrong("a first touch with frames", caught.vector, 0);
}

static err_t run(void)
{
    struct frame_totals before = frame_totals();
    va_t                start;
    err_t               err = kva_alloc_lazy(PAGES, &start), freed;

    if (err != ERR_OK)
        return err;
    err = touch_in_order(start);
    if (err == ERR_OK)
        err = touch_scattered(start);
    if (err == ERR_OK)
        err = move(&start);
    if (err == ERR_OK)
        err = touch_without_frames(start);
    freed = kva_free(start);
    if (err == ERR_OK && frame_totals().free != before.free)
        err = wrong("free frames at the end", frame_totals().free, before.free);
    if (err == ERR_OK)
        kprintf("  %llu pages promised, touched page by page, moved, refused without frames; all given back\n", ULL(PAGES));
    return err == ERR_OK ? freed : err;
}

const struct selftest selftest_lazy = { "lazy", run };
