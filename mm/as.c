/* SPDX-License-Identifier: MIT */
/*
 * mm/as.c - address spaces
 *
 * Promise     A space is the kernel's half, the same in all, and a half of its own. What it takes it gives
 *             back: after as_destroy() as many frames are free as before as_create().
 *
 * Picture     top table of a space      0: the kernel's (the image) | 1 .. 255: its own | the kernel's | itself
 *
 *             The kernel's top entries are copied once, and again whenever a new one comes to exist
 *             (mm/pt.c, "Kernel's half"). So a kernel mapping is in all spaces at once, at no cost.
 *
 * Frames      A mapping with AS_OWNED owns its frames. A clone borrows: its entries are those of the space it
 *             was made from, without W and without AS_OWNED.
 *
 * Zeroes      One frame of zeroes serves all pages that were only read (mm/fault_user.c). It comes with the first
 *             space and goes with the last.
 *
 * Numbers     With PCIDs, each space has a number of its own, 1 to 4095, while there are enough; 0 is the
 *             kernel's, and every further space's, which then forgets its translations at each
 *             switch. A number that is used again is stale on every CPU.
 *
 * Regions     mm/region.c tells what a process has mapped where, mm/fault_do.c what a page fault does about it.
 *             as_alloc(), as_unmap() and as_clone() know nothing of regions: for spaces without any.
 *
 * Locks       spaces.lock (rank 25) guards the numbers and the frame of zeroes. The tables have their own.
 *
 * Failure     nothing was changed; what was half built is taken down.
 *
 * Sources     SDM 3A "Process-Context Identifiers (PCIDs)"
 */
#include "mm/as.h"

#include "mm/frame.h"
#include "mm/region_in.h"
#include "mm/zero.h"

#define PCIDS     4096
#define OWN_FIRST SLOT_PROCESS
#define OWN_END   SLOT_KERNEL_HALF

static struct {
    struct irqlock   lock;
    uint64_t         taken[PCIDS / 64]; /* [lock] bit n of word w: PCID 64 w + n is in use */
    struct pt       *kernel;            /* [c]                                             */
    struct tlb_space kernel_tlb;        /* [a]                                             */
    struct as       *current[PORT_CPUS_MAX]; /* [p]                                        */
    uint64_t         n;                 /* [lock] spaces there are                         */
    pfn_t            zeroes;            /* [lock] while n > 0: never written               */
} spaces = { .lock = IRQLOCK("as", 25), .taken = { 1 } };

void as_start(struct pt *kernel)
{
    spaces.kernel = kernel;
    atomic_store_explicit(&spaces.kernel_tlb.active, (uint64_t)1 << port_cpu(), memory_order_release);
}

/* ---- numbers ----------------------------------------------------------------------------------- */

static unsigned pcid_take(void)
{
    uint64_t irq = irqlock_take(&spaces.lock);
    unsigned pcid = 0;

    for (unsigned w = 0; w < PCIDS / 64 && pcid == 0; w++)
        if (~spaces.taken[w] != 0) {
            pcid = 64 * w + (unsigned)__builtin_ctzll(~spaces.taken[w]);
            spaces.taken[w] |= spaces.taken[w] + 1;
        }
    irqlock_drop(&spaces.lock, irq);
    return pcid;
}

static void pcid_give(unsigned pcid)
{
    uint64_t irq = irqlock_take(&spaces.lock);

    if (pcid != 0)
        spaces.taken[pcid / 64] &= ~((uint64_t)1 << (pcid % 64));
    irqlock_drop(&spaces.lock, irq);
}

/* ---- life -------------------------------------------------------------------------------------- */

pfn_t as_zero_frame(void) { return spaces.zeroes; }

/* One space more shares the frame of zeroes */
static err_t zeroes_hold(void)
{
    uint64_t irq = irqlock_take(&spaces.lock);
    err_t    err = spaces.n == 0 ? frame_alloc_zeroed(&spaces.zeroes) : ERR_OK;

    spaces.n += err == ERR_OK;
    irqlock_drop(&spaces.lock, irq);
    return err;
}

static void zeroes_drop(void)
{
    uint64_t irq = irqlock_take(&spaces.lock);
    err_t    err = --spaces.n == 0 ? frame_free(spaces.zeroes) : ERR_OK;

    ASSERT(err == ERR_OK);
    irqlock_drop(&spaces.lock, irq);
}

static bool kernels_slot(unsigned slot)
{
    const pte_cell *kernel = port_ptr(pfn_to_pa(spaces.kernel->root));

    return pte_load(&kernel[slot]).raw != 0;
}

/*
 * The process's part: up to where the kernel's image lies, if it does among the process's slots; less its last
 * page. A SYSCALL at the end of that would return to the first address that is not canonical: then SYSRET and IRET
 * fault in ring 0, with ring 3's GS (SDM 2B "SYSRET").
 */
static void regions_start(struct as *as)
{
    unsigned first = OWN_FIRST, end;

    while (first < OWN_END - 1 && kernels_slot(first))
        first++;
    end = first + 1;
    while (end < OWN_END && !kernels_slot(end))
        end++;
    span_tree_start(&as->regions, slot_base(first, as->pt.levels).raw >> PAGE_SHIFT,
                    ((uint64_t)end << (slot_shift(as->pt.levels) - PAGE_SHIFT)) - 1);
}

err_t as_create(struct as *as)
{
    err_t err = zeroes_hold();

    if (err != ERR_OK)
        return err;
    *as = (struct as){ .lock = IRQLOCK("space", 28), .nodes = { .bytes = sizeof(struct region) }, .limit = ~(uint64_t)0 };
    err = pt_create(&as->pt, spaces.kernel->levels);
    if (err != ERR_OK) {
        zeroes_drop();
        return err;
    }
    pt_share(&as->pt, spaces.kernel);
    as->tlb = (struct tlb_space){ .pcid = tlb_cpu.pcid ? pcid_take() : 0, .stale = ~(uint64_t)0 };
    regions_start(as);
    return ERR_OK;
}

static uint64_t slot_pages(const struct as *as) { return (uint64_t)1 << (slot_shift(as->pt.levels) - PAGE_SHIFT); }

/* The slots that are the space's own: all of the process's, but one that the kernel's image may lie in */
static bool own_slot(const struct as *as, unsigned slot)
{
    const pte_cell *top = port_ptr(pfn_to_pa(as->pt.root));

    return pte_load(&top[slot]).raw != 0 && !kernels_slot(slot);
}

err_t as_clone(struct as *as, struct as *from)
{
    err_t err = as_create(as);

    for (unsigned slot = OWN_FIRST; slot < OWN_END && err == ERR_OK; slot++) {
        if (!own_slot(from, slot))
            continue;
        err = pt_copy(&as->pt, &from->pt, slot_base(slot, from->pt.levels), slot_pages(from), PTE_W | AS_OWNED);
        if (err != ERR_OK)
            as_destroy(as);
    }
    return err;
}

void as_destroy(struct as *as)
{
    ASSERT(atomic_load_explicit(&as->tlb.active, memory_order_acquire) == 0);
    for (unsigned slot = OWN_FIRST; slot < OWN_END; slot++)
        if (own_slot(as, slot)) {
            err_t err = as_unmap(as, slot_base(slot, as->pt.levels), slot_pages(as));

            ASSERT(err == ERR_OK); /* whole slots: no large page is cut */
        }
    for (struct region *r; (r = region_from(as, 0)) != NULL;)
        region_forget(as, r);
    as_unpromise(as, as->promised);
    pcid_give(as->tlb.pcid);
    pt_destroy(&as->pt);
    zeroes_drop();
}

/* ---- pages ------------------------------------------------------------------------------------- */

#define CHUNK 64

static err_t alloc_chunk(struct as *as, va_t start, size_t n, uint64_t flags)
{
    pfn_t frames[CHUNK];
    err_t err = frames_alloc(n, frames);

    if (err != ERR_OK)
        return err;
    err = pt_map_frames(&as->pt, start, frames, n, flags);
    for (size_t i = 0; err != ERR_OK && i < n; i++)
        if (frame_free(frames[i]) != ERR_OK)
            PANIC("a frame just taken can't be given back");
    return err;
}

err_t as_alloc(struct as *as, va_t start, uint64_t n_pages, uint64_t flags)
{
    uint64_t done = 0;
    err_t    err = n_pages == 0 ? ERR_INVAL : ERR_OK;

    while (done < n_pages && err == ERR_OK) {
        size_t n = (size_t)min_u64(n_pages - done, CHUNK);

        err = alloc_chunk(as, va_add(start, done << PAGE_SHIFT), n, flags | AS_OWNED);
        if (err == ERR_OK)
            done += n;
    }
    if (err != ERR_OK && done != 0 && as_unmap(as, start, done) != ERR_OK)
        PANIC("what was just mapped can't be unmapped");
    return err;
}

err_t as_unmap(struct as *as, va_t start, uint64_t n_pages)
{
    struct pt_marks marks = { .owned = AS_OWNED, .counted = AS_COUNTED };

    return pt_release_marked(&as->pt, start, n_pages, &marks, &as->tlb);
}

/* ---- switching --------------------------------------------------------------------------------- */

struct as *as_current(void) { return spaces.current[port_cpu()]; }

void as_switch(struct as *as)
{
    uint64_t   irq = port_irq_save();
    struct as *old = as_current();

    if (old != as) {
        spaces.current[port_cpu()] = as;
        tlb_switch(old != NULL ? &old->tlb : &spaces.kernel_tlb, as != NULL ? &as->tlb : &spaces.kernel_tlb,
                   as != NULL ? as->pt.root : spaces.kernel->root);
    }
    port_irq_restore(irq);
}

/* Interrupts are off while the kernel's image, which lies there, is in no tables but the kernel's */
err_t as_own_low(struct as *as)
{
    struct tlb_batch batch;
    uint64_t         irq = port_irq_save();
    err_t            err;

    as_switch(NULL);
    err = pt_own_low(&as->pt);
    as_switch(as);
    port_irq_restore(irq);
    tlb_batch_open(&batch, &as->tlb);
    tlb_changed_many(&batch);
    tlb_batch_close(&batch);
    return err;
}
