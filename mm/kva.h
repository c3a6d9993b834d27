/* SPDX-License-Identifier: MIT */
/*
 * mm/kva.h - the kernel's dynamic area: ranges of virtual addresses with guard pages
 *
 * A range is known by its first address. Below and above each there is a page where nothing is ever
 * mapped, so running over an end is a fault and not somebody else's data.
 */
#ifndef MM_KVA_H
#define MM_KVA_H

#include "mm/pt.h"

enum kva_kind {
    KVA_MEMORY, /* frames of its own, readable and writable       */
    KVA_STACK,  /* the same; a fault in the guard page below it is an overflow */
    KVA_DEVICE, /* somebody else's physical addresses             */
    KVA_LAZY,   /* memory that gets its frames when it is touched */
    KVA_KINDS
};

struct kva_range {
    va_t          start;
    uint64_t      n_pages;
    enum kva_kind kind;
};

/* kva_start - the dynamic area of these tables is ours from now on, and empty */
void kva_start(struct pt *kernel);

/*
 * kva_alloc - memory: n_pages mapped readable and writable, contents undefined
 *
 *   Large pages are used where n_pages and the frames allow them.
 *   Errors  ERR_INVAL  no pages      ERR_NOMEM  no frames, or no addresses; nothing was changed
 *   Locks   takes the area's (rank 20), the tables', the frames'
 */
err_t kva_alloc(uint64_t n_pages, va_t *out) MUST_USE;

/* kva_alloc_stack - the same for a stack; *top is where it begins to grow down from */
err_t kva_alloc_stack(uint64_t n_pages, va_t *top) MUST_USE;

/*
 * kva_alloc_lazy - memory of zeroes: n_pages of which each gets its frame when it is first touched
 *
 *   Costs 8 bytes a page until then. A first touch while no frame is free is an exception like any other: it
 *   ends what trap_try() runs, elsewhere it is a panic. So this is for what may fail when it is used: tables
 *   much larger than what will be used of them, in code that runs under trap_try().
 *   Errors  as kva_alloc()
 */
err_t kva_alloc_lazy(uint64_t n_pages, va_t *out) MUST_USE;

/*
 * kva_fault - the kernel touched v, and nothing is mapped there
 *
 *   ERR_OK: now it is, the access can be repeated.
 *   Errors  ERR_NOENT  v is not in lazy memory      ERR_NOMEM  it is, but no frame is free
 *   Locks   none; interrupts may be off
 */
err_t kva_fault(va_t v) MUST_USE;

/* kva_resident - how many pages of the range that holds v have a frame; ERR_NOENT */
err_t kva_resident(va_t v, uint64_t *n_pages) MUST_USE;

/*
 * kva_map_device - device registers or other memory that is not the allocator's
 *
 *   base, bytes  physical, any alignment
 *   cache_flag   PTE_CACHE_UC for registers, PTE_CACHE_WC for a framebuffer, ...
 *   out          the pointer to `base`
 *
 *   Errors  ERR_ALIAS  the memory is mapped already with another cache type (mm/memtype.h)
 */
err_t kva_map_device(pa_t base, uint64_t bytes, uint64_t cache_flag, volatile void **out) MUST_USE;

/*
 * kva_resize - the range gets n_pages; its contents stay, no byte of them is copied
 *
 *   Grows where it is if there is room behind it, else its mapping moves to another address. Memory only,
 *   lazy or not.
 *   A range that shrinks keeps the whole of a large page that is cut: up to 511 pages more than asked.
 *   out     where it is now
 *   Errors  ERR_NOENT  no memory range begins there      ERR_NOMEM, ERR_INVAL  nothing was changed
 */
err_t kva_resize(va_t start, uint64_t n_pages, va_t *out) MUST_USE;

/*
 * kva_free - give a range back, with its frames if they are its own
 *
 *   start   as kva_alloc gave it; any address in a device range or stack, the end of a stack included
 *   Errors  ERR_NOENT  no range is there      ERR_INSIDE  the address lies inside a memory range
 *   Locks   none may be held: other CPUs flush
 */
err_t kva_free(va_t start) MUST_USE;

/* kva_find - the range that holds v, or whose guard page does (`guard` says so); ERR_NOENT if none */
err_t kva_find(va_t v, struct kva_range *out, bool *guard) MUST_USE;

/* kva_each - call fn for each range, lowest first, until it returns false; fn may not call kva */
void kva_each(bool (*fn)(void *arg, const struct kva_range *range), void *arg);

#endif
