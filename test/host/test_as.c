/* SPDX-License-Identifier: MIT */
/* test/host/test_as.c - address spaces: shared halves, censuses, switches, clones, starvation */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "mm/as.h"
#include "test/host/port_host.h"
#include "test/host/sim_frames.h"
#include "test/host/sim_mmu.h"

static struct pt kernel;

static uint64_t *physical(uint64_t address) { return port_ptr(pa(address)); }

static struct sim_result access_to(const struct pt *pt, va_t v, struct sim_access a)
{
    struct sim_cpu cpu = { .cr3 = pfn_to_pa(pt->root).raw, .maxphyaddr = 46, .la57 = pt->levels == 5, .nxe = true,
                           .wp = true, .page1gb = true, .physical = physical };

    return sim_access(&cpu, v.raw, a, false);
}

static bool reads(const struct pt *pt, va_t v) { return access_to(pt, v, (struct sim_access){ 0 }).outcome == SIM_OK; }
static bool writes(const struct pt *pt, va_t v)
{
    return access_to(pt, v, (struct sim_access){ .write = true, .user = true }).outcome == SIM_OK;
}

static va_t kernel_at(uint64_t offset) { return va_add(slot_base(SLOT_DYNAMIC, kernel.levels), offset); }
static va_t user_at(uint64_t offset) { return va_add(slot_base(SLOT_PROCESS, kernel.levels), offset); }

static int setup(void **state)
{
    struct pte_cpu entries = { .phys_bits = 46, .nx = true, .gib_pages = true };

    host_memory_open(SIM_FRAMES * PAGE_SIZE);
    assert_int_equal(pte_start(&entries), ERR_OK);
    assert_int_equal(pt_create(&kernel, *(unsigned *)*state), ERR_OK);
    assert_int_equal(pt_map(&kernel, va(0x200000), pfn(0x200), 3, PTE_G, NULL), ERR_OK);
    assert_int_equal(pt_map(&kernel, kernel_at(0), pfn(5), 1, PTE_W | PTE_G | PTE_NX, NULL), ERR_OK);
    as_start(&kernel);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    assert_null(pt_check(&kernel));
    assert_null(kernel.followers);
    pt_destroy(&kernel);
    assert_int_equal(sim_in_use, 0);
    frames_until_failure = NEVER_FAIL;
    host_cpus_set(1);
    host_tlb_hook = NULL;
    host_memory_close();
    return 0;
}

static void the_kernels_half_is_in_every_space(void **state)
{
    (void)state;
    struct as a, b;
    va_t      later = slot_base(SLOT_DYNAMIC + 3, kernel.levels);

    assert_int_equal(as_create(&a), ERR_OK);
    assert_int_equal(as_create(&b), ERR_OK);
    assert_true(reads(&a.pt, kernel_at(0)) && reads(&b.pt, va(0x201000)));
    assert_int_equal(pt_map(&kernel, kernel_at(PAGE_SIZE), pfn(6), 1, PTE_G, NULL), ERR_OK);
    assert_int_equal(pt_map(&kernel, later, pfn(7), 1, PTE_G, NULL), ERR_OK); /* with four levels, a new top entry */
    assert_true(reads(&a.pt, kernel_at(PAGE_SIZE)) && reads(&a.pt, later) && reads(&b.pt, later));
    assert_null(pt_check(&a.pt));
    as_destroy(&b);
    as_destroy(&a);
    assert_true(reads(&kernel, later));
}

static void a_space_cannot_change_what_is_the_kernels(void **state)
{
    (void)state;
    struct as        a;
    struct tlb_batch batch;

    assert_int_equal(as_create(&a), ERR_OK);
    tlb_batch_open(&batch, &a.tlb);
    assert_int_equal(pt_map(&a.pt, va(0x300000), pfn(1), 1, 0, NULL), ERR_PERM);
    assert_int_equal(pt_unmap(&a.pt, kernel_at(0), 1, &batch), ERR_PERM);
    assert_int_equal(pt_map(&a.pt, user_at(0), pfn(1), 1, PTE_G, NULL), ERR_INVAL);
    tlb_batch_close(&batch);
    as_destroy(&a);
}

static void every_frame_comes_back(void **state)
{
    (void)state;
    uint64_t  before = sim_in_use;
    struct as a;
    pfn_t     foreign;

    assert_int_equal(frame_alloc(0, &foreign), ERR_OK);
    assert_int_equal(as_create(&a), ERR_OK);
    assert_int_equal(as_alloc(&a, user_at(0), 700, PTE_U | PTE_W), ERR_OK);
    assert_int_equal(as_alloc(&a, user_at(5 * GIB), 3, PTE_U), ERR_OK);
    assert_int_equal(pt_map(&a.pt, user_at(9 * GIB), foreign, 1, PTE_U, NULL), ERR_OK);
    assert_true(writes(&a.pt, user_at(699 * PAGE_SIZE)) && !writes(&a.pt, user_at(5 * GIB)));
    assert_int_equal(as_unmap(&a, user_at(PAGE_SIZE), 100), ERR_OK);
    assert_false(reads(&a.pt, user_at(PAGE_SIZE)));
    assert_null(pt_check(&a.pt));
    as_destroy(&a);
    assert_int_equal(sim_in_use, before + 1); /* what it did not own is still there */
    assert_int_equal(frame_free(foreign), ERR_OK);
}

static void a_clone_reads_the_same_frames(void **state)
{
    (void)state;
    struct as a, b;
    uint64_t  in_use;

    assert_int_equal(as_create(&a), ERR_OK);
    assert_int_equal(as_alloc(&a, user_at(0), 1030, PTE_U | PTE_W | PTE_NX), ERR_OK);
    assert_int_equal(pt_map(&a.pt, user_at(2 * GIB), pfn(0x80000), 1 << 18, PTE_U | PTE_W, NULL), ERR_OK);
    in_use = sim_in_use;
    assert_int_equal(as_clone(&b, &a), ERR_OK);
    assert_null(pt_check(&b.pt));
    assert_int_equal(sim_in_use, in_use + b.pt.n_tables);
    for (uint64_t at = 0; at < 1030 * PAGE_SIZE; at += PAGE_SIZE) {
        assert_int_equal(access_to(&a.pt, user_at(at), (struct sim_access){ 0 }).physical,
                         access_to(&b.pt, user_at(at), (struct sim_access){ 0 }).physical);
        assert_true(writes(&a.pt, user_at(at)) && !writes(&b.pt, user_at(at)));
    }
    assert_int_equal(access_to(&b.pt, user_at(2 * GIB + 5), (struct sim_access){ 0 }).page_bits, 30);
    as_destroy(&b);
    assert_int_equal(sim_in_use, in_use);
    as_destroy(&a);
}

static void out_of_frames_nothing_is_left(void **state)
{
    (void)state;
    struct as a, b;
    uint64_t  before;

    assert_int_equal(as_create(&a), ERR_OK);
    assert_int_equal(as_alloc(&a, user_at(2 * MIB - 5 * PAGE_SIZE), 70, PTE_U), ERR_OK);
    assert_int_equal(as_alloc(&a, user_at(700 * GIB), 1, PTE_U), ERR_OK);
    before = sim_in_use;
    for (int n = 0;; n++) {
        err_t err;

        frames_until_failure = n;
        err = as_clone(&b, &a);
        frames_until_failure = NEVER_FAIL;
        if (err == ERR_OK)
            break;
        assert_int_equal(err, ERR_NOMEM);
        assert_int_equal(sim_in_use, before);
    }
    as_destroy(&b);
    for (int n = 0;; n++) {
        err_t err;

        frames_until_failure = n;
        err = as_alloc(&a, user_at(30 * GIB), 130, PTE_U);
        frames_until_failure = NEVER_FAIL;
        if (err == ERR_OK)
            break;
        assert_int_equal(err, ERR_NOMEM);
        assert_int_equal(sim_in_use, before);
        assert_null(pt_check(&a.pt));
    }
    as_destroy(&a);
}

/* ---- switching, as the CPU sees it -------------------------------------------------------------- */

static struct host_tlb_event seen[64];
static unsigned              n_seen;

static void remember(const struct host_tlb_event *e)
{
    if (n_seen < ARRAY_LEN(seen))
        seen[n_seen++] = *e;
}

static void switching_keeps_what_is_still_good(void **state)
{
    (void)state;
    const struct tlb_cpu with_pcid = { .pcid = true }, without = { 0 };
    struct as            a, b;

    tlb_start(&with_pcid);
    host_tlb_hook = remember;
    assert_int_equal(as_create(&a), ERR_OK);
    assert_int_equal(as_create(&b), ERR_OK);
    assert_int_not_equal(a.tlb.pcid, b.tlb.pcid);
    n_seen = 0;
    as_switch(&a);
    as_switch(&b);
    as_switch(&a);
    assert_int_equal(n_seen, 3);
    assert_false(seen[0].flag); /* new: nothing may be kept */
    assert_true(seen[2].flag && seen[2].what == a.pt.root.idx && seen[2].pcid == a.tlb.pcid);
    assert_int_equal(as_alloc(&b, user_at(0), 1, PTE_U), ERR_OK);
    assert_int_equal(as_unmap(&b, user_at(0), 1), ERR_OK); /* while b is not current */
    n_seen = 0;
    as_switch(&b);
    assert_int_equal(n_seen, 1);
    assert_false(seen[0].flag); /* stale */
    as_switch(NULL);
    assert_null(as_current());
    as_destroy(&a);
    as_destroy(&b);
    tlb_start(&without);
}

static void a_space_flushes_where_it_is_current(void **state)
{
    (void)state;
    struct as a;

    host_cpus_set(4);
    assert_int_equal(as_create(&a), ERR_OK);
    for (unsigned cpu = 1; cpu < 3; cpu++) {
        host_cpu_set(cpu);
        as_switch(&a);
    }
    host_cpu_set(0);
    assert_int_equal(as_alloc(&a, user_at(0), 2, PTE_U), ERR_OK);
    host_tlb_hook = remember;
    n_seen = 0;
    assert_int_equal(as_unmap(&a, user_at(0), 1), ERR_OK);
    assert_int_equal(n_seen, 2); /* CPUs 1 and 2, and no other; one page each */
    for (unsigned i = 0; i < 2; i++)
        assert_true(seen[i].kind == HOST_TLB_PAGE && seen[i].cpu == 1 + i && seen[i].what == user_at(0).raw);
    for (unsigned cpu = 1; cpu < 3; cpu++) {
        host_cpu_set(cpu);
        as_switch(NULL);
    }
    host_cpu_set(0);
    as_destroy(&a);
}

static void the_low_addresses_can_be_a_spaces_own(void **state)
{
    struct tlb_batch batch;
    struct as        a, b;
    va_t             low = va(0x40000000);

    (void)state;
    assert_int_equal(as_create(&a), ERR_OK);
    assert_int_equal(as_create(&b), ERR_OK);
    as_switch(&a);
    assert_int_equal(pt_map(&a.pt, low, pfn(0x300), 1, PTE_U | PTE_W, NULL), ERR_PERM);
    assert_int_equal(as_own_low(&a), ERR_OK);
    assert_int_equal(as_own_low(&a), ERR_OK);
    assert_true(reads(&a.pt, va(0x200000)) && !writes(&a.pt, va(0x200000))); /* the kernel's is still there */
    assert_int_equal(pt_map(&a.pt, low, pfn(0x300), 1, PTE_U | PTE_W, NULL), ERR_OK);
    assert_true(writes(&a.pt, low));
    assert_false(reads(&b.pt, low));
    assert_false(reads(&kernel, low));
    assert_null(pt_check(&a.pt));
    tlb_batch_open(&batch, &a.tlb);
    assert_int_equal(pt_unmap(&a.pt, low, 1, &batch), ERR_OK);
    tlb_batch_close(&batch);
    as_switch(NULL);
    as_destroy(&a);
    as_destroy(&b);
}

static void without_frames_the_low_addresses_stay_shared(void **state)
{
    struct as a;
    uint64_t  before;

    (void)state;
    assert_int_equal(as_create(&a), ERR_OK);
    as_switch(&a);
    before = sim_in_use;
    for (int n = 0;; n++) {
        frames_until_failure = n;
        if (as_own_low(&a) == ERR_OK)
            break;
        assert_int_equal(sim_in_use, before);
        assert_true(reads(&a.pt, va(0x200000)));
    }
    frames_until_failure = NEVER_FAIL;
    assert_true(reads(&a.pt, va(0x200000)));
    as_switch(NULL);
    as_destroy(&a);
}

#define BOTH(test)                                                                                                     \
    { #test " (4 levels)", test, setup, teardown, &four }, { #test " (5 levels)", test, setup, teardown, &five }

int main(void)
{
    static unsigned         four = 4, five = 5;
    const struct CMUnitTest tests[] = {
        BOTH(the_kernels_half_is_in_every_space),
        BOTH(a_space_cannot_change_what_is_the_kernels),
        BOTH(every_frame_comes_back),
        BOTH(a_clone_reads_the_same_frames),
        BOTH(out_of_frames_nothing_is_left),
        BOTH(switching_keeps_what_is_still_good),
        BOTH(a_space_flushes_where_it_is_current),
        BOTH(the_low_addresses_can_be_a_spaces_own),
        BOTH(without_frames_the_low_addresses_stay_shared),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
