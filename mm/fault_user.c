/* SPDX-License-Identifier: MIT */
/*
 * mm/fault_user.c - a page fault in a process: what is to be done about it
 *
 * Promise     One question, to the region and to the entry as it is now, gives one answer. The error code says only
 *             what kind of access it was: what the CPU believed of the entry may be true no more.
 *
 * Table       rows are tried from the top; "-" is anything
 *
 *             region            page           entry                     access       plan
 *   U1        none              -              -                         -            deny: no region
 *   U2        stack             its lowest     -                         -            deny: guard page
 *   U3        forbids it        -              -                         -            deny: no read, write, fetch
 *   U4        -                 -              present, allows it        -            retry: another CPU was faster
 *   U5        shared, device    -              present                   -            the same
 *   U6        -                 -              present                   read, fetch  the same
 *   U7        -                 -              the frame of zeroes       write        new frame of zeroes
 *   U8        -                 -              the file's own frame      write        copy
 *   U9        -                 -              owned, refs > 1           write        copy
 *   U10       -                 -              owned, refs == 1          write        make writable
 *   U11       shared            -              0                         -            the object's frame
 *   U12       device            -              0                         -            the device's frame
 *   U13       image             in the file    0                         read, fetch  the file's own frame
 *   U14       image             in the file    0                         write        new frame with its bytes
 *   U15       image             partly in it   0                         -            new frame with its bytes
 *   U16       else              2 MiB at once  0                         -            2 MiB of zeroes
 *   U17       else              -              0                         write        new frame of zeroes
 *   U18       else              -              0                         read, fetch  the frame of zeroes
 *
 *             "else" is anonymous memory, heap, stack, and an image beyond its file's bytes. U2 stands before U3: a
 *             guard page is known as one whatever the access. In U9 the one who shares the frame may let go of it
 *             meanwhile: then the copy was not needed, and nothing else is wrong. A present
 *             entry lacks no right that its region has, but W where a frame may be shared: so U5 and U6 are retries.
 *
 * Looking     A fault is often near the one before: its region and its page table are tried first, then the tree and
 *             the tables.
 *
 * Locks       the space's, or it is busy; records of frames (rank 36)
 *
 * Sources     SDM 3A "Page-Fault Exceptions", "Access Rights"
 */
#include "mm/fault_user.h"

#include "mm/framedb.h"
#include "mm/region_in.h"

static enum fault_denial forbidden(const struct fault_view *v)
{
    const struct region *r = v->region;

    if (r == NULL)
        return FAULT_NO_REGION; /* U1 */
    if (UNLIKELY(r->kind == REGION_STACK && v->page == r->span.page))
        return FAULT_GUARD; /* U2 */
    if (v->write)
        return (r->prot & REGION_W) != 0 ? FAULT_NOT_DENIED : FAULT_NO_WRITE; /* U3 */
    if (v->fetch)
        return (r->prot & REGION_X) != 0 ? FAULT_NOT_DENIED : FAULT_NO_FETCH;
    return r->prot != 0 ? FAULT_NOT_DENIED : FAULT_NO_READ;
}

static enum fault_plan decide_present(const struct fault_view *v)
{
    if ((v->pte.raw & PTE_W) != 0 || !region_private(v->region) || !v->write)
        return FAULT_RETRY; /* U4 to U6 */
    if (v->zero)
        return FAULT_NEW_ZERO; /* U7 */
    return (v->pte.raw & AS_OWNED) == 0 || v->refs > 1 ? FAULT_COPY : FAULT_MAKE_WRITABLE; /* U8 to U10 */
}

enum fault_plan fault_decide(const struct fault_view *v, enum fault_denial *denial)
{
    const struct region *r = v->region;
    enum fault_denial    no = forbidden(v);

    if (UNLIKELY(no != FAULT_NOT_DENIED)) {
        *denial = no;
        return FAULT_DENY;
    }
    if (pte_present(v->pte))
        return decide_present(v);
    if (r->kind == REGION_SHARED)
        return FAULT_MAP_SHARED; /* U11 */
    if (r->kind == REGION_PHYS)
        return FAULT_MAP_PHYS; /* U12 */
    if (r->kind == REGION_IMAGE) {
        uint64_t at = (v->page - r->span.page) << PAGE_SHIFT;

        if (at + PAGE_SIZE <= r->file_bytes && !v->write)
            return FAULT_MAP_IMAGE; /* U13 */
        if (at < r->file_bytes)
            return FAULT_NEW_IMAGE; /* U14, U15 */
    }
    if (v->huge)
        return FAULT_NEW_HUGE; /* U16 */
    return v->write ? FAULT_NEW_ZERO : FAULT_MAP_ZERO; /* U17, U18 */
}

/* ---- looking -------------------------------------------------------------------------------------------- */

/* pt_spot(), but neighbours of the last fault's page are found without a walk. Tables go while the space is busy. */
static struct pt_spot find_spot(struct as *as, uint64_t page)
{
    struct pt_spot p = as->near;

    if (LIKELY(as->near_table == page / TABLE_ENTRIES)) {
        p.cell += page % TABLE_ENTRIES;
        return p;
    }
    p = pt_spot(&as->pt, page_address(page));
    if (p.level == LEVEL_4K) {
        as->near = p;
        as->near.cell -= page % TABLE_ENTRIES;
        as->near_table = page / TABLE_ENTRIES;
    }
    return p;
}

/* Asked for 2 MiB pages, and nothing is there yet */
static bool huge_now(const struct fault_job *j)
{
    return (j->region->flags & REGION_HUGE) != 0 && j->place.level >= LEVEL_2M && huge_fits(j->region, j->view.page) &&
           as_within(j->as, HUGE_PAGES);
}

void fault_look(struct fault_job *j, uint64_t page, bool write, bool fetch)
{
    struct fault_view *v = &j->view;
    struct region     *r = region_at(j->as, page);

    j->region = r;
    j->stale = j->grew = false;
    j->denial = FAULT_NOT_DENIED;
    v->region = r;
    v->page = page;
    v->write = write;
    v->fetch = fetch;
    v->zero = v->huge = false;
    v->refs = 1;
    if (r != NULL) {
        j->place = find_spot(j->as, page);
        v->pte = pte_load(j->place.cell);
        if (!pte_present(v->pte)) {
            v->huge = huge_now(j);
        } else {
            v->zero = (v->pte.raw & AS_OWNED) == 0 && pte_frame(v->pte, j->place.level).idx == as_zero_frame().idx;
            if ((v->pte.raw & AS_COUNTED) != 0)
                v->refs = framedb_refs(pte_frame(v->pte, j->place.level));
        }
    }
    j->plan = fault_decide(v, &j->denial);
}

/* ---- in words ------------------------------------------------------------------------------------------- */

const char *fault_plan_name(enum fault_plan plan)
{
    static const char *const names[FAULT_PLANS] = {
        [FAULT_DENY] = "refused",
        [FAULT_RETRY] = "nothing to do",
        [FAULT_WAIT] = "wait",
        [FAULT_MAP_ZERO] = "shared frame of zeroes",
        [FAULT_NEW_ZERO] = "new frame of zeroes",
        [FAULT_NEW_HUGE] = "2 MiB of zeroes",
        [FAULT_MAP_IMAGE] = "the file's own frame",
        [FAULT_NEW_IMAGE] = "new frame with the file's bytes",
        [FAULT_MAP_SHARED] = "the shared object's frame",
        [FAULT_MAP_PHYS] = "the device's frame",
        [FAULT_COPY] = "copy",
        [FAULT_MAKE_WRITABLE] = "made writable",
    };

    return (unsigned)plan < FAULT_PLANS ? names[plan] : "unknown";
}

const char *fault_denial_words(enum fault_denial denial)
{
    static const char *const words[FAULT_DENIALS] = {
        [FAULT_NOT_DENIED] = "",
        [FAULT_NO_REGION] = "nothing is there",
        [FAULT_GUARD] = "guard page below the stack",
        [FAULT_NO_READ] = "the region may not be read",
        [FAULT_NO_WRITE] = "the region may not be written",
        [FAULT_NO_FETCH] = "the region may not be executed",
        [FAULT_NOT_USERS] = "no address of a process",
        [FAULT_BROKEN] = "a reserved bit in the tables",
        [FAULT_OVER_LIMIT] = "over the memory limit",
        [FAULT_NO_FRAME] = "out of memory",
        [FAULT_ALIAS] = "mapped elsewhere with another cache type",
    };

    return (unsigned)denial < FAULT_DENIALS ? words[denial] : "unknown";
}

const char *region_kind_name(enum region_kind kind)
{
    static const char *const names[REGION_KINDS] = {
        [REGION_ANON] = "anonymous", [REGION_HEAP] = "heap",     [REGION_STACK] = "stack",
        [REGION_IMAGE] = "image",    [REGION_SHARED] = "shared", [REGION_PHYS] = "device",
    };

    return (unsigned)kind < REGION_KINDS ? names[kind] : "unknown";
}
