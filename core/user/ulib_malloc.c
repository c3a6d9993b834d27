/* SPDX-License-Identifier: MIT */
/*
 * core/user/ulib_malloc.c - malloc for programs: first fit over a list of free blocks, on brk
 *
 *   heap   | n | used bytes | n next | free ...... | n | used | n next | free ... | brk
 *                             `--------------------------------^
 *
 * The list is in the order of addresses, so a block that comes back finds its neighbours beside it and
 * merges with them. The heap grows by pages that are not there until they are touched.
 */
#include "core/user/ulib.h"

#define GROW_BYTES ((size_t)256 * 1024)
#define ALIGN      ((size_t)16)

struct block {
    size_t        n_bytes; /* with this head; of a used block the rest is the caller's */
    struct block *next;    /* of a free one */
    char          bytes[];
};
_Static_assert(sizeof(struct block) == ALIGN, "what malloc returns is a multiple of 16");

static struct block *free_list;

static char *end_of(struct block *b) { return (char *)b + b->n_bytes; }

/* Puts a block where its address belongs, and makes one of those that touch */
static void put_back(struct block *b)
{
    struct block **at = &free_list, *before = NULL;

    while (*at != NULL && *at < b) {
        before = *at;
        at = &before->next;
    }
    b->next = *at;
    *at = b;
    if (b->next != NULL && end_of(b) == (char *)b->next) {
        b->n_bytes += b->next->n_bytes;
        b->next = b->next->next;
    }
    if (before != NULL && end_of(before) == (char *)b) {
        before->n_bytes += b->n_bytes;
        before->next = b->next;
    }
}

static bool grow(size_t n_bytes)
{
    size_t        more = (n_bytes + GROW_BYTES - 1) / GROW_BYTES * GROW_BYTES;
    int64_t       end = sys_brk(NULL);
    struct block *b = uptr(end);

    if (end < 0 || more < n_bytes || sys_brk((char *)b + more) < 0)
        return false;
    b->n_bytes = more;
    put_back(b);
    return true;
}

static struct block *take(size_t n_bytes)
{
    for (struct block **at = &free_list; *at != NULL; at = &(*at)->next) {
        struct block *b = *at;

        if (b->n_bytes < n_bytes)
            continue;
        if (b->n_bytes - n_bytes > sizeof *b) {
            struct block *rest = (struct block *)((char *)b + n_bytes);

            rest->n_bytes = b->n_bytes - n_bytes;
            rest->next = b->next;
            b->n_bytes = n_bytes;
            *at = rest;
        } else {
            *at = b->next;
        }
        return b;
    }
    return NULL;
}

void *malloc(size_t n_bytes)
{
    size_t        whole = (n_bytes + sizeof(struct block) + ALIGN - 1) & ~(ALIGN - 1);
    struct block *b;

    if (whole < n_bytes)
        return NULL;
    b = take(whole);
    if (b == NULL && grow(whole))
        b = take(whole);
    return b == NULL ? NULL : b->bytes;
}

void *calloc(size_t n, size_t each_bytes)
{
    size_t n_bytes;
    void  *p = __builtin_mul_overflow(n, each_bytes, &n_bytes) ? NULL : malloc(n_bytes != 0 ? n_bytes : 1);

    return p == NULL ? NULL : memset(p, 0, n_bytes);
}

void *realloc(void *p, size_t n_bytes)
{
    size_t had = p == NULL ? 0 : ((struct block *)p - 1)->n_bytes - sizeof(struct block);
    void  *new = had >= n_bytes && p != NULL ? p : malloc(n_bytes != 0 ? n_bytes : 1);

    if (new != p && new != NULL) {
        memcpy(new, p, had);
        free(p);
    }
    return new;
}

void free(void *p)
{
    if (p != NULL)
        put_back((struct block *)p - 1);
}
