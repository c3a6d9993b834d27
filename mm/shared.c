/* SPDX-License-Identifier: MIT */
/*
 * mm/shared.c - memory that several spaces map
 *
 * Promise     All who map a page of an object map the same frame, from its first touch until the last reference to
 *             the object goes; then every frame is given back.
 *
 * Picture     object "ring", 3 references: two regions and a shared_open()
 *
 *               page    0    1    2    3               an entry of page tables that no CPU ever loads:
 *               frame   f7   -    f9   -               page n of the object stands at address 4096 n
 *
 *             So finding, adding and freeing frames is the mapper's work, and a sparse object costs tables only
 *             where it was touched. The entries in the spaces don't own their frames: the object does.
 *
 * Files       The memory behind all shared mappings of a file is an object without a name, known by its file; its
 *             pages are copied from the file when first touched. Private mappings go on showing the
 *             file's own bytes.
 *
 * Locks       objects.lock (rank 27) guards the list and the counts; an object's own (29) its frames
 *
 * Failure     ERR_NOMEM: the object, or the page, is not there, as before
 */
#include "mm/shared.h"

#include "mm/frame.h"
#include "mm/region_in.h"
#include "mm/zero.h"

struct shared {
    struct irqlock           lock;    /* rank 29                     */
    struct shared           *next;    /* [objects.lock]              */
    uint64_t                 refs;    /* [objects.lock]              */
    uint64_t                 n_pages; /* [c]                         */
    const struct image_file *file;    /* [c] NULL: zeroes at first   */
    struct pt                frames;  /* [lock]                      */
    pfn_t                    self;    /* [c] the frame this lies in  */
    char                     name[SHARED_NAME_BYTES]; /* [c] "": a file's */
};

static struct {
    struct irqlock lock;
    struct shared *first; /* [lock] */
} objects = { .lock = IRQLOCK("shared objects", 27) };

/* What an object is known by: a name, or a file */
struct known {
    const char              *name;
    const struct image_file *file;
};

static bool name_ok(const char *name)
{
    return name[0] != 0 && __builtin_strlen(name) < SHARED_NAME_BYTES;
}

static struct shared *find(struct known k)
{
    struct shared *s = objects.first;

    while (s != NULL && (s->file != k.file || (k.file == NULL && __builtin_strcmp(s->name, k.name) != 0)))
        s = s->next;
    return s;
}

static err_t make(struct known k, uint64_t n_pages, struct shared **out)
{
    struct shared *s;
    pfn_t          frame;
    err_t          err = frame_alloc_zeroed(&frame);

    if (err != ERR_OK)
        return err;
    s = port_ptr(pfn_to_pa(frame));
    err = pt_create(&s->frames, KERNEL_LEVELS);
    if (err != ERR_OK)
        goto no_tables;
    err = commit_take(n_pages);
    if (err != ERR_OK)
        goto no_promise;
    s->lock = (struct irqlock)IRQLOCK("shared", 29);
    s->refs = 1;
    s->n_pages = n_pages;
    s->file = k.file;
    s->self = frame;
    if (k.name != NULL)
        __builtin_memcpy(s->name, k.name, __builtin_strlen(k.name));
    *out = s;
    return ERR_OK;

no_promise:
    pt_destroy(&s->frames);
no_tables:
    if (frame_free(frame) != ERR_OK)
        PANIC("a frame just taken can't be given back");
    return err;
}

/* Nobody knows of it any more */
static void unmake(struct shared *s)
{
    struct tlb_space nowhere = { .active = 0 };
    pfn_t            self = s->self;
    err_t            err = pt_release(&s->frames, va(0), s->n_pages, &nowhere);

    ASSERT(err == ERR_OK);
    pt_destroy(&s->frames);
    commit_give(s->n_pages);
    err = frame_free(self);
    ASSERT(err == ERR_OK);
}

/* The object known so, with one reference more; made first if there is none */
static err_t known_open(struct known k, uint64_t n_pages, struct shared **out)
{
    struct shared *s, *fresh = NULL;
    uint64_t       irq;
    err_t          err = ERR_OK;

    for (;;) { /* made outside the lock; somebody may be faster */
        irq = irqlock_take(&objects.lock);
        s = find(k);
        if (s == NULL && fresh != NULL) {
            s = fresh;
            fresh = NULL;
            s->next = objects.first;
            objects.first = s;
        } else if (s != NULL) {
            err = s->n_pages >= n_pages ? ERR_OK : ERR_INVAL;
            s->refs += err == ERR_OK;
        }
        irqlock_drop(&objects.lock, irq);
        if (s != NULL)
            break;
        err = make(k, n_pages, &fresh);
        if (err != ERR_OK)
            return err;
    }
    if (fresh != NULL)
        unmake(fresh);
    if (err == ERR_OK)
        *out = s;
    return err;
}

err_t shared_open(const char *name, uint64_t n_pages, struct shared **out)
{
    if (!name_ok(name) || n_pages == 0 || n_pages > SHARED_PAGES_MAX)
        return ERR_INVAL;
    return known_open((struct known){ .name = name }, n_pages, out);
}

err_t shared_open_file(const struct image_file *file, struct shared **out)
{
    uint64_t n_pages = align_up(file->n_bytes, PAGE_SIZE) >> PAGE_SHIFT;

    if (n_pages == 0 || n_pages > SHARED_PAGES_MAX)
        return ERR_INVAL;
    return known_open((struct known){ .file = file }, n_pages, out);
}

void shared_hold(struct shared *s)
{
    uint64_t irq = irqlock_take(&objects.lock);

    s->refs++;
    irqlock_drop(&objects.lock, irq);
}

void shared_put(struct shared *s)
{
    uint64_t irq = irqlock_take(&objects.lock);
    bool     last = --s->refs == 0;

    for (struct shared **p = &objects.first; last && *p != NULL; p = &(*p)->next)
        if (*p == s) {
            *p = s->next;
            break;
        }
    irqlock_drop(&objects.lock, irq);
    if (last)
        unmake(s);
}

uint64_t shared_pages(const struct shared *s) { return s->n_pages; }

/* ---- frames -------------------------------------------------------------------------------------------- */

static void fill(const struct shared *s, uint64_t page, pfn_t frame)
{
    uint64_t at = page << PAGE_SHIFT;

    if (s->file != NULL)
        __builtin_memcpy(port_ptr(pfn_to_pa(frame)), port_ptr(pfn_to_pa(pfn_add(s->file->first, page))),
                         min_u64(s->file->n_bytes - at, PAGE_SIZE));
}

static err_t add(struct shared *s, uint64_t page, pfn_t *out)
{
    pfn_t frame;
    err_t err = frame_alloc_zeroed(&frame);

    if (err != ERR_OK)
        return err;
    fill(s, page, frame);
    err = pt_map_frames(&s->frames, page_address(page), &frame, 1, 0);
    if (err == ERR_OK)
        *out = frame;
    else if (frame_free(frame) != ERR_OK)
        PANIC("a frame just taken can't be given back");
    return err;
}

err_t shared_frame(struct shared *s, uint64_t page, pfn_t *out)
{
    uint64_t irq = irqlock_take(&s->lock);
    pa_t     there;
    err_t    err = pt_translate(&s->frames, page_address(page), &there);

    if (err == ERR_OK)
        *out = pa_to_pfn(there);
    else
        err = add(s, page, out);
    irqlock_drop(&s->lock, irq);
    return err;
}
