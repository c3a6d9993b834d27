/* SPDX-License-Identifier: MIT */
/*
 * test/host/test_region_model.c - address spaces against a page-by-page model
 *
 * The model knows of each page of each space whether it may be read, written, executed, and what its first word is; it
 * knows nothing of regions, tables, frames, references or sizes. Random operations on up to four spaces, with
 * allocations failing at random moments; what a program sees through the software MMU and a TLB is what the
 * model says, whoever forked from whom. A second test lets each allocation of each operation fail in turn.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "test/host/model_frame.h"
#include "test/host/space_sim.h"

#define WINDOW 2048 /* pages that operations touch: four spans of 2 MiB */
#define SPACES 4
#define RW     (REGION_R | REGION_W)

enum { OBJECTS = 2, OBJECT_PAGES = 64, FILE_PAGES = 40 };

struct mpage {
    bool     there, guard, locked, object;
    unsigned prot;
    unsigned kind;
    uint64_t value, initial; /* of the first word; of an object's page, which one and which page */
};

static struct model_space {
    bool         alive;
    struct as    as;
    struct mpage page[WINDOW];
} space[SPACES];

static uint64_t          object_value[OBJECTS][OBJECT_PAGES];
static struct shared    *object[OBJECTS];
static struct image_file file;
static uint64_t          first_page, next_value, longest = WINDOW;
static struct model_space before; /* not a space: what the model said */

static va_t at(uint64_t i) { return va((first_page + i) << PAGE_SHIFT); }

/* ---- the model --------------------------------------------------------------------------------------------- */

static uint64_t *value_of(struct mpage *p)
{
    return p->object ? &object_value[p->value / OBJECT_PAGES][p->value % OBJECT_PAGES] : &p->value;
}

static bool all_there(const struct model_space *s, uint64_t i, uint64_t n)
{
    for (uint64_t k = 0; k < n; k++)
        if (!s->page[i + k].there)
            return false;
    return true;
}

static bool none_there(const struct model_space *s, uint64_t i, uint64_t n)
{
    for (uint64_t k = 0; k < n; k++)
        if (s->page[i + k].there)
            return false;
    return true;
}

/* ---- what the program sees is what the model says -------------------------------------------------------------- */

static void see(struct model_space *s, uint64_t i)
{
    struct mpage *p = &s->page[i];
    bool          may_read = p->there && !p->guard && p->prot != 0, may_write = may_read && (p->prot & REGION_W) != 0;
    uint64_t      value = 0;
    err_t         err;

    if (rnd_below(2) == 0) {
        err = space_read(&s->as, at(i), &value);
        if ((err == ERR_OK) != may_read || (may_read && value != *value_of(p)))
            fail_msg("page %llu: read %d, value %llx, expected %d, %llx", ULL(i), err, ULL(value), may_read,
                     ULL(*value_of(p)));
    } else {
        err = space_write(&s->as, at(i), next_value);
        if ((err == ERR_OK) != may_write)
            fail_msg("page %llu: write %d, expected %d", ULL(i), err, may_write);
        if (may_write)
            *value_of(p) = next_value++;
    }
    if (err != ERR_OK)
        assert_true(space_report.denial == FAULT_NO_REGION || space_report.denial == FAULT_GUARD ||
                    space_report.denial == FAULT_NO_READ || space_report.denial == FAULT_NO_WRITE);
    if (err != ERR_OK)
        assert_int_equal(space_report.denial == FAULT_NO_REGION, !p->there);
    if (err != ERR_OK)
        assert_int_equal(space_report.denial == FAULT_GUARD, p->there && p->guard);
}

static void see_everything(struct model_space *s)
{
    for (uint64_t i = 0; i < WINDOW; i++)
        see(s, i);
}

/* ---- operations: the space first; the model follows if it said ERR_OK, and knows which errors are right ---------- */

static uint64_t some_page(void) { return rnd_below(WINDOW); }

static uint64_t some_length(uint64_t i)
{
    static const uint64_t most[] = { 1, 4, 60, 700, WINDOW };
    uint64_t              n = 1 + rnd_below(min_u64(most[rnd_below(5)], longest));

    return min_u64(n, WINDOW - i);
}

static unsigned some_prot(void)
{
    static const unsigned prots[] = { RW, RW, RW, REGION_R, REGION_R | REGION_X, 0 };

    return prots[rnd_below(6)];
}

static void fill_model(struct model_space *s, const struct region_want *w, uint64_t i, unsigned o)
{
    for (uint64_t k = 0; k < w->n_pages; k++) {
        struct mpage *p = &s->page[i + k];

        *p = (struct mpage){ .there = true, .prot = w->prot, .kind = (unsigned)w->kind,
                             .guard = w->kind == REGION_STACK && k == 0, .object = w->kind == REGION_SHARED };
        if (w->kind == REGION_IMAGE && k << PAGE_SHIFT < w->file_bytes)
            p->initial = p->value = 0x100000 + (w->offset >> PAGE_SHIFT) + k;
        if (w->kind == REGION_SHARED)
            p->value = o * OBJECT_PAGES + (w->offset >> PAGE_SHIFT) + k;
    }
}

static err_t op_add(struct model_space *s)
{
    uint64_t           i = some_page(), page, n = some_length(i);
    unsigned           o = (unsigned)rnd_below(OBJECTS);
    struct region_want w = { .start = at(i), .n_pages = n, .prot = some_prot(), .kind = (enum region_kind)rnd_below(5) };
    bool               free;
    va_t               where;
    err_t              err;

    if (w.kind == REGION_IMAGE) {
        w.file = &file;
        w.offset = rnd_below(FILE_PAGES) << PAGE_SHIFT;
        w.file_bytes = min_u64(rnd_below(n << PAGE_SHIFT) + 1, file.n_bytes - w.offset);
    } else if (w.kind == REGION_SHARED) {
        w.shared = object[o];
        w.n_pages = n = min_u64(n, OBJECT_PAGES);
        w.offset = rnd_below(OBJECT_PAGES - n + 1) << PAGE_SHIFT;
    } else if (rnd_below(3) == 0) {
        w.flags = rnd_below(2) == 0 ? REGION_HUGE : REGION_NO_HUGE;
    }
    if (rnd_below(4) == 0 && w.kind != REGION_STACK)
        w.start = va(0);
    free = none_there(s, i, n);
    err = as_region_add(&s->as, &w, &where);
    if (err == ERR_OK) {
        page = (where.raw >> PAGE_SHIFT) - first_page;
        assert_true(w.start.raw == 0 || (page == i && free));
        assert_true(none_there(s, page, n));
        fill_model(s, &w, page, o);
    } else if (w.start.raw != 0) {
        assert_true(err == ERR_NOMEM || (err == ERR_EXISTS && !free));
    }
    return err;
}

static err_t remove_range(struct model_space *s, uint64_t i, uint64_t n)
{
    err_t err = as_region_remove(&s->as, at(i), n);

    for (uint64_t k = 0; err == ERR_OK && k < n; k++)
        s->page[i + k] = (struct mpage){ .there = false };
    return err;
}

static err_t op_remove(struct model_space *s)
{
    uint64_t i = some_page();

    return remove_range(s, i, some_length(i));
}

/* A span for 2 MiB pages, in place of what is there */
static err_t op_add_huge(struct model_space *s)
{
    struct region_want w = { .n_pages = 512 * (1 + rnd_below(2)), .prot = RW, .kind = REGION_ANON, .flags = REGION_HUGE };
    uint64_t           i = 512 * rnd_below(3);
    va_t               where;
    err_t              err = remove_range(s, i, w.n_pages);

    w.start = at(i);
    if (err == ERR_OK)
        err = as_region_add(&s->as, &w, &where);
    if (err == ERR_OK)
        fill_model(s, &w, i, 0);
    return err;
}

static err_t op_protect(struct model_space *s)
{
    uint64_t i = some_page(), n = some_length(i);
    unsigned prot = some_prot();
    bool     there = all_there(s, i, n);
    err_t    err = as_region_protect(&s->as, at(i), n, prot);

    assert_true(err == ERR_NOMEM || (err == ERR_NOENT) == !there);
    for (uint64_t k = 0; err == ERR_OK && k < n; k++)
        s->page[i + k].prot = prot;
    return err;
}

static err_t op_advise(struct model_space *s)
{
    uint64_t       i = some_page(), n = some_length(i);
    bool           there = all_there(s, i, n);
    enum as_advice advice = (enum as_advice)rnd_below(5);
    bool           locked = false;
    err_t          err = as_advise(&s->as, at(i), n, advice);

    for (uint64_t k = 0; k < n; k++)
        locked |= s->page[i + k].there && s->page[i + k].locked;
    assert_true(err == ERR_NOMEM || err == ERR_PERM || (err == ERR_NOENT) == !there);
    if (err == ERR_PERM)
        assert_true(advice == AS_DONT_NEED && locked && there);
    for (uint64_t k = 0; err == ERR_OK && advice == AS_DONT_NEED && k < n; k++)
        if (!s->page[i + k].object)
            s->page[i + k].value = s->page[i + k].initial;
    return err;
}

static err_t op_lock(struct model_space *s)
{
    uint64_t i = some_page(), n = some_length(i);
    bool     there = all_there(s, i, n), lock = rnd_below(4) == 0;
    err_t    err = as_lock(&s->as, at(i), n, lock);

    assert_true(err == ERR_NOMEM || (err == ERR_NOENT) == !there);
    for (uint64_t k = 0; err == ERR_OK && k < n; k++)
        s->page[i + k].locked = lock;
    return err;
}

/* What a region's pages beyond its old end would be: only for kinds that may grow */
static void model_grown(struct model_space *s, uint64_t to, uint64_t old_n, uint64_t new_n)
{
    for (uint64_t k = old_n; k < new_n; k++) {
        struct mpage *p = &s->page[to + k];
        struct mpage  last = s->page[to + old_n - 1];

        *p = last;
        p->value = p->initial = 0;
        if (last.object)
            p->value = last.value + (k - old_n + 1);
    }
}

static err_t op_remap(struct model_space *s)
{
    uint64_t i = some_page(), n = some_length(i), new_n = 1 + rnd_below(2 * n), to;
    bool     may_move = rnd_below(2) == 0;
    va_t     now;
    err_t    err;

    err = as_region_remap(&s->as, at(i), n, new_n, may_move, &now);
    if (err != ERR_OK)
        return err;
    to = (now.raw >> PAGE_SHIFT) - first_page;
    assert_true(all_there(s, i, n) && (may_move || to == i));
    assert_true(to == i || none_there(s, to, new_n));
    before = *s;
    for (uint64_t k = 0; k < n; k++)
        s->page[i + k] = (struct mpage){ .there = false };
    for (uint64_t k = 0; k < min_u64(n, new_n); k++)
        s->page[to + k] = before.page[i + k];
    model_grown(s, to, n, new_n);
    return ERR_OK;
}

static err_t op_fork(struct model_space *s)
{
    struct model_space *child = space;
    err_t               err;

    while (child < space + SPACES && child->alive)
        child++;
    if (child == space + SPACES)
        return ERR_OK;
    err = as_fork(&child->as, &s->as);
    if (err == ERR_OK) {
        child->alive = true;
        memcpy(child->page, s->page, sizeof child->page);
        for (unsigned i = 0; i < WINDOW; i++)
            child->page[i].locked = false;
    }
    return err;
}

static err_t op_end(struct model_space *s)
{
    unsigned alive = 0;

    for (unsigned i = 0; i < SPACES; i++)
        alive += space[i].alive;
    if (alive == 1 || rnd_below(3) != 0)
        return ERR_OK;
    as_switch(NULL);
    as_destroy(&s->as);
    s->alive = false;
    return ERR_OK;
}

/* Touching many pages of a span: what makes 2 MiB of them */
static err_t op_touch_many(struct model_space *s)
{
    uint64_t i = align_down(some_page(), 512), step = 1 + rnd_below(2);

    for (uint64_t k = 0; k < 512; k += step)
        see(s, i + k);
    return ERR_OK;
}

static err_t op_touch(struct model_space *s)
{
    for (unsigned k = 0; k < 30; k++)
        see(s, some_page());
    return ERR_OK;
}

typedef err_t (*op_fn)(struct model_space *s);

static const op_fn ops[] = { op_add,  op_add,   op_add,   op_remove, op_protect, op_protect, op_advise,     op_lock,
                             op_remap, op_fork, op_end,   op_touch,  op_touch,   op_touch,   op_touch_many, op_advise,
                             op_add_huge };

/* ---- the run ------------------------------------------------------------------------------------------------- */

static void open_world(unsigned levels)
{
    struct region_want w = { .n_pages = 1, .prot = 0 };
    uint64_t          *word;
    struct as         *as = &space[0].as;
    va_t               v;

    assert_true(space_open(levels));
    memset(space, 0, sizeof space);
    memset(object_value, 0, sizeof object_value);
    next_value = 1;
    file = (struct image_file){ .name = "file", .first = pfn(SIM_FRAMES - FILE_PAGES - 1), .n_bytes = FILE_PAGES * PAGE_SIZE };
    word = port_ptr(pfn_to_pa(file.first));
    for (unsigned i = 0; i < FILE_PAGES; i++)
        word[512 * i] = 0x100000 + i;
    assert_int_equal(shared_open("one", OBJECT_PAGES, &object[0]), ERR_OK);
    assert_int_equal(shared_open("two", OBJECT_PAGES, &object[1]), ERR_OK);
    assert_int_equal(as_create(as), ERR_OK);
    space[0].alive = true;
    /* room only in the window: what is placed anywhere is placed there */
    first_page = as->regions.first + 512;
    w.start = va(as->regions.first << PAGE_SHIFT);
    w.n_pages = 512;
    assert_int_equal(as_region_add(as, &w, &v), ERR_OK);
    w.start = at(WINDOW);
    w.n_pages = as->regions.bound.page - first_page - WINDOW;
    assert_int_equal(as_region_add(as, &w, &v), ERR_OK);
}

static void close_world(void)
{
    const char *wrong;

    as_switch(NULL);
    for (unsigned i = 0; i < SPACES; i++)
        if (space[i].alive)
            as_destroy(&space[i].as);
    shared_put(object[0]);
    shared_put(object[1]);
    wrong = space_close();
    if (wrong != NULL)
        fail_msg("%s", wrong);
}

static struct model_space *some_space(void)
{
    struct model_space *s;

    do
        s = &space[rnd_below(SPACES)];
    while (!s->alive);
    return s;
}

static void check_all(uint64_t step)
{
    for (unsigned i = 0; i < SPACES; i++) {
        const char *wrong = space[i].alive ? as_regions_check(&space[i].as) : NULL;

        if (wrong == NULL && space[i].alive)
            wrong = pt_check(&space[i].as.pt);
        if (wrong != NULL)
            fail_msg("step %llu, space %u: %s", ULL(step), i, wrong);
    }
}

static uint64_t plans[FAULT_PLANS], huge_copies;

static void count_plans(const struct model_space *s)
{
    for (unsigned i = 0; i < FAULT_PLANS; i++)
        plans[i] += s->as.faults[i];
    huge_copies += space_report.plan == FAULT_COPY && space_report.huge;
}

static void random_operations_show_what_the_model_says(void **state)
{
    unsigned levels = *(unsigned *)*state;
    uint64_t steps = 3000;

    rnd_seed_from("test_region_model");
    longest = WINDOW;
    open_world(levels);
    memset(plans, 0, sizeof plans);
    for (uint64_t step = 0; step < steps; step++) {
        struct model_space *s = some_space();
        op_fn               op = ops[rnd_below(ARRAY_LEN(ops))];
        bool                quiet = op == op_touch || op == op_touch_many;

        if (!quiet && rnd_below(4) == 0)
            frames_until_failure = (int)rnd_below(12);
        (void)op(s);
        frames_until_failure = NEVER_FAIL;
        count_plans(s);
        if (step % 8 == 0)
            check_all(step);
        if (step % 500 == 0)
            see_everything(some_space());
    }
    check_all(steps);
    for (unsigned i = 0; i < SPACES; i++)
        if (space[i].alive)
            see_everything(&space[i]);
    for (unsigned i = 0; i < FAULT_PLANS; i++)
        if (plans[i] == 0 && i != FAULT_WAIT && i != FAULT_MAP_PHYS && i != FAULT_RETRY)
            fail_msg("never happened: %s", fault_plan_name((enum fault_plan)i));
    close_world();
}

/* ---- starvation ------------------------------------------------------------------------------------------------ */

/* A scene with everything in it, always the same */
static void scene(struct model_space *s, uint64_t seed)
{
    rnd_seed(seed);
    longest = WINDOW;
    (void)op_add_huge(s);
    (void)op_touch_many(s);
    longest = 24;
    for (unsigned i = 0; i < 70; i++)
        (void)op_add(s);
    for (unsigned i = 0; i < 30; i++)
        (void)op_touch(s);
    (void)op_protect(s);
}

struct starve {
    const char *name;
    op_fn       op;
};

/* More regions than one frame has nodes for */
static err_t add_many(struct model_space *s)
{
    err_t err = ERR_OK;

    for (unsigned i = 0; i < 60 && err != ERR_NOMEM; i++)
        err = op_add(s);
    return err;
}

static err_t fault_once(struct model_space *s)
{
    uint64_t i = some_page();

    while (!s->page[i].there || s->page[i].guard || (s->page[i].prot & REGION_W) == 0)
        i = (i + 1) % WINDOW;
    return space_write(&s->as, at(i), *value_of(&s->page[i]));
}

/* With seed `seed`: the operation with its n-th allocation failing, for all n until it needs no more */
static unsigned starve(struct model_space *s, op_fn op, uint64_t seed)
{
    unsigned failed = 0;

    for (int n = 0;; n += n < 20 ? 1 : 61) { /* a shared 2 MiB page that is cut needs 513 */
        uint64_t in_use, promised = commit_pages(), owned = s->as.owned;
        err_t    err;

        as_switch(NULL);
        in_use = sim_in_use - framedb_frames();
        rnd_seed(seed);
        frames_until_failure = n;
        err = op(s);
        frames_until_failure = NEVER_FAIL;
        check_all((uint64_t)n);
        if (err != ERR_NOMEM || n > 700) /* room may be missing, too */
            return failed;
        failed++;
        assert_true(commit_pages() >= promised); /* a stack may have grown on the way to a cut */
        if (op == op_fork || op == fault_once) {
            assert_int_equal(sim_in_use - framedb_frames(), in_use);
            assert_int_equal(s->as.owned, owned);
        }
    }
}

static void each_allocation_failing_in_turn_loses_nothing(void **state)
{
    static const struct starve all[] = {
        { "add", add_many },   { "remove", op_remove }, { "protect", op_protect }, { "advise", op_advise },
        { "lock", op_lock }, { "remap", op_remap },   { "fork", op_fork },       { "fault", fault_once },
    };
    unsigned levels = *(unsigned *)*state;

    for (unsigned i = 0; i < ARRAY_LEN(all); i++) {
        unsigned failed = 0;

        for (uint64_t seed = 1; seed <= 12; seed++) {
            open_world(levels);
            scene(&space[0], seed);
            if (seed % 2 == 0) /* frames that are shared, blocks that are */
                (void)op_fork(&space[0]);
            failed += starve(&space[0], all[i].op, seed);
            rnd_seed(seed);
            for (unsigned k = 0; k < SPACES; k++)
                if (space[k].alive)
                    see_everything(&space[k]);
            close_world();
        }
        if (failed == 0)
            fail_msg("%s never needed a frame", all[i].name);
    }
}

#define BOTH(test) { #test " (4 levels)", test, NULL, NULL, &four }, { #test " (5 levels)", test, NULL, NULL, &five }

int main(void)
{
    static unsigned         four = 4, five = 5;
    const struct CMUnitTest tests[] = {
        BOTH(random_operations_show_what_the_model_says),
        BOTH(each_allocation_failing_in_turn_loses_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
