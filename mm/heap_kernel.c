/* SPDX-License-Identifier: MIT */
/*
 * mm/heap_kernel.c - the kernel's heap: where its pages come from
 *
 * Promise     kernel_heap works from stage 3 on, when frames come one by one from the early distributor,
 *             and needs no frames that are neighbours, ever.
 *
 * Picture     top table slot 510        window of 64 GiB | metadata | words      single frames, mapped as taken
 *             slots 384 .. 509 (kva)    large blocks: ranges with guard pages, 2 MiB pages where they fit,
 *                                       grown by moving their mapping
 *
 *             A large block with a wish for its alignment that kva does not know goes into the window.
 *
 * Invariants  I1  every page of the window that is mapped is taken or idle there
 * Locks       taking: heap 10, window 16, tables 30, frames 40. Giving unmaps, and other CPUs must flush: it is
 *             done without locks (mm/heap_window.c, settle; mm/heap_large.c)
 * Failure     no frame: nothing has changed
 */
#include "mm/heap_kernel.h"

#include "mm/frame.h"
#include "mm/heap_map.h"
#include "mm/heap_window.h"
#include "mm/kva.h"
#include "mm/layout.h"

#define WINDOW_PAGES ((uint64_t)1 << 24)
#define LARGE_PAGE   ((size_t)512)

struct heap *kernel_heap;

static struct {
    struct heap_window    window;
    struct heap_map       map;
    struct heap_pages_ops ops; /* the window's, but for runs */
    struct heap_pages_ops window_ops;
    struct pt            *pt;
} hk;

/* ---- the window ---------------------------------------------------------------------------------- */

static err_t map(struct heap_window *w, void *start, size_t n_pages, bool *zeroed)
{
    pfn_t frames[HEAP_COMMIT_MAX];
    err_t err = frames_alloc(n_pages, frames);

    (void)w;
    *zeroed = false;
    if (err != ERR_OK)
        return err;
    err = pt_map_frames(hk.pt, va_of(start), frames, n_pages, PTE_W | PTE_G | PTE_NX);
    for (size_t i = 0; err != ERR_OK && i < n_pages; i++)
        if (frame_free(frames[i]) != ERR_OK)
            PANIC("a frame just taken can't be given back");
    return err;
}

static void unmap(struct heap_window *w, void *start, size_t n_pages)
{
    err_t err = pt_release(hk.pt, va_of(start), n_pages, NULL);

    (void)w;
    ASSERT(err == ERR_OK); /* there are only 4 KiB pages: nothing to split */
}

/* ---- runs ---------------------------------------------------------------------------------------- */

static bool in_window(const void *p)
{
    return (uintptr_t)p - hk.window.pages.base < hk.window.pages.n_pages << PAGE_SHIFT;
}

static err_t run_take(struct heap_pages *source, size_t n_pages, size_t align_pages, void **out, bool *zeroed)
{
    va_t start;

    if (align_pages > 1 && !(n_pages >= LARGE_PAGE && align_pages <= LARGE_PAGE))
        return hk.window_ops.run_take(source, n_pages, align_pages, out, zeroed);

    err_t err = kva_alloc(n_pages, &start);
    if (err == ERR_OK) {
        *out = port_va_ptr(start);
        *zeroed = false;
    }
    return err;
}

static void run_give(struct heap_pages *source, void *start, size_t n_pages)
{
    if (in_window(start))
        hk.window_ops.run_give(source, start, n_pages);
    else if (kva_free(va_of(start)) != ERR_OK)
        PANIC("a large block at %p is no range", start);
}

static err_t run_resize(struct heap_pages *source, void *start, size_t n_old, size_t n_new, void **out)
{
    va_t moved;

    if (in_window(start))
        return hk.window_ops.run_resize(source, start, n_old, n_new, out);

    err_t err = kva_resize(va_of(start), n_new, &moved);
    if (err == ERR_OK)
        *out = port_va_ptr(moved);
    return err;
}

/* ---- start --------------------------------------------------------------------------------------- */

err_t heap_kernel_start(struct pt *kernel, const struct heap_config *config)
{
    static const struct heap_window_ops window_ops = { .commit = map, .decommit = unmap };

    _Static_assert(HEAP_COMMIT_MAX * sizeof(pfn_t) <= 512, "what is committed at once fits on an interrupt's stack");
    hk.pt = kernel;
    err_t err = heap_window_open(&hk.window, port_va_ptr(slot_base(SLOT_HEAP, kernel->levels)), WINDOW_PAGES, &window_ops);
    if (err != ERR_OK)
        return err;
    hk.window_ops = hk.ops = *hk.window.pages.ops;
    hk.ops.run_take = run_take;
    hk.ops.run_give = run_give;
    hk.ops.run_resize = run_resize;
    hk.window.pages.ops = &hk.ops;
    err = heap_map_open(&hk.map, &hk.window.pages);
    return err == ERR_OK ? heap_create(&hk.map, config, &kernel_heap) : err;
}

struct heap_map *heap_kernel_map(void) { return &hk.map; }
uint64_t         heap_kernel_frames(void) { return hk.window.n_committed; }
