/* SPDX-License-Identifier: MIT */
/* test/host/test_region.c - regions and page faults by examples: what a program sees, and what it costs */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "test/host/space_sim.h"

#define RW (REGION_R | REGION_W)

static struct as a;

static int setup(void **state)
{
    assert_true(space_open(*(unsigned *)*state));
    assert_int_equal(as_create(&a), ERR_OK);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    assert_null(as_regions_check(&a));
    assert_null(pt_check(&a.pt));
    as_switch(NULL);
    as_destroy(&a);
    assert_null(space_close());
    return 0;
}

static va_t user(uint64_t offset) { return va_add(slot_base(SLOT_PROCESS, a.pt.levels), offset); }

static va_t add(struct region_want want)
{
    va_t at;

    assert_int_equal(as_region_add(&a, &want, &at), ERR_OK);
    return at;
}

static uint64_t read_at(struct as *as, va_t v)
{
    uint64_t value = ~(uint64_t)0;

    assert_int_equal(space_read(as, v, &value), ERR_OK);
    return value;
}

static void write_at(struct as *as, va_t v, uint64_t value) { assert_int_equal(space_write(as, v, value), ERR_OK); }

static enum fault_plan last_plan(void) { return space_report.plan; }

static struct as_memory memory(void)
{
    struct as_memory m;

    as_memory(&a, &m);
    return m;
}

static void nothing_is_loaded_before_it_is_touched(void **state)
{
    (void)state;
    uint64_t before = sim_in_use;
    va_t     v = add((struct region_want){ .n_pages = 1000, .prot = RW });

    assert_int_equal(sim_in_use, before + 1); /* a node's frame */
    assert_int_equal(read_at(&a, v), 0);
    assert_int_equal(last_plan(), FAULT_MAP_ZERO);
    assert_int_equal(memory().zero_pages, 1);
    assert_int_equal(memory().resident_pages, 0);
    write_at(&a, v, 5);
    assert_int_equal(last_plan(), FAULT_NEW_ZERO);
    write_at(&a, va_add(v, 999 * PAGE_SIZE), 6);
    assert_int_equal(read_at(&a, v), 5);
    assert_int_equal(memory().owned_pages, 2);
    assert_int_equal(memory().zero_pages, 0);
    assert_int_equal(as_region_remove(&a, v, 1000), ERR_OK);
    assert_int_equal(sim_in_use, before);
}

static void what_is_refused_is_named(void **state)
{
    (void)state;
    uint64_t x;
    va_t     stack = add((struct region_want){ .kind = REGION_STACK, .n_pages = 9, .prot = RW });
    va_t     none = add((struct region_want){ .n_pages = 1, .prot = 0 });
    va_t     text = add((struct region_want){ .n_pages = 1, .prot = REGION_R | REGION_X });

    assert_int_equal(space_read(&a, user(0), &x), ERR_NOENT);
    assert_int_equal(space_report.denial, FAULT_NO_REGION);
    assert_int_equal(space_report.what.kind, FAULT_PURE);
    assert_int_equal(space_report.what.level, a.pt.levels);
    assert_int_equal(space_write(&a, stack, 1), ERR_NOENT);
    assert_int_equal(space_report.denial, FAULT_GUARD);
    assert_int_equal(space_fetch(&a, va_add(stack, PAGE_SIZE)), ERR_PERM);
    assert_int_equal(space_report.denial, FAULT_NO_FETCH);
    assert_int_equal(space_read(&a, none, &x), ERR_PERM);
    assert_int_equal(space_report.denial, FAULT_NO_READ);
    assert_int_equal(space_fetch(&a, text), ERR_OK);
    assert_int_equal(space_write(&a, text, 1), ERR_PERM);
    assert_int_equal(space_report.denial, FAULT_NO_WRITE);
    assert_int_equal(space_report.what.kind, FAULT_WRITE);
    assert_int_equal(space_report.region.kind, REGION_ANON);
    assert_int_equal(space_read(&a, slot_base(SLOT_DYNAMIC, a.pt.levels), &x), ERR_NOENT);
    assert_int_equal(space_report.denial, FAULT_NOT_USERS);
    for (unsigned i = 0; i < FAULT_DENIALS; i++)
        assert_non_null(fault_denial_words((enum fault_denial)i));
}

static void a_stack_grows_down_to_its_guard(void **state)
{
    (void)state;
    va_t     stack = add((struct region_want){ .kind = REGION_STACK, .n_pages = 9, .prot = RW });
    va_t     top = va_add(stack, 9 * PAGE_SIZE);
    uint64_t promised = commit_pages();

    assert_int_equal(promised, 0);
    write_at(&a, va(top.raw - 8), 1);
    assert_true(space_report.grew);
    assert_int_equal(commit_pages(), 1);
    write_at(&a, va(top.raw - 5 * PAGE_SIZE), 1); /* jumps over three */
    assert_int_equal(commit_pages(), 5);
    write_at(&a, va(top.raw - 2 * PAGE_SIZE), 1);
    assert_false(space_report.grew);
    write_at(&a, va_add(stack, PAGE_SIZE), 1);
    assert_int_equal(commit_pages(), 8);
    assert_int_equal(space_write(&a, va_add(stack, PAGE_SIZE - 8), 1), ERR_NOENT);
    assert_int_equal(space_report.denial, FAULT_GUARD);
    assert_int_equal(memory().faults_grow, 3);
}

static void the_heap_ends_where_brk_says(void **state)
{
    (void)state;
    uint64_t x;
    va_t     end;

    as_heap_at(&a, user(0));
    assert_int_equal(as_brk(&a, va(0), &end), ERR_OK);
    assert_int_equal(end.raw, user(0).raw);
    assert_int_equal(as_brk(&a, user(100), &end), ERR_OK);
    write_at(&a, user(96), 7);
    assert_true(space_report.grew);
    assert_int_equal(as_brk(&a, user(10 * PAGE_SIZE), &end), ERR_OK);
    write_at(&a, user(9 * PAGE_SIZE), 8);
    assert_int_equal(memory().regions, 1);
    assert_int_equal(as_brk(&a, user(5 * PAGE_SIZE + 1), &end), ERR_OK);
    assert_int_equal(space_read(&a, user(9 * PAGE_SIZE), &x), ERR_NOENT);
    assert_int_equal(read_at(&a, user(96)), 7);
    (void)add((struct region_want){ .start = user(8 * PAGE_SIZE), .n_pages = 1, .prot = RW });
    assert_int_equal(as_brk(&a, user(9 * PAGE_SIZE), &end), ERR_EXISTS);
    assert_int_equal(as_brk(&a, va(user(0).raw - 1), &end), ERR_INVAL);
    assert_int_equal(as_brk(&a, va(0), &end), ERR_OK);
    assert_int_equal(end.raw, user(5 * PAGE_SIZE + 1).raw);
    assert_int_equal(as_brk(&a, user(0), &end), ERR_OK);
    assert_int_equal(memory().regions, 1);
}

static void mappings_find_room_below_each_other_and_become_one(void **state)
{
    (void)state;
    va_t first = add((struct region_want){ .n_pages = 3, .prot = RW });
    va_t second = add((struct region_want){ .n_pages = 5, .prot = RW });
    va_t large, third;

    assert_int_equal(second.raw + 5 * PAGE_SIZE, first.raw);
    assert_int_equal(memory().regions, 1);
    third = add((struct region_want){ .n_pages = 5, .prot = REGION_R });
    assert_int_equal(memory().regions, 2);
    assert_int_equal(as_region_protect(&a, third, 5, RW), ERR_OK);
    assert_int_equal(memory().regions, 1);
    large = add((struct region_want){ .n_pages = 600, .prot = RW });
    assert_true(is_aligned(large.raw, 2 * MIB));
    assert_int_equal(as_region_protect(&a, va_add(third, PAGE_SIZE), 2, REGION_R), ERR_OK);
    assert_int_equal(memory().regions, 4);
    assert_int_equal(as_region_remove(&a, third, 1), ERR_OK);
    assert_int_equal(memory().mapped_pages, 612);
}

static void wrong_arguments_change_nothing(void **state)
{
    (void)state;
    struct region_want w = { .start = user(0), .n_pages = 2, .prot = RW };
    va_t               v = { 77 };

    (void)add(w);
    assert_int_equal(as_region_add(&a, &w, &v), ERR_EXISTS);
    w.start.raw += 100;
    assert_int_equal(as_region_add(&a, &w, &v), ERR_INVAL);
    w.start = va(0x1000);
    assert_int_equal(as_region_add(&a, &w, &v), ERR_INVAL);
    w.start = slot_base(SLOT_DYNAMIC, a.pt.levels);
    assert_int_equal(as_region_add(&a, &w, &v), ERR_INVAL);
    w.start = va(0);
    w.n_pages = 0;
    assert_int_equal(as_region_add(&a, &w, &v), ERR_INVAL);
    w.n_pages = (uint64_t)1 << 50;
    assert_int_equal(as_region_add(&a, &w, &v), ERR_NOMEM);
    w.n_pages = 1;
    w.prot = REGION_W | REGION_X;
    assert_int_equal(as_region_add(&a, &w, &v), ERR_PERM);
    w.prot = 8;
    assert_int_equal(as_region_add(&a, &w, &v), ERR_INVAL);
    assert_int_equal(v.raw, 77);
    assert_int_equal(as_region_protect(&a, user(PAGE_SIZE), 2, REGION_R), ERR_NOENT);
    assert_int_equal(as_region_protect(&a, user(0), 1, RW | REGION_X), ERR_PERM);
    assert_int_equal(as_advise(&a, user(PAGE_SIZE), 2, AS_HUGE), ERR_NOENT);
    assert_int_equal(as_advise(&a, user(0), 2, (enum as_advice)9), ERR_INVAL);
    assert_int_equal(as_region_remap(&a, user(PAGE_SIZE), 2, 3, true, &v), ERR_INVAL);
    assert_int_equal(as_region_remap(&a, user(3 * PAGE_SIZE), 2, 3, true, &v), ERR_NOENT);
    assert_int_equal(as_region_remap(&a, user(0), 2, 0, true, &v), ERR_INVAL);
    assert_int_equal(as_region_remove(&a, user(0), (uint64_t)1 << 60), ERR_INVAL);
    assert_int_equal(memory().mapped_pages, 2);
    assert_int_equal(memory().regions, 1);
}

/* ---- files --------------------------------------------------------------------------------------------- */

static struct image_file file;

/* Four pages and a half, page n full of 0x1000 + n */
static void make_file(void)
{
    uint64_t *word;

    file = (struct image_file){ .name = "file", .first = pfn(SIM_FRAMES - 8), .n_bytes = 4 * PAGE_SIZE + 2048 };
    word = port_ptr(pfn_to_pa(file.first));
    for (unsigned i = 0; i < 5 * 512; i++)
        word[i] = 0x1000 + i / 512;
}

static void a_private_image_shows_the_file_and_keeps_its_writes(void **state)
{
    (void)state;
    va_t     v, again;
    uint64_t before;

    make_file();
    v = add((struct region_want){ .kind = REGION_IMAGE, .n_pages = 6, .prot = RW, .file = &file, .offset = PAGE_SIZE,
                                  .file_bytes = 3 * PAGE_SIZE + 1000 });
    before = sim_in_use;
    assert_int_equal(read_at(&a, v), 0x1001);
    assert_int_equal(last_plan(), FAULT_MAP_IMAGE);
    assert_int_equal(sim_in_use, before + a.pt.n_tables - 1); /* tables, no frame */
    write_at(&a, va_add(v, 8), 9);
    assert_int_equal(last_plan(), FAULT_COPY);
    assert_int_equal(read_at(&a, v), 0x1001);
    write_at(&a, va_add(v, PAGE_SIZE), 10);
    assert_int_equal(last_plan(), FAULT_NEW_IMAGE);
    assert_int_equal(read_at(&a, va_add(v, 3 * PAGE_SIZE + 992)), 0x1004);
    assert_int_equal(last_plan(), FAULT_NEW_IMAGE);
    assert_int_equal(read_at(&a, va_add(v, 3 * PAGE_SIZE + 1000)), 0); /* the file goes on, the segment does not */
    assert_int_equal(read_at(&a, va_add(v, 4 * PAGE_SIZE)), 0);
    assert_int_equal(last_plan(), FAULT_MAP_ZERO);
    write_at(&a, va_add(v, 5 * PAGE_SIZE), 11);
    again = add((struct region_want){ .kind = REGION_IMAGE, .n_pages = 2, .prot = REGION_R, .file = &file,
                                      .offset = PAGE_SIZE, .file_bytes = 2 * PAGE_SIZE });
    assert_int_equal(read_at(&a, va_add(again, 8)), 0x1001);
    assert_int_equal(as_advise(&a, v, 6, AS_DONT_NEED), ERR_OK);
    assert_int_equal(read_at(&a, va_add(v, 8)), 0x1001);
    assert_int_equal(read_at(&a, va_add(v, 5 * PAGE_SIZE)), 0);
    assert_int_equal(as_region_protect(&a, va_add(v, 2 * PAGE_SIZE), 1, REGION_R), ERR_OK);
    assert_int_equal(read_at(&a, va_add(v, 3 * PAGE_SIZE)), 0x1004);
    assert_int_equal(as_region_protect(&a, va_add(v, 2 * PAGE_SIZE), 1, RW), ERR_OK);
    assert_int_equal(memory().regions, 2);
}

static void a_shared_file_is_one_memory_for_all(void **state)
{
    (void)state;
    struct shared *s;
    va_t           v, w;

    make_file();
    assert_int_equal(shared_open_file(&file, &s), ERR_OK);
    assert_int_equal(shared_pages(s), 5);
    v = add((struct region_want){ .kind = REGION_SHARED, .n_pages = 5, .prot = RW, .shared = s });
    w = add((struct region_want){ .kind = REGION_SHARED, .n_pages = 2, .prot = REGION_R, .shared = s,
                                  .offset = 3 * PAGE_SIZE });
    shared_put(s);
    write_at(&a, va_add(v, 4 * PAGE_SIZE), 99);
    assert_int_equal(last_plan(), FAULT_MAP_SHARED);
    assert_int_equal(read_at(&a, va_add(w, PAGE_SIZE)), 99);
    assert_int_equal(read_at(&a, va_add(w, PAGE_SIZE + 8)), 0x1004);
    assert_int_equal(read_at(&a, va_add(w, PAGE_SIZE + 2048)), 0);
    assert_int_equal(*(uint64_t *)port_ptr(pfn_to_pa(pfn_add(file.first, 4))), 0x1004); /* the file stays as it is */
}

static void an_object_lives_as_long_as_its_references(void **state)
{
    (void)state;
    struct shared *s, *same, *other;
    uint64_t       before = sim_in_use;
    va_t           v;

    assert_int_equal(shared_open("", 5, &s), ERR_INVAL);
    assert_int_equal(shared_open("a name that is longer than any name may be", 5, &s), ERR_INVAL);
    assert_int_equal(shared_open("ring", 5, &s), ERR_OK);
    assert_int_equal(shared_open("ring", 6, &other), ERR_INVAL);
    assert_int_equal(shared_open("ring", 3, &same), ERR_OK);
    assert_ptr_equal(s, same);
    assert_int_equal(shared_open("other", 3, &other), ERR_OK);
    assert_ptr_not_equal(s, other);
    v = add((struct region_want){ .kind = REGION_SHARED, .n_pages = 5, .prot = RW, .shared = s });
    shared_put(other);
    shared_put(same);
    shared_put(s);
    write_at(&a, v, 1);
    assert_int_equal(as_region_remove(&a, va_add(v, PAGE_SIZE), 2), ERR_OK); /* two regions hold it now */
    assert_int_equal(as_region_remove(&a, v, 1), ERR_OK);
    assert_int_equal(shared_open("ring", 5, &s), ERR_OK);
    v = add((struct region_want){ .kind = REGION_SHARED, .n_pages = 5, .prot = RW, .shared = s });
    assert_int_equal(read_at(&a, v), 1); /* it was the same */
    shared_put(s);
    assert_int_equal(as_region_remove(&a, user(0), a.regions.bound.page - a.regions.first), ERR_OK);
    assert_int_equal(sim_in_use, before);
}

/* ---- forks --------------------------------------------------------------------------------------------- */

static void after_a_fork_each_sees_its_own_writes(void **state)
{
    (void)state;
    static struct as child, grandchild;
    va_t      v = add((struct region_want){ .n_pages = 8, .prot = RW });

    for (uint64_t i = 0; i < 6; i++)
        write_at(&a, va_add(v, i * PAGE_SIZE), 100 + i);
    assert_int_equal(as_fork(&child, &a), ERR_OK);
    assert_null(as_regions_check(&child));
    write_at(&a, v, 1);
    assert_int_equal(last_plan(), FAULT_COPY);
    write_at(&child, v, 2);
    assert_int_equal(last_plan(), FAULT_MAKE_WRITABLE); /* the parent has let go of it */
    write_at(&child, va_add(v, 6 * PAGE_SIZE), 3);
    assert_int_equal(as_fork(&grandchild, &child), ERR_OK);
    write_at(&child, va_add(v, PAGE_SIZE), 4); /* three share it */
    assert_int_equal(read_at(&a, v), 1);
    assert_int_equal(read_at(&child, v), 2);
    assert_int_equal(read_at(&grandchild, v), 2);
    assert_int_equal(read_at(&a, va_add(v, 6 * PAGE_SIZE)), 0);
    assert_int_equal(read_at(&grandchild, va_add(v, 6 * PAGE_SIZE)), 3);
    assert_int_equal(read_at(&a, va_add(v, PAGE_SIZE)), 101);
    assert_int_equal(read_at(&grandchild, va_add(v, PAGE_SIZE)), 101);
    assert_int_equal(read_at(&child, va_add(v, PAGE_SIZE)), 4);
    as_switch(NULL);
    as_destroy(&child);
    assert_int_equal(read_at(&grandchild, va_add(v, 5 * PAGE_SIZE)), 105);
    as_switch(NULL);
    as_destroy(&grandchild);
    write_at(&a, va_add(v, 5 * PAGE_SIZE), 6);
    assert_int_equal(last_plan(), FAULT_MAKE_WRITABLE);
    assert_int_equal(memory().shared_pages, 0);
}

static void shared_memory_stays_shared_over_a_fork(void **state)
{
    (void)state;
    struct shared *s;
    static struct as child;
    va_t           v;

    assert_int_equal(shared_open("both", 2, &s), ERR_OK);
    v = add((struct region_want){ .kind = REGION_SHARED, .n_pages = 2, .prot = RW, .shared = s });
    shared_put(s);
    write_at(&a, v, 1);
    assert_int_equal(as_fork(&child, &a), ERR_OK);
    write_at(&child, v, 2);
    assert_int_equal(read_at(&a, v), 2);
    write_at(&a, va_add(v, PAGE_SIZE), 3);
    assert_int_equal(read_at(&child, va_add(v, PAGE_SIZE)), 3);
    as_switch(NULL);
    as_destroy(&child);
    assert_int_equal(read_at(&a, v), 2);
}

/* ---- 2 MiB --------------------------------------------------------------------------------------------- */

static void advised_memory_comes_2_mib_at_a_time(void **state)
{
    (void)state;
    va_t v = add((struct region_want){ .n_pages = 1100, .prot = RW, .flags = REGION_HUGE });

    write_at(&a, va_add(v, 5 * PAGE_SIZE), 1);
    assert_true(last_plan() == FAULT_NEW_HUGE && space_report.huge);
    assert_int_equal(memory().huge_pages, 1);
    assert_int_equal(read_at(&a, va_add(v, 511 * PAGE_SIZE)), 0);
    write_at(&a, va_add(v, 1099 * PAGE_SIZE), 1); /* its span reaches beyond the region */
    assert_int_equal(last_plan(), FAULT_NEW_ZERO);
    assert_int_equal(as_region_protect(&a, va_add(v, 4 * PAGE_SIZE), 1, REGION_R), ERR_OK); /* cuts it */
    assert_int_equal(memory().huge_pages, 0);
    assert_int_equal(memory().owned_pages, 513);
    assert_int_equal(read_at(&a, va_add(v, 5 * PAGE_SIZE)), 1);
    assert_int_equal(as_region_remove(&a, va_add(v, 5 * PAGE_SIZE), 1), ERR_OK);
    assert_int_equal(memory().owned_pages, 512);
    write_at(&a, va_add(v, 600 * PAGE_SIZE), 1);
    assert_int_equal(as_region_protect(&a, va_add(v, 512 * PAGE_SIZE), 512, REGION_R), ERR_OK); /* all of one */
    assert_int_equal(memory().huge_pages, 1);
}

static void a_span_that_is_touched_enough_becomes_one_page(void **state)
{
    (void)state;
    va_t v = add((struct region_want){ .n_pages = 512, .prot = RW });

    for (uint64_t i = 0; i < 383; i++)
        write_at(&a, va_add(v, i * PAGE_SIZE), 100 + i);
    assert_int_equal(memory().huge_pages, 0);
    write_at(&a, va_add(v, 500 * PAGE_SIZE), 7);
    assert_int_equal(memory().huge_pages, 1);
    assert_int_equal(memory().owned_pages, 512);
    for (uint64_t i = 0; i < 383; i++)
        assert_int_equal(read_at(&a, va_add(v, i * PAGE_SIZE)), 100 + i);
    assert_int_equal(read_at(&a, va_add(v, 500 * PAGE_SIZE)), 7);
    assert_int_equal(read_at(&a, va_add(v, 400 * PAGE_SIZE)), 0);
}

static void without_advice_to_the_contrary_only(void **state)
{
    (void)state;
    va_t v = add((struct region_want){ .n_pages = 512, .prot = RW, .flags = REGION_NO_HUGE });

    assert_int_equal(as_advise(&a, v, 512, AS_WILL_NEED), ERR_OK);
    assert_int_equal(memory().owned_pages, 512);
    assert_int_equal(memory().huge_pages, 0);
}

static void a_shared_2_mib_page_is_copied_whole(void **state)
{
    (void)state;
    static struct as child;
    va_t      v = add((struct region_want){ .n_pages = 1024, .prot = RW, .flags = REGION_HUGE });
    uint64_t  before;

    write_at(&a, v, 1);
    write_at(&a, va_add(v, 512 * PAGE_SIZE), 2);
    before = sim_in_use;
    assert_int_equal(as_fork(&child, &a), ERR_OK);
    assert_true(sim_in_use < before + 20);
    write_at(&child, va_add(v, 8), 3);
    assert_true(last_plan() == FAULT_COPY && space_report.huge);
    assert_int_equal(read_at(&child, v), 1);
    assert_int_equal(read_at(&a, va_add(v, 8)), 0);
    write_at(&a, v, 4);
    assert_int_equal(last_plan(), FAULT_MAKE_WRITABLE);
    assert_int_equal(memory().huge_pages, 2);
    assert_int_equal(as_region_remove(&a, va_add(v, 513 * PAGE_SIZE), 1), ERR_OK); /* cuts one that is shared */
    assert_int_equal(memory().huge_pages, 1);
    assert_int_equal(read_at(&a, va_add(v, 512 * PAGE_SIZE)), 2);
    assert_int_equal(read_at(&child, va_add(v, 513 * PAGE_SIZE)), 0);
    assert_null(as_regions_check(&child));
    as_switch(NULL);
    as_destroy(&child);
}

/* ---- remap, limits --------------------------------------------------------------------------------------- */

static void remapping_moves_tables_and_keeps_contents(void **state)
{
    (void)state;
    uint64_t x;
    va_t     v = add((struct region_want){ .start = user(0), .n_pages = 4, .prot = RW }), now;

    for (uint64_t i = 0; i < 4; i++)
        write_at(&a, va_add(v, i * PAGE_SIZE), 10 + i);
    assert_int_equal(as_region_remap(&a, v, 4, 6, false, &now), ERR_OK);
    assert_int_equal(now.raw, v.raw);
    (void)add((struct region_want){ .start = user(6 * PAGE_SIZE), .n_pages = 1, .prot = REGION_R });
    assert_int_equal(as_region_remap(&a, v, 6, 7, false, &now), ERR_NOMEM);
    assert_int_equal(as_region_remap(&a, v, 6, 700, true, &now), ERR_OK);
    assert_int_not_equal(now.raw, v.raw);
    assert_int_equal(space_read(&a, v, &x), ERR_NOENT);
    for (uint64_t i = 0; i < 4; i++)
        assert_int_equal(read_at(&a, va_add(now, i * PAGE_SIZE)), 10 + i);
    write_at(&a, va_add(now, 699 * PAGE_SIZE), 1);
    assert_int_equal(as_region_remap(&a, now, 700, 2, false, &v), ERR_OK);
    assert_int_equal(memory().owned_pages, 2);
    assert_int_equal(commit_pages(), 2);
}

static void a_huge_page_moves_as_it_is(void **state)
{
    (void)state;
    va_t v = add((struct region_want){ .start = user(0), .n_pages = 512, .prot = RW, .flags = REGION_HUGE }), now;

    write_at(&a, v, 1);
    (void)add((struct region_want){ .start = user(512 * PAGE_SIZE), .n_pages = 1, .prot = REGION_R });
    assert_int_equal(as_region_remap(&a, v, 512, 513, true, &now), ERR_OK);
    assert_int_equal(memory().huge_pages, 1);
    assert_int_equal(read_at(&a, now), 1);
}

static void a_space_over_its_limit_gets_no_frame(void **state)
{
    (void)state;
    va_t     v = add((struct region_want){ .n_pages = 100, .prot = RW });
    uint64_t i = 0;

    as_limit(&a, 20);
    while (i < 100 && space_write(&a, va_add(v, i * PAGE_SIZE), 1) == ERR_OK)
        i++;
    assert_int_equal(i, 20 - a.pt.n_tables);
    assert_int_equal(space_report.denial, FAULT_OVER_LIMIT);
    as_limit(&a, 0);
    write_at(&a, va_add(v, 99 * PAGE_SIZE), 1);
}

static void strict_promises_are_kept(void **state)
{
    (void)state;
    struct region_want w = { .n_pages = SIM_FRAMES * 3 / 4, .prot = RW };
    va_t               v;
    static struct as child;

    commit_policy(OVERCOMMIT_STRICT);
    (void)add(w);
    assert_int_equal(as_region_add(&a, &w, &v), ERR_NOMEM);
    assert_int_equal(as_fork(&child, &a), ERR_NOMEM);
    w.prot = REGION_R; /* promises nothing ... */
    v = add(w);
    assert_int_equal(as_region_protect(&a, v, w.n_pages, RW), ERR_NOMEM); /* ... before it may be written */
    commit_policy(OVERCOMMIT_HEURISTIC);
    assert_int_equal(as_region_protect(&a, v, w.n_pages, RW), ERR_OK);
    w.n_pages = SIM_FRAMES + 1;
    w.prot = RW;
    assert_int_equal(as_region_add(&a, &w, &v), ERR_NOMEM);
}

static void locked_memory_is_there_and_stays(void **state)
{
    (void)state;
    va_t v = add((struct region_want){ .n_pages = 10, .prot = RW });

    assert_int_equal(as_lock(&a, va_add(v, PAGE_SIZE), 4, true), ERR_OK);
    assert_int_equal(memory().owned_pages, 4);
    assert_int_equal(memory().locked_pages, 4);
    assert_int_equal(as_advise(&a, v, 10, AS_DONT_NEED), ERR_PERM);
    assert_int_equal(as_lock(&a, v, 10, false), ERR_OK);
    assert_int_equal(memory().regions, 1);
    assert_int_equal(as_advise(&a, v, 10, AS_DONT_NEED), ERR_OK);
    assert_int_equal(memory().owned_pages, 0);
}

static void a_device_is_mapped_where_it_is(void **state)
{
    (void)state;
    struct as_memory m;
    static struct as child;
    va_t v = add((struct region_want){ .kind = REGION_PHYS, .n_pages = 2, .prot = RW, .frame = pfn(SIM_FRAMES - 2),
                                       .cache = PTE_CACHE_UC });
    pa_t p;

    write_at(&a, va_add(v, PAGE_SIZE), 5);
    assert_int_equal(pt_translate(&a.pt, va_add(v, PAGE_SIZE), &p), ERR_OK);
    assert_int_equal(pa_to_pfn(p).idx, SIM_FRAMES - 1);
    m = memory();
    assert_int_equal(m.resident_pages, 0);
    assert_int_equal(as_fork(&child, &a), ERR_OK);
    assert_null(pt_check(&child.pt));
    assert_int_equal(read_at(&child, va_add(v, PAGE_SIZE)), 5);
    v = add((struct region_want){ .kind = REGION_PHYS, .n_pages = 2, .prot = RW, .frame = pfn(SIM_FRAMES - 2),
                                  .cache = PTE_CACHE_WC });
    assert_int_equal(space_write(&a, va_add(v, PAGE_SIZE), 1), ERR_ALIAS);
    assert_int_equal(space_report.denial, FAULT_ALIAS);
    as_switch(NULL);
    as_destroy(&child);
}

#define BOTH(test)                                                                                                     \
    { #test " (4 levels)", test, setup, teardown, &four }, { #test " (5 levels)", test, setup, teardown, &five }

int main(void)
{
    static unsigned         four = 4, five = 5;
    const struct CMUnitTest tests[] = {
        BOTH(nothing_is_loaded_before_it_is_touched),
        BOTH(what_is_refused_is_named),
        BOTH(a_stack_grows_down_to_its_guard),
        BOTH(the_heap_ends_where_brk_says),
        BOTH(mappings_find_room_below_each_other_and_become_one),
        BOTH(wrong_arguments_change_nothing),
        BOTH(a_private_image_shows_the_file_and_keeps_its_writes),
        BOTH(a_shared_file_is_one_memory_for_all),
        BOTH(an_object_lives_as_long_as_its_references),
        BOTH(after_a_fork_each_sees_its_own_writes),
        BOTH(shared_memory_stays_shared_over_a_fork),
        BOTH(advised_memory_comes_2_mib_at_a_time),
        BOTH(a_span_that_is_touched_enough_becomes_one_page),
        BOTH(without_advice_to_the_contrary_only),
        BOTH(a_shared_2_mib_page_is_copied_whole),
        BOTH(remapping_moves_tables_and_keeps_contents),
        BOTH(a_huge_page_moves_as_it_is),
        BOTH(a_space_over_its_limit_gets_no_frame),
        BOTH(strict_promises_are_kept),
        BOTH(locked_memory_is_there_and_stays),
        BOTH(a_device_is_mapped_where_it_is),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
