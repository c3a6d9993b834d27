/* SPDX-License-Identifier: MIT */
/*
 * mm/node_pool.c - nodes of one size, in frames
 *
 * Picture     a frame:  [ head: list, free bits ][ node 0 ][ node 1 ] ... [ node n - 1 ]   n <= 64
 *
 *             Frames with a free node are in a list; a full one is in none and is found again by the address
 *             of a node that comes back. A frame of which no node is in use goes back at once.
 *
 * Locks       the owner's; frames (rank 40) are taken and freed under it
 * Failure     ERR_NOMEM changes nothing
 */
#include "mm/node_pool.h"

#include "mm/bits.h"
#include "mm/frame.h"
#include "mm/port.h"

struct node_page {
    struct node_page *next, **link; /* link is NULL when full */
    uint64_t          free;         /* bit i: node i is free  */
    pfn_t             frame;
    unsigned char     nodes[];
};

static uint64_t all_free(const struct node_pool *p)
{
    return bits_below((unsigned)min_u64((PAGE_SIZE - sizeof(struct node_page)) / p->bytes, BITS_WORD));
}

static void list(struct node_pool *p, struct node_page *s)
{
    s->next = p->pages;
    s->link = &p->pages;
    if (s->next != NULL)
        s->next->link = &s->next;
    p->pages = s;
}

static void unlist(struct node_page *s)
{
    *s->link = s->next;
    if (s->next != NULL)
        s->next->link = s->link;
    s->link = NULL;
}

err_t node_new(struct node_pool *p, void **out)
{
    struct node_page *s = p->pages;
    unsigned          i;

    if (s == NULL) {
        pfn_t frame;
        err_t err = frame_alloc(0, &frame);

        if (err != ERR_OK)
            return err;
        s = port_ptr(pfn_to_pa(frame));
        s->frame = frame;
        s->free = all_free(p);
        list(p, s);
    }
    i = bits_first(s->free);
    s->free &= s->free - 1;
    if (s->free == 0)
        unlist(s);
    *out = s->nodes + i * p->bytes;
    return ERR_OK;
}

void node_free(struct node_pool *p, void *node)
{
    struct node_page *s = (struct node_page *)align_down((uintptr_t)node, PAGE_SIZE);

    if (s->free == 0)
        list(p, s);
    s->free |= bit((unsigned)((size_t)((unsigned char *)node - s->nodes) / p->bytes));
    if (s->free == all_free(p)) {
        err_t err;

        unlist(s);
        err = frame_free(s->frame);
        ASSERT(err == ERR_OK);
    }
}
