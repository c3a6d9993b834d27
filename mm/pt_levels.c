/* SPDX-License-Identifier: MIT */
/*
 * mm/pt_levels.c - page tables: from four levels to five and back, while in use
 *
 * Promise     The same addresses mean the same before and after; not one table below the top is copied or
 *             changed, but one or two.
 *
 * Picture     four levels                       five levels
 *
 *             top  0    .. 255  --> ...         top  0   --> low   0   .. 255 --> ...   (as to the left)
 *                  256  .. 510  --> ...              1 .. 255: the process, more than four levels can say
 *                  511 itself                        510 itself
 *                                                    511 --> high  256 .. 510 --> ...   (as to the left)
 *
 *             The lower half of the old top table becomes one table, the upper half another; a half that
 *             is empty needs none. Four levels' addresses are those of five whose bits 57 to 47 are
 *             alike, and the kernel uses no others (mm/layout.h).
 *
 * How         The new tables are built beside the old; then the CPU changes over, which only the machine
 *             can do (the SDM allows it with paging off alone); then the old ones are freed. A change that
 *             forgets everything cached comes with turning paging off.
 *
 * Failure     ERR_BUSY when something can't be said with the other number of levels, or others share these
 *             tables. Nothing was changed.
 *
 * Sources     SDM 3A "Paging-Mode Enabling" (CR4.LA57), "4-Level Paging and 5-Level Paging"
 */
#include "mm/frame.h"
#include "mm/pt_inside.h"

#define LOW_HALF  0   /* entries of the five-level top table */
#define HIGH_HALF 511

/* The table of 512 entries in this frame */
static pte_cell *table(pfn_t frame) { return port_ptr(pfn_to_pa(frame)); }

static unsigned count(const pte_cell *c, unsigned first, unsigned end)
{
    unsigned n = 0;

    for (unsigned i = first; i < end; i++)
        n += pte_load(&c[i]).raw != 0;
    return n;
}

static void copy(pte_cell *to, const pte_cell *from, unsigned first, unsigned end)
{
    for (unsigned i = first; i < end; i++)
        pte_store(&to[i], pte_load(&from[i]));
}

/* A table with entries [first, end) of the old top table; *link leads to it, or is 0 if there are none */
static err_t half(const pte_cell *old, unsigned first, unsigned end, bool user, pte_t *link)
{
    unsigned n = count(old, first, end);
    pfn_t    frame;
    err_t    err;

    *link = (pte_t){ 0 };
    if (n == 0)
        return ERR_OK;
    err = frame_alloc(0, &frame);
    if (err != ERR_OK)
        return err;
    __builtin_memset(table(frame), 0, PAGE_SIZE);
    copy(table(frame), old, first, end);
    *link = pte_table(frame, user, n);
    return ERR_OK;
}

static void free_half(pte_t link)
{
    if (pte_present(link) && frame_free(pte_frame(link, PT_LEVELS_MAX)) != ERR_OK)
        PANIC("a table's frame was not allocated");
}

/* Four to five: *n is how many tables came to be below the new top table */
static err_t build_five(const pte_cell *old, pte_cell *new, unsigned *n)
{
    pte_t low, high;
    err_t err = half(old, 0, SLOT_KERNEL_HALF, true, &low);

    if (err != ERR_OK)
        return err;
    err = half(old, SLOT_KERNEL_HALF, recursive_slot(KERNEL_LEVELS), false, &high);
    if (err != ERR_OK) {
        free_half(low);
        return err;
    }
    pte_store(&new[LOW_HALF], low);
    pte_store(&new[HIGH_HALF], high);
    *n = pte_present(low) + pte_present(high);
    return ERR_OK;
}

/* Five to four: *n is how many tables are not needed any more */
static err_t build_four(const pte_cell *old, pte_cell *new, unsigned *n)
{
    pte_t low = pte_load(&old[LOW_HALF]), high = pte_load(&old[HIGH_HALF]);
    bool  beyond_low, beyond_high;

    beyond_low = pte_present(low) && count(table(pte_frame(low, 5)), SLOT_KERNEL_HALF, TABLE_ENTRIES) != 0;
    beyond_high = pte_present(high) && (count(table(pte_frame(high, 5)), 0, SLOT_KERNEL_HALF) != 0 ||
                                        pte_load(&table(pte_frame(high, 5))[recursive_slot(KERNEL_LEVELS)]).raw != 0);
    if (count(old, LOW_HALF + 1, recursive_slot(PT_LEVELS_MAX)) != 0 || beyond_low || beyond_high)
        return ERR_BUSY;
    if (pte_present(low))
        copy(new, table(pte_frame(low, 5)), 0, SLOT_KERNEL_HALF);
    if (pte_present(high))
        copy(new, table(pte_frame(high, 5)), SLOT_KERNEL_HALF, recursive_slot(KERNEL_LEVELS));
    *n = pte_present(low) + pte_present(high);
    return ERR_OK;
}

/* What hung between the five-level top table and the rest is not needed, or no longer */
static void free_between(const pte_cell *five)
{
    free_half(pte_load(&five[LOW_HALF]));
    free_half(pte_load(&five[HIGH_HALF]));
}

static err_t change(struct pt *pt, pfn_t root, void (*load)(void *arg, pfn_t root), void *arg)
{
    bool      to_five = pt->levels == KERNEL_LEVELS;
    unsigned  levels = to_five ? PT_LEVELS_MAX : KERNEL_LEVELS, n = 0;
    pte_cell *new = table(root), *old = table(pt->root);
    pfn_t     old_root = pt->root;
    err_t     err;

    if (pt->kernel != NULL || pt->followers != NULL)
        return ERR_BUSY;
    __builtin_memset(new, 0, PAGE_SIZE);
    pte_store(&new[recursive_slot(levels)],
              (pte_t){ pte_table(root, false, 0).raw | (pte_cpu.nx ? PTE_NX : 0) });
    err = to_five ? build_five(old, new, &n) : build_four(old, new, &n);
    if (err != ERR_OK)
        return err;
    load(arg, root);
    pt->root = root;
    pt->levels = levels;
    if (to_five) {
        pt->n_tables += n;
    } else {
        pt->n_tables -= n;
        free_between(old);
    }
    if (frame_free(old_root) != ERR_OK)
        PANIC("the old top table's frame was not allocated");
    return ERR_OK;
}

err_t pt_change_levels(struct pt *pt, pfn_t root, void (*load)(void *arg, pfn_t root), void *arg)
{
    uint64_t irq = irqlock_take(&pt->lock);
    err_t    err = change(pt, root, load, arg);

    irqlock_drop(&pt->lock, irq);
    return err;
}
