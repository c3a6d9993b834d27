/* SPDX-License-Identifier: MIT */
/*
 * test/host/space_sim.h - a CPU that runs in address spaces: the software MMU, a TLB in front of it, page faults to
 * as_fault()
 *
 * For tests of regions and faults; includes the frame allocator that can be told to fail. The TLB caches whatever it
 * was asked and forgets what it is told to, so that a forgotten flush shows as wrong contents.
 */
#ifndef TEST_HOST_SPACE_SIM_H
#define TEST_HOST_SPACE_SIM_H

#include "mm/framedb.h"
#include "mm/region.h"
#include "mm/shared.h"
#include "test/host/port_host.h"
#include "test/host/sim_frames.h"
#include "test/host/sim_mmu.h"

static struct pt space_kernel;

static uint64_t *space_physical(uint64_t address) { return port_ptr(pa(address)); }

/* ---- the TLB of the one CPU, for the space it is in ------------------------------------------------------ */

#define SPACE_TLB 512

static struct space_tlb_entry {
    bool     valid, w, x, u;
    uint64_t page, physical; /* of 4 KiB */
    unsigned bits;           /* of the page it is from: INVLPG anywhere in it forgets all of it */
} space_tlb[SPACE_TLB];

static uint64_t space_tlb_hits;

static void space_tlb_event(const struct host_tlb_event *e)
{
    for (unsigned i = 0; i < SPACE_TLB; i++) {
        struct space_tlb_entry *t = &space_tlb[i];

        if (e->kind != HOST_TLB_PAGE || (t->page << 12) >> t->bits == e->what >> t->bits)
            t->valid = false;
    }
}

/* One access of ring 3; what the TLB allows is not looked up again */
static struct sim_result space_access(const struct as *as, va_t v, struct sim_access a)
{
    struct sim_cpu cpu = { .cr3 = pfn_to_pa(as->pt.root).raw, .maxphyaddr = 46, .la57 = as->pt.levels == 5, .nxe = true,
                           .wp = true, .smep = true, .page1gb = true, .physical = space_physical };
    struct space_tlb_entry *t = &space_tlb[(v.raw >> 12) % SPACE_TLB];
    struct sim_result       r, w, x;

    a.user = true;
    if (t->valid && t->page == v.raw >> 12 && t->u && (!a.write || t->w) && (!a.fetch || t->x)) {
        space_tlb_hits++;
        return (struct sim_result){ .outcome = SIM_OK, .physical = t->physical | (v.raw & 4095), .page_bits = t->bits };
    }
    t->valid = false; /* a fault forgets the page, as on a CPU */
    r = sim_access(&cpu, v.raw, a, true);
    if (r.outcome != SIM_OK)
        return r;
    w = sim_access(&cpu, v.raw, (struct sim_access){ .write = true, .user = true }, false);
    x = sim_access(&cpu, v.raw, (struct sim_access){ .fetch = true, .user = true }, false);
    *t = (struct space_tlb_entry){ .valid = true, .u = true, .w = w.outcome == SIM_OK && a.write,
                                   .x = x.outcome == SIM_OK, .page = v.raw >> 12, .physical = r.physical & ~(uint64_t)4095,
                                   .bits = r.page_bits };
    return r;
}

/* The program touches v; faults are served until it may, or is refused */
static struct as_fault_report space_report;

static inline err_t space_touch(struct as *as, va_t v, struct sim_access a, uint64_t **at)
{
    if (as_current() != as)
        as_switch(as);
    for (int tries = 0; tries < 8; tries++) {
        struct sim_result r = space_access(as, v, a);
        err_t             err;

        if (r.outcome == SIM_OK) {
            if (at != NULL)
                *at = space_physical(r.physical);
            return ERR_OK;
        }
        err = as_fault(as, v, r.outcome == SIM_PAGE_FAULT ? r.error_code : FAULT_ERR_U, &space_report);
        if (err != ERR_OK)
            return err;
    }
    return ERR_BUSY; /* it goes on faulting for ever */
}

static inline err_t space_read(struct as *as, va_t v, uint64_t *out)
{
    uint64_t *at;
    err_t     err = space_touch(as, v, (struct sim_access){ 0 }, &at);

    if (err == ERR_OK)
        *out = *at;
    return err;
}

static inline err_t space_write(struct as *as, va_t v, uint64_t value)
{
    uint64_t *at;
    err_t     err = space_touch(as, v, (struct sim_access){ .write = true }, &at);

    if (err == ERR_OK)
        *at = value;
    return err;
}

static inline err_t space_fetch(struct as *as, va_t v) { return space_touch(as, v, (struct sim_access){ .fetch = true }, NULL); }

/* ---- the machine ------------------------------------------------------------------------------------------- */

/* Memory, the kernel's tables, no space; false: something of it failed */
static inline bool space_open(unsigned levels)
{
    struct pte_cpu entries = { .phys_bits = 46, .nx = true, .gib_pages = true };

    host_memory_open(SIM_FRAMES * PAGE_SIZE);
    host_tlb_hook = space_tlb_event;
    if (pte_start(&entries) != ERR_OK || pt_create(&space_kernel, levels) != ERR_OK ||
        pt_map(&space_kernel, slot_base(SLOT_DYNAMIC, levels), pfn(5), 1, PTE_W | PTE_G | PTE_NX, NULL) != ERR_OK)
        return false;
    as_start(&space_kernel);
    return true;
}

/* Everything is given back; else what is not, in words */
static inline const char *space_close(void)
{
    const char *wrong = NULL;

    as_switch(NULL);
    pt_destroy(&space_kernel);
    if (sim_in_use != 0)
        wrong = "frames are lost";
    else if (framedb_frames() != 0)
        wrong = "records of frames are left";
    else if (commit_pages() != 0)
        wrong = "something is still promised";
    sim_in_use = 0;
    sim_hint = 1;
    memset(sim_order, 0, sizeof sim_order);
    frames_until_failure = NEVER_FAIL;
    host_tlb_hook = NULL;
    host_memory_close();
    return wrong;
}

#endif
