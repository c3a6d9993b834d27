/* SPDX-License-Identifier: MIT */
/* test/host/test_fault_user.c - mm/fault_user.c row by row, and every question there is against the table read aloud */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "mm/region_in.h"


#define RWX   (REGION_R | REGION_W | REGION_X)
#define OWN   (PTE_P | PTE_U | AS_OWNED)
#define FILES (PTE_P | PTE_U)

/* One row: the region is of pages 100 to 108, its file of two pages and a half */
static const struct row {
    const char       *name;
    enum region_kind  kind; /* REGION_KINDS: none */
    unsigned          prot;
    uint64_t          page, pte;
    bool              zero;
    unsigned          refs;
    bool              huge, write, fetch;
    enum fault_plan   plan;
    enum fault_denial denial;
} rows[] = {
    { "U1", REGION_KINDS, 0, 5, 0, false, 1, false, false, false, FAULT_DENY, FAULT_NO_REGION },
    { "U2", REGION_STACK, RWX, 100, 0, false, 1, false, true, false, FAULT_DENY, FAULT_GUARD },
    { "U2 before U3", REGION_STACK, 0, 100, 0, false, 1, false, false, true, FAULT_DENY, FAULT_GUARD },
    { "U3 read", REGION_ANON, 0, 101, OWN, false, 1, false, false, false, FAULT_DENY, FAULT_NO_READ },
    { "U3 write", REGION_ANON, REGION_R | REGION_X, 101, OWN, false, 2, false, true, false, FAULT_DENY, FAULT_NO_WRITE },
    { "U3 fetch", REGION_ANON, REGION_R | REGION_W, 101, OWN, false, 1, false, false, true, FAULT_DENY, FAULT_NO_FETCH },
    { "U3 of shared", REGION_SHARED, REGION_R, 101, 0, false, 1, false, true, false, FAULT_DENY, FAULT_NO_WRITE },
    { "U4", REGION_ANON, RWX, 101, OWN | PTE_W, false, 1, false, true, false, FAULT_RETRY, FAULT_NOT_DENIED },
    { "U5", REGION_SHARED, RWX, 101, FILES | PTE_W, false, 1, false, true, false, FAULT_RETRY, FAULT_NOT_DENIED },
    { "U5 device", REGION_PHYS, RWX, 101, FILES, false, 1, false, true, false, FAULT_RETRY, FAULT_NOT_DENIED },
    { "U6", REGION_ANON, RWX, 101, OWN, false, 3, false, false, true, FAULT_RETRY, FAULT_NOT_DENIED },
    { "U7", REGION_HEAP, RWX, 101, FILES, true, 1, false, true, false, FAULT_NEW_ZERO, FAULT_NOT_DENIED },
    { "U8", REGION_IMAGE, RWX, 101, FILES, false, 1, false, true, false, FAULT_COPY, FAULT_NOT_DENIED },
    { "U9", REGION_STACK, RWX, 101, OWN | AS_COUNTED, false, 2, false, true, false, FAULT_COPY, FAULT_NOT_DENIED },
    { "U10", REGION_IMAGE, RWX, 101, OWN | AS_COUNTED, false, 1, false, true, false, FAULT_MAKE_WRITABLE, FAULT_NOT_DENIED },
    { "U10 never shared", REGION_ANON, RWX, 101, OWN, false, 1, false, true, false, FAULT_MAKE_WRITABLE, FAULT_NOT_DENIED },
    { "U11", REGION_SHARED, RWX, 101, 0, false, 1, false, true, false, FAULT_MAP_SHARED, FAULT_NOT_DENIED },
    { "U11 read", REGION_SHARED, REGION_R, 101, 0, false, 1, false, false, false, FAULT_MAP_SHARED, FAULT_NOT_DENIED },
    { "U12", REGION_PHYS, RWX, 101, 0, false, 1, false, false, false, FAULT_MAP_PHYS, FAULT_NOT_DENIED },
    { "U13", REGION_IMAGE, RWX, 101, 0, false, 1, false, false, false, FAULT_MAP_IMAGE, FAULT_NOT_DENIED },
    { "U13 fetch", REGION_IMAGE, RWX, 100, 0, false, 1, false, false, true, FAULT_MAP_IMAGE, FAULT_NOT_DENIED },
    { "U14", REGION_IMAGE, RWX, 101, 0, false, 1, false, true, false, FAULT_NEW_IMAGE, FAULT_NOT_DENIED },
    { "U15", REGION_IMAGE, RWX, 102, 0, false, 1, false, false, false, FAULT_NEW_IMAGE, FAULT_NOT_DENIED },
    { "U15 write", REGION_IMAGE, RWX, 102, 0, false, 1, false, true, false, FAULT_NEW_IMAGE, FAULT_NOT_DENIED },
    { "U16", REGION_ANON, RWX, 101, 0, false, 1, true, true, false, FAULT_NEW_HUGE, FAULT_NOT_DENIED },
    { "U16 read", REGION_HEAP, RWX, 101, 0, false, 1, true, false, false, FAULT_NEW_HUGE, FAULT_NOT_DENIED },
    { "U17", REGION_ANON, RWX, 101, 0, false, 1, false, true, false, FAULT_NEW_ZERO, FAULT_NOT_DENIED },
    { "U17 beyond the file", REGION_IMAGE, RWX, 103, 0, false, 1, false, true, false, FAULT_NEW_ZERO, FAULT_NOT_DENIED },
    { "U18", REGION_STACK, RWX, 101, 0, false, 1, false, false, false, FAULT_MAP_ZERO, FAULT_NOT_DENIED },
    { "U18 beyond the file", REGION_IMAGE, RWX, 107, 0, false, 1, false, false, true, FAULT_MAP_ZERO, FAULT_NOT_DENIED },
};

static struct region region(enum region_kind kind, unsigned prot)
{
    return (struct region){ .span = { .page = 100, .end = 108 }, .kind = kind, .prot = prot, .low = 104,
                            .file_bytes = kind == REGION_IMAGE ? 2 * PAGE_SIZE + 2048 : 0 };
}

static void every_row_decides_as_it_says(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct row *row = &rows[i];
        struct region     r = region(row->kind, row->prot);
        struct fault_view v = { .region = row->kind == REGION_KINDS ? NULL : &r, .page = row->page, .pte = { row->pte },
                                .zero = row->zero, .refs = row->refs, .huge = row->huge,
                                .write = row->write, .fetch = row->fetch };
        enum fault_denial denial = FAULT_NOT_DENIED;
        enum fault_plan   plan = fault_decide(&v, &denial);

        if (plan != row->plan || denial != row->denial)
            fail_msg("%s: %s (%s), expected %s (%s)", row->name, fault_plan_name(plan), fault_denial_words(denial),
                     fault_plan_name(row->plan), fault_denial_words(row->denial));
    }
}

/* What must hold whatever is asked: read aloud, not derived from the code */
static const char *absurd(const struct fault_view *v, enum fault_plan plan)
{
    const struct region *r = v->region;
    bool may = r != NULL && (v->write ? (r->prot & REGION_W) != 0 : v->fetch ? (r->prot & REGION_X) != 0 : r->prot != 0) &&
               !(r->kind == REGION_STACK && v->page == r->span.page);
    bool object = r != NULL && (r->kind == REGION_SHARED || r->kind == REGION_PHYS);

    if ((plan == FAULT_DENY) != !may)
        return "denied although it may, or the reverse";
    if (plan == FAULT_WAIT)
        return "it cannot know";
    if (pte_present(v->pte) && (plan == FAULT_MAP_ZERO || plan == FAULT_MAP_IMAGE || plan == FAULT_NEW_IMAGE ||
                                plan == FAULT_NEW_HUGE || plan == FAULT_MAP_SHARED || plan == FAULT_MAP_PHYS))
        return "there is a page already";
    if (!pte_present(v->pte) && (plan == FAULT_RETRY || plan == FAULT_COPY || plan == FAULT_MAKE_WRITABLE))
        return "there is no page";
    if (v->write && (plan == FAULT_MAP_ZERO || plan == FAULT_MAP_IMAGE))
        return "a write would fault again";
    if (plan == FAULT_MAKE_WRITABLE && (v->refs > 1 || v->zero || (v->pte.raw & AS_OWNED) == 0))
        return "others would see the write";
    if (object && (plan == FAULT_COPY || plan == FAULT_NEW_ZERO || plan == FAULT_NEW_IMAGE || plan == FAULT_NEW_HUGE))
        return "an object's memory would be lost";
    return NULL;
}

static void no_question_has_an_absurd_answer(void **state)
{
    (void)state;
    static const uint64_t entries[] = { 0, FILES, FILES | PTE_W, OWN, OWN | PTE_W, OWN | AS_COUNTED };
    uint64_t              asked = 0;

    for (unsigned kind = 0; kind <= REGION_KINDS; kind++)
        for (unsigned prot = 0; prot < 8; prot++)
            for (uint64_t page = 100; page < 108; page++)
                for (unsigned bits = 0; bits < 4 * 2 * 2 * ARRAY_LEN(entries); bits++) {
                    struct region     r = region((enum region_kind)kind, prot);
                    unsigned          e = bits / 16;
                    struct fault_view v = { .region = kind == REGION_KINDS ? NULL : &r, .page = page,
                                            .pte = { entries[e] }, .refs = e == 5 && (bits & 1) != 0 ? 2 : 1,
                                            .zero = e == 1 && (bits & 1) != 0, .huge = (bits & 2) != 0,
                                            .write = (bits & 4) != 0, .fetch = (bits & 12) == 8 };
                    enum fault_denial denial = FAULT_NOT_DENIED;
                    enum fault_plan   plan = fault_decide(&v, &denial);
                    const char       *why = absurd(&v, plan);

                    if (why != NULL)
                        fail_msg("%s, prot %u, page %llu, entry %u, bits %u: %s: %s",
                                 region_kind_name((enum region_kind)kind), prot, ULL(page), e, bits, fault_plan_name(plan),
                                 why);
                    asked++;
                }
    assert_int_equal(asked, 7 * 8 * 8 * 96);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_decides_as_it_says),
        cmocka_unit_test(no_question_has_an_absurd_answer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
